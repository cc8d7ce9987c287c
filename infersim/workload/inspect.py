"""What to know of a trace before using it: rate, burstiness, lengths, sessions, prefix reuse, daily pattern, warnings.

Works on any known format in bounded memory (the ids of prefix blocks are held). Not here: drawing it
(`infersim/results/trace_plots.py`), a synthetic workload like it (`fit.py`), series and pools (`inspect_rates.py`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from infersim.workload.formats import block_tokens_of, format_of
from infersim.workload.formats.format import Format
from infersim.workload.inspect_details import Details, details
from infersim.workload.requests import Requests, joined
from infersim.workload.reuse import Reuse, ideal_reuse, lru_hits
from infersim.workload.statistics import Counts, Gaps, Lengths, Pairs, Seconds, dispersion

WINDOWS_S = (1, 10, 60)
DAY_S = 86_400.0


@dataclass(frozen=True)
class Inspection:
    """A trace in figures; NaN where it has too little for one."""

    file: str
    format: str
    title: str
    rows: int
    span_s: float
    rate_rps: float
    per_minute: dict[str, float]
    """mean, peak and peak_to_mean of the requests in whole minutes."""
    per_second: dict[str, float]
    """The same for seconds."""
    dispersion: dict[int, float]
    """Index of dispersion of counts by width [s]; 1 is Poisson."""
    gap_cv: float
    gap_cv_short: float
    """Without gaps over 60 s."""
    gap_p50_s: float
    gap_p99_s: float
    longest_gap_s: float
    long_gaps: dict[str, float]
    """How many gaps are longer than 10 s, and their share of the span."""
    gamma_shape: float
    """Of Gamma gaps by maximum likelihood; their CV is 1 / sqrt(shape)."""
    clock_tick_s: float
    """Step of a coarse clock; 0 where most times differ."""
    input_tokens: dict[str, float]
    output_tokens: dict[str, float]
    spearman: float
    block_tokens: int
    reuse: Reuse | None
    lru: dict[int, float]
    """Share of blocks found by an LRU cache, by its size in blocks."""
    sessions: dict[str, float]
    details: Details = field(default_factory=dict)
    """What the format tells beyond requests (`inspect_details.py`)."""
    per_hour: dict[str, float] = field(default_factory=dict)
    """mean, peak and peak_to_mean of the requests in whole hours, of a trace that spans a day."""
    clock: dict[str, str] = field(default_factory=dict)
    """Time of the day of the first and the last request, where the format tells."""
    by_hour: list[int] = field(default_factory=list)
    """Requests by hour of the day, where the format tells the hour and the trace spans a day."""
    warnings: list[str] = field(default_factory=list)
    seconds: Counts | None = field(default=None, repr=False, compare=False)
    """Requests in each second, for plots and fits."""
    lengths: tuple[Lengths, Lengths] | None = field(default=None, repr=False, compare=False)
    """Histograms of prompts and outputs."""


def inspect(path: Path, lru_blocks: Sequence[int] = ()) -> Inspection:
    """Everything about a trace file; TraceError if it is of no known format or a row is no row of it.

    Zero-token rows, disorder and duplicates are no errors here; they are counted.
    """
    kind = format_of(path)
    seconds, gaps, lengths, pairs, turns = Seconds(), Gaps(), (Lengths(), Lengths()), Pairs(), _Sessions()
    rows, zeros, duplicates = 0, np.zeros(2, np.int64), 0
    disorder = 0
    for block in _blocks(kind, path):
        if kind.disordered:
            disorder = int((np.diff(block.arrival_s) < 0).sum())
            block = block.at(np.argsort(block.arrival_s, kind="stable"))
        rows += len(block)
        columns = block.input_tokens, block.output_tokens
        for place, column in enumerate(columns):
            lengths[place].add(column)
            zeros[place] += int((column == 0).sum())
        pairs.add(*columns)
        turns.add(block)
        if kind.clock == "absolute":
            seconds.add(block.arrival_s)
            gaps.add(block.arrival_s)
            same = np.diff(np.stack([block.arrival_s, *columns]), axis=1) == 0
            duplicates += int(same.all(axis=0).sum())
    tokens = block_tokens_of(path, kind)
    known = tokens > 0 and next(_with_blocks(kind, path), None) is not None
    notes = _warnings(kind, rows, zeros, duplicates, disorder, gaps, pairs)
    minute, second = (_peaks(seconds.bins(width)) for width in (60, 1))
    return Inspection(
        file=path.name, format=kind.name, title=kind.title, rows=rows, span_s=seconds.last_s,
        rate_rps=rows / seconds.last_s if seconds.last_s else float("nan"), per_minute=minute, per_second=second,
        dispersion={width: dispersion(seconds.bins(width)) for width in WINDOWS_S},
        gap_cv=gaps.cv(), gap_cv_short=gaps.cv(True), gap_p50_s=gaps.quantile(0.5), gap_p99_s=gaps.quantile(0.99),
        longest_gap_s=gaps.longest_s, long_gaps=gaps.long(seconds.last_s), gamma_shape=gaps.gamma_shape(),
        clock_tick_s=_tick(gaps),
        input_tokens=lengths[0].summary(), output_tokens=lengths[1].summary(),
        spearman=pairs.spearman(), block_tokens=tokens if known else 0,
        reuse=ideal_reuse(kind.read(path), tokens) if known else None,
        lru={size: lru_hits(kind.read(path), size) for size in lru_blocks} if known else {},
        sessions=turns.summary(kind), details=details(path, kind.name),
        per_hour=_peaks(seconds.bins(3600)) if seconds.last_s >= DAY_S else {},
        clock=_clock(kind, path, seconds.last_s), by_hour=_by_hour(kind, path, seconds),
        warnings=notes, seconds=seconds.bins(1), lengths=lengths,
    )  # fmt: skip


def _blocks(kind: Format, path: Path) -> Iterator[Requests]:
    """The rows, those of a format with a published disorder all at once."""
    return iter([joined(kind.read(path))]) if kind.disordered else kind.read(path)


def _with_blocks(kind: Format, path: Path) -> Iterator[Requests]:
    return (block for block in kind.read(path) if block.prefixes.size)


def _peaks(counts: Counts) -> dict[str, float]:
    if not counts.size:
        return {}
    mean, peak = float(counts.mean()), float(counts.max())
    return {"mean": mean, "peak": peak, "peak_to_mean": peak / mean if mean else float("nan")}


class _Sessions:
    """Turns and duration of sessions."""

    def __init__(self) -> None:
        self._turns: dict[int, int] = {}
        self._bounds: dict[int, tuple[float, float]] = {}

    def add(self, block: Requests) -> None:
        for session, time in zip(block.session.tolist(), block.arrival_s.tolist(), strict=True):
            if session >= 0:
                self._turns[session] = self._turns.get(session, 0) + 1
                first, last = self._bounds.get(session, (time, time))
                self._bounds[session] = min(first, time), max(last, time)

    def summary(self, kind: Format) -> dict[str, float]:
        if not self._turns:
            return {}
        turns = np.array(list(self._turns.values()))
        spans = np.array([last - first for first, last in self._bounds.values()])
        found = {
            "sessions": float(turns.size), "turns_mean": float(turns.mean()), "turns_p50": float(np.median(turns)),
            "turns_p90": float(np.percentile(turns, 90)), "turns_max": float(turns.max()),
        }  # fmt: skip
        if kind.clock != "none":
            found |= {"span_p50_s": float(np.median(spans)), "span_p90_s": float(np.percentile(spans, 90))}
        return found


def _by_hour(kind: Format, path: Path, seconds: Seconds) -> list[int]:
    if kind.midnight is None or seconds.last_s < DAY_S:
        return []
    return seconds.by_hour(kind.midnight(path)).tolist()


def _clock(kind: Format, path: Path, span_s: float) -> dict[str, str]:
    if kind.midnight is None:
        return {}
    first_s = kind.midnight(path)
    return {"first": _time_of_day(first_s), "last": _time_of_day(first_s + span_s)}


def _time_of_day(seconds: float) -> str:
    minutes, rest = divmod(round(seconds % DAY_S, 2), 60)
    return f"{minutes // 60:02.0f}:{minutes % 60:02.0f}:{rest:05.2f}"


def _tick(gaps: Gaps) -> float:
    """Step of the clock of a trace where more than half of the gaps are 0."""
    return gaps.smallest_step_s if gaps.count > 1 and gaps.ties > 0.5 * gaps.count else 0.0


def _warnings(
    kind: Format, rows: int, zeros: Counts, duplicates: int, disorder: int, gaps: Gaps, pairs: Pairs
) -> list[str]:
    """What a person should know before using the trace."""
    found = []
    for count, name in zip(zeros.tolist(), ("input", "output"), strict=True):
        if count:
            what = "failed requests; a replay leaves them out" if kind.zeros_failed else "a replay refuses them"
            found.append(f"{count} rows have 0 {name} tokens: {what}")
    if disorder:
        found.append(f"{disorder} rows are before the row above, as published: sorted here, and by a replay")
    if gaps.backwards:
        found.append(f"{gaps.backwards} rows are before the row above: a replay refuses them")
    if duplicates:
        found.append(f"{duplicates} rows equal the row above in time and lengths")
    if tick_s := _tick(gaps):
        distinct = gaps.count - gaps.ties
        tick = f"the clock ticks in steps of {tick_s:.3g} s and more"
        found.append(f"only {distinct} distinct times: {tick}; figures of the gaps are artefacts")
    elif gaps.count > 10 and gaps.whole == gaps.count:
        found.append("every time is a whole second: CV and dispersion at 1 s are artefacts of the clock")
    if pairs.rows < rows:
        found.append(f"the correlation of lengths is that of the first {pairs.rows} rows")
    if kind.clock == "session":
        found.append("times count from each session's start: there is no rate; a replay needs session_rate_rps")
    if kind.clock == "none":
        found.append("there are no times: lengths only")
    return found
