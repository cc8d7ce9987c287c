"""A picture of a trace: its rate over time, its burstiness by time scale, its lengths.

Not here: the figures themselves (`infersim/workload/inspect.py`).
"""

from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from infersim.results.plots import BLUE, GREY, ORANGE, STYLE
from infersim.workload.inspect import Inspection
from infersim.workload.statistics import Lengths, dispersion


def draw_trace(found: Inspection, path: Path) -> None:
    """Draw an inspected trace into a PNG or SVG file; a table of lengths has the lengths alone."""
    with rc_context(STYLE):
        seconds = found.seconds if found.seconds is not None and found.seconds.size > 1 else None
        figure = Figure(figsize=(11, 3.2), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(1, 1 if seconds is None else 3, squeeze=False)[0]
        if seconds is not None:
            draw_rate(axes[0], seconds)
            draw_dispersion(axes[1], seconds)
        draw_lengths(axes[-1], found.lengths)
        figure.suptitle(f"{found.file}: {found.rows:,} requests", fontsize=10)
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else {"Software": None})


def draw_rate(axes: Axes, seconds: np.ndarray) -> None:
    """Requests a second, averaged over about 300 bins."""
    width = max(1, seconds.size // 300)
    rates = seconds[: seconds.size // width * width].reshape(-1, width).mean(axis=1)
    unit, label = (3600, "h") if seconds.size > 4 * 3600 else (60, "min")
    axes.step(np.arange(rates.size) * width / unit, rates, where="post", color=BLUE, lw=0.9)
    axes.set(title="Rate", xlabel=f"time [{label}]", ylabel=f"requests/s, mean of {width} s", ylim=(0, None))


def draw_dispersion(axes: Axes, seconds: np.ndarray) -> None:
    """Index of dispersion of counts against the width of the window."""
    widths = np.unique(np.geomspace(1, max(1, seconds.size // 20), 24).astype(int))
    found = [dispersion(seconds[: seconds.size // width * width].reshape(-1, width).sum(axis=1)) for width in widths]
    axes.loglog(widths, found, "o-", color=BLUE, ms=3, lw=1)
    axes.axhline(1, color=GREY, lw=0.8, ls="--")
    axes.annotate("Poisson", (widths[0], 1), textcoords="offset points", xytext=(2, 3), fontsize=8, color=GREY)
    axes.set(title="Index of dispersion of counts", xlabel="window [s]", ylabel="variance over mean")


def draw_lengths(axes: Axes, lengths: tuple[Lengths, Lengths] | None) -> None:
    """Distribution functions of prompts and outputs."""
    for table, name, colour in zip(lengths or (), ("input", "output"), (BLUE, ORANGE), strict=False):
        values, counts = table.table()
        axes.step(
            np.maximum(values, 0.5), np.cumsum(counts) / counts.sum(), where="post", color=colour, lw=1.2, label=name
        )
    axes.set(title="Tokens", xscale="log", xlabel="tokens", ylabel="share of requests up to", ylim=(0, 1))
    axes.legend(frameon=False)
