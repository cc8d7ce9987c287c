"""The naive twin against schedules worked out by hand: two or three requests, every time in a comment.

All times are exact in binary, so the comparisons are exact. Batching, queue orders and memory have files of their own
(`test_by_hand_*.py`). The compiled loop is held to the twin in `test_twin.py`.
"""

import numpy as np
import pytest

from infersim.dataplane.records import FINISHED, REJECTED
from tests.twin.by_hand import pool, run, spans


def test_one_request_pays_every_term_of_the_formula():
    costs = pool(
        linear_s=np.arange(9.0),
        sequences_s=np.full(5, 0.5),
        decode_base_s=np.array([0, 0.25, 9, 9, 9]),
        decode_per_context_s=np.array([9, 0.125, 9, 9, 9]),
        prefill_chunk_s=0.0625,
        prefill_per_pair_s=1.0,
        prefill_per_context_s=1.0,
        request_overhead_s=0.5,
        token_overhead_s=0.25,
    )
    result = run([(1.0, 3, 3)], costs)
    # Handled for 0.5 + 3 * 0.25, queued at 2.25. Prefill: T = 3, N = 1, 3 * 4 / 2 = 6 pairs against 3 attended tokens:
    # 3 + 0.5 + 0.0625 + 6. Decoding: 1 + 0.5 + 0.25 + 0.125 * 4, then one attended token more.
    first = 2.25 + 9.5625
    assert result.token_times[0] == [first, first + 2.25, first + 2.25 + 2.375]
    row = result.outcomes[0]
    assert (row["first_token_s"], row["finish_s"], row["output_tokens"]) == (first, first + 4.625, 3)
    assert spans(row) == (0, 1.25, 0, 9.5625, 4.625, 0)
    tally = result.tallies[0]
    assert tally.steps_by_tokens.tolist() == [0, 2, 0, 1, 0, 0, 0, 0, 0]
    assert tally.steps_by_batch.tolist() == [1, 2, 0, 0, 0]
    assert tally.context_by_batch.tolist() == [0, 9, 0, 0, 0]
    assert (tally.prefill_compute_s, tally.prefill_memory_s) == (6, 0)
    assert (tally.busy_s, tally.itl_sum_s, tally.prompt_tokens) == (9.5625 + 4.625, 4.625, 3)


def test_memory_bound_chunks():
    costs = pool(max_num_batched_tokens=4, linear_s=np.zeros(5), prefill_per_pair_s=0.25, prefill_per_context_s=1.0)
    result = run([(0.0, 6, 1)], costs)
    # First chunk: 4 * 5 / 2 = 10 pairs, 2.5 s against 4 attended.
    # Second chunk: 2 * 4 + 3 = 11 pairs, 2.75 s against 6 attended.
    assert result.token_times[0] == [10.0]
    assert (result.tallies[0].prefill_memory_s, result.tallies[0].prefill_pairs, result.tallies[0].prefill_context) == (
        10,
        21,
        10,
    )


def test_chunked_prefill_shares_the_budget():
    result = run([(0.0, 6, 2), (0.0, 3, 1)], pool(max_num_batched_tokens=4, linear_s=np.arange(5.0)))
    # 0-4: four tokens of the first. 4-8: its other two, and two of the second. 8-10: one decode, the second's last.
    assert result.token_times == [[8, 10], [10]]
    assert spans(result.outcomes[0]) == (0, 0, 0, 8, 2, 0)
    assert spans(result.outcomes[1]) == (0, 0, 4, 6, 0, 0)


def test_at_most_so_many_sequences():
    result = run([(0.0, 1, 2), (0.0, 1, 2), (0.0, 1, 1)], pool(max_num_seqs=2))
    assert result.token_times == [[1, 2], [1, 2], [3]]


def test_synchronous_admission_at_the_next_step():
    assert run([(0.0, 2, 4), (1.0, 1, 1)], pool(2.0)).token_times == [[2, 4, 6, 8], [4]]


@pytest.mark.parametrize("arrival", [1.0, 2.0])
def test_asynchronous_admission_is_a_step_later(arrival: float):
    """Both wait for the end of the step that started at 2, which was scheduled at 0."""
    assert run([(0.0, 2, 4), (arrival, 1, 1)], pool(2.0, async_scheduling=True)).token_times == [[2, 4, 6, 8], [6]]


def test_asynchronous_engine_left_with_nobody_takes_the_queue_at_once():
    assert run([(0.0, 2, 1), (1.0, 1, 1)], pool(2.0, async_scheduling=True)).token_times == [[2], [4]]


def test_the_last_admitted_is_preempted_and_computes_again():
    result = run([(0.0, 2, 4), (0.0, 2, 2)], pool(block_size=2, blocks=3))
    # 0-1: both prefill, a block each. At 1 both need a second block and one is free: the second is preempted.
    # Its prompt is now 3 tokens, 2 blocks; the first holds 2 of 3 from 1 and 3 of 3 from 3. It ends at 4.
    assert result.token_times == [[1, 2, 3, 4], [1, 5]]
    assert spans(result.outcomes[0]) == (0, 0, 0, 1, 3, 0)
    assert spans(result.outcomes[1]) == (0, 0, 0, 2, 0, 3)
    assert result.outcomes["preemptions"].tolist() == [0, 1]
    assert result.tallies[0].itl_sum_s == 7
    assert result.tallies[0].prompt_tokens == 2 + 2 + 3


def test_decoding_preempts_the_partly_prefilled():
    result = run([(0.0, 3, 5), (0.0, 6, 1)], pool(max_num_batched_tokens=4, block_size=2, blocks=4))
    # 0-1: 3 tokens and 1 of 6. 1-2: decode and 3 more (4 of 6). At 2 the first needs its third block, all are taken.
    # From 3 on the second's chunk of 3 needs two blocks: at most one is free until 5. 5-6: four tokens, 6-7: two.
    assert result.token_times == [[1, 2, 3, 4, 5], [7]]
    assert spans(result.outcomes[1]) == (0, 0, 0, 4, 0, 3)


def test_the_partly_prefilled_preempts_itself():
    result = run([(0.0, 3, 3), (0.0, 6, 1)], pool(max_num_batched_tokens=5, block_size=2, blocks=4))
    # 0-1: 3 tokens and 2 of 6; one block is free. At 1 the chunk of 4 needs two: back to the queue, no admission.
    # At 2 the first takes its third block; a chunk of 4 needs two. It ends at 3. 3-4: five tokens, 4-5: one.
    assert result.token_times == [[1, 2, 3], [5]]
    assert spans(result.outcomes[1]) == (0, 0, 0, 3, 0, 2)


def test_the_preempted_come_back_in_order_of_admission():
    # Three prompts of one block, four blocks. At 1 all need a second and one is free: the third goes, then two are free
    # for two. At 3 (4 tokens held each) both need a third: the second goes, to the front of the third.
    result = run([(0.0, 2, 5), (0.0, 2, 5), (0.0, 2, 2)], pool(block_size=2, blocks=4))
    # The first takes 3 blocks and ends at 5. The second comes back with 2 + 3 tokens, 3 blocks: 5-6, token 4;
    # the third's 3 tokens need two blocks and one is free. The second holds 5 at 6 and ends at 7. 7-8: the third.
    assert result.token_times == [[1, 2, 3, 4, 5], [1, 2, 3, 6, 7], [1, 8]]
    assert result.outcomes["preemptions"].tolist() == [0, 1, 1]


def test_held_until_a_replica_opens_then_routed_in_order():
    result = run([(1.0, 1, 1), (2.0, 1, 1)], pool(max_num_seqs=1), initial=(), actions=[(3.0, "open", 0)])
    assert [spans(row) for row in result.outcomes] == [(2, 0, 0, 1, 0, 0), (1, 0, 1, 1, 0, 0)]


def test_round_robin_counts_routed_requests():
    rows = [(float(i), 1, 1) for i in range(6)]
    result = run(rows, pool(), initial=(0, 0), actions=[(3.5, "open", 0)])
    # 0, 1, 2 over two replicas; 3 too; from then on over three: 4 % 3 and 5 % 3.
    assert result.outcomes["replica"].tolist() == [0, 1, 0, 1, 1, 2]


def test_least_outstanding_prefers_the_emptiest_then_the_first():
    # The first ends at 1; the second and the third do not.
    rows = [(0.0, 1, 1), (0.0, 1, 3), (0.5, 1, 9), (0.75, 1, 1), (1.0, 1, 1), (1.5, 1, 1)]
    result = run(rows, pool(), router="least_outstanding", initial=(0, 0))
    # 0.5: one each, so replica 0. 0.75: two and one, so 1. At 1.0 the arrival comes before the step's end: two each,
    # so 0. At 1.5: two and two (one ended on 0), so 0.
    assert result.outcomes["replica"].tolist() == [0, 1, 0, 1, 0, 0]


def test_a_draining_replica_takes_no_more_and_finishes():
    rows = [(0.0, 1, 3), (1.5, 1, 1)]
    result = run(rows, pool(), pool(2.0), router="least_outstanding", initial=(0, 1), actions=[(1.0, "drain", 0)])
    assert result.outcomes["pool"].tolist() == [0, 1]
    assert result.outcomes["finish_s"].tolist() == [3, 3.5]


def test_rejected_when_routed():
    rows = [(1.0, 7, 2), (1.0, 6, 2), (1.0, 8, 1)]
    # 8, 7 and 8 tokens to hold need four blocks of two; the totals are 9, 8 and 9.
    result = run(rows, pool(block_size=2, blocks=4, max_context=9))
    assert result.outcomes["status"].tolist() == [FINISHED] * 3
    result = run(rows, pool(block_size=2, blocks=3), initial=(), actions=[(2.0, "open", 0)])
    assert result.outcomes["status"].tolist() == [REJECTED] * 3
    assert spans(result.outcomes[0]) == (1, 0, 0, 0, 0, 0)
    assert np.isnan(result.outcomes["first_token_s"]).all()
    result = run(rows, pool(max_context=8))
    assert result.outcomes["status"].tolist() == [REJECTED, FINISHED, REJECTED]


@pytest.mark.parametrize("ahead", [False, True])
def test_an_arrival_at_the_very_end_of_a_step_is_in_time_for_the_next(ahead: bool):
    """In the middle of what would be a leap; an asynchronous engine has scheduled that step before, and takes it a step later."""
    result = run([(0.0, 1, 20), (5.0, 1, 1)], pool(async_scheduling=ahead))
    assert result.outcomes["finish_s"].tolist() == [20, 7 if ahead else 6]
