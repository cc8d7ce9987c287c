"""KV blocks of models whose layers keep a sliding window, by hand: how many there are and how many a sequence holds."""

import pytest

from infersim import simulate
from infersim.assembly.costs import pool_cost
from infersim.cost.build import build_tables
from infersim.cost.memory import LOGIT_BYTES, RUNTIME_BYTES, SORT_BYTES
from infersim.cost.tables import CostTables
from infersim.spec import catalogue
from infersim.spec.pool import Parallelism


def tables(model: str, tensor: int = 1, windows: bool = True, blocks: int | None = None) -> CostTables:
    return build_tables(
        catalogue.model(model), catalogue.hardware("h100-sxm"), catalogue.engine("vllm"), Parallelism(tensor=tensor),
        "bf16", "bf16", 128, 2048, 16, blocks, windows=windows,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("model", "full", "windowed", "window"),
    [
        ("mistral-7b-v0.1", 0, 1, 4096),  # all 32 layers
        ("gemma-3-27b", 5, 26, 1024),  # 10 of 62 layers keep everything
        ("gpt-oss-20b", 1, 1, 128),  # 12 of 24
        ("llama-4-scout", 1, 3, 8192),  # 12 of 48
        ("llama-3.1-8b", 1, 0, 0),
    ],
)
def test_blocks_are_shared_out_by_layers(model: str, full: int, windowed: int, window: int) -> None:
    cost = pool_cost(tables(model, tensor=8))
    assert (cost.full_blocks, cost.window_blocks, cost.window_tokens) == (full, windowed, window)


def test_blocks_of_mistral_by_hand() -> None:
    """All 32 layers with 8 heads of 128 in a block, 131,072 bytes a token, and nothing reserved for windows."""
    plan = tables("mistral-7b-v0.1").memory
    weights = 7_241_732_096 * 2
    reserve = (
        RUNTIME_BYTES + 2 * 2048 * (6 * 4096 + (32 + 16) * 128 + 3 * 14336) + (LOGIT_BYTES + SORT_BYTES) * 128 * 32000
    )
    assert plan.weight_bytes == weights
    assert plan.blocks == (85.5e9 * 0.9 - weights - reserve) // (16 * 131_072)
    assert plan.block_bytes == 16 * 131_072


def test_blocks_of_gemma_by_hand() -> None:
    """A block is 16 tokens of two of the 62 layers (10 and 52 have that in common), 16 heads of 128 in 16 bit."""
    plan, held = (tables("gemma-3-27b", 2, windows).memory for windows in (True, False))
    assert plan.block_bytes == 16 * 2 * (2 * 16 * 128) * 2
    room = plan.usable_bytes - plan.weight_bytes - plan.reserve_bytes
    assert plan.blocks == room // plan.block_bytes
    # Held in the reserve, each of 128 sequences has its 52 windows of 1,024 tokens, and blocks are of 10 layers.
    assert held.reserve_bytes - plan.reserve_bytes == 128 * 52 * 1024 * (2 * 16 * 128) * 2
    assert (held.full_blocks, held.window_blocks, held.block_bytes) == (1, 0, 16 * 10 * (2 * 16 * 128) * 2)


def test_explicit_blocks_are_of_all_layers() -> None:
    assert tables("gemma-3-27b", blocks=100).memory.blocks == 100 * 31


def test_windows_let_more_long_sequences_in_at_once() -> None:
    """30,000 tokens in 400 blocks of all layers. In Mistral 0.1 each holds 257 blocks (and a chunk), in 0.3 all 1,875.

    W = 4,096 tokens in a row touch at most ceil(4095 / 16) + 1 = 257 blocks.
    """
    scenario = {
        "name": "windows",
        "model": "mistral-7b-v0.1",
        "horizon_s": 1,
        "workload": {
            "arrivals": {"process": "constant", "rate_rps": 2},
            "input_tokens": {"distribution": "constant", "value": 30_000},
            "output_tokens": {"distribution": "constant", "value": 4},
        },
        "pools": [
            {
                "name": "h100",
                "hardware": "h100-sxm",
                "kv_cache": {"blocks": 400},
                "batching": {"max_num_batched_tokens": 2048, "max_num_seqs": 8},
            }
        ],
    }
    assert simulate(scenario).summary["requests"]["rejected"] == 0  # blocks: 257 + 2048 / 16 = 385
    scenario["pools"][0]["kv_cache"]["blocks"] = 384
    assert simulate(scenario).summary["requests"]["finished"] == 0
    scenario["model"], scenario["pools"][0]["kv_cache"]["blocks"] = "mistral-7b-v0.3", 400
    assert simulate(scenario).summary["requests"]["finished"] == 0
