"""`infersim sweep SCENARIO --grid key=v1,v2 ...`: one scenario at many points, one table.

Not here: the runs (`infersim/studies/sweep.py`).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infersim.cli.screen import console, progress_bar, say
from infersim.cli.studying import AsJson, Cluster, Out, Scenario, Seed, Settings, Workers, all_settings

if TYPE_CHECKING:
    from rich.table import Table

MOST_ROWS = 40
"""Points shown on the screen; the table on disk has all."""
BRIEF = {"done": "done", "failed": "FAILED", "invalid": "cannot run"}


def sweep(
    scenario: Scenario,
    grid: Annotated[
        list[str],
        typer.Option(metavar="KEY=V1,V2", help="Values of a key: workload.arrivals.rate_rps=2,4. Repeatable."),
    ],
    sample: Annotated[
        int | None,
        typer.Option(metavar="N", help="A Latin hypercube of N points instead of all; ranges too: key=1..8, 1..8:log."),
    ] = None,
    settings: Settings = None,
    seed: Seed = None,
    skip_invalid: Annotated[bool, typer.Option(help="Leave out points that cannot run.")] = False,
    out: Out = None,
    workers: Workers = None,
    cluster: Cluster = None,
    as_json: AsJson = False,
) -> None:
    """Run a scenario at every point of a grid; finished points are kept, so a sweep can be interrupted."""
    from infersim.results.directory import to_json
    from infersim.spec.load import load_scenario
    from infersim.studies.sweep import TABLE
    from infersim.studies.sweep import sweep as run_sweep

    changes = all_settings(settings, seed)
    directory = out or Path("runs") / f"{load_scenario(scenario, changes).name}-sweep"
    with progress_bar("points") as progress:
        found = run_sweep(
            scenario, grid, sample=sample, settings=changes, skip_invalid=skip_invalid, out=directory,
            workers=workers, cluster=cluster, progress=progress,
        )  # fmt: skip
    if as_json:
        print(to_json(found.table.astype(object).where(found.table.notna(), None).to_dict("records")), end="")
    else:
        keys = [key.partition("=")[0].strip() for key in grid]
        console().print(screen_table(found.table.to_dict("records"), keys))
    for _, point in found.failed.iterrows():
        say(f"point {point['point']} {point['status']}: {point['why']}")
    counts = f"{len(found.table) - len(found.failed)} of {len(found.table)} points done, {found.reused} of them before"
    say(f"{counts}; table: {directory / TABLE}")


def screen_table(rows: list[dict[str, Any]], keys: list[str]) -> "Table":
    """The grid's keys and the numbers that come first."""
    from infersim.cli.facts import plain, plain_table
    from infersim.results.units import percent, seconds, usd

    numbers = {
        "latency.ttft_s.p99": ("TTFT p99", seconds),
        "latency.tpot_s.p99": ("TPOT p99", seconds),
        "slo.attainment": ("in SLO", percent),
        "cost.total_usd": ("cost", usd),
        "cost.usd_per_million_output_tokens": ("$/M output", usd),
    }
    numbers = {key: column for key, column in numbers.items() if any(key in row for row in rows)}
    title = "" if len(rows) <= MOST_ROWS else f"the first {MOST_ROWS} of {len(rows)} points"
    shown = plain_table(title, *keys, *(f">{name}" for name, _ in numbers.values()), "")
    for row in rows[:MOST_ROWS]:
        cells = [form(row[key]) for key, (_, form) in numbers.items()]
        shown.add_row(*(plain(row[key]) for key in keys), *cells, BRIEF[row["status"]])
    return shown
