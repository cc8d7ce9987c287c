"""From calls to questions: of a cascade's calls one answer stands, and its row tells of all that came before it.

The row of a question has the id and the arrival of its first call, and pool, replica, ending and spans of its last; the
span `cascade_s` is what lies between. So all that is said of requests (latency, SLO, goodput, dollars for each) is said of questions.
Calls are added up beside, by lane and pool.

Not here: which questions go on (`infersim/workload/cascades.py`), what is reported (`cascade_report.py`).
"""

import numpy as np
from numpy.typing import NDArray

from infersim.dataplane.records import FINISHED, OUTCOME
from infersim.dataplane.totals import Totals
from infersim.workload.cascades import Calls

Rows = NDArray[np.void]

SUMMED = ("preemptions", "retries", "wasted_tokens")
"""Columns in which a question has what all its calls have together."""


class CallTotals:
    """All calls of a run with cascades, added up by lane and pool, and those of them whose answers did not stand."""

    def __init__(self, every: Totals, discarded: Totals) -> None:
        """Nothing yet; the two are empty totals by lane."""
        self.every, self.discarded = every, discarded

    def merge(self, other: "CallTotals") -> None:
        """Add those of other questions of the same scenario."""
        self.every.merge(other.every)
        self.discarded.merge(other.discarded)


class Questions:
    """Puts calls together as they end."""

    def __init__(self, calls: Calls, totals: CallTotals) -> None:
        """No call has ended yet."""
        self._calls, self._totals = calls, totals
        self._waiting = np.zeros(0, OUTCOME)

    def __call__(self, rows: Rows) -> Rows:
        """Take calls that have ended (OUTCOME, `tenant` being the lane); the questions that have ended with them."""
        self._totals.every.add(rows)
        lane = rows["tenant"]
        stands = self._calls.stands(rows["id"], lane, rows["status"])
        ended, others = rows[stands], np.concatenate([self._waiting, rows[~stands]])
        ended["step"] = self._calls.step[ended["tenant"]]
        self._name(ended)
        before = others[np.isin(self._questions(others), ended["id"])]
        self._waiting = others[~np.isin(self._questions(others), ended["id"])]
        self._totals.discarded.add(before[before["status"] == FINISHED])
        order = np.argsort(ended["id"], kind="stable")
        place = order[np.searchsorted(ended["id"], self._questions(before), sorter=order)]
        came_s = ended["arrival_s"].copy()
        np.minimum.at(ended["arrival_s"], place, before["arrival_s"])
        ended["cascade_s"] = came_s - ended["arrival_s"]
        for column in SUMMED:
            np.add.at(ended[column], place, before[column])
        answered = before["status"] == FINISHED
        spent = np.where(answered, before["input_tokens"] + before["output_tokens"] * (1 + before["forks"]), 0)
        np.add.at(ended["discarded_tokens"], place, spent)
        return ended

    def _questions(self, calls: Rows) -> NDArray[np.int64]:
        """The questions that they are of."""
        return calls["id"] - self._calls.step[calls["tenant"]]

    def _name(self, calls: Rows) -> None:
        """Let them go by their questions and classes."""
        calls["id"] = self._questions(calls)
        calls["tenant"] = self._calls.tenant[calls["tenant"]]
