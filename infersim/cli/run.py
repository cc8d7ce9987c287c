"""`infersim run SCENARIO`: simulate, save the run directory, print the table.

Not here: the simulation (`infersim/simulate.py`), the table (`infersim/results/table.py`).
"""

import json
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infersim.cli.screen import compilation_announced, console, progress_bar, say

if TYPE_CHECKING:
    from infersim.spec.resolve import ResolvedScenario
    from infersim.studies.replications import Replications


def run(
    scenario: Annotated[str, typer.Argument(help="A scenario file, or the name of a shipped one (chat_burst).")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a value: --set pools.0.replicas.max=4. Repeatable."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of every random draw; the scenario's own when absent.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run directory; runs/NAME-HASH when absent.")] = None,
    trace: Annotated[Path | None, typer.Option(help="The trace file that the scenario replays.")] = None,
    plots: Annotated[bool, typer.Option(help="Draw the plots of the run.")] = True,
    report: Annotated[bool, typer.Option("--report", help="Write report.html, a page about the run, as well.")] = False,
    export: Annotated[
        str, typer.Option(help="Other formats as well: csv, json, perfetto, prometheus, vllm-bench, aiperf (commas).")
    ] = "",
    replications: Annotated[
        int,
        typer.Option(
            metavar="N", help="Run N times more, with other seeds and profiles within their spreads: intervals."
        ),
    ] = 0,
    workers: Annotated[
        int, typer.Option(metavar="N", min=1, help="Processes that run the scenario's cells; the results are the same.")
    ] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON on stdout, nothing else.")] = False,
) -> None:
    """Simulate a scenario, save the run directory and print what came out."""
    from infersim.spec.load import load_scenario
    from infersim.spec.resolve import resolve, resolved_yaml

    resolved = resolve(load_scenario(scenario, _settings(settings or [], seed, trace)))
    name = resolved.scenario.name
    directory = out or _directory(name, resolved_yaml(resolved.scenario))

    from infersim.results.directory import check_writable, to_json
    from infersim.results.table import print_summary
    from infersim.simulate import simulate

    check_writable(directory)
    if formats := [name for name in export.split(",") if name]:
        from infersim.results.export import check_formats

        check_formats(formats)
    with compilation_announced(), progress_bar(name) as progress:
        result = simulate(resolved, progress=progress, workers=workers)
    many = _replicated(resolved, replications) if replications else None
    extras = {"replications.csv": many.runs.to_csv(index=False, lineterminator="\n").encode()} if many else {}
    result.save(directory, plots=plots, report=report, exports=formats, extras=extras)
    if as_json:
        found = {"replications": many.as_dict()} if many else {}
        print(to_json(dict(result.summary) | found), end="")
        say(f"run directory: {directory}")
        return
    out_console = console()
    print_summary(result.summary, out_console)
    if many:
        from infersim.results.interval_table import interval_table

        out_console.print(interval_table(many.intervals))
        out_console.print(many.in_words(), soft_wrap=True)
    out_console.print(f"run directory: {directory}", soft_wrap=True)
    if report:
        out_console.print(f"report: {directory / 'report.html'}", soft_wrap=True)
    for plot in sorted((directory / "plots").glob("*")) if plots else ():
        out_console.print(f"plot: {plot}", soft_wrap=True)


def _replicated(resolved: "ResolvedScenario", count: int) -> "Replications":
    """Many runs of the same scenario, on all cores."""
    from infersim.studies.replications import replicate

    with progress_bar("replications") as progress:
        return replicate(resolved, count, progress=progress)


def _settings(settings: list[str], seed: int | None, trace: Path | None) -> list[str]:
    """All changes of the scenario as `--set` would say them; the options that name a thing win."""
    named = [] if seed is None else [f"seed={seed}"]
    named += [] if trace is None else [f"workload.arrivals.file={json.dumps(str(trace), ensure_ascii=False)}"]
    return [*settings, *named]


def _directory(name: str, resolved: str) -> Path:
    """runs/NAME-HASH: the hash of what runs, its seed and the version of infersim among it."""
    return Path("runs") / f"{name}-{sha256(resolved.encode()).hexdigest()[:8]}"
