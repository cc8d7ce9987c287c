"""A piece of an explanation: a heading, sentences and a table, the same on a terminal, in a notebook and in the report.

Not here: what is said (`why_latency.py`, `why_cost.py`, `story.py`). Read `explain.py` next.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Group


@dataclass(frozen=True)
class Chapter:
    """One heading with what is to be said about it."""

    title: str
    sentences: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    """Headings of the table; one that begins with `>` is flush right."""
    rows: tuple[tuple[str, ...], ...] = ()
    """Cells as text."""

    def html(self, level: int = 3) -> str:
        """As HTML, everything escaped."""
        parts = [f"<h{level}>{escape(self.title)}</h{level}>"]
        parts += [f"<p>{escape(sentence)}</p>" for sentence in self.sentences]
        if self.rows:
            parts.append(table_html(self.columns, self.rows))
        return "".join(parts)


def table_html(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table as HTML, everything escaped, in a frame that scrolls where it is too wide."""
    columns = list(columns)
    right = [' class="n"' if name.startswith(">") else "" for name in columns]
    head = "".join(f'<th scope="col"{r}>{escape(n.lstrip(">"))}</th>' for n, r in zip(columns, right, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{r}>{escape(cell)}</td>" for cell, r in zip(row, right, strict=True)) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


@dataclass(frozen=True)
class Explanation:
    """Chapters about one run."""

    title: str
    chapters: tuple[Chapter, ...]

    def __str__(self) -> str:
        """Plain text, 100 columns wide."""
        import io

        from rich.console import Console

        console = Console(file=io.StringIO(), width=100, color_system=None, highlight=False)
        console.print(self.rich())
        return console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO above

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """For notebooks."""
        return f"<h2>{escape(self.title)}</h2>" + "".join(chapter.html() for chapter in self.chapters)

    def rich(self) -> "Group":
        """For a terminal."""
        from rich.box import SIMPLE_HEAD
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        parts: list[Text | Table] = [Text(self.title, style="bold"), Text()]
        for chapter in self.chapters:
            parts.append(Text(chapter.title, style="bold cyan"))
            parts += [Text(sentence) for sentence in chapter.sentences]
            if chapter.rows:
                table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
                for name in chapter.columns:
                    table.add_column(Text(name.lstrip(">")), justify="right" if name.startswith(">") else "left")
                for row in chapter.rows:
                    table.add_row(*(Text(cell) for cell in row))
                parts += [Text(), table]
            parts.append(Text())
        return Group(*parts)
