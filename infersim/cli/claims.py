"""`infersim claims`: what is said of the inference market, put to the test; the table of verdicts, and its guard in CI.

Not here: the claims and their runs (`infersim/studies/claims/`).
"""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infersim.cli.screen import console, progress_bar, say
from infersim.cli.studying import AsJson, Out, Workers

if TYPE_CHECKING:
    from infersim.studies.claims import Settled


def claims(
    only: Annotated[list[int] | None, typer.Option(metavar="N", help="This claim alone. Repeatable.")] = None,
    replications: Annotated[
        int | None, typer.Option(min=1, help="Runs of each case, for the intervals; 4 when absent, 1 with --check.")
    ] = None,
    out: Out = None,
    check: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Compare with a committed table: exit code 1 when one turned.")
    ] = None,
    update: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the table to be committed.")] = None,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Simulate 20 claims of the inference market and say which hold, under which conditions, and what they hinge on."""
    from infersim.results.directory import to_json
    from infersim.studies.claims import settle
    from infersim.studies.claims.flips import flips, read, table, write
    from infersim.studies.claims.settle import REPLICATIONS

    committed = read(check) if check else None
    count = replications or (1 if check else REPLICATIONS)
    directory = out or (None if check else Path("runs") / "claims")
    with progress_bar("cases") as progress:
        settled = settle(only or (), replications=count, out=directory, workers=workers, progress=progress)
    if directory is not None:
        settled.save(directory)
    if update is not None:
        write(settled, update)
    if as_json:
        print(to_json(settled.as_dict()), end="")
    elif committed is None:
        console().print(in_full(settled, console().width), soft_wrap=True)
    if directory is not None:
        say(f"table: {directory / 'claims.md'}; runs: {directory}/NN/CASE, replications CASE~1 ...")
    if committed is not None:
        turned = flips(settled, committed)
        print("\n".join(turned) or f"no verdict turned: {len(table(settled))} checks of {len(settled.claims)} claims")
        if turned:
            say("if that is meant, say why in the changelog and write the table again with --update")
            raise typer.Exit(1)


def in_full(settled: "Settled", width: int) -> str:
    """Every claim with its verdict, its numbers, and what it hinges on."""
    from infersim.studies.claims.settle import hinge, in_words

    blocks = []
    for row in settled.claims.to_dict("records"):
        number = row["claim"]
        said = f"{row['text']} ({row['source']})."
        told = [f"{number:>2}  {row['title']}: {row['verdict'].upper()}", _wrapped(said, "    ", width)]
        told += [_wrapped(line, "    - ", width) for line in settled.numbers(number)]
        told += [_wrapped(f"{in_words(row)}.", "    = ", width)] if row["conditions"] else []
        told += [_wrapped(f"Hinges on {hinge(row)}.", "    ", width)]
        told += [_wrapped(f"Cannot: {row['cannot']}", "    ", width)] if row["cannot"] else []
        blocks.append("\n".join(told))
    return "\n\n".join(blocks)


def _wrapped(text: str, begin: str, width: int) -> str:
    """Text in lines of this width, all but the first indented by as much."""
    return textwrap.fill(text, width, initial_indent=begin, subsequent_indent=" " * len(begin), break_long_words=False)
