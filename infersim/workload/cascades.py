"""The calls of questions that go from model to model: which follow which, and when a later one is made at all.

Each question has a difficulty, uniform in [0, 1) by the hash of its id: a model that answers the share a of all questions
answers those of a difficulty below a. Its calls stand one behind the other with consecutive ids, so that the id of a
question is that of its first call, and that of a call less its step. A later call is made when the answer before it is not good
enough, or did not come at all; not when the service turned the question away at the door.

Not here: how calls become questions again (`infersim/results/questions.py`).
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from infersim.dataplane.chance import scattered
from infersim.dataplane.records import FINISHED, RATE_LIMITED, SERVICE_FULL
from infersim.spec.cascade import CascadeStep, lanes_of
from infersim.workload.requests import Requests, no_sequels

Indices = NDArray[np.int64]

AT_THE_DOOR = 1 << RATE_LIMITED | 1 << SERVICE_FULL
"""Bits of the endings that no other model would change."""
SALT = 1 << 40
"""Keeps difficulties apart from other choices by the hash of an id."""


def difficulty(questions: Indices, seed: int) -> NDArray[np.float64]:
    """How hard each question is, in [0, 1)."""
    return (scattered(questions, SALT + seed) >> np.uint64(11)).astype(np.float64) * 2.0**-53


class Calls:
    """The calls that the questions of all classes may need."""

    def __init__(self, cascades: Sequence[list[CascadeStep] | None], seed: int) -> None:
        """`cascades` by class; None where one model answers."""
        self._seed = seed
        lanes, first = lanes_of(cascades), len(cascades)
        whole = [own or [CascadeStep(pool="any")] for own in cascades]
        steps = [whole[lane.tenant][lane.step] for lane in lanes]
        self.tenant = np.array([lane.tenant for lane in lanes])
        """The class of each lane,"""
        self.step = np.array([lane.step for lane in lanes])
        """and the step of its cascade."""
        self._counts = np.array([len(own) for own in whole])
        self._later = first + np.cumsum(self._counts - 1) - (self._counts - 1)
        self._last = self.step == self._counts[self.tenant] - 1
        self.answers = np.array([1.0 if step.answers is None else step.answers for step in steps])
        """The share of all questions that each lane answers well enough."""
        self._judge_s = np.array([step.judge_s for step in steps])

    def sufficient(self, questions: Indices, lanes: Indices) -> NDArray[np.bool_]:
        """Whether the answers to these questions are good enough, were they given in these lanes."""
        return difficulty(questions, self._seed) < self.answers[lanes]

    def stands(self, calls: Indices, lanes: Indices, endings: Indices) -> NDArray[np.bool_]:
        """Whether a question has ended with each of these calls: no other is made after it."""
        enough = (endings == FINISHED) & self.sufficient(calls - self.step[lanes], lanes)
        return enough | self._last[lanes] | (1 << endings & AT_THE_DOOR > 0)

    def expanded(self, blocks: Iterator[Requests]) -> Iterator[Requests]:
        """Each question with all calls that it may need, one behind the other; `tenant` is then their lane."""
        for block in blocks:
            counts = self._counts[block.tenant]
            rows = np.repeat(np.arange(len(block)), counts)
            step = np.arange(rows.size) - np.repeat(np.cumsum(counts) - counts, counts)
            calls = block.at(rows)
            sequels = calls.sequels if calls.sequels.size else no_sequels(len(calls))
            later = step > 0
            sequels["after"][later], sequels["joins"][later], sequels["late"][later] = 1, 1, True
            lane = np.where(later, self._later[calls.tenant] + step - 1, calls.tenant)
            yield calls.with_columns(tenant=lane, sequels=sequels)

    def decide(self, records: NDArray[np.void], sequels: NDArray[np.void]) -> None:
        """Say of each later call when it is made: SEQUEL of REQUEST records."""
        later = np.flatnonzero(self.step[records["tenant"]] > 0)
        lane = records["tenant"][later]
        before = np.where(self.step[lane] == 1, self.tenant[lane], lane - 1)
        stands = self.sufficient(records["id"][later] - self.step[lane], before)
        sequels["unless"][later] = AT_THE_DOOR | np.where(stands, 1 << FINISHED, 0)
        sequels["gap_s"][later] = np.where(stands, 0.0, self._judge_s[before])
