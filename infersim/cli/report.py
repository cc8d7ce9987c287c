"""`infersim report RUN...`: one HTML file about one run or several side by side.

Not here: the page (`infersim/results/report.py`).
"""

from pathlib import Path
from typing import Annotated

import typer

from infersim.cli.screen import console


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run directories that `infersim run` wrote.")],
    out: Annotated[
        Path | None, typer.Option(help="The file; RUN.html beside the first run directory when absent.")
    ] = None,
) -> None:
    """Write a self-contained HTML report: open it in any browser, send it to anyone."""
    from infersim.results.report import write_report

    first = runs[0].resolve()
    target = write_report(out or first.with_name(f"{first.name}.html"), *runs)
    console().print(f"report: {target}", soft_wrap=True)
