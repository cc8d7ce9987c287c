"""`infersim check [SCENARIO...] --baseline DIR`: fail when a cost curve moved; the gate for CI.

Not here: the comparison (`infersim/studies/regression.py`), its wording (`infersim/studies/gate_report.py`).
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from infersim.cli.screen import say
from infersim.cli.studying import Cluster, Settings, Workers


def check(
    baseline: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the committed curves, a CSV a scenario.")],
    scenarios: Annotated[
        list[str] | None, typer.Argument(help="Scenario files or names; all that have a baseline when absent.")
    ] = None,
    update: Annotated[bool, typer.Option(help="Write the baselines instead of comparing.")] = False,
    settings: Settings = None,
    any_version: Annotated[bool, typer.Option(help="Compare with baselines of another version too.")] = False,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write JUnit XML.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a Markdown summary with plots.")] = None,
    github: Annotated[
        bool,
        typer.Option(help="Print annotations of GitHub Actions, and append to its summary.", envvar="GITHUB_ACTIONS"),
    ] = False,
    workers: Workers = None,
    cluster: Cluster = None,
) -> None:
    """Recompute cost curves and compare them with committed ones: exit code 0 when none moved, 1 when one did."""
    from infersim.studies.gate_report import as_annotations, as_junit, as_markdown, as_text
    from infersim.studies.regression import check as run_check

    report = run_check(
        scenarios or (), baseline=baseline, update=update, settings=settings or (), any_version=any_version,
        workers=workers, cluster=cluster,
    )  # fmt: skip
    print(as_text(report))
    if junit is not None:
        junit.write_text(as_junit(report), encoding="utf-8")
    if markdown is not None:
        markdown.write_text(as_markdown(report), encoding="utf-8")
    if github:
        print(as_annotations(report), end="\n" if report.moves else "")
        if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(as_markdown(report))
    if not report.passed:
        say("cost curves moved; if that is meant, say why in the changelog and run this with --update")
        raise typer.Exit(1)
