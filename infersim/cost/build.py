"""Build the cost tables of one (model, chip, engine, parallelism, precision): the door of this package.

Not here: how steps are timed (`roofline.py`, `pipeline.py`). Read `tables.py` for what is built.
"""

from typing import Any

from infersim.cost import memory, pipeline, roofline
from infersim.cost.chip import Chip
from infersim.cost.energy import dynamic_energy
from infersim.cost.sharding import divide
from infersim.cost.tables import CostTables, MemoryPlan
from infersim.spec.base import Dtype
from infersim.spec.engine import Engine
from infersim.spec.hardware import Hardware
from infersim.spec.model import Model
from infersim.spec.scenario import Parallelism


def build_tables(
    model: Model, hardware: Hardware, engine: Engine, parallelism: Parallelism, weights: Dtype, kv_cache: Dtype,
    max_num_seqs: int, max_num_batched_tokens: int, block_size: int, blocks: int | None,
) -> CostTables:  # fmt: skip
    """Price every shape of step; ValueError (DoesNotFit among them) says what is wrong and what would be right."""
    if hardware.execution not in engine.execution or (engine.vendors and hardware.vendor not in engine.vendors):
        drives = f"{' and '.join(engine.execution)} chips" + (
            f" of {', '.join(engine.vendors)}" if engine.vendors else ""
        )
        raise ValueError(
            f"engine {engine.name} drives {drives}, not {hardware.name} ({hardware.vendor}, {hardware.execution})"
        )
    chip = Chip(hardware)
    limits = (max_num_seqs, max_num_batched_tokens)
    build = _roofline if hardware.execution == "roofline" else _pipeline
    parts, plan = build(model, chip, engine, parallelism, weights, kv_cache, limits, block_size, blocks)
    chips, power = plan.chips, hardware.power
    joules_per_flop, joules_per_byte = dynamic_energy(
        power.tdp_w.value, power.idle_w.value, chip.best_flops(weights), chip.best_bytes_s
    )
    return CostTables(
        **parts,
        memory=plan,
        request_overhead_s=engine.request_overhead_ms.value * 1e-3,
        token_overhead_s=engine.token_overhead_us.value * 1e-6,
        async_scheduling=engine.async_scheduling,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max_num_batched_tokens,
        chips=chips,
        peak_flops=chips * chip.peak_flops(weights),
        peak_bytes_s=chips * chip.peak_bytes_s,
        idle_w=chips * power.idle_w.value,
        tdp_w=chips * power.tdp_w.value,
        joules_per_flop=joules_per_flop,
        joules_per_byte=joules_per_byte,
        load_s=plan.weight_bytes / chips / (hardware.load_gb_s.value * 1e9),
        provision_s=hardware.provision_s.value,
        initialise_s=engine.initialise_s.value,
        max_context=model.max_context,
        notes=_notes(model, chip, engine, parallelism, weights),
    )


def _roofline(
    model: Model, chip: Chip, engine: Engine, parallelism: Parallelism, weights: Dtype, kv_cache: Dtype,
    limits: tuple[int, int], block_size: int, blocks: int | None,
) -> tuple[dict[str, Any], MemoryPlan]:  # fmt: skip
    tensor, stages, (sequences, tokens) = parallelism.tensor, parallelism.pipeline, limits
    if parallelism.chips not in (None, tensor * stages):
        raise ValueError(
            f"{chip.hardware.name} takes its chips from tensor x pipeline = {tensor * stages}, found chips {parallelism.chips}; "
            "leave chips out"
        )
    if stages > model.layers:
        raise ValueError(f"pipeline parallelism {stages} exceeds the {model.layers} layers of {model.name}")
    shard = divide(model, tensor)
    plan = memory.plan_memory(
        model, chip.hardware, engine, tensor, stages, weights, kv_cache, sequences, tokens, block_size, blocks
    )
    base, per_context = roofline.decode_work(model, chip, engine, shard, stages, kv_cache, sequences)
    chunk, pair, context = roofline.prefill_work(model, chip, shard, stages, kv_cache)
    parts = {
        "linear": roofline.linear_work(model, chip, engine, shard, stages, weights, tokens),
        "sequences": roofline.sequence_work(model, chip, engine, shard, stages, weights, sequences),
        "decode_base": base,
        "decode_per_context": per_context,
        "prefill_chunk": chunk,
        "prefill_pair": pair,
        "prefill_context": context,
    }
    return parts, plan


def _pipeline(
    model: Model, chip: Chip, engine: Engine, parallelism: Parallelism, weights: Dtype, kv_cache: Dtype,
    limits: tuple[int, int], block_size: int, blocks: int | None,
) -> tuple[dict[str, Any], MemoryPlan]:  # fmt: skip
    sequences, tokens = limits
    if parallelism.tensor != 1 or parallelism.pipeline != 1:
        raise ValueError(
            f"{chip.hardware.name} keeps weights in SRAM over many chips: give parallelism {{chips: N}}, not tensor or pipeline"
        )
    chips = parallelism.chips or 1
    plan = pipeline.plan_memory(model, chip.hardware, engine, chips, weights, kv_cache, block_size, blocks)
    stages = pipeline.lay_out(model, chip, weights, chips)
    base, per_context = pipeline.decode_work(model, chip, stages, kv_cache, sequences)
    chunk, pair, context = pipeline.prefill_work(model, chip, stages, kv_cache)
    parts = {
        "linear": pipeline.linear_work(model, stages, weights, tokens),
        "sequences": pipeline.sequence_work(model, stages, engine, weights, sequences),
        "decode_base": base,
        "decode_per_context": per_context,
        "prefill_chunk": chunk,
        "prefill_pair": pair,
        "prefill_context": context,
    }
    return parts, plan


def _notes(model: Model, chip: Chip, engine: Engine, parallelism: Parallelism, weights: Dtype) -> list[str]:
    name, notes = chip.hardware.name, []
    computed = chip.computes(weights)
    if computed != weights:
        notes.append(f"{name} stores {weights} weights and computes in {computed}")
    if engine.token_buckets:
        notes.append(
            f"{engine.name} pads steps to compiled sizes of {', '.join(map(str, engine.token_buckets))} tokens"
        )
    if model.attention.sliding_window:
        notes.append(f"{model.name} attends at most {model.attention.sliding_window} tokens; costed as full attention")
    if parallelism.pipeline > 1:
        notes.append(f"each step is cut into {parallelism.pipeline} micro-batches that keep all pipeline stages busy")
    return notes
