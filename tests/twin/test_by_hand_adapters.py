"""Adapters, pools that take some requests only, and round trips in the naive twin, by hand. Every plain step takes a second."""

import pytest

from infersim.dataplane.records import REJECTED
from tests.twin.by_hand import pool, run, spans


def test_a_step_waits_for_the_adapters_that_it_loads():
    costs = pool(adapter_slots=1, adapter_rank_s=0.25)
    result = run([(2.0 * k, 1, 1) for k in range(4)], costs, adapter=[7, 7, 8, 7], adapter_rank=[2, 2, 4, 2])
    # Half a second for two ranks, nothing for an adapter that is there, one second for four ranks.
    assert result.outcomes["finish_s"].tolist() == [1.5, 3.0, 6.0, 7.5]
    assert (result.tallies[0].adapter_admissions, result.tallies[0].adapter_loads) == (4, 3)


def test_the_one_that_was_the_first_to_be_used_no_more_has_to_go():
    """Both begin at 0; 2 is used until 1, and 1 until 3. So 2 goes for 3 at 4, and at 6 it comes back for 1."""
    rows = [(0.0, 1, 3), (0.0, 1, 1), (4.0, 1, 1), (6.0, 1, 1), (8.0, 1, 1)]
    costs = pool(adapter_slots=2, adapter_rank_s=0.25)
    result = run(rows, costs, adapter=[1, 2, 3, 2, 3], adapter_rank=[0, 0, 1, 1, 1])
    assert result.outcomes["finish_s"].tolist() == [3, 1, 5.25, 7.25, 9]


def test_who_finds_no_slot_lets_others_by():
    """The second waits until the first is done; the third has no adapter, the fourth that of the first."""
    result = run([(0.0, 1, 3)] + [(0.0, 1, 1)] * 3, pool(adapter_slots=1), adapter=[1, 2, 0, 1], adapter_rank=[1] * 4)
    assert result.outcomes["finish_s"].tolist() == [3, 4, 1, 1]
    assert spans(result.outcomes[1])[2] == 3  # queued


def test_adapters_are_read_or_their_tokens_worked_on():
    costs = pool(adapter_slots=4, adapter_step_s=0.5, adapter_read_s=0.25, adapter_token_s=0.125)
    result = run([(0.0, 4, 2), (0.0, 2, 2), (0.0, 2, 3)], costs, adapter=[1, 2, 0], adapter_rank=[1, 1, 0])
    # Six tokens: 0.75 s; then two adapters: 0.5 s; then nothing.
    assert result.outcomes["finish_s"].tolist() == [4.25, 4.25, 5.25]
    tally = result.tallies[0]
    assert (tally.adapter_steps, tally.adapter_reads, tally.adapter_tokens) == (2, 4, 8)
    assert (tally.adapter_compute_s, tally.adapter_memory_s) == (0.75, 0.5)


def test_without_slots_there_are_no_adapters():
    assert run([(0.0, 1, 1)] * 2, pool(), adapter=[0, 1], adapter_rank=[0, 1]).outcomes["status"].tolist() == [
        0,
        REJECTED,
    ]


def test_pools_that_take_some_requests_only():
    """The first pool takes short prompts of the first class. What nobody takes goes to any."""
    rows, classes = [(0.0, 1, 1), (0.0, 1, 1), (0.0, 4, 1), (0.0, 8, 1)], [0, 1, 0, 1]
    narrow = pool(takes=(True, False), max_input_tokens=3)
    wide = pool(max_input_tokens=4)
    result = run(rows, narrow, wide, router="least_outstanding", initial=(0, 1), tenant=classes)
    assert result.outcomes["pool"].tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize(("router", "pools"), [("nearest", [0, 1, 0]), ("round_robin", [0, 1, 0])])
def test_a_round_trip_is_part_of_the_front_end(router: str, pools: list[int]):
    near, far = pool(network_s=(0.25, 0.5), request_overhead_s=0.5), pool(network_s=(1.0, 0.25))
    result = run([(0.0, 1, 1), (5.0, 1, 1), (10.0, 1, 1)], near, far, router=router, initial=(0, 1), tenant=[0, 1, 0])
    assert result.outcomes["pool"].tolist() == pools
    assert result.outcomes["handling_s"].tolist() == [0.75, 0.25, 0.75]


def test_a_router_that_looks_now_and_then():
    """At 10 it sees two requests at the first replica, and until then none."""
    rows = [(1.0, 1, 20), (2.0, 1, 20), (11.0, 1, 1), (12.0, 1, 1)]
    result = run(rows, pool(), router="least_outstanding", initial=(0, 0), scrape_s=10.0)
    assert result.outcomes["replica"].tolist() == [0, 0, 1, 1]
