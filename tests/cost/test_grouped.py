"""Products of experts against counting tiles, counting passes over memory, and measured layers of experts."""

from dataclasses import replace

import numpy as np
import pytest

from infersim.cost.chip import Chip
from infersim.cost.deployment import Deployment
from infersim.cost.grouped import CUTLASS, TENSOR_MEMORY, TRITON, by_block, kernels, padded_tokens, passed_on, tiles_s
from infersim.cost.operator_time import operator_work
from infersim.cost.operators import Operator, expert_operators
from infersim.spec import catalogue


def deployed(model: str, chip: str, engine: str, weights: str, tensor: int = 1) -> Deployment:
    return Deployment(
        model=catalogue.model(model), chip=Chip(catalogue.hardware(chip)), engine=catalogue.engine(engine), tensor=tensor,
        expert=1, attention_data=1, stages=1, chips=tensor, weights=weights, kv_cache="bf16", max_num_seqs=8,  # type: ignore[arg-type]
        max_num_batched_tokens=16384, block_size=16, blocks=None,
    )  # fmt: skip


def grouped(d: Deployment) -> dict[str, Operator]:
    return {o.name: o for o in expert_operators(d.model, d.shard) if o.name != "router"}


def test_tiles_against_counting_them_where_counts_fall_off_exponentially() -> None:
    """Tokens of 200,000 experts drawn from a geometric distribution with a mean of 100, in tiles of 100: 1 / (1 - 1/e) each."""
    d = deployed("qwen3-30b-a3b", "h100-sxm", "vllm", "bf16")
    up = grouped(d)["experts up"]
    tokens = 100.0 * 128 / 8  # a hundred tokens for each of 128 experts, eight chosen by each
    counts = np.random.default_rng(1).geometric(1 / 100.0, 200_000)
    counted = np.ceil(counts / 100.0).mean() * 100.0 / counts.mean()
    assert padded_tokens(up, np.array([tokens]), 1.0, d)[0] / tokens == pytest.approx(counted, rel=0.01)


def test_padding_never_falls_with_tokens_and_is_half_a_tile_at_last() -> None:
    """An expert of very many tokens has half a tile of 128 more than it needs; one of a single token has a tile of 16."""
    d = deployed("qwen3-30b-a3b", "h100-sxm", "vllm", "bf16")
    up = grouped(d)["experts up"]
    tokens = np.arange(1, 100_000, 37, dtype=np.float64)
    padded = padded_tokens(up, tokens, 1.0, d)
    assert (np.diff(padded) >= -1e-9).all()
    assert (padded >= tokens).all()
    assert (padded[-1] - tokens[-1]) * 8 / 128 == pytest.approx(64.0, rel=0.03)
    few = np.array([1e-3])
    assert padded_tokens(up, few, 1.0, d)[0] * 8 / 128 == pytest.approx(16.0)


@pytest.mark.parametrize(
    ("chip", "engine", "weights", "hidden", "width"),
    [
        ("h100-sxm", "vllm", "bf16", 2, 6),  # one for all experts; written by the second product, read by the sum
        ("h100-sxm", "vllm", "fp8", 2, 5),  # the activation hands half the bytes on
        ("h100-sxm", "tensorrt-llm", "bf16", 4, 6),  # copies are written and read besides
        ("h100-sxm", "tensorrt-llm", "fp8", 3, 5),
        ("b200-sxm", "tensorrt-llm-1.2", "fp4", 2, 0.5),  # nothing passes between product and activation
    ],
)
def test_passes_over_activations(chip: str, engine: str, weights: str, hidden: float, width: float) -> None:
    """Elements of 16 bits for each of the eight experts of a token, of the hidden size and of an expert's width: 2 written by the first
    product, read by the activation, 1 written and read again. Each token is read and written once by all together."""
    d = deployed("qwen3-30b-a3b", chip, engine, weights)
    each = sum(passed_on(o, d) for name, o in grouped(d).items() if name != "choose and sort")
    h, w = d.model.hidden_size, d.model.experts.intermediate_size  # type: ignore[union-attr]
    assert each == pytest.approx(8 * (hidden * h + width * w) + 2 * h)


def test_which_kernels_multiply() -> None:
    assert kernels(deployed("qwen3-30b-a3b", "b200-sxm", "vllm", "bf16")) is TRITON
    assert kernels(deployed("qwen3-30b-a3b", "b200-sxm", "vllm", "fp4")) is TENSOR_MEMORY
    assert kernels(deployed("qwen3-30b-a3b", "rtx-pro-6000", "vllm", "fp4")) is CUTLASS
    assert kernels(deployed("qwen3-30b-a3b", "h100-sxm", "vllm", "fp4")) is TRITON  # unpacked there
    assert kernels(deployed("qwen3-30b-a3b", "b200-sxm", "tensorrt-llm", "fp4")) is CUTLASS
    for engine, on_hopper, on_blackwell in (
        ("sglang", TRITON, TENSOR_MEMORY),
        ("tensorrt-llm", CUTLASS, TENSOR_MEMORY),
    ):
        assert kernels(deployed("deepseek-v3", "h200-sxm", engine, "fp8")) is on_hopper
        assert kernels(deployed("deepseek-v3", "b200-sxm", engine, "fp8")) is on_blackwell


def test_scales_block_by_block_take_longer() -> None:
    """DeepSeek V3 has a scale for each block; the same layer of a checkpoint without begins and ends its tiles faster."""
    block = deployed("deepseek-v3", "h100-sxm", "vllm", "fp8", 8)
    plain = replace(block, model=block.model.model_copy(update={"native_dtype": "bf16"}))
    down = grouped(block)["experts down"]
    results = 2.0 * 8 * 7168  # bytes in 16 bits
    assert tiles_s(down, plain) == pytest.approx(results * TRITON.tile_s)
    assert tiles_s(down, block) == pytest.approx(results * (TRITON.tile_s + TRITON.scales_s))


def test_who_has_scales_block_by_block() -> None:
    """Models trained in fp8, and the fp8 checkpoints of Qwen's makers; not others in fp8, nor these in other dtypes."""
    found = {m: by_block(deployed(m, "h100-sxm", "vllm", "fp8")) for m in ("deepseek-v3", "qwen3-32b", "llama-3.1-70b")}
    assert found == {"deepseek-v3": True, "qwen3-32b": True, "llama-3.1-70b": False}
    assert not by_block(deployed("qwen3-32b", "h100-sxm", "vllm", "bf16"))


@pytest.mark.parametrize(
    ("chip", "engine", "weights", "few_us", "many_us"),
    [
        ("h100-sxm", "vllm", "bf16", 738, 3145),
        ("h200-sxm", "vllm", "bf16", 639, 3076),
        ("h200-sxm", "tensorrt-llm-1.2", "bf16", 661, 3167),
        ("h200-sxm", "tensorrt-llm-1.2", "fp8", 945, 6082),
        ("h100-sxm", "vllm", "fp8", 613, 3507),
        ("b300-sxm", "sglang", "fp8", 313, 1891),
        ("b300-sxm", "vllm", "fp4", 161, 777),
        ("l40s", "vllm", "bf16", 2565, 9328),
    ],
)
def test_layers_of_experts_as_measured(chip: str, engine: str, weights: str, few_us: float, many_us: float) -> None:
    """A layer of Qwen3 235B on four chips, 2,048 and 16,384 tokens spread by a power law of 1.01, as measured in aiconfigurator-core
    0.12.0; one corner and one share of bandwidth for all kernels made them 1.2 to 2.3 times as long."""
    d = deployed("qwen3-235b-a22b", chip, engine, weights, 4)
    seconds = sum(operator_work(o, np.array([2048.0, 16384.0]), d).seconds for o in grouped(d).values())
    np.testing.assert_allclose(seconds * 1e6, [few_us, many_us], rtol=0.35)
