"""Replicas that fail, slow down or hand over what they have not begun, in the naive twin, by hand."""

from infersim.dataplane.records import ENDINGS
from tests.twin.by_hand import pool, run


def test_a_failing_replica_hands_back_what_it_had():
    result = run([(0.0, 1, 4)], pool(), initial=(0, 0), actions=[(2.5, "fail", 0)])
    # Two tokens were out; it starts anew on the other replica.
    row, tally = result.outcomes[0], result.tallies[0]
    assert (row["first_token_s"], row["finish_s"], row["output_tokens"], row["replica"]) == (3.5, 6.5, 4, 1)
    assert (row["prefill_s"], row["decode_s"], row["retries"], row["wasted_tokens"]) == (2, 4.5, 0, 2)
    # Half of the third step counts.
    assert (tally.busy_s, tally.steps_by_tokens[1], tally.context_by_batch[1]) == (6.5, 6.5, 2 + 3 / 2 + 2 + 3 + 4)
    assert (tally.output_tokens, tally.wasted_tokens) == (6, 2)


def test_a_request_is_handed_back_so_often():
    actions = [(0.5, "fail", 0), (1.0, "fail", 1)]
    result = run([(0.0, 1, 1), (0.75, 1, 1)], pool(), initial=(0, 0), actions=[*actions, (2.0, "open", 0)])
    # The first is handed back once and lost with the second replica; the second is held until 2.
    assert [ENDINGS[status] for status in result.outcomes["status"]] == ["lost", "finished"]
    assert result.outcomes["finish_s"].tolist() == [1, 3]
    assert result.outcomes["held_s"].tolist() == [0, 1]


def test_all_is_lost_with_a_replica():
    result = run([(0.0, 1, 4), (1.5, 1, 1), (2.25, 1, 1)], pool(max_num_seqs=1), actions=[(2.5, "lose", 0)])
    assert [ENDINGS[status] for status in result.outcomes["status"]] == ["lost"] * 3
    assert result.outcomes["output_tokens"].tolist() == [2, 0, 0]
    assert result.outcomes["wasted_tokens"].tolist() == [2, 0, 0]


def test_a_decode_replica_fails_while_something_is_sent_to_it():
    costs = pool(role="prefill", transfer_latency_s=1.5, blocks=1)
    actions = [(2.0, "fail", 1), (3.0, "open", 1)]
    result = run([(0.0, 1, 2), (0.0, 1, 1)], costs, pool(role="decode"), initial=(0, 1), actions=actions)
    # 1-2.5 on the link, and the only block taken. At 2 it is free: the second has been in the queue, and is first. 3-4: the
    # prompt of the first again. The link is free since 2.5; 4-5.5, and 5.5-6.5.
    assert result.outcomes["finish_s"].tolist() == [6.5, 3]
    assert (result.outcomes["prefill_s"][0], result.outcomes["transfer_s"][0]) == (2, 2.5)


def test_a_prefill_replica_fails_while_it_sends():
    costs = pool(role="prefill", transfer_latency_s=1.5)
    result = run([(0.0, 1, 2)], costs, pool(role="decode"), initial=(0, 0, 1), actions=[(2.0, "fail", 0)])
    # 2-3: again on the other; 3-4.5, 4.5-5.5.
    assert result.outcomes["finish_s"].tolist() == [5.5]


def test_a_slow_replica():
    result = run([(0.0, 1, 3)], pool(), actions=[(1.5, "slow", 0)])
    # The step that runs ends in time; the next one takes eight seconds.
    assert result.token_times == [[1, 2, 10]]
    assert (result.tallies[0].busy_s, result.tallies[0].slowed_s) == (10, 7)


def test_migration_takes_what_has_not_begun():
    actions = [(0.5, "open", 0), (1.5, "migrate", 0)]
    result = run([(0.0, 1, 3), (0.0, 1, 1)], pool(max_num_seqs=1), actions=actions)
    assert result.outcomes["finish_s"].tolist() == [3, 2.5]
    assert result.outcomes["replica"].tolist() == [0, 1]
    assert result.drained == {0: 3.0}
    assert result.outcomes["wasted_tokens"].tolist() == [0, 0]
