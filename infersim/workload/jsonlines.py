"""JSON lines in bounded memory: one object a line, strict fields with their place, blocks of requests out of rows.

Blank lines are passed over. Not here: which keys a format has (`formats/`).
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from infersim.workload.delimited import readable
from infersim.workload.requests import NONE, Requests, requests
from infersim.workload.traces import TraceError, byte_blocks

MOST_TOKENS = 1_000_000_000
ROWS = 8192
"""Rows put into a block."""


class Entry(NamedTuple):
    """One JSON object, and the line that it stands on."""

    path: Path
    line: int
    data: Mapping[str, Any]

    def fail(self, key: str, problem: str) -> NoReturn:
        """Raise the error of a field."""
        raise TraceError(self.path, problem, self.line, key)

    def get(self, key: str) -> Any:
        """A field that must be there."""
        if key not in self.data:
            self.fail(key, f"the key is missing; found {readable(','.join(self.data).encode())}")
        return self.data[key]

    def whole(self, key: str, least: int = 0, most: int = MOST_TOKENS) -> int:
        """A whole number in a range."""
        value = self.get(key)
        if type(value) is not int or not least <= value <= most:
            self.fail(key, f"found {shown(value)}; it is a whole number from {least} to {most}")
        return value

    def number(self, key: str, least: float = 0.0) -> float:
        """A finite number."""
        value = self.get(key)
        if type(value) not in (int, float) or not least <= value < 1e15:
            self.fail(key, f"found {shown(value)}; it is a number of at least {least:g}")
        return float(value)

    def ids(self, key: str) -> list[int]:
        """A list of whole numbers, each at least 0 and below 2^63."""
        value = self.get(key)
        if not isinstance(value, list):
            self.fail(key, f"found {shown(value)}; it is a list of ids")
        for item in value:
            if type(item) is not int or not 0 <= item < 2**63:
                self.fail(key, f"found {shown(item)} in the list; an id is a whole number from 0 to 2^63 - 1")
        return value


class Row(NamedTuple):
    """One request of a file."""

    line: int
    arrival_s: float
    input_tokens: int
    output_tokens: int
    session: int = NONE
    blocks: Iterable[int] = ()


def entries(path: Path) -> Iterator[Entry]:
    """The objects of a JSONL file; TraceError for a line that is none."""
    pending, line = b"", 0
    for block in chain(byte_blocks(path), [None]):
        pieces = (pending if block is None else pending + block).split(b"\n")
        pending = b"" if block is None else pieces.pop()
        for piece in pieces:
            line += 1
            if piece.strip():
                yield Entry(path, line, _object(path, line, piece))


def whole_object(path: Path) -> Entry:
    """A file that is one JSON object; TraceError if it is not."""
    text = b"".join(byte_blocks(path))
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        problem = str(error).splitlines()[0][:80]
        raise TraceError(path, f"is not JSON: {problem}", getattr(error, "lineno", 1)) from None
    if not isinstance(value, dict):
        raise TraceError(path, f"found {readable(text.strip())}; the file holds one JSON object", 1)
    return Entry(path, 1, value)


def _object(path: Path, line: int, text: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(text, parse_constant=_refuse)
    except UnicodeDecodeError as error:
        raise TraceError(path, f"byte {error.start} of the line is not UTF-8; save the file as UTF-8", line) from None
    except (ValueError, RecursionError) as error:
        problem = str(error).splitlines()[0][:80]
        raise TraceError(path, f"found {readable(text.strip())}, which is not JSON: {problem}", line) from None
    if not isinstance(value, dict):
        raise TraceError(path, f"found {readable(text.strip())}; a line holds one JSON object", line)
    return value


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def shown(value: Any) -> str:
    """A value for a message, cut where it is long."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return readable(repr(value)[:70].encode()) if not isinstance(value, int | float) else f"{value!r}"[:40]


def blocks_of(rows: Iterable[Row]) -> Iterator[Requests]:
    """Rows as blocks of columns."""
    source = iter(rows)
    while part := list(islice(source, ROWS)):
        columns = list(zip(*part, strict=True))
        counts = np.array([len(ids) for ids in columns[5]], np.int64)  # type: ignore[arg-type]
        ids = np.fromiter(chain.from_iterable(columns[5]), np.int64, int(counts.sum()))
        line, inputs, outputs, session = (np.array(columns[place], np.int64) for place in (0, 2, 3, 4))
        times = np.array(columns[1], np.float64)
        yield requests(times, inputs, outputs, session=session, prefix_blocks=counts, prefixes=ids, line=line)
