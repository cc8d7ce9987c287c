"""CSV files as bytes, in bounded memory: rows, fields, and strict numbers and instants with their place in the file.

Columns may stand in any order; CRLF, a byte order mark, gzip, blank lines at the end and a missing last line end are
accepted. Everything else is an error with its line: nothing is guessed. Fields in quotes are not part of any
trace format and fail as what they are not. Not here: which columns a format has (`formats/`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from infersim.workload.traces import TraceError, byte_blocks

TICKS_PER_SECOND = 10_000_000
"""Instants are whole ticks of 100 ns since 1970."""

Indices = NDArray[np.int64]
_DATE = b"0000-00-00 00:00:00"
_WIDEST = 40
"""Longest field that can be a number [characters]."""


def tables(
    path: Path, wanted: Sequence[str] = (), title: str = "it", optional: Sequence[str] = ()
) -> Iterator["Table"]:
    """A CSV file, a few megabytes at a time; every row must have as many fields as the header.

    With `wanted`, the columns must be those, in any order, and may be the optional ones; `title` names the format in
    messages. Raises TraceError for a file that cannot be read, has another header, no row, or a row of another width.
    """
    pending, header, line = b"", None, 2
    for block in byte_blocks(path):
        pending += block
        if header is None:
            if b"\n" not in pending:
                continue
            first, _, pending = pending.partition(b"\n")
            header = _header(path, first, wanted, title, optional)
        # Line ends at the end are kept back: at the end of the file they mean nothing, in the middle a blank line.
        solid = pending[: pending.rfind(b"\n") + 1].rstrip(b"\r\n")
        if solid:
            end = pending.index(b"\n", len(solid))
            table = _split(path, header, pending[:end], line)
            yield table
            pending, line = pending[end + 1 :], line + table.rows
    rest = pending.rstrip(b"\r\n")
    if header is None:
        header, rest = _header(path, rest, wanted, title, optional), b""
    if rest:
        yield _split(path, header, rest, line)
    elif line == 2:
        raise TraceError(path, "has a header but no requests; a trace needs at least one", line=2)


def _header(path: Path, header: bytes, wanted: Sequence[str], title: str, optional: Sequence[str]) -> list[str]:
    """The names of the columns, checked."""
    if not header.strip():
        raise TraceError(path, "the first line is empty; it names the columns", line=1)
    columns = [name.strip() for name in header.decode("utf-8", "backslashreplace").split(",")]
    shape = ",".join([*wanted, *(f"[{name}]" for name in optional)])
    right = f"found the header {readable(header.strip())}; {title} has {shape or 'each column once'}"
    for name in [*wanted, *optional, *columns]:
        if columns.count(name) > 1 or (name in wanted and name not in columns):
            how = "there twice" if name in columns else "missing"
            raise TraceError(path, f"the column is {how}; {right}", 1, name[:40])
    for name in columns:
        if wanted and name not in wanted and name not in optional:
            raise TraceError(path, f"this column is unknown; {right}", 1, name[:40])
    return columns


def _split(path: Path, names: list[str], body: bytes, line: int) -> "Table":
    text = np.frombuffer(body, np.uint8)
    feeds = np.flatnonzero(text == ord("\n"))
    starts, ends = np.append(0, feeds + 1), np.append(feeds, text.size)
    ends -= (ends > starts) & (text[ends - 1] == ord("\r"))
    commas = np.flatnonzero(text == ord(","))
    fields = np.diff(np.append(np.searchsorted(commas, starts), commas.size)) + 1
    wrong = np.flatnonzero(fields != len(names))
    if wrong.size:
        row = int(wrong[0])
        found = readable(body[starts[row] : ends[row]])
        problem = f"found {fields[row]} fields in {found}; a line has {len(names)}: {','.join(names)}"
        raise TraceError(path, problem, line=row + line)
    inner = commas.reshape(starts.size, len(names) - 1)
    return Table(path, names, text, np.column_stack((starts, inner + 1)), np.column_stack((inner, ends)), line)


@dataclass(frozen=True)
class Table:
    """Some rows of a CSV file, and where each field lies in their bytes."""

    path: Path
    columns: list[str]
    """Names in the header's order."""
    text: NDArray[np.uint8]
    begin: Indices
    """(rows, columns)"""
    end: Indices
    line: int
    """Line of the first row; the header is line 1."""

    @property
    def rows(self) -> int:
        """How many."""
        return len(self.begin)

    @property
    def lines(self) -> Indices:
        """Line number of each row."""
        return np.arange(self.line, self.line + self.rows)

    def field(self, row: int, column: str) -> str:
        """A field as readable text."""
        at = self.columns.index(column)
        return readable(self.text[self.begin[row, at] : self.end[row, at]].tobytes())

    def fail(self, row: int, column: str, problem: str) -> NoReturn:
        """Raise the error of a field."""
        raise TraceError(self.path, problem, line=self.line + row, column=column)

    def whole_numbers(self, column: str, least: int, most: int = 1_000_000_000, what: str = "tokens are") -> Indices:
        """Digits and nothing else, from least to most."""
        begin, width = self._places(column)
        places = len(str(most))
        fits = (width >= 1) & (width <= places)
        values = np.zeros(width.size, np.int64)
        for place in range(min(places, int(width.max(initial=0)))):
            inside = place < width
            digits = self.text[np.where(inside, begin + width - 1 - place, 0)] - ord("0")
            fits &= ~inside | (digits <= 9)
            values += np.where(inside, digits, 0).astype(np.int64) * 10**place
        fits &= (values >= least) & (values <= most)
        if not fits.all():
            row = int(np.argmin(fits))
            found = self.field(row, column)
            self.fail(row, column, f"found {found}; {what} a whole number from {least} to {most}")
        return values

    def decimals(self, column: str, least: float = -np.inf, what: str = "it is") -> NDArray[np.float64]:
        """Finite decimal numbers, an exponent allowed."""
        begin, width = self._places(column)
        fits = (width >= 1) & (width <= _WIDEST)
        cells = self._cells(begin, np.where(fits, width, 0))
        fits &= np.isin(cells, np.frombuffer(b"0123456789.+-eE\0", np.uint8)).all(axis=1)
        cells[~fits] = 0
        cells[~fits, :1] = ord("0")
        packed = np.ascontiguousarray(cells).view(f"S{cells.shape[1]}")[:, 0]
        try:
            values = packed.astype(np.float64)
        except ValueError:
            values = np.array([_number(cell) for cell in packed.tolist()])
        fits &= np.isfinite(values) & (values >= least)
        if not fits.all():
            row = int(np.argmin(fits))
            limit = "" if least == -np.inf else f" of at least {least:g}"
            self.fail(row, column, f"found {self.field(row, column)}; {what} a number{limit}, like 12.5")
        return values

    def texts(self, column: str) -> NDArray[np.bytes_]:
        """Fields as bytes, empty ones among them; at most 256 long."""
        begin, width = self._places(column)
        if width.max(initial=0) > 256:
            self.fail(int(width.argmax()), column, "is longer than 256 characters")
        cells = self._cells(begin, width)
        return np.ascontiguousarray(cells).view(f"S{cells.shape[1]}")[:, 0]

    def instants(self, column: str) -> Indices:
        """ISO 8601 instants as ticks of 100 ns since 1970: blank or T, up to seven decimals, no zone or UTC."""
        begin, width = self._places(column)
        pattern = np.frombuffer(_DATE, np.uint8)
        cells = self._cells(begin, np.minimum(width, pattern.size), pattern.size)
        digit = pattern == ord("0")
        fits = (width >= pattern.size) & (
            np.where(digit, cells - ord("0") <= 9, (cells == pattern) | ((cells == ord("T")) & (pattern == ord(" "))))
        ).all(axis=1)

        def number(first: int, last: int) -> Indices:
            return (cells[:, first:last].astype(np.int64) - ord("0")) @ 10 ** np.arange(last - first - 1, -1, -1)

        year, month, day, hour, minute, second = (
            number(*span) for span in ((0, 4), (5, 7), (8, 10), (11, 13), (14, 16), (17, 19))
        )
        months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
        length = ((months + 1).astype("datetime64[D]") - months.astype("datetime64[D]")).astype(np.int64)
        fits &= (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= length)
        fits &= (hour < 24) & (minute < 60) & (second < 60)
        ticks, rest_fits = self._fractions(begin + pattern.size, width - pattern.size)
        fits &= rest_fits
        if not fits.all():
            row = int(np.argmin(fits))
            found = self.field(row, column)
            right = "YYYY-MM-DD HH:MM:SS.fffffff, as 2023-11-16 18:15:46.6805900, without a zone or in UTC"
            self.fail(row, column, f"found {found}; a time is {right}")
        days = months.astype("datetime64[D]").astype(np.int64) + day - 1
        return (((days * 24 + hour) * 60 + minute) * 60 + second) * TICKS_PER_SECOND + ticks

    def _fractions(self, begin: Indices, width: Indices) -> tuple[Indices, NDArray[np.bool_]]:
        """Ticks in what follows the seconds (.fffffff, then nothing, Z or +00:00), and whether it is that."""
        cells = self._cells(begin, np.clip(width, 0, 14), 14)
        dotted = cells[:, 0] == ord(".")
        ticks, alive, used = np.zeros(width.size, np.int64), dotted.copy(), dotted.astype(np.int64)
        for place in range(7):
            digits = cells[:, place + 1] - ord("0")
            alive &= digits <= 9
            ticks += np.where(alive, digits, 0).astype(np.int64) * 10 ** (6 - place)
            used += alive
        zone = np.take_along_axis(cells, np.minimum(used[:, None] + np.arange(7), 13), axis=1)
        rest = width - used
        fits = ~dotted | (used > 1)
        zoned = np.zeros(width.size, np.bool_)
        for kind in (b"", b"Z", b"+00:00"):
            zoned |= (rest == len(kind)) & (zone[:, : len(kind)] == np.frombuffer(kind, np.uint8)).all(axis=1)
        return ticks, fits & zoned

    def _places(self, column: str) -> tuple[Indices, Indices]:
        at = self.columns.index(column)
        return self.begin[:, at], self.end[:, at] - self.begin[:, at]

    def _cells(self, begin: Indices, width: Indices, columns: int | None = None) -> NDArray[np.uint8]:
        """The fields as a rectangle of bytes, filled with zeros."""
        places = np.arange(max(1, int(width.max(initial=0)) if columns is None else columns))
        inside = places < width[:, None]
        at = np.where(inside, begin[:, None] + places, 0)
        return np.where(inside, self.text[at] if self.text.size else 0, 0).astype(np.uint8)


def _number(cell: bytes) -> float:
    try:
        return float(cell)
    except ValueError:
        return np.nan


def readable(raw: bytes) -> str:
    """Quoted text for a message, cut where it is long."""
    return repr(raw[:60].decode("utf-8", "backslashreplace")) + ("..." if len(raw) > 60 else "")
