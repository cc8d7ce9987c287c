"""Forecasts of the requests in flight: seasonal indices by STL, and exponential smoothing by Holt and Winters.

    desired = max(in flight now, forecast for when a replica that is asked for now is ready) / target

In flight is averaged over bins of bin_s. Constants are fitted by statsmodels (STL: Cleveland et al. 1990;
ExponentialSmoothing: Holt 1957, Winters 1960, damped as Gardner and McKenzie 1985) every refit_s; in between the level
follows each bin. Until there is enough of a past (two seasons, or ten bins), it goes by what is in flight now, as
`target_concurrency` does.

Not here: any other use of statsmodels; it is imported when the first fit is due.
"""

import math
import warnings

import numpy as np

from infersim.policies.autoscaling.registry import autoscaling
from infersim.policies.autoscaling.view import View

ENOUGH_BINS = 10
LEVEL_BINS = 5
"""Bins whose mean distance from the seasonal index is the level."""


class _Bins:
    """Requests in flight, averaged over equal pieces of time."""

    def __init__(self, width_s: float) -> None:
        self.width_s = width_s
        self.values: list[float] = []
        self._sum, self._count = 0.0, 0

    def add(self, time_s: float, value: float) -> int:
        """Count a reading; how many bins it completes. One without a reading repeats the one before."""
        number, before = int(time_s / self.width_s + 1e-9), len(self.values)
        while len(self.values) < number:
            mean = self._sum / self._count if self._count else (self.values[-1] if self.values else value)
            self.values.append(mean)
            self._sum, self._count = 0.0, 0
        self._sum += value
        self._count += 1
        return len(self.values) - before


def _ahead_s(view: View, ahead_s: float | None) -> float:
    """When a replica that is asked for at the next decision would be ready."""
    return view.facts.cold_start_s + view.facts.interval_s if ahead_s is None else ahead_s


@autoscaling
class Seasonal:
    """In flight as in earlier seasons (indices by STL) on top of the present level, over the target."""

    def __init__(self, target: float, ahead_s: float | None, bin_s: float, refit_s: float, season_s: float) -> None:
        """`target` requests in flight for each replica."""
        self.target, self.ahead_s, self.refit_s = target, ahead_s, refit_s
        self.period = max(2, round(season_s / bin_s))
        self._bins = _Bins(bin_s)
        self._indices: np.ndarray | None = None
        self._fitted_s = -math.inf

    def desired(self, view: View) -> float:
        """The larger of now and the forecast, over the target."""
        self._bins.add(view.newest.time_s, view.in_flight)
        values = self._bins.values
        if len(values) >= 2 * self.period and view.time_s - self._fitted_s >= self.refit_s:
            self._fitted_s = view.time_s
            self._indices = self._fit()
        expected = 0.0
        if self._indices is not None:
            recent = range(len(values) - min(LEVEL_BINS, len(values)), len(values))
            level = sum(values[k] - self._indices[k % self.period] for k in recent) / len(recent)
            expected = level + self._indices[self._bin_of(view) % self.period]
        return max(view.in_flight, expected) / self.target

    def _bin_of(self, view: View) -> int:
        return int((view.time_s + _ahead_s(view, self.ahead_s)) / self._bins.width_s)

    def _fit(self) -> np.ndarray:
        """The last season's indices, by phase from the start of the run."""
        from statsmodels.tsa.seasonal import STL

        found = STL(np.asarray(self._bins.values), period=self.period, robust=True).fit()
        last, count = found.seasonal[-self.period :], len(self._bins.values)
        return np.roll(last, count % self.period)


@autoscaling
class HoltWinters:
    """Level, damped trend and season of what is in flight by exponential smoothing, over the target."""

    def __init__(
        self, target: float, ahead_s: float | None, bin_s: float, refit_s: float, season_s: float | None
    ) -> None:
        """`target` requests in flight for each replica; no season without `season_s`."""
        self.target, self.ahead_s, self.refit_s = target, ahead_s, refit_s
        self.period = 0 if season_s is None else max(2, round(season_s / bin_s))
        self._bins = _Bins(bin_s)
        self._state: Smoothing | None = None
        self._fitted_s = -math.inf

    def desired(self, view: View) -> float:
        """The larger of now and the forecast, over the target."""
        new = self._bins.add(view.newest.time_s, view.in_flight)
        values = self._bins.values
        if self._state is not None:
            for value in values[len(values) - new :]:
                self._state.follow(value)
        if len(values) >= ENOUGH_BINS and view.time_s - self._fitted_s >= self.refit_s:
            self._fitted_s = view.time_s
            self._state = fitted(values, self.period)
        expected = 0.0
        if self._state is not None:
            bins = (view.time_s + _ahead_s(view, self.ahead_s)) / self._bins.width_s - len(values)
            expected = self._state.forecast(max(1, math.ceil(bins)))
        return max(view.in_flight, expected) / self.target


class Smoothing:
    """Level, damped trend and seasonal indices, additive (Hyndman et al. 2008, ETS(A, Ad, A))."""

    def __init__(
        self, constants: tuple[float, float, float, float], level: float, trend: float, seasons: list[float]
    ) -> None:
        """`constants` are those of level, trend, season, and the damping; `seasons` begins with the next bin's index."""
        self.constants, self.level, self.trend, self.seasons = constants, level, trend, seasons

    def follow(self, value: float) -> None:
        """Take in the next bin."""
        alpha, beta, gamma, phi = self.constants
        index = self.seasons[0] if self.seasons else 0.0
        coasted, damped = self.level + phi * self.trend, phi * self.trend
        level = alpha * (value - index) + (1 - alpha) * coasted
        self.trend = beta * (level - self.level) + (1 - beta) * damped
        self.level = level
        if self.seasons:
            self.seasons = [*self.seasons[1:], gamma * (value - coasted) + (1 - gamma) * index]

    def forecast(self, bins: int) -> float:
        """So many bins ahead."""
        phi = self.constants[3]
        reach = bins if phi == 1 else phi * (1 - phi**bins) / (1 - phi)
        index = self.seasons[(bins - 1) % len(self.seasons)] if self.seasons else 0.0
        return self.level + reach * self.trend + index


def fitted(values: list[float], period: int) -> Smoothing:
    """Constants and state by statsmodels; the season only from two of them on."""
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    seasonal = period >= 2 and len(values) >= 2 * period
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fit that does not converge is still the best that was found
        found = ExponentialSmoothing(
            np.asarray(values), trend="add", damped_trend=True, seasonal="add" if seasonal else None,
            seasonal_periods=period if seasonal else None, initialization_method="heuristic" if seasonal else "estimated",
        ).fit()  # fmt: skip
    given = found.params
    constants = (
        given["smoothing_level"],
        given["smoothing_trend"],
        given["smoothing_seasonal"],
        given["damping_trend"],
    )
    alpha, beta, gamma, phi = (0.0 if math.isnan(constant) else float(constant) for constant in constants)
    seasons = [float(index) for index in found.season[-period:]] if seasonal else []
    return Smoothing((alpha, beta, gamma, phi), float(found.level[-1]), float(found.trend[-1]), seasons)
