"""A picture of what arrives in scenarios: the rate over time of each, side by side.

Not here: recorded traces (`infersim/results/trace_plots.py`), what arrives (`infersim/workload/generate.py`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from infersim.results.plots import STYLE
from infersim.results.trace_plots import draw_rate
from infersim.simulate import simulate
from infersim.spec.resolve import resolve
from infersim.spec.scenario import Scenario
from infersim.workload.generate import Offered
from infersim.workload.statistics import dispersion

COLUMNS = 4
"""Panels beside each other."""


@dataclass(frozen=True)
class Arrivals:
    """When the requests of a scenario arrive."""

    name: str
    seconds: NDArray[np.int64]
    """Requests in each second."""

    @property
    def count(self) -> int:
        """All of them."""
        return int(self.seconds.sum())

    @property
    def span_s(self) -> float:
        """For how long they come [s]."""
        return float(self.seconds.size)

    @property
    def mean_rps(self) -> float:
        """Mean rate [requests/s]."""
        return self.count / self.span_s

    @property
    def peak_to_mean(self) -> float:
        """The busiest minute's rate / the mean rate; of a shorter span, the busiest second's."""
        counts = self._counts(60) if self.seconds.size >= 120 else self.seconds
        return float(counts.max() / counts.mean())

    @property
    def dispersion(self) -> float:
        """Variance over mean of the counts in windows of 10 s; 1 for Poisson arrivals."""
        return dispersion(self._counts(10))

    def _counts(self, width: int) -> NDArray[np.int64]:
        return self.seconds[: self.seconds.size // width * width].reshape(-1, width).sum(axis=1)


def arrivals(scenario: Scenario) -> Arrivals:
    """When a scenario's requests arrive. One in which requests wait for answers is simulated."""
    seconds = np.zeros(1, np.int64)
    for times in _times(scenario):
        counts = np.bincount(times.astype(np.int64), minlength=seconds.size)
        counts[: seconds.size] += seconds
        seconds = counts
    missing = int(scenario.horizon_s or 0) - seconds.size
    return Arrivals(scenario.name, np.pad(seconds, (0, max(missing, 0))))


def _times(scenario: Scenario) -> Iterator[NDArray[np.float64]]:
    """Arrival times [s], in blocks."""
    resolved = resolve(scenario)
    if scenario.workload.waits:
        yield simulate(resolved).requests["arrival_s"].to_numpy()
        return
    directory = resolved.directory_of(("workload", "arrivals", "file"))
    offered = Offered(scenario.workload, scenario.horizon_s, scenario.seed, directory)
    yield from (block.arrival_s for block in offered.blocks())


def draw_arrivals(found: list[Arrivals], path: Path) -> None:
    """Draw the rate over time of each into a PNG or SVG file, four beside each other."""
    with rc_context(STYLE):
        rows = -(-len(found) // COLUMNS)
        columns = min(len(found), COLUMNS)
        figure = Figure(figsize=(3.2 * columns, 2.3 * rows), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, one in zip(panels, found, strict=False):
            draw_rate(axes, one.seconds)
            axes.set_title(one.name, fontsize=10)
        for axes in panels[len(found) :]:
            axes.set_visible(False)
        figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else {"Software": None})
