"""What a trace format is, and the head of a file that it is recognised by.

Not here: the list of formats (`__init__.py`) and the formats (a file each).
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from infersim.workload.requests import Requests
from infersim.workload.traces import TraceError, byte_blocks


@dataclass(frozen=True)
class Head:
    """The beginning of a file."""

    path: Path
    columns: tuple[str, ...] = ()
    """Of a CSV or Parquet file; a guess for other text."""
    rows: tuple[str, ...] = ()
    """The first lines after the header."""
    keys: tuple[str, ...] = ()
    """Of the first JSON object."""
    first: Any = None
    """The first JSON value."""
    parquet: bool = False


@dataclass(frozen=True)
class Format:
    """How one kind of trace is recognised, read and written."""

    name: str
    title: str
    read: Callable[[Path], Iterator[Requests]]
    """Rows in the file's order, the first at 0 s, with the file's own lines; TraceError for what is not the format."""
    fits: Callable[[Head], bool]
    """Whether a file's head is of this format."""
    write: Callable[..., None]
    """Takes a path, blocks of requests and, where the file tells its block size, that size. Its contract says what is filled in
    and what is lost."""
    block_tokens: int | Callable[[Head], int] = 0
    """Tokens in a prefix block, or how the file tells; 0 where the format has none."""
    blocks: Literal["", "ceil", "floor"] = ""
    """Whether the last, partial block of a prompt is counted."""
    clock: Literal["absolute", "session", "none"] = "absolute"
    """Whether times count from one start, from each session's own, or are absent."""
    zeros_failed: bool = False
    """Whether a row without output tokens is a failed request, left out of a replay."""
    disordered: bool = False
    """Whether the published file is slightly out of order, and sorted for a replay."""
    midnight: Callable[[Path], float] | None = None
    """Seconds after midnight of the first row, where the format tells."""
    names: Mapping[str, str] = field(default_factory=dict)
    """What the format calls arrival_s, input_tokens and output_tokens, where it has other names."""


def head_of(path: Path) -> Head:
    """What a file begins with; TraceError if it cannot be read or is empty."""
    try:
        with open(path, "rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise TraceError(path, f"cannot be read: {error.strerror}") from error
    if magic == b"PAR1":
        from infersim.workload.columnar import parquet_columns

        return Head(path, columns=parquet_columns(path), parquet=True)
    text = next(byte_blocks(path)).decode("utf-8", "backslashreplace")
    lines = text[: max(1 << 16, text.find("\n"))].splitlines()
    filled = [line for line in lines if line.strip()]
    if filled and filled[0].lstrip()[:1] in "{[":
        return _json_head(path, filled[0])
    columns = tuple(name.strip() for name in lines[0].split(","))
    return Head(path, columns=columns, rows=tuple(lines[1:20]))


def _json_head(path: Path, line: str) -> Head:
    """JSON: the first line if it is whole, else the whole file."""
    try:
        first = json.loads(line)
    except ValueError:
        try:
            first = json.loads(b"".join(byte_blocks(path)))
        except (ValueError, RecursionError):
            return Head(path)
    return Head(path, keys=tuple(first) if isinstance(first, dict) else (), first=first)
