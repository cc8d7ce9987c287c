"""What the cells of a table of measurements must hold: a slip is told by its line and column before anything is served.

Cells that say too little of a run are no slips: their rows are refused with the reason by whoever reads them.
Not here: reading tables (`measurements.py`), what cells mean (`calibration_rows.py`, `online_rows.py`, `silicon_rows.py`).
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from infersim.spec.errors import Problem, SpecError

Fields = dict[str, str]

TOLD = 20
"""Slips that one error tells at most."""


@dataclass(frozen=True)
class Cell:
    """What a cell must hold."""

    wanted: str
    """In words, for the error."""
    holds: Callable[[str], bool]
    needed: bool = True
    """Whether it may not be empty."""


def number(text: str) -> float:
    """A cell's number; NaN for anything else."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def optional(cell: Cell) -> Cell:
    """The same, or an empty cell."""
    return Cell(f"{cell.wanted}, or nothing", cell.holds, needed=False)


def matches(pattern: str, wanted: str) -> Cell:
    """A cell of one form."""
    return Cell(wanted, lambda text: re.fullmatch(pattern, text) is not None)


def _each_positive(text: str) -> bool:
    return all(0.0 < number(part) < math.inf for part in text.split("|"))


TEXT = Cell("anything", bool, needed=False)
WORD = Cell("what it is", bool)
POSITIVE = Cell("a number above 0", lambda text: 0.0 < number(text) < math.inf)
AT_LEAST_0 = Cell("a number of 0 or more", lambda text: 0.0 <= number(text) < math.inf)
SHARE = Cell("a share above 0, at most 1", lambda text: 0.0 < number(text) <= 1.0)
COUNT = Cell("a whole number of 1 or more", lambda text: number(text) >= 1 and number(text).is_integer())
COUNT_OR_0 = Cell("a whole number of 0 or more", lambda text: number(text) >= 0 and number(text).is_integer())
STAGES = Cell("a number above 0; for the whole run those of its stages, as 2.5|6.0", _each_positive)
STATISTICS = r"mean|p\d{1,2}(\.\d+)?|p100"
STATISTIC = matches(STATISTICS, "mean, or a percentile such as p99")


def check(rows: Sequence[tuple[int, Fields]], cells: Mapping[str, Cell], source: str) -> None:
    """Raise SpecError with the slips of a table's (line, row)s, at least one; a column that is missing is one."""
    present = set(rows[0][1])
    problems = [Problem(f"the column {name} is missing", source=source) for name in cells if name not in present]
    if not problems:
        problems = [
            Problem(f"found {text!r}; write {cell.wanted}", source=source, line=line, path=(name,))
            for line, row in rows
            for name, cell in cells.items()
            if (text := row[name].strip()) or cell.needed
            if not (text and cell.holds(text))
        ]
    if len(problems) > TOLD:
        more = Problem(f"and {len(problems) - TOLD} more of the kind", source=source)
        problems = [*problems[:TOLD], more]
    if problems:
        raise SpecError(problems)
