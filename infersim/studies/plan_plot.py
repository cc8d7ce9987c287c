"""The picture of a plan: the cheapest fleet of each chip, and every fleet by cost and latency with the Pareto frontier.

Not here: the numbers (`plan.py`).
"""

from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from infersim.results.plots import INK, STYLE
from infersim.studies.curve_plot import COLOURS, MARKERS

if TYPE_CHECKING:
    from infersim.studies.plan import Plan

MOST_BARS = 16
"""Chips in the left panel; the cheapest."""


def draw(found: "Plan") -> bytes:
    """A PNG; the same plan gives the same bytes."""
    with rc_context(STYLE):
        figure = Figure(figsize=(11, 4.8), layout="constrained", dpi=110)
        bars, marks = figure.subplots(1, 2)
        chips = sorted(found.fleets["hardware"].unique())
        look = {chip: (COLOURS[n % len(COLOURS)], MARKERS[n % len(MARKERS)]) for n, chip in enumerate(chips)}
        _cheapest(bars, found.fleets, look)
        _frontier(marks, found, look)
        buffer = BytesIO()
        FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
        return buffer.getvalue()


def _cheapest(ax: Axes, fleets: pd.DataFrame, look: Mapping[str, tuple[str, str]]) -> None:
    """The cheapest fleet of each chip as a bar."""
    best = fleets.sort_values("usd_per_hour", kind="stable").drop_duplicates("hardware").head(MOST_BARS)[::-1]
    ax.barh(best["hardware"], best["usd_per_hour"], color=[look[chip][0] for chip in best["hardware"]], height=0.65)
    for place, row in enumerate(best.itertuples()):
        text = f" ${row.usd_per_hour:,.2f}   {row.replicas} x {row.candidate.removeprefix(row.hardware).strip()}"
        ax.text(row.usd_per_hour, place, text, va="center", fontsize=7.5)
    ax.set_xscale("log")
    low, high = best["usd_per_hour"].min(), best["usd_per_hour"].max()
    ax.set_xlim(low / 2, high * (2 * high / low) ** 0.8)
    ax.set(title="Cheapest fleet of each chip that meets the SLO", xlabel="USD per hour")
    ax.xaxis.set_major_formatter(FuncFormatter(_dollars))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.grid(visible=False, axis="y")


def _frontier(ax: Axes, found: "Plan", look: Mapping[str, tuple[str, str]]) -> None:
    """Every fleet that meets the SLO; the area of a mark is its carbon."""
    most = float(found.fleets["kg_co2_per_hour"].max()) or 1.0
    for chip, rows in found.fleets.groupby("hardware", sort=True):
        colour, marker = look[str(chip)]
        area = 25 + 150 * rows["kg_co2_per_hour"] / most
        ax.scatter(
            rows["usd_per_hour"], rows["ttft_p99_s"], s=area, color=colour, marker=marker, alpha=0.75, lw=0, label=chip
        )
    edge = found.frontier.sort_values("usd_per_hour")
    ax.plot(edge["usd_per_hour"], edge["ttft_p99_s"], "o", ms=13, mfc="none", mec=INK, label="on the frontier")
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(FuncFormatter(_dollars))
    ax.xaxis.set_minor_formatter(FuncFormatter(_dollars) if _narrow(found.fleets) else NullFormatter())
    ax.set(
        title="Fleets by cost and latency; the larger the mark, the more carbon",
        xlabel="USD per hour",
        ylabel="TTFT p99 [s]",
    )
    ax.set_ylim(0, float(found.fleets["ttft_p99_s"].max()) * 1.1)
    ax.legend(fontsize=7.5, ncols=2, loc="lower right")


def _narrow(fleets: pd.DataFrame) -> bool:
    """Whether costs span less than a decade, where only minor ticks lie."""
    return bool(fleets["usd_per_hour"].max() < 8 * fleets["usd_per_hour"].min())


def _dollars(value: float, _place: float | None = None) -> str:
    return f"${value:,.0f}" if value >= 10 else f"${value:g}"
