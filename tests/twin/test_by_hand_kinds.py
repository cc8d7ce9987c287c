"""Requests and memory of other kinds in the naive twin, by hand: several rows, no output, windows, the host tier."""

import math

import numpy as np
import pytest

from infersim.dataplane.records import FINISHED, REJECTED
from tests.twin.by_hand import pool, run


def blocks_used(result) -> list[int]:
    return [look[4] for look in result.looks]


# --- several samples or beams


def test_three_rows_share_a_prompt():
    looks = [(time, "look", 0) for time in (0.5, 1.5, 3.5)]
    result = run([(0.0, 6, 4)], pool(), actions=looks, forks=[2])
    # One block of the prompt is full and shared; the three rows hold the rest in a block each, at once. With the ninth
    # token of a row each needs a second.
    assert blocks_used(result) == [4, 4, 7]
    assert result.token_times == [[1, 2, 3, 4]]
    tally = result.tallies[0]
    assert (tally.output_tokens, tally.itl_counts.sum(), tally.itl_sum_s) == (12, 9, 9)
    assert {tokens: int(steps) for tokens, steps in enumerate(tally.steps_by_tokens) if steps} == {3: 3, 6: 1}
    assert tally.steps_by_sequences.tolist() == [0, 1, 0, 3, 0]
    assert tally.context_by_batch.tolist() == [0, 0, 0, 3 * (7 + 8 + 9), 0]
    assert (result.outcomes["output_tokens"][0], result.outcomes["forks"][0]) == (4, 2)


def test_rows_take_seats():
    rows = [(0.0, 1, 3), (0.0, 1, 1), (0.0, 1, 1)]
    result = run(rows, pool(max_num_seqs=4), forks=[2, 1, 4])
    # 3 + 2 rows are more than 4; five rows never fit.
    assert result.token_times == [[1, 2, 3], [4], []]
    assert result.outcomes["status"].tolist() == [FINISHED, FINISHED, REJECTED]


def test_rows_gather_and_lock_a_dynamic_batch():
    costs = pool(batching="dynamic", max_queue_delay_s=100.0, max_num_seqs=4, linear_s=np.arange(9.0))
    result = run([(0.0, 1, 2), (0.5, 1, 3)], costs, forks=[1, 1])
    # Two requests of two rows are four: gathered at 0.5, 2 tokens of prompt; then twice four rows, wherever they end.
    assert result.token_times == [[2.5, 6.5], [2.5, 6.5, 10.5]]
    assert result.outcomes["finish_s"].tolist() == [10.5, 10.5]


def test_all_rows_are_computed_again():
    result = run([(0.0, 4, 4), (0.0, 4, 2)], pool(blocks=5), forks=[1, 1])
    # Each needs 1 + 2 * 1 blocks for its second tokens. The second goes, with 4 + 2 * 1 tokens to compute; it would need
    # three blocks for that at 2, and two are free.
    assert result.token_times == [[1, 2, 3, 4], [1, 5]]
    assert result.tallies[0].prompt_tokens == 4 + 4 + 6
    assert result.tallies[0].itl_sum_s == 2 * 3 + 2 * 4


def test_a_router_wants_room_for_all_rows():
    # 1 + 2 * 1 blocks for 4 + 3 tokens a row, and as many for the 4 + 2 * 3 of a prompt that is computed again.
    for blocks, status in ((3, FINISHED), (2, REJECTED)):
        assert run([(0.0, 4, 4)], pool(blocks=blocks), forks=[1]).outcomes["status"].tolist() == [status]


# --- no output


def test_an_embedding_ends_with_its_prompt():
    result = run([(0.0, 6, 0), (0.0, 2, 2)], pool(max_num_batched_tokens=4, max_context=6))
    # 0-1: four tokens. 1-2: two, and the second's prompt.
    row = result.outcomes[0]
    assert result.token_times == [[], [2, 3]]
    assert (row["finish_s"], row["output_tokens"], row["status"], row["prefill_s"]) == (2, 0, FINISHED, 2)
    assert math.isnan(row["first_token_s"])
    assert result.tallies[0].output_tokens == 2
    assert run([(0.0, 5, 0)], pool(blocks=1)).outcomes["status"].tolist() == [REJECTED]


# --- sliding windows


def windowed(**changes: object):
    """A window of 4 tokens touches at most ceil(3 / 2) + 1 = 3 blocks of 2; each block once in layers of either kind."""
    return pool(block_size=2, full_blocks=1, window_blocks=1, window_tokens=4, **changes)


def test_what_leaves_the_window_is_used_again():
    looks = [(time, "look", 0) for time in (0.5, 1.5, 2.5, 4.5)]
    result = run([(0.0, 12, 4)], windowed(), actions=looks)
    # Eight tokens whole: 4 + 4. Then 4 + 3 are left and four more come whole: + 2 + 2. The 13th token needs 7 + 3, as the
    # 14th; the 15th 8 + 3.
    assert blocks_used(result) == [8, 11, 10, 11]


def test_a_router_wants_room_for_a_chunk_beside_the_window():
    # 8 + 3 - 1 tokens: 5 blocks, and in windowed layers min(5, 3 + 4).
    for blocks, status in ((10, FINISHED), (9, REJECTED)):
        assert run([(0.0, 8, 3)], windowed(blocks=blocks)).outcomes["status"].tolist() == [status]
    # 20 + 1 - 1 tokens: 10, and min(10, 3 + 4).
    for blocks, status in ((17, FINISHED), (16, REJECTED)):
        assert run([(0.0, 20, 1)], windowed(blocks=blocks)).outcomes["status"].tolist() == [status]


def test_nothing_holds_blocks_where_there_is_no_cache():
    looks = [(0.5, "look", 0)]
    result = run([(0.0, 8, 3)], pool(full_blocks=0, blocks=0), actions=looks)
    assert (blocks_used(result), result.token_times) == ([0], [[1, 2, 3]])


# --- host tier of the prefix cache


@pytest.mark.parametrize(
    ("entries", "cached", "from_host", "finish"),
    [
        (0, [0, 0, 4, 0], [0, 0, 0, 0], [1, 3, 5, 8]),
        (1, [0, 0, 8, 4], [0, 0, 4, 4], [1, 3, 5.25, 7.25]),
        (2, [0, 0, 8, 8], [0, 0, 4, 8], [1, 3, 5.25, 7.5]),
    ],
)
def test_evicted_prefixes_wait_on_the_host(entries: int, cached: list[int], from_host: list[int], finish: list[float]):
    rows, names = [(0.0, 8, 1), (2.0, 8, 1), (4.0, 9, 1), (6.0, 9, 1)], [[1, 2], [3, 4], [1, 2], [3, 4]]
    result = run(rows, pool(blocks=3, prefix_tokens=4, host_entries=entries, swap_block_s=0.25), names=names)
    # 2: room for two blocks drives out 2, which the first released before 1. 4: 1 and 2 come back, 2 from the host; a block
    # for the ninth token drives out 4 and then 3. 6: both are on the host, or 3 only, or none: then 9 tokens take two steps.
    assert result.outcomes["cached_tokens"].tolist() == cached
    assert result.outcomes["host_cached_tokens"].tolist() == from_host
    assert result.outcomes["finish_s"].tolist() == finish


def test_what_is_computed_again_leaves_the_host():
    rows = [(0.0, 8, 1), (2.0, 8, 1), (4.0, 8, 1), (6.0, 9, 1)]
    costs = pool(blocks=3, prefix_tokens=4, host_entries=1, swap_block_s=0.25)
    result = run(rows, costs, names=[[1, 2], [3, 4], [1, 2], [1, 2]])
    # 2: 2 goes to the host. 4: of eight tokens only the first block may be taken over; 2 is computed, and is on the chip.
    assert result.outcomes["cached_tokens"].tolist() == [0, 0, 4, 8]
    assert result.outcomes["host_cached_tokens"].tolist() == [0, 0, 0, 0]
    assert result.outcomes["finish_s"].tolist() == [1, 3, 5, 7]
