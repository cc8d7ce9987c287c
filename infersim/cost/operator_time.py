"""How long one operator takes on each chip of a group that streams the weights from memory.

Its launch floor plus the longer of arithmetic at the achieved peak and bytes at the achieved bandwidth, a little more where the two are close.
Not here: what an operator counts (`operators.py`), steps (`roofline.py`).
"""

from dataclasses import replace

import numpy as np

from infersim.cost import tabled
from infersim.cost.deployment import Deployment
from infersim.cost.grouped import (
    UNPACKED_SHARE,
    arithmetic,
    by_block,
    corner,
    one_flow,
    padded_tokens,
    passed_on,
    passing_bytes_s,
    tiles_s,
    unpacked,
)
from infersim.cost.operators import ACTIVATION_BYTES, Operator, expected_experts, matmul
from infersim.cost.tables import Array, Work
from infersim.spec.base import BYTES_PER_ELEMENT

ONE_FLOW = {"choose and sort": 2, "experts up": 1, "experts activation": 0, "experts down": 1, "weighted sum": 1}
"""Kernels of experts in native fp4, which run as one flow (TensorRT-LLM's, by FlashInfer in vLLM and SGLang too): 17 to
20 us a layer at one token on B200, against 57 to 100 us in TensorRT-LLM's other kernels (aiconfigurator-core 0.12.0)."""
ALONG = 1.5
"""Sharpness of the corner between streaming all weights and one tile's way through its rows: 1.3 to 1.8 in fits to dense products of 1 to 64
tokens (1,360 shapes for each chip and engine, aiconfigurator-core 0.12.0), whose median error falls from 7 to 15 to 4 to 7 %."""
GRAPH_TOKENS = 512
"""Steps of up to this many tokens replay a captured graph and are padded to its size."""


def operator_work(operator: Operator, tokens: Array, d: Deployment) -> Work:
    """One operator on each chip of a tensor-parallel group, by token counts; FLOPs as the chips do them."""
    stored_as = d.weights if operator.quantised else d.chip.sixteen_bit
    share = visited(operator, tokens, d)
    read = operator.weights * share * (d.stored_bytes if operator.quantised else d.kept_bytes)
    repeats = through_all(operator, d)
    elements = passed_on(operator, d) if operator.scattered else operator.activations
    passed = elements * (d.engine.passes if chained(operator) else 1.0) * ACTIVATION_BYTES * tokens * repeats
    moved = read + passed
    flops = operator.flops * tokens * repeats
    computed = padded_tokens(operator, tokens, share, d) if operator.experts else tiled(operator, tokens, d)
    rate = arithmetic(d) if operator.experts else d.chip.matmul_flops(stored_as)
    compute = operator.flops * repeats * computed / rate
    streamed = operator.weights * share * (d.streamed_bytes if operator.quantised else d.kept_bytes)
    if operator.experts and unpacked(d):
        streamed = streamed / UNPACKED_SHARE
    alone = passed if operator.scattered else 0.0  # by other kernels than those that compute, or before and after
    memory = (streamed + passed - alone) / d.chip.weight_bytes_s
    memory = along_rows(memory, operator, d)
    longer = np.maximum(compute, memory)
    ratio = np.divide(np.minimum(compute, memory), longer, out=np.zeros_like(longer), where=longer > 0)
    overlap = corner(operator, d)
    seconds = longer * (1.0 + ratio**overlap) ** (1.0 / overlap)
    if operator.scattered:
        seconds = seconds + alone / passing_bytes_s(d) + tiles_s(operator, d) * tokens * repeats
    floor = np.full_like(tokens, kernels_of(operator, d) * d.floor_s)
    work = Work(
        flops=d.tensor * flops,
        memory_bytes=d.tensor * moved,
        network_bytes=np.zeros_like(tokens),
        compute_s=np.where(compute >= memory, seconds, 0.0),
        memory_s=np.where(compute >= memory, 0.0, seconds),
        network_s=np.zeros_like(tokens),
        launch_s=floor,
    )
    if d.measured is None or operator.shape is None or operator.experts:
        return work

    def analytic(count: Array, columns: Array, rows: Array) -> Array:
        return product_s(count, columns, rows, operator.quantised, d)

    return tabled.product(work, operator, tokens, d, analytic)


def along_rows(memory: Array, operator: Operator, d: Deployment) -> Array:
    """Time in which a dense product streams its weights, where each tile also goes through all of its rows [s]."""
    if operator.shape is None or operator.experts or d.chip.depth_s == 0.0:
        return memory
    return (memory**ALONG + (operator.shape[0] * d.chip.depth_s) ** ALONG) ** (1.0 / ALONG)


def tiled(operator: Operator, tokens: Array, d: Deployment) -> Array:
    """Tokens that an operator computes: a dense product of more than one tile whole tiles, for one there are narrower ones."""
    tile = d.chip.tile_tokens
    if tile is None or chained(operator):
        return tokens
    return np.where(tokens > tile, np.ceil(tokens / tile) * tile, tokens)


def chained(operator: Operator) -> bool:
    """Whether it only passes activations on."""
    return not np.any(operator.weights) and not np.any(operator.flops)


def product_s(tokens: Array, columns: Array, rows: Array, quantised: bool, d: Deployment) -> Array:
    """The analytic time of (tokens x rows) by (rows x columns) products, launch included [s]."""
    each = matmul("product", rows, columns, quantised)  # type: ignore[arg-type]
    return operator_work(each, tokens, replace(d, measured=None)).seconds


def visited(operator: Operator, tokens: Array, d: Deployment) -> Array | float:
    """Share of an operator's weights that a step reads: of experts, those that its tokens and its padding visit."""
    if operator.experts is None or d.engine.all_experts:
        return 1.0
    multiple = d.engine.graph_multiple
    graph = np.where(tokens <= GRAPH_TOKENS, np.ceil(tokens / multiple) * multiple, tokens)
    return expected_experts(*operator.experts, np.where(tokens < multiple, tokens, graph)) / operator.experts[0]


def through_all(operator: Operator, d: Deployment) -> float:
    """How many times as many experts as it has chosen a token goes through, where the engine computes all of them."""
    if d.model.experts is None or not d.engine.all_experts or not (operator.experts or operator.scattered):
        return 1.0
    return d.model.experts.count / d.model.experts.per_token


def kernels_of(operator: Operator, d: Deployment) -> int:
    """Kernels that an operator takes under this engine, conversions of its input included."""
    if operator.name in ONE_FLOW and one_flow(d):
        return ONE_FLOW[operator.name]
    if operator.name == "choose and sort":
        return d.engine.sorting_launches
    launches, converts = operator.launches, conversions(operator, d)
    if d.engine.fused:
        if operator.name == "norm" and d.tensor > 1:
            return 0
        if "rope" in operator.name:
            launches -= 1
        if d.weights == "fp8" and not by_block(d) and not operator.scattered:  # else a kernel finds the scales
            converts = 0
    return launches + converts


def conversions(operator: Operator, d: Deployment) -> int:
    """Kernels that convert the input of a product that runs in 8 bits or fewer; tables of fp8 products hold them."""
    return int(
        operator.quantised and bool(np.any(operator.weights > 0)) and BYTES_PER_ELEMENT[d.chip.computes(d.weights)] < 2
    )
