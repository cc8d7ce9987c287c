"""`infersim breakeven SCENARIO --key KEY --between LOW HIGH --a ... --b ...`: where A overtakes B.

Not here: the runs (`infersim/studies/breakeven.py`).
"""

from dataclasses import asdict
from typing import Annotated

import typer

from infersim.cli.studying import AsJson, Scenario, Seed, Settings, all_settings


def breakeven(
    scenario: Scenario,
    key: Annotated[str, typer.Option(help="What is varied: a key as of --set, or load (multiplies every rate).")],
    between: Annotated[tuple[float, float], typer.Option(metavar="LOW HIGH", help="Where to look.")],
    a: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="A setting of variant A. Repeatable.")
    ] = None,
    b: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="A setting of variant B. Repeatable.")
    ] = None,
    metric: Annotated[
        str, typer.Option(help="The number that decides; less is better.")
    ] = "cost.usd_per_million_output_tokens",
    settings: Settings = None,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Find the price, load, or other value at which one variant overtakes the other."""
    from infersim.results.directory import to_json
    from infersim.results.units import digits
    from infersim.studies.breakeven import breakeven as study

    found = study(
        scenario, key, *between, a=a or (), b=b or (), metric=metric, settings=all_settings(settings, seed)
    )  # fmt: skip
    if as_json:
        print(to_json(asdict(found)), end="")
        return
    below, above = ("A", "B") if found.lower_below == "a" else ("B", "A")
    print(f"{key} {digits(found.value, 4)}: both have {metric} {digits(found.a)} (B {digits(found.b)})")
    print(f"below it {below} is lower, above it {above}")
