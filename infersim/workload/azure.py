"""The Azure LLM inference trace 2023 (Splitwise, ISCA 2024): when, how long a prompt, how long an output.

CSV with the header TIMESTAMP,ContextTokens,GeneratedTokens; times are naive, YYYY-MM-DD HH:MM:SS.fffffff in units of
100 ns. Columns may stand in any order; CRLF, a byte order mark, blank lines at the end and a missing last
line end are accepted. Everything else is an error with its line: nothing is repaired, dropped or guessed. A request
of zero tokens is an error as well (the published files have none; elsewhere it marks a failed request).
Not here: where the file is (`traces.py`) and which requests are replayed (`generate.py`).
"""

from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from infersim.workload.traces import Recording, TraceError, read_text

COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
PATTERN = b"0000-00-00 00:00:00.0000000"
TICKS_PER_SECOND = 10_000_000
MOST_TOKENS = 1_000_000_000
"""More than any context can hold; a larger number is a wrong column or a broken file."""

Indices = NDArray[np.int64]


def read_azure(path: Path, rate_scale: float = 1.0, limit: int | None = None) -> Recording:
    """Requests of an Azure 2023 file, the first at 0 s.

    Differences of times are exact (whole ticks of 100 ns) before they become seconds, which `rate_scale` divides: 2
    replays the same requests in half the time. `limit` keeps the first requests; the whole file is checked anyway.
    Raises TraceError with line and column for anything that is not such a trace.
    """
    table = _table(path)
    ticks = _timestamps(table)
    tokens = [_whole_numbers(table, column) for column in COLUMNS[1:]]
    back = np.flatnonzero(np.diff(ticks) < 0)
    if back.size:
        row = int(back[0]) + 1
        found, before = (table.field(at, COLUMNS[0]) for at in (row, row - 1))
        table.fail(row, COLUMNS[0], f"{found} is before {before} of the line above; sort the file by {COLUMNS[0]}")
    with np.errstate(over="ignore"):
        arrival_s = (ticks - ticks[0])[:limit] / TICKS_PER_SECOND / rate_scale
    if not np.isfinite(arrival_s[-1]):
        raise ValueError(
            f"rate_scale {rate_scale:g} stretches {path.name} beyond all numbers; 1 replays it as recorded"
        )
    return Recording(arrival_s, *(counts[:limit] for counts in tokens))


class _Table(NamedTuple):
    """A CSV file as bytes, and where each field of each row lies in it."""

    path: Path
    text: NDArray[np.uint8]
    begin: dict[str, Indices]
    end: dict[str, Indices]

    def field(self, row: int, column: str) -> str:
        """A field as readable text."""
        return _readable(self.text[self.begin[column][row] : self.end[column][row]].tobytes())

    def fail(self, row: int, column: str, problem: str) -> NoReturn:
        """Raise the error of a field; line 1 is the header."""
        raise TraceError(self.path, problem, line=row + 2, column=column)


def _table(path: Path) -> _Table:
    """Split a file into rows and fields; every row must have as many fields as the header."""
    header, _, body = read_text(path).partition(b"\n")
    names = _header(path, header)
    body = body.rstrip(b"\r\n")
    if not body:
        raise TraceError(path, "has a header but no requests; a trace needs at least one", line=2)
    text = np.frombuffer(body, np.uint8)
    feeds = np.flatnonzero(text == ord("\n"))
    starts, ends = np.append(0, feeds + 1), np.append(feeds, text.size)
    ends -= (ends > starts) & (text[ends - 1] == ord("\r"))
    commas = np.flatnonzero(text == ord(","))
    fields = np.diff(np.append(np.searchsorted(commas, starts), commas.size)) + 1
    wrong = np.flatnonzero(fields != len(names))
    if wrong.size:
        row = int(wrong[0])
        line = _readable(body[starts[row] : ends[row]])
        problem = f"found {fields[row]} fields in {line}; a line has {len(names)}: {','.join(names)}"
        raise TraceError(path, problem, line=row + 2)
    inner = commas.reshape(starts.size, len(names) - 1)
    begin, end = np.column_stack((starts, inner + 1)), np.column_stack((inner, ends))
    return _Table(path, text, dict(zip(names, begin.T, strict=True)), dict(zip(names, end.T, strict=True)))


def _header(path: Path, header: bytes) -> list[str]:
    """Names of the columns in the file's order; TraceError unless they are exactly those of the format."""
    names = [name.strip() for name in header.decode("utf-8", "backslashreplace").split(",")]
    right = f"found the header {_readable(header.strip())}; an Azure 2023 trace has {','.join(COLUMNS)}"
    for name in COLUMNS:
        if names.count(name) != 1:
            raise TraceError(path, f"the column is {'there twice' if name in names else 'missing'}; {right}", 1, name)
    for name in names:
        if name not in COLUMNS:
            raise TraceError(path, f"this column is unknown; {right}", 1, name[:40])
    return names


def _timestamps(table: _Table) -> Indices:
    """Times in ticks of 100 ns since 1970."""
    column = COLUMNS[0]
    begin, end = table.begin[column], table.end[column]
    pattern = np.frombuffer(PATTERN, np.uint8)
    digit = pattern == ord("0")
    fits = end - begin == pattern.size
    # a field of another width is checked where it cannot be read past the end, and refused for its width
    within = np.minimum(begin, max(0, table.text.size - pattern.size))
    cells = table.text[np.minimum(within[:, None] + np.arange(pattern.size), table.text.size - 1)]
    fits &= np.where(digit, cells - ord("0") <= 9, cells == pattern).all(axis=1)

    def number(first: int, last: int) -> Indices:
        return (cells[:, first:last].astype(np.int64) - ord("0")) @ 10 ** np.arange(last - first - 1, -1, -1)

    year, month, day, hour, minute = (number(*span) for span in ((0, 4), (5, 7), (8, 10), (11, 13), (14, 16)))
    second, fraction = number(17, 19), number(20, 27)
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    length = ((months + 1).astype("datetime64[D]") - months.astype("datetime64[D]")).astype(np.int64)
    fits &= (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= length)
    fits &= (hour < 24) & (minute < 60) & (second < 60)
    if not fits.all():
        row = int(np.argmin(fits))
        problem = (
            f"found {table.field(row, column)}; a time is YYYY-MM-DD HH:MM:SS.fffffff, as 2023-11-16 18:15:46.6805900"
        )
        table.fail(row, column, problem)
    days = months.astype("datetime64[D]").astype(np.int64) + day - 1
    return (((days * 24 + hour) * 60 + minute) * 60 + second) * TICKS_PER_SECOND + fraction


def _whole_numbers(table: _Table, column: str) -> Indices:
    """Token counts of a column, each from 1 to MOST_TOKENS."""
    begin, end = table.begin[column], table.end[column]
    width = end - begin
    most = len(str(MOST_TOKENS))
    fits = (width >= 1) & (width <= most)
    values = np.zeros(width.size, np.int64)
    for place in range(min(most, int(width.max()))):
        inside = place < width
        digits = table.text[np.where(inside, end - 1 - place, 0)] - ord("0")
        fits &= ~inside | (digits <= 9)
        values += np.where(inside, digits, 0).astype(np.int64) * 10**place
    fits &= (values >= 1) & (values <= MOST_TOKENS)
    if not fits.all():
        row = int(np.argmin(fits))
        problem = f"found {table.field(row, column)}; tokens are a whole number from 1 to {MOST_TOKENS}"
        table.fail(row, column, problem)
    return values


def _readable(raw: bytes) -> str:
    """Quoted text for a message, cut where it is long."""
    return repr(raw[:60].decode("utf-8", "backslashreplace")) + ("..." if len(raw) > 60 else "")
