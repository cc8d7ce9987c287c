"""`infersim shootout SCENARIO...`: every autoscaler on the same traffic, as one table and one plot.

Not here: the runs (`infersim/studies/shootout.py`).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infersim.cli.screen import console, progress_bar, say
from infersim.cli.studying import AsJson, Out, Seed, Settings, Workers, all_settings

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table


def shootout(
    scenarios: Annotated[list[str], typer.Argument(metavar="SCENARIO...", help="Scenarios with one scaled pool each.")],
    target: Annotated[
        float | None,
        typer.Option(help="Requests in flight for each replica; the scenario's own autoscaler's target when absent."),
    ] = None,
    settings: Settings = None,
    seed: Seed = None,
    out: Out = None,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Compare every autoscaler on the traffic of scenarios: dollars, SLO, and regret against perfect foresight."""
    from infersim.results.directory import to_json
    from infersim.spec.load import load_scenario
    from infersim.studies.shootout import PLOT, TABLE
    from infersim.studies.shootout import shootout as run_shootout

    changes = all_settings(settings, seed)
    names = [load_scenario(scenario, changes).name for scenario in scenarios]
    directory = out or Path("runs") / f"{'-'.join(names)}-shootout"
    with progress_bar("runs") as progress:
        found = run_shootout(
            scenarios, target=target, settings=changes, out=directory, workers=workers, progress=progress
        )
    found.save(directory)
    if as_json:
        print(to_json(found.table.astype(object).where(found.table.notna(), None).to_dict("records")), end="")
    else:
        console().print(screen_table(found.table))
    for run in found.failed.to_dict("records"):
        say(f"{run['scenario']}, {run['contestant']} {run['status']}: {run['why']}")
    say(f"plot: {directory / PLOT}; table: {directory / TABLE}")


def screen_table(rows: "pd.DataFrame") -> "Table":
    """A row a contestant, four columns a scenario; the first row is the bound."""
    from infersim.cli.facts import plain_table

    scenarios = list(dict.fromkeys(rows["scenario"]))
    names = list(dict.fromkeys(rows["contestant"]))
    found = {(row["scenario"], row["contestant"]): row for row in rows.to_dict("records")}
    heads = [[f">{scenario}\ncost", ">\nregret", ">\nin SLO", ">\nregret"] for scenario in scenarios]
    table = plain_table("", "\nautoscaler", *(head for group in heads for head in group))
    bounds = [_bound(rows[(rows["scenario"] == scenario) & (rows["status"] == "done")]) for scenario in scenarios]
    table.add_row("oracle's bound", *(cell for cells in bounds for cell in cells))
    for name in names:
        cells = [cell for scenario in scenarios for cell in _cells(found.get((scenario, name)))]
        table.add_row(name, *cells)
    return table


def _bound(rows: "pd.DataFrame") -> list[str]:
    """What no autoscaler beats; of the first run, for they all saw the same requests."""
    from infersim.results.units import percent, usd

    if rows.empty:
        return [""] * 4
    first = rows.iloc[0]
    return [usd(first["oracle.usd"]), "", percent(first["oracle.attainment"]), ""]


def _cells(row: dict[str, Any] | None) -> list[str]:
    """Dollars and share within the SLO, each with its regret."""
    from infersim.results.units import percent, usd

    if row is None:
        return [""] * 4
    if row["status"] != "done":
        return [str(row["status"]), "", "", ""]
    extra, missed = row["oracle.usd_regret"], row["oracle.slo_regret"]
    sign = "-" if extra < 0 else "+"
    return [
        usd(row["cost.total_usd"]), f"{sign}{usd(abs(extra))}", percent(row["slo.attainment"]), percent(missed),
    ]  # fmt: skip
