"""What a pool costs: its cost tables, and what the compiled loop must know of them and of its engine.

Not here: the cost models (`cost/`).
"""

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infersim.cost.measured import Measured
    from infersim.cost.step_table import StepTable
    from infersim.cost.tables import CostTables
    from infersim.dataplane.fleet import PoolCost
    from infersim.spec.model import Model
    from infersim.spec.resolve import ResolvedPool, ResolvedScenario


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


def served_by(tables: "CostTables", pool: "ResolvedPool", prefix_tokens: int) -> "PoolCost":
    """What the loop must know of a pool: times, and how its engine batches, queues and preempts."""
    import math

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
        watermark_blocks=round((cache.watermark or 0.0) * tables.memory.blocks),
        promises=cache.admission == "promised",
        acceptance=pool.pool.speculative.chances if pool.pool.speculative else (),
        role=pool.pool.role,
        transfer_token_s=tables.memory.kv_bytes_per_token / (link.gb_s * 1e9) if link else 0.0,
        transfer_latency_s=link.latency_ms * 1e-3 if link else 0.0,
        swap=cache.preemption == "swap",
        swap_block_s=swap_block_s,
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
        prompts_s=np.zeros(0) if tables.prompts is None else tables.prompts.seconds,
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
