"""Laws of several models: nobody is served by another's, batches are of one, and time and memory add up.

Not here: the times themselves (`tests/twin/`).
"""

from collections.abc import Iterator

import numpy as np
import pytest

from infersim.dataplane.fleet import PoolCost
from infersim.dataplane.tally import Tally
from tests.laws.runs import Trial
from tests.laws.test_disturbed import price_s
from tests.twin.cases import random_case

SEEDS = range(200_000, 200_150)


@pytest.fixture(scope="module")
def trials() -> list[Trial]:
    """Random cases with several models."""
    return [Trial(case) for case in map(random_case, SEEDS) if case.requests["model"].any()]


def turns(trials: list[Trial]) -> Iterator[tuple[Trial, list[PoolCost], Tally]]:
    """The pools whose replicas switch: case, what each of the models costs, and what the pool did."""
    for trial in trials:
        for pool, tally in zip(trial.case.pools, trial.run.tallies, strict=True):
            if pool.others:
                yield trial, [pool, *pool.others], tally


def test_nobody_is_served_by_another_model(trials: list[Trial]):
    for trial in trials:
        served = [{each.model for each in (pool, *pool.others)} for pool in trial.case.pools]
        asked = dict(zip(*(trial.case.all_requests()[0][name].tolist() for name in ("id", "model")), strict=True))
        for row in trial.rows[trial.rows["pool"] >= 0]:
            assert asked[int(row["id"])] in served[row["pool"]]


def test_a_switch_takes_what_it_takes_and_a_load_follows_an_eviction_or_a_first_use(trials: list[Trial]):
    seen = 0
    for trial, costs, tally in turns(trials):
        seen += tally.loads
        most = sum(
            one.switches * cost.switch_s + one.loads * cost.load_s
            for cost, one in zip(costs, tally.by_model, strict=True)
        )
        broken = any(verb != "open" for _, verb, _ in trial.case.actions) or trial.case.clients[0].timeout_s < np.inf
        assert tally.switching_s <= most * (1 + 1e-9)
        if not broken:
            assert tally.switching_s == pytest.approx(most)
        lives = len(trial.case.initial) + sum(verb == "open" for _, verb, _ in trial.case.actions)
        for place, one in enumerate(tally.by_model):
            assert one.loads <= one.switches
            assert one.loads - one.evictions <= lives  # each life begins without it, or with it at the first place
            assert one.evictions <= one.loads + lives * (place == 0)
    assert seen > 100


def test_the_time_of_each_model_is_what_its_tables_say(trials: list[Trial]):
    for trial, costs, tally in turns(trials):
        if any(pool.swap or pool.host_entries for pool in trial.case.pools):
            continue  # copies take time besides
        for cost, one in zip(costs, tally.by_model, strict=True):
            rest_s = one.busy_s - one.switching_s - one.slowed_s - price_s(cost, one)
            assert abs(rest_s) < 1e-6 * max(one.busy_s, 1e-3)
        assert sum(one.busy_s for one in tally.by_model) == pytest.approx(tally.busy_s)
