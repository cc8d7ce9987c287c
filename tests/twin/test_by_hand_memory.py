"""The naive twin against schedules worked out by hand: watermark, preemption by swap, prefix caching.

A step takes one second. Preemption by recompute is in `test_by_hand.py`.
"""

from tests.twin.by_hand import pool, run, spans


def used(result) -> list[int]:
    """KV blocks in use at each look."""
    return [look[4] for look in result.looks]


def test_an_admission_leaves_the_watermark_free():
    result = run([(0.0, 4, 2), (0.0, 8, 1)], pool(blocks=3, watermark_blocks=1, max_num_batched_tokens=12))
    # One block and two make three: none would be free. The first needs its second block at 1 and ends at 2.
    assert result.token_times == [[1, 2], [3]]
    assert run([(0.0, 4, 2), (0.0, 8, 1)], pool(blocks=3, max_num_batched_tokens=12)).token_times == [[1, 2], [1]]


def test_the_watermark_is_not_for_a_replica_with_nobody_in_it():
    assert run([(0.0, 8, 1)], pool(blocks=2, watermark_blocks=1)).token_times == [[1]]


def test_an_admission_promises_all_blocks_that_are_needed_to_the_end():
    # Each needs a second block in its second step; there are three, so that one is preempted and computed again. Promised, it waits instead.
    rows, memory = [(0.0, 2, 2), (0.0, 2, 2)], {"block_size": 2, "blocks": 3}
    assert run(rows, pool(**memory)).token_times == [[1, 2], [1, 3]]
    assert run(rows, pool(**memory, promises=True)).token_times == [[1, 2], [3, 4]]
    assert [row["preemptions"] for row in run(rows, pool(**memory)).outcomes] == [0, 1]
    assert [row["preemptions"] for row in run(rows, pool(**memory, promises=True)).outcomes] == [0, 0]
    # With a fourth block both have all that they need at once.
    assert run(rows, pool(block_size=2, blocks=4, promises=True)).token_times == [[1, 2], [1, 2]]


def test_promises_to_requests_that_are_alike_are_a_limit_of_sequences():
    # Each comes to need 3 blocks (5 + 6 - 1 tokens, 4 a block): 11 blocks are enough for 3 of them.
    rows = [(0.3 * i, 5, 6) for i in range(12)]
    limits = {"blocks": 11, "max_num_seqs": 4, "max_num_batched_tokens": 16}
    promised, limited = run(rows, pool(**limits, promises=True)), run(rows, pool(**limits | {"max_num_seqs": 3}))
    assert promised.token_times == limited.token_times
    assert run(rows, pool(**limits)).token_times != limited.token_times


def test_a_swapped_sequence_goes_on_where_it_was():
    result = run([(0.0, 2, 4), (0.0, 2, 2)], pool(block_size=2, blocks=3, swap=True, swap_block_s=0.5))
    # At 1 both need a second block and one is free: the second goes, a block is copied. 1-2.5.
    # It needs two blocks to come back and one is free until the first ends at 4.5. It decodes until 6, a block copied.
    assert result.token_times == [[1, 2.5, 3.5, 4.5], [1, 6]]
    assert [spans(row) for row in result.outcomes] == [(0, 0, 0, 1, 3.5, 0), (0, 0, 0, 1, 1.5, 3.5)]
    assert result.tallies[0].busy_s == 6
    assert result.tallies[0].steps_by_tokens.tolist() == [0, 4, 0, 0, 1, 0, 0, 0, 0]


def test_a_partly_prefilled_sequence_is_recomputed_even_with_swap():
    costs = pool(max_num_batched_tokens=4, block_size=2, blocks=4, swap=True, swap_block_s=100.0)
    result = run([(0.0, 3, 5), (0.0, 6, 1)], costs)
    assert result.token_times == [[1, 2, 3, 4, 5], [7]]  # as in test_by_hand


def test_a_known_prefix_is_not_computed_again():
    result = run([(0.0, 9, 3), (1.5, 9, 1)], pool(prefix_tokens=4), names=[[1, 2], [1, 2]])
    # 0-1: eight tokens, 1-2: one. 2-3: the first decodes, the second has eight of nine.
    assert result.token_times == [[2, 3, 4], [3]]
    assert result.outcomes["cached_tokens"].tolist() == [0, 8]
    assert result.tallies[0].steps_by_tokens.tolist() == [0, 2, 1, 0, 0, 0, 0, 0, 1]
    assert result.tallies[0].prefill_pairs == 8 * 9 / 2 + 9 + 9
    assert result.tallies[0].prefill_context == 8 + 9 + 9


def test_the_last_token_of_a_prompt_is_always_computed():
    result = run([(0.0, 8, 1), (1.0, 8, 1)], pool(prefix_tokens=4), names=[[1, 2], [1, 2]])
    assert result.outcomes["cached_tokens"].tolist() == [0, 4]


def test_a_gap_ends_the_known_prefix():
    result = run([(0.0, 9, 1), (2.0, 9, 1)], pool(prefix_tokens=4), names=[[1, 2], [7, 2]])
    assert result.outcomes["cached_tokens"].tolist() == [0, 0]


def test_unnamed_blocks_are_nobodys():
    result = run([(0.0, 9, 1), (2.0, 9, 1)], pool(prefix_tokens=4), names=[[1], [1, 2]])
    assert result.outcomes["cached_tokens"].tolist() == [0, 4]


def test_blocks_in_use_are_shared():
    looks = [(0.5, "look", 0), (1.5, "look", 0), (2.5, "look", 0)]
    result = run([(0.0, 4, 2), (0.0, 4, 3)], pool(prefix_tokens=4), names=[[1], [1]], actions=looks)
    # 0-1: each its own block; then the second's copy is freed. 1-2: one shared and one each. 2-3: shared and one.
    assert used(result) == [2, 3, 2]


def test_two_sequences_that_find_the_same_entry_need_it_once():
    rows = [(0.0, 5, 1), (2.0, 5, 2), (2.0, 5, 2)]
    looks = [(1.5, "look", 0), (2.5, "look", 0)]
    result = run(rows, pool(prefix_tokens=4, blocks=3), names=[[1]] * 3, actions=looks)
    # Idle, the entry counts as free. Both are admitted: one block for four tokens, one each for the fifth and sixth.
    assert used(result) == [0, 3]
    assert result.token_times == [[1], [3, 4], [3, 4]]
    assert result.outcomes["cached_tokens"].tolist() == [0, 4, 4]


def test_the_least_recently_used_goes_first_and_the_end_of_a_prefix_before_its_beginning():
    rows = [(0.0, 9, 1), (2.0, 5, 1), (3.0, 5, 1), (4.0, 9, 1), (6.0, 5, 1)]
    names = [[1, 2], [3], [9], [1, 2], [3]]
    result = run(rows, pool(prefix_tokens=4, blocks=4), names=names)
    # Idle after 2: 2, 1. After 3: 2, 1, 3. 3-4: two of four blocks are free, 2 goes; after 4: 1, 3, 9.
    # 4: block 1 is taken, one block more: 3 and 9 stay. The ninth token at 5 needs the third: 3 goes.
    # After 6 (2 is new): 9, 2, 1. So 3 is not known any more at 6.
    assert result.outcomes["cached_tokens"].tolist() == [0, 0, 0, 4, 0]
    assert result.token_times == [[2], [3], [4], [5], [7]]


def test_preempted_it_finds_its_own_prefix_again():
    result = run([(0.0, 4, 4), (0.0, 4, 2)], pool(prefix_tokens=4, blocks=3), names=[[1], [2]])
    # 0-1: a block each, now entries. At 1 both need a second and one is free: the second goes, its entry is idle.
    # Its prompt is 5, of which 4 are known: the idle block and one more. The first holds two of three until 4.
    assert result.token_times == [[1, 2, 3, 4], [1, 5]]
    assert result.outcomes["cached_tokens"].tolist() == [0, 0]  # at its first admission
    assert result.tallies[0].prompt_tokens == 4 + 4 + 1
