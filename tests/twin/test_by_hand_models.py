"""Several models in the naive twin, on pools of their own and in turns on one, against schedules worked out by hand."""

from dataclasses import replace

import pytest

from infersim.dataplane.fleet import PoolCost
from infersim.dataplane.records import LOST, REJECTED
from tests.twin.by_hand import pool, run


def turns(*sizes: int, room: int = 1, slower: bool = False, **changes: object) -> PoolCost:
    """Models 0, 1, 2 ... of these sizes; loading each takes its size in seconds, a switch half a second besides."""
    first = pool(**({"switch_s": 0.5, "turn_s": 2.0, "model_bytes": room} | changes))
    models = [
        replace(
            first, model=model, weight_bytes=size, load_s=float(size), linear_s=first.linear_s * (1 + slower * model)
        )
        for model, size in enumerate(sizes)
    ]
    return replace(models[0], others=tuple(models[1:]))


def test_requests_go_to_the_pool_of_their_model():
    result = run([(0.0, 1, 2), (0.0, 1, 2), (0.5, 1, 1)], pool(), pool(3.0, model=1), initial=(0, 1), model=[1, 0, 1])
    assert result.outcomes["pool"].tolist() == [1, 0, 1]
    # Pool 1 takes 3 s a step: 0-3 the first, 3-6 its second token and the third request.
    assert result.token_times == [[3, 6], [1, 2], [6]]


def test_who_waits_for_a_replica_of_his_model_is_passed_by_others():
    rows = [(0.0, 1, 1), (0.2, 1, 1), (0.4, 1, 1)]
    actions = [(2.0, "open", 1), (5.0, "open", 1)]
    result = run(rows, pool(), pool(model=1), initial=(0,), actions=actions, model=[1, 0, 1])
    assert result.outcomes["held_s"] == pytest.approx([2, 0, 1.6])
    assert result.token_times == [[3], [1.2], [3]]


def test_no_other_pool_helps_out_but_a_pool_of_the_model_that_does_not_take_the_class():
    pools = pool(takes=(True, False)), pool(model=1, takes=(True, False))
    result = run([(0.0, 1, 1), (0.0, 1, 1)], *pools, initial=(0, 1), model=[0, 1], tenant=[1, 1])
    assert result.outcomes["pool"].tolist() == [0, 1]


def test_a_batch_is_of_one_model_and_runs_empty_when_another_has_waited_for_its_turn():
    rows = [(0.0, 1, 3), (0.5, 1, 2), (0.6, 1, 2), (2.6, 1, 1)]
    result = run(rows, turns(5, 5, room=5, slower=True), model=[0, 1, 0, 0])
    # 0-1: the first. 1-3: it goes on, and the third passes the second, which has waited for 0.5 s. At 3 the batch is empty:
    # 0.5 + 5 s to model 1, whose steps take 2 s: 8.5-10.5 and 10.5-12.5. 5.5 s back, and 18-19 the last.
    assert result.token_times == [[1, 2, 3], [10.5, 12.5], [2, 3], [19]]
    (tally,) = result.tallies
    assert (tally.busy_s, tally.switching_s, tally.switches, tally.loads, tally.evictions) == (19, 11, 2, 2, 2)
    assert [(one.switches, one.loads, one.evictions, one.busy_s) for one in tally.by_model] == [(1, 1, 1, 9.5)] * 2


def test_nobody_passes_one_that_has_waited_for_turn_s():
    rows = [(0.0, 1, 3), (0.5, 1, 1), (1.5, 1, 1), (1.7, 1, 2)]
    result = run(rows, turns(1, 1, room=2, turn_s=1.5), model=[0, 1, 0, 0])
    # At 2 the second has waited for 1.5 s: the third and the fourth may not pass it. At 3 the batch is empty.
    assert result.token_times == [[1, 2, 3], [5.5], [7], [7, 8]]
    assert result.tallies[0].loads == 1  # model 0 stays


def test_in_the_order_of_the_queue():
    result = run([(0.0, 1, 1), (0.0, 1, 1), (0.0, 1, 1)], turns(1, 1, room=2, turn_s=0.0), model=[0, 1, 0])
    # 0.5 s and the load to model 1, 0.5 s back.
    assert result.token_times == [[1], [3.5], [5]]


def test_all_that_came_during_a_switch_begin_together():
    rows = [(0.0, 1, 1), (1.0, 1, 1), (1.5, 1, 1), (1.9, 1, 1)]
    result = run(rows, turns(1, 1, async_scheduling=True), model=[1, 1, 0, 1])
    # 0-1.5: to model 1. 1.5-2.5: the first two. Then the third, which came before the fourth: 2.5-4 to model 0 and 4-5.
    # 5-6.5: back to model 1.
    assert result.token_times == [[2.5], [2.5], [5], [7.5]]


def test_a_request_goes_by_the_limits_of_its_model():
    first = turns(1, 1, room=2)
    small = replace(first, others=(replace(first.others[0], max_context=10, blocks=2),))
    result = run([(0.0, 9, 2), (0.0, 9, 2), (0.0, 8, 2)], small, model=[0, 1, 1])
    assert (result.outcomes["status"] == REJECTED).tolist() == [False, True, True]  # too long, and too few blocks


def test_what_costs_more_stays():
    """GreedyDual-Size: model 1 is worth 6/1, model 0 only 1/1 x 2 and model 2 1/1 + L."""
    first = turns(1, 1, 1, room=2, switch_s=0.0, eviction="cost_aware")
    costs = [replace(first.others[0], load_s=6.0), first.others[1]]
    rows = [(0.0, 1, 1), (10.0, 1, 1), (20.0, 1, 1), (30.0, 1, 1), (40.0, 1, 1)]
    models = [1, 0, 2, 0, 1]
    cost_aware = run(rows, replace(first, others=tuple(costs)), model=models)
    # 0-6 load 1. 10: model 0 (worth 2). 20-21: load 2, model 0 goes (L = 2). 2 is worth 3. 30-31: load 0, 2 goes. 40: 1 is there.
    assert cost_aware.token_times == [[7], [11], [22], [32], [41]]
    lru = run(
        rows, replace(first, others=tuple(replace(one, eviction="lru") for one in costs), eviction="lru"), model=models
    )
    # 20-21: model 1 was switched to longest ago and goes. 30: model 0 is there. 40-46: model 1, for model 2.
    assert lru.token_times == [[7], [11], [22], [31], [47]]
    assert [one.evictions for one in lru.tallies[0].by_model] == [0, 1, 1]


def test_a_failure_breaks_a_switch_off():
    actions = [(2.0, "lose", 0), (3.0, "open", 0)]
    result = run([(0.0, 1, 1), (4.0, 1, 1)], turns(5, 5, room=5), actions=actions, model=[1, 0])
    assert result.outcomes["status"].tolist() == [LOST, 0]
    assert (result.tallies[0].busy_s, result.tallies[0].switching_s) == (3, 2)
    assert result.token_times[1] == [5]


def test_prefixes_are_forgotten_at_a_switch():
    rows = [(0.0, 8, 1), (2.0, 8, 1), (10.0, 1, 1), (20.0, 8, 1)]
    names = [[1, 2], [1, 2], [], [1, 2]]
    result = run(rows, turns(1, 1, room=2, prefix_tokens=4, host_entries=4), names=names, model=[0, 0, 1, 0])
    assert result.outcomes["cached_tokens"].tolist() == [0, 4, 0, 0]
