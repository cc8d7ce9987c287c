"""The compiled loop agrees with the naive twin, and with itself in pieces.

The twin is checked by hand in `test_by_hand*.py`; the cases come from `cases.py`, what is in them is looked at in
`test_cases.py`. With itself as plain Python the loop is compared in `test_plain.py`.
"""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from infersim.dataplane.records import REQUEST
from tests import naive
from tests.twin import compiled
from tests.twin.agreement import TOLERANCE, compare, differences, smallest
from tests.twin.case import Case, Run
from tests.twin.cases import SCENARIOS, STEP_S, busy_case, random_case
from tests.twin.grid import on_grid

AT_ONCE = 25


@pytest.mark.parametrize("first", range(0, SCENARIOS, AT_ONCE))
def test_loop_agrees_with_the_twin(first: int):
    for seed in range(first, first + AT_ONCE):
        if compare(random_case(seed)):
            pytest.fail(f"seed {seed}\n{smallest_difference(random_case(seed))}")


@pytest.mark.parametrize("first", range(0, 400, AT_ONCE))
def test_loop_agrees_with_the_twin_about_what_happens_at_one_instant(first: int):
    for seed in range(first, first + AT_ONCE):
        if compare(on_grid(random_case(seed))):
            pytest.fail(f"seed {seed}\n{smallest_difference(on_grid(random_case(seed)))}")


def smallest_difference(case: Case) -> str:
    """What differs in the smallest part of a case in which something does."""
    small = smallest(case, compare)
    lines = [*compare(small)[:20], f"pools {small.pools}", f"actions {small.actions}", f"initial {small.initial}"]
    rows = zip(small.requests.tolist(), small.outputs.tolist(), strict=True)
    lines += [f"request {request}, {output} output tokens" for request, output in rows]
    return f"({small.router}, {len(small.requests)} requests left)\n" + "\n".join(lines)


@pytest.mark.parametrize("seed", range(6))
def test_loop_agrees_with_the_twin_at_real_sizes(seed: int):
    case = busy_case(seed)
    twin = naive.simulate(case)
    assert not differences(case, twin, compiled.simulate(case))
    assert twin.tallies[0].steps_by_batch[16:].sum() > 50


def test_loop_agrees_with_the_twin_when_its_arrays_grow():
    """More in flight, held, in front ends and ended than there is room for at first."""
    rng = np.random.default_rng(5)
    count = 40_000
    requests = np.zeros(count, REQUEST)
    requests["id"], requests["arrival_s"] = np.arange(count), np.cumsum(rng.exponential(1e-4, count))
    requests["input_tokens"] = rng.integers(1, 4, count)
    tables = {
        name: STEP_S * rng.uniform(0.5, 1, 21) for name in ("sequences_s", "decode_base_s", "decode_per_context_s")
    }
    limits = {"max_num_seqs": 20, "max_num_batched_tokens": 100, "max_context": 100, "blocks": 100}
    linear_s = STEP_S * rng.uniform(0.5, 1, 101)
    pool = replace(random_case(1).pools[0], linear_s=linear_s, request_overhead_s=0.123, **tables, **limits)
    opens = [(float(time), "open", 0) for time in np.sort(rng.uniform(1, 2, 70))]
    case = Case([pool], requests, rng.integers(1, 3, count), "least_outstanding", [], opens)
    assert not differences(case, naive.simulate(case), compiled.simulate(case, chunk=1000))


def test_switches_are_noted():
    """Each as it begins; at one time in the order of pools, models and so on, for nobody says which replica is first."""
    seen = 0
    for seed in range(200_000, 200_140):
        case = random_case(seed)
        twin = naive.simulate(case)
        if not twin.noted or twin.near_tie:
            continue
        loop = compiled.simulate(case).fleet.switches()
        columns = ("pool", "model", "evicted", "loaded")
        theirs = sorted(zip(*(loop[name].tolist() for name in ("time_s", *columns, "seconds")), strict=True))
        assert np.allclose([each[0] for each in theirs], [each[0] for each in sorted(twin.noted)], rtol=TOLERANCE)
        assert np.allclose([each[-1] for each in theirs], [each[-1] for each in sorted(twin.noted)], rtol=TOLERANCE)
        assert [each[1:-1] for each in theirs] == [each[1:-1] for each in sorted(twin.noted)]
        assert (loop["before"] != loop["model"]).all()
        assert (np.diff(loop["time_s"]) >= 0).all()
        seen += len(loop)
    assert seen > 100


@pytest.mark.parametrize("seed", range(SCENARIOS, SCENARIOS + 40))
def test_chunks_and_stops_change_nothing(seed: int):
    """How the requests are handed in, and where the clock is stopped, is nobody's business."""
    case = random_case(seed)
    once = compiled.simulate(case)
    end = once.outcomes["finish_s"].max()
    for chunk, stops in ((1, []), (7, []), (1 << 16, np.linspace(0, end, 1000)), (3, case.requests["arrival_s"])):
        again = compiled.simulate(case, chunk, [float(stop) for stop in stops])
        twin_like = Run(once.outcomes, once.tallies, [], [], [], once.drained)
        assert not differences(case, twin_like, again), f"chunk {chunk}, {len(stops)} stops"


@pytest.mark.parametrize("seed", range(SCENARIOS, SCENARIOS + 40))
def test_what_can_be_read_on_the_way(seed: int):
    """At any time, in the middle of a leap too, a pool shows what it holds and what it has done until then."""
    case = random_case(seed) if seed % 20 else busy_case(seed)
    end = naive.simulate(case).outcomes["finish_s"].max()
    rng = np.random.default_rng(seed)
    looks = [(time, "look", int(rng.integers(len(case.pools)))) for time in rng.uniform(0, end, 20).tolist()]
    case = replace(case, actions=sorted(case.actions + looks, key=lambda action: action[0]))
    twin, loop = naive.simulate(case), compiled.simulate(case)
    assert not differences(case, twin, loop)
    for (time, _, pool), shows, (occupancy, tally) in zip(sorted(looks), twin.looks, loop.looks, strict=True):
        assert (occupancy.ready, occupancy.draining) == shows[:2]
        assert (occupancy.waiting, occupancy.running, occupancy.kv_blocks_used) == shows[2:5]
        assert (occupancy.routed, occupancy.ended) == shows[5:7]
        assert occupancy.kv_blocks == shows[7]
        steps = [step[1:] for step in twin.steps if step[0] == pool and step[1] <= time]
        # A step that is broken off counts in part.
        counted = sum((stop - start) / (planned - start) for start, stop, planned in steps if stop <= time)
        assert math.isclose(tally.steps_by_batch.sum(), counted, rel_tol=TOLERANCE)
        steps += [switch[1:] for switch in twin.switches if switch[0] == pool and switch[1] <= time]
        busy = sum(min(stop, time) - start for start, stop, _ in steps)
        assert math.isclose(tally.busy_s, busy, rel_tol=TOLERANCE, abs_tol=TOLERANCE * end)
        tokens = [[left for left in times if left[0] <= time] for times in twin.tokens]
        widths = [1 + request["forks"] for request in case.all_requests()[0]]
        left = sum(rows * (where == pool) for rows, times in zip(widths, tokens, strict=True) for _, where, _ in times)
        assert tally.output_tokens == left
        # Draft tokens leave with the sure one. The pool that makes the later token has the gap.
        gaps = [
            (rows, later - earlier)
            for rows, times in zip(widths, tokens, strict=True)
            for (earlier, _, life), (later, where, same) in pairwise(sorted(set(times), key=lambda each: each[::2]))
            if where == pool and same == life
        ]
        assert tally.itl_counts.sum() == sum(rows for rows, _ in gaps)
        total = sum(rows * seconds for rows, seconds in gaps)
        assert math.isclose(tally.itl_sum_s, total, rel_tol=TOLERANCE, abs_tol=TOLERANCE * end)
