"""`infersim engine list|show NAME`: the serving engines as profiles, with grade and source of every number."""

from typing import Annotated

import typer

from infersim.cli.screen import console, show_json
from infersim.cli.studying import AsJson

app = typer.Typer(no_args_is_help=True, help="The serving engines: overheads and scheduler defaults.")


@app.command(name="list")
def list_engines(as_json: AsJson = False) -> None:
    """List the shipped engines."""
    from infersim.cli.facts import plain, show_rows
    from infersim.spec import catalogue

    engines = [catalogue.engine(name) for name in catalogue.engine_names()]
    keys = ("name", "title", "version", "execution", "vendors", "max_num_seqs", "max_num_batched_tokens", "block_size")
    rows = [{key: getattr(engine, key) for key in keys} for engine in engines]
    columns = ("name", "title", "version", "drives", "vendors", ">sequences", ">tokens a step", ">block")
    show_rows(rows, as_json, columns, lambda **row: (plain(row[key]) or "any" for key in keys))


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="An engine's name or the beginning of one, or the path of a profile.")],
    as_json: AsJson = False,
) -> None:
    """Show an engine: overheads, memory fraction and scheduler defaults with grade and source."""
    from infersim.cli.facts import fact_table
    from infersim.spec import catalogue

    engine = catalogue.engine(name, prefix=True)
    if as_json:
        show_json(engine.model_dump(mode="json"))
        return
    out = console()
    out.print(f"{engine.title} ({engine.name}), version {engine.version}", style="bold")
    keys = [key for key in type(engine).model_fields if key not in ("name", "title", "version")]
    out.print(fact_table("Profile", engine, keys))
