"""simulate(scenario) -> Result: where everything is put together. Read this first.

scenario ──spec──> chips, models, engines ──cost──> step tables ──dataplane──> fleet
                                                                     │ served by
workload ──────────────── requests ──────────────────────────────────┤
policies ──────────────── router, autoscalers ───────────────────────┤
                                                         controlplane (SimPy) ──results──> Result
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infersim.controlplane.datacenter import Datacenter
    from infersim.cost.tables import CostTables
    from infersim.dataplane.fleet import Fleet, PoolCost
    from infersim.results.record import RunRecord
    from infersim.results.result import Result
    from infersim.spec.resolve import ResolvedPool, ResolvedScenario
    from infersim.spec.scenario import Scenario

Progress = Callable[[float, float], None]
"""Called now and then with simulated seconds done and to do."""


def simulate(
    scenario: "Scenario | str | Path | Mapping[str, Any]", *, seed: int | None = None, progress: Progress | None = None
) -> "Result":
    """Run a scenario (or the file, or mapping, that describes one) to its last request and return what happened.

    `seed` replaces the scenario's. Raises SpecError (the scenario is wrong), TraceError (its trace is), DoesNotFit (the
    model does not fit its chips), PolicyError (a policy failed) and Standstill (nothing can be served any more).
    """
    from infersim.results.result import Result
    from infersim.spec.load import load_scenario
    from infersim.spec.resolve import resolve
    from infersim.spec.scenario import Scenario

    if not isinstance(scenario, Scenario):
        scenario = load_scenario(scenario)
    if seed is not None:
        scenario = scenario.model_copy(update={"seed": seed})
    return Result(_run(resolve(scenario), progress))


def _run(resolved: "ResolvedScenario", progress: Progress | None) -> "RunRecord":
    from infersim.controlplane.datacenter import Datacenter
    from infersim.dataplane.fleet import RouteError
    from infersim.policies.errors import PolicyError
    from infersim.spec.resolve import sample_interval_s
    from infersim.workload.generate import workload_span_s

    scenario = resolved.scenario
    tables = [_tables(resolved, index) for index in range(len(resolved.pools))]
    horizon_s = workload_span_s(scenario.workload, scenario.horizon_s, _trace_directory(resolved))
    fleet = _fleet(resolved, tables)
    datacenter = Datacenter(
        fleet, [(pool.pool.name, costs) for pool, costs in zip(resolved.pools, tables, strict=True)]
    )
    _open_pools(datacenter, resolved.pools)
    try:
        datacenter.run(horizon_s, sample_interval_s(scenario, horizon_s), progress)
    except RouteError as error:
        raise PolicyError(
            f"router {scenario.router.policy!r} sent request {error.request} at {error.time_s:.6g} s to something that is "
            "not a ready replica; return one of `routable`"
        ) from error
    return _record(resolved, tables, fleet, datacenter)


def _tables(resolved: "ResolvedScenario", index: int) -> "CostTables":
    """Cost tables of one pool; DoesNotFit names the pool."""
    from infersim.cost.build import build_tables

    pool = resolved.pools[index]
    return build_tables(
        resolved.model, pool.hardware, pool.engine, pool.pool.parallelism, pool.precision.weights,
        pool.precision.kv_cache, pool.max_num_seqs, pool.max_num_batched_tokens, pool.block_size, pool.pool.kv_cache.blocks,
    )  # fmt: skip


def _trace_directory(resolved: "ResolvedScenario") -> Path:
    return resolved.directory_of(("workload", "arrivals", "file"))


def _fleet(resolved: "ResolvedScenario", tables: list["CostTables"]) -> "Fleet":
    """The compiled fleet, with its router and the stream of requests, and no replica yet."""
    from infersim.dataplane.fleet import Fleet
    from infersim.policies.plugins import load_plugins, policy
    from infersim.policies.routing import ROUTERS
    from infersim.workload.generate import request_chunks

    scenario = resolved.scenario
    load_plugins(resolved.plugin_files)
    router = policy("router", ROUTERS, scenario.router.policy)
    chunks = request_chunks(scenario.workload, scenario.horizon_s, scenario.seed, _trace_directory(resolved))
    return Fleet([_pool_cost(costs) for costs in tables], chunks, router.compiled)


def _pool_cost(tables: "CostTables") -> "PoolCost":
    """The times of cost tables, as the compiled loop takes them."""
    from infersim.dataplane.fleet import PoolCost

    return PoolCost(
        linear_s=tables.linear.seconds,
        sequences_s=tables.sequences.seconds,
        decode_base_s=tables.decode_base.seconds,
        decode_per_context_s=tables.decode_per_context.seconds,
        prefill_chunk_s=float(tables.prefill_chunk.seconds),
        prefill_per_pair_s=float(tables.prefill_pair.seconds),
        prefill_per_context_s=float(tables.prefill_context.seconds),
        request_overhead_s=tables.request_overhead_s,
        token_overhead_s=tables.token_overhead_s,
        block_size=tables.memory.block_size,
        blocks=tables.memory.blocks,
        max_num_seqs=tables.max_num_seqs,
        max_num_batched_tokens=tables.max_num_batched_tokens,
        max_context=tables.max_context,
        async_scheduling=tables.async_scheduling,
    )


def _open_pools(datacenter: "Datacenter", pools: "tuple[ResolvedPool, ...]") -> None:
    """Open the replicas that are ready at the start, and let each pool's autoscaler begin."""
    from infersim.controlplane.scaler import autoscale
    from infersim.policies.autoscaling import AUTOSCALERS
    from infersim.policies.plugins import policy

    for pool, resolved in zip(datacenter.pools, pools, strict=True):
        limits, spec = resolved.pool.replicas, resolved.pool.autoscaler
        for _ in range(limits.initial):
            pool.open(ready=True)
        if spec is not None:
            scaler = policy("autoscaler", AUTOSCALERS, spec.policy)(spec.target)
            datacenter.env.process(autoscale(pool, scaler, spec, limits))


def _record(
    resolved: "ResolvedScenario", tables: list["CostTables"], fleet: "Fleet", datacenter: "Datacenter"
) -> "RunRecord":
    from infersim.cost.price import choose_price
    from infersim.dataplane.records import REJECTED
    from infersim.results.record import PoolRecord, RunRecord

    pools = []
    for number, (pool, costs) in enumerate(zip(resolved.pools, tables, strict=True)):
        usd, source = choose_price(pool.hardware, pool.pool.price)
        pools.append(
            PoolRecord(
                name=pool.pool.name,
                hardware=pool.hardware.name,
                engine=pool.engine.name,
                chips=costs.chips,
                usd_per_chip_hour=usd,
                price_source=source,
                tables=costs,
                tally=fleet.tally(number),
            )
        )
    outcomes = fleet.outcomes()
    rejected = int((outcomes["status"] == REJECTED).sum())
    warnings = [f"{pool.name}: {note}" for pool in pools for note in pool.tables.notes]
    if rejected:
        warnings.append(
            f"{rejected} of {len(outcomes)} requests were rejected: longer than the context or the KV cache"
        )
    return RunRecord(
        scenario=resolved.scenario,
        pools=pools,
        outcomes=outcomes,
        leases=datacenter.leases(),
        samples=datacenter.samples(),
        events=datacenter.log,
        end_s=datacenter.env.now,
        warnings=warnings,
    )
