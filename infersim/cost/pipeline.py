"""Cost tables of machines that keep all weights in SRAM, spread over a fixed number of chips or wafers.

Not a roofline with other numbers: a token visits the layers one after the other, and only the chips that hold a layer
work on it, so one token's latency is the sum over layers of (operators x their fill time + weights through that layer's
share of the machine), however large the machine is. Sequences follow each other one interval apart, so a step takes
max(latency, B x interval). A layer holds chips / layers of the machine: some chips of a Groq rack, a strip of a wafer. Software that has
the whole machine work on one operator after the other reads the weights faster by the number of layers, for one sequence at a time.
Not here: capacity (`memory.py`). Read `roofline.py` for the other kind.
"""

from dataclasses import dataclass, replace

import numpy as np

from infersim.cost.collectives import send_s
from infersim.cost.deployment import Deployment
from infersim.cost.operators import (
    ACTIVATION_BYTES,
    Operator,
    attended,
    expected_experts,
    head_operators,
    layer_operators,
)
from infersim.cost.roofline import host_work
from infersim.cost.tables import Array, Work
from infersim.cost.work import only_where, zeros

ATTENTION_OPERATORS = 2
"""Scores, then softmax and the weighted sum: operators of decode attention in a layer."""


@dataclass(frozen=True)
class Pipeline:
    """A model laid out over the machine."""

    layers: int
    parts: int
    """Of the machine, each at work on another sequence: its layers, or one."""
    floor_s: float
    """Fill times of one layer's operators and the hops that it needs [s]."""
    head_floor_s: float
    """The same for the LM head, and the way back to the first layer [s]."""
    weights_s: float
    """Reading all weights that one token needs, the whole machine working at once [s]."""
    compute_s: float
    """Arithmetic of one token, the whole machine working at once [s]."""

    @property
    def interval_s(self) -> float:
        """Least time between two sequences, every layer busy with another one [s]."""
        return max(self.weights_s, self.compute_s)

    @property
    def fill_s(self) -> float:
        """All fill times and hops of one token [s]."""
        return self.layers * self.floor_s + self.head_floor_s

    @property
    def latency_s(self) -> float:
        """One token through all layers [s]: each takes an interval on its own share of the machine, or its share of one on all of it."""
        return self.fill_s + self.parts * self.interval_s

    @property
    def overlap_s(self) -> float:
        """Time of one token's way in which the machine lets further sequences in [s]."""
        return self.latency_s if self.parts > 1 else self.interval_s


def lay_out(d: Deployment) -> Pipeline:
    """Spread the layers evenly over the chips."""
    layer, head = layer_operators(d.model, d.whole), [(1, o) for o in head_operators(d.model, d.whole)]
    layers, floor = d.model.layers, d.chip.floor_s
    hop = float(send_s(d.chip.hardware, d.chips, np.array(ACTIVATION_BYTES * d.model.hidden_size)))
    gathers = 2.0 * hop if d.chips > layers else 0.0  # after attention and MLP of a layer that spans chips
    hand_over = hop * min(1.0, (d.chips - 1) / layers)
    read = weight_bytes_read(layer + head, np.array(1.0), d)
    flops = sum(n * o.flops for n, o in layer + head)
    return Pipeline(
        layers=layers,
        parts=1 if d.engine.spread == "operators" else layers,
        floor_s=(sum(n * o.launches for n, o in layer) / layers + ATTENTION_OPERATORS) * floor + gathers + hand_over,
        head_floor_s=sum(o.launches for _, o in head) * floor + (hop if d.chips > 1 else 0.0),
        weights_s=float(read) / (d.chips * d.chip.weight_bytes_s),
        compute_s=flops / (d.chips * d.chip.matmul_flops(d.weights)),
    )


def weight_bytes_read(operators: list[tuple[int, Operator]], tokens: Array, d: Deployment) -> Array:
    """Weights that a pass of `tokens` tokens reads, experts that none of them visits left out [B]."""
    read = np.zeros_like(tokens)
    for layers, operator in operators:
        share = expected_experts(*operator.experts, tokens) / operator.experts[0] if operator.experts else 1.0
        read = read + layers * operator.weights * share * (d.stored_bytes if operator.quantised else d.kept_bytes)
    return read


def linear_work(d: Deployment, machine: Pipeline) -> Work:
    """By tokens of the step: one pass through all layers, or as long as the arithmetic of all tokens takes."""
    tokens = np.arange(d.max_num_batched_tokens + 1, dtype=np.float64)
    operators, moving = layer_operators(d.model, d.whole), machine.parts * machine.interval_s
    reading = moving if machine.weights_s >= machine.compute_s else 0.0
    longer = np.maximum(0.0, tokens * machine.compute_s - machine.overlap_s)
    work = replace(
        zeros(tokens.shape),
        flops=sum(n * o.flops for n, o in operators) * tokens,
        memory_bytes=weight_bytes_read(operators, tokens, d),
        network_bytes=ACTIVATION_BYTES * d.model.hidden_size * min(d.chips, machine.layers) * tokens,
        compute_s=longer + (moving - reading),
        memory_s=np.full_like(tokens, reading),
        launch_s=np.full_like(tokens, machine.fill_s),
    )
    return only_where(work, tokens > 0)


def sequence_work(d: Deployment, machine: Pipeline) -> Work:
    """By sequences of the step: engine overhead, and what it takes longer than one pass to let all of them through."""
    sequences = np.arange(d.max_num_seqs + 1, dtype=np.float64)
    head = [(1, operator) for operator in head_operators(d.model, d.whole)]
    work = replace(
        zeros(sequences.shape),
        flops=sequences * sum(o.flops for _, o in head),
        memory_bytes=weight_bytes_read(head, sequences, d),
        memory_s=np.maximum(0.0, sequences * machine.interval_s - machine.overlap_s),
    )
    return only_where(work, sequences > 0) + host_work(d, sequences)


def decode_work(d: Deployment, machine: Pipeline) -> tuple[Work, Work]:
    """By decoding sequences: (windows and states, for the pass has attention's fill time; one attended token of KV).

    B sequences are in up to B parts at a time, so their reading overlaps up to the number of parts.
    """
    batch = np.arange(d.max_num_seqs + 1, dtype=np.float64)
    shapes = attended(d.model, d.whole)
    moved, flops = shapes.read * d.kv_bytes, shapes.pair_flops
    memory, compute = moved / (d.chips * d.chip.kv_bytes_s), flops / (d.chips * d.chip.attention_flops)
    seconds = max(memory, compute) * machine.parts / np.clip(batch, 1.0, machine.parts)
    per_context = replace(
        zeros(batch.shape),
        flops=np.full_like(batch, flops),
        memory_bytes=np.full_like(batch, moved),
        memory_s=seconds * (memory >= compute),
        compute_s=seconds * (memory < compute),
    )
    fixed = shapes.read_fixed * d.kv_bytes
    apart = replace(
        zeros(batch.shape),
        memory_bytes=fixed * batch,
        memory_s=fixed * batch / (d.chips * d.chip.kv_bytes_s) * machine.parts / np.clip(batch, 1.0, machine.parts),
    )
    return apart, per_context


def prefill_work(d: Deployment) -> tuple[Work, Work, Work]:
    """Scalars: (nothing, one query-key pair, one attended token of KV); a chunk's tokens keep all layers busy."""
    shapes = attended(d.model, d.whole)
    moved, flops = shapes.stored * d.kv_bytes, shapes.prefill_flops
    pair = replace(zeros(()), flops=np.array(flops), compute_s=np.array(flops / (d.chips * d.chip.attention_flops)))
    context = replace(zeros(()), memory_bytes=np.array(moved), memory_s=np.array(moved / (d.chips * d.chip.kv_bytes_s)))
    return zeros(()), pair, context
