"""The report's HTML: tiles, tables and the frames that charts are drawn in. Everything that is text is escaped here.

Not here: the charts (`charts.py`) and how the page is put into one file (`report.py`).
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from infersim.results.chapter import table_html
from infersim.results.charts import Chart
from infersim.results.explain import why
from infersim.results.provenance import GRADES, RESTS_ON, weakest
from infersim.results.run import Run
from infersim.results.switching import SWITCH
from infersim.results.units import clock, digits, energy, moment, percent, seconds, usd, watts

MOST_EVENTS = 1000
"""Rows of the table of events."""

WIDE = 7
"""Chapters whose tables have more columns take the whole width."""

LATENCY_ROWS = {"ttft_s": "TTFT", "tpot_s": "TPOT", "itl_s": "ITL", "e2e_s": "E2E", "normalised_s": "E2E per token"}
NUMBERS = ("mean", "p50", "p90", "p95", "p99", "p99.9")


def title(run: Run) -> str:
    """The heading of one run."""
    scenario = run.summary["scenario"]
    words = " ".join(scenario["description"].split())
    return (
        f"<h1>{escape(scenario['name'])}</h1>"
        + (f"<p>{escape(words)}</p>" if words else "")
        + f'<p class="soft">{escape(scenario["model"])}, seed {scenario["seed"]}, simulated for '
        f"{escape(clock(run.summary['run']['end_s']))} by infersim {escape(run.summary['infersim'])}</p>"
    )


def warnings(run: Run) -> str:
    """What a reader should know."""
    lines = "".join(f"<li>{escape(line)}</li>" for line in run.summary["warnings"])
    return f'<div class="card warn"><strong>Notes on this run</strong><ul>{lines}</ul></div>' if lines else ""


def tiles(run: Run) -> str:
    """The few numbers that come first."""
    summary = run.summary
    requests, cost, latency, slo = summary["requests"], summary["cost"], summary["latency"], summary["slo"]
    kept = [_tile("requests within the SLO", percent(slo["attainment"]),
                  f"goodput {digits(slo['goodput_rps'])} requests/s")] if slo["targets"] else []  # fmt: skip
    made = [
        _tile("requests finished", f"{requests['finished']:,}", f"of {requests['arrived']:,} that arrived"),
        *kept,
        _tile("TTFT p99", seconds(latency["ttft_s"]["p99"]), f"p50 {seconds(latency['ttft_s']['p50'])}",
              slo["targets"].get("ttft_p99_s")),
        _tile("TPOT p99", seconds(latency["tpot_s"]["p99"]), f"p50 {seconds(latency['tpot_s']['p50'])}",
              slo["targets"].get("tpot_p99_s")),
        _tile("output tokens/s", digits(summary["throughput"]["output_tokens_per_s"]),
              f"{digits(summary['throughput']['requests_per_s'])} requests/s"),
        _tile("cost", usd(cost["total_usd"]), f"{usd(cost['usd_per_thousand_requests'])} per 1,000 requests"),
        _tile("per million output tokens", usd(cost["usd_per_million_output_tokens"]),
              f"{usd(cost['usd_per_million_total_tokens'])} per million of all"),
        _tile("energy", energy(summary["energy"]["total_j"]),
              f"{digits(summary['energy']['j_per_output_token'])} J per output token"),
    ]  # fmt: skip
    return f'<dl class="tiles">{"".join(made)}</dl>'


def _tile(label: str, value: str, more: str, target: Mapping[str, Any] | None = None) -> str:
    verdict = ""
    if target is not None:
        word, style = ("within", "good") if target["holds"] else ("over", "bad")
        verdict = f' <span class="{style}">{word} {escape(seconds(target["limit_s"]))}</span>'
    return (
        f'<div class="tile"><dt>{escape(label)}</dt><dd class="value">{escape(value)}</dd>'
        f'<dd class="more">{escape(more)}{verdict}</dd></div>'
    )


def comparison(runs: Sequence[Run]) -> str:
    """The headline numbers of several runs side by side; each after the first with its change."""
    rows = []
    for label, path, spell in COMPARED:
        values = [_at(run.summary, path) for run in runs]
        cells = [spell(value) for value in values]
        for k in range(1, len(values)):
            cells[k] += _change(values[0], values[k])
        rows.append((label, *cells))
    names = [f">{run.summary['scenario']['name']}" for run in runs]
    return f'<h2 id="compare">Side by side</h2><div class="card">{table_html(("", *names), rows)}</div>'


COMPARED: tuple[tuple[str, str, Any], ...] = (
    ("requests finished", "requests.finished", digits),
    ("output tokens/s", "throughput.output_tokens_per_s", digits),
    ("TTFT p50", "latency.ttft_s.p50", seconds),
    ("TTFT p99", "latency.ttft_s.p99", seconds),
    ("TPOT p50", "latency.tpot_s.p50", seconds),
    ("TPOT p99", "latency.tpot_s.p99", seconds),
    ("E2E p99", "latency.e2e_s.p99", seconds),
    ("requests within the SLO", "slo.attainment", percent),
    ("cost", "cost.total_usd", usd),
    ("  busy", "cost.busy_usd", usd),
    ("  idle", "cost.idle_usd", usd),
    ("  cold start", "cost.cold_start_usd", usd),
    ("per million output tokens", "cost.usd_per_million_output_tokens", usd),
    ("energy", "energy.total_j", energy),
    ("USD a month", "cost.usd_per_month", usd),
    ("J per output token", "energy.j_per_output_token", digits),
)
"""Rows of the comparison: label, key of the summary, spelling."""


def _at(summary: Mapping[str, Any], path: str) -> float | None:
    value: Any = summary
    for key in path.split("."):
        value = value[key]
    return None if value is None or value != value else float(value)


def _change(before: float | None, after: float | None) -> str:
    if not before or after is None:
        return ""
    share = after / before - 1.0
    if 0.0 < abs(share) < 0.0005:
        return " (about the same)"
    return " (same)" if share == 0.0 else f" ({'+' if share > 0 else '-'}{percent(abs(share))})"


def latency_table(run: Run) -> str:
    """Means and percentiles."""
    rows = [
        (name, *(seconds(run.summary["latency"][key][number]) for number in NUMBERS))
        for key, name in LATENCY_ROWS.items()
    ]
    return table_html(("latency", *(f">{number}" for number in NUMBERS)), rows)


def pools(run: Run) -> str:
    """What each pool was, did and cost."""
    heads = ("pool", "replica", "engine", ">USD/chip-hour", ">leased", ">mean up", ">busy", ">MFU", ">MBU",
             ">mean batch", ">requests", ">cost", ">energy")  # fmt: skip
    rows = []
    for name, pool in run.summary["pools"].items():
        use = pool["utilisation"]
        rows.append((name, f"{pool['chips_per_replica']} x {pool['hardware']}", pool["engine"],
                     usd(pool["usd_per_chip_hour"]), digits(pool["replicas"]["leased"]),
                     digits(pool["replicas"]["mean_up"]), percent(use["busy"]), percent(use["mfu"]),
                     percent(use["mbu"]), digits(use["mean_sequences"]), f"{pool['requests_finished']:,}",
                     usd(pool["cost"]["total_usd"]), energy(pool["energy"]["total_j"])))  # fmt: skip
    power = run.summary["energy"]
    words = (
        f"Energy: {energy(power['dynamic_j'])} for arithmetic and memory traffic, {energy(power['idle_j'])} for being "
        f"on, {energy(power['building_j'])} for the building; {watts(power['mean_w'])} on average."
    )
    carbon = run.summary["carbon"]
    if carbon:
        words += (
            f" Carbon of the electricity: {digits(carbon['operational_kg'])} kg at {digits(carbon['g_per_kwh'])} g/kWh; "
            f"of making the chips, for the hours billed: {digits(carbon['embodied_kg'])} kg."
        )
    water = run.summary["water"]
    if water:
        words += f" Water for cooling: {digits(water['total_l'])} L, {digits(water['ml_per_request'])} mL a request."
    paid = ", ".join(f"{usd(p['usd'])} to {p['provider']} ({p['tier']})" for p in run.summary["cost"]["by_purchase"])
    month = f"{usd(run.summary['cost']['usd_per_month'])} a month and {usd(run.summary['cost']['usd_per_year'])} a year"
    lines = (words, f"Paid: {paid}. Going on like this: {month}.")
    notes = "".join(f'<p class="soft">{escape(line)}</p>' for line in lines)
    return f'<div class="card">{table_html(heads, rows)}{notes}</div>'


def explanation(run: Run) -> str:
    """Why it came out like this."""
    chapters = why(run)
    cards = (f'<div class="card{" wide" if len(c.columns) > WIDE else ""}">{c.html()}</div>' for c in chapters)
    return f'<div class="pairs">{"".join(cards)}</div>'


def events(run: Run) -> str:
    """What the control plane did, and which models took turns; of too many events, switches are left out first."""
    shown = run.events
    if len(shown) > MOST_EVENTS:
        shown = shown[shown["kind"] != SWITCH].head(MOST_EVENTS)
    if not len(run.events):
        return '<p class="soft">Nothing happened to the fleet.</p>'
    rows = [
        (
            moment(row.time_s),
            str(row.kind),
            str(row.pool),
            str(row.replica) if row.replica >= 0 else "",
            str(row.detail),
        )
        for row in shown.itertuples()
    ]
    more = len(run.events) - len(shown)
    rest = f'<p class="soft">{more:,} more events are in events.parquet.</p>' if more else ""
    table = table_html((">time", "event", "pool", ">replica", "detail"), rows)
    return f'<div class="card"><div class="tall" tabindex="0">{table}</div></div>{rest}'


def scenario(run: Run) -> str:
    """What ran."""
    return f"<details><summary>The scenario as it ran</summary><pre>{escape(run.scenario_yaml)}</pre></details>"


def provenance(run: Run) -> str:
    """What each headline number rests on, and every graded number that the run started from."""
    facts = run.summary["provenance"]
    if not facts:
        return '<p class="soft">This run names no sources.</p>'
    rows = []
    for number, (how, keys) in RESTS_ON.items():
        grades = [fact["grade"] for fact in facts if fact["key"].startswith(keys)]
        counts = ", ".join(f"{grades.count(g)} {g.replace('_', ' ')}" for g in GRADES if g in grades)
        rows.append((number, how, counts or "the scenario alone", weakest(grades).replace("_", " ")))
    heads = ("number", "how it is worked out", "inputs by grade", "weakest")
    every = [
        (fact["pool"], fact["profile"], fact["key"], digits(fact["value"], 4), fact["grade"].replace("_", " "),
         f"± {fact['spread']:.0%}" if fact["spread"] else "", fact["source"])
        for fact in facts
    ]  # fmt: skip
    inputs = table_html(("pool", "profile", "key", ">value", "grade", ">spread", "source"), every)
    return (
        f'<div class="card">{table_html(heads, rows)}</div><details><summary>All {len(facts)} graded inputs and their '
        f'sources</summary><div class="card"><div class="tall" tabindex="0">{inputs}</div></div></details>'
    )


def framed(chart: Chart, place: str, zooms: bool = True, style: str = "card") -> str:
    """The frame that a chart is drawn in."""
    focus = ' tabindex="0"' if zooms else ""
    return (
        f'<figure class="{style}"><figcaption><strong>{escape(chart.title)}</strong>'
        f'<span class="soft">{escape(chart.says)}</span></figcaption>'
        f'<div class="plot" id="{place}" role="img" aria-label="{escape(f"{chart.title}. {chart.says}")}"'
        f"{focus}></div></figure>"
    )


def navigation(links: Iterable[tuple[str, str]]) -> str:
    """Links to the sections, and the switch between light and dark."""
    items = "".join(f'<a href="#{place}">{escape(name)}</a>' for place, name in links)
    return f'<nav aria-label="Sections"><div>{items}<button id="theme" type="button">light / dark</button></div></nav>'
