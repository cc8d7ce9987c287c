"""The picture of cost curves: dollars, TTFT, TPOT and the share within the SLO over the load, a colour a variant.

Not here: the numbers (`curve.py`).
"""

from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, PercentFormatter

from infersim.results import units
from infersim.results.plots import BLUE, GREEN, GREY, ORANGE, RED, SKY, STYLE

if TYPE_CHECKING:
    from infersim.studies.curve import Curve

COLOURS = (BLUE, ORANGE, GREEN, RED, SKY, "#CC79A7", "#F0E442", GREY)
"""Okabe and Ito's, which colour-blind people tell apart."""
MARKERS = "os^Dvp*X"


def draw(found: "Curve") -> bytes:
    """A PNG; the same curves give the same bytes."""
    with rc_context(STYLE):
        figure = Figure(figsize=(11, 7.2), layout="constrained")
        cost, slo, ttft, tpot = figure.subplots(2, 2).ravel()
        paid, unit = "cost.usd_per_million_output_tokens", "a million output tokens"
        if found.table[paid].isna().all():  # embeddings and images
            paid, unit = "cost.usd_per_thousand_requests", "1,000 requests"
        plot(found, paid, cost, f"USD for {unit}", log=True)
        plot(found, "slo.attainment", slo, "share of requests within the SLO")
        plot(found, "latency.ttft_s", ttft, "TTFT [s]: p50 thin, p99 thick", log=True)
        plot(found, "latency.tpot_s", tpot, "TPOT [s]: p50 thin, p99 thick", log=True)
        slo.yaxis.set_major_formatter(PercentFormatter(1.0))
        limit(found.table, "ttft_p99_s", ttft)
        limit(found.table, "tpot_p99_s", tpot)
        handles, labels = cost.get_legend_handles_labels()
        legend = figure.legend(handles, labels, loc="outside upper left", ncols=4)
        for text in legend.get_texts():
            text.set_parse_math(False)
        buffer = BytesIO()
        FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
        return buffer.getvalue()


def plot(found: "Curve", key: str, ax: Axes, title: str, log: bool = False) -> None:
    """One quantity of every variant, a latency as p50 and p99; rings mark knees, dotted lines saturation."""
    known = False
    for row, colour, marker, table in _variants(found):
        loads = table["load_rps"]
        known |= bool(table.get(f"{key}.p99", table.get(key, pd.Series())).notna().any())
        if key.startswith("latency."):
            ax.plot(loads, table[f"{key}.p50"], color=colour, lw=0.8)
            ax.plot(loads, table[f"{key}.p99"], color=colour, marker=marker, ms=3.5, label=row["variant"])
        elif key in table:
            values = table[key].astype(float)
            ax.plot(loads, values, color=colour, marker=marker, ms=3.5, label=row["variant"])
            if key.startswith("cost."):
                at_knee = np.interp(row["knee_rps"], loads, values)
                ax.plot(row["knee_rps"], at_knee, "o", ms=11, mfc="none", mec=colour)
        ax.axvline(row["saturation_rps"], color=colour, lw=0.8, ls=":")
    if log and known:
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: units.digits(y, 1)))
        ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set(title=title, xlabel="load [requests/s]; dotted: saturation" + ("; ring: knee" if "cost." in key else ""))
    ax.set_xlim(left=0)


def limit(table: pd.DataFrame, key: str, ax: Axes) -> None:
    """The SLO's limit as a dashed line."""
    column = f"slo.targets.{key}.limit_s"
    if column in table:
        ax.axhline(float(table[column].iloc[0]), color=RED, lw=1.0, ls=(0, (4, 2)))


def _variants(found: "Curve") -> Iterator[tuple[pd.Series, str, str, pd.DataFrame]]:
    """(marks, colour, marker, points) of each variant."""
    for number, (_, row) in enumerate(found.marks.iterrows()):
        table = found.table[found.table["variant"] == row["variant"]]
        yield row, COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)], table
