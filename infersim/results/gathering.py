"""Gathering what a run's requests became, as they end: totals of all of them, and rows of as many as there is room for.

Of a run with more than `most` requests the rows of a half are kept, of one with twice as many a quarter, and so on.
Which, the hash of the request's id says: the choice is the same in every run and has nothing to do with what befell it.

Not here: adding up (`infersim/dataplane/totals.py`). Read `record.py` for where it goes.
"""

import numpy as np
from numpy.typing import NDArray

from infersim.dataplane.chance import scattered
from infersim.dataplane.records import OUTCOME
from infersim.dataplane.totals import LIMITED, Totals
from infersim.results.questions import CallTotals, Questions
from infersim.spec.scenario import Scenario
from infersim.spec.slo import Slo
from infersim.workload.cascades import Calls


def totals_for(scenario: Scenario) -> Totals:
    """Empty totals of a scenario's classes and pools, with their limits."""
    answers = np.array([part.answers for part in scenario.workload.parts])
    return Totals(len(scenario.pools), _limits([scenario.slo])[0], _limits(scenario.class_slos), answers)


def call_totals_for(scenario: Scenario) -> CallTotals:
    """Empty totals of the calls of a scenario with cascades, each with the limits of its class."""
    lanes = [lane.tenant for lane in scenario.workload.lanes]
    answers = np.array([part.answers for part in scenario.workload.parts])[lanes]
    given = (len(scenario.pools), _limits([scenario.slo])[0], _limits(scenario.class_slos)[lanes], answers)
    return CallTotals(Totals(*given), Totals(*given))


def _limits(slos: list[Slo]) -> NDArray[np.float64]:
    """The limits of each SLO, by LIMITED [s]; inf without one."""
    keys = [f"{name.removesuffix('_s')}_p99_s" for name in LIMITED]
    given = [[getattr(slo, key) for key in keys] for slo in slos]
    return np.array([[np.inf if limit is None else limit for limit in row] for row in given])


class Gathering:
    """What a fleet hands its ended requests to."""

    def __init__(self, scenario: Scenario) -> None:
        """Nothing yet; keeps at most `scenario.keep_requests` rows."""
        self.totals = totals_for(scenario)
        self.calls = call_totals_for(scenario) if scenario.workload.cascades else None
        """Those of the calls that questions are made of, where there are cascades."""
        self._questions = None
        if self.calls is not None:
            cascades = Calls([part.cascade for part in scenario.workload.parts], scenario.seed)
            self._questions = Questions(cascades, self.calls)
        self.halvings = 0
        """How often the share of the rows that are kept was halved."""
        self._most = scenario.keep_requests
        self._rows: list[NDArray] = []
        self._count = 0

    def __call__(self, rows: NDArray) -> None:
        """Take requests that have ended (OUTCOME); of a cascade, calls."""
        if self._questions is not None:
            rows = self._questions(rows)
        self.totals.add(rows)
        self._keep(rows)

    def merge(self, totals: Totals, calls: CallTotals | None, rows: NDArray, halvings: int) -> None:
        """Take the totals of other requests of the same scenario, and the rows that were kept of them."""
        self.totals.merge(totals)
        if self.calls is not None and calls is not None:
            self.calls.merge(calls)
        while self.halvings < halvings:
            self._halve()
        self._keep(rows)

    def rows(self) -> NDArray:
        """The rows kept, by id."""
        rows = np.concatenate(self._rows) if self._rows else np.zeros(0, OUTCOME)
        self._rows = [rows[np.argsort(rows["id"], kind="stable")]]
        return self._rows[0]

    def _keep(self, rows: NDArray) -> None:
        self._rows.append(rows if self.halvings == 0 else rows[chosen(rows["id"], self.halvings)])
        self._count += len(self._rows[-1])
        while self._count > self._most:
            self._halve()

    def _halve(self) -> None:
        self.halvings += 1
        self._rows = [rows[chosen(rows["id"], self.halvings)] for rows in self._rows]
        self._count = sum(len(rows) for rows in self._rows)


def chosen(ids: NDArray[np.int64], halvings: int) -> NDArray[np.bool_]:
    """Whether the rows of these requests are kept after so many halvings: the hash of the id begins with so many zeros."""
    if halvings == 0:
        return np.ones(len(ids), np.bool_)
    return scattered(ids) >> np.uint64(64 - halvings) == 0
