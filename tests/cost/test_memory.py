"""The memory plan by hand, and errors that say what would fit."""

import pytest

from infersim.cost.build import build_tables
from infersim.cost.memory import LOGIT_BYTES, RUNTIME_BYTES, SORT_BYTES, DoesNotFit
from infersim.cost.operators import kv_elements
from infersim.cost.sharding import divide
from infersim.spec import catalogue
from infersim.spec.pool import Parallelism
from tests.cost.deployments import Case, tensor

L8 = Case("llama-3.1-8b", "h100-sxm", "vllm", tensor(1))


def test_blocks_by_hand() -> None:
    plan = L8.tables(max_num_seqs=128, max_num_batched_tokens=2048).memory
    usable = 85.5e9 * 0.9
    weights = 8_030_261_248 * 2
    reserve = (
        RUNTIME_BYTES + 2 * 2048 * (6 * 4096 + (32 + 16) * 128 + 3 * 14336) + (LOGIT_BYTES + SORT_BYTES) * 128 * 128256
    )
    assert plan.weight_bytes == weights
    assert plan.kv_bytes_per_token == 131_072
    assert plan.blocks == (usable - weights - reserve) // (16 * 131_072)


# Blocks of 16 tokens that vLLM 0.15.1 printed on H100 in bf16 (../shared/measurements/vllm_online.csv); only
# RUNTIME_BYTES was fitted to them.
PRINTED = [
    ("llama-3.1-70b", 4, 8192, 30251),
    ("llama-3.1-70b", 4, 2048, 30425),
    ("qwen2.5-7b", 1, 2048, 65352),
    ("qwen2.5-7b", 1, 1024, 65368),
    ("llama-2-7b", 1, 2048, 7463),
]


@pytest.mark.parametrize(("model", "chips", "tokens", "blocks"), PRINTED)
def test_blocks_that_vllm_printed(model: str, chips: int, tokens: int, blocks: int) -> None:
    plan = Case(model, "h100-sxm", "vllm", tensor(chips)).tables(128, tokens).memory
    assert plan.blocks == pytest.approx(blocks, rel=0.02)


def test_quantised_weights_keep_embeddings_and_head_in_16_bit() -> None:
    plan = Case("llama-3.1-8b", "h100-sxm", "vllm", tensor(1), "fp8").tables().memory
    kept = 2 * 128256 * 4096 + 4096 + 32 * 2 * 4096
    assert plan.weight_bytes == (8_030_261_248 - kept) + 2 * kept


def test_explicit_blocks_win() -> None:
    assert L8.tables(blocks=1000).memory.blocks == 1000


def test_a_model_that_does_not_fit_says_by_how_much_and_what_would() -> None:
    with pytest.raises(DoesNotFit) as caught:
        Case("llama-3.1-70b", "h100-sxm", "vllm", tensor(1)).tables(128, 2048)
    text = str(caught.value)
    usable, weights = 85.5e9 * 0.9, 70_553_706_496 * 2
    reserve = RUNTIME_BYTES + 2 * 2048 * (6 * 8192 + 80 * 128 + 3 * 28672) + (LOGIT_BYTES + SORT_BYTES) * 128 * 128256
    assert f"by {weights + reserve + 16 * 327_680 - usable:,.0f} bytes" in text
    assert "llama-3.1-70b in bf16 does not fit 1 x h100-sxm" in text
    assert "what would fit: tensor parallelism 2 or fp8 weights" in text or "tensor parallelism 2" in text
    assert isinstance(caught.value, ValueError)


def test_what_is_said_to_fit_fits() -> None:
    Case("llama-3.1-70b", "h100-sxm", "vllm", tensor(2)).tables(128, 2048)


def test_too_many_blocks_are_refused() -> None:
    with pytest.raises(DoesNotFit, match=r"1000000 KV blocks .* what would fit: fewer KV blocks|fewer KV blocks"):
        L8.tables(blocks=1_000_000)


def test_an_sram_machine_says_how_many_chips_would_do() -> None:
    with pytest.raises(DoesNotFit, match=r"does not fit 100 x groq-lpu.* what would fit: 336 chips"):
        Case("llama-2-70b", "groq-lpu", "groq", (("chips", 100),), "int8", "fp16").tables()
    usable = 0.23e9 * catalogue.engine("groq").memory_fraction.value
    kept = 2 * 32000 * 8192 + 8192 + 80 * 2 * 8192
    assert -(-(68_976_648_192 + kept) // usable) == 336


def test_latent_attention_caches_its_compressed_rank() -> None:
    """70,272 bytes a token in 16 bit: 61 layers x (512 + 64) x 2 (Insights into DeepSeek-V3, ISCA 2025, table 1)."""
    model = catalogue.model("deepseek-v3")
    assert 2 * kv_elements(model, divide(model, 1)) == 70_272


def test_ranks_of_data_parallel_attention_hold_and_sample_their_own_sequences() -> None:
    """Eight ranks hold the logits of an eighth of the sequences each: 8 bytes x 7/8 x 1,024 x 129,280 entries a chip less."""
    model, chip = catalogue.model("deepseek-v3"), catalogue.hardware("h200-sxm")
    one, eight = (
        build_tables(
            model, chip, catalogue.engine("sglang"), Parallelism(tensor=8, expert=8, attention_data=ranks), "fp8", "fp8", 1024,
            2048, 16, None,
        ).memory.reserve_bytes
        for ranks in (1, 8)
    )  # fmt: skip
    whole, part = divide(model, 8, attention_data=8), divide(model, 8)  # each rank has all heads, and its own tokens
    wide = [6 * 7168 + (s.heads + 2 * s.kv_heads) * model.attention.head_dim for s in (part, whole)]
    less = LOGIT_BYTES * (1024 - 128) * model.vocab_size + 2.0 * 2048 * (wide[0] - wide[1] / 8)
    assert (one - eight) / 8 == pytest.approx(less)
