"""A profile as a table: every number under the key that its YAML file uses, with grade, spread and source.

Not here: what a chip's, a model's or an engine's command adds (`hardware.py`, `model.py`, `engine.py`).
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from infersim.cli.screen import console, show_json

if TYPE_CHECKING:
    from rich.console import JustifyMethod
    from rich.table import Table

    from infersim.spec.base import Quantity, Spec

PROSE = {"source": 24, "title": 14, "question": 30, "provider": 8, "candidate": 22, "fleet": 22, "why it lost": 30}
"""Columns whose text wraps, and the least width that they get."""


def fact_table(title: str, profile: "Spec", keys: Iterable[str]) -> "Table":
    """The named top-level keys of a profile, one leaf a row."""
    from infersim.spec.base import Quantity, leaves

    table = plain_table(title, "key", ">value", "grade", ">spread", "source")
    for key in keys:
        for path, leaf in leaves(getattr(profile, key), key):
            if isinstance(leaf, Quantity):
                table.add_row(path, number(leaf.value), leaf.grade, spread(leaf), leaf.source)
            else:
                table.add_row(path, plain(leaf), "", "", "")
    return table


def show_rows(
    rows: list[dict[str, Any]], as_json: bool, columns: Iterable[str], cells: Callable[..., Iterable[str]]
) -> None:
    """Rows as a table with these columns, filled by `cells` of a row's values, or as JSON."""
    if as_json:
        show_json(rows)
        return
    table = plain_table("", *columns)
    for row in rows:
        table.add_row(*cells(**row))
    console().print(table)


def plain_table(title: str, *columns: str) -> "Table":
    """An empty table without vertical lines; a column that begins with `>` is flush right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for name in columns:
        side: JustifyMethod = "right" if name.startswith(">") else "left"
        if name in PROSE:
            table.add_column(name, min_width=PROSE[name])
        else:
            table.add_column(name.lstrip(">"), justify=side, no_wrap=True)
    return table


MOST_LISTED = 8
"""Longer lists of numbers are told by their ends, so that columns stay narrow."""


def number(value: float) -> str:
    """Up to six significant digits; whole thousands are set apart."""
    if abs(value) >= 1e3 and value == round(value):
        return f"{value:,.0f}"
    return f"{value:.6g}"


def plain(value: Any) -> str:
    """A value that is no graded number."""
    if isinstance(value, list):
        if len(value) > MOST_LISTED and all(isinstance(entry, int | float) for entry in value):
            return f"{len(value)} from {number(min(value))} to {number(max(value))}"
        return ", ".join(plain(entry) for entry in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value) if isinstance(value, int | float) else str(value)


def spread(quantity: "Quantity") -> str:
    """Relative half-width of the plausible interval, where one is given."""
    return f"± {quantity.spread:.0%}" if quantity.spread else ""
