"""`infersim plan SCENARIO`: the cheapest fleet that meets the SLO, and why the others lost.

Not here: the search (`infersim/studies/plan.py`).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infersim.cli.screen import console, progress_bar, say
from infersim.cli.studying import AsJson, Cluster, Out, Scenario, Seed, Settings, Workers, all_settings

if TYPE_CHECKING:
    from rich.table import Table

MOST_LOSERS = 8
"""Losers on the screen; losers.csv has all."""


def plan(
    scenario: Scenario,
    space: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=V1,V2",
            help="What to choose from: hardware, tensor, chips, pipeline, weights, kv_cache, engine, batching, "
            "max_num_seqs, max_num_batched_tokens, tier, autoscaler (none, scenario). Repeatable; all chips with a "
            "published price when absent.",
        ),
    ] = None,
    keep: Annotated[int, typer.Option(min=1, help="How many of the best to rank.")] = 5,
    replications: Annotated[int, typer.Option(min=1, help="Runs that confirm each of the best.")] = 3,
    each_chip: Annotated[
        bool, typer.Option("--each-chip", help="Rank the best of every chip, instead of the best of all.")
    ] = False,
    trials: Annotated[
        int | None,
        typer.Option(min=1, help="Look at so many candidates only, chosen by Optuna; for spaces too large to list."),
    ] = None,
    carbon: Annotated[
        float | None, typer.Option(metavar="G_PER_KWH", help="Carbon intensity of the electricity.")
    ] = None,
    settings: Settings = None,
    seed: Seed = None,
    out: Out = None,
    workers: Workers = None,
    cluster: Cluster = None,
    as_json: AsJson = False,
) -> None:
    """Find the cheapest fleet that meets the scenario's SLO."""
    from infersim.results.directory import to_json
    from infersim.spec.load import load_scenario
    from infersim.studies.plan import GRAMS_PER_KWH
    from infersim.studies.plan import plan as make_plan

    changes = all_settings(settings, seed)
    directory = out or Path("runs") / f"{load_scenario(scenario, changes).name}-plan"
    with progress_bar("candidates") as progress:
        found = make_plan(
            scenario, space or [], settings=changes, replications=replications, keep=keep, each_chip=each_chip, trials=trials,
            grams_per_kwh=GRAMS_PER_KWH if carbon is None else carbon, workers=workers, cluster=cluster,
            progress=progress,
        )  # fmt: skip
    found.save(directory)
    ranking, losers = found.ranking.to_dict("records"), found.losers.to_dict("records")
    if as_json:
        print(to_json({"ranking": ranking, "losers": losers, "perfect": found.perfect}), end="")
    else:
        out_console = console()
        out_console.print(rank_table(ranking), loser_table(losers, {row["hardware"] for row in ranking}))
        for line in remarks(ranking[0], found.perfect):
            out_console.print(line)
    say(
        f"{found.simulated} runs; run the winner: infersim run {directory / 'winner.yaml'}; plot: {directory}/pareto.png"
    )


def rank_table(ranking: list[dict[str, Any]]) -> "Table":
    """The best fleets, cheapest first; kW and kg CO2 are by the hour."""
    from infersim.cli.facts import plain_table
    from infersim.results.units import digits, percent, seconds, usd

    table = plain_table(
        "", "fleet", ">n", ">chips", ">USD/h", ">margin", ">TTFT p99", ">TPOT p99", ">in SLO", ">kW", ">kg CO2"
    )
    for row in ranking:
        margin = f"{percent(row['margin']).removesuffix(' %')} ± {percent(row['margin_confidence'])}"
        table.add_row(
            row["candidate"], f"{row['replicas']}{'+' if row['scaled'] else ''}", str(row["chips"]), usd(row["usd_per_hour"]), margin,
            seconds(row["ttft_p99_s"]), seconds(row["tpot_p99_s"]), percent(row["attainment"]),
            digits(row["kwh_per_hour"]), digits(row["kg_co2_per_hour"]),
        )  # fmt: skip
    return table


def loser_table(losers: list[dict[str, Any]], ranked: set[str]) -> "Table":
    """The losers with the cheapest bounds and why they lost; first, one of each chip that is not ranked."""
    from infersim.cli.facts import plain_table
    from infersim.results.units import usd

    able = [row for row in losers if row["least_usd_per_hour"] == row["least_usd_per_hour"]]
    able.sort(key=lambda row: row["least_usd_per_hour"])
    first = {row["hardware"]: row for row in reversed(able) if row["hardware"] not in ranked}
    others = [row for row in able if row["hardware"] in ranked]
    shown = [*sorted(first.values(), key=able.index), *others][:MOST_LOSERS]
    table = plain_table(
        f"{len(losers)} others, of which {len(able)} can run", "candidate", ">bound, USD/h", "why it lost"
    )
    for row in shown:
        table.add_row(row["candidate"], usd(row["least_usd_per_hour"]), row["why"])
    return table


def remarks(winner: dict[str, Any], perfect: dict[str, float]) -> list[str]:
    """What else to know."""
    from infersim.results.units import digits, percent, usd

    lost = winner["strain_one_lost"]
    if winner["scaled"]:
        loss = "a replica lost is replaced by the autoscaler"
    elif winner["replicas"] == 1:
        loss = "with its one replica lost nothing serves"
    elif lost <= 1:
        loss = f"with one replica lost it still meets the SLO, at {digits(lost)} of the limit"
    else:
        loss = f"with one replica lost the worst p99 is {digits(lost)} times its limit"
    return [
        f"headroom: the load may grow by {percent(winner['growth'] - 1)}; {loss}",
        f"a perfect system would use {digits(perfect['chips'])} chips on average, {usd(perfect['usd_per_hour'])} an hour",
    ]
