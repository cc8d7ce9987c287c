"""The parts of a run: one of its cells, what its workload offers (now, and to one who sees the future), the fleet.

Not here: running them (`simulate.py`).
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infersim.cost.tables import CostTables
    from infersim.dataplane.fleet import Fleet, Sink
    from infersim.policies.autoscaling.oracle import Future
    from infersim.policies.plugins import Policies
    from infersim.spec.cascade import Lane
    from infersim.spec.pool import Pool
    from infersim.spec.purchase import PriceChoice
    from infersim.spec.resolve import ResolvedScenario
    from infersim.spec.workload import Workload
    from infersim.staging import Surroundings
    from infersim.workload.generate import Offered


def cell_of(resolved: "ResolvedScenario", cell: int) -> "ResolvedScenario":
    """One of the scenario's cells: its share of the replicas of each pool, the first cells one more where it does not divide.

    Warm machines, quotas and places are shared out as replicas are; of the numbers that an autoscaler is given only
    replicas are, since targets are for each replica anyway.
    """
    from infersim.spec.autoscalers import Fixed, Schedule

    cells = resolved.scenario.cells

    def share(spec: Any, *keys: str) -> Any:
        return spec.model_copy(update={key: (getattr(spec, key) + cells - 1 - cell) // cells for key in keys})

    def quota(choice: "PriceChoice") -> "PriceChoice":
        return choice if choice.limit is None else share(choice, "limit")

    def part(pool: "Pool") -> "Pool":
        scaler = pool.autoscaler
        if isinstance(scaler, Fixed):
            scaler = share(scaler, "replicas")
        elif isinstance(scaler, Schedule):
            scaler = scaler.model_copy(update={"rules": [share(rule, "replicas") for rule in scaler.rules]})
        warm = pool.cold_start.warm and share(pool.cold_start.warm, "machines")
        placement = pool.placement if pool.placement.places is None else share(pool.placement, "places")
        return pool.model_copy(
            update={
                "replicas": share(pool.replicas, "initial", "min", "max"),
                "autoscaler": scaler,
                "price": quota(pool.price),
                "fallbacks": [quota(choice) for choice in pool.fallbacks],
                "placement": placement,
                "cold_start": pool.cold_start.model_copy(update={"warm": warm}),
            }
        )

    pools = tuple(replace(each, pool=part(each.pool)) for each in resolved.pools)
    return replace(resolved, pools=pools, cell=(cell, cells))


def offered(resolved: "ResolvedScenario") -> "Offered":
    """What the scenario's workload sends, or to one of its cells; nothing is read or drawn yet."""
    from infersim.workload.generate import Offered

    scenario, directory = resolved.scenario, resolved.directory_of(("workload", "arrivals", "file"))
    limits = [slo.ttft_p99_s for slo in scenario.class_slos]
    return Offered(
        scenario.workload, scenario.horizon_s, scenario.seed, directory, limits, resolved.cell, resolved.asked
    )


def future(resolved: "ResolvedScenario", tables: "CostTables") -> "Future":
    """The work that the scenario's requests will bring, for an oracle."""
    import numpy as np

    from infersim.cost.least import least_work
    from infersim.policies.autoscaling.oracle import Future

    columns = [[np.zeros(0)], [np.zeros(0)], [np.zeros(0)]]
    for records, outputs, *_ in offered(resolved).chunks():
        for column, values in zip(columns, (records["arrival_s"], records["input_tokens"], outputs), strict=True):
            column.append(values)
    arrival_s, input_tokens, output_tokens = map(np.concatenate, columns)
    prompt, decode = least_work(tables, input_tokens, output_tokens)
    return Future(arrival_s, prompt + decode)


def check_prefixes(resolved: "ResolvedScenario", prefix_tokens: int) -> None:
    """Raise SpecError for a pool that would cache prefixes which nobody names, or which its KV blocks do not divide."""
    for index, pool in enumerate(resolved.pools):
        path = ("pools", index, "kv_cache", "prefix_caching")
        if pool.pool.kv_cache.prefix_caching and prefix_tokens == 0:
            what = "the workload names no prefixes, so there is nothing to share"
            raise resolved.error(path, f"{what}; replay a trace that has them (Mooncake, Bailian ...), or remove it")
        if pool.pool.kv_cache.prefix_caching and prefix_tokens % pool.block_size:
            what = f"prefix blocks of {prefix_tokens} tokens are not whole KV blocks of {pool.block_size}"
            raise resolved.error(path, f"{what}; set kv_cache.block_size to a divisor of {prefix_tokens}")


def fleet(
    resolved: "ResolvedScenario",
    tables: "list[CostTables]",
    policies: "Policies",
    requests: "Offered",
    sink: "Sink",
    around: "list[Surroundings]",
) -> "Fleet":
    """The compiled fleet, with its policies, the stream of requests and where they end, and no replica yet."""
    from infersim.assembly.chosen import own_batching, own_order, router
    from infersim.assembly.costs import served_by
    from infersim.dataplane.fleet import Fleet
    from infersim.workload.conduct import service_rules

    check_prefixes(resolved, requests.prefix_tokens)
    chosen_router, rules = router(resolved, policies), service_rules(resolved.scenario, resolved.cell)
    workload, pools = resolved.scenario.workload, []
    for costs, pool, here in zip(tables, resolved.pools, around, strict=True):
        served, taken = served_by(costs, pool, requests.prefix_tokens), _taken(pool.pool, workload)
        others = tuple(replace(other, network_s=here.network_s, takes=taken) for other in served.others)
        pools.append(replace(served, others=others, network_s=here.network_s, takes=taken))
    return Fleet(
        pools,
        requests.chunks(),
        chosen_router.compiled,
        sink,
        reads=chosen_router.reads,
        scrape_s=resolved.scenario.router.scrape_interval_s,
        by_load=chosen_router.by_load,
        order=own_order(resolved, policies),
        shape=own_batching(resolved, policies),
        rules=rules if rules.watch or requests.waits else None,
        sources=requests.sources(),
    )


def _taken(pool: "Pool", workload: "Workload") -> tuple[bool, ...]:
    """Whether a pool takes requests of each lane; empty where it takes all."""
    chosen, classes, parts = pool.takes.classes, workload.classes or [], workload.parts

    def takes(lane: "Lane") -> bool:
        if cascade := parts[lane.tenant].cascade:
            return cascade[lane.step].pool == pool.name
        return chosen is None or classes[lane.tenant].name in chosen

    return () if chosen is None and not workload.cascades else tuple(takes(lane) for lane in workload.lanes)
