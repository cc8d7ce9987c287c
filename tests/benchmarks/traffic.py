"""Chat for the loop alone: endless Poisson arrivals with lognormal lengths, drawn once and repeated, and pools to serve it.

What it takes to draw requests is kept out of the measured time. Not here: what is measured (`test_techniques.py`,
`scaling.py`).
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np

from infersim.dataplane.fleet import Chunk, PoolCost
from infersim.dataplane.records import NONE, REQUEST
from infersim.simulate import pool_cost
from infersim.spec import catalogue
from infersim.spec.pool import Parallelism

BLOCK = 100_000
"""Requests that are drawn; the same come again and again, later."""


@cache
def llama8b() -> PoolCost:
    """Llama 3.1 8B on an H100 under a synchronous engine without a front end, vLLM's limits."""
    from infersim.cost.build import build_tables

    tables = build_tables(
        catalogue.model("llama-3.1-8b"), catalogue.hardware("h100-sxm"), catalogue.engine("vllm"),
        Parallelism(tensor=1), "fp8", "fp8", 256, 8192, 16, None,
    )  # fmt: skip
    return replace(pool_cost(tables), request_overhead_s=0.0, token_overhead_s=0.0, async_scheduling=False)


def chat(requests: int, rps: float, seed: int = 1) -> Iterator[Chunk]:
    """So many requests of about 1,155 tokens in and 211 out (the Azure conversations of 2023)."""
    rng = np.random.default_rng(seed)
    size = min(BLOCK, requests)
    drawn = np.zeros(size, REQUEST)
    drawn["id"], drawn["session"], drawn["prefix_start"] = np.arange(size), NONE, 0
    drawn["arrival_s"] = np.cumsum(rng.exponential(1 / rps, size))
    drawn["input_tokens"] = np.clip(rng.lognormal(6.76, 0.77, size), 1, 8_000)
    outputs = np.clip(rng.lognormal(5.15, 0.63, size), 1, 2_000).astype(np.int64)
    span_s = drawn["arrival_s"][-1]
    for first in range(0, requests, size):
        chunk = drawn[: requests - first].copy()
        chunk["id"] += first
        chunk["arrival_s"] += first // size * span_s
        yield chunk, outputs[: len(chunk)]


def with_prefixes(asked: np.ndarray, outputs: np.ndarray, tokens: int) -> Chunk:
    """The same requests of two priorities, their prompts named in blocks: the first half of each is one of a thousand texts.

    Texts are asked for as Zipf's law says; what follows them is nobody else's.
    """
    rng = np.random.default_rng(2)
    blocks = asked["input_tokens"] // tokens
    asked["prefix_blocks"], asked["prefix_start"] = blocks, np.cumsum(blocks) - blocks
    asked["priority"] = rng.integers(0, 2, len(asked))
    text = np.minimum(rng.zipf(1.2, len(asked)), 1000)
    place = np.arange(blocks.sum()) - np.repeat(asked["prefix_start"], blocks)
    shared = place < np.repeat(blocks // 2, blocks)
    own = (np.repeat(asked["id"], blocks) + 1001) * 64 + place
    return asked, outputs, np.where(shared, np.repeat(text, blocks) * 64 + place, own).astype(np.int64)
