"""What a step pays for the attention of its prompts, beside products and collectives of their tokens.

All chunks of a step go through one launch of each layer's kernels, so floors are paid once a step; what grows with the prompts'
tokens is reading queries, keys and values and writing the results, and what grows with a chunk's length is its query-key pairs.
Not here: decode attention (`roofline.py`). Read `tables.py` for how a step adds these up.
"""

from dataclasses import replace

import numpy as np

from infersim.cost import tabled
from infersim.cost.deployment import Deployment
from infersim.cost.operators import ACTIVATION_BYTES, attended
from infersim.cost.roofline import kv_bytes_s
from infersim.cost.tables import Work
from infersim.cost.work import launches, only_where, zeros

PREFILL_LAUNCHES = 4
"""Kernels' worth of floor of a layer's attention in a step that holds prompts, however many: 11 to 16 us on H100, H200 and GB200, 10 to
15 on B200, 9 to 17 for latent attention, 11 to 14 on A100, 6 to 13 on L40S and RTX PRO 6000 (120,000 shapes of context attention under
vLLM, SGLang and TensorRT-LLM, aiconfigurator-core 0.12.0: floor, tokens x heads, chunks x heads and pairs leave a median error of 4 to 9 %)."""
HALF_TILE = 64
"""Rows by which kernels, whose tiles hold 128 queries, overshoot a chunk of any length on average: 15 to 20 ns a chunk and query head on
B200 and under TensorRT-LLM, in the same fits."""


def prefill_work(d: Deployment) -> tuple[Work, Work, Work, Work]:
    """(By prompt tokens of a step: floor and traffic of their attention; scalars: one chunk, one query-key pair, one attended
    token of KV)."""
    shapes, tokens = attended(d.model, d.shard), np.arange(d.max_num_batched_tokens + 1, dtype=np.float64)
    layers = d.model.with_attention + d.model.with_state
    floor = launches(np.array(PREFILL_LAUNCHES * layers * d.floor_s))
    row = _row(d)
    moved, flops = shapes.stored * d.kv_bytes, shapes.prefill_flops
    pair = replace(
        zeros(()),
        flops=np.array(flops),
        compute_s=np.array(flops / (d.chips * d.chip.attention_flops)),
    )
    context = replace(
        zeros(()),
        memory_bytes=np.array(moved * d.shard.attention_tensor),
        memory_s=np.array(moved / kv_bytes_s(d) / d.stages / d.attention_data),
    )
    if d.measured is not None:
        floor, row, pair = tabled.prefill_attention(floor, row, pair, d)
    return only_where(floor, tokens > 0) + row * tokens, row * float(HALF_TILE), pair, context


def _row(d: Deployment) -> Work:
    """Queries, keys and values read and results written for one prompt token, on chips that share the tokens."""
    attention, heads = d.model.attention, d.shard.heads
    if latent := attention.latent:
        wide = 2 * heads * (latent.nope_dim + latent.rope_dim + latent.value_dim)
    else:
        wide = 2 * (heads + d.shard.kv_heads) * attention.head_dim
    moved = ACTIVATION_BYTES * wide * d.model.with_attention
    return replace(
        zeros(()),
        memory_bytes=np.array(moved * d.shard.attention_tensor),
        memory_s=np.array(moved / d.chip.weight_bytes_s / d.stages / d.attention_data),
    )
