"""Attention of prompts against kernels as they were timed: one layer of Llama 8B, in microseconds (aiconfigurator-core 0.12.0, bf16)."""

import pytest

from infersim.cost.tables import CostTables
from tests.cost.deployments import Case, tensor

LAYERS = 32
TIMED = [
    # chip, prompts, tokens of each, us under vLLM, SGLang and TensorRT-LLM (the last with rotary position and the cache's write)
    ("h100-sxm", 1, 16, (12, 10, 14)),
    ("h100-sxm", 16, 16, (14, 11, 24)),
    ("h100-sxm", 8, 32, (16, 13, 19)),
    ("h100-sxm", 16, 1024, (429, 385, 514)),
    ("h100-sxm", 8, 4096, (1984, 2028, 2581)),
    ("b200-sxm", 16, 16, (23, 21, 27)),
    ("b200-sxm", 16, 1024, (242, 199, 345)),
    ("b200-sxm", 8, 4096, (1064, 991, 1268)),
    ("a100-sxm-80gb", 16, 16, (28, 18, 29)),
    ("a100-sxm-80gb", 16, 1024, (1143, 894, 1391)),
    ("a100-sxm-80gb", 8, 4096, (6814, 5821, 8124)),
]


def attention_us(tables: CostTables, prompts: int, tokens: int) -> float:
    """A layer's attention of a step that holds nothing but these prompts."""
    pairs = tokens * (tokens + 1) / 2.0
    assert tables.prompts is not None
    once = tables.prompts.seconds[prompts * tokens]
    each = tables.prefill_chunk.seconds + max(
        tables.prefill_pair.seconds * pairs, tables.prefill_context.seconds * tokens
    )
    return float(once + prompts * each) / LAYERS * 1e6


@pytest.mark.parametrize(("chip", "prompts", "tokens", "timed"), TIMED)
def test_attention_of_prompts_takes_what_kernels_were_timed_to_take(
    chip: str, prompts: int, tokens: int, timed: tuple[int, ...]
) -> None:
    tables = Case("llama-3.1-8b", chip, "vllm", tensor(1)).tables(max_num_batched_tokens=32_768)
    assert 0.75 * min(timed) < attention_us(tables, prompts, tokens) < 1.2 * max(timed)


def test_prompts_of_one_step_share_its_floors() -> None:
    """Sixteen prompts of 16 tokens take 14 us under vLLM where one of them takes 12: kernels are launched once."""
    tables = Case("llama-3.1-8b", "h100-sxm", "vllm", tensor(1)).tables()
    assert attention_us(tables, 16, 16) < 2.0 * attention_us(tables, 1, 16)


def test_chips_that_share_a_layer_share_its_rows_but_not_its_floor() -> None:
    case = Case("llama-3.1-8b", "h100-sxm", "vllm", tensor(1))
    one, four = case.tables(), Case(case.model, case.hardware, case.engine, tensor(4)).tables()
    assert one.prompts is not None
    assert four.prompts is not None
    assert four.prompts.launch_s[1000] == one.prompts.launch_s[1000] > 0
    assert four.prompts.memory_s[1000] == pytest.approx(one.prompts.memory_s[1000] / 4)


def test_steps_without_prompts_pay_nothing_for_them() -> None:
    tables = Case("llama-3.1-8b", "h100-sxm", "vllm", tensor(1)).tables()
    assert tables.prompts is not None
    assert tables.prompts.seconds[0] == 0.0
