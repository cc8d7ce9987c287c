"""A quantity that holds step by step in time: a price, a carbon intensity, how many machines are to be had.

Not here: reading one from a file (`infersim/workload/recorded.py`).
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class StepFunction:
    """values[k] holds from at_s[k] to at_s[k + 1], the last for ever, or for one period that begins again."""

    at_s: Array
    """Rising from 0 [s]."""
    values: Array
    period_s: float = np.inf
    """Where it begins again [s]; above the last of at_s."""
    _sums: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the times; ValueError if they do not begin at 0 and rise."""
        if self.at_s[0] != 0 or (np.diff(self.at_s) <= 0).any() or self.period_s <= self.at_s[-1]:
            raise ValueError(f"times must rise from 0 to the period, found {self.at_s} and {self.period_s}")
        steps = self.values[:-1] * np.diff(self.at_s)
        object.__setattr__(self, "_sums", np.concatenate([[0.0], np.cumsum(steps)]))

    def at(self, time_s: ArrayLike) -> Array:
        """Value at each time."""
        inside = np.asarray(time_s) if np.isinf(self.period_s) else np.mod(time_s, self.period_s)
        return self.values[np.searchsorted(self.at_s, inside, side="right") - 1]

    def integral(self, time_s: ArrayLike) -> Array:
        """Sum of value x seconds from 0 to each time."""
        time = np.asarray(time_s, np.float64)
        if np.isinf(self.period_s):
            return self._within(time)
        whole = np.floor(time / self.period_s)
        return whole * self._within(np.array(self.period_s)) + self._within(time - whole * self.period_s)

    def mean(self, until_s: float) -> float:
        """Mean from 0 to `until_s`; the first value where that is 0."""
        return float(self.integral(until_s)) / until_s if until_s > 0 else float(self.values[0])

    def next_change(self, time_s: float) -> float:
        """When the next value begins to hold after `time_s`; inf if none does."""
        start = 0.0 if np.isinf(self.period_s) else np.floor(time_s / self.period_s) * self.period_s
        later = self.at_s[self.at_s > time_s - start]
        return float(start + (later[0] if len(later) else self.period_s))

    def _within(self, time: Array) -> Array:
        k = np.searchsorted(self.at_s, time, side="right") - 1
        return self._sums[k] + self.values[k] * (time - self.at_s[k])


def constant(value: float) -> StepFunction:
    """The same value always."""
    return StepFunction(np.zeros(1), np.array([value], np.float64))
