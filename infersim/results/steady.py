"""How far a run's own means can be trusted: where its warm-up ends (MSER-5), and an interval from batch means.

MSER-5 (White 1997; Pawlikowski's and Robinson's textbooks recommend it): average the observations in fives, and drop the
first d averages for which the standard error of the rest is smallest, at most half of them. Batch means: the rest is
cut into 20 batches; their means are nearly independent, so Student's t gives an interval.

Not here: many runs (`infersim/studies/replications.py`).
"""

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]

FIVE, BATCHES, LEVEL = 5, 20, 0.95
"""Observations in an average of MSER-5, batches of batch means, and the level of the intervals."""


def warm_up(values: Array) -> int:
    """How many observations to drop from the front by MSER-5; 0 when there are fewer than ten."""
    count = len(values) // FIVE
    if count < 2:
        return 0
    means = values[: count * FIVE].reshape(count, FIVE).mean(axis=1)
    left = np.arange(count, 0, -1.0)
    sums, squares = means[::-1].cumsum()[::-1], (means**2)[::-1].cumsum()[::-1]
    errors = np.maximum(squares - sums**2 / left, 0.0) / left**2
    return int(np.argmin(errors[: count // 2 + 1])) * FIVE


def batch_means(values: Array) -> tuple[float, float]:
    """Mean and half width of its interval at LEVEL; the half width is NaN with fewer than two values a batch."""
    size = len(values) // BATCHES
    if size < 2:
        return (float(values.mean()) if len(values) else float("nan")), float("nan")
    means = values[len(values) - size * BATCHES :].reshape(BATCHES, size).mean(axis=1)
    return float(means.mean()), t_quantile(LEVEL, BATCHES - 1) * float(means.std(ddof=1)) / math.sqrt(BATCHES)


def steady_state(requests: pd.DataFrame) -> dict[str, dict[str, float]]:
    """For TTFT, TPOT and E2E in the order of arrival: when the warm-up ends [s], and mean and half width after it.

    A half width of the order of the mean says that the run is too short, or never steady, to speak of a mean.
    """
    found = {}
    for column in ("ttft_s", "tpot_s", "e2e_s"):
        known = requests[["arrival_s", column]].dropna()
        values = known[column].to_numpy(dtype=float)
        first = warm_up(values)
        mean, half = batch_means(values[first:])
        begins = float(known["arrival_s"].iloc[first]) if first else 0.0
        found[column] = {"warm_up_s": begins, "mean": mean, "half_width": half}
    return found


def t_quantile(level: float, freedom: int) -> float:
    """The t beyond which a share of 1 - level lies on both sides together, Student's distribution.

    Bisection of the exact series for whole degrees of freedom (Abramowitz and Stegun, 26.7.3 and 26.7.4).
    """
    low, high = 0.0, 1e6
    for _ in range(200):
        middle = (low + high) / 2.0
        low, high = (middle, high) if _within(middle, freedom) < level else (low, middle)
    return (low + high) / 2.0


def _within(t: float, freedom: int) -> float:
    """Probability of -t to t."""
    angle = math.atan(t / math.sqrt(freedom))
    odd, square, total = freedom % 2, math.cos(angle) ** 2, 0.0
    term = math.cos(angle) if odd else 1.0
    for k in range(odd, freedom - 1, 2):
        total += term
        term *= square * (k + 1) / (k + 2)
    return 2.0 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
