"""The picture of a plan: every fleet that meets the SLO by cost and latency, and the frontier that none of them beats.

Not here: the numbers (`plan.py`).
"""

from io import BytesIO
from typing import TYPE_CHECKING

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from infersim.results.plots import INK, STYLE
from infersim.studies.curve_plot import COLOURS, MARKERS

if TYPE_CHECKING:
    from infersim.studies.plan import Plan

NAMED = 6
"""Fleets of the frontier that are named on the plot."""


def draw(found: "Plan") -> bytes:
    """A PNG; the same plan gives the same bytes. The area of a mark is its carbon."""
    with rc_context(STYLE):
        figure = Figure(figsize=(10, 5.6), layout="constrained")
        ax = figure.subplots()
        most = float(found.fleets["kg_co2_per_hour"].max()) or 1.0
        for number, (chip, rows) in enumerate(found.fleets.groupby("hardware", sort=True)):
            ax.scatter(
                rows["usd_per_hour"], rows["ttft_p99_s"], s=25 + 150 * rows["kg_co2_per_hour"] / most,
                color=COLOURS[number % len(COLOURS)], marker=MARKERS[number % len(MARKERS)], alpha=0.75, lw=0,
                label=str(chip),
            )  # fmt: skip
        edge = found.frontier.sort_values("usd_per_hour")
        ax.plot(edge["usd_per_hour"], edge["ttft_p99_s"], "o", ms=13, mfc="none", mec=INK, label="on the frontier")
        for row in edge.head(NAMED).itertuples():
            text = f"{row.replicas} of {row.candidate}"
            ax.annotate(
                text, (row.usd_per_hour, row.ttft_p99_s), xytext=(9, 5), textcoords="offset points", fontsize=7.5
            )
        ax.set_xscale("log")
        ax.set(
            title="Fleets that meet the SLO; the larger the mark, the more carbon", xlabel="USD per hour",
            ylabel="TTFT p99 [s]",
        )  # fmt: skip
        ax.set_ylim(bottom=0)
        ax.legend(fontsize=8)
        buffer = BytesIO()
        FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
        return buffer.getvalue()
