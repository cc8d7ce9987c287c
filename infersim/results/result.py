"""A run, ready to be asked: `Result` wraps the raw record and works out frames, summary and pictures when asked for.

    result = simulate(scenario)
    result.requests["ttft_s"].quantile(0.99)
    result.summary["cost"]["usd_per_million_output_tokens"]
    result.save("runs/first")

Not here: any formula. Read `frames.py` and `summary.py` next.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from infersim.results.record import RunRecord

if TYPE_CHECKING:
    import pandas as pd

    from infersim.results.summary import Summary


@dataclass(frozen=True, eq=False)
class Result:
    """What a run left behind. Everything is computed on first use and kept."""

    record: RunRecord

    @cached_property
    def requests(self) -> "pd.DataFrame":
        """One row for each request that arrived; columns in `frames.requests_frame`."""
        from infersim.results.frames import requests_frame

        return requests_frame(self.record)

    @cached_property
    def replicas(self) -> "pd.DataFrame":
        """One row for each replica ever asked for; columns in `frames.replicas_frame`."""
        from infersim.results.frames import replicas_frame

        return replicas_frame(self.record)

    @cached_property
    def timeline(self) -> "pd.DataFrame":
        """One row for each sample and pool; columns in `frames.timeline_frame`."""
        from infersim.results.frames import timeline_frame

        return timeline_frame(self.record)

    @cached_property
    def events(self) -> "pd.DataFrame":
        """One row for each event of the control plane."""
        from infersim.results.frames import events_frame

        return events_frame(self.record)

    @cached_property
    def summary(self) -> "Summary":
        """The headline numbers, nested, with units in the keys; see `summary.py`."""
        from infersim.results.summary import summarise

        return summarise(self.record, self.requests, self.timeline)

    @cached_property
    def scenario_yaml(self) -> str:
        """The scenario as it ran, defaults filled in, ready to be run again."""
        from infersim.spec.resolve import resolved_yaml

        return resolved_yaml(self.record.scenario)

    def save(
        self,
        directory: str | Path,
        scenario_yaml: str | None = None,
        plots: bool = True,
        report: bool = False,
        exports: Iterable[str] = (),
        extras: Mapping[str, bytes] | None = None,
    ) -> Path:
        """Write the run directory whole or not at all and return its path; `scenario_yaml` replaces the resolved one.

        `report` adds report.html (see `report.py`), `exports` files in other formats (names in `export.FORMATS`),
        `extras` files of your own by name.
        Raises `directory.OutputError` when the directory cannot be written or holds something else.
        """
        from infersim.results.directory import write_run

        frames = {
            "requests": self.requests,
            "replicas": self.replicas,
            "timeline": self.timeline,
            "events": self.events,
        }
        pictures = {}
        if plots:
            from infersim.results.plots import draw

            pictures = draw(self.summary, self.requests, self.timeline)
        text = self.scenario_yaml if scenario_yaml is None else scenario_yaml
        extras = dict(extras or {})
        if report:
            from infersim.results.report import report as page

            extras["report.html"] = page(self).encode()
        if exports:
            from infersim.results.export import exported

            extras |= exported(self, exports)
        return write_run(directory, self.summary, frames, text, pictures, extras)

    def __str__(self) -> str:
        """A few plain lines."""
        from infersim.results.table import headline

        name = self.record.scenario.name
        return "\n".join([name, *(f"  {label:<26} {value}" for label, value in headline(self.summary))])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """A small table for notebooks."""
        from infersim.results.table import headline

        left, right = '<tr><th style="text-align:left">', '</th><td style="text-align:right">'
        rows = "".join(
            f"{left}{escape(label)}{right}{escape(value)}</td></tr>" for label, value in headline(self.summary)
        )
        return f"<table><caption>{escape(self.record.scenario.name)}</caption>{rows}</table>"
