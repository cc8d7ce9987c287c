"""`infersim explain RUN`: why a run came out as it did, or what happened to one of its requests.

Not here: what is said (`infersim/results/explain.py`).
"""

from pathlib import Path
from typing import Annotated

import typer

from infersim.cli.screen import console


def explain(
    run: Annotated[Path, typer.Argument(help="A run directory that `infersim run` wrote.")],
    request: Annotated[int | None, typer.Option(help="Tell the story of the request with this id.")] = None,
) -> None:
    """Say in plain words what made the latency and the bill of a run what they are."""
    from infersim.results.explain import explain as explained

    console().print(explained(run, request).rich())
