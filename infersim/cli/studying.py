"""What the commands of many runs share: their options, and a progress bar over runs.

Not here: any study (`infersim/studies/`).
"""

from pathlib import Path
from typing import Annotated

import typer

Scenario = Annotated[str, typer.Argument(help="A scenario file, or the name of a shipped one (chat_burst).")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a value for every run. Repeatable.")
]
Seed = Annotated[int | None, typer.Option(help="Seed of every run; the scenario's own when absent.")]
Out = Annotated[Path | None, typer.Option(help="Directory of the output; runs/... when absent.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes; one a core when absent.")]
Cluster = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Dask scheduler that runs it instead: tcp://host:8786.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, nothing else.")]


def all_settings(settings: list[str] | None, seed: int | None) -> list[str]:
    """The changes of the scenario as `--set` would say them."""
    return [*(settings or []), *([] if seed is None else [f"seed={seed}"])]
