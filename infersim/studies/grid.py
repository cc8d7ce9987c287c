"""The points of a sweep: which values each key takes, and how they are combined.

    pools.0.replicas.initial=1,2,4      these values
    workload.arrivals.rate_rps=1..20    a range, for samples only: integers if both ends are, else any number
    workload.arrivals.rate_rps=1..20:log  the same, evenly in the logarithm

A key is what `--set` takes. Not here: what a key means (`infersim/spec/overrides.py`). Read `sweep.py` next.
"""

import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infersim.spec.document import parse
from infersim.spec.errors import SpecError
from infersim.studies.errors import StudyError

_NUMBER = r"[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(:log)?")


@dataclass(frozen=True)
class Range:
    """All numbers from `low` to `high`, for Latin hypercubes."""

    low: float
    high: float
    log: bool = False
    """Spread evenly in the logarithm."""

    def at(self, share: float) -> float | int:
        """The value below which this share of the range lies."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            ends = (self.low, self.high + 1)
            return min(math.floor(self._between(*ends, share)), self.high)
        return self._between(self.low, self.high, share)

    def _between(self, low: float, high: float, share: float) -> float:
        return low * (high / low) ** share if self.log else low + share * (high - low)


Values = Sequence[Any] | Range
Grid = Mapping[str, Values]
Settings = dict[str, Any]


def parse_grid(texts: Sequence[str]) -> dict[str, Values]:
    """`key=v1,v2` texts as a grid. Raises StudyError for bad syntax, an empty list and a key that is given twice."""
    grid: dict[str, Values] = {}
    for text in texts:
        key, equals, values = (part.strip() for part in text.partition("="))
        source = f"--grid {text}"
        if not equals or not key:
            raise StudyError("is not key=v1,v2; write for example --grid pools.0.replicas.initial=1,2,4", source)
        if key in grid:
            raise StudyError(f"{key} is given twice; put all its values into one list", source)
        grid[key] = _values(values, source)
    return grid


def _values(text: str, source: str) -> Values:
    """A range, or the entries of a YAML list without its brackets."""
    found = _RANGE.fullmatch(text)
    if found:
        low, high = (float(end) if re.search(r"[.eE]", end) else int(end) for end in found.group(1, 2))
        return _checked(Range(low, high, bool(found.group(3))), source)
    try:
        values, _ = parse(f"[{text}]", source)
    except SpecError as error:
        raise StudyError(error.problems[0].message, source) from None
    if not isinstance(values, list) or not values:
        raise StudyError("has no values; write them after the equals sign, separated by commas", source)
    return values


def _checked(span: Range, source: str) -> Range:
    if not span.low < span.high:
        raise StudyError(f"the range ends at {span.high:g} and begins at {span.low:g}; write it upwards", source)
    if span.log and span.low <= 0:
        raise StudyError(f"a logarithmic range cannot begin at {span.low:g}; begin above 0", source)
    return span


def check_grid(grid: Grid) -> None:
    """Raise StudyError for a grid without keys, and for a key without values."""
    if not grid:
        raise StudyError("the grid is empty; give at least one key=v1,v2")
    for key, values in grid.items():
        if not isinstance(values, Range) and (isinstance(values, str) or len(values) == 0):
            raise StudyError(f"{key} has no values; give a list of them", "grid")


def cartesian(grid: Grid) -> list[Settings]:
    """Every combination, the last key fastest. Raises StudyError for ranges, which have no list of values."""
    check_grid(grid)
    for key, values in grid.items():
        if isinstance(values, Range):
            raise StudyError(
                f"{key} is a range, of which a grid takes no particular values; list them, or add --sample N", "grid"
            )
    lists = [list(values) for values in grid.values() if not isinstance(values, Range)]
    return [dict(zip(grid, point, strict=True)) for point in itertools.product(*lists)]


def latin_hypercube(grid: Grid, count: int, seed: int) -> list[Settings]:
    """`count` points that cover every key evenly: each of its `count` equal shares is met exactly once.

    McKay, Beckman and Conover (1979), as scipy.stats.qmc.LatinHypercube draws it; lists are divided like ranges.
    """
    from scipy.stats.qmc import LatinHypercube

    check_grid(grid)
    if count < 1:
        raise StudyError(f"found {count} samples; ask for at least 1", "--sample")
    shares = LatinHypercube(d=len(grid), rng=seed).random(count)
    return [
        {key: _drawn(values, float(share)) for (key, values), share in zip(grid.items(), row, strict=True)}
        for row in shares
    ]


def _drawn(values: Values, share: float) -> Any:
    return values.at(share) if isinstance(values, Range) else values[min(int(share * len(values)), len(values) - 1)]


def as_setting(key: str, value: Any) -> str:
    """A value as `--set` would say it: JSON is YAML."""
    return f"{key}={json.dumps(value, ensure_ascii=False)}"
