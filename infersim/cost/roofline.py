"""Cost tables of chips that run every layer and stream the weights from memory: GPUs, TPUs, Inferentia.

Each operator takes its launch floor plus the longer of arithmetic at the achieved peak and bytes at the achieved
bandwidth, a little more where the two are close (they overlap imperfectly). Collectives follow the row-parallel products.
Not here: chips that keep the weights in SRAM (`pipeline.py`). Read `operators.py` for what is counted.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from infersim.cost.chip import Chip
from infersim.cost.collectives import all_reduce_s, bytes_out, send_s
from infersim.cost.memory import effective_bits
from infersim.cost.operators import (
    Operator, attention_flops, expected_experts, head_operators, kv_elements, layer_operators,
)  # fmt: skip
from infersim.cost.sharding import Shard, divide
from infersim.cost.tables import Work
from infersim.spec.base import BYTES_PER_ELEMENT, Dtype
from infersim.spec.engine import Engine
from infersim.spec.model import Model

Array = NDArray[np.float64]

OVERLAP = 2.5
"""Sharpness of the corner of the roofline, t^p = compute^p + memory^p: where both sides take equally long a kernel takes
32 % longer than either, for tiles and waves are quantised and the two overlap imperfectly. Fitted, with a floor and two
shares for each chip, to the GEMM tables of aiconfigurator-core 0.12.0 (4,176 shapes for each chip and engine: 2.5 to 3.4 in
bf16 and 1.6 to 2.7 in fp8 on H100 and H200, 1.7 to 1.8 on A100; median error 5 to 6 % in bf16, 5 to 12 % in fp8)."""
DECODE_LAUNCHES = 3
"""Kernels' worth of floor in decode attention, which splits keys and values and then combines: 10 to 12 us on H100."""
EXPERT_SHARE = 0.75
"""Share of a dense product's arithmetic rate that experts reach: tokens are padded for each expert and experts unevenly
loaded. 0.6 in vLLM and 0.85 to 1 in TensorRT-LLM at 8,192 tokens of Mixtral on H100, aiconfigurator-core 0.12.0."""
ACTIVATION_BYTES = 2.0
"""Activations, messages of collectives and KV writes are 16 bit."""


def zeros(length: int) -> Work:
    """Work of nothing, for tables of `length` entries."""
    return Work(*(np.zeros(length) for _ in range(7)))


def launches(seconds: Array) -> Work:
    """Work that is nothing but launch floors or host time [s]."""
    return replace(zeros(len(seconds)), launch_s=seconds)


def network(seconds: Array, sent: Array) -> Work:
    """Work that is nothing but links: seconds and bytes sent by all chips."""
    return replace(zeros(len(seconds)), network_s=seconds, network_bytes=sent)


def operator_work(operator: Operator, tokens: Array, chip: Chip, weights: Dtype, chips: int) -> Work:
    """One operator on each of `chips` chips, for an array of token counts; FLOPs as each chip performs them."""
    stored, kept = effective_bits(weights)
    read = operator.weights * (stored if operator.quantised else kept)
    if operator.experts:
        count, per_token = operator.experts
        read = read * expected_experts(count, per_token, tokens) / count
    moved = read + operator.activations * ACTIVATION_BYTES * tokens
    flops = operator.flops * tokens
    stored_as = weights if operator.quantised else chip.sixteen_bit
    compute = flops / (chip.matmul_flops(stored_as) * (EXPERT_SHARE if operator.experts else 1.0))
    memory = moved / chip.weight_bytes_s
    longer = np.maximum(compute, memory)
    shorter = np.minimum(compute, memory)
    ratio = np.divide(shorter, longer, out=np.zeros_like(longer), where=longer > 0)
    seconds = longer * (1.0 + ratio**OVERLAP) ** (1.0 / OVERLAP)
    return Work(
        flops=chips * flops,
        memory_bytes=chips * moved,
        network_bytes=np.zeros_like(tokens),
        compute_s=np.where(compute >= memory, seconds, 0.0),
        memory_s=np.where(compute >= memory, 0.0, seconds),
        network_s=np.zeros_like(tokens),
        launch_s=np.full_like(tokens, (operator.launches + conversions(operator, chip, stored_as)) * chip.floor_s),
    )


def conversions(operator: Operator, chip: Chip, stored_as: Dtype) -> int:
    """Kernels that convert the input of a product that runs in 8 bits or fewer; the tables of fp8 GEMMs hold them."""
    return int(operator.weights > 0 and BYTES_PER_ELEMENT[chip.computes(stored_as)] < 2)


def total(works: Iterable[Work], length: int) -> Work:
    """Works one after the other."""
    result = zeros(length)
    for work in works:
        result = result + work
    return result


def only_where(work: Work, present: NDArray[np.bool_]) -> Work:
    """The work where something is present, nothing elsewhere."""
    return work * present.astype(np.float64)


def in_buckets(counts: Array, buckets: list[int], cost: Callable[[Array], Work]) -> Work:
    """Cost of `counts` padded up to compiled shapes: whole passes of the largest, then the bucket that holds the rest."""
    if not buckets:
        return only_where(cost(counts), counts > 0)
    sizes = np.array(sorted(buckets), dtype=np.float64)
    passes, rest = np.divmod(counts, sizes[-1])
    padded = sizes[np.searchsorted(sizes, rest)]
    return cost(np.full_like(counts, sizes[-1])) * passes + only_where(cost(padded), rest > 0)


def micro_batches(counts: Array, stages: int) -> Array:
    """Share of a step that one of `stages` pipeline stages holds at a time, the others being busy with the rest."""
    return np.ceil(counts / stages)


def linear_work(
    model: Model, chip: Chip, engine: Engine, shard: Shard, stages: int, weights: Dtype, limit: int
) -> Work:
    """By tokens of the step: all layers but attention, with collectives and hand-overs between stages."""
    tokens = np.arange(limit + 1, dtype=np.float64)
    operators, chips = layer_operators(model, shard), shard.tensor

    def cost(count: Array) -> Work:
        message = ACTIVATION_BYTES * model.hidden_size * count
        reduces = network(all_reduce_s(chip.link, chips, message), chips * bytes_out(chips, message))
        if chips > 1:
            reduces = (reduces + launches(np.full_like(count, chip.floor_s))) * 2.0
        layer = total((operator_work(operator, count, chip, weights, chips) for operator in operators), len(count))
        work = (layer + reduces) * float(model.layers)
        if stages > 1:
            work += network(send_s(chip.link, message), chips * message) * float(stages - 1)
        return work + operator_work(embedding(model), count, chip, weights, chips)

    work = in_buckets(micro_batches(tokens, stages), engine.token_buckets, cost)
    whole = sum(operator.flops for operator in layer_operators(model, divide(model, 1)))
    repeats = np.divide(tokens, micro_batches(tokens, stages), out=np.zeros_like(tokens), where=tokens > 0)
    return replace(
        work,
        flops=model.layers * whole * tokens,
        memory_bytes=work.memory_bytes * repeats,
        network_bytes=work.network_bytes * repeats,
    )


def embedding(model: Model) -> Operator:
    """Looking up the rows of a step's tokens."""
    return Operator("embedding", 0.0, 0.0, 2.0 * model.hidden_size, 1)


def sequence_work(
    model: Model, chip: Chip, engine: Engine, shard: Shard, stages: int, weights: Dtype, limit: int
) -> Work:
    """By sequences of the step: engine overhead, LM head, sampling."""
    sequences = np.arange(limit + 1, dtype=np.float64)
    operators, chips = head_operators(model, shard), shard.tensor

    def cost(count: Array) -> Work:
        logits = ACTIVATION_BYTES * shard.vocab * count
        gather = network(all_reduce_s(chip.link, chips, logits), chips * logits) if chips > 1 else zeros(len(count))
        return (
            total((operator_work(operator, count, chip, weights, chips) for operator in operators), len(count)) + gather
        )

    work = in_buckets(micro_batches(sequences, stages), engine.sequence_buckets, cost)
    whole = sum(operator.flops for operator in head_operators(model, divide(model, 1)))
    host = engine.step_overhead_us.value + engine.sequence_overhead_us.value * sequences
    work += only_where(launches(host * 1e-6), sequences > 0)
    return replace(work, flops=whole * sequences)


def decode_work(
    model: Model, chip: Chip, engine: Engine, shard: Shard, stages: int, kv_cache: Dtype, limit: int
) -> tuple[Work, Work]:
    """By decoding sequences: (floor of decode attention, reading one attended token of KV)."""
    batch = np.arange(limit + 1, dtype=np.float64)
    base = only_where(launches(np.full_like(batch, DECODE_LAUNCHES * model.layers * chip.floor_s)), batch > 0)
    moved = kv_elements(model, shard) * BYTES_PER_ELEMENT[kv_cache]
    memory = moved / chip.kv_bytes_s
    compute = attention_flops(model) / shard.tensor / chip.attention_flops
    ones = np.ones_like(batch)
    padding = np.divide(padded(batch, engine.sequence_buckets), batch, out=ones.copy(), where=batch > 0)
    share = padding / np.clip(batch, 1.0, stages)
    bound_by_memory = memory >= compute
    per_context = replace(
        zeros(len(batch)),
        flops=ones * attention_flops(model),
        memory_bytes=padding * moved * shard.tensor,
        memory_s=share * memory * bound_by_memory,
        compute_s=share * compute * (not bound_by_memory),
    )
    return base, per_context


def padded(counts: Array, buckets: list[int]) -> Array:
    """Counts rounded up to compiled sizes."""
    if not buckets:
        return counts
    sizes = np.array(sorted(buckets), dtype=np.float64)
    passes, rest = np.divmod(counts, sizes[-1])
    return passes * sizes[-1] + np.where(rest > 0, sizes[np.searchsorted(sizes, rest)], 0.0)


def prefill_work(model: Model, chip: Chip, shard: Shard, stages: int, kv_cache: Dtype) -> tuple[Work, Work, Work]:
    """Scalars: (floor of a chunk's attention, one query-key pair, one attended token of KV)."""
    nothing = Work(*(np.float64(0.0) for _ in range(7)))
    moved = kv_elements(model, shard) * BYTES_PER_ELEMENT[kv_cache]
    flops = attention_flops(model)
    chunk = replace(nothing, launch_s=np.float64(model.layers * chip.floor_s))
    pair = replace(
        nothing, flops=np.float64(flops), compute_s=np.float64(flops / shard.tensor / stages / chip.attention_flops)
    )
    context = replace(
        nothing,
        memory_bytes=np.float64(moved * shard.tensor),
        memory_s=np.float64(moved / chip.kv_bytes_s / stages),
    )
    return chunk, pair, context
