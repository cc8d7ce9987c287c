"""The least that each request can take, whatever the batches look like: replica time, and latencies.

A step of T tokens takes at least what any line below the table says, f + g T <= linear[T] with f >= 0. A decode step
holds at most max_num_seqs sequences, so a request's decode tokens bring at least 1 / max_num_seqs steps each. The line
is the one that makes all requests together dearest. Not here: the bound for a mean request, which is closer
(`infersim/studies/bounds.py`).
"""

import numpy as np
from numpy.typing import NDArray

from infersim.cost.tables import CostTables

Array = NDArray[np.float64]


def least_work(
    tables: CostTables, prompt: Array, output: Array, computed: Array | None = None, emitted: int = 1
) -> tuple[Array, Array]:
    """Least replica time of each request for its prompt and for the rest of its answer [s].

    `prompt` and `output` are tokens; `computed` are prompt tokens that a prefix cache holds; a decode step emits at most
    `emitted` tokens of a sequence.
    """
    prompt, output = np.asarray(prompt, np.float64), np.asarray(output, np.float64)
    fresh = prompt if computed is None else prompt - computed
    decodes = np.maximum(output - 1, 0) / emitted
    steps = decodes / tables.max_num_seqs
    floor, slope = _line(tables.linear.seconds, float((fresh + decodes).sum()), float(steps.sum()))
    seat_floor, seat = _line(tables.sequences.seconds, float(decodes.sum()) + len(prompt), float(steps.sum()))
    base_floor, base = _line(tables.decode_base.seconds, float(decodes.sum()), float(steps.sum()))
    pairs = (prompt * (prompt + 1) - (prompt - fresh) * (prompt - fresh + 1)) / 2
    first = slope * fresh + seat + pairs * float(tables.prefill_pair.seconds) + float(tables.prefill_chunk.seconds)
    context = decodes * prompt + decodes * (decodes + 1) / 2
    attention = context * float(tables.decode_per_context.seconds[1:].min())
    return first, decodes * (slope + seat + base) + steps * (floor + seat_floor + base_floor) + attention


def _line(seconds: Array, units: float, steps: float) -> tuple[float, float]:
    """(f, g) of the line f + g n <= seconds[n] for all n >= 1 that makes f * steps + g * units largest."""
    counts, values = np.arange(1, len(seconds), dtype=np.float64), seconds[1:]
    marks = np.unique(np.minimum(2 ** np.arange(int(counts[-1]).bit_length()), len(values))) - 1
    slopes = np.diff(values[marks]) / np.diff(counts[marks]) if len(marks) > 1 else np.zeros(1)
    slopes = np.append(np.clip(slopes, 0.0, (values / counts).min()), [0.0, (values / counts).min()])
    floors = np.maximum((values[None, :] - slopes[:, None] * counts[None, :]).min(axis=1), 0.0)
    best = int(np.argmax(floors * steps + slopes * units))
    return float(floors[best]), float(slopes[best])


def least_ttft(tables: CostTables, prompt: Array) -> Array:
    """Front end, then the prompt alone [s]; prompts longer than a step at the best rate of any step."""
    linear = tables.linear.seconds
    at_least = np.minimum.accumulate(linear[::-1])[::-1]
    counts = np.arange(1, len(linear))
    best_rate = float((linear[1:] / counts).min())
    whole = at_least[np.minimum(prompt, len(linear) - 1).astype(int)]
    prefill = np.where(prompt < len(linear), whole, np.maximum(whole, prompt * best_rate))
    pairs = prompt * (prompt + 1) / 2 * float(tables.prefill_pair.seconds)
    floor = float(tables.sequences.seconds[1:].min()) + float(tables.prefill_chunk.seconds)
    return tables.request_overhead_s + tables.token_overhead_s * prompt + prefill + pairs + floor


def least_tpot(tables: CostTables, prompt: Array, output: Array) -> Array:
    """A step of any kind that decodes it, at its mean context [s]."""
    floor = sum(float(work.seconds[1:].min()) for work in (tables.linear, tables.sequences, tables.decode_base))
    return floor + float(tables.decode_per_context.seconds[1:].min()) * (prompt + output / 2)
