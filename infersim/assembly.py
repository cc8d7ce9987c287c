"""From a resolved scenario to the parts of a run: policies, cost tables, what the loop must know of a pool, the fleet.

Not here: running them (`simulate.py`).
"""

from collections.abc import Callable, Container, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from infersim.cost.measured import Measured
    from infersim.cost.step_table import StepTable
    from infersim.cost.tables import CostTables
    from infersim.dataplane.fleet import Fleet, PoolCost, Sink
    from infersim.policies.autoscaling import Autoscaler, Facts, Registered
    from infersim.policies.autoscaling.oracle import Future
    from infersim.policies.batching import Batching
    from infersim.policies.ordering import Ordering
    from infersim.policies.plugins import Policies
    from infersim.policies.processes import Process
    from infersim.policies.routing import Router
    from infersim.spec.cascade import Lane
    from infersim.spec.errors import KeyPath
    from infersim.spec.model import Model
    from infersim.spec.purchase import PriceChoice
    from infersim.spec.resolve import ResolvedPool, ResolvedScenario
    from infersim.spec.scenario import Pool
    from infersim.spec.workload import Workload
    from infersim.staging import Surroundings
    from infersim.workload.generate import Offered

Chosen = TypeVar("Chosen")


def router(resolved: "ResolvedScenario", policies: "Policies") -> "Router":
    """The router that the scenario names."""
    return chosen(resolved, ("router", "policy"), policies.routers, resolved.scenario.router.policy)


def own_order(resolved: "ResolvedScenario", policies: "Policies") -> Callable | None:
    """The compiled queue orders of the pools that have one of the user's; None if no pool does."""
    from infersim.dataplane import abi
    from infersim.policies.compiling import of_pools
    from infersim.policies.refusal import ORDER
    from infersim.spec.policies import SHIPPED_ORDERS

    found = _own(resolved, ("queue", "order"), SHIPPED_ORDERS, policies.orderings)
    return of_pools(found, ORDER, abi.ORDER_OF_POOL, abi.ORDER) if found else None


def own_batching(resolved: "ResolvedScenario", policies: "Policies") -> Callable | None:
    """The compiled batching policies of the pools that have one of the user's; None if no pool does."""
    from infersim.dataplane import abi
    from infersim.policies.compiling import of_pools
    from infersim.policies.refusal import BATCHING
    from infersim.spec.policies import SHIPPED_BATCHINGS

    found = _own(resolved, ("batching", "policy"), SHIPPED_BATCHINGS, policies.batchings)
    return of_pools(found, BATCHING, abi.SHAPE_OF_POOL, abi.SHAPE) if found else None


def _own(
    resolved: "ResolvedScenario",
    key: tuple[str, str],
    shipped: Container[str],
    known: "Mapping[str, Batching | Ordering]",
) -> dict[int, tuple[str, Callable]]:
    """Name and function of the policy of each pool that has one of the user's under `key`."""
    names = {index: getattr(getattr(pool.pool, key[0]), key[1]) for index, pool in enumerate(resolved.pools)}
    return {
        index: (name, chosen(resolved, ("pools", index, *key), known, name).function)
        for index, name in names.items()
        if name not in shipped
    }


def chosen(resolved: "ResolvedScenario", path: "KeyPath", known: Mapping[str, Chosen], name: str) -> Chosen:
    """The policy that the scenario names at `path`; SpecError with the nearest names if there is none."""
    from infersim.spec.errors import nearest

    if name not in known:
        raise resolved.error(path, f"unknown policy {name}; {nearest(name, known)}")
    return known[name]


def scalers(resolved: "ResolvedScenario", policies: "Policies") -> "list[tuple[Autoscaler, Registered] | None]":
    """Each pool's autoscaler and what it has declared, if it has one."""
    from infersim.policies.errors import PolicyError

    scalers: list[tuple[Autoscaler, Registered] | None] = []
    for number, resolved_pool in enumerate(resolved.pools):
        spec = resolved_pool.pool.autoscaler
        if spec is None:
            scalers.append(None)
            continue
        path = ("pools", number, "autoscaler", "policy")
        registered = chosen(resolved, path, policies.autoscalers, spec.policy)
        try:
            scalers.append((registered.make(**spec.parameters), registered))
        except Exception as error:
            given = ", ".join(f"{name} {value!r}" for name, value in spec.parameters.items()) or "nothing"
            raise PolicyError(f"autoscaler {spec.policy!r} cannot be made with {given}: {error}") from error
    return scalers


def processes(resolved: "ResolvedScenario", policies: "Policies") -> "list[tuple[Process, dict[str, Any]]]":
    """The user's processes that the scenario starts, with their parameters."""
    import inspect

    from infersim.policies.errors import PolicyError

    found = []
    for number, spec in enumerate(resolved.scenario.processes):
        one, given = (
            chosen(resolved, ("processes", number, "process"), policies.processes, spec.process),
            spec.model_extra or {},
        )
        try:
            inspect.signature(one.function).bind("env", "datacenter", **given)
        except TypeError as error:
            raise PolicyError(f"process {one.name!r} cannot be started with {given or 'nothing'}: {error}") from None
        found.append((one, given))
    return found


def facts(resolved: "ResolvedScenario", pool: "ResolvedPool", tables: "CostTables", cold_start_s: float) -> "Facts":
    """What an autoscaler may know of its pool beforehand; `cold_start_s` is its usual time from asked for to ready [s]."""
    import math

    from infersim.policies.autoscaling import Facts

    def strictest(key: str) -> float:
        return min((limit for slo in resolved.scenario.class_slos if (limit := getattr(slo, key))), default=math.inf)

    spec, limits = pool.pool.autoscaler, pool.pool.replicas
    return Facts(
        pool=pool.pool.name,
        fewest=limits.min,
        most=limits.max,
        interval_s=spec.interval_s if spec else math.inf,
        max_num_seqs=tables.max_num_seqs,
        cold_start_s=cold_start_s,
        ttft_s=strictest("ttft_p99_s"),
        tpot_s=strictest("tpot_p99_s"),
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


def _measured(resolved: "ResolvedScenario", index: int) -> "Measured | StepTable | None":
    """The measurements that a pool is priced by, if it is; SpecError where there are none."""
    from infersim.cost.measured_csv import read_measured
    from infersim.cost.silicon import NoTables, silicon
    from infersim.cost.step_table import StepTable

    pool = resolved.pools[index]
    cost, path = pool.pool.cost, ("pools", index, "cost")
    if cost.source == "measured":
        try:
            return silicon(pool.hardware.name, pool.engine.name, cost.version)
        except NoTables as error:
            raise resolved.error((*path, "source"), str(error)) from error
    if cost.file is None:
        return None
    found = read_measured(resolved.directory_of((*path, "file")) / cost.file)
    if isinstance(found, StepTable) and pool.pool.speculative is not None:
        raise resolved.error((*path, "file"), "whole steps were measured without draft tokens; remove speculative")
    return found


def cost_tables(resolved: "ResolvedScenario", index: int) -> "CostTables":
    """Cost tables of one pool; DoesNotFit names the pool, and the file and line that it stands on."""
    from infersim.cost.cold_start import phases
    from infersim.cost.memory import DoesNotFit
    from infersim.cost.tables import ModelCost
    from infersim.cost.zoo import taking_turns
    from infersim.spec.zoo import Switching

    pool = resolved.pools[index]
    try:
        if len(pool.models) == 1:
            return _tables_of(resolved, index, pool.models[0])
        switching, models = pool.pool.switching or Switching(), []
        for number in pool.models:
            tables = _tables_of(resolved, index, number)
            times = phases(pool.pool.cold_start, pool.hardware, pool.engine, tables)
            load_s = times.cached_s if switching.weights_from == "host" else times.load_s
            models.append(ModelCost(number, resolved.models[number].name, tables, load_s))
        return taking_turns(models, switching.resident, pool.pool.kv_cache.blocks)
    except DoesNotFit as error:
        raise DoesNotFit(str(resolved.error(("pools", index), str(error)))) from error


def _tables_of(resolved: "ResolvedScenario", index: int, number: int) -> "CostTables":
    """Cost tables of one of the models of a pool."""
    from infersim.cost.build import build_tables
    from infersim.cost.diffusion import diffusion_tables
    from infersim.cost.speculation import speculative
    from infersim.spec.diffusion import Diffusion
    from infersim.spec.resolve import stored_dtypes

    pool, served, measured = resolved.pools[index], resolved.models[number], _measured(resolved, index)
    stored = pool.precision if len(pool.models) == 1 else stored_dtypes(pool.pool, pool.hardware, served)
    # What is shared, sent or kept beside a draft's keys is whole blocks of all layers.
    windows = not (pool.pool.kv_cache.prefix_caching or pool.pool.role != "both" or pool.draft is not None)

    def build(model: "Model", width: int, blocks: int | None) -> "CostTables":
        slots = pool.pool.lora if model is served and width == 1 else None
        return build_tables(
            model, pool.hardware, pool.engine, pool.pool.parallelism, stored.weights, stored.kv_cache,
            pool.max_num_seqs * width, pool.max_num_batched_tokens, pool.block_size, blocks, measured,
            windows, slots,
        )  # fmt: skip

    if isinstance(served, Diffusion):
        return diffusion_tables(served, pool.hardware, pool.engine, stored.weights, pool.max_num_seqs)
    tables = build(served, 1, pool.pool.kv_cache.blocks)
    if pool.pool.speculative is None:
        return tables
    tokens = pool.pool.speculative.tokens
    draft = None if pool.draft is None else build(pool.draft, 1, 1)
    return speculative(tables, build(served, 1 + tokens, 1), draft, tokens, pool.pool.kv_cache.blocks)


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


def _taken(pool: "Pool", workload: "Workload") -> tuple[bool, ...]:
    """Whether a pool takes requests of each lane; empty where it takes all."""
    chosen, classes, parts = pool.takes.classes, workload.classes or [], workload.parts

    def takes(lane: "Lane") -> bool:
        if cascade := parts[lane.tenant].cascade:
            return cascade[lane.step].pool == pool.name
        return chosen is None or classes[lane.tenant].name in chosen

    return () if chosen is None and not workload.cascades else tuple(takes(lane) for lane in workload.lanes)


def served_by(tables: "CostTables", pool: "ResolvedPool", prefix_tokens: int) -> "PoolCost":
    """What the loop must know of a pool: times, and how its engine batches, queues and preempts."""
    import math

    import numpy as np

    from infersim.spec.policies import SHIPPED_BATCHINGS, SHIPPED_ORDERS

    if tables.models:
        return _served_in_turns(tables, pool, prefix_tokens)
    batching, cache, queue = pool.pool.batching, pool.pool.kv_cache, pool.pool.queue
    assert batching.policy is not None  # the engine's own was filled in
    swap_block_s, host_entries = 0.0, 0
    link = pool.pool.kv_transfer
    if cache.host_gb is not None:
        host_entries = int(cache.host_gb * 1e9 // (tables.memory.kv_bytes_per_token * prefix_tokens))
    if cache.preemption == "swap" or cache.host_gb is not None:
        assert pool.hardware.host_gb_s is not None  # checked when the scenario was resolved
        swap_block_s = tables.memory.block_bytes / (tables.chips * pool.hardware.host_gb_s.value * 1e9)
    return replace(
        pool_cost(tables),
        batching={"none": "static"}.get(
            batching.policy, batching.policy if batching.policy in SHIPPED_BATCHINGS else "own"
        ),
        max_queue_delay_s=batching.max_queue_delay_s or 0.0,
        queue_order=queue.order if queue.order in SHIPPED_ORDERS else "own",
        prediction_sigma=queue.prediction_sigma or 0.0,
        input_weight=1 if queue.input_weight is None else queue.input_weight,
        output_weight=2 if queue.output_weight is None else queue.output_weight,
        max_queued=queue.max_queued,
        max_queued_work_s=math.inf if queue.max_queued_work_s is None else queue.max_queued_work_s,
        watermark_blocks=round(cache.watermark * tables.memory.blocks),
        acceptance=pool.pool.speculative.chances if pool.pool.speculative else (),
        role=pool.pool.role,
        transfer_token_s=tables.memory.kv_bytes_per_token / (link.gb_s * 1e9) if link else 0.0,
        transfer_latency_s=link.latency_ms * 1e-3 if link else 0.0,
        swap=cache.preemption == "swap",
        swap_block_s=swap_block_s,
        prompts_s=np.zeros(0) if tables.prompts is None else tables.prompts.seconds,
        prefix_tokens=prefix_tokens if cache.prefix_caching else 0,
        host_entries=host_entries,
        min_input_tokens=pool.pool.takes.min_input_tokens,
        max_input_tokens=pool.pool.takes.max_input_tokens or 2**62,
        model=pool.models[0],
    )


def _served_in_turns(tables: "CostTables", pool: "ResolvedPool", prefix_tokens: int) -> "PoolCost":
    """The same of a pool with several models."""
    import math

    from infersim.spec.zoo import Switching

    switching = pool.pool.switching or Switching()
    first, *others = [
        replace(
            served_by(model.tables, pool, prefix_tokens),
            model=model.number,
            weight_bytes=math.ceil(model.tables.memory.weight_bytes),
            load_s=model.load_s,
            switch_s=switching.switch_s,
            turn_s=switching.turn_s,
            model_bytes=tables.room_bytes,
            eviction=switching.eviction,
        )
        for model in tables.models
    ]
    return replace(first, others=tuple(others))


def pool_cost(tables: "CostTables") -> "PoolCost":
    """The times of cost tables, as the compiled loop takes them."""
    import numpy as np

    from infersim.dataplane.fleet import PoolCost

    adapters = tables.adapters
    return PoolCost(
        adapter_slots=adapters.slots if adapters else 0,
        adapter_rank_s=adapters.rank_s if adapters else 0.0,
        adapter_step_s=float(adapters.step.seconds) if adapters else 0.0,
        adapter_read_s=float(adapters.read.seconds) if adapters else 0.0,
        adapter_token_s=float(adapters.token.seconds) if adapters else 0.0,
        linear_s=tables.linear.seconds,
        mixed_s=np.zeros(0) if tables.mixed is None else tables.mixed.seconds,
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
        full_blocks=tables.memory.full_blocks,
        window_blocks=tables.memory.window_blocks,
        window_tokens=tables.memory.window_tokens,
        max_num_seqs=tables.max_num_seqs,
        max_num_batched_tokens=tables.max_num_batched_tokens,
        max_context=tables.max_context,
        async_scheduling=tables.async_scheduling,
    )


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


def fleet(
    resolved: "ResolvedScenario",
    tables: "list[CostTables]",
    policies: "Policies",
    requests: "Offered",
    sink: "Sink",
    around: "list[Surroundings]",
) -> "Fleet":
    """The compiled fleet, with its policies, the stream of requests and where they end, and no replica yet."""
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
