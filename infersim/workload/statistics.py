"""Statistics of arrivals and lengths that can be added up block by block: exact counts, moments, histograms.

Not here: which of them are shown (`inspect.py`) and fitted (`fit.py`).
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

STEPS = 2000
"""Classes of a gap histogram for each factor of ten: 0.12 % wide."""
LEAST_GAP_S = 1e-7
LONG_S = 10.0
"""A gap beyond which traffic is off."""
PAIRS = 1 << 22
"""Most requests whose lengths are ranked for a correlation."""


class Seconds:
    """Requests in every second from the first."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._counts: Counts = np.zeros(1 << 12, np.int64)
        self.last_s = 0.0

    def add(self, times: Floats) -> None:
        """Count times; negative ones are left out."""
        times = times[times >= 0]
        if not times.size:
            return
        self.last_s = max(self.last_s, float(times.max()))
        if self.last_s > 1e9:
            raise ValueError(f"the trace spans {self.last_s:.3g} s, more than 30 years; is its clock in seconds?")
        while self._counts.size <= self.last_s:
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
        first = int(times.min())
        found = np.bincount(times.astype(np.int64) - first)
        self._counts[first : first + found.size] += found

    def bins(self, width_s: int) -> Counts:
        """Counts in whole bins from 0; the last, partial one is left out."""
        bins = int(self.last_s // width_s)
        return self._counts[: bins * width_s].reshape(bins, width_s).sum(axis=1)

    def by_hour(self, first_s: float) -> Counts:
        """Requests by hour of the day; second 0 is `first_s` after midnight."""
        hours = (np.arange(int(self.last_s) + 1) + first_s) // 3600 % 24
        return np.bincount(hours.astype(np.int64), self._counts[: hours.size], minlength=24).astype(np.int64)


def dispersion(counts: Counts) -> float:
    """Index of dispersion: sample variance over mean (Poisson: 1); NaN for fewer than two bins."""
    return float(counts.var(ddof=1) / counts.mean()) if counts.size > 1 and counts.any() else float("nan")


class Gaps:
    """Times between requests in the file's order."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._before: float | None = None
        self._sums = np.zeros((2, 3))
        self._logs = np.zeros(3)
        self._long = np.zeros(2)
        self._histogram = np.zeros(14 * STEPS, np.int64)
        self.backwards = self.ties = self.whole = self.count = 0
        self.longest_s = 0.0
        self.smallest_step_s = float("inf")

    def add(self, times: Floats) -> None:
        """Gaps of a block, and from the block before."""
        gaps = np.diff(times, prepend=times[:1] if self._before is None else self._before)
        gaps = gaps[1:] if self._before is None else gaps
        self._before = float(times[-1])
        self.whole += int((times == np.rint(times)).sum())
        self.count += times.size
        self.backwards += int((gaps < 0).sum())
        self.ties += int((gaps == 0).sum())
        positive = gaps[gaps > 0]
        if positive.size:
            self.smallest_step_s = min(self.smallest_step_s, float(positive.min()))
        self._logs += positive.size, positive.sum(), np.log(positive).sum()
        self._long += (gaps > LONG_S).sum(), gaps[gaps > LONG_S].sum()
        for row, part in enumerate((gaps, gaps[gaps <= 60])):
            self._sums[row] += part.size, part.sum(), (part**2).sum()
        self.longest_s = max(self.longest_s, float(gaps.max(initial=0)))
        classes = np.log10(np.maximum(gaps, LEAST_GAP_S) / LEAST_GAP_S) * STEPS
        self._histogram += np.bincount(
            np.minimum(classes.astype(np.int64), self._histogram.size - 1), minlength=self._histogram.size
        )

    def cv(self, short_only: bool = False) -> float:
        """Coefficient of variation; of the gaps up to 60 s on demand."""
        count, total, squares = self._sums[int(short_only)]
        mean = total / count if count else 0.0
        return float(np.sqrt(max(0.0, squares / count - mean**2)) / mean) if mean > 0 else float("nan")

    def long(self, span_s: float) -> dict[str, float]:
        """How many gaps are longer than LONG_S, and which share of a span they take."""
        count, total = self._long.tolist()
        return {"count": count, "share": total / span_s} if span_s > 0 else {}

    def gamma_shape(self) -> float:
        """Shape of the Gamma law that makes the gaps above 0 most likely; NaN without two different ones.

        log k - digamma(k) = log(mean) - mean(log), as in Johnson, Kotz and Balakrishnan (1994), section 17.7.
        """
        from scipy.optimize import brentq
        from scipy.special import digamma

        count, total, logs = self._logs.tolist()
        excess = np.log(total / count) - logs / count if count > 1 else 0.0
        if not excess > 1e-9:
            return float("nan")
        return float(brentq(lambda shape: np.log(shape) - digamma(shape) - excess, 1e-6, 1e9))

    def quantile(self, share: float) -> float:
        """A quantile, to 0.12 %."""
        place = int(np.searchsorted(np.cumsum(self._histogram), share * self._histogram.sum()))
        return float(LEAST_GAP_S * 10 ** ((place + 0.5) / STEPS)) if self._histogram.any() else float("nan")


class Lengths:
    """Token counts, exactly."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._counts: Counts = np.zeros(1 << 12, np.int64)
        self._long: dict[int, int] = {}
        self.total = 0

    def add(self, tokens: Counts) -> None:
        """Count a block."""
        self.total += int(tokens.sum())
        short = tokens[tokens < 1 << 22]
        while self._counts.size <= short.max(initial=0):
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
        found = np.bincount(short)
        self._counts[: found.size] += found
        for value in tokens[tokens >= 1 << 22].tolist():
            self._long[value] = self._long.get(value, 0) + 1

    def table(self) -> tuple[Counts, Counts]:
        """Values that occur, rising, and how often."""
        values = np.flatnonzero(self._counts)
        longest = sorted(self._long)
        return (
            np.concatenate([values, np.array(longest, np.int64)]),
            np.concatenate([self._counts[values], np.array([self._long[value] for value in longest], np.int64)]),
        )

    def summary(self) -> dict[str, float]:
        """Mean, quantiles (between neighbours in a straight line, as NumPy has them), maximum and sum."""
        values, counts = self.table()
        if not values.size:
            return {}
        ends = np.cumsum(counts)
        rows = int(ends[-1])

        def quantile(share: float) -> float:
            at = share * (rows - 1)
            low, high = values[np.searchsorted(ends, [np.floor(at), np.ceil(at)], side="right")]
            return float(low + (high - low) * (at - np.floor(at)))

        return {
            "mean": self.total / rows, "p50": quantile(0.5), "p90": quantile(0.9), "p99": quantile(0.99),
            "max": float(values[-1]), "sum": float(self.total),
        }  # fmt: skip


class Pairs:
    """Prompt and output lengths of the first few million requests, to rank them."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._parts: list[tuple[Counts, Counts]] = []
        self.rows = 0

    def add(self, inputs: Counts, outputs: Counts) -> None:
        """Keep a block while there is room."""
        if self.rows < PAIRS:
            self._parts.append((inputs.astype(np.int32), outputs.astype(np.int32)))
            self.rows += inputs.size

    def spearman(self) -> float:
        """Rank correlation, ties with their mean rank; NaN where one side is constant."""
        if not self.rows:
            return float("nan")
        ranks = [_ranks(np.concatenate(column)) for column in zip(*self._parts, strict=True)]
        if any(rank.std() == 0 for rank in ranks):
            return float("nan")
        return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _ranks(values: NDArray) -> Floats:
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[which]
