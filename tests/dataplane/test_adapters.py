"""Adapters by hand: loads, slots and who gives way, who is set aside, and what they cost. Every plain step takes a second."""

import pytest

from infersim.dataplane.records import REJECTED
from tests.dataplane.one_replica import by_finish, fleet, served
from tests.twin.by_hand import pool


def finishes(rows: list[tuple[float, int, int]], adapters: list[int], ranks: int = 2, **costs: object) -> list[float]:
    return served(rows, pool(**costs), adapter=adapters, adapter_rank=[ranks] * len(rows))["finish_s"].tolist()


def apart(count: int) -> list[tuple[float, int, int]]:
    """Requests of one step each, every two seconds."""
    return [(2.0 * k, 1, 1) for k in range(count)]


def test_an_adapter_is_loaded_by_the_step_that_first_needs_it():
    """A quarter of a second for each of two ranks; the second request finds it, the third drives it out of the only slot."""
    assert finishes(apart(4), [7, 7, 8, 7], adapter_slots=1, adapter_rank_s=0.25) == [1.5, 3.0, 5.5, 7.5]
    assert finishes(apart(4), [7, 7, 8, 7], adapter_slots=2, adapter_rank_s=0.25) == [1.5, 3.0, 5.5, 7.0]


def test_the_least_recently_used_gives_way():
    # 1 and 2 fill the slots; 1 is used again, so that 3 drives out 2; then 2 drives out 3, for 1 was used after it; 3 drives out 1.
    made = fleet(
        apart(7),
        pool(adapter_slots=2, adapter_rank_s=0.25),
        adapter=[1, 2, 1, 3, 1, 2, 3],
        adapter_rank=[2] * 7,
    )
    made.advance(float("inf"))
    took = made.outcomes()["finish_s"] - made.outcomes()["arrival_s"]
    assert took.tolist() == [1.5, 1.5, 1.0, 1.5, 1.0, 1.5, 1.5]
    tally = made.tally(0)
    assert (tally.adapter_admissions, tally.adapter_loads) == (7, 5)


@pytest.mark.parametrize("order", ["fcfs", "priority", "shortest_job"])
def test_who_finds_no_slot_is_set_aside_and_keeps_its_place(order: str):
    """Adapter 1 is in use until 3; meanwhile the request for 2 waits, and those behind it, without or with 1, go on."""
    rows = [(0.0, 1, 3), (0.0, 1, 1), (0.0, 1, 1), (0.0, 1, 1), (0.5, 1, 1), (0.5, 1, 1)]
    outcomes = served(
        rows, pool(adapter_slots=1, queue_order=order), adapter=[1, 2, 0, 1, 2, 0], adapter_rank=[2] * len(rows)
    )
    assert outcomes["finish_s"].tolist() == [3, 4, 1, 1, 4, 2]
    assert by_finish(outcomes[[1, 4]]) == [1, 4]


def test_sequences_of_different_adapters_share_a_batch():
    """Two slots, three adapters: the third waits for the first to end, and takes its slot."""
    assert finishes([(0.0, 1, 2), (0.0, 1, 4), (0.0, 1, 1)], [1, 2, 3], adapter_slots=2) == [2, 4, 3]


def test_a_step_reads_its_adapters_or_works_on_their_tokens():
    """0.1 s, and 0.2 s for each adapter or 0.05 s for each token of sequences that have one, whichever is more."""
    costs = {"adapter_slots": 4, "adapter_step_s": 0.1, "adapter_read_s": 0.2, "adapter_token_s": 0.05}
    rows = [(0.0, 4, 2), (0.0, 2, 3), (0.0, 2, 4)]
    made = fleet(rows, pool(**costs), adapter=[1, 2, 0], adapter_rank=[2, 2, 0])
    made.advance(float("inf"))
    # Prompts: 2 adapters, 6 tokens: 0.4 against 0.3. Decoding: 2 and 2, then 1 and 1: 0.4 and 0.2. Alone the last pays nothing.
    assert made.outcomes()["finish_s"] == pytest.approx([3.0, 4.3, 5.3])
    tally = made.tally(0)
    assert (tally.adapter_steps, tally.adapter_reads, tally.adapter_tokens) == (3, 5, 9)
    assert (tally.adapter_memory_s, tally.adapter_compute_s) == (pytest.approx(1.0), 0)
    long = fleet([(0.0, 8, 1)], pool(**costs), adapter=[1], adapter_rank=[2])
    long.advance(float("inf"))
    assert long.outcomes()["finish_s"] == pytest.approx([1 + 0.1 + 8 * 0.05])
    assert long.tally(0).adapter_compute_s == pytest.approx(0.4)


def test_one_adapter_of_many_sequences_is_read_once():
    costs = {"adapter_slots": 4, "adapter_read_s": 0.5}
    assert finishes([(0.0, 1, 3)] * 4, [5, 5, 5, 5], **costs) == pytest.approx([4.5] * 4)
    assert finishes([(0.0, 1, 3)] * 4, [5, 6, 7, 8], **costs) == pytest.approx([9.0] * 4)


def test_a_leap_counts_what_its_steps_do():
    made = fleet([(0.0, 1, 50)], pool(adapter_slots=1, adapter_read_s=0.25), adapter=[1], adapter_rank=[8])
    made.advance(20.0)
    assert made.tally(0).adapter_steps == 16  # of 1.25 s each
    made.advance(float("inf"))
    assert made.outcomes()["finish_s"] == pytest.approx([62.5])
    assert (made.tally(0).adapter_steps, made.tally(0).adapter_memory_s) == (50, 12.5)


def test_drafts_and_rows_are_tokens():
    drafts = pool(
        adapter_slots=1, adapter_token_s=0.5, acceptance=(0.0,), max_num_seqs=2, max_num_batched_tokens=8
    )  # fmt: skip
    assert served([(0.0, 1, 2)], drafts, adapter=[1], adapter_rank=[1])["finish_s"].tolist() == [1.5 + 2.0]
    rows = pool(adapter_slots=1, adapter_token_s=0.5)
    assert served([(0.0, 1, 2)], rows, adapter=[1], adapter_rank=[1], forks=[2])["finish_s"].tolist() == [1.5 + 2.5]


def test_without_slots_an_adapter_is_rejected():
    outcomes = served([(0.0, 1, 1), (0.0, 1, 1)], pool(), adapter=[3, 0], adapter_rank=[2, 0])
    assert outcomes["status"].tolist() == [REJECTED, 0]
    assert outcomes["adapter"].tolist() == [3, 0]


def test_a_failed_replica_forgets_its_adapters():
    made = fleet(
        [(0.0, 1, 9), (3.0, 1, 1)], pool(adapter_slots=1, adapter_rank_s=0.25), adapter=[1, 1], adapter_rank=[2, 2]
    )
    made.advance(2.0)
    made.fail(0)
    made.open(0)
    made.advance(float("inf"))
    assert made.outcomes()["finish_s"].tolist() == [2.0, 4.5]


def test_fair_share_is_refused():
    with pytest.raises(ValueError, match="use another queue order"):
        pool(adapter_slots=1, queue_order="fair_share")
