"""How long one operator takes on each chip of a group that streams the weights from memory.

Its launch floor plus the longer of arithmetic at the achieved peak and bytes at the achieved bandwidth, a little more where the two are close.
Not here: what an operator counts (`operators.py`), steps (`roofline.py`).
"""

from dataclasses import replace

import numpy as np

from infersim.cost import tabled
from infersim.cost.deployment import Deployment
from infersim.cost.operators import Operator, expected_experts, matmul
from infersim.cost.tables import Array, Work
from infersim.spec.base import BYTES_PER_ELEMENT

GROUPED_OVERLAP = 1.2
"""The same for products of experts, where little overlaps: each expert's tile is read, then computed, and there are few
tiles for each. With the two shares below, the median error over 80,000 points of fused experts (20 models on H100, H200
and B200 under three engines, aiconfigurator-core 0.12.0) is 14 to 22 % in bf16 and fp8; 30 to 50 % with a sharp corner. TensorRT-LLM's
alone, but those with scales for each block, have the dense products' corner (`experts_overlap`): from 2,048 tokens on 15 to 18 % on H100 and H200, 27 with this one."""
SCATTERED_SHARE = 0.4
"""Share of streaming bandwidth for activations gathered by expert and scattered back; 0.3 to 0.7 in the same fits."""
EXPERT_SHARE = 0.8
"""Share of a dense product's arithmetic rate that experts reach, where the engine does not say: tokens are padded for
each expert and experts unevenly loaded; 0.6 to 1 in the same fits."""
CONVERTED_SHARE = 0.6
"""Share of arithmetic and of bandwidth that experts keep where their weights are stored in fewer bits than they are
computed in and unpacked on the way: mxfp4 on Hopper takes 1.4 to 2.3 times as long under vLLM, 1.5 to 3.3 under SGLang
and 3 under TensorRT-LLM in the same tables, int4 more."""
ONE_FLOW = {"choose and sort": 2, "experts up": 1, "experts activation": 0, "experts down": 1, "weighted sum": 1}
"""Kernels of experts in native fp4, which run as one flow (TensorRT-LLM's, by FlashInfer in vLLM and SGLang too): 17 to
20 us a layer at one token on B200, against 57 to 100 us in TensorRT-LLM's other kernels (aiconfigurator-core 0.12.0)."""
ALONG = 1.5
"""Sharpness of the corner between streaming all weights and one tile's way through its rows: 1.3 to 1.8 in fits to dense products of 1 to 64
tokens (1,360 shapes for each chip and engine, aiconfigurator-core 0.12.0), whose median error falls from 7 to 15 to 4 to 7 %."""
GRAPH_TOKENS = 512
"""Steps of up to this many tokens replay a captured graph and are padded to its size."""
ACTIVATION_BYTES = 2.0
"""Activations, messages of collectives and KV writes are 16 bit."""


def operator_work(operator: Operator, tokens: Array, d: Deployment) -> Work:
    """One operator on each chip of a tensor-parallel group, by token counts; FLOPs as the chips do them."""
    stored_as = d.weights if operator.quantised else d.chip.sixteen_bit
    share = visited(operator, tokens, d)
    read = operator.weights * share * (d.stored_bytes if operator.quantised else d.kept_bytes)
    repeats = through_all(operator, d)
    passed = (
        operator.activations * (d.engine.passes if chained(operator) else 1.0) * ACTIVATION_BYTES * tokens * repeats
    )
    moved = read + passed
    flops = operator.flops * tokens * repeats
    compute = (
        operator.flops
        * repeats
        * tiled(operator, tokens, d)
        / (d.chip.matmul_flops(stored_as) * (expert_share(d) if operator.experts else 1.0))
    )
    streamed = operator.weights * share * (d.streamed_bytes if operator.quantised else d.kept_bytes)
    if operator.experts and unpacked(d):
        streamed = streamed / CONVERTED_SHARE
    memory = (streamed + passed / (SCATTERED_SHARE if operator.scattered else 1.0)) / d.chip.weight_bytes_s
    memory = along_rows(memory, operator, d)
    longer = np.maximum(compute, memory)
    ratio = np.divide(np.minimum(compute, memory), longer, out=np.zeros_like(longer), where=longer > 0)
    overlap = GROUPED_OVERLAP if operator.experts and not overlapping(d) else d.chip.overlap
    seconds = longer * (1.0 + ratio**overlap) ** (1.0 / overlap)
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
    if tile is None or operator.experts or chained(operator):
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


def expert_share(d: Deployment) -> float:
    """Share of a dense product's arithmetic rate that experts reach."""
    share = EXPERT_SHARE if d.engine.expert_share is None else d.engine.expert_share.value
    return share * CONVERTED_SHARE if unpacked(d) else share


def overlapping(d: Deployment) -> bool:
    """Whether experts overlap reading with arithmetic as dense products do."""
    return d.engine.experts_overlap and not by_block(d) and BYTES_PER_ELEMENT[d.chip.computes(d.weights)] >= 1.0


def by_block(d: Deployment) -> bool:
    """Whether weights in 8 bits have a scale for each block, as checkpoints that were trained so."""
    return d.weights == "fp8" and d.model.native_dtype == "fp8"


def unpacked(d: Deployment) -> bool:
    """Whether weights are stored in fewer bits than they are computed in."""
    return BYTES_PER_ELEMENT[d.chip.computes(d.weights)] > d.stored_bytes


def kernels_of(operator: Operator, d: Deployment) -> int:
    """Kernels that an operator takes under this engine, conversions of its input included."""
    if operator.name in ONE_FLOW and d.chip.computes(d.weights) == "fp4":
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
