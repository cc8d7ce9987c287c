"""The naive twin against schedules worked out by hand: batching policies and queue orders.

A step takes one second unless a test says otherwise. Memory is in `test_by_hand_memory.py`.
"""

import numpy as np
import pytest

from tests.twin.by_hand import pool, run, spans


def test_prompts_come_first_and_decoding_waits():
    result = run([(0.0, 2, 3), (0.5, 2, 2)], pool(batching="prefill_first"))
    # 0-1: the first prompt. 1-2: the second prompt alone. From 2 on both decode.
    assert result.token_times == [[1, 3, 4], [2, 3]]
    assert spans(result.outcomes[0]) == (0, 0, 0, 1, 3, 0)
    assert result.tallies[0].itl_sum_s == 2 + 1 + 1
    assert result.tallies[0].steps_by_batch.tolist() == [2, 1, 1, 0, 0]


def test_only_whole_prompts_share_a_prompt_step():
    result = run([(0.0, 5, 1), (0.0, 4, 1)], pool(batching="prefill_first"))
    # Budget 8: four tokens are more than the three that are left.
    assert result.token_times == [[1], [2]]
    assert np.flatnonzero(result.tallies[0].steps_by_tokens).tolist() == [4, 5]


def test_a_prompt_beyond_the_budget_is_cut_and_goes_on_first():
    result = run([(0.0, 10, 1), (0.0, 6, 1), (0.0, 1, 1)], pool(batching="prefill_first"))
    # 0-1: eight of ten. 1-2: the other two and six. 2-3: one.
    assert result.token_times == [[2], [2], [3]]


def test_a_static_batch_waits_for_its_slowest():
    costs = pool(batching="static", linear_s=np.array([0, 8, 1, 8, 2, 8, 8, 8, 8.0]))
    result = run([(0.0, 2, 2), (0.0, 2, 4), (0.5, 2, 1), (3.5, 2, 1)], costs)
    # 0-2: four tokens. 2-3: the third, which came meanwhile; its only token is out. The batch is gathered, two rows.
    # Each decode step has two rows and takes a second: at 4 the first has its two tokens, at 6 the second its four.
    # Then both end, and the fourth, queued at 3.5, begins: two tokens, a second.
    assert result.token_times == [[2, 4], [2, 4, 5, 6], [3], [7]]
    assert result.outcomes["finish_s"].tolist() == [6, 6, 3, 7]
    assert [spans(row) for row in result.outcomes] == [
        (0, 0, 0, 2, 4, 0),
        (0, 0, 0, 2, 4, 0),
        (0, 0, 1.5, 1, 0, 0),
        (0, 0, 2.5, 1, 0, 0),
    ]
    # Attention is paid for those that still decode, everything else for the rows.
    assert result.tallies[0].steps_by_batch.tolist() == [3, 2, 1, 0, 0]
    assert result.tallies[0].steps_by_tokens.tolist() == [0, 0, 5, 0, 1, 0, 0, 0, 0]
    assert result.tallies[0].steps_by_sequences.tolist() == [0, 2, 4, 0, 0]


def test_who_is_done_in_a_static_batch_frees_blocks_but_not_its_seat():
    costs = pool(batching="static", max_num_seqs=2, block_size=2, blocks=4)
    looks = [(1.5, "look", 0), (2.5, "look", 0), (4.5, "look", 0)]
    result = run([(0.0, 2, 2), (0.0, 2, 4), (0.5, 1, 1)], costs, actions=looks)
    # 1-2: both hold three tokens, two blocks each. From 2 on only the second. At 4 both end, the third begins.
    assert result.token_times == [[1, 2], [1, 2, 3, 4], [5]]
    assert [(look[2], look[3], look[4]) for look in result.looks] == [(1, 2, 4), (1, 2, 2), (0, 1, 1)]


def test_one_in_a_static_batch_that_is_preempted_comes_back_with_the_next():
    result = run([(0.0, 2, 2), (0.0, 2, 3)], pool(batching="static", block_size=2, blocks=3))
    # At 1 two more blocks are needed and one is free: the second goes. One row; the first ends at 2.
    # Then the second's prompt is 3 tokens: 2-3, its second token; 3-4 its third.
    assert result.token_times == [[1, 2], [1, 3, 4]]
    assert result.outcomes["preemptions"].tolist() == [0, 1]
    assert result.tallies[0].itl_sum_s == 1 + 2 + 1


@pytest.mark.parametrize(
    ("arrivals", "times"),
    [
        ([1.0], [[5]]),  # alone: after three seconds
        ([1.0, 2.0], [[3], [3]]),  # two are enough at once
        ([1.0, 2.0, 2.0, 2.5], [[3], [3], [4], [4]]),  # and the next two as soon as the first batch is through
        ([1.0, 2.0, 2.5], [[3], [3], [6.5]]),  # the third waits since 2.5
    ],
)
def test_a_dynamic_batch_waits_for_company(arrivals: list[float], times: list[list[float]]):
    costs = pool(batching="dynamic", max_num_seqs=2, max_queue_delay_s=3.0)
    assert run([(arrival, 1, 1) for arrival in arrivals], costs).token_times == times


def test_shortest_job_first():
    rows = [(0.0, 3, 1), (0.25, 5, 1), (0.5, 2, 1), (0.75, 2, 1)]
    assert run(rows, pool(max_num_seqs=1, queue_order="shortest_job")).token_times == [[1], [4], [2], [3]]


def test_earliest_deadline_first():
    rows = [(0.0, 1, 1), (0.25, 1, 1), (0.5, 1, 1)]
    costs = pool(max_num_seqs=1, queue_order="earliest_deadline")
    assert run(rows, costs, deadline_s=[1, 1, 0.5]).token_times == [[1], [3], [2]]


def test_first_come_first_served_is_by_the_queue_not_by_arrival():
    costs = pool(max_num_seqs=1, token_overhead_s=0.25)
    assert run([(0.0, 8, 1), (0.0, 1, 1)], costs).token_times == [[3], [1.25]]


def test_higher_priority_takes_the_seat():
    costs = pool(max_num_seqs=1, queue_order="priority")
    result = run([(0.0, 2, 3), (0.5, 2, 1)], costs, priority=[0, 1])
    # At 1 the first makes way. 1-2: the second. 2-3: the first again, three tokens; 3-4.
    assert result.token_times == [[1, 3, 4], [2]]
    assert result.outcomes["preemptions"].tolist() == [1, 0]
    assert run([(0.0, 2, 3), (0.5, 2, 1)], costs, priority=[1, 1]).token_times == [[1, 2, 3], [4]]


def test_the_lowest_priority_makes_way_the_last_admitted_first():
    costs = pool(max_num_seqs=3, queue_order="priority")
    rows = [(0.0, 1, 3), (0.0, 1, 3), (0.0, 1, 3), (0.5, 1, 1)]
    result = run(rows, costs, priority=[1, 0, 0, 1])
    # 0-1: in order 0, 1, 2. At 1 the third goes for the fourth, which ends at 2. 2-3: it is back, two tokens.
    assert result.token_times == [[1, 2, 3], [1, 2, 3], [1, 3, 4], [2]]


def test_who_made_way_is_not_admitted_to_that_very_step():
    costs = pool(queue_order="priority", block_size=2, blocks=6)
    result = run([(0.0, 2, 2), (0.0, 4, 2), (0.5, 4, 1)], costs, priority=[1, 0, 1])
    # 0-1: three of six blocks. At 1 the two need one more each, and one is left: not the two of the third. The second
    # goes. 1-2: the first's last token and the third's only one; the three tokens of budget and two blocks that
    # are left are not for the second, which comes back at 2 with five tokens.
    assert result.token_times == [[1, 2], [1, 3], [2]]
    assert result.tallies[0].steps_by_tokens.tolist() == [0, 0, 0, 0, 0, 2, 1, 0, 0]


def test_a_gathering_that_has_begun_goes_on_when_its_last_sequence_makes_way():
    costs = pool(
        batching="dynamic",
        max_num_seqs=2,
        max_queue_delay_s=3.0,
        max_num_batched_tokens=5,
        blocks=2,
        queue_order="priority",
    )
    result = run([(0.0, 8, 1), (3.5, 8, 1)], costs, priority=[0, 1])
    # At 3 the first has waited for long enough: five tokens, both blocks. At 4 it makes way for the second, which
    # takes five and then three tokens. At 6 the batch is empty, and the first has been queued since 4: at 7 it begins.
    assert result.token_times == [[9], [6]]
