"""Which law the lengths of one client in one window follow: lognormal or exponential, by ServeGen's tables.

Not here: the mixture of all clients (`inspect_rates.py`).
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAST_VALUES = 200
"""Tables with fewer different lengths are not judged: their steps alone are as far from any law. (With this, and with distances
at the steps' tops, the medians of the traces' README come out; it does not state its method.)"""


def window_fit(tables: Iterable[tuple[Floats, Floats]]) -> dict[str, float]:
    """Median Kolmogorov-Smirnov distance of tables (lengths, shares) from a lognormal and from an exponential with their moments,
    and the share of tables to which the exponential is the nearer; empty without a table of LEAST_VALUES.

    The lognormal has mean and deviation of the logarithms of what is above 0, the exponential the mean.
    """
    found = [_distances(values, shares) for values, shares in tables if len(values) >= LEAST_VALUES]
    if not found:
        return {}
    lognormal, exponential = np.array(found).T
    return {
        "windows": float(len(found)),
        "lognormal": float(np.median(lognormal)),
        "exponential": float(np.median(exponential)),
        "exponential_wins": float((exponential < lognormal).mean()),
    }


def _distances(values: Floats, shares: Floats) -> tuple[float, float]:
    from scipy.special import ndtr

    order = np.argsort(values)
    values, shares = values[order], shares[order] / shares.sum()
    known = values > 0
    logs, weights = np.log(values[known]), shares[known] / shares[known].sum()
    middle = (logs * weights).sum()
    spread = np.sqrt(((logs - middle) ** 2 * weights).sum())
    below, lognormal = np.cumsum(shares), np.zeros(len(values))
    lognormal[known] = ndtr((logs - middle) / spread)
    exponential = 1 - np.exp(-values / (values * shares).sum())
    return float(np.abs(below - lognormal).max()), float(np.abs(below - exponential).max())
