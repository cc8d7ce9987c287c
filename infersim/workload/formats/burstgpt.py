"""BurstGPT 1, 2 and 3 (KDD 2025): requests to GPT services in whole or fractional seconds. CC-BY-4.0.

CSV with Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type; version 3 adds Session ID and Elapsed
time in the middle, so columns go by name. Response tokens of 0 are failures, which a replay leaves out.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from infersim.workload.delimited import Table, tables
from infersim.workload.formats.format import Format, Head
from infersim.workload.requests import NONE, Requests, requests

COLUMNS = ("Timestamp", "Model", "Request tokens", "Response tokens", "Total tokens", "Log Type")
SESSIONS = ("Session ID", "Elapsed time")
NAMES = {"arrival_s": COLUMNS[0], "input_tokens": COLUMNS[2], "output_tokens": COLUMNS[3]}
KINDS = (b"Conversation log", b"API log")


def read(path: Path) -> Iterator[Requests]:
    """Requests, the first at 0 s; Session ID becomes a number in the order of appearance."""
    first, known = None, dict[bytes, int]()
    for table in tables(path, COLUMNS, "BurstGPT", SESSIONS):
        times = table.decimals(COLUMNS[0], 0.0, "seconds are")
        inputs, outputs, total = (table.whole_numbers(name, 0) for name in COLUMNS[2:5])
        wrong = np.flatnonzero(inputs + outputs != total)
        if wrong.size:
            row = int(wrong[0])
            table.fail(row, COLUMNS[4], f"found {total[row]}; {inputs[row]} + {outputs[row]} tokens are not that")
        unknown = np.flatnonzero(~np.isin(table.texts(COLUMNS[5]), KINDS))
        if unknown.size:
            row = int(unknown[0])
            table.fail(row, COLUMNS[5], f"found {table.field(row, COLUMNS[5])}; it is Conversation log or API log")
        first = times[0] if first is None else first
        session = _sessions(table, known) if SESSIONS[0] in table.columns else None
        yield requests(times - first, inputs, outputs, session=session, line=table.lines)


def _sessions(table: Table, known: dict[bytes, int]) -> np.ndarray:
    return np.array(
        [known.setdefault(text, len(known)) if text else NONE for text in table.texts(SESSIONS[0]).tolist()], np.int64
    )


def midnight(path: Path) -> float:
    """Timestamps count from 00:00:00 of the first day, local time."""
    return float(next(tables(path)).decimals(COLUMNS[0])[0] % 86_400)


def write_1(path: Path, blocks: Iterable[Requests]) -> None:
    """Whole seconds, as version 1 and 2 have them: the fraction is lost."""
    with open(path, "w", encoding="ascii", newline="\n") as file:
        file.write(",".join(COLUMNS) + "\n")
        for block in blocks:
            rows = zip(block.arrival_s.tolist(), block.input_tokens.tolist(), block.output_tokens.tolist(), strict=True)
            file.writelines(f"{int(t)},ChatGPT,{i},{o},{i + o},API log\n" for t, i, o in rows)


def write_3(path: Path, blocks: Iterable[Requests]) -> None:
    """Fractional seconds and sessions; requests of a session are conversations. Elapsed time is unknown: 0."""
    names = [COLUMNS[0], *SESSIONS, *COLUMNS[1:]]
    with open(path, "w", encoding="ascii", newline="\n") as file:
        file.write(",".join(names) + "\n")
        for block in blocks:
            columns = (block.arrival_s, block.session, block.input_tokens, block.output_tokens)
            for t, s, i, o in zip(*(column.tolist() for column in columns), strict=True):
                session, kind = (f"s{s}", "Conversation log") if s >= 0 else ("", "API log")
                file.write(f"{t!r},{session},0,ChatGPT,{i},{o},{i + o},{kind}\n")


def _is_first(head: Head) -> bool:
    return set(head.columns) == set(COLUMNS) and not head.parquet


def _is_third(head: Head) -> bool:
    return set(head.columns) == {*COLUMNS, *SESSIONS} and not head.parquet


_SHARED: dict[str, Any] = {"read": read, "midnight": midnight, "names": NAMES, "zeros_failed": True}
FORMATS = (
    Format("burstgpt", "BurstGPT 1 or 2", fits=_is_first, write=write_1, **_SHARED),
    Format("burstgpt-3", "BurstGPT 3, with sessions", fits=_is_third, write=write_3, **_SHARED),
)
