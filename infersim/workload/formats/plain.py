"""infersim's own trace format, plain CSV or Parquet: the one to bring your own measurements in.

Columns: arrival_s (seconds, rising, the first may be anything), input_tokens, output_tokens, and if you have them
session (a number, -1 none), tenant (class index), and prefix_ids_16 (or another block size): ids of the prompt's whole
blocks, equal where prompts are equal up to and including the block; in CSV separated by blanks, in Parquet a list.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from infersim.workload.columnar import batches
from infersim.workload.delimited import Table, tables
from infersim.workload.formats.format import Format, Head
from infersim.workload.requests import NONE, Requests, requests
from infersim.workload.traces import TraceError

COLUMNS = ("arrival_s", "input_tokens", "output_tokens")
OPTIONAL = ("session", "tenant")
BLOCKS = re.compile(r"prefix_ids_([1-9]\d{0,5})")
MOST_TOKENS, MOST_ID = 1_000_000_000, 2**62


def block_tokens(columns: Iterable[str]) -> int:
    """Tokens in a block, as the name of the column says; 0 without one."""
    sizes = [int(match[1]) for name in columns if (match := BLOCKS.fullmatch(name))]
    return sizes[0] if sizes else 0


def read_csv(path: Path) -> Iterator[Requests]:
    """Requests, the first at 0 s."""
    first = None
    names = next(tables(path)).columns
    ids = [name for name in names if BLOCKS.fullmatch(name)]
    for table in tables(path, COLUMNS, "a plain trace", (*OPTIONAL, *ids)):
        times = table.decimals("arrival_s", what="seconds are")
        first = times[0] if first is None else first
        inputs, outputs = (table.whole_numbers(name, 0) for name in COLUMNS[1:])
        session, tenant = (_optional(table, name) for name in OPTIONAL)
        counts, values = _ids(table, ids[0]) if ids else (None, None)
        block = requests(times - first, inputs, outputs, 0 if tenant is None else tenant, session=session,
                         prefix_blocks=counts, prefixes=values, line=table.lines)  # fmt: skip
        yield _checked(path, block, block_tokens(ids), ids)


def _optional(table: Table, name: str) -> np.ndarray | None:
    """A column of numbers from -1 (session) or 0 (tenant), if it is there."""
    if name not in table.columns:
        return None
    least = NONE if name == "session" else 0
    texts = table.texts(name)
    none = texts == b"-1"
    if least == 0 or not none.any():
        return table.whole_numbers(name, 0, MOST_ID, f"{name} is")
    values = np.full(table.rows, NONE, np.int64)
    for row in np.flatnonzero(~none).tolist():
        if not re.fullmatch(rb"\d{1,18}", texts[row]):
            table.fail(row, name, f"found {table.field(row, name)}; a session is a whole number, or -1 for none")
        values[row] = int(texts[row])
    return values


def _ids(table: Table, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Ids separated by blanks."""
    at = table.columns.index(name)
    counts, values = np.zeros(table.rows, np.int64), list[int]()
    for row in range(table.rows):
        text = table.text[table.begin[row, at] : table.end[row, at]].tobytes()
        pieces = text.split()
        if not all(re.fullmatch(rb"\d{1,19}", piece) and int(piece) < 2**63 for piece in pieces):
            table.fail(row, name, f"found {table.field(row, name)}; ids are whole numbers separated by blanks")
        counts[row] = len(pieces)
        values += map(int, pieces)
    return counts, np.array(values, np.int64)


def _checked(path: Path, block: Requests, size: int, ids: list[str]) -> Requests:
    """No prompt has more blocks than tokens for them (the last block may be partial)."""
    if size:
        wrong = np.flatnonzero(block.prefix_blocks > -(-block.input_tokens // size))
        if wrong.size:
            row = int(wrong[0])
            found = f"found {block.prefix_blocks[row]} blocks of {size} for {block.input_tokens[row]} tokens"
            raise TraceError(path, f"{found}; a prompt has no more than its tokens fill", int(block.line[row]), ids[0])
    return block


def read_parquet(path: Path) -> Iterator[Requests]:
    """Requests, the first at 0 s."""
    first = None
    from infersim.workload.columnar import parquet_columns

    ids = [name for name in parquet_columns(path) if BLOCKS.fullmatch(name)]
    for batch in batches(path, COLUMNS, (*OPTIONAL, *ids)):
        times = batch.numbers("arrival_s")
        first = times[0] if first is None else first
        inputs, outputs = (batch.whole_numbers(name, 0, MOST_TOKENS) for name in COLUMNS[1:])
        session = batch.whole_numbers("session", NONE, MOST_ID) if batch.has("session") else None
        tenant = batch.whole_numbers("tenant", 0, MOST_ID) if batch.has("tenant") else 0
        counts, values = batch.lists(ids[0]) if ids else (None, None)
        block = requests(times - first, inputs, outputs, tenant, session=session,
                         prefix_blocks=counts, prefixes=values, line=batch.lines)  # fmt: skip
        yield _checked(path, block, block_tokens(ids), ids)


def write_csv(path: Path, blocks: Iterable[Requests], tokens: int = 0) -> None:
    """All columns; the ids of prompts where these have blocks of so many tokens."""
    name = f"prefix_ids_{tokens}" if tokens else ""
    with open(path, "w", encoding="ascii", newline="\n") as file:
        file.write(",".join([*COLUMNS, *OPTIONAL, *([name] if name else [])]) + "\n")
        for block in blocks:
            columns = (block.arrival_s, block.input_tokens, block.output_tokens, block.session, block.tenant)
            lines = [",".join(map(repr, row)) for row in zip(*(column.tolist() for column in columns), strict=True)]
            if name:
                ends = np.cumsum(block.prefix_blocks)
                parts = np.split(block.prefixes, ends[:-1])
                lines = [f"{line},{' '.join(map(str, part.tolist()))}" for line, part in zip(lines, parts, strict=True)]
            file.write("\n".join(lines) + "\n" if lines else "")


def write_parquet(path: Path, blocks: Iterable[Requests], tokens: int = 0) -> None:
    """All columns; the ids of prompts where these have blocks of so many tokens."""
    import pyarrow
    import pyarrow.parquet

    writer = None
    try:
        for block in blocks:
            offsets = np.append(block.prefix_start, block.prefixes.size)
            data = {name: getattr(block, name) for name in (*COLUMNS, *OPTIONAL)}
            if tokens:
                data[f"prefix_ids_{tokens}"] = pyarrow.LargeListArray.from_arrays(offsets, block.prefixes)
            table = pyarrow.table(data)
            writer = writer or pyarrow.parquet.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def _fits(head: Head) -> bool:
    kept = {name for name in head.columns if not BLOCKS.fullmatch(name)}
    return set(COLUMNS) <= kept <= {*COLUMNS, *OPTIONAL}


FORMATS = (
    Format(
        "csv", "a plain CSV", read_csv, lambda head: _fits(head) and not head.parquet, write_csv,
        lambda head: block_tokens(head.columns), "floor",
    ),
    Format(
        "parquet", "a plain Parquet file", read_parquet, lambda head: _fits(head) and head.parquet, write_parquet,
        lambda head: block_tokens(head.columns), "floor",
    ),
)  # fmt: skip
