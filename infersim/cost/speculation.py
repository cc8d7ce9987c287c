"""What speculative decoding adds to a step: drafting, verifying several tokens a sequence, and the draft's memory.

The width of verification costs what it costs: T in the linear table counts all 1 + k tokens of a sequence, the LM head
and the engine's host time are paid for each of them, and attention does 1 + k times the arithmetic on the KV that it
reads once. So speculation stops paying when the batch makes a step compute-bound. Prompts pass through the draft model
too, for it needs their KV. Not here: which draft tokens are accepted (`infersim/dataplane/ending.py`).
"""

from dataclasses import fields, replace

import numpy as np
from numpy.typing import NDArray

from infersim.cost.memory import DoesNotFit
from infersim.cost.tables import CostTables, MemoryPlan, Work


def speculative(
    tables: CostTables, wide: CostTables, draft: CostTables | None, tokens: int, blocks: int | None = None
) -> CostTables:
    """Tables of a target model that verifies `tokens` draft tokens for each sequence in every step.

    `wide` are the target's tables with room for (1 + tokens) x max_num_seqs sequences, `draft` those of the draft model
    on the same chips (none when the drafts cost nothing, as n-gram look-up). An explicit block count wins, as in the
    memory plan. Raises DoesNotFit if the draft model leaves no room for its blocks.
    """
    rows = np.arange(tables.max_num_seqs + 1)
    verifying = replace(
        tables, sequences=_at(wide.sequences, rows * (1 + tokens)), decode_per_context=_verified(tables, tokens)
    )
    if draft is None:
        return verifying
    each = _at(draft.linear, rows) + _at(draft.sequences, rows) + _at(draft.decode_base, rows)
    return replace(
        verifying,
        decode_base=tables.decode_base + each * tokens,
        decode_per_context=verifying.decode_per_context + _at(draft.decode_per_context, rows) * tokens,
        prompts=_both(_both(tables.prompts, draft.prompts), draft.linear),
        mixed=tables.mixed + draft.mixed if tables.mixed and draft.mixed else None,  # one engine runs both
        prefill_chunk=tables.prefill_chunk + draft.prefill_chunk,
        prefill_pair=tables.prefill_pair + draft.prefill_pair,
        prefill_context=tables.prefill_context + draft.prefill_context,
        memory=_shared(tables.memory, draft.memory, blocks),
    )


def _both(first: Work | None, second: Work | None) -> Work | None:
    """Both one after the other, where there are both."""
    return first + second if first and second else first or second


def _at(work: Work, rows: NDArray[np.int64]) -> Work:
    """The entries of a table at these rows."""
    return Work(*(getattr(work, each.name)[rows] for each in fields(Work)))


def _verified(tables: CostTables, tokens: int) -> Work:
    """Decode attention of 1 + tokens queries on one reading of the KV, never faster than its arithmetic."""
    work = tables.decode_per_context
    flops = work.flops * (1 + tokens)
    late_s = np.maximum(flops / tables.peak_flops - work.seconds, 0.0)
    return replace(work, flops=flops, compute_s=work.compute_s + late_s)


def _shared(target: MemoryPlan, draft: MemoryPlan, asked: int | None) -> MemoryPlan:
    """The target's memory with the draft's weights in it, and its KV beside the target's."""
    weights, per_token = target.weight_bytes + draft.weight_bytes, target.kv_bytes_per_token + draft.kv_bytes_per_token
    block = per_token * target.block_size
    limit = target.usable_bytes - target.reserve_bytes if asked is None else target.capacity_bytes
    blocks = int((limit - weights) // block) if asked is None else asked
    missing = weights + max(blocks, 1) * block - limit
    if missing > 0:
        what = "one KV block" if asked is None else f"{asked} KV blocks"
        raise DoesNotFit(
            f"the draft model's {draft.weight_bytes / 1e9:.2f} GB do not fit beside the target's "
            f"{target.weight_bytes / 1e9:.2f} GB and {what} of both: {missing:,.0f} bytes are missing; use a smaller "
            f"draft model, more chips{'' if asked is None else ', or fewer KV blocks'}"
        )
    return replace(target, weight_bytes=weights, kv_bytes_per_token=per_token, blocks=blocks)
