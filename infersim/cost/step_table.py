"""Whole steps as somebody measured them, put in the place of the analytic step of one deployment.

A decode step of B sequences with C tokens of context each, and a prefill step of B prompts of C tokens, are what a
profiler of any engine can time. Decode steps say, for each B, a line over the context; what it says at no context is
linear[B] + sequences[B] + decode_base[B], of which the linear table takes the correction, for mixed steps share it.
Prefill steps correct the linear table at T = B x C. Between measured points corrections are linear; beyond them the
analytic model goes on from the edge, by the ratio found there. Nothing gets under its roofline.
Not here: reading files (`measured_csv.py`), tables of single operators (`measured.py`).
"""

from dataclasses import dataclass, replace

import numpy as np

from infersim.cost.measured import affine
from infersim.cost.tables import Array, CostTables, Work


@dataclass(frozen=True)
class StepTable:
    """Steps of one deployment."""

    source: str
    """Whose measurements."""
    decode: tuple[tuple[int, float, float], ...]
    """(sequences, context of each [tokens], seconds)."""
    prefill: tuple[tuple[int, float, float], ...]
    """(prompts, tokens of each, seconds)."""


def stepped(tables: CostTables, measured: StepTable) -> CostTables:
    """The tables with the steps of a table in the place of their own."""
    lines = _lines(tables, measured)
    linear = tables.linear.seconds
    points: dict[int, list[float]] = {}
    for batch, (constant, _) in lines.items():
        rest = tables.sequences.seconds[batch] + tables.decode_base.seconds[batch]
        points.setdefault(batch, []).append(max(0.0, constant - rest))
    for prompts, tokens, seconds in measured.prefill:
        count, pairs = round(prompts * tokens), tokens * (tokens + 1) / 2.0
        if count >= len(linear) or prompts >= len(tables.sequences.seconds):
            continue
        attention = max(tables.prefill_pair.seconds * pairs, tables.prefill_context.seconds * tokens)
        rest = tables.sequences.seconds[prompts] + prompts * (tables.prefill_chunk.seconds + attention)
        rest += sum(work.seconds[count] for work in (tables.mixed, tables.prompts) if work is not None)
        points.setdefault(count, []).append(max(0.0, seconds - float(rest)))
    ratios = {count: float(np.mean(found)) / linear[count] for count, found in points.items() if linear[count] > 0}
    slopes = {b: slope / tables.decode_per_context.seconds[b] for b, (_, slope) in lines.items() if slope is not None}
    return replace(
        tables,
        linear=_scaled(tables, tables.linear, ratios),
        decode_per_context=_scaled(tables, tables.decode_per_context, slopes),
        notes=[*tables.notes, f"steps as measured: {measured.source}"],
    )


def _lines(tables: CostTables, measured: StepTable) -> dict[int, tuple[float, float | None]]:
    """For each batch: seconds at no context, and for each token of context; the model's slope where one point is known."""
    found: dict[int, tuple[float, float | None]] = {}
    for batch in sorted({batch for batch, _, _ in measured.decode}):
        if batch >= len(tables.decode_base.seconds) or batch >= len(tables.linear.seconds):
            continue
        context = np.array([batch * tokens for b, tokens, _ in measured.decode if b == batch])
        seconds = np.array([value for b, _, value in measured.decode if b == batch])
        if len(np.unique(context)) > 1:
            found[batch] = affine(context, seconds)
        else:
            grows = float(tables.decode_per_context.seconds[batch])
            found[batch] = (float(seconds.mean() - grows * context[0]), None)
    return found


def _scaled(tables: CostTables, work: Work, ratios: dict[int, float]) -> Work:
    """Work by count with its seconds at the measured points, linear between them, by the edges' ratios beyond."""
    if not ratios:
        return work
    known = np.array(sorted(ratios))
    old = work.seconds
    counts = np.arange(len(old))
    at = np.array([ratios[count] * old[count] for count in known])
    inside = (counts >= known[0]) & (counts <= known[-1])
    edge = np.where(counts < known[0], ratios[int(known[0])], ratios[int(known[-1])])
    new = np.where(inside, np.interp(counts, known, at), old * edge)
    least: Array = np.maximum(work.flops / tables.peak_flops, work.memory_bytes / tables.peak_bytes_s)
    factor = np.divide(np.maximum(new, least), old, out=np.ones_like(old), where=old > 0)
    return replace(
        work, compute_s=work.compute_s * factor, memory_s=work.memory_s * factor, network_s=work.network_s * factor,
        launch_s=work.launch_s * factor,
    )  # fmt: skip
