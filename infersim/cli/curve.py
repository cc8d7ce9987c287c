"""`infersim curve SCENARIO`: load against cost, latency and SLO; where it saturates, and where its knee is.

Not here: the runs (`infersim/studies/curve.py`).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infersim.cli.screen import console, progress_bar, say
from infersim.cli.studying import AsJson, Cluster, Out, Scenario, Seed, Settings, Workers, all_settings

if TYPE_CHECKING:
    from rich.table import Table


def curve(
    scenario: Scenario,
    vary: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=V1,V2", help="Curves of several variants: pools.0.precision.weights=bf16,fp8."),
    ] = None,
    loads: Annotated[
        str | None, typer.Option(metavar="RPS,RPS", help="Loads [requests/s]; shares of saturation when absent.")
    ] = None,
    settings: Settings = None,
    seed: Seed = None,
    skip_invalid: Annotated[bool, typer.Option(help="Leave out variants that cannot run.")] = False,
    out: Out = None,
    workers: Workers = None,
    cluster: Cluster = None,
    as_json: AsJson = False,
) -> None:
    """Trace the cost curve of a fleet, or of several on one plot."""
    from infersim.results.directory import to_json
    from infersim.spec.load import load_scenario
    from infersim.studies.curve import curve as trace_curve

    changes = all_settings(settings, seed)
    directory = out or Path("runs") / f"{load_scenario(scenario, changes).name}-curve"
    with progress_bar("loads") as progress:
        found = trace_curve(
            scenario, vary=vary or [], loads_rps=_numbers(loads), settings=changes, skip_invalid=skip_invalid,
            workers=workers, cluster=cluster, progress=progress,
        )  # fmt: skip
    found.save(directory)
    points, marks = found.table.to_dict("records"), found.marks.to_dict("records")
    if as_json:
        print(to_json({"marks": marks, "points": points}), end="")
    else:
        console().print(point_table(points), mark_table(marks))
    say(f"plot: {directory / 'curve.png'}; table: {directory / 'curve.parquet'}")


def _numbers(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(piece) for piece in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{text} is no list of numbers; write for example 1,2.5,4") from None


def point_table(points: list[dict[str, Any]]) -> "Table":
    """One row a load."""
    from infersim.cli.facts import plain_table
    from infersim.results.units import digits, percent, seconds, usd

    paid, unit = "cost.usd_per_million_output_tokens", ">$/M output"
    if all(row[paid] is None or row[paid] != row[paid] for row in points):  # embeddings and images
        paid, unit = "cost.usd_per_thousand_requests", ">$/1,000"
    table = plain_table(
        "", "variant", ">load/s", ">of saturation", ">TTFT p50", ">p99", ">TPOT p50", ">p99", ">in SLO", unit
    )
    for row in points:
        latencies = [row[f"latency.{name}.{q}"] for name in ("ttft_s", "tpot_s") for q in ("p50", "p99")]
        table.add_row(
            row["variant"], digits(row["load_rps"]), percent(row["share"]), *map(seconds, latencies),
            percent(row["slo.attainment"]), usd(row[paid]),
        )  # fmt: skip
    return table


def mark_table(marks: list[dict[str, Any]]) -> "Table":
    """One row a variant."""
    from infersim.cli.facts import plain_table
    from infersim.results.units import digits, usd

    table = plain_table(
        "", "variant", ">saturation/s", ">bound/s", ">knee/s", ">$/M there", ">SLO up to/s", ">$/M there"
    )
    for row in marks:
        rates = [digits(row[f"{name}_rps"]) for name in ("saturation", "bound", "knee", "slo")]
        knee, slo = (usd(row[f"{name}_usd_per_million_output_tokens"]) for name in ("knee", "slo"))
        table.add_row(row["variant"], *rates[:3], knee, rates[3], slo)
    return table
