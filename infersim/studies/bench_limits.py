"""How many sequences and tokens a step may hold in runs of TensorRT-LLM's own benchmark, which says so to nobody.

Where it is asked for no limits, `trtllm-bench` works them out from the lengths of its data set and from the KV cache that the chips
have room for, a little on the high side (tensorrt_llm/bench/build/tuning.py, `calc_engine_setting` and `finetune_setting`, of 0.14 to
1.0; from memory). Its published overviews are made so. Not here: limits that rows state (`calibration_rows.py`).
"""

import math

from infersim.cost.operators import attended, parameters
from infersim.cost.sharding import divide
from infersim.spec.base import BYTES_PER_ELEMENT
from infersim.spec.hardware import Hardware
from infersim.spec.model import Model
from infersim.studies.cases import Load

SOURCE = "perf-overview.md"
"""What the sources of such rows end in."""
CACHE_SHARE = 0.95
"""Share of what weights leave free that it takes KV blocks to have."""
MOST_SEQS, MOST_TOKENS = 4096, 16_384
FEWEST_SEQS, FEWEST_TOKENS = 64, 2048


def bench_limits(
    model: Model, hardware: Hardware, chips: int, tensor: int, weights: str, kv_cache: str, load: Load
) -> tuple[int, int]:
    """(sequences, tokens) of a step: as many sequences as find room to their end, and prompts at the pace at which they leave.

    `chips`: of one replica. With data-parallel attention both are those of one rank.
    """
    held = attended(model, divide(model, 1)).stored * max(1.0, tensor / model.attention.kv_heads)
    free = chips * hardware.memory.capacity_gb.value * 1e9 - parameters(model) * BYTES_PER_ELEMENT[weights]  # type: ignore[index]
    room = CACHE_SHARE * free / (held * BYTES_PER_ELEMENT[kv_cache]) / (load.prompt + load.output)  # type: ignore[index]
    seqs = min(room, MOST_SEQS)
    tokens = min(seqs * (1.0 + load.prompt / load.output), MOST_TOKENS)
    return (
        max(FEWEST_SEQS, _up(seqs, 64 if seqs < 256 else 128 if seqs < 1024 else 256)),
        max(FEWEST_TOKENS, _up(tokens, 256 if tokens < 4096 else 512 if tokens < 8192 else 1024)),
    )


def _up(value: float, multiple: int) -> int:
    return math.ceil(value / multiple) * multiple
