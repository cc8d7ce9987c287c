"""The picture of a shootout: dollars against the share within the SLO, a panel a scenario, with the oracle's bound.

Not here: the numbers (`shootout.py`).
"""

from io import BytesIO

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter

from infersim.results.plots import GREY, INK, STYLE
from infersim.studies.curve_plot import COLOURS, MARKERS

SEEN = 6
"""Colours that stand out as small marks; with eight markers they make 24 pairs."""
COST, ATTAINMENT = "cost.total_usd", "slo.attainment"


def draw(table: pd.DataFrame) -> bytes:
    """A PNG; the same table gives the same bytes."""
    done = table[table["status"] == "done"]
    scenarios = list(dict.fromkeys(table["scenario"]))
    scaled = [name for name in dict.fromkeys(table["contestant"]) if not name.startswith("fixed ")]
    look = {name: (COLOURS[n % SEEN], MARKERS[n % len(MARKERS)]) for n, name in enumerate(scaled)}
    with rc_context(STYLE):
        figure = Figure(figsize=(11, 5.2), layout="constrained", dpi=110)
        panels = figure.subplots(1, len(scenarios), squeeze=False)[0]
        for ax, scenario in zip(panels, scenarios, strict=True):
            _panel(ax, scenario, done[done["scenario"] == scenario], look)
        marks = {label: mark for ax in panels for mark, label in zip(*ax.get_legend_handles_labels(), strict=True)}
        legend = figure.legend(list(marks.values()), list(marks), loc="outside lower center", ncols=5)
        for text in legend.get_texts():
            text.set_parse_math(False)
        buffer = BytesIO()
        FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
        return buffer.getvalue()


def _panel(ax: Axes, scenario: str, rows: pd.DataFrame, look: dict[str, tuple[str, str]]) -> None:
    """Everybody on one scenario; fixed fleets as a line."""
    for row in rows.head(1).to_dict("records"):
        ax.plot(row["oracle.usd"], row["oracle.attainment"], "*", ms=15, color=INK, label="oracle's bound")
    fleets = rows[rows["contestant"].str.startswith("fixed ")].sort_values(COST)
    ax.plot(fleets[COST], fleets[ATTAINMENT], "o-", ms=3.5, lw=1.0, color=GREY, label="fixed fleets")
    for row in fleets.to_dict("records"):
        name = row["contestant"].removeprefix("fixed ")
        ax.annotate(name, (row[COST], row[ATTAINMENT]), (3, -9), textcoords="offset points", fontsize=7.5, color=GREY)
    for row in rows[~rows["contestant"].str.startswith("fixed ")].to_dict("records"):
        colour, marker = look[row["contestant"]]
        ax.plot(row[COST], row[ATTAINMENT], marker, color=colour, ms=8, mec="white", mew=0.6, label=row["contestant"])
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(FuncFormatter(_dollars))
    ax.xaxis.set_minor_formatter(FuncFormatter(_dollars) if _narrow(rows) else NullFormatter())
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    ax.set_title(f"{scenario}: share within the SLO by cost", parse_math=False)
    ax.set(xlabel="USD", ylabel="requests within the SLO")


def _narrow(rows: pd.DataFrame) -> bool:
    """Whether costs span less than a decade, where only minor ticks lie."""
    return bool(rows[COST].max() < 10 * rows["oracle.usd"].min())


def _dollars(value: float, _place: float | None = None) -> str:
    leading = float(f"{value:e}".partition("e")[0])
    return f"${value:,.0f}" if round(leading, 6) in (1, 2, 3, 5) else ""
