"""The charts of the report, as Bokeh figures: they share one axis of time, so zooming in one zooms in all.

Colours are those of `plots.py`. What is ink or grid is repainted by `page.js` for light, dark and paper.
Hovering reads columns of data and never labels, so that names are text and never markup.

Not here: the page around them (`page.py`). Read `plots.py` for the same pictures in matplotlib.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from bokeh.models import (
    AdaptiveTicker,
    BasicTicker,
    BoxZoomTool,
    ColorBar,
    ColumnDataSource,
    CustomJSTickFormatter,
    HoverTool,
    Legend,
    LegendItem,
    LogColorMapper,
    PanTool,
    Range1d,
    RangeTool,
    ResetTool,
    Span,
    WheelZoomTool,
)
from bokeh.plotting import figure
from numpy.typing import NDArray

from infersim.results.heat import heat
from infersim.results.metrics import SLO_COLUMNS
from infersim.results.plots import BLUE, GREEN, GREY, LATENCIES, ORANGE, PALE, RED, SKY
from infersim.results.power import CAUSES
from infersim.results.run import Run, rows_share
from infersim.results.units import moment, seconds, usd
from infersim.results.windows import window_edges, windows

Array = NDArray[np.float64]

PURPLE = "#CC79A7"
CAUSE_COLOURS = dict(zip(CAUSES, (BLUE, ORANGE, PURPLE, GREY, RED, SKY), strict=True))
INK, SOFT = "#333333", "#8c8c8c"
"""Stand for the page's ink and its soft ink; `page.js` replaces them."""

MARKS = (0.5, 0.9, 0.99)
"""Shares of requests that are marked on a distribution."""

MOST_WINDOWS = 480
"""Points in time of a chart; longer timelines are averaged over windows."""

CLOCK = """
const t = Math.round(tick), h = Math.floor(t / 3600), m = Math.floor(t / 60) % 60, s = t % 60;
return h + ":" + String(m).padStart(2, "0") + (s ? ":" + String(s).padStart(2, "0") : "")
"""
"""Labels of the axis of time."""
PLAIN = "return tick >= 1e4 ? tick.toExponential() : String(+tick.toPrecision(3))"
"""Labels of an axis of seconds."""


@dataclass(frozen=True)
class Chart:
    """A figure, and what it says to those who do not see it."""

    figure: Any
    title: str
    says: str


@dataclass(frozen=True)
class Timeline:
    """The charts over time of one run."""

    run: Run

    @cached_property
    def range(self) -> Range1d:
        """What part of the run is shown."""
        end = float(self.run.summary["run"]["end_s"])
        return Range1d(0.0, end, bounds=(0.0, end), min_interval=min(1.0, end))

    @cached_property
    def table(self) -> pd.DataFrame:
        """All pools together, window by window; `held` belongs to the service and is taken once."""
        times = np.unique(np.append(0.0, self.run.timeline["time_s"].to_numpy()))
        edges = times[np.unique(np.linspace(0, len(times) - 1, MOST_WINDOWS + 1).round().astype(int))]
        parts = windows(self.run.timeline, edges if len(edges) > 1 else np.array([0.0, 1e-9]))
        if not len(parts):
            return parts
        held = parts.groupby("start_s")["held"].max()
        table = parts.drop(columns=["pool", "held"]).groupby(["start_s", "end_s"]).sum().reset_index()
        table["held"] = held.to_numpy()
        span = (table["end_s"] - table["start_s"]).to_numpy()
        table["when"] = [f"{moment(a)} to {moment(b)}" for a, b in zip(table["start_s"], table["end_s"], strict=True)]
        for name, counter, scale in (
            ("arrivals", "arrived", 1.0),
            ("endings", "ended", 1.0),
            ("busy_rate", "busy_usd", 3600.0),
            ("idle_rate", "idle_usd", 3600.0),
            ("cold_rate", "cold_start_usd", 3600.0),
        ):
            table[name] = table[counter] / span * scale
        up = table["up_s"].to_numpy()
        for cause in CAUSES:
            table[f"{cause}_share"] = np.divide(table[f"{cause}_s"], up, out=np.zeros(len(up)), where=up > 0)
        return table

    def charts(self) -> list[Chart]:
        """Everything over time, from the top of the page down; the last one is the brush."""
        made = [
            self.load(),
            self.replicas(),
            self.service(),
            self.first_tokens(),
            self.bounds(),
            self.rate(),
            self.heat(),
        ]
        return [chart for chart in made if chart is not None]

    def load(self) -> Chart:
        """Requests that arrived and ended."""
        chart = self._stack({"arrivals": ("arrived", SKY)}, "requests/s", "Load", extra=[("endings", "ended")])
        peak = float(self.table["arrivals"].max()) if len(self.table) else 0.0
        return Chart(chart, "Load", f"Requests that arrived and ended each second; at most {peak:.3g} arrived.")

    def replicas(self) -> Chart:
        """Replicas by state."""
        parts = {"ready": ("ready", BLUE), "draining": ("draining", GREY), "starting": ("starting", ORANGE)}
        peak = float(self.table["ready"].max()) if len(self.table) else 0.0
        chart = self._stack(parts, "replicas", "Replicas")
        return Chart(chart, "Replicas", f"Replicas that serve, drain and start; at most {peak:.3g} were ready.")

    def service(self) -> Chart:
        """Requests by state."""
        parts = {"running": ("running in a batch", BLUE), "waiting": ("waiting in a queue", ORANGE),
                 "held": ("held: no replica is ready", RED)}  # fmt: skip
        peak = float((self.table["waiting"] + self.table["held"]).max()) if len(self.table) else 0.0
        chart = self._stack(parts, "requests", "Requests in the service")
        return Chart(chart, "Requests in the service", f"Requests running and waiting; at most {peak:.4g} waited.")

    def bounds(self) -> Chart:
        """What replicas that were up did with their time."""
        parts = {f"{cause}_share": (cause, CAUSE_COLOURS[cause]) for cause in CAUSES}
        chart = self._stack(parts, "share of time up", "What bound the chips", top=1.0)
        return Chart(chart, "What bound the chips", "Share of the replicas' time by what bound it; the rest is idle.")

    def rate(self) -> Chart:
        """Dollars an hour by purpose."""
        parts = {"busy_rate": ("busy", GREEN), "idle_rate": ("idle", PALE), "cold_rate": ("cold start", ORANGE)}
        chart = self._stack(parts, "USD per hour", "Cost rate")
        return Chart(chart, "Cost rate", "Dollars an hour for busy, idle and starting replicas.")

    def first_tokens(self) -> Chart | None:
        """Median and p99 of TTFT by the time of arrival."""
        done = self.run.requests[self.run.requests["ttft_s"].notna()]
        if not len(done):
            return None
        edges = window_edges(float(self.run.summary["run"]["end_s"]), 120)
        starts = np.searchsorted(done["arrival_s"].to_numpy(), edges)
        ttft = done["ttft_s"].to_numpy()
        rows = [(a, b, *np.percentile(ttft[i:j], (50, 99)), j - i)
                for a, b, i, j in zip(edges, edges[1:], starts, starts[1:], strict=False) if j > i]  # fmt: skip
        table = pd.DataFrame(rows, columns=["start_s", "end_s", "p50", "p99", "requests"])
        table["when"] = [f"{moment(a)} to {moment(b)}" for a, b in zip(table["start_s"], table["end_s"], strict=True)]
        table["middle_s"] = (table["start_s"] + table["end_s"]) / 2
        table = table.assign(p50_text=table["p50"].map(seconds), p99_text=table["p99"].map(seconds))
        chart = self._figure("TTFT [s]", y_axis_type="log")
        source = ColumnDataSource(table.to_dict("list"))
        for name, colour in (("p99", RED), ("p50", BLUE)):
            line = chart.line("middle_s", name, source=source, color=colour, line_width=1.8)
            dots = chart.scatter("middle_s", name, source=source, color=colour, size=4)
            chart.legend[0].items.append(LegendItem(label=name, renderers=[line, dots]))
        tips = [("arrived", "@when"), ("requests", "@requests{0,0}"), ("p50", "@p50_text"), ("p99", "@p99_text")]
        chart.add_tools(HoverTool(renderers=[dots], tooltips=tips, mode="vline"))
        limit = self.run.summary["slo"]["targets"].get("ttft_p99_s")
        if limit:
            chart.add_layout(Span(location=limit["limit_s"], dimension="width", line_color=RED, line_dash="dashed"))
        chart.yaxis.formatter = CustomJSTickFormatter(code=PLAIN)
        words = "Median and 99th percentile of TTFT by the time of arrival" + (
            f"; dashed: the limit of {seconds(limit['limit_s'])}." if limit else "."
        )
        return Chart(chart, "Time to first token", words)

    def heat(self) -> Chart | None:
        """Requests in flight by replica."""
        edges = window_edges(float(self.run.summary["run"]["end_s"]), 160)
        warmth = heat(self.run.requests, self.run.replicas, edges, rows_share(self.run.summary))
        count = len(warmth.replicas)
        if not count:
            return None
        known = np.isfinite(warmth.in_flight)
        row, column = np.nonzero(known)
        pools = self.run.replicas.set_index("replica")["pool"].astype(str)
        cells = {
            "replica": [f"{s}" for s in warmth.replicas[row]],
            "pool": pools.loc[warmth.replicas[row]].tolist(),
            "row": row.astype(float),
            "left": edges[column],
            "right": edges[column + 1],
            "requests": np.round(warmth.in_flight[known], 2),
            "when": [f"{moment(edges[c])} to {moment(edges[c + 1])}" for c in column],
        }
        most = float(warmth.in_flight[known].max(initial=0.0))
        mapper = LogColorMapper(palette="Viridis256", low=1.0, high=max(most, 2.0))
        chart = self._figure("replica", height=int(np.clip(70 + 14 * count, 130, 620)), y_range=(count - 0.5, -0.5))
        source = ColumnDataSource(cells)
        tiles = chart.hbar(y="row", left="left", right="right", height=0.92, source=source, line_color=None,
                           fill_color={"field": "requests", "transform": mapper})  # fmt: skip
        tips = [("replica", "@replica of @pool"), ("time", "@when"), ("requests in flight", "@requests{0,0.0}")]
        chart.add_tools(HoverTool(renderers=[tiles], tooltips=tips))
        chart.legend[0].visible = False
        chart.yaxis.ticker = BasicTicker(min_interval=1)
        chart.yaxis.formatter = CustomJSTickFormatter(
            args={"serials": [int(s) for s in warmth.replicas]}, code="return serials[tick] ?? ''"
        )
        chart.add_layout(ColorBar(color_mapper=mapper, title="requests in flight", width=10), "right")
        more = int(self.run.replicas["ready_s"].notna().sum()) - count
        rest = f" The first {count} are shown, {more} more are not." if more > 0 else ""
        return Chart(chart, "Replicas one by one", f"Mean number of requests in flight by replica and time.{rest}")

    def brush(self) -> Chart:
        """The whole run, small, with the shown part marked: drag it."""
        chart = figure(height=90, sizing_mode="stretch_width", toolbar_location=None, tools="", x_axis_type=None,
                       y_axis_type=None, x_range=(0.0, self.range.end), min_border_left=60)  # fmt: skip
        if len(self.table):
            chart.varea_step(self.table["start_s"].tolist(), 0.0, self.table["arrivals"].tolist(), step_mode="after",
                             fill_color=SKY, fill_alpha=0.8)  # fmt: skip
        tool = RangeTool(x_range=self.range, start_gesture="pan")
        tool.overlay.fill_color, tool.overlay.fill_alpha = ORANGE, 0.18
        chart.add_tools(tool)
        return Chart(
            plain(chart), "Which part is shown", "Arrivals over the whole run; drag the marked part, or its edges."
        )

    def _figure(self, label: str, height: int = 190, **options: Any) -> Any:
        """An empty figure over time."""
        zoom = WheelZoomTool(dimensions="width", modifiers={"ctrl": True})
        tools = [PanTool(dimensions="width"), BoxZoomTool(dimensions="width"), zoom, ResetTool()]
        chart = figure(
            height=height, sizing_mode="stretch_width", x_range=self.range, toolbar_location=None, tools=tools,
            min_border_left=60, **options,
        )  # fmt: skip
        chart.toolbar.active_drag = chart.tools[1]
        chart.yaxis.axis_label = label
        chart.xaxis.formatter = CustomJSTickFormatter(code=CLOCK)
        chart.xaxis.ticker = AdaptiveTicker(base=60, mantissas=[1, 2, 5, 10, 15, 30], min_interval=1.0)
        chart.add_layout(Legend(orientation="horizontal", location="right", padding=0, margin=2), "above")
        return plain(chart)

    def _stack(
        self,
        parts: dict[str, tuple[str, str]],
        label: str,
        title: str,
        top: float | None = None,
        extra: Sequence[tuple[str, str]] = (),
    ) -> Any:
        """Areas on top of each other, the first at the bottom: column -> (label, colour)."""
        chart, table = self._figure(label), self.table
        data = {
            name: table[name].to_numpy() if len(table) else [] for name in ("start_s", "end_s", *parts, *dict(extra))
        }
        data["when"] = table["when"].tolist() if len(table) else []
        # An area ends where its last window does: the last value is repeated there.
        floor, steps = np.zeros(len(table) + 1), {"x": np.append(data["start_s"], self.range.end)}
        for column in parts:
            values = np.asarray(data[column], dtype=float)
            steps[f"{column}_from"], floor = floor, floor + np.append(values, values[-1:] if len(values) else 0.0)
            steps[f"{column}_to"] = floor
        areas = ColumnDataSource(steps)
        for column, (name, colour) in parts.items():
            area = chart.varea_step("x", f"{column}_from", f"{column}_to", source=areas, fill_color=colour,
                                    step_mode="after")  # fmt: skip
            chart.legend[0].items.append(LegendItem(label=name, renderers=[area]))
        heights = [floor, *(np.asarray(data[name], dtype=float) for name, _ in extra)]
        highest = top or max(1.05 * max(float(height.max(initial=0.0)) for height in heights), 1e-9)
        source = ColumnDataSource(data | {"top": np.full(len(table), highest)})
        for column, name in extra:
            line = chart.step("start_s", column, source=source, mode="after", color=INK, line_width=1.2)
            chart.legend[0].items.append(LegendItem(label=name, renderers=[line]))
        cover = chart.quad("start_s", "end_s", "top", 0, source=source, fill_alpha=0.0, line_color=None,
                           hover_fill_alpha=0.15, hover_fill_color=SOFT)  # fmt: skip
        names = [*((column, name) for column, (name, _) in parts.items()), *extra]
        tips = [("time", "@when"), *((name, f"@{column}{{0,0.[000]}}") for column, name in names)]
        chart.add_tools(HoverTool(renderers=[cover], tooltips=tips, mode="vline"))
        chart.y_range = Range1d(0.0, highest)
        return chart


def latency_charts(run: Run) -> list[Chart]:
    """The share of requests at most x, for each latency that some request has."""
    limits = {SLO_COLUMNS[key]: target["limit_s"] for key, target in run.summary["slo"]["targets"].items()}
    made = []
    for column, (short, title) in LATENCIES.items():
        values = run.requests[column].dropna().to_numpy()
        if not len(values):
            continue
        shares = np.unique(np.concatenate([np.linspace(0, 0.98, 200), np.linspace(0.981, 1, 96), MARKS]))
        points = np.maximum(np.quantile(values, shares), 1e-9)
        made.append(_distribution(short, title, points, shares, limits.get(column)))
    return made


def _distribution(short: str, title: str, points: Array, shares: Array, limit: float | None) -> Chart:
    """One curve of shares over seconds, with its limit."""
    wide = points[-1] > 8 * points[1]
    chart = figure(height=260, sizing_mode="stretch_width", toolbar_location=None, tools="",
                   x_axis_type="log" if wide else "linear", y_range=(0, 1.02))  # fmt: skip
    texts = {"value": [seconds(float(x)) for x in points], "percent": [f"{100 * s:.4g} %" for s in shares]}
    source = ColumnDataSource({"x": points, "share": shares, **texts})
    line = chart.line("x", "share", source=source, color=BLUE, line_width=2.2)
    chart.add_tools(HoverTool(renderers=[line], tooltips=[(short, "@value"), ("requests", "@percent")], mode="hline"))
    marks = np.searchsorted(shares, MARKS)
    chart.scatter(points[marks], shares[marks], size=7, color=BLUE)
    if limit:
        chart.add_layout(Span(location=limit, dimension="height", line_color=RED, line_dash="dashed", line_width=1.5))
    chart.xaxis.axis_label, chart.yaxis.axis_label = f"{short} [s]", "share of requests"
    chart.xaxis.formatter = CustomJSTickFormatter(code=PLAIN)
    words = ", ".join(f"p{round(100 * shares[k])} {seconds(float(points[k]))}" for k in marks)
    return Chart(plain(chart), f"{short}: {title}", f"{words}{'' if limit is None else f'; limit {seconds(limit)}'}.")


def waterfall(cost: dict[str, float]) -> Chart:
    """From nothing to the bill: busy, idle, cold start, and the three together."""
    names, colours = ["busy", "idle", "cold start", "together"], [GREEN, PALE, ORANGE, SOFT]
    amounts = [cost["busy_usd"], cost["idle_usd"], cost["cold_start_usd"], cost["total_usd"]]
    ends = np.append(np.cumsum(amounts[:3]), amounts[3])
    begins = np.append(np.append(0.0, ends[:2]), 0.0)
    chart = figure(height=260, sizing_mode="stretch_width", x_range=names, toolbar_location=None, tools="")
    source = ColumnDataSource(
        {"name": names, "from": begins, "to": ends, "colour": colours, "text": [usd(x) for x in amounts]}
    )
    bars = chart.vbar("name", 0.62, "to", "from", source=source, color="colour", line_color=None)
    chart.text("name", "to", "text", source=source, text_align="center", text_baseline="bottom", y_offset=-3,
               text_color=INK, text_font_size="13px")  # fmt: skip
    chart.segment(names[:-1], ends[:3], names[1:], ends[:3], line_color=SOFT, line_dash="dotted")
    chart.add_tools(HoverTool(renderers=[bars], tooltips=[("@name", "@text")]))
    chart.y_range = Range1d(0.0, max(float(ends.max()) * 1.15, 1e-9))
    chart.yaxis.axis_label = "USD"
    words = ", ".join(f"{name} {usd(x)}" for name, x in zip(names, amounts, strict=True))
    return Chart(plain(chart), "Where the dollars went", f"{words}.")


def plain(chart: Any) -> Any:
    """The house's style: no frame, quiet grid, transparent ground."""
    chart.background_fill_color = chart.border_fill_color = None
    chart.outline_line_color = None
    chart.xgrid.visible = False
    chart.axis.minor_tick_line_color = None
    return chart
