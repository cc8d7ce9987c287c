"""`infersim schema KIND`: the JSON Schema of a file that users write, for editors and other programs."""

from typing import Annotated

import typer

from infersim.cli.screen import show_json


def schema(
    kind: Annotated[str, typer.Argument(help="scenario, hardware, model or engine", metavar="KIND")],
) -> None:
    """Print the JSON Schema of a scenario, hardware, model or engine file."""
    from infersim.spec import schema as schemas

    show_json(schemas.schema(kind))
