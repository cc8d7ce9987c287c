"""How often each shape of step ran: what the loop counts, and everything that is priced afterwards comes from.

Not here: prices of shapes (`infersim/cost/`). Read `ending.py` for where the counts are made.
"""

from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

ITL_FLOOR_S = 1e-6
"""Lower edge of the second bin of the ITL histogram [s]; the first bin takes everything faster."""
ITL_GROWTH = 1.01
"""Ratio of neighbouring bin edges, so a percentile is known to half a percent."""
ITL_BINS = 2316
"""Bins; the last takes everything slower than 1e-6 * 1.01^2314 = 1e4 s."""


@dataclass(frozen=True)
class Tally:
    """Counts of one pool up to some moment. All arrays are float64."""

    steps_by_tokens: NDArray[np.float64]
    """Steps with T tokens, by T."""
    steps_by_sequences: NDArray[np.float64]
    """Steps with N sequences, by N."""
    steps_by_batch: NDArray[np.float64]
    """Steps with B decoding sequences, by B."""
    context_by_batch: NDArray[np.float64]
    """Sum of the attended contexts S over steps with B decoding sequences, by B [tokens]."""
    prefill_chunks: float
    """Prefill chunks; they are counted when their step starts, everything else when its step ends."""
    prefill_pairs: float
    """Query-key pairs of all prefill chunks."""
    prefill_context: float
    """Attended tokens of all prefill chunks."""
    prefill_compute_s: float
    """Part of prefill attention that compute bounds [s]."""
    prefill_memory_s: float
    """Part of prefill attention that memory bounds [s]."""
    busy_s: float
    """Seconds in steps, all replicas together."""
    itl_counts: NDArray[np.float64]
    """Histogram of inter-token latencies; see `itl_edges`."""
    itl_sum_s: float
    """Sum of all inter-token latencies [s]."""
    output_tokens: int
    """Output tokens generated."""
    prompt_tokens: float = 0.0
    """Prompt tokens processed, recomputation after preemption included."""
    steps_by_prompt_tokens: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """Steps with P prompt tokens and at least one, by P, where prompt tokens cost something of their own; else empty."""
    mixed_steps_by_tokens: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """Steps with prompt tokens by all their tokens, where that costs something of its own; else empty."""
    slowed_s: float = 0.0
    """Part of busy_s by which slow replicas' steps were longer than they cost [s]."""
    wasted_tokens: int = 0
    """Tokens processed for attempts that did not finish."""
    adapter_steps: float = 0.0
    """Steps with tokens of sequences that have an adapter."""
    adapter_reads: float = 0.0
    """Different adapters in these steps, summed."""
    adapter_tokens: float = 0.0
    """Tokens of those sequences."""
    adapter_compute_s: float = 0.0
    """Part of the time of adapters that their tokens bound [s],"""
    adapter_memory_s: float = 0.0
    """and that reading them bounds [s]."""
    adapter_admissions: float = 0.0
    """Admissions of sequences with an adapter,"""
    adapter_loads: float = 0.0
    """and those of them for which it had to be loaded."""
    switches: int = 0
    """Switches of replicas to a model, where a pool serves several,"""
    loads: int = 0
    """those of them for which its weights had to be loaded,"""
    evictions: int = 0
    """how often its weights had to go,"""
    switching_s: float = 0.0
    """and the seconds of switching [s], a part of busy_s."""
    by_model: tuple["Tally", ...] = ()
    """The same of each model, where a pool serves several."""

    def __add__(self, other: "Tally") -> "Tally":
        """The counts of both; by model, where both have the same ones."""
        sums = {field.name: getattr(self, field.name) + getattr(other, field.name) for field in fields(Tally)}
        models = tuple(one + another for one, another in zip(self.by_model, other.by_model, strict=True))
        return Tally(**(sums | {"by_model": models}))


ADAPTER_COUNTS = tuple(name for name in Tally.__dataclass_fields__ if name.startswith("adapter_"))


def itl_edges() -> NDArray[np.float64]:
    """Inner edges of the ITL histogram [s]: bin k holds edges[k-1] <= x < edges[k]; ITL_BINS - 1 edges."""
    return ITL_FLOOR_S * ITL_GROWTH ** np.arange(ITL_BINS - 1)
