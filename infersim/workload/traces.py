"""Recorded traffic: where its file is sought, how it is opened, and how its faults are told.

Not here: any particular format. Read `formats/format.py` next.
"""

import csv
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

VARIABLE = "INFERSIM_TRACES"
"""Environment variable with folders or files of traces, separated like PATH."""


class TraceError(ValueError):
    """A trace that cannot be replayed: says file, line and column, what was found and what would be right.

    `line` counts from 1 (the header), `column` is a name; both are None where the file as a whole is at fault.
    """

    def __init__(self, file: Path, problem: str, line: int | None = None, column: str | None = None) -> None:
        """An error of `file` at a place in it."""
        super().__init__(file, problem, line, column)  # all of them, so that it survives a process pool's pickling
        self.file, self.problem, self.line, self.column = file, problem, line, column

    def __str__(self) -> str:
        """Place and problem, in one line."""
        line = f", line {self.line}" if self.line is not None else ""
        column = f", column {self.column}" if self.column is not None else ""
        return f"{self.file}{line}{column}: {self.problem}"


class TraceWarning(UserWarning):
    """A documented repair of a trace, with a count."""


def find_trace(file: str, directory: Path | None = None) -> Path:
    """Where a trace is: an absolute path as it stands; else beside the scenario (`directory`; the working directory
    if None), then in each entry of $INFERSIM_TRACES: that file itself, a folder that holds it, or a folder whose
    subfolders (two levels) hold it.

    Raises TraceError if it is nowhere (with the places), or in two subfolders of one folder.
    """
    wanted = Path(file).expanduser()
    if not wanted.name:
        raise TraceError(wanted, "is no name of a file; say which trace to replay")
    beside = (directory or Path()) / wanted
    if _is_file(beside):
        return beside
    sought = [str(beside)]
    entries = [] if wanted.is_absolute() else os.environ.get(VARIABLE, "").split(os.pathsep)
    for entry in [Path(entry).expanduser() for entry in entries if entry]:
        found = _within(entry, wanted)
        if len(found) > 1:
            problem = f"is there twice in ${VARIABLE}: {found[0]} and {found[1]}; give the folder or the absolute path"
            raise TraceError(wanted, problem)
        if found:
            return found[0]
        sought.append(f"{entry} (${VARIABLE})")
    remedy = f"put it there, give its absolute path, or set {VARIABLE} to the folder that holds it"
    remedy = "give a path that exists" if wanted.is_absolute() else remedy
    raise TraceError(wanted, f"no such trace file; sought {', '.join(sought)}; {remedy}")


def _within(entry: Path, wanted: Path) -> list[Path]:
    """The trace as one entry of $INFERSIM_TRACES has it: none, one, or (in subfolders) several."""
    if _is_file(entry):
        return [entry] if entry.name == wanted.name else []
    if _is_file(entry / wanted):
        return [entry / wanted]
    for depth in ("*", "*/*"):
        if found := sorted(path for folder in entry.glob(depth) if _is_file(path := folder / wanted)):
            return found
    return []


def _is_file(path: Path) -> bool:
    """Whether a file can be seen there; an unusable path is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def byte_blocks(path: Path, size: int = 1 << 22) -> Iterator[bytes]:
    """The bytes of a text file, a few megabytes at a time, unpacked if it is gzipped, without a byte order mark.

    Raises TraceError if it cannot be read, is empty, or is another kind of file.
    """
    try:
        with open(path, "rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            file = gzip.GzipFile(fileobj=raw) if packed else raw
            block = file.read(size)
            for magic, kind, remedy in _OTHER_KINDS:
                if block.startswith(magic):
                    raise TraceError(path, f"is {kind}; {remedy}", line=1)
            block = block.removeprefix(b"\xef\xbb\xbf")
            solid = False
            while block:
                solid = solid or bool(block.strip())
                yield block
                block = file.read(size)
            if not solid:
                raise TraceError(path, "is empty; a trace has a header and at least one request", line=1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise TraceError(path, f"is gzip-compressed, but damaged: {error}; fetch it again") from error
    except OSError as error:
        raise TraceError(path, f"cannot be read: {error.strerror}") from error


def csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line numbers (from 1) and cells of a CSV file, gzipped or not; bytes that are no UTF-8 are shown as escapes.

    Raises TraceError if it cannot be read, is empty, or is no CSV.
    """
    text = b"".join(byte_blocks(path)).decode("utf-8", "backslashreplace")
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise TraceError(path, f"is no CSV: {error}", reader.line_num) from None


_OTHER_KINDS = (
    (b"\xff\xfe", "UTF-16 text", "save it as UTF-8"),
    (b"\xfe\xff", "UTF-16 text", "save it as UTF-8"),
    (b"PK\x03\x04", "a zip archive or a spreadsheet", "unpack it, or export it as CSV"),
    (b"PAR1", "a Parquet file", "export it as CSV"),
)
