"""What an engine's software makes of a chip: gaps between kernels, experts that are all computed, attention kept in 16 bits."""

import numpy as np
import pytest

from infersim.cost.build import build_tables
from infersim.cost.tables import CostTables
from infersim.spec import catalogue
from infersim.spec.engine import Engine
from infersim.spec.model import Model
from infersim.spec.pool import Parallelism


def tables(model: Model, chip: str, engine: Engine, weights: str = "bf16", tensor: int = 1) -> CostTables:
    return build_tables(
        model, catalogue.hardware(chip), engine, Parallelism(tensor=tensor), weights, "bf16", 8, 2048, 16, None,  # type: ignore[arg-type]
    )  # fmt: skip


def test_a_gap_follows_every_kernel_of_a_step() -> None:
    """Llama 3 8B: 32 layers of norm, QKV, rope, output, norm, up, activation, down and three kernels of decode attention; the
    embedding; last norm, LM head and six kernels of sampling: 361."""
    engine, model = catalogue.engine("vllm-rocm-0"), catalogue.model("llama-3-8b")
    assert engine.gap_us is not None
    with_gaps = tables(model, "mi300x", engine).step_s(1, 1, 1, 100.0, [])
    without = tables(model, "mi300x", engine.model_copy(update={"gap_us": None})).step_s(1, 1, 1, 100.0, [])
    assert with_gaps - without == pytest.approx(361 * engine.gap_us.value * 1e-6, rel=1e-9)


def test_a_program_that_cannot_branch_computes_every_expert_for_every_token() -> None:
    """Mixtral 8x7B: eight experts of 3 x 4096 x 14336 weights in each of 32 layers are read at any batch, and four times the two
    chosen ones are computed."""
    model, neuron = catalogue.model("mixtral-8x7b"), catalogue.engine("neuron")
    chosen = tables(model, "trainium1", neuron.model_copy(update={"all_experts": False}), tensor=16)
    every = tables(model, "trainium1", neuron, tensor=16)
    experts = 32 * 8 * 3 * 4096 * 14336 * 2.0
    more = every.linear.memory_bytes[1] - chosen.linear.memory_bytes[1]
    assert more == pytest.approx(0.75 * experts, rel=0.01)
    long = 2048  # arithmetic bounds it: four times 2 x 5.6 of 12.9 billion weights
    assert 3.0 < every.linear.seconds[long] / chosen.linear.seconds[long] < 4.0
    np.testing.assert_array_equal(every.linear.flops, chosen.linear.flops)  # what is useful stays the same
    dense = catalogue.model("llama-2-7b")
    assert tables(dense, "trainium1", neuron).linear.seconds[1] == pytest.approx(
        tables(dense, "trainium1", neuron.model_copy(update={"all_experts": False})).linear.seconds[1]
    )


def test_a_checkpoint_whose_attention_keeps_16_bits() -> None:
    """Llama 3.1 405B: 126 layers with 2 x 16384 x (16384 + 1024) weights of attention, which take a second byte each: 482 GB, not 410."""
    model, engine = catalogue.model("llama-3.1-405b"), catalogue.engine("vllm-v0")
    all_of_it = tables(model, "h200-sxm", engine, "fp8", tensor=8).memory.weight_bytes
    feed_forward = model.model_copy(update={"quantised": "mlp"})
    some = tables(feed_forward, "h200-sxm", engine, "fp8", tensor=8).memory.weight_bytes
    assert some - all_of_it == pytest.approx(126 * 2 * 16384 * (16384 + 1024), rel=1e-6)
    assert some == pytest.approx(482e9, rel=0.01)


def test_query_heads_that_read_for_themselves_are_bound_by_the_cache() -> None:
    """Eight query heads on one key of Llama 3.1 70B read it eight times from a cache of 2.8 times the memory's bandwidth: 8 x 0.89 / 2.8
    times as long on H100, which reaches 0.89 of its memory's. Not with keys of 8 bits, nor where each head has its own; and no byte
    more comes from memory."""
    engine, chip = catalogue.engine("tensorrt-llm-0"), catalogue.hardware("h100-sxm")
    assert engine.query_reads is not None
    shares = engine.model_copy(update={"query_reads": None})

    def read(model: str, engine: Engine, kv: str = "bf16") -> tuple[float, float]:
        built = build_tables(
            catalogue.model(model), chip, engine, Parallelism(tensor=8), "bf16", kv, 8, 2048, 16, 8000,  # type: ignore[arg-type]
        )  # fmt: skip
        return float(built.decode_per_context.seconds[8]), float(built.decode_per_context.memory_bytes[8])

    itself, together = read("llama-3.1-70b", engine), read("llama-3.1-70b", shares)
    assert itself[0] / together[0] == pytest.approx(
        8 * chip.efficiency.attention_memory.value / engine.query_reads.value
    )
    assert itself[1] == together[1]
    assert read("llama-3.1-70b", engine, "fp8") == read("llama-3.1-70b", shares, "fp8")
    assert read("llama-2-7b", engine) == read("llama-2-7b", shares)


def test_8_bit_keys_are_read_at_the_rate_that_an_engine_keeps() -> None:
    """Half the bytes of 16 bits, at 0.99 of their rate under TensorRT-LLM 1.0 and 0.87 where an engine says nothing."""

    def read(engine: str, kv: str) -> float:
        built = build_tables(
            catalogue.model("llama-3.1-8b"), catalogue.hardware("h200-sxm"), catalogue.engine(engine), Parallelism(), "fp8",
            kv, 8, 2048, 16, 8000,  # type: ignore[arg-type]
        )  # fmt: skip
        return float(built.decode_per_context.seconds[8])

    assert read("tensorrt-llm", "bf16") / read("tensorrt-llm", "fp8") == pytest.approx(2 * 0.99)
    assert read("vllm", "bf16") / read("vllm", "fp8") == pytest.approx(2 * 0.87)
