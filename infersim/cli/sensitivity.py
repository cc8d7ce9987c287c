"""`infersim sensitivity SCENARIO`: which input moves the answer most.

Not here: the runs (`infersim/studies/sensitivity.py`).
"""

from pathlib import Path
from typing import Annotated

import typer

from infersim.cli.screen import console, say
from infersim.cli.studying import AsJson, Cluster, Out, Scenario, Seed, Settings, Workers, all_settings

MOST_ROWS = 20


def sensitivity(
    scenario: Scenario,
    metric: Annotated[
        str, typer.Option(help="The number: a dotted key of the summary.")
    ] = "cost.usd_per_million_output_tokens",
    settings: Settings = None,
    seed: Seed = None,
    out: Out = None,
    workers: Workers = None,
    cluster: Cluster = None,
    as_json: AsJson = False,
) -> None:
    """Set each input to the ends of its plausible interval and see what moves: prices, efficiencies, traffic ..."""
    from infersim.cli.facts import plain_table
    from infersim.results.directory import to_json
    from infersim.results.units import digits
    from infersim.spec.load import load_scenario
    from infersim.studies.sensitivity import sensitivity as study

    changes = all_settings(settings, seed)
    directory = out or Path("runs") / f"{load_scenario(scenario, changes).name}-sensitivity"
    found = study(scenario, metric, settings=changes, workers=workers, cluster=cluster)
    directory.mkdir(parents=True, exist_ok=True)
    found.table.to_csv(directory / "sensitivity.csv", index=False, lineterminator="\n")
    (directory / "tornado.png").write_bytes(found.tornado())
    rows = found.table.to_dict("records")
    if as_json:
        print(to_json({"metric": metric, "value": found.value, "inputs": rows}), end="")
    else:
        table = plain_table(f"{metric}: {digits(found.value)}", "input", ">interval", ">low", ">high", ">swing")
        for row in rows[:MOST_ROWS]:
            table.add_row(row["input"], f"± {row['spread']:.0%}", *(digits(row[k]) for k in ("low", "high", "swing")))
        console().print(table)
    say(f"plot: {directory / 'tornado.png'}; table: {directory / 'sensitivity.csv'}")
