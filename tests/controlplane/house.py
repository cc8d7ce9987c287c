"""A datacentre whose every moment can be worked out by hand: each step takes one second, whatever is in it.

A request that arrives at t at a replica with room gets its first token at t + 1 and its last at t + output tokens. A
new replica is found after 5 s, loaded after 3 more and ready after 2 more. Not here: what must hold (`test_*.py`).
"""

from collections.abc import Callable, Generator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import simpy

from infersim.controlplane.datacenter import Datacenter
from infersim.controlplane.market import Source
from infersim.controlplane.meter import Judge, Meter
from infersim.controlplane.places import Places
from infersim.controlplane.pool import Terms
from infersim.controlplane.scaler import autoscale
from infersim.cost.build import build_tables
from infersim.cost.cold_start import plain_phases
from infersim.cost.series import StepFunction
from infersim.cost.tables import CostTables, Work
from infersim.dataplane.fleet import Fleet
from infersim.dataplane.records import REQUEST
from infersim.policies.autoscaling import AUTOSCALERS, Facts, Registered, View
from infersim.policies.routing import ROUTERS
from infersim.simulate import pool_cost
from infersim.spec import catalogue
from infersim.spec.autoscalers import Own
from infersim.spec.pool import Parallelism, Replicas
from infersim.spec.pool import Pool as PoolSpec
from infersim.spec.purchase import PriceChoice
from infersim.spec.slo import Slo
from infersim.spec.topology import Placement

PROVISION_S, LOAD_S, INITIALISE_S = 5.0, 3.0, 2.0
COLD_START_S = PROVISION_S + LOAD_S + INITIALISE_S
IDLE_W = 100.0


def work(entries: int | None, seconds: float) -> Work:
    """Work that takes the same time whatever the shape and moves nothing."""
    nothing = np.zeros(() if entries is None else entries)
    return Work(*[nothing] * 6, launch_s=nothing + seconds)


@cache
def tables(max_num_seqs: int = 16) -> CostTables:
    """Costs of a replica with steps of one second and more KV than anybody needs."""
    chip, engine = catalogue.hardware("h100-sxm"), catalogue.engine("vllm")
    real = build_tables(
        catalogue.model("llama-3.1-8b"), chip, engine, Parallelism(), "bf16", "bf16", max_num_seqs, 1024, 16, 4096
    )
    sequences = max_num_seqs + 1
    return replace(
        real,
        linear=work(1025, 1.0),
        sequences=work(sequences, 0.0),
        decode_base=work(sequences, 0.0),
        decode_per_context=work(sequences, 0.0),
        prefill_chunk=work(None, 0.0),
        prefill_pair=work(None, 0.0),
        prefill_context=work(None, 0.0),
        prompts=None,
        request_overhead_s=0.0,
        token_overhead_s=0.0,
        async_scheduling=False,
        idle_w=IDLE_W,
        provision_s=PROVISION_S,
        load_s=LOAD_S,
        initialise_s=INITIALISE_S,
    )


def datacenter(*requests: tuple[float, int], pools: int = 1, max_num_seqs: int = 16, **on: Any) -> Datacenter:
    """Empty pools, on terms of your own, that will be sent requests: (arrival [s], output tokens), one prompt token."""
    sent = np.zeros(len(requests), REQUEST)
    sent["id"], sent["input_tokens"] = np.arange(len(requests)), 1
    sent["arrival_s"] = [arrival_s for arrival_s, _ in requests]
    outputs = np.array([tokens for _, tokens in requests], np.int64)
    costs = [tables(max_num_seqs)] * pools
    fleet = Fleet([pool_cost(cost) for cost in costs], [(sent, outputs)], ROUTERS["least_outstanding"].compiled)
    return Datacenter(fleet, [replace(terms(cost), name=f"pool{k}", **on) for k, cost in enumerate(costs)])


def steps(*pairs: tuple[float, float]) -> StepFunction:
    """A step function from (time [s], value)."""
    return StepFunction(np.array([time for time, _ in pairs], float), np.array([value for _, value in pairs], float))


def source(number: int = 0, capacity: StepFunction | None = None, **choice: Any) -> Source:
    """A seller that finds a machine in 5 s, with limits of its own."""
    return Source(
        number, PriceChoice(**choice), (PROVISION_S, None), np.random.default_rng(1), np.random.default_rng(2), capacity
    )


def terms(costs: CostTables) -> Terms:
    """A pool that gets its machines at once, from one seller without limits."""
    return Terms("", costs, plain_phases(costs), [source()], Places(Placement(), costs.chips))


def at(house: Datacenter, *actions: tuple[float, Callable[[], Any]]) -> None:
    """Do things at given times, as a process of the user's."""

    def act() -> Generator[simpy.Event, object, None]:
        for time_s, action in actions:
            yield house.env.timeout(time_s - house.env.now)
            action()

    house.env.process(act())


def scale(house: Datacenter, policy: str, target: float, limits: Replicas, pool: int = 0, **spec: Any) -> None:
    """Open the initial replicas of a pool and let an autoscaler with a target run it."""
    scale_by(house, limits, pool, policy=policy, target=target, **spec)


def scale_by(house: Datacenter, limits: Replicas, pool: int = 0, slo: Slo | None = None, **spec: Any) -> Any:
    """Open the initial replicas of a pool and let any autoscaler run it; return its policy."""
    asked = PoolSpec.model_validate({"name": "pool", "hardware": "any", "autoscaler": spec}).autoscaler
    assert asked is not None
    registered, policy = AUTOSCALERS[asked.policy], AUTOSCALERS[asked.policy].make(**asked.parameters)
    _begin(house, pool, limits, asked, policy, registered, slo or Slo())
    return policy


def _begin(
    house: Datacenter, pool: int, limits: Replicas, asked: Any, policy: Any, registered: Registered, slo: Slo
) -> None:
    here = house.pools[pool]
    here.most = limits.max
    for _ in range(limits.initial):
        here.open(ready=True)
    facts = Facts(
        here.name, limits.min, limits.max, asked.interval_s, here.tables.max_num_seqs, COLD_START_S,
        slo.ttft_p99_s or np.inf, slo.tpot_p99_s or np.inf,
    )  # fmt: skip
    judge = Judge(house.env.fleet, [slo], len(house.pools)) if "attainment" in registered.reads else None
    meter = Meter(here, facts, asked.scrape_lag_s, judge)
    if asked.scrape_lag_s:
        house.env.process(meter.scrape(asked.interval_s))
    house.env.process(autoscale(here, meter, policy, registered, asked, limits))


def scale_as(house: Datacenter, desired: Callable[[View], Any], limits: Replicas) -> None:
    """Let a function, asked every 15 s, run the first pool."""

    class Mine:
        def desired(self, view: View) -> float:
            return desired(view)

    registered = Registered("mine", Mine, frozenset(), polls=False, from_start=False)
    _begin(house, 0, limits, Own(policy="mine"), Mine(), registered, Slo())


def life(house: Datacenter, serial: int) -> dict[str, float]:
    """The moments of a replica's life."""
    lease = house.leases()[serial]
    return {name: float(lease[f"{name}_s"]) for name in ("requested", "billed_from", "ready", "draining", "closed")}


def events(house: Datacenter) -> list[tuple[float, str, int]]:
    """(time, kind, replica) of everything that was written down, in order."""
    return [(time_s, kind, replica) for time_s, kind, _, replica, _ in house.log]
