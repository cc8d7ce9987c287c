"""Products of experts: what grouped kernels do besides the arithmetic and the reading of the experts that are visited.

The tokens of each expert are padded to tiles; their activations are gathered, passed on and added up in memory; and each
tile of results takes time to begin and to end that a kernel hides behind its arithmetic or not. Constants are of kernels
and hold on every chip: found on the operator tables of all chips together (aiconfigurator-core 0.12.0). A fit without H200, A100, RTX PRO 6000
and B300 finds nearly the same, and meets these better than before, but Triton's fp8 by block on H200 (8 to 15 %).
Not here: which experts are visited (`operators.expected_experts`). Read `operator_time.py` for who asks.
"""

from dataclasses import dataclass

import numpy as np

from infersim.cost.deployment import Deployment
from infersim.cost.operators import ACTIVATION_BYTES, Operator
from infersim.cost.tables import Array
from infersim.spec.base import BYTES_PER_ELEMENT, Dtype

SMALLEST_TILE, LARGEST_TILE = 16.0, 128.0
"""Tokens of the smallest and the largest tile of a grouped product: engines choose by how many tokens an expert has."""

CONVERTED_SHARE, UNPACKED_SHARE = 0.45, 0.8
"""Shares of arithmetic and of bandwidth that experts keep where their weights are stored in fewer bits than they are computed in and
unpacked on the way: of Marlin's kernels, which multiply as Ampere's tensor cores do, 0.4 and 0.9 on H100 and 0.4 and 0.7 on H200, of
Triton's for mxfp4 under vLLM 1 and 0.5 to 0.7."""


@dataclass(frozen=True)
class Kernels:
    """A family of grouped kernels; their arithmetic runs at the rate of dense products."""

    copies: bool
    """Whether tokens are copied expert by expert before the first product, rather than gathered by it."""
    fuses: bool
    """Whether the activation is part of the first product."""
    tile_s: float
    """What beginning and ending tiles takes for each byte of results in 16 bits, beside arithmetic [s/B]: 1e-12 is 4 us for a
    tile of 128 x 128 on one of 132 multiprocessors; the chips that it was found on have 132 to 148."""
    scales_s: float
    """The same more where scales are found and applied block by block [s/B]."""
    overlap: float | None = None
    """Sharpness of the roofline's corner; that of dense products when absent."""
    streams: float = 1.0
    """Share of the bandwidth of streaming at which activations are passed on."""


TRITON = Kernels(copies=False, fuses=False, tile_s=1.1e-12, scales_s=0.4e-12)
"""Triton's, which vLLM and SGLang run: 1.1 and 1.3 in 16 and 8 bits, 1.6 by block."""
CUTLASS = Kernels(copies=True, fuses=False, tile_s=0.6e-12, scales_s=2.6e-12)
"""TensorRT-LLM's and FlashInfer's: 0.6, in fp4 0.9, by block 3.3: there a kernel of its own finds the scales of every copy."""
TENSOR_MEMORY = Kernels(copies=False, fuses=True, tile_s=0.2e-12, scales_s=0.8e-12)
"""TensorRT-LLM's for chips whose tensor cores have a memory of their own; engines have them for some dtypes
(`expert_flow`): 0.2, by block 1.0."""
COMPILED = Kernels(copies=False, fuses=False, tile_s=0.0, scales_s=0.0, overlap=1.2, streams=0.4)
"""Those of a program that goes through expert after expert (Neuron): reading one hardly overlaps with
computing another, and activations of all experts go to memory and back in pieces."""


def kernels(d: Deployment) -> Kernels:
    """The family that multiplies with a deployment's experts."""
    if d.engine.all_experts:
        return COMPILED
    computed = d.chip.computes(d.weights)
    if d.chip.tile_tokens is not None and (
        computed in d.engine.expert_flow or (by_block(d) and "block" in d.engine.expert_flow)
    ):
        return TENSOR_MEMORY
    return CUTLASS if d.engine.expert_kernels == "cutlass" or computed == "fp4" else TRITON


def one_flow(d: Deployment) -> bool:
    """Whether experts run as one flow of few kernels."""
    return d.chip.computes(d.weights) == "fp4" and "fp4" in d.engine.expert_flow


def arithmetic(d: Deployment) -> float:
    """Rate of the arithmetic of experts [FLOP/s]: checkpoints that were trained in 4 bits take inputs in 8, at their rate."""
    dtype: Dtype = "fp8" if d.chip.computes(d.weights) == d.model.native_dtype == "fp4" else d.weights
    return d.chip.matmul_flops(dtype) * (CONVERTED_SHARE if unpacked(d) else 1.0)


def passing_bytes_s(d: Deployment) -> float:
    """Rate at which activations of experts are passed on [B/s]."""
    return d.chip.weight_bytes_s * kernels(d).streams


def by_block(d: Deployment) -> bool:
    """Whether weights in 8 bits have a scale for each block, as checkpoints that were trained so, or whose makers made them so."""
    return d.weights == "fp8" and (d.model.native_dtype == "fp8" or d.model.block_scales)


def unpacked(d: Deployment) -> bool:
    """Whether weights are stored in fewer bits than they are computed in."""
    return BYTES_PER_ELEMENT[d.chip.computes(d.weights)] > d.stored_bytes


def padded_tokens(operator: Operator, tokens: Array, share: Array | float, d: Deployment) -> Array:
    """Tokens that a product of experts computes, where a step visits `share` of them: whole tiles for each.

    A tile is as large as a visited expert has tokens in the mean, within limits. Numbers of tokens fall off exponentially
    from expert to expert, so that with a mean of m an expert has 1 / (1 - exp(-tile / m)) tiles.
    """
    if d.engine.all_experts:
        return tokens
    mean = np.maximum(tokens * operator.flops / (2.0 * operator.weights * np.maximum(share, 1e-12)), 1e-12)
    tile = np.clip(mean, SMALLEST_TILE, LARGEST_TILE)
    return tokens * tile / mean / (1.0 - np.exp(-tile / mean))


def passed_on(operator: Operator, d: Deployment) -> float:
    """Activation elements of 16 bits that an operator of experts reads from memory and writes for each token.

    A token that several experts take is read from memory once; what products take is kept in the dtype that they compute in.
    """
    if d.engine.all_experts:
        return operator.activations
    family, inputs = kernels(d), min(1.0, BYTES_PER_ELEMENT[d.chip.computes(d.weights)] / ACTIVATION_BYTES)
    if operator.shape is None:
        if operator.name != "experts activation":
            return operator.activations
        results = operator.activations / (3.0 if d.model.gated_mlp else 2.0)
        return results * inputs if family.fuses else operator.activations - results * (1.0 - inputs)
    (taken, given), seen = operator.shape, visits(operator)
    if operator.name == "experts down":
        return seen * (inputs * taken + given)
    copied = 2.0 * inputs * seen * taken if family.copies else 0.0
    return min(1.0, seen) * taken + copied + (0.0 if family.fuses else seen * given)


def corner(operator: Operator, d: Deployment) -> float:
    """Sharpness of the roofline's corner of an operator."""
    own = kernels(d).overlap if operator.experts else None
    return d.chip.overlap if own is None else own


def tiles_s(operator: Operator, d: Deployment) -> float:
    """What beginning and ending the tiles of a product of experts takes for each token [s]."""
    if operator.shape is None:
        return 0.0
    family = kernels(d)
    each = family.tile_s + (family.scales_s if by_block(d) else 0.0)
    return 2.0 * visits(operator) * operator.shape[1] * each


def visits(operator: Operator) -> float:
    """Experts of one chip that a token goes through."""
    assert operator.shape is not None
    return operator.flops / (2.0 * operator.shape[0] * operator.shape[1])
