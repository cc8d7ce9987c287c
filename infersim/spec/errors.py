"""What is wrong with an input, where, and what would be right: the one error that a user's file can cause.

Not here: finding what is wrong (`translate.py` for shapes, `resolve.py` for names and what fits together).
Read `document.py` next.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

KeyPath = tuple[str | int, ...]
"""Keys and list indexes from the top of a file to a value."""


def dotted(path: KeyPath) -> str:
    """A key path as people write it: pools[0].replicas.max."""
    text = ""
    for piece in path:
        text += f"[{piece}]" if isinstance(piece, int) else f".{piece}" if text else piece
    return text


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong."""

    message: str
    """What was found and what would be right."""
    source: str
    """The file as it was named, or the `--set` that brought the value."""
    line: int | None = None
    """Line of the file, from 1."""
    path: KeyPath = ()
    """The key that is wrong."""

    def __str__(self) -> str:
        """`chat.yaml:14: pools[0].replicas.max: found -3; ...`."""
        where = self.source if self.line is None else f"{self.source}:{self.line}"
        return ": ".join(part for part in (where, dotted(self.path), self.message) if part)


class SpecError(ValueError):
    """What the user asked for cannot be done: every problem that was found, one a line, in the order of the file."""

    def __init__(self, problems: Problem | Sequence[Problem]) -> None:
        """Keep the problems; the message lists them."""
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type["SpecError"], tuple[tuple[Problem, ...]]]:
        """Pickle by problems, so that a worker process can hand the error on."""
        return type(self), (self.problems,)


def nearest(word: str, known: Iterable[str]) -> str:
    """Advice for an unknown name: the closest known ones, or all of them when none is close."""
    names = sorted(set(known))
    if not names:
        return "there is none to choose from"
    by_lower = {name.lower(): name for name in names}
    close = [by_lower[name] for name in get_close_matches(word.lower(), by_lower, n=3, cutoff=0.6)]
    close += [name for name in names if name not in close and len(word) > 1 and name.lower().startswith(word.lower())]
    if close:
        return f"did you mean {' or '.join(close[:3])}?"
    return f"known: {', '.join(names)}"
