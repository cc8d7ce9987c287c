"""`infersim export RUN --format ...`: a run in the formats that other tools read.

Not here: the formats (`infersim/results/export.py`).
"""

from pathlib import Path
from typing import Annotated

import typer

from infersim.cli.screen import console

FORMATS = "csv, json, perfetto, prometheus, vllm-bench, aiperf"


def export(
    run: Annotated[Path, typer.Argument(help="A run directory that `infersim run` wrote.")],
    formats: Annotated[str, typer.Option("--format", help=f"One or more, separated by commas: {FORMATS}.")],
    out: Annotated[Path | None, typer.Option(help="Directory for the files; RUN-export when absent.")] = None,
) -> None:
    """Write a run as CSV, JSON, a Perfetto trace, Prometheus metrics, or a benchmark's result."""
    from infersim.results.export import write_exports

    folder = run.resolve()
    for path in write_exports(out or folder.with_name(f"{folder.name}-export"), run, formats.split(",")):
        console().print(f"export: {path}", soft_wrap=True)
