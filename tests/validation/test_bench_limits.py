"""Limits that TensorRT-LLM's benchmark sets for itself, by hand."""

import pytest

from infersim.spec import catalogue
from infersim.studies.bench_limits import bench_limits
from infersim.studies.cases import Load

# Llama 3.1 8B in 8 bits on one H200: 0.95 x (150.7 - 8.03) GB hold 2,068,097 tokens of 65,536 bytes. Prompt, answer; sequences in
# multiples of 64, 128, 256, and what comes in as these leave, in multiples of 256, 512, 1,024.
ONE_H200 = [
    (128, 128, 4096, 8192),  # 8,078 would fit
    (2048, 2048, 512, 2048),  # 504.9, and two tokens for each
    (20000, 2000, 128, 2048),  # 94.0, and eleven
    (2048, 128, 1024, 16384),  # 950.4, and 17: 16,157
    (1000, 2000, 768, 2048),  # 689.4, and 1.5
    (500, 500, 2304, 4608),  # 2,068, and two: 4,136
]


@pytest.mark.parametrize(("prompt", "output", "seqs", "tokens"), ONE_H200)
def test_as_many_as_find_room_to_their_end(prompt: int, output: int, seqs: int, tokens: int) -> None:
    model, chip = catalogue.model("llama-3.1-8b"), catalogue.hardware("h200-sxm")
    load = Load("offline_throughput", prompt, output)
    assert bench_limits(model, chip, 1, 1, "fp8", "fp8", load) == (seqs, tokens)


def test_a_key_head_for_each_chip_at_least() -> None:
    """Qwen3 235B has four: eight chips hold each twice, so half as many sequences have room."""
    model, chip = catalogue.model("qwen3-235b-a22b"), catalogue.hardware("h200-sxm")
    load = Load("offline_throughput", 20000, 2000)
    four, eight = (bench_limits(model, chip, 8, tensor, "fp8", "fp8", load)[0] for tensor in (4, 8))
    assert four == pytest.approx(2 * eight, rel=0.2)
