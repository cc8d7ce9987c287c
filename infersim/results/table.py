"""The summary of a run in a terminal: one screen that a stranger understands, at most 100 columns, plain when piped.

Not here: the numbers (`summary.py`) and their spelling (`units.py`).
"""

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from infersim.dataplane.records import ENDINGS
from infersim.results.run import rows_share
from infersim.results.units import clock, digits, energy, percent, seconds, usd, watts
from infersim.results.why_cascades import in_a_line

WIDTH = 100
"""Widest that the tables get [columns]."""

ROWS = {
    "ttft_s": ("TTFT", "to the first token", "ttft_p99_s"),
    "tpot_s": ("TPOT", "per output token after it", "tpot_p99_s"),
    "itl_s": ("ITL", "between two tokens", None),
    "e2e_s": ("E2E", "the whole request", "e2e_p99_s"),
}
"""Latency -> short name, meaning, key of the SLO."""

NUMBERS = ("mean", "p50", "p90", "p95", "p99")
"""Columns of the latency table, keys of the summary's latencies."""


def headline(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The few numbers that come first, as (label, value)."""
    requests, cost, latency = summary["requests"], summary["cost"], summary["latency"]
    lines = [
        ("requests finished", f"{requests['finished']:,} of {requests['arrived']:,}"),
        ("output tokens/s", digits(summary["throughput"]["output_tokens_per_s"])),
        ("TTFT p50, p99", f"{seconds(latency['ttft_s']['p50'])}, {seconds(latency['ttft_s']['p99'])}"),
        ("TPOT p50, p99", f"{seconds(latency['tpot_s']['p50'])}, {seconds(latency['tpot_s']['p99'])}"),
        ("cost", usd(cost["total_usd"])),
        ("per million output tokens", usd(cost["usd_per_million_output_tokens"])),
        ("energy", energy(summary["energy"]["total_j"])),
    ]
    if summary["slo"]["targets"]:
        lines.insert(4, ("requests within the SLO", percent(summary["slo"]["attainment"])))
    return lines


def print_summary(summary: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the tables: with colour on a terminal, as wide as it is up to WIDTH; plain and WIDTH wide elsewhere."""
    console = console or Console()
    if not console.is_terminal:
        console = Console(file=console.file, width=WIDTH, color_system=None)
    width = min(console.width, WIDTH)
    console.print(summary_tables(summary, narrow=width < WIDTH), width=width, highlight=False)


def summary_tables(summary: Mapping[str, Any], narrow: bool = False) -> Group:
    """Everything that `print_summary` prints; `narrow` leaves out columns, for 80 instead of 100."""
    parts: list[RenderableType] = [
        _title(summary),
        _overview(summary),
        _latency(summary, narrow),
        _pools(summary, narrow),
        _bill(summary),
    ]
    parts += [_pairs([("rows", _rows(summary))])] if rows_share(summary) < 1 else []
    parts += [_pairs([("note", warning) for warning in summary["warnings"]])] if summary["warnings"] else []
    return Group(*(piece for part in parts for piece in (Padding(part, (0, 0, 0, 1), expand=False), Text())))


def _rows(summary: Mapping[str, Any]) -> str:
    """How many requests have a row, and what that means for the numbers."""
    requests = summary["requests"]
    return (
        f"{requests['rows']:,} requests, 1 in {1 / rows_share(summary):,.0f}, have a row (keep_requests); counts, sums and means "
        f"are of all, percentiles within {percent(requests['percentile_error'])}"
    )


def _title(summary: Mapping[str, Any]) -> Text:
    scenario = summary["scenario"]
    text = Text(scenario["name"], style="bold")
    text.append(f"  {scenario['model']}, seed {scenario['seed']}", style="not bold")
    if scenario["description"].strip():
        text.append("\n" + " ".join(scenario["description"].split()), style="not bold dim")
    return text


def _pairs(rows: list[tuple[str, str]]) -> Table:
    """Label and sentence, without lines."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for label, sentence in rows:
        table.add_row(label, Text(sentence))
    return table


def _overview(summary: Mapping[str, Any]) -> Table:
    requests, rates, slo = summary["requests"], summary["throughput"], summary["slo"]
    preempted = "1 preemption" if requests["preemptions"] == 1 else f"{requests['preemptions']:,} preemptions"
    others = [f"{requests[ending]:,} {ending.replace('_', ' ')}" for ending in ENDINGS[1:] if requests[ending]]
    others += [f"{requests['retries']:,} retries"] if requests["retries"] else []
    others += [preempted] if requests["preemptions"] else []
    finished = ", ".join([f"{requests['finished']:,} of {requests['arrived']:,} finished", *others])
    rows = [
        ("requests", f"{finished}; the last ended after {clock(summary['run']['end_s'])}"),
        (
            "throughput",
            f"{digits(rates['requests_per_s'])} requests/s, {digits(rates['input_tokens_per_s'])} input tokens/s, "
            f"{digits(rates['output_tokens_per_s'])} output tokens/s",
        ),
    ]
    if slo["targets"]:
        goodput = f"goodput {digits(slo['goodput_rps'])} requests/s"
        rows.append(("SLO", f"{percent(slo['attainment'])} of requests met every limit; {goodput}"))
    rows += [("cascade", in_a_line(name, told)) for name, told in summary.get("cascades", {}).items()]
    return _pairs(rows)


def _latency(summary: Mapping[str, Any], narrow: bool) -> Table:
    table = _table()
    table.add_column("latency", style="bold", no_wrap=True)
    if not narrow:
        table.add_column("", no_wrap=True)
    for name in (*NUMBERS, "p99 limit", ""):
        table.add_column(name, justify="right", no_wrap=True)
    for column, (short, meaning, key) in ROWS.items():
        target = summary["slo"]["targets"].get(key)
        limit = seconds(target["limit_s"]) if target else ""
        numbers = [seconds(summary["latency"][column][name]) for name in NUMBERS]
        table.add_row(*([short] if narrow else [short, meaning]), *numbers, limit, _verdict(target))
    return table


def _verdict(target: Mapping[str, Any] | None) -> Text:
    """Whether the p99 holds."""
    if target is None:
        return Text("")
    return Text("pass", style="bold green") if target["holds"] else Text("MISS", style="bold red")


def _pools(summary: Mapping[str, Any], narrow: bool) -> Table:
    table = _table()
    table.add_column("pool", style="bold", overflow="fold")
    table.add_column("replica", overflow="fold")
    for name in ("leased", "peak", "mean", "busy", "MFU", "MBU", *(() if narrow else ("cost", "energy"))):
        table.add_column(name, justify="right", no_wrap=True)
    for name, pool in summary["pools"].items():
        replicas, use = pool["replicas"], pool["utilisation"]
        total = (usd(pool["cost"]["total_usd"]), energy(pool["energy"]["total_j"]))
        table.add_row(
            Text(name),
            Text(f"{pool['chips_per_replica']} x {pool['hardware']}"),
            f"{replicas['leased']:,}",
            f"{replicas['peak_ready']:,}",
            digits(replicas["mean_up"]),
            *(percent(use[part]) for part in ("busy", "mfu", "mbu")),
            *(() if narrow else total),
        )
    return table


def _table() -> Table:
    """An empty table in the one style of this screen."""
    return Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)


def _oracle(summary: Mapping[str, Any]) -> str:
    """What the fleet is worse by than a perfect one."""
    oracle = summary["oracle"]
    least = "about" if "rows_share" in oracle else "at least"
    told = f"perfect foresight would pay {least} {usd(oracle['usd'])}"
    missed = oracle["slo_regret"]
    kept = "" if missed is None or missed != missed else f" and keep {percent(oracle['attainment'])} within the SLO"
    ratio = oracle["usd_ratio"]
    times = "" if ratio is None or ratio != ratio else f": {digits(ratio)} times that was paid"
    share = f", estimated from {percent(oracle['rows_share'])} of the requests" if "rows_share" in oracle else ""
    return f"{told}{kept}{times}{share}"


def _to(provider: str) -> str:
    """Whom dollars go to; a chip that nobody rents out has an estimated price."""
    return "at estimated prices" if provider == "estimate" else f"to {provider}"


def _bill(summary: Mapping[str, Any]) -> Table:
    cost, power = summary["cost"], summary["energy"]
    busy, idle, cold_start = (usd(cost[f"{part}_usd"]) for part in ("busy", "idle", "cold_start"))
    wasted = f" ({usd(cost['wasted_usd'])} of it wasted)" if cost["abandoned_tokens"] else ""
    others = [f", {usd(cost[f'{part}_usd'])} {part}" for part in ("electricity", "egress") if cost.get(f"{part}_usd")]
    rows = [
        (
            "cost",
            f"{usd(cost['total_usd'])}: {busy} busy{wasted}, {idle} idle, {cold_start} cold start{''.join(others)}",
        ),
        (
            "each",
            f"{usd(cost['usd_per_million_output_tokens'])} per million output tokens, "
            f"{usd(cost['usd_per_million_total_tokens'])} per million tokens, "
            f"{usd(cost['usd_per_thousand_requests'])} per 1,000 requests",
        ),
        (
            "energy",
            f"{energy(power['total_j'])}, {watts(power['mean_w'])} on average, "
            f"{digits(power['j_per_output_token'])} J per output token, "
            f"{digits(power['wh_per_request'])} Wh per request",
        ),
    ]
    if carbon := summary["carbon"]:
        rows.append(
            (
                "carbon",
                f"{digits(carbon['operational_kg'])} kg of electricity at {digits(carbon['g_per_kwh'])} g/kWh, "
                f"{digits(carbon['embodied_kg'])} kg of making the chips, {digits(carbon['g_per_request'])} g per request",
            )
        )
    if water := summary["water"]:
        rows.append(("water", f"{digits(water['total_l'])} L, {digits(water['ml_per_request'])} mL per request"))
    if "oracle" in summary:
        rows.insert(2, ("oracle", _oracle(summary)))
    paid = [one for one in cost["by_purchase"] if one["usd"]]
    if len(paid) > 1:
        told = ", ".join(f"{usd(one['usd'])} {_to(one['provider'])} ({one['tier'].replace('_', ' ')})" for one in paid)
        rows.insert(2, ("paid", told))
    if summary["slo"]["targets"]:
        rows[1] = (rows[1][0], f"{rows[1][1]}, {usd(cost['usd_per_slo_met_request'])} per request within the SLO")
    return _pairs(rows)
