"""Cost tables of machines that keep all weights in SRAM, spread over a fixed number of chips or wafers.

Not a roofline with other numbers: a token visits the layers one after the other, and only the chips that hold a layer work
on it, so one token's latency is the sum over layers of (operators x their fill time + weights through that layer's share of
the machine), however large the machine is. Sequences follow each other one stage interval apart, so a step takes
max(latency, B x interval). A layer holds chips / layers of the machine: several chips of a Groq rack, a strip of a wafer.
Not here: capacity (`memory.py`). Read `roofline.py` for the other kind.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from infersim.cost.chip import Chip
from infersim.cost.collectives import send_s
from infersim.cost.memory import DoesNotFit, effective_bits, weight_bytes, whole_blocks
from infersim.cost.operators import (
    Operator, attention_flops, expected_experts, head_operators, kv_elements, layer_operators,
)  # fmt: skip
from infersim.cost.roofline import ACTIVATION_BYTES, launches, only_where, zeros
from infersim.cost.sharding import divide
from infersim.cost.tables import MemoryPlan, Work
from infersim.spec.base import BYTES_PER_ELEMENT, Dtype
from infersim.spec.engine import Engine
from infersim.spec.hardware import Hardware
from infersim.spec.model import Model

Array = NDArray[np.float64]

ATTENTION_OPERATORS = 2
"""Scores, then softmax and the weighted sum: operators of decode attention in a layer."""


@dataclass(frozen=True)
class Stages:
    """A model laid out over the machine; the LM head is one more layer."""

    chips: int
    layers: int
    floor_s: float
    """Operators' fill time of one layer and the hand-overs that it needs [s]."""
    head_floor_s: float
    """The same for the LM head [s]."""
    weights_s: float
    """Reading all weights that one token needs, the whole machine working at once [s]."""
    compute_s: float
    """Arithmetic of one token, the whole machine working at once [s]."""

    @property
    def latency_s(self) -> float:
        """One token through all layers [s]: while a layer works, the others' share of the machine is idle."""
        moving = self.layers * max(self.weights_s, self.compute_s)
        return self.layers * self.floor_s + self.head_floor_s + moving

    @property
    def interval_s(self) -> float:
        """Least time between two sequences: every layer busy with another one [s]."""
        return max(self.weights_s, self.compute_s)


def lay_out(model: Model, chip: Chip, weights: Dtype, chips: int) -> Stages:
    """Spread layers evenly over the chips."""
    shard = divide(model, 1)
    layer, head = layer_operators(model, shard), head_operators(model, shard)
    read = model.layers * bytes_for_token(layer, weights) + bytes_for_token(head, weights)
    flops = model.layers * sum(o.flops for o in layer) + sum(o.flops for o in head)
    message = np.array(ACTIVATION_BYTES * model.hidden_size)
    hop = float(send_s(chip.link, message))
    within = (
        2.0 * hop if chips > model.layers else 0.0
    )  # a layer on several chips gathers after attention and after the MLP
    between = hop * min(chips, model.layers) / model.layers
    operators = sum(o.launches for o in layer) + ATTENTION_OPERATORS
    return Stages(
        chips=chips,
        layers=model.layers,
        floor_s=operators * chip.floor_s + within + between,
        head_floor_s=sum(o.launches for o in head) * chip.floor_s + hop,
        weights_s=read / (chips * chip.weight_bytes_s),
        compute_s=flops / (chips * chip.matmul_flops(weights)),
    )


def bytes_for_token(operators: list[Operator], weights: Dtype) -> float:
    """Weights that one token reads [B]."""
    stored, kept = effective_bits(weights)
    total = 0.0
    for operator in operators:
        share = operator.experts[1] / operator.experts[0] if operator.experts else 1.0
        total += operator.weights * share * (stored if operator.quantised else kept)
    return total


def linear_work(model: Model, stages: Stages, weights: Dtype, limit: int) -> Work:
    """By tokens of the step: one pass through all layers, or as long as the arithmetic of all tokens takes."""
    tokens = np.arange(limit + 1, dtype=np.float64)
    shard = divide(model, 1)
    floors = np.full_like(tokens, stages.layers * stages.floor_s + stages.head_floor_s)
    first = stages.layers * max(stages.weights_s, stages.compute_s)
    extra = np.maximum(0.0, tokens * stages.compute_s - floors - first)
    bound_by_memory = stages.weights_s >= stages.compute_s
    operators = layer_operators(model, shard)
    stored, kept = effective_bits(weights)
    read = np.zeros_like(tokens)
    for operator in operators:
        seen = expected_experts(*operator.experts, tokens) / operator.experts[0] if operator.experts else 1.0
        read += operator.weights * (stored if operator.quantised else kept) * seen
    work = replace(
        zeros(limit + 1),
        flops=model.layers * sum(o.flops for o in operators) * tokens,
        memory_bytes=model.layers * read,
        network_bytes=ACTIVATION_BYTES * model.hidden_size * min(stages.chips, model.layers) * tokens,
        launch_s=floors,
        memory_s=np.full_like(tokens, first if bound_by_memory else 0.0),
        compute_s=extra + (0.0 if bound_by_memory else first),
    )
    return only_where(work, tokens > 0)


def sequence_work(model: Model, stages: Stages, engine: Engine, weights: Dtype, limit: int) -> Work:
    """By sequences of the step: engine overhead, and what the pipeline takes longer than one pass to let all through."""
    sequences = np.arange(limit + 1, dtype=np.float64)
    longer = np.maximum(0.0, sequences * stages.interval_s - stages.latency_s)
    head = head_operators(model, divide(model, 1))
    host = engine.step_overhead_us.value + engine.sequence_overhead_us.value * sequences
    work = replace(
        zeros(limit + 1),
        flops=sequences * sum(o.flops for o in head),
        memory_bytes=np.full_like(sequences, bytes_for_token(head, weights)),
        memory_s=longer,
    )
    return only_where(work + launches(host * 1e-6), sequences > 0)


def decode_work(model: Model, chip: Chip, stages: Stages, kv_cache: Dtype, limit: int) -> tuple[Work, Work]:
    """By decoding sequences: (nothing: the pass has attention's floor, reading one attended token of KV).

    B sequences are at up to B layers at a time, so their reading overlaps up to the number of layers.
    """
    batch = np.arange(limit + 1, dtype=np.float64)
    moved = kv_elements(model, divide(model, 1)) * BYTES_PER_ELEMENT[kv_cache]
    memory = moved / (stages.chips * chip.kv_bytes_s)
    compute = attention_flops(model) / (stages.chips * chip.attention_flops)
    alone = stages.layers / np.clip(batch, 1.0, stages.layers)
    ones = np.ones_like(batch)
    per_context = replace(
        zeros(limit + 1),
        flops=ones * attention_flops(model),
        memory_bytes=ones * moved,
        memory_s=alone * memory * (memory >= compute),
        compute_s=alone * compute * (memory < compute),
    )
    return zeros(limit + 1), per_context


def prefill_work(model: Model, chip: Chip, stages: Stages, kv_cache: Dtype) -> tuple[Work, Work, Work]:
    """Scalars: (nothing, one query-key pair, one attended token of KV); a chunk's tokens fill all layers."""
    nothing = Work(*(np.float64(0.0) for _ in range(7)))
    moved, flops = kv_elements(model, divide(model, 1)) * BYTES_PER_ELEMENT[kv_cache], attention_flops(model)
    pair = replace(
        nothing, flops=np.float64(flops), compute_s=np.float64(flops / (stages.chips * chip.attention_flops))
    )
    context = replace(
        nothing, memory_bytes=np.float64(moved), memory_s=np.float64(moved / (stages.chips * chip.kv_bytes_s))
    )
    return nothing, pair, context


def plan_memory(
    model: Model, hardware: Hardware, engine: Engine, chips: int, weights: Dtype, kv_cache: Dtype, block_size: int,
    blocks: int | None,
) -> MemoryPlan:  # fmt: skip
    """Divide the machine's SRAM: weights, then KV; DoesNotFit says how many chips would do."""
    shard = divide(model, 1)
    capacity = hardware.memory.capacity_gb.value * 1e9 * chips
    usable = capacity * engine.memory_fraction.value
    held = weight_bytes(model, shard, weights)
    per_token = kv_elements(model, shard) * BYTES_PER_ELEMENT[kv_cache]
    wanted = held + (blocks if blocks is not None else 1) * per_token * block_size
    room = capacity if blocks is not None else usable
    if wanted > room:
        enough = int(np.ceil(wanted / (room / chips)))
        raise DoesNotFit(
            f"{model.name} in {weights} does not fit {chips} x {hardware.name}: weights and KV of {wanted / 1e9:,.2f} GB "
            f"exceed the {room / 1e9:,.2f} GB that may be filled by {wanted - room:,.0f} bytes; what would fit: {enough} chips"
        )
    return MemoryPlan(
        chips=chips, capacity_bytes=capacity, usable_bytes=usable, weight_bytes=held, reserve_bytes=0.0,
        kv_bytes_per_token=per_token, block_size=block_size,
        blocks=whole_blocks(usable - held, per_token * block_size) if blocks is None else blocks,
    )  # fmt: skip
