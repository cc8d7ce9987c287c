"""Build the cost tables of one (model, chip, engine, parallelism, precision): the door of this package.

Not here: how steps are timed (`roofline.py`, `pipeline.py`). Read `tables.py` for what is built.
"""

from infersim.cost import pipeline, roofline
from infersim.cost.adapters import adapter_cost
from infersim.cost.chip import Chip
from infersim.cost.deployment import Deployment
from infersim.cost.energy import dynamic_energy
from infersim.cost.measured import Measured
from infersim.cost.memory import plan_memory
from infersim.cost.operators import short_windows
from infersim.cost.prompts import prefill_work
from infersim.cost.step_table import StepTable, stepped
from infersim.cost.tables import CostTables, Work
from infersim.cost.work import padding
from infersim.spec.adapters import AdapterSlots
from infersim.spec.base import Dtype
from infersim.spec.engine import Engine
from infersim.spec.hardware import Hardware
from infersim.spec.model import Model
from infersim.spec.pool import Parallelism


def build_tables(
    model: Model, hardware: Hardware, engine: Engine, parallelism: Parallelism, weights: Dtype, kv_cache: Dtype,
    max_num_seqs: int, max_num_batched_tokens: int, block_size: int, blocks: int | None,
    measured: Measured | StepTable | None = None, windows: bool = False,
    adapters: AdapterSlots | None = None,
) -> CostTables:  # fmt: skip
    """Price every shape of step; ValueError (DoesNotFit among them) says what is wrong and what would be right.

    `windows`: whether KV blocks that a sliding window has left are used again (see `Deployment`).
    `measured`: tables of operators, or of whole steps, that take the place of analytic times.
    """
    check(hardware, engine, model, parallelism)
    pipelined = hardware.execution == "pipeline"
    d = Deployment(
        model=model,
        chip=Chip(hardware),
        engine=engine,
        tensor=parallelism.tensor,
        expert=parallelism.expert,
        attention_data=parallelism.attention_data,
        stages=parallelism.pipeline,
        chips=parallelism.chips or parallelism.tensor * parallelism.pipeline,
        weights=weights,
        kv_cache=kv_cache,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max_num_batched_tokens,
        block_size=block_size,
        blocks=blocks,
        windows=windows,
        adapters=adapters,
        measured=measured if isinstance(measured, Measured) else None,
    )
    plan, power = plan_memory(d), hardware.power
    joules_per_flop, joules_per_byte = dynamic_energy(
        power.tdp_w.value - power.idle_w.value, d.chip.best_flops(weights), d.chip.best_bytes_s
    )
    tables = CostTables(
        **(pipeline_tables(d) if pipelined else roofline_tables(d)),  # type: ignore[arg-type]
        memory=plan,
        request_overhead_s=engine.request_overhead_ms.value * 1e-3 * d.chip.host_time,
        token_overhead_s=engine.token_overhead_us.value * 1e-6 * d.chip.host_time,
        async_scheduling=engine.async_scheduling,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max_num_batched_tokens,
        chips=d.chips,
        peak_flops=d.chips * d.chip.peak_flops(weights),
        peak_bytes_s=d.chips * d.chip.peak_bytes_s,
        idle_w=d.chips * power.idle_w.value,
        tdp_w=d.chips * power.tdp_w.value,
        joules_per_flop=joules_per_flop,
        joules_per_byte=joules_per_byte,
        load_s=plan.weight_bytes / d.chips / (hardware.load_gb_s.value * 1e9),
        provision_s=hardware.provision_s.value,
        initialise_s=engine.initialise_s.value,
        max_context=min(model.max_context, engine.slot_tokens or model.max_context),
        adapters=adapter_cost(d),
        models=(),
        room_bytes=0,
        notes=notes(d) + ([f"operators as measured: {d.measured.source}"] if d.measured else []),
    )
    return stepped(tables, measured) if isinstance(measured, StepTable) else tables


def check(hardware: Hardware, engine: Engine, model: Model, parallelism: Parallelism) -> None:
    """Raise ValueError if engine and chip or chip and layout do not go together."""
    if hardware.execution not in engine.execution or (engine.vendors and hardware.vendor not in engine.vendors):
        drives = (
            " and ".join(engine.execution) + " chips" + (f" of {', '.join(engine.vendors)}" if engine.vendors else "")
        )
        chip = f"{hardware.name} ({hardware.vendor}, {hardware.execution})"
        raise ValueError(f"engine {engine.name} drives {drives}, not {chip}")
    product = parallelism.tensor * parallelism.pipeline
    if hardware.execution == "pipeline":
        if product != 1 or parallelism.chips is None:
            raise ValueError(
                f"{hardware.name} keeps weights in SRAM over many chips: give chips, not tensor or pipeline"
            )
    elif parallelism.chips not in (None, product):
        raise ValueError(f"a replica on {hardware.name} takes tensor x pipeline = {product} chips; leave chips out")
    if parallelism.pipeline > model.layers:
        raise ValueError(f"{parallelism.pipeline} pipeline stages exceed the {model.layers} layers of {model.name}")


def roofline_tables(d: Deployment) -> dict[str, Work | None]:
    """The tables of a chip that streams its weights."""
    base, per_context = roofline.decode_work(d)
    prompts, chunk, pair, context = prefill_work(d)
    linear = roofline.linear_work(d)
    return {
        "linear": linear,
        "mixed": roofline.mixed_work(d, linear),
        "sequences": roofline.sequence_work(d),
        "decode_base": base,
        "decode_per_context": per_context,
        "prefill_chunk": chunk,
        "prefill_pair": pair,
        "prefill_context": context,
        "prompts": prompts,
    }


def pipeline_tables(d: Deployment) -> dict[str, Work]:
    """The tables of a machine whose weights stay in SRAM."""
    machine = pipeline.lay_out(d)
    base, per_context = pipeline.decode_work(d, machine)
    chunk, pair, context = pipeline.prefill_work(d)
    return {
        "linear": pipeline.linear_work(d, machine),
        "sequences": pipeline.sequence_work(d, machine),
        "decode_base": base,
        "decode_per_context": per_context,
        "prefill_chunk": chunk,
        "prefill_pair": pair,
        "prefill_context": context,
    }


def notes(d: Deployment) -> list[str]:
    """What a reader of the results should know."""
    name, found = d.chip.hardware.name, []
    computed = d.chip.computes(d.weights)
    if computed != d.weights:
        found.append(f"{name} stores {d.weights} weights and computes in {computed}")
    if d.engine.token_buckets:
        sizes = d.engine.token_buckets
        found.append(
            f"{d.engine.name} pads the tokens of a step to {len(sizes)} compiled sizes, {min(sizes)} to {max(sizes)}"
        )
    if d.engine.context_buckets:
        found.append(
            f"{d.engine.name} pads contexts to compiled lengths: attention reads {padding(d.engine.context_buckets):.2f} times them"
        )
    if d.engine.slot_tokens is not None:
        found.append(f"every step reads the caches of all slots, {d.engine.slot_tokens} tokens each")
    if d.shard.heads * d.tensor != d.model.attention.heads:
        found.append(f"{d.engine.name} pads {d.model.attention.heads} heads to {d.shard.heads * d.tensor}")
    window = d.model.attention.sliding_window
    if window:
        how = "always full" if short_windows(d.model) else "attention to the whole context"
        found.append(f"{d.model.with_window} layers attend to a window of {window} tokens; it is priced as {how}")
    if d.stages > 1:
        found.append(f"each step is cut into {d.stages} micro-batches that keep all pipeline stages busy")
    return found
