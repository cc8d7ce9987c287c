"""Where a replica's memory goes: weights, activations, and what is left for KV blocks.

Not here: time. Read `build.py` for who calls this.
"""

import math

from infersim.cost.adapters import slots_bytes
from infersim.cost.deployment import Deployment
from infersim.cost.operators import attended, kv_groups, kv_layer_elements, layer_parameters
from infersim.cost.sharding import Shard
from infersim.cost.tables import MemoryPlan
from infersim.spec.base import BYTES_PER_ELEMENT, Dtype

RUNTIME_BYTES = 0.6e9
"""Driver context, communication buffers and workspaces of one roofline chip [B]. Estimated from the block counts that
vLLM 0.15 printed on H100 for seven models (0.9 to 2.0 GB are neither weights nor KV, activations included)."""
LOGIT_BYTES = 8.0
"""Bytes for each sequence and vocabulary entry while sampling: fp32 logits and probabilities."""
SORT_BYTES = 16.0
"""The same for keys and indices where the engine's sampler sorts them."""


class DoesNotFit(ValueError):
    """The model does not fit; the message says by how many bytes and what would fit."""


def weight_bytes(d: Deployment, shard: Shard, weights: Dtype) -> float:
    """Weights of one chip that holds its `shard` of all layers, stored as `weights` [B]."""
    stored, model = BYTES_PER_ELEMENT[weights], d.model
    kept = max(stored, 2.0)
    matrices, small = layer_parameters(model, shard)
    embeddings = shard.vocab * model.hidden_size * (1 if model.tied_embeddings else 2) + model.hidden_size
    return matrices * stored + small * kept + embeddings * kept


def reserve_bytes(d: Deployment, shard: Shard) -> float:
    """Activations of one chip in the largest step, logits and runtime [B]; SRAM machines stream activations through."""
    if d.chip.hardware.execution == "pipeline":
        return 0.0
    model, experts = d.model, d.model.experts
    logits = LOGIT_BYTES + (SORT_BYTES if d.engine.filter_overhead_us is not None else 0.0)
    own = 6 * model.hidden_size + (shard.heads + 2 * shard.kv_heads) * model.attention.head_dim
    dense = 3 * (shard.intermediate + shard.shared_intermediate)
    routed = 0.0
    if experts:
        visits = experts.per_token * shard.experts / experts.count
        routed = visits * (model.hidden_size + 3 * shard.expert_intermediate)
    tokens, seqs = d.max_num_batched_tokens, math.ceil(d.max_num_seqs / d.attention_data)  # each rank samples its own
    wide = tokens / d.attention_data * own + tokens / (d.tensor / shard.dense_tensor) * dense + tokens * routed
    return RUNTIME_BYTES + 2.0 * wide + logits * seqs * model.vocab_size


def plan_memory(d: Deployment) -> MemoryPlan:
    """Divide a replica's memory; an explicit block count wins; DoesNotFit says what is missing and what would fit."""
    capacity = d.chip.capacity_bytes * d.chips
    usable = capacity * d.engine.memory_fraction.value
    held = weight_bytes(d, d.shard, d.weights) * d.tensor
    reserve = reserve_bytes(d, d.shard) * d.chips
    shapes = attended(d.model, d.shard)
    windows = d.windows and d.model.with_window > 0
    full, windowed = kv_groups(d.model) if windows else (1, 0)
    stored = d.model.with_attention * kv_layer_elements(d.model, d.shard) if windows else shapes.stored
    per_token = stored * d.shard.attention_tensor * d.kv_bytes
    besides = shapes.held_states + (0.0 if windows else shapes.held_windows)
    reserve += slots_bytes(d)
    reserve += besides * d.shard.attention_tensor * d.kv_bytes * d.max_num_seqs
    blocks = d.blocks
    if blocks is None:
        blocks = math.floor((usable - held - reserve) * (full + windowed) / (per_token * d.block_size))
        missing = held + reserve + per_token * d.block_size - usable
    else:
        missing = held + blocks * per_token * d.block_size - capacity
        blocks *= full + windowed
    if missing > 0:
        raise DoesNotFit(_explain(d, held, reserve, per_token * d.block_size, missing))
    return MemoryPlan(
        chips=d.chips,
        capacity_bytes=capacity,
        usable_bytes=usable,
        weight_bytes=held,
        reserve_bytes=reserve,
        kv_bytes_per_token=per_token,
        block_size=d.block_size,
        blocks=blocks,
        full_blocks=full,
        window_blocks=windowed,
        window_tokens=(d.model.attention.sliding_window or 0) if windows else 0,
    )


def _explain(d: Deployment, held: float, reserve: float, block: float, missing: float) -> str:
    """What does not fit, by how much, and what would."""
    parts = f"weights {in_gb(held)}"
    if d.blocks is None:
        limit = d.chip.capacity_bytes * d.chips * d.engine.memory_fraction.value
        parts += f", activations and runtime {in_gb(reserve)}" if reserve else ""
        parts += f" and one KV block {in_gb(block)}"
    else:
        limit = d.chip.capacity_bytes * d.chips
        parts += f" and {d.blocks} KV blocks {in_gb(d.blocks * block)}"
    ways = _remedies(d)
    return (
        f"{d.model.name} in {d.weights} does not fit {d.chips} x {d.chip.hardware.name}: {parts} exceed "
        f"the {in_gb(limit)} that may be filled by {missing:,.0f} bytes; "
        + (f"what would fit: {' or '.join(ways)}" if ways else "nothing that this chip offers would fit")
    )


def _remedies(d: Deployment) -> list[str]:
    """The least change of each kind that would fit: more chips, a smaller dtype, fewer blocks."""
    smaller: list[Dtype] = [
        dtype
        for dtype in ("fp8", "int8", "int4")
        if d.chip.hardware.compute_dtype(dtype) and BYTES_PER_ELEMENT[dtype] < d.stored_bytes  # type: ignore[arg-type]
    ]  # type: ignore[assignment]
    if d.chip.hardware.execution == "pipeline":
        room = d.chip.capacity_bytes * d.engine.memory_fraction.value
        ways = [f"{math.ceil(weight_bytes(d, d.shard, d.weights) / room)} chips"]
        ways += [f"{dtype} weights" for dtype in smaller if weight_bytes(d, d.shard, dtype) < room * d.chips][:1]
    else:
        ways = [f"tensor parallelism {n}" for n in _degrees(d) if _leaves_room(d, n, d.weights)][:1]
        ways += [f"{dtype} weights" for dtype in smaller if _leaves_room(d, d.tensor, dtype)][:1]
    return ways + (["fewer KV blocks"] if d.blocks is not None and _leaves_room(d, d.tensor, d.weights) else [])


def _degrees(d: Deployment) -> list[int]:
    """Larger tensor parallelism that the links and the heads allow."""
    link, heads = d.chip.link, d.model.attention.heads
    reach = 1 if link.topology in ("none", "point_to_point") else link.domain_chips
    return [n for n in range(d.tensor + 1, reach + 1) if d.engine.pads_heads or heads % n == 0]


def _leaves_room(d: Deployment, tensor: int, weights: Dtype) -> bool:
    """Whether weights and reserve of a chip leave room for KV."""
    shard = d.divided(tensor)
    needed = weight_bytes(d, shard, weights) / d.stages + reserve_bytes(d, shard)
    return needed < d.chip.capacity_bytes * d.engine.memory_fraction.value


def in_gb(size: float) -> str:
    """A size as text."""
    return f"{size / 1e9:,.2f} GB" if size >= 1e7 else f"{size / 1e6:,.2f} MB"
