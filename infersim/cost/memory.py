"""Where a replica's memory goes: weights, activations, and what is left for KV blocks.

Not here: time. Read `build.py` for who calls this.
"""

from infersim.cost.operators import kv_elements, layer_parameters
from infersim.cost.sharding import Shard, divide
from infersim.cost.tables import MemoryPlan
from infersim.spec.base import BYTES_PER_ELEMENT, Dtype
from infersim.spec.engine import Engine
from infersim.spec.hardware import Hardware
from infersim.spec.model import Model

RUNTIME_BYTES = 0.6e9
"""Driver context, communication buffers and workspaces of one roofline chip [B]. Estimated from the block counts that
vLLM 0.15 printed on H100 for seven models (0.9 to 2.0 GB are neither weights nor KV, activations included)."""
LOGIT_BYTES = 24.0
"""Bytes for each sequence and vocabulary entry while sampling: fp32 logits, probabilities, sort keys and indices."""


class DoesNotFit(ValueError):
    """The model does not fit; the message says by how many bytes and what would fit."""


def effective_bits(weights: Dtype) -> tuple[float, float]:
    """Bytes of an element of (the large matrices, everything that engines keep in 16 bit)."""
    stored = BYTES_PER_ELEMENT[weights]
    return stored, max(stored, 2.0)


def weight_bytes(model: Model, shard: Shard, weights: Dtype) -> float:
    """Weights on one chip of a tensor-parallel group that holds all layers [B]."""
    stored, kept = effective_bits(weights)
    quantised, small = layer_parameters(model, shard)
    embeddings = shard.vocab * model.hidden_size * (1 if model.tied_embeddings else 2) + model.hidden_size
    return model.layers * (quantised * stored + small * kept) + embeddings * kept


def reserve_bytes(model: Model, shard: Shard, tokens: int, sequences: int) -> float:
    """Activations of one chip in the largest step, logits and runtime [B]."""
    attention, experts = model.attention, model.experts
    width = 6 * model.hidden_size + (shard.heads + 2 * shard.kv_heads) * attention.head_dim + 3 * shard.intermediate
    if experts:
        width += experts.per_token * (model.hidden_size + 3 * shard.expert_intermediate) + 3 * shard.shared_intermediate
    return RUNTIME_BYTES + 2.0 * tokens * width + LOGIT_BYTES * sequences * model.vocab_size


def plan_memory(
    model: Model, hardware: Hardware, engine: Engine, tensor: int, stages: int, weights: Dtype, kv_cache: Dtype,
    max_num_seqs: int, max_num_batched_tokens: int, block_size: int, blocks: int | None,
) -> MemoryPlan:  # fmt: skip
    """Divide a roofline replica's memory; an explicit block count wins; DoesNotFit says what would fit."""
    shard, chips = divide(model, tensor), tensor * stages
    capacity = hardware.memory.capacity_gb.value * 1e9 * chips
    usable = capacity * engine.memory_fraction.value
    held = weight_bytes(model, shard, weights) * tensor
    reserve = reserve_bytes(model, shard, max_num_batched_tokens, max_num_seqs) * chips
    per_token = kv_elements(model, shard) * tensor * BYTES_PER_ELEMENT[kv_cache]
    fit = whole_blocks(usable - held - reserve, per_token * block_size)
    wanted = (blocks if blocks is not None else 1) * per_token * block_size
    room = capacity - held if blocks is not None else usable - held - reserve
    if wanted > room:
        raise DoesNotFit(
            f"{model.name} in {weights} does not fit {chips} x {hardware.name}: weights {_gb(held)}, "
            f"activations and runtime {_gb(reserve)} and {'the KV blocks asked for' if blocks else 'one KV block'} "
            f"{_gb(wanted)} exceed the {_gb(capacity if blocks is not None else usable)} that may be filled "
            f"by {wanted - room:,.0f} bytes; "
            + _remedy(model, hardware, engine, tensor, stages, weights, max_num_seqs, max_num_batched_tokens)
        )
    return MemoryPlan(
        chips=chips, capacity_bytes=capacity, usable_bytes=usable, weight_bytes=held, reserve_bytes=reserve,
        kv_bytes_per_token=per_token, block_size=block_size, blocks=fit if blocks is None else blocks,
    )  # fmt: skip


def whole_blocks(room: float, block: float) -> int:
    """Blocks of `block` bytes that `room` bytes hold."""
    return max(0, int(room // block))


def _remedy(
    model: Model,
    hardware: Hardware,
    engine: Engine,
    tensor: int,
    stages: int,
    weights: Dtype,
    sequences: int,
    tokens: int,
) -> str:
    """What would fit: more chips, or a smaller dtype."""
    usable = hardware.memory.capacity_gb.value * 1e9 * engine.memory_fraction.value

    def fits(n: int, dtype: Dtype) -> bool:
        shard = divide(model, n)
        return weight_bytes(model, shard, dtype) / stages + reserve_bytes(model, shard, tokens, sequences) < usable

    limit = hardware.link.domain_chips if hardware.link.topology != "none" else 1
    degrees = [n for n in range(tensor + 1, limit + 1) if model.attention.heads % n == 0]
    ways = [f"tensor parallelism {n}" for n in degrees if fits(n, weights)][:1]
    smaller: tuple[Dtype, ...] = ("fp8", "int8", "int4")
    known = [d for d in smaller if d in hardware.peak_tflops or d in hardware.computes_as]
    ways += [f"{d} weights" for d in known if BYTES_PER_ELEMENT[d] < BYTES_PER_ELEMENT[weights] and fits(tensor, d)][:1]
    return (
        f"what would fit: {' or '.join(ways)}"
        if ways
        else "no tensor parallelism or smaller dtype of this chip would fit"
    )


def _gb(size: float) -> str:
    return f"{size / 1e9:,.2f} GB"
