"""Prefill and decode pools and speculation in the naive twin, against schedules worked out by hand."""

import math

import numpy as np
import pytest

from infersim.dataplane.records import REJECTED
from tests.twin.by_hand import pool, run


def prefill(latency_s: float = 0.25, token_s: float = 0.0, **changes: object):
    return pool(role="prefill", transfer_latency_s=latency_s, transfer_token_s=token_s, **changes)


def test_the_link_sends_one_sequence_after_the_other():
    result = run([(0.0, 2, 3), (0.0, 4, 2)], prefill(0.5, 0.25), pool(2.0, role="decode"), initial=(0, 1))
    # 0-1: both prompts. The link: 1-2 (0.5 + 2 * 0.25) and 2-3.5 (0.5 + 4 * 0.25). 2-4: the first. 4-6: both.
    assert result.token_times == [[1, 4, 6], [1, 6]]
    assert result.outcomes["transfer_s"].tolist() == [1, 2.5]
    assert result.outcomes["queued_s"].tolist() == [0, 0.5]
    assert result.outcomes["decode_s"].tolist() == [4, 2]
    assert result.outcomes["pool"].tolist() == [1, 1]
    # The time between the first token and the second is the decode pool's.
    assert [tally.itl_sum_s for tally in result.tallies] == [0, 10]
    assert [tally.output_tokens for tally in result.tallies] == [2, 3]


def test_blocks_are_free_when_they_have_been_sent():
    looks = [(time, "look", 0) for time in (0.5, 2.5, 4.0)]
    result = run(
        [(0.0, 7, 2), (0.0, 4, 1)],
        prefill(2.5, blocks=2),
        pool(role="decode"),
        initial=(0, 1),
        actions=looks,
    )
    # 0-1: the first takes both blocks; they are sent from 1 to 3.5. Only then is there a block for the second.
    assert result.token_times == [[1, 4.5], [4.5]]
    assert [(look[2], look[3], look[4]) for look in result.looks] == [(1, 1, 2), (1, 0, 2), (0, 1, 1)]


def test_waiting_for_a_decode_replica_and_draining_until_all_is_sent():
    actions = [(2.0, "drain", 0), (4.0, "open", 1)]
    result = run([(0.0, 1, 2), (0.0, 1, 2)], prefill(0.5), pool(role="decode"), actions=actions)
    # The first token of both is out at 1; a decode replica is there at 4; they come at 4.5 and, in the step, at 5.
    assert result.token_times == [[1, 5.5], [1, 6.5]]
    assert result.outcomes["transfer_s"].tolist() == [3.5, 4]
    assert result.drained == {0: 5.0}


def test_one_that_is_preempted_after_it_was_sent_is_computed_again():
    decode = pool(role="decode", block_size=2, blocks=4)
    result = run([(0.0, 2, 4), (0.0, 2, 4)], prefill(), decode, initial=(0, 1))
    # 1.25-2.25: the first, in two blocks; the other two are for the second, sent at 1.5. At 3.25 the first needs a third
    # block: the second goes. It comes back at 4.25 with 2 + 2 tokens to compute.
    assert result.token_times == [[1, 2.25, 3.25, 4.25], [1, 3.25, 5.25, 6.25]]
    assert [tally.prompt_tokens for tally in result.tallies] == [4, 4]
    assert result.outcomes["prefill_s"].tolist() == [1, 2]
    assert result.outcomes["preempted_s"].tolist() == [0, 1]


def test_decode_replicas_have_a_turn_of_their_own():
    rows = [(0.0, 1, 2), (0.0, 1, 1), (0.0, 1, 2)]
    result = run(rows, prefill(), pool(role="decode"), initial=(0, 0, 1, 1))
    # The second ends with its prompt; the third is the second to be sent.
    assert result.outcomes["replica"].tolist() == [2, 1, 3]


def test_rejected_where_it_is_sent():
    result = run([(0.0, 3, 3), (0.0, 1, 2)], prefill(), pool(role="decode", blocks=1), initial=(0, 1))
    # 3 + 3 - 1 tokens need two blocks of four.
    assert result.token_times == [[1], [1, 2.25]]
    assert (result.outcomes["status"] == REJECTED).tolist() == [True, False]
    assert result.outcomes["finish_s"].tolist() == [1, 2.25]


@pytest.mark.parametrize(("chance", "times"), [(1.0, [1, 2, 2, 3, 3, 4]), (0.0, [1, 2, 3, 4, 5, 6])])
def test_drafts_that_are_always_or_never_accepted(chance: float, times: list[float]):
    result = run([(0.0, 2, 6)], pool(acceptance=(chance,)))
    assert result.token_times == [times]
    steps = len(set(times)) - 1
    # Two tokens a step, accepted or not, and one gap.
    assert result.tallies[0].steps_by_tokens[2] == steps + 1
    assert (result.tallies[0].itl_sum_s, result.tallies[0].itl_counts.sum()) == (steps, steps)


def test_as_many_drafts_are_accepted_as_chance_has_it():
    rows = [(0.0, 1, 200)] * 50
    result = run(rows, pool(acceptance=(0.6, 0.5), max_num_seqs=50, max_num_batched_tokens=150, blocks=10_000))
    decoded = sum(batch * steps for batch, steps in enumerate(result.tallies[0].steps_by_batch))
    # 1 + 0.6 + 0.6 * 0.5 tokens a step; 0, 1 or 2 drafts with 0.4, 0.3, 0.3 have a variance of 0.69.
    assert (50 * 199) / decoded == pytest.approx(1.9, abs=4 * math.sqrt(0.69 / decoded))


def test_drafts_take_of_the_budget():
    costs = pool(acceptance=(0.0, 0.0), max_num_seqs=2, max_num_batched_tokens=6)
    result = run([(0.0, 1, 4), (0.5, 4, 1)], costs)
    # 1-2: three tokens of the first, three of the second's four. 2-3: three and one.
    assert result.token_times == [[1, 2, 3, 4], [3]]
    assert np.flatnonzero(result.tallies[0].steps_by_tokens).tolist() == [1, 3, 4, 6]


@pytest.mark.parametrize(("drafts", "second"), [((), 2.0), ((0.0, 0.0), 4.0)])
def test_blocks_for_drafts_are_kept_from_prompts(drafts: tuple[float, ...], second: float):
    costs = pool(acceptance=drafts, max_num_seqs=2, block_size=2, blocks=4)
    result = run([(0.0, 2, 3), (0.5, 4, 1)], costs)
    # From 1 on the first holds two of four blocks; two drafts keep a third from the second, who needs two.
    assert result.token_times == [[1, 2, 3], [second]]


def test_blocks_for_drafts_are_needed_to_be_accepted():
    rows = [(0.0, 2, 3)]
    for blocks, status in ((3, 0), (2, REJECTED)):
        costs = pool(acceptance=(1.0, 1.0), max_num_seqs=2, block_size=2, blocks=blocks)
        assert run(rows, costs).outcomes["status"].tolist() == [status]


def test_a_prompt_that_made_room_for_nobody_is_begun_again_at_once():
    costs = pool(role="prefill", transfer_latency_s=10.0, max_num_batched_tokens=4, blocks=3)
    result = run([(0.0, 4, 2), (0.0, 12, 1)], costs, pool(role="decode"), initial=(0, 1))
    # Until 11 the first keeps one of three blocks while it is sent. The second, processed from 1 on, wants the third at 3, 5, 7, 9 and 11.
    assert result.token_times == [[1, 12], [12]]
    assert result.outcomes["preemptions"].tolist() == [0, 4]
    assert result.tallies[0].prompt_tokens == 4 + 11 * 4
