"""`infersim scenarios`: the scenarios that travel with infersim, ready to run by name."""

from typing import Annotated

import typer

from infersim.cli.screen import console, show_json


def scenarios(as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False) -> None:
    """List the shipped scenarios and the question that each answers."""
    from infersim.cli.facts import plain_table
    from infersim.spec.catalogue import scenario_names
    from infersim.spec.load import load_scenario

    named = {name: load_scenario(name) for name in scenario_names()}
    if as_json:
        show_json([{"name": name, "description": scenario.description} for name, scenario in named.items()])
        return
    table = plain_table("", "name", "question")
    for name, scenario in named.items():
        table.add_row(name, " ".join(scenario.description.split()))
    console().print(table)
