"""`infersim engine list|show NAME`: the serving engines as profiles, with grade and source of every number."""

from typing import Annotated

import typer

from infersim.cli.screen import console, show_json

app = typer.Typer(no_args_is_help=True, help="The serving engines: overheads and scheduler defaults.")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command(name="list")
def list_engines(as_json: AsJson = False) -> None:
    """List the shipped engines."""
    from infersim.cli.facts import plain, plain_table
    from infersim.spec import catalogue

    engines = [catalogue.engine(name) for name in catalogue.engine_names()]
    keys = ("name", "title", "version", "execution", "vendors", "max_num_seqs", "max_num_batched_tokens", "block_size")
    rows = [{key: getattr(engine, key) for key in keys} for engine in engines]
    if as_json:
        show_json(rows)
        return
    table = plain_table("", "name", "title", "version", "drives", "vendors", ">sequences", ">tokens a step", ">block")
    for row in rows:
        table.add_row(*(plain(value) if key != "vendors" or value else "any" for key, value in row.items()))
    console().print(table)


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
