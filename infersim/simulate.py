"""simulate(scenario) -> Result: where everything is put together. Read this first.

scenario ──spec──> chips, models, engines ──cost──> step tables ──dataplane──> fleet
                                                                     │ served by
workload ──────────────── requests ──────────────────────────────────┤
policies ──────────────── router, autoscalers ───────────────────────┤
                                                         controlplane (SimPy) ──results──> Result
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from infersim.controlplane.datacenter import Datacenter
    from infersim.cost.tables import CostTables
    from infersim.dataplane.fleet import Fleet, PoolCost
    from infersim.policies.autoscaling import Autoscaler
    from infersim.policies.plugins import Policies
    from infersim.policies.routing import Router
    from infersim.results.record import RunRecord
    from infersim.results.result import Result
    from infersim.spec.errors import KeyPath
    from infersim.spec.model import Model
    from infersim.spec.resolve import ResolvedPool, ResolvedScenario
    from infersim.spec.scenario import Scenario
    from infersim.workload.generate import Chunk

Chosen = TypeVar("Chosen")

Progress = Callable[[float, float], None]
"""Called now and then with simulated seconds done and to do."""


def simulate(
    scenario: "Scenario | ResolvedScenario | str | Path | Mapping[str, Any]",
    *,
    seed: int | None = None,
    progress: Progress | None = None,
) -> "Result":
    """Run a scenario (or the file, or mapping, that describes one) to its last request and return what happened.

    A ResolvedScenario is run as it stands, so that a study can change what is in its profiles.

    `seed` replaces the scenario's. Raises SpecError (the scenario is wrong), TraceError (its trace is), DoesNotFit (the
    model does not fit its chips), PolicyError (a policy failed) and Standstill (nothing can be served any more).
    """
    from infersim.results.result import Result
    from infersim.spec.load import load_scenario
    from infersim.spec.resolve import ResolvedScenario, resolve
    from infersim.spec.scenario import Scenario

    if not isinstance(scenario, Scenario | ResolvedScenario):
        scenario = load_scenario(scenario)
    resolved = scenario if isinstance(scenario, ResolvedScenario) else resolve(scenario)
    if seed is not None:
        resolved = replace(resolved, scenario=resolved.scenario.model_copy(update={"seed": seed}))
    return Result(_run(resolved, progress))


def check_runnable(resolved: "ResolvedScenario") -> None:
    """Raise what `simulate` would raise before its first request: of policies, memory, and the trace."""
    from infersim.policies.plugins import load_policies
    from infersim.workload.generate import prefix_tokens, workload_span_s

    policies = load_policies(resolved.plugin_files)
    _chosen(resolved, ("router", "policy"), policies.routers, resolved.scenario.router.policy)
    _scalers(resolved, policies)
    for index in range(len(resolved.pools)):
        cost_tables(resolved, index)
    _check_prefixes(resolved, prefix_tokens(resolved.scenario.workload, _trace_directory(resolved)))
    if resolved.scenario.workload.ends:
        workload_span_s(resolved.scenario.workload, resolved.scenario.horizon_s, _trace_directory(resolved))


def _run(resolved: "ResolvedScenario", progress: Progress | None) -> "RunRecord":
    from infersim.controlplane.datacenter import Datacenter
    from infersim.policies.plugins import load_policies
    from infersim.spec.resolve import sample_interval_s
    from infersim.workload.generate import workload_span_s

    scenario = resolved.scenario
    policies = load_policies(resolved.plugin_files)
    router = _chosen(resolved, ("router", "policy"), policies.routers, scenario.router.policy)
    scalers = _scalers(resolved, policies)
    tables = [cost_tables(resolved, index) for index in range(len(resolved.pools))]
    horizon_s = workload_span_s(scenario.workload, scenario.horizon_s, _trace_directory(resolved))
    fleet = _fleet(resolved, tables, router)
    datacenter = Datacenter(
        fleet, [(pool.pool.name, costs) for pool, costs in zip(resolved.pools, tables, strict=True)]
    )
    _open_pools(datacenter, resolved.pools, scalers)
    with _blaming(scenario.router.policy):
        datacenter.run(horizon_s, sample_interval_s(scenario, horizon_s), progress)
    return _record(resolved, tables, fleet, datacenter)


def _chosen(resolved: "ResolvedScenario", path: "KeyPath", known: Mapping[str, Chosen], name: str) -> Chosen:
    """The policy that the scenario names at `path`; SpecError with the nearest names if there is none."""
    from infersim.spec.errors import nearest

    if name not in known:
        raise resolved.error(path, f"unknown policy {name}; {nearest(name, known)}")
    return known[name]


def _scalers(resolved: "ResolvedScenario", policies: "Policies") -> "list[Autoscaler | None]":
    """Each pool's autoscaler, if it has one."""
    from infersim.policies.errors import PolicyError

    scalers: list[Autoscaler | None] = []
    for number, resolved_pool in enumerate(resolved.pools):
        spec = resolved_pool.pool.autoscaler
        if spec is None:
            scalers.append(None)
            continue
        path = ("pools", number, "autoscaler", "policy")
        policy = _chosen(resolved, path, policies.autoscalers, spec.policy)
        try:
            scalers.append(policy(spec.target))
        except Exception as error:
            raise PolicyError(
                f"autoscaler {spec.policy!r} cannot be made with target {spec.target:g}: {error}"
            ) from error
    return scalers


@contextmanager
def _blaming(router: str) -> Iterator[None]:
    """Say which router failed, where and when."""
    from infersim.dataplane.fleet import RouteError, RouterRaised
    from infersim.policies.errors import PolicyError

    try:
        yield
    except RouteError as error:
        raise PolicyError(
            f"router {router!r} sent request {error.request} at {error.time_s:.6g} s to something that is not a ready "
            "replica; return one of `routable`"
        ) from error
    except RouterRaised as error:
        cause = error.__cause__
        raise PolicyError(
            f"router {router!r} raised {type(cause).__name__}: {cause}; it must return one of `routable`"
        ) from error


def cost_tables(resolved: "ResolvedScenario", index: int) -> "CostTables":
    """Cost tables of one pool; DoesNotFit names the pool, and the file and line that it stands on."""
    from infersim.cost.build import build_tables
    from infersim.cost.memory import DoesNotFit
    from infersim.cost.speculation import speculative

    pool = resolved.pools[index]

    def build(model: "Model", width: int, blocks: int | None) -> "CostTables":
        return build_tables(
            model, pool.hardware, pool.engine, pool.pool.parallelism, pool.precision.weights, pool.precision.kv_cache,
            pool.max_num_seqs * width, pool.max_num_batched_tokens, pool.block_size, blocks,
        )  # fmt: skip

    try:
        tables = build(resolved.model, 1, pool.pool.kv_cache.blocks)
        if pool.pool.speculative is None:
            return tables
        tokens = pool.pool.speculative.tokens
        draft = None if pool.draft is None else build(pool.draft, 1, 1)
        return speculative(tables, build(resolved.model, 1 + tokens, 1), draft, tokens)
    except DoesNotFit as error:
        raise DoesNotFit(str(resolved.error(("pools", index), str(error)))) from error


def _trace_directory(resolved: "ResolvedScenario") -> Path:
    return resolved.directory_of(("workload", "arrivals", "file"))


def _fleet(resolved: "ResolvedScenario", tables: list["CostTables"], router: "Router") -> "Fleet":
    """The compiled fleet, with its router and the stream of requests, and no replica yet."""
    from infersim.dataplane.fleet import Fleet
    from infersim.workload.generate import prefix_tokens, request_chunks

    scenario = resolved.scenario
    chunks = _with_deadlines(
        request_chunks(scenario.workload, scenario.horizon_s, scenario.seed, _trace_directory(resolved)), scenario
    )
    named = prefix_tokens(scenario.workload, _trace_directory(resolved))
    _check_prefixes(resolved, named)
    pools = [_with_policies(costs, pool, named) for costs, pool in zip(tables, resolved.pools, strict=True)]
    return Fleet(
        pools,
        chunks,
        router.compiled,
        reads=router.reads,
        scrape_s=scenario.router.scrape_interval_s,
        by_load=router.by_load,
    )


def _with_deadlines(chunks: "Iterator[Chunk]", scenario: "Scenario") -> "Iterator[Chunk]":
    """The requests with the time in which their class, or the scenario, wants them begun; inf without a limit."""
    import numpy as np

    slos = [tenant.slo or scenario.slo for tenant in scenario.workload.classes or []] or [scenario.slo]
    within = np.array([slo.ttft_p99_s if slo.ttft_p99_s is not None else np.inf for slo in slos])
    for chunk in chunks:
        chunk[0]["deadline_s"] = within[chunk[0]["tenant"]]
        yield chunk


def _check_prefixes(resolved: "ResolvedScenario", prefix_tokens: int) -> None:
    """Raise SpecError for a pool that would cache prefixes which nobody names, or which its KV blocks do not divide."""
    for index, pool in enumerate(resolved.pools):
        path = ("pools", index, "kv_cache", "prefix_caching")
        if pool.pool.kv_cache.prefix_caching and prefix_tokens == 0:
            what = "the workload names no prefixes, so there is nothing to share"
            raise resolved.error(path, f"{what}; replay a trace that has them (Mooncake, Bailian ...), or remove it")
        if pool.pool.kv_cache.prefix_caching and prefix_tokens % pool.block_size:
            what = f"prefix blocks of {prefix_tokens} tokens are not whole KV blocks of {pool.block_size}"
            raise resolved.error(path, f"{what}; set kv_cache.block_size to a divisor of {prefix_tokens}")


def _with_policies(tables: "CostTables", pool: "ResolvedPool", prefix_tokens: int) -> "PoolCost":
    """What the loop must know of a pool: times, and how its engine batches, queues and preempts."""
    from infersim.cost.price import choose_price

    batching, cache = pool.pool.batching, pool.pool.kv_cache
    swap_block_s = 0.0
    link = pool.pool.kv_transfer
    if cache.preemption == "swap":
        assert pool.hardware.host_gb_s is not None  # checked when the scenario was resolved
        block_bytes = tables.memory.kv_bytes_per_token * tables.memory.block_size
        swap_block_s = block_bytes / (tables.chips * pool.hardware.host_gb_s.value * 1e9)
    return replace(
        pool_cost(tables),
        batching="static" if batching.policy == "none" else batching.policy,
        max_queue_delay_s=batching.max_queue_delay_s or 0.0,
        queue_order=pool.pool.queue,
        watermark_blocks=round(cache.watermark * tables.memory.blocks),
        acceptance=pool.pool.speculative.chances if pool.pool.speculative else (),
        role=pool.pool.role,
        transfer_token_s=tables.memory.kv_bytes_per_token / (link.gb_s * 1e9) if link else 0.0,
        transfer_latency_s=link.latency_ms * 1e-3 if link else 0.0,
        swap=cache.preemption == "swap",
        swap_block_s=swap_block_s,
        prefix_tokens=prefix_tokens if cache.prefix_caching else 0,
        usd_per_hour=choose_price(pool.hardware, pool.pool.price)[0] * tables.chips,
    )


def pool_cost(tables: "CostTables") -> "PoolCost":
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


def _open_pools(
    datacenter: "Datacenter", pools: "tuple[ResolvedPool, ...]", scalers: "list[Autoscaler | None]"
) -> None:
    """Open the replicas that are ready at the start, and let each pool's autoscaler begin."""
    from infersim.controlplane.scaler import autoscale

    for pool, resolved, scaler in zip(datacenter.pools, pools, scalers, strict=True):
        limits, spec = resolved.pool.replicas, resolved.pool.autoscaler
        for _ in range(limits.initial):
            pool.open(ready=True)
        if scaler is not None and spec is not None:
            datacenter.env.process(autoscale(pool, scaler, spec, limits))


def _record(
    resolved: "ResolvedScenario", tables: list["CostTables"], fleet: "Fleet", datacenter: "Datacenter"
) -> "RunRecord":
    from infersim.cost.price import choose_price
    from infersim.dataplane.records import REJECTED
    from infersim.results.provenance import pool_sources
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
                sources=pool_sources(pool.hardware, pool.engine, pool.pool.price),
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
