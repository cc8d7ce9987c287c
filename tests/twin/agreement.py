"""What differs between the twin's run of a case and the loop's, and the smallest part of a case in which something does.

Not here: which cases are compared (`test_twin.py`, `by_hand.py`).
"""

from collections.abc import Callable

import numpy as np

from infersim.dataplane.records import OUTCOME
from infersim.dataplane.tally import Tally
from tests import naive
from tests.twin import compiled
from tests.twin.case import Case, Run
from tests.twin.cases import STEP_S, without

TOLERANCE = 1e-9
"""Relative to the length of the run."""
COUNTS = ("id", "input_tokens", "output_tokens", "pool", "replica", "status", "preemptions", "cached_tokens")
WHOLE_TALLIES = ("steps_by_tokens", "steps_by_sequences", "steps_by_batch", "prefill_chunks", "output_tokens")


def differences(case: Case, twin: Run, loop: compiled.LoopRun) -> list[str]:
    """What differs between the twin's run and the loop's, a line each."""
    if len(twin.outcomes) != len(loop.outcomes):
        return [f"{len(twin.outcomes)} requests ended in the twin, {len(loop.outcomes)} in the loop"]
    if twin.near_tie:
        return []  # rounding decides who comes first
    found = []
    allowed = TOLERANCE * max(twin.outcomes["finish_s"].max(), STEP_S)
    for name in OUTCOME.names:
        ours, theirs = twin.outcomes[name], loop.outcomes[name]
        same = ours == theirs if name in COUNTS else np.isclose(ours, theirs, rtol=0, atol=allowed, equal_nan=True)
        found += [
            f"request {i}: {name} {ours[i]!r} in the twin, {theirs[i]!r} in the loop" for i in np.flatnonzero(~same)
        ]
    for pool, ours, theirs in parts(twin.tallies, loop.tallies):
        for name, a in vars(ours).items():
            if name == "by_model":
                continue
            b = getattr(theirs, name)
            if name in WHOLE_TALLIES:  # but for parts of steps that a failure broke off
                same = np.allclose(a, b, rtol=0, atol=TOLERANCE * max(np.max(a), 1.0))
            elif name == "itl_counts":
                # A time next to an edge may fall on either side of it.
                same = np.isclose(np.sum(a), np.sum(b))
                same &= np.abs(np.cumsum(a) - np.cumsum(b)).max() <= max(1, 0.01 * np.sum(a))
            else:
                same = np.allclose(a, b, rtol=TOLERANCE, atol=allowed)
            if not same:
                found.append(f"pool {pool}: {name} {a} in the twin, {b} in the loop")
    for serial, time in loop.drained.items():
        if abs(time - twin.drained[serial]) > allowed:
            found.append(f"replica {serial}: drained at {twin.drained[serial]} in the twin, at {time} in the loop")
    return found


def parts(ours: list[Tally], theirs: list[Tally]) -> list[tuple[str, Tally, Tally]]:
    """The tallies of all pools, and of the models of those that have several, side by side."""
    found = [(str(pool), *both) for pool, both in enumerate(zip(ours, theirs, strict=True))]
    return found + [
        (f"{pool}, model at place {place}", *both)
        for pool, our, their in found
        for place, both in enumerate(zip(our.by_model, their.by_model, strict=True))
    ]


def smallest(case: Case, fails: Callable[[Case], object]) -> Case:
    """A part of the case's requests that still fails, found by leaving out halves, quarters and so on."""
    size = len(case.requests) // 2
    while size:
        for first in range(0, len(case.requests), size):
            fewer = without(case, first, first + size)
            if len(fewer.requests) and fails(fewer):
                case = fewer
                break
        else:
            size //= 2
    return case


def compare(case: Case) -> list[str]:
    return differences(case, naive.simulate(case), compiled.simulate(case))
