"""Parquet files in bounded memory: columns as arrays, a part of a row group at a time, checked.

pyarrow is imported when a file is read. Not here: which columns a format has (`formats/`).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infersim.workload.traces import TraceError

ROWS = 1 << 16
"""Rows read at a time."""


def parquet_columns(path: Path) -> tuple[str, ...]:
    """Names of the columns; TraceError if it is no whole Parquet file."""
    return tuple(_open(path).schema_arrow.names)


def _open(path: Path) -> Any:
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        problem = str(error).splitlines()[0][:100]
        raise TraceError(path, f"is no whole Parquet file: {problem}; fetch it again") from error


class Batch:
    """Some rows of a Parquet file; a row's number counts from 1."""

    def __init__(self, path: Path, columns: dict[str, Any], lines: NDArray[np.int64]) -> None:
        """Columns as Arrow arrays, and the number of each row."""
        self.path, self._columns, self.lines = path, columns, lines

    def __len__(self) -> int:
        """How many rows."""
        return len(next(iter(self._columns.values())))

    def where(self, kept: NDArray[np.bool_]) -> "Batch":
        """Only these rows."""
        import pyarrow

        mask = pyarrow.array(kept)
        return Batch(self.path, {name: column.filter(mask) for name, column in self._columns.items()}, self.lines[kept])

    def has(self, name: str) -> bool:
        """Whether the column is there."""
        return name in self._columns

    def whole_numbers(self, name: str, least: int, most: int) -> NDArray[np.int64]:
        """A column of whole numbers in a range."""
        import pyarrow

        column = self._filled(name)
        if not pyarrow.types.is_integer(column.type):
            raise TraceError(self.path, f"is of type {column.type}; whole numbers are needed", column=name)
        values = column.cast("int64").to_numpy(zero_copy_only=False)
        self._check(name, values, (values >= least) & (values <= most), f"a whole number from {least} to {most}")
        return values

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A column of finite numbers."""
        import pyarrow

        column = self._filled(name)
        if not (pyarrow.types.is_floating(column.type) or pyarrow.types.is_integer(column.type)):
            raise TraceError(self.path, f"is of type {column.type}; numbers are needed", column=name)
        values = column.cast("float64", safe=False).to_numpy(zero_copy_only=False)
        self._check(name, values, np.isfinite(values), "a finite number")
        return values

    def lists(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """A column of lists of whole numbers: their lengths, and all values one after the other."""
        import pyarrow

        column = self._filled(name)
        kind = column.type
        if not (pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind)) or not pyarrow.types.is_integer(
            kind.value_type
        ):
            raise TraceError(self.path, f"is of type {kind}; lists of whole numbers are needed", column=name)
        lengths = column.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
        values = column.flatten()
        if values.null_count:
            raise TraceError(self.path, "has an empty cell in a list", column=name)
        return lengths, values.cast("int64").to_numpy(zero_copy_only=False)

    def texts(self, name: str) -> list[str | None]:
        """A column of text, None where it is empty."""
        return [None if value is None else str(value) for value in self._columns[name].to_pylist()]

    def _filled(self, name: str) -> Any:
        column = self._columns[name]
        if column.null_count:
            row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
            raise TraceError(self.path, "found nothing; every row needs a value", int(self.lines[row]), name)
        return column

    def _check(self, name: str, values: NDArray, fits: NDArray[np.bool_], right: str) -> None:
        if not fits.all():
            row = int(np.argmin(fits))
            raise TraceError(self.path, f"found {values[row]}; it is {right}", int(self.lines[row]), name)


def batches(path: Path, wanted: Sequence[str], optional: Sequence[str] = ()) -> Iterator[Batch]:
    """A Parquet file's rows with these columns; TraceError if one is missing or there is no row."""
    file = _open(path)
    names = file.schema_arrow.names
    for name in wanted:
        if name not in names:
            raise TraceError(path, f"the column is missing; found {', '.join(names)[:200]}", column=name)
    first = 1
    for batch in file.iter_batches(ROWS, columns=[*wanted, *(name for name in optional if name in names)]):
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        if batch.num_rows:
            yield Batch(path, columns, np.arange(first, first + batch.num_rows))
        first += batch.num_rows
    if first == 1:
        raise TraceError(path, "has no rows; a trace needs at least one")
