"""Pictures of a run: functions that take frames and draw on Axes, and `draw`, which composes the four that a run saves.

Figures are made without pyplot, so nothing is shown, kept or shared; colours are Okabe and Ito's, which colour-blind
people tell apart, and every area and line is named in a legend or beside itself.

Not here: any number that `summary.json` lacks. Read `table.py` for the terminal.
"""

from collections.abc import Mapping
from io import BytesIO
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter

from infersim.results import units
from infersim.results.metrics import SLO_COLUMNS
from infersim.results.run import rows_share

BLUE, SKY, GREEN, ORANGE, RED, INK, GREY, PALE = (
    "#0072B2",
    "#56B4E9",
    "#009E73",
    "#E69F00",
    "#D55E00",
    "#333333",
    "#8C8C8C",
    "#D9D9D9",
)
"""Okabe and Ito's palette, and greys."""

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": "#999999",
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.7,
    "xtick.color": "#666666",
    "ytick.color": "#666666",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.5,
    "savefig.dpi": 110,
}

LATENCIES = {
    "ttft_s": ("TTFT", "time to first token"),
    "tpot_s": ("TPOT", "time per output token"),
    "e2e_s": ("E2E", "whole request"),
}
"""Column of the requests frame -> its short name and what it says."""


def draw(summary: Mapping[str, Any], requests: pd.DataFrame, timeline: pd.DataFrame) -> dict[str, bytes]:
    """The four pictures of a run as PNG files by name: load, latency, queue, cost; same run, same bytes."""
    with rc_context(STYLE):
        pages = {
            "load.png": ("load and replicas", _load(requests, timeline, rows_share(summary))),
            "latency.png": ("latency of finished requests", _latency(summary, requests)),
            "queue.png": ("requests in the service", _queue(timeline)),
            "cost.png": ("cost", _cost(timeline)),
        }
        for title, figure in pages.values():
            heading = f"{summary['scenario']['name']}: {title}"
            figure.suptitle(heading, x=0.01, y=0.98, ha="left", fontsize=12, fontweight="bold", parse_math=False)
        return {name: _png(figure) for name, (_, figure) in pages.items()}


def _load(requests: pd.DataFrame, timeline: pd.DataFrame, share: float) -> Figure:
    figure, (upper, lower) = _page(5.2, 2, 1, sharex=True)
    plot_load(requests, timeline, upper, share)
    upper.set_xlabel("")
    plot_replicas(timeline, lower)
    return figure


def _latency(summary: Mapping[str, Any], requests: pd.DataFrame) -> Figure:
    figure, axes = _page(3.8, 1, len(LATENCIES), sharey=True)
    limits = {SLO_COLUMNS[key]: target["limit_s"] for key, target in summary["slo"]["targets"].items()}
    for ax, column in zip(axes, LATENCIES, strict=True):
        plot_latency(requests, column, limits.get(column), ax)
        ax.label_outer(remove_inner_ticks=False)
    return figure


def _queue(timeline: pd.DataFrame) -> Figure:
    figure, (ax,) = _page(3.6, 1, 1)
    plot_queue(timeline, ax)
    return figure


def _cost(timeline: pd.DataFrame) -> Figure:
    figure, (upper, lower) = _page(5.2, 2, 1, sharex=True, height_ratios=[3, 2])
    plot_cost(timeline, upper)
    upper.set_xlabel("")
    plot_cost_rate(timeline, lower)
    return figure


def _page(height: float, rows: int, columns: int, **layout: Any) -> tuple[Figure, list[Axes]]:
    """A figure 10 inches wide with fixed margins (an automatic layout draws everything twice), and its axes."""
    figure = Figure(figsize=(10, height))
    axes = figure.subplots(rows, columns, squeeze=False, **layout).ravel().tolist()
    below, above = 0.48 / height, 1.0 - (0.86 if columns > 1 else 0.72) / height
    figure.subplots_adjust(left=0.072, right=0.985, bottom=below, top=above, hspace=0.28, wspace=0.08)
    return figure, axes


def _png(figure: Figure) -> bytes:
    """The figure as a PNG without a word on who made it when."""
    buffer = BytesIO()
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def plot_load(requests: pd.DataFrame, timeline: pd.DataFrame, ax: Axes | None = None, share: float = 1.0) -> Axes:
    """Requests that arrived and that ended, each second, over the intervals of the timeline.

    `requests` holds a `share` of all of them.
    """
    ax, times = _axes(ax), timeline["time_s"].unique()
    scale = _time_axis(ax, times)
    edges = np.concatenate([[0.0], times[times > 0]])
    if len(edges) > 1:
        arrived, ended = (np.histogram(requests[moment], edges)[0] for moment in ("arrival_s", "finish_s"))
        rates = (arrived / np.diff(edges) / share, ended / np.diff(edges) / share)
        ax.stairs(rates[0], edges / scale, fill=True, color=SKY, alpha=0.75, lw=0, label="arrived")
        ax.stairs(rates[1], edges / scale, color=INK, lw=1.0, label="ended")
        _legend(ax)
    ax.set(title="Load", ylabel="requests/s")
    ax.set_ylim(bottom=0)
    return ax


def plot_replicas(timeline: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Replicas that serve, drain and start, stacked, all pools together."""
    ax, total = _axes(ax), _sum_of_pools(timeline)
    parts = {"ready": BLUE, "draining": GREY, "starting": ORANGE}
    _stack(ax, total, {name: (name, colour) for name, colour in parts.items()}, step="post")
    ax.set(title="Replicas", ylabel="replicas")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    _legend(ax)
    return ax


def plot_queue(timeline: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Requests in batches, in replicas' queues, and held for want of a replica, stacked, all pools together."""
    ax, total = _axes(ax), _sum_of_pools(timeline)
    parts = {
        "running": ("running: in a batch", BLUE),
        "waiting": ("waiting: in a replica's queue", ORANGE),
        "held": ("held: no replica is ready", RED),
    }
    _stack(ax, total, parts, step="post")
    ax.set_ylabel("requests")
    _legend(ax)
    return ax


def plot_cost(timeline: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Dollars spent so far on work, idleness and cold starts, stacked, all pools together."""
    ax, total = _axes(ax), _sum_of_pools(timeline)
    last = total.iloc[-1] if len(total) else total.sum()
    names = {"busy_usd": ("busy", GREEN), "idle_usd": ("idle", PALE), "cold_start_usd": ("cold start", ORANGE)}
    parts = {column: (f"{name}: {units.usd(last[column])}", colour) for column, (name, colour) in names.items()}
    _stack(ax, total, parts)
    ax.set(title=f"Spent so far: {units.usd(last['cost_usd'])} in all", ylabel="USD")
    _legend(ax)
    return ax


def plot_cost_rate(timeline: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Dollars each hour by pool, stacked."""
    ax = _axes(ax)
    rates = timeline.pivot_table(index="time_s", columns="pool", values="usd_per_hour", observed=True, dropna=False)
    colours = (BLUE, SKY, GREEN, ORANGE, RED, "#CC79A7", "#F0E442", PALE)
    parts = {pool: (f" {pool}", colours[k % len(colours)]) for k, pool in enumerate(rates.columns)}
    _stack(ax, rates, parts, step="pre")
    ax.set(title="Rate", ylabel="USD per hour")
    if len(parts) > 1:
        _legend(ax)
    return ax


def plot_latency(requests: pd.DataFrame, column: str, limit_s: float | None = None, ax: Axes | None = None) -> Axes:
    """The share of requests whose `column` (one of LATENCIES) is at most x, with percentiles and the limit marked."""
    ax = _axes(ax)
    short, title = LATENCIES[column]
    values = requests[column].dropna().to_numpy()
    ax.set_title(f"{short}: {title}", pad=17)
    ax.set(ylabel="share of requests", ylim=(0, 1.03))
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    if len(values) == 0:
        ax.set(xlabel=f"{short} [s]", xticks=[])
        ax.text(0.5, 0.5, "no request has one", ha="center", transform=ax.transAxes)
        return ax
    shares = np.concatenate([np.linspace(0, 0.98, 246), np.linspace(0.981, 1, 96)])
    points = np.quantile(values, shares)
    unit, factor = ("ms", 1e3) if points[-1] < 2 else ("s", 1.0)
    ax.plot(points * factor, shares, color=BLUE, lw=2)
    ax.set_xlabel(f"{short} [{unit}]")
    marks = {q: float(np.quantile(values, q)) for q in (0.5, 0.9, 0.99)}
    _latency_range(ax, points[[1, -1]] * factor, marks[0.99] * factor, (limit_s or 0.0) * factor)
    if limit_s is not None:
        within = units.percent(float(np.mean(values <= limit_s)))
        ax.axvline(limit_s * factor, color=RED, lw=1.2, ls=(0, (4, 2)))
        ax.annotate(f"{within} within the limit of {units.seconds(limit_s)}", (0, 1), **_ABOVE, color=RED)
    for q, value in marks.items():
        ax.plot(value * factor, q, "o", ms=4.5, color=BLUE, mec="white", mew=0.8, zorder=3)
        ax.annotate(f"p{q * 100:.0f}  {units.seconds(value)}", (value * factor, q), **_BESIDE)
    return ax


_ABOVE: dict[str, Any] = {"xycoords": "axes fraction", "xytext": (0, 4), "textcoords": "offset points"}
_PLATE = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.8}
_BESIDE: dict[str, Any] = {"xytext": (7, -10), "textcoords": "offset points", "color": INK, "bbox": _PLATE}
"""Where notes stand: above the axes on the left; below a point of a rising curve, to its right."""


def _latency_range(ax: Axes, ends: np.ndarray, p99: float, limit: float) -> None:
    """Set the axis, logarithmic when values span more than a factor of 8, with room beside the p99 for its label."""
    least, most = float(ends[0]), max(float(ends[1]), limit)
    if least > 0 and p99 > 8 * least:
        room = p99 * (p99 / least) ** 0.4
        ax.set_xscale("log")
        ax.set_xlim(least / 1.2, max(1.15 * most, room))
        many = most > 300 * least
        ax.xaxis.set_major_locator(LogLocator(subs=(1.0,) if many else (1.0, 2.0, 5.0), numticks=12))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: units.digits(x, 1)))
        ax.xaxis.set_minor_formatter(NullFormatter())
    else:
        span = max(most - least, 0.05 * most, 1e-9)
        least = max(least - 0.1 * span, 0.0)
        ax.set_xlim(least, max(most + 0.05 * span, p99 + 0.4 * (p99 - least)))


def _axes(ax: Axes | None) -> Axes:
    """The given axes, or those of a new figure."""
    return Figure(figsize=(9, 3.6), layout="constrained").subplots() if ax is None else ax


def _sum_of_pools(timeline: pd.DataFrame) -> pd.DataFrame:
    """States, rates and counters of all pools together, by time; `held` belongs to the service and is taken once."""
    numbers = timeline.drop(columns=["pool", "held"]).groupby("time_s").sum(min_count=1)
    return numbers.assign(held=timeline.groupby("time_s")["held"].max())


def _time_axis(ax: Axes, times: Any) -> float:
    """Label the time axis in a unit that suits its length; seconds in one such unit."""
    longest = float(times[-1]) if len(times) else 0.0
    scales = ((600, 1, "s"), (3 * 3600, 60, "min"), (3 * 86400, 3600, "h"), (np.inf, 86400, "days"))
    scale, unit = next((scale, unit) for limit, scale, unit in scales if longest <= limit)
    ax.set_xlabel(f"time [{unit}]")
    ax.set_xlim(0, max(longest / scale, 1e-9))
    return float(scale)


def _stack(
    ax: Axes, total: pd.DataFrame, parts: Mapping[Any, tuple[str, str]], step: Literal["pre", "post"] | None = None
) -> None:
    """Areas on top of each other, the first at the bottom: column -> (label, colour)."""
    times = total.index / _time_axis(ax, total.index)
    floor = np.zeros(len(total))
    for column, (label, colour) in parts.items():
        top = floor + total[column].fillna(0.0).to_numpy()
        ax.fill_between(times, floor, top, step=step, color=colour, lw=0, label=label)
        floor = top
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: units.compact(y)))
    ax.set_ylim(0, max(float(floor.max(initial=0.0)) * 1.05, 1e-9))


def _legend(ax: Axes) -> None:
    """A legend in one row above the axes on the right, where it covers nothing."""
    legend = ax.legend(
        loc="lower right", bbox_to_anchor=(1, 1), ncols=8, borderaxespad=0.2, handlelength=1.1, columnspacing=1.2
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
