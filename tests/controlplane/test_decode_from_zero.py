"""A decode pool that begins with no replica: its autoscaler sees the sequences that wait for one (see `house.py`)."""

from dataclasses import replace

import numpy as np

from infersim.controlplane.datacenter import Datacenter
from infersim.dataplane.fleet import Fleet
from infersim.dataplane.records import REQUEST
from infersim.policies.routing import ROUTERS
from infersim.simulate import pool_cost
from infersim.spec.pool import Replicas
from tests.controlplane.house import COLD_START_S, scale, tables, terms


def house() -> Datacenter:
    """Two requests of three tokens at 1 s; the link of the prefill pool takes half a second."""
    sent = np.zeros(2, REQUEST)
    sent["id"], sent["input_tokens"], sent["arrival_s"] = np.arange(2), 1, 1.0
    cost = pool_cost(tables())
    costs = [replace(cost, role="prefill", transfer_latency_s=0.5), replace(cost, role="decode")]
    fleet = Fleet(costs, [(sent, np.full(2, 3))], ROUTERS["least_outstanding"].compiled)
    return Datacenter(fleet, [replace(terms(tables()), name=name) for name in ("prompts", "answers")])


def test_a_decode_pool_scales_from_zero() -> None:
    made = house()
    made.pools[0].open(ready=True)
    scale(made, "target_concurrency", 2, Replicas(initial=0, min=0, max=4), pool=1, interval_s=1000)
    made.run(10, 100)
    # 1-2: both prompts. At 2 nobody can receive them, so the autoscaler is asked at once: two in flight, one replica.
    ready = 2 + COLD_START_S
    rows = made.env.fleet.outcomes()
    assert rows["first_token_s"].tolist() == [2, 2]
    # The link: half a second each; the second waits for the step that begins with the first.
    assert rows["transfer_s"].tolist() == [ready + 0.5 - 2, ready + 1 - 2]
    assert rows["finish_s"].tolist() == [ready + 2.5, ready + 3.5]
    asked = [(time_s, detail) for time_s, kind, pool, _, detail in made.log if kind == "scale" and pool == "answers"]
    assert asked[0][0] == 2
    assert asked[0][1].startswith("0 -> 1")


def test_sequences_that_nobody_receives_are_held_for_the_decode_pool_alone() -> None:
    made = house()
    made.pools[0].open(ready=True)
    made.env.run(until=3)
    fleet = made.env.fleet
    assert [fleet.held_for(pool.number) for pool in made.pools] == [0, 2]
    assert [fleet.glance(pool.number)[2] for pool in made.pools] == [0, 0]
