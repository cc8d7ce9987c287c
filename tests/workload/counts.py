"""Statistics of arrival times, as the traces' README defines them; shared by the tests of this folder."""

from collections.abc import Iterable

import numpy as np


def joined(blocks: Iterable[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.empty(0), *blocks])


def bin_counts(times: np.ndarray, window: float, span: float) -> np.ndarray:
    """Arrivals in whole windows from 0; the last, partial one is left out."""
    bins = int(span // window)
    kept = times[times < bins * window]
    return np.bincount((kept / window).astype(int), minlength=bins)[:bins]


def dispersion(times: np.ndarray, window: float, span: float) -> float:
    """Index of dispersion of counts: sample variance over mean (Poisson: 1)."""
    counts = bin_counts(times, window, span)
    return float(counts.var(ddof=1) / counts.mean())
