"""One HTML file that tells what came out of one run or of several, side by side; it needs no network and no server.

    write_report("report.html", result)
    write_report("report.html", "runs/a", "runs/b")

The charts are drawn by BokehJS, which the bokeh package brings and which is copied into the file (about 1.3 MB);
same runs, same bytes. Not here: the sections (`page.py`), the charts (`charts.py`), the reasons (`explain.py`).
"""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import bokeh
from bokeh.document import Document
from bokeh.resources import Resources

from infersim.results import page
from infersim.results.charts import Chart, Timeline, latency_charts, waterfall
from infersim.results.directory import OutputError, opened, to_json
from infersim.results.run import Run

KEYS = (
    '<p class="soft keys">Drag over a chart to zoom, or the marked part of the strip. From the keyboard, on a chart: '
    "<kbd>←</kbd> <kbd>→</kbd> move, <kbd>+</kbd> <kbd>-</kbd> zoom, <kbd>0</kbd> shows everything. "
    '<button type="button" class="whole">show everything</button></p>'
)


def write_report(path: str | Path, *runs: Run | str | Path) -> Path:
    """Write the report of these results or run directories into one file, whole or not at all; its path.

    Raises RunDirectoryError (a directory is not what was written) and OutputError (the file cannot be written).
    """
    target = Path(path)
    text = report(*runs)
    partial = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(target)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise OutputError(f"cannot write {target}: {error.strerror}; name another file") from None
    return target


def report(*runs: Run | str | Path) -> str:
    """The report as HTML text; at least one run."""
    if not runs:
        raise ValueError("a report needs at least one run")
    shown = [opened(run) for run in runs]
    pictures = _Pictures()
    bodies = [_run(run, pictures, f"r{k}", heading=len(shown) > 1) for k, run in enumerate(shown)]
    names = [run.summary["scenario"]["name"] for run in shown]
    if len(shown) == 1:
        head, links = page.title(shown[0]), [(f"r0-{place}", name) for place, name in SECTIONS]
    else:
        head = f"<h1>{escape(' · '.join(names))}</h1><p class='soft'>{len(shown)} runs side by side</p>"
        bodies.insert(0, page.comparison(shown))
        links = [("compare", "side by side"), *((f"r{k}", name) for k, name in enumerate(names))]
    scripts = f"{_library()}{pictures.script()}{_summaries(shown)}<script>{_asset('page.js')}</script>"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>{escape(', '.join(names))} - infersim</title><style>{_asset('page.css')}</style></head><body>"
        f"<header><div>{head}</div></header>{page.navigation(links)}<main>{''.join(bodies)}{_footer()}</main>"
        f"{scripts}</body></html>\n"
    )


SECTIONS = (
    ("why", "why"),
    ("time", "over time"),
    ("latency", "latency"),
    ("money", "money and pools"),
    ("events", "events"),
    ("sources", "scenario and sources"),
)
"""Places and names of the sections of a run."""


def _run(run: Run, pictures: "_Pictures", name: str, heading: bool) -> str:
    """All sections of one run."""
    timeline = Timeline(run)
    over_time = [pictures.add(timeline.brush(), style="card pinned")]
    over_time += [pictures.add(chart) for chart in timeline.charts()]
    curves = "".join(pictures.add(chart, zooms=False) for chart in latency_charts(run))
    bill = pictures.add(waterfall(dict(run.summary["cost"])), zooms=False)
    parts = [
        f'<section id="{name}">{page.title(run) if heading else ""}{page.tiles(run)}{page.warnings(run)}',
        f'<h2 id="{name}-why">Why it came out like this</h2>{page.explanation(run)}',
        f'<h2 id="{name}-time">Over time</h2>{KEYS}<div>{"".join(over_time)}</div>',
        f'<h2 id="{name}-latency">Latency of finished requests</h2><div class="row">{curves}</div>',
        f'<div class="card">{page.latency_table(run)}</div>',
        f'<h2 id="{name}-money">Money and pools</h2>{bill}{page.pools(run)}',
        f'<h2 id="{name}-events">Events</h2>{page.events(run)}',
        f'<h2 id="{name}-sources">Scenario and sources</h2>{page.scenario(run)}{page.provenance(run)}</section>',
    ]
    return "".join(parts)


class _Pictures:
    """The charts of a page, in the order in which they were added."""

    def __init__(self) -> None:
        """None yet."""
        self._document = Document()
        self._places: list[tuple[str, bool]] = []

    def add(self, chart: Chart, zooms: bool = True, style: str = "card") -> str:
        """The frame of a chart, which will be drawn in it."""
        place = f"chart{len(self._places)}"
        self._document.add_root(chart.figure)
        self._places.append((place, zooms))
        return page.framed(chart, place, zooms, style)

    def script(self) -> str:
        """The data of all charts. Bokeh numbers its models by process; here they are numbered by page."""
        ids: dict[str, str] = {}
        content = _renumbered(self._document.to_json(deferred=False), ids)
        content["title"] = "infersim"
        places = [
            {"root": root["id"], "place": place, "zooms": zooms}
            for root, (place, zooms) in zip(content["roots"], self._places, strict=True)
        ]
        return _data("charts", {"documents": {"charts": content}, "places": places})


def _renumbered(value: Any, ids: dict[str, str]) -> Any:
    """The same, with the ids of models in order of appearance."""
    if isinstance(value, dict):
        return {
            key: ids.setdefault(entry, f"m{len(ids)}") if key == "id" else _renumbered(entry, ids)
            for key, entry in value.items()
        }
    if isinstance(value, list):
        return [_renumbered(entry, ids) for entry in value]
    return value


def _data(name: str, value: Any) -> str:
    """JSON in a script element, which nothing in it can end."""
    text = json.dumps(json.loads(to_json(value)), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    safe = text.replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{safe}</script>'


def _summaries(runs: Sequence[Run]) -> str:
    """The summaries in full, for machines."""
    return _data("summaries", [dict(run.summary) for run in runs])


def _library() -> str:
    """BokehJS, once."""
    texts = Resources(mode="inline", components=["bokeh"], minified=True).js_raw
    safe = (re.sub(r"</(?=script)", r"<\\/", text) for text in texts)
    return "".join(f"<script>{text}</script>" for text in safe)


def _asset(name: str) -> str:
    return files("infersim.results").joinpath(name).read_text(encoding="utf-8")


def _footer() -> str:
    return (
        f"<footer>Made by infersim. All times are simulated. Charts: BokehJS {escape(bokeh.__version__)}, Copyright "
        "(c) Anaconda, Inc., and Bokeh Contributors, BSD 3-Clause licence.</footer>"
    )
