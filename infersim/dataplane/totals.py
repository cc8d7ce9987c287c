"""What all requests come down to: exact counts and sums, windows of time, and histograms of latencies, batch by batch.

Nothing here grows with the number of requests. Counts and sums are exact; each bin of a histogram is 1/128 of its power
of two wide, so an order statistic read from one is within 0.4 % (LATENCY_ERROR). Totals add up: those of several
independent fleets are those of all their requests.

Not here: the shapes of steps (`tally.py`), what is concluded from either (`infersim/results/metrics.py`).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numba
import numpy as np
from numpy.typing import NDArray

from infersim.dataplane import abi
from infersim.dataplane.jit import called
from infersim.dataplane.records import ENDINGS, FINISHED, OUTCOME

LATENCIES = ("ttft_s", "tpot_s", "e2e_s", "normalised_s")
"""What has a histogram, of finished requests: see `infersim/results/metrics.py` for the definitions."""
LIMITED = LATENCIES[:3]
"""Of those, what an SLO limits."""
COUNTED = (
    "input_tokens",
    "output_tokens",
    "preemptions",
    "cached_tokens",
    "retries",
    "wasted_tokens",
    "discarded_tokens",
)
SPANS = tuple(
    name for name in OUTCOME.names if name.endswith("_s") and name not in ("arrival_s", "first_token_s", "finish_s")
)
"""Columns of OUTCOME that are summed: whole numbers, and seconds."""

PARTS = 128
"""Bins for each power of two."""
LATENCY_ERROR = 0.004
"""Largest relative error of a value read from a histogram: sqrt(1 + 1/128) - 1, rounded up."""
_LOWEST, _HIGHEST = -19, 24
_LEAST_S, _MOST_S = 2.0 ** (_LOWEST - 1), 2.0 ** (_HIGHEST - 1)
LATENCY_BINS = (_HIGHEST - _LOWEST) * PARTS + 1
"""Bin 0 is for all below 2^-20 s, about a microsecond; the last takes everything beyond 2^23 s, 97 days, too."""

WIDTHS_S = (1, 60, 3600, 86400, 7 * 86400)
"""Widths of the windows in which arrivals are counted [s]: the first of which there are at most MOST_WINDOWS."""
MOST_WINDOWS = 1 << 20

_AT = {name: place for place, name in enumerate(OUTCOME.names)}
_TENANT, _POOL, _STATUS, _OUTPUT = _AT["tenant"], _AT["pool"], _AT["status"], _AT["output_tokens"]
_INPUT, _CACHED = _AT["input_tokens"], _AT["cached_tokens"]
_ARRIVAL, _FIRST, _FINISH = _AT["arrival_s"], _AT["first_token_s"], _AT["finish_s"]
_INTS, _FLOATS = tuple(_AT[name] for name in COUNTED), tuple(_AT[name] for name in SPANS)


@dataclass(frozen=True)
class Sums:
    """Some requests, added up."""

    endings: NDArray[np.int64]
    """How many ended in each way (ENDINGS)."""
    counted: NDArray[np.int64]
    """Sums of COUNTED (columns) by ending (rows)."""
    seconds: NDArray[np.float64]
    """Sums of SPANS (columns) by ending (rows) [s]."""
    prompts: int
    """Prompt tokens that had to be processed once for each request that got a token or finished: input less cached."""
    met: int
    """Requests that finished within every limit of their class."""
    within: NDArray[np.int64]
    """Requests that finished within each of the scenario's own limits (LIMITED)."""
    known: NDArray[np.int64]
    """Finished requests that have each of LATENCIES (one of a single token has no TPOT)."""
    latency_s: NDArray[np.float64]
    """Sums of LATENCIES [s]."""
    bins: NDArray[np.int64]
    """Histograms of LATENCIES: (latency, bin)."""
    first_s: float
    """First arrival [s]; inf without requests."""
    last_s: float
    """Last end [s]; -inf without requests."""

    @property
    def arrived(self) -> int:
        """All requests."""
        return int(self.endings.sum())

    @property
    def finished(self) -> int:
        """Those that finished."""
        return int(self.endings[FINISHED])

    @property
    def makespan_s(self) -> float:
        """From the first arrival to the last request's end [s]; 0 without requests."""
        return max(self.last_s - self.first_s, 0.0)

    def of_finished(self, column: str) -> int:
        """Sum of one of COUNTED over finished requests."""
        return int(self.counted[FINISHED, COUNTED.index(column)])

    def of_all(self, column: str) -> int:
        """Sum of one of COUNTED over all requests."""
        return int(self.counted[:, COUNTED.index(column)].sum())

    def span_s(self, column: str) -> float:
        """Sum of one of SPANS over finished requests [s]."""
        return float(self.seconds[FINISHED, SPANS.index(column)])

    def order_statistics(self, column: str, ranks: NDArray) -> NDArray[np.float64]:
        """The values of one of LATENCIES with these ranks (from 0), within LATENCY_ERROR [s]."""
        counts = self.bins[LATENCIES.index(column)]
        return bin_middles()[np.searchsorted(np.cumsum(counts), ranks, side="right")]


class Totals:
    """The requests of a run by class and pool, added up; see `Sums`."""

    def __init__(self, pools: int, limits: NDArray, class_limits: NDArray, answers: NDArray | None = None) -> None:
        """Nothing yet. `limits` (3,) are the scenario's, by LIMITED [s]; `class_limits` (classes, 3) those of classes.

        A limit that is not there is inf. `answers` are those that a request of each class gets token by token, 1 without: all
        their output tokens count. Where there are 0 the answer comes whole, at the end: its first token is the last.
        """
        self._pools = pools
        self._limits = np.ascontiguousarray(limits, np.float64)
        self._class_limits = np.ascontiguousarray(class_limits, np.float64)
        self._answers = np.ones(len(class_limits), np.int64) if answers is None else np.asarray(answers, np.int64)
        groups, ways, seen = len(class_limits) * (pools + 1), len(ENDINGS), len(LATENCIES)
        self._whole = {  # by class and pool; the last pool is none
            "endings": np.zeros((groups, ways), np.int64),
            "counted": np.zeros((groups, ways, len(COUNTED)), np.int64),
            "prompts": np.zeros(groups, np.int64),
            "met": np.zeros(groups, np.int64),
            "within": np.zeros((groups, len(LIMITED)), np.int64),
            "known": np.zeros((groups, seen), np.int64),
            "bins": np.zeros((groups, seen, LATENCY_BINS), np.int64),
        }
        self._broken = {"seconds": np.zeros((groups, ways, len(SPANS))), "latency_s": np.zeros((groups, seen))}
        self._first_s, self._last_s = np.full(groups, np.inf), np.full(groups, -np.inf)
        self._width = 0
        self._windows = np.zeros((64, 2), np.int64)
        self._filled = 0

    @property
    def window_s(self) -> int:
        """Width of the windows [s]; divides every round length of which the run has at most a few thousand."""
        return WIDTHS_S[self._width]

    @property
    def windows(self) -> NDArray[np.int64]:
        """By window of arrival: requests that arrived, and that met their limits; (windows, 2)."""
        return self._windows[: self._filled]

    def add(self, rows: NDArray) -> None:
        """Add requests that have ended (OUTCOME)."""
        if len(rows) == 0:
            return
        rows = np.ascontiguousarray(rows)
        self._make_room(float(rows["arrival_s"].max()))
        # Broken numbers are summed by batch first, so that the error of the sum does not grow with the run.
        broken = {name: np.zeros_like(values) for name, values in self._broken.items()}
        _compiled_add()(
            rows.view(np.int64).reshape(len(rows), -1), rows.view(np.float64).reshape(len(rows), -1), self._pools,
            self._limits, self._class_limits, self._answers, *self._whole.values(), *broken.values(), self._first_s, self._last_s,
            self.window_s, self._windows,
        )  # fmt: skip
        for name, values in broken.items():
            self._broken[name] += values

    def merge(self, other: "Totals") -> None:
        """Add the totals of other requests, of the same classes and pools."""
        for name, values in other._whole.items():
            self._whole[name] += values
        for name, values in other._broken.items():
            self._broken[name] += values
        self._first_s = np.minimum(self._first_s, other._first_s)
        self._last_s = np.maximum(self._last_s, other._last_s)
        while self._width < other._width:
            self._widen()
        windows = _summed(other.windows, self.window_s // other.window_s)
        self._grow(len(windows))
        self._windows[: len(windows)] += windows

    def of(self, pool: int | None = None, tenant: int | Sequence[int] | None = None) -> Sums:
        """Those of one pool, of one class or several, or of both; all by default. Pool -1 is of those never routed."""
        groups = np.arange(len(self._first_s)).reshape(len(self._class_limits), self._pools + 1)
        groups = groups[slice(None) if tenant is None else np.atleast_1d(tenant)]
        groups = groups[:, slice(None) if pool is None else [pool]].ravel()
        sums = {name: values[groups].sum(axis=0) for name, values in (self._whole | self._broken).items()}
        sums |= {"prompts": int(sums["prompts"]), "met": int(sums["met"])}
        return Sums(**sums, first_s=float(self._first_s[groups].min()), last_s=float(self._last_s[groups].max()))

    def _make_room(self, last_s: float) -> None:
        """Have windows up to a time."""
        while last_s >= self.window_s * MOST_WINDOWS and self._width + 1 < len(WIDTHS_S):
            self._widen()
        self._grow(int(last_s // self.window_s) + 1)

    def _grow(self, windows: int) -> None:
        if windows > len(self._windows):
            self._windows = np.concatenate([self._windows, np.zeros((windows, 2), np.int64)])
        self._filled = max(self._filled, windows)

    def _widen(self) -> None:
        """Go on with the next width."""
        factor = WIDTHS_S[self._width + 1] // self.window_s
        self._windows = _summed(self.windows, factor)
        self._width, self._filled = self._width + 1, len(self._windows)


def totals_of(rows: NDArray, pools: int, limits: NDArray, class_limits: NDArray) -> Totals:
    """The totals of requests that have all ended (OUTCOME)."""
    totals = Totals(pools, limits, class_limits)
    totals.add(rows)
    return totals


def _summed(windows: NDArray[np.int64], factor: int) -> NDArray[np.int64]:
    """Windows `factor` times as wide."""
    padded = np.concatenate([windows, np.zeros((-len(windows) % factor, 2), np.int64)])
    return padded.reshape(-1, factor, 2).sum(axis=1)


@cache
def bin_middles() -> NDArray[np.float64]:
    """What a latency in each bin is taken as: the geometric middle of its edges [s]; 0 in the first."""
    bins = np.arange(LATENCY_BINS - 1)
    edges = np.ldexp((1.0 + bins % PARTS / PARTS) / 2.0, _LOWEST + bins // PARTS)
    width = np.ldexp(0.5 / PARTS, _LOWEST + bins // PARTS)
    return np.concatenate([[0.0], np.sqrt(edges * (edges + width))])


@called
def latency_bin(seconds):
    """The bin that a latency falls into."""
    if seconds < _LEAST_S:
        return 0
    if not seconds < _MOST_S:
        return LATENCY_BINS - 1
    mantissa, exponent = math.frexp(seconds)  # 0.5 <= mantissa < 1
    return (exponent - _LOWEST) * PARTS + int((2.0 * mantissa - 1.0) * PARTS) + 1


@called
def _note(group, which, seconds, known, latency_s, bins):
    known[group, which] += 1
    latency_s[group, which] += seconds
    bins[group, which, latency_bin(seconds)] += 1


@called
def add_rows(
    ints, floats, pools, limits, class_limits, answers, endings, counted, prompts, met, within, known, bins, seconds, latency_s,
    first_s, last_s, window_s, windows,
):  # fmt: skip
    """Add rows of OUTCOME, seen as whole numbers and as broken ones, to the arrays of `Totals`."""
    for n in range(ints.shape[0]):
        row, times = ints[n], floats[n]
        tenant, pool, status = row[_TENANT], row[_POOL], row[_STATUS]
        group = tenant * (pools + 1) + (pool if pool >= 0 else pools)
        endings[group, status] += 1
        for k in range(len(_INTS)):
            counted[group, status, k] += row[_INTS[k]] * (answers[tenant] if _INTS[k] == _OUTPUT else 1)
        for k in range(len(_FLOATS)):
            seconds[group, status, k] += times[_FLOATS[k]]
        if row[_OUTPUT] > 0 or status == FINISHED:
            prompts[group] += row[_INPUT] - row[_CACHED]
        arrival_s, finish_s = times[_ARRIVAL], times[_FINISH]
        first_s[group] = min(first_s[group], arrival_s)
        last_s[group] = max(last_s[group], finish_s)
        window = int(arrival_s // window_s)
        windows[window, 0] += 1
        if status != FINISHED:
            continue
        ttft_s, e2e_s, gaps = times[_FIRST] - arrival_s, finish_s - arrival_s, row[_OUTPUT] - 1
        if answers[tenant] == 0:
            ttft_s, gaps = e2e_s, 0
        tpot_s = (finish_s - times[_FIRST]) / gaps if gaps > 0 else -math.inf
        _note(group, 0, ttft_s, known, latency_s, bins)
        if gaps > 0:
            _note(group, 1, tpot_s, known, latency_s, bins)
        _note(group, 2, e2e_s, known, latency_s, bins)
        _note(group, 3, e2e_s / max(row[_OUTPUT], 1), known, latency_s, bins)
        within[group, 0] += ttft_s <= limits[0]
        within[group, 1] += tpot_s <= limits[1]
        within[group, 2] += e2e_s <= limits[2]
        own = class_limits[tenant]
        if ttft_s <= own[0] and tpot_s <= own[1] and e2e_s <= own[2]:
            met[group] += 1
            windows[window, 1] += 1


@cache
def _compiled_add() -> Callable:
    """`add_rows`, from the cache on disk or compiled now; plain Python under NUMBA_DISABLE_JIT=1."""
    return _add_for(abi.source_stamp()) if abi.JIT else add_rows


def _add_for(stamp: int) -> Callable:
    whole, broken = numba.types.int64, numba.types.float64

    @numba.njit(
        numba.types.void(
            whole[:, ::1], broken[:, ::1], whole, broken[::1], broken[:, ::1], whole[::1], whole[:, ::1], whole[:, :, ::1],
            whole[::1], whole[::1], whole[:, ::1], whole[:, ::1], whole[:, :, ::1], broken[:, :, ::1], broken[:, ::1],
            broken[::1], broken[::1], whole, whole[:, ::1],
        ),
        cache=True,
        _nrt=False,
    )  # fmt: skip
    def stamped(
        ints, floats, pools, limits, class_limits, answers, endings, counted, prompts, met, within, known, bins, seconds,
        latency_s, first_s, last_s, window_s, windows,
    ):  # fmt: skip
        if stamp >= 0:  # always; it makes the stamp part of the cache key
            add_rows(
                ints, floats, pools, limits, class_limits, answers, endings, counted, prompts, met, within, known, bins,
                seconds, latency_s, first_s, last_s, window_s, windows,
            )  # fmt: skip

    return stamped
