"""What speculative decoding adds to a step: drafting, verifying several tokens a sequence, and the draft's memory.

The width of verification costs what it costs: T in the linear table counts all 1 + k tokens of a sequence, the LM head
and the engine's host time are paid for each of them, and attention does 1 + k times the arithmetic on the KV that it
reads once. So speculation stops paying when the batch makes a step compute-bound. Not here: which draft tokens are
accepted (`infersim/dataplane/ending.py`).
"""

from dataclasses import fields, replace

import numpy as np
from numpy.typing import NDArray

from infersim.cost.tables import CostTables, MemoryPlan, Work


def speculative(tables: CostTables, wide: CostTables, draft: CostTables | None, tokens: int) -> CostTables:
    """Tables of a target model that verifies `tokens` draft tokens for each sequence in every step.

    `wide` are the target's tables with room for (1 + tokens) x max_num_seqs sequences, `draft` those of the draft model
    on the same chips (none when the drafts cost nothing, as n-gram look-up). Raises ValueError if the draft model
    leaves no room for KV blocks.
    """
    rows = np.arange(tables.max_num_seqs + 1)
    base, per_context = tables.decode_base, _verified(tables, tokens)
    if draft is not None:
        each = _at(draft.linear, rows) + _at(draft.sequences, rows) + _at(draft.decode_base, rows)
        base = base + each * tokens
        per_context = per_context + _at(draft.decode_per_context, rows) * tokens
    return replace(
        tables,
        sequences=_at(wide.sequences, rows * (1 + tokens)),
        decode_base=base,
        decode_per_context=per_context,
        memory=tables.memory if draft is None else _shared(tables.memory, draft.memory),
    )


def _at(work: Work, rows: NDArray[np.int64]) -> Work:
    """The entries of a table at these rows."""
    return Work(*(getattr(work, each.name)[rows] for each in fields(Work)))


def _verified(tables: CostTables, tokens: int) -> Work:
    """Decode attention of 1 + tokens queries on one reading of the KV, never faster than its arithmetic."""
    work = tables.decode_per_context
    flops = work.flops * (1 + tokens)
    late_s = np.maximum(flops / tables.peak_flops - work.seconds, 0.0)
    return replace(work, flops=flops, compute_s=work.compute_s + late_s)


def _shared(target: MemoryPlan, draft: MemoryPlan) -> MemoryPlan:
    """The target's memory with the draft's weights in it, and its KV beside the target's."""
    kv_bytes = target.blocks * target.block_size * target.kv_bytes_per_token
    per_token = target.kv_bytes_per_token + draft.kv_bytes_per_token
    blocks = int((kv_bytes - draft.weight_bytes) // (per_token * target.block_size))
    if blocks < 1:
        raise ValueError(
            f"the draft model's {draft.weight_bytes / 1e9:.1f} GB leave no room for KV blocks beside the target's "
            "weights; use a smaller draft model or more chips"
        )
    return replace(
        target, weight_bytes=target.weight_bytes + draft.weight_bytes, kv_bytes_per_token=per_token, blocks=blocks
    )
