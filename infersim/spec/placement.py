"""How many chips an SRAM machine needs: as many as hold the weights and a working set of keys and values.

Not here: what each then holds and how long a token takes (`infersim/cost/memory.py`, `infersim/cost/pipeline.py`).
"""

import math

from infersim.spec.base import BYTES_PER_ELEMENT, Dtype
from infersim.spec.engine import Engine
from infersim.spec.hardware import Hardware
from infersim.spec.model import Model, count_parameters

WORKING_TOKENS = 65_536
"""Tokens of keys and values beside the weights: eight users of 8,192 tokens, the context that such services began with.
Four wafers for Llama-3.1-70B in 16 bit follow, as Cerebras said of its own in 2024."""


def sram_chips(model: Model, hardware: Hardware, engine: Engine, weights: Dtype, kv_cache: Dtype) -> int:
    """Fewest chips of an SRAM machine whose memory holds weights and `WORKING_TOKENS` of keys and values."""
    attention = model.attention
    if latent := attention.latent:
        token = latent.kv_rank + latent.rope_dim
    else:
        token = 2 * attention.kv_heads * attention.head_dim
    kv_bytes = WORKING_TOKENS * model.with_attention * token * BYTES_PER_ELEMENT[kv_cache]
    embedding = model.vocab_size * model.hidden_size * (1 if model.tied_embeddings else 2)
    kept = embedding * max(0.0, 2.0 - BYTES_PER_ELEMENT[weights])  # embeddings stay in 16 bit
    weight_bytes = count_parameters(model) * BYTES_PER_ELEMENT[weights] + kept
    room = hardware.memory.capacity_gb.value * 1e9 * engine.memory_fraction.value
    return math.ceil((weight_bytes + kv_bytes) / room)
