"""`infersim validate [FILE]`: published measurements re-simulated, predicted against measured.

Not here: reading and serving them (`infersim/studies/validation.py`).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infersim.cli.screen import console, progress_bar, say

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table


def validate(
    file: Annotated[
        Path | None,
        typer.Argument(help="A CSV in either schema, or a folder of single requests; infersim's own when absent."),
    ] = None,
    json_out: Annotated[
        Path | None, typer.Option("--json", metavar="OUT", help="Write one object for each measurement.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw predicted against measured (PNG, SVG or PDF).")
    ] = None,
    measured: Annotated[
        bool, typer.Option("--measured", help="Price by aiconfigurator-core's operator tables, where it has some.")
    ] = False,
    left_out: Annotated[
        bool,
        typer.Option("--left-out", help="Cross-validate: predict each group by knobs fitted to all others (minutes)."),
    ] = False,
    intervals: Annotated[
        bool,
        typer.Option(
            "--intervals", help="Say where nine in ten predictions lie, and how many measured values lie there."
        ),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Processes that fit or draw; as many as cores when absent."),
    ] = None,
    worst: Annotated[int, typer.Option(metavar="N", min=0, help="Rows with the largest errors to show.")] = 10,
) -> None:
    """Re-simulate a table of measurements and print the errors by kind of load, chip, engine and metric."""
    from infersim.results.directory import to_json
    from infersim.studies.tasks import Machines
    from infersim.studies.validation import validate as run_validation

    if workers is not None and not (left_out or intervals):
        raise typer.BadParameter("only --left-out and --intervals work with several processes", param_hint="--workers")
    with progress_bar("cases") as progress:
        found = run_validation(
            file,
            measured=measured,
            left_out=left_out,
            intervals=intervals,
            machines=Machines(workers),
            progress=progress,
        )
    out = console()
    out.print(_errors("Errors by metric [%]", found.by("metric", "statistic"), 2))
    keys = ("hardware", "engine", "kind", "metric")
    out.print(_errors("Errors by chip, engine, load and metric [%]", found.by(*keys), len(keys)))
    if intervals:
        out.print(_within(found.within("kind", "metric")))
    if len(found.requests):
        out.print(_by_request(found.by_request()))
    if worst:
        out.print(_worst(found.worst(worst)))
    refused = found.refused()
    if len(refused):
        out.print(_refused(refused))
    done = found.table["predicted"].notna().sum()
    if left_out:
        say("each group was predicted by knobs that were fitted to all others")
    say(f"{done} of {len(found.table)} measurements re-simulated ({found.coverage:.1%})")
    if measured:
        say(
            f"{(found.table.get('priced') == 'measured').sum()} of them by measured operators, the others by the analytic model"
        )
    if json_out is not None:
        json_out.write_text(to_json(found.records()), encoding="utf-8")
        say(f"wrote {json_out}")
    if plot is not None:
        from infersim.studies.validation_plot import plot_validation

        plot_validation(found, plot)
        say(f"wrote {plot}")


def _errors(title: str, errors: "pd.DataFrame", keys: int) -> "Table":
    """One line for each combination of the first `keys` columns."""
    from infersim.cli.facts import plain_table

    table = plain_table(title, *errors.columns[:keys], ">rows", ">simulated", ">median", ">p90", ">bias")
    for row in errors.itertuples(index=False):
        *words, rows, simulated, median, p90, bias = row
        numbers = ("" if value != value else f"{value:.1f}" for value in (median, p90))
        table.add_row(*map(str, words), str(rows), str(simulated), *numbers, "" if bias != bias else f"{bias:+.1f}")
    return table


def _within(rows: "pd.DataFrame") -> "Table":
    """How many measured values lie where nine in ten predictions do."""
    from infersim.cli.facts import plain_table

    title = "Measured values where nine in ten predictions lie"
    table = plain_table(title, "kind", "metric", ">rows", ">inside [%]", ">half width [%]")
    for row in rows.itertuples(index=False):
        table.add_row(row.kind, row.metric, str(row.rows), f"{row.inside_pct:.0f}", f"{row.half_width_pct:.0f}")
    return table


def _by_request(rows: "pd.DataFrame") -> "Table":
    """How far single requests are off, of runs that were recorded request by request."""
    from infersim.cli.facts import plain_table

    title = "Request by request: error of the mean, and of single requests [%]"
    table = plain_table(title, "run", "metric", ">requests", ">mean", ">bias", ">median", ">p90", ">p99")
    for run, metric, count, *numbers in rows.itertuples(index=False):
        signed = (f"{value:+.1f}" for value in numbers[:2])
        table.add_row(run, metric, str(count), *signed, *(f"{value:.1f}" for value in numbers[2:]))
    return table


def _worst(rows: "pd.DataFrame") -> "Table":
    """The rows that are furthest off, with what their time goes into."""
    from infersim.cli.facts import number, plain_table

    table = plain_table(
        "Worst rows", "row", "chip", "engine", "model", "load", "metric", ">actual", ">error", "bound by"
    )
    for row in rows.to_dict("records"):
        label = row.get("id") if isinstance(row.get("id"), str) else f"{row.get('run')} {row.get('stage')}"
        words = (label, row["hardware"], row["engine"], row["model"], row["kind"])
        metric = f"{row['metric']} {row['statistic']}"
        table.add_row(*words, metric, number(row["actual"]), f"{row['error_pct']:+.0f} %", row["dominant"])
    return table


def _refused(reasons: "pd.DataFrame") -> "Table":
    """Why rows were not re-simulated; they count as failures of coverage."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, title="Not re-simulated", title_justify="left", title_style="bold", pad_edge=False)
    table.add_column("rows", justify="right", no_wrap=True)
    table.add_column("reason")
    for row in reasons.itertuples(index=False):
        table.add_row(str(row.rows), str(row.reason))
    return table
