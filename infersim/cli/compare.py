"""`infersim compare RUN_A RUN_B`: what sets two runs apart, and which terms the difference is made of."""

from pathlib import Path
from typing import Annotated

import typer

from infersim.cli.studying import AsJson


def compare(
    a: Annotated[Path, typer.Argument(help="The run directory to compare with.")],
    b: Annotated[Path, typer.Argument(help="The other run directory.")],
    as_json: AsJson = False,
) -> None:
    """Explain the difference of two runs: settings, latency span by span, price term by term."""
    from infersim.results.directory import RunDirectoryError, to_json
    from infersim.studies.compare import compare as compare_runs
    from infersim.studies.errors import StudyError

    try:
        found = compare_runs(a, b)
    except RunDirectoryError as error:
        raise StudyError(str(error)) from None
    if as_json:
        names = ("settings", "numbers", "latency", "cost", "purposes")
        print(to_json({name: getattr(found, name).to_dict("records") for name in names}), end="")
    else:
        print(found)
