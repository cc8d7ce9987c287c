"""Vidur's processed traces (arrived_at and tokens), tables of lengths (Sarathi's ShareGPT), and APEX+ offsets.

CSV. Vidur and APEX+ are MIT, Sarathi-Serve is Apache-2.0. A table of lengths has no times and cannot be replayed;
`distribution: empirical` draws from it.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from infersim.workload.delimited import tables
from infersim.workload.formats.format import Format, Head
from infersim.workload.requests import Requests, requests

TIMED = ("arrived_at", "num_prefill_tokens", "num_decode_tokens")
LENGTHS = TIMED[1:]
EXTRA = ("num_total_tokens", "pd_ratio")
APEX = ("ContextTokens", "GeneratedTokens", "StartTimeOffset")
APEX_EXTRA = ("RequestID", "TotalTokens")


def read_timed(path: Path) -> Iterator[Requests]:
    """Requests, the first at 0 s."""
    first = None
    for table in tables(path, TIMED, "a Vidur trace", EXTRA):
        times = table.decimals(TIMED[0], what="seconds are")
        first = times[0] if first is None else first
        inputs, outputs = (table.whole_numbers(name, 0) for name in LENGTHS)
        yield requests(times - first, inputs, outputs, line=table.lines)


def read_lengths(path: Path) -> Iterator[Requests]:
    """Lengths without times."""
    for table in tables(path, LENGTHS, "a table of lengths", EXTRA):
        inputs, outputs = (table.whole_numbers(name, 0) for name in LENGTHS)
        yield requests(np.full(table.rows, np.nan), inputs, outputs, line=table.lines)


def read_apex(path: Path) -> Iterator[Requests]:
    """Requests with offsets in nanoseconds, the first at 0 s."""
    first = None
    for table in tables(path, APEX, "an APEX+ trace", APEX_EXTRA):
        offsets = table.whole_numbers(APEX[2], 0, 2**62, "nanoseconds are")
        first = offsets[0] if first is None else first
        inputs, outputs = (table.whole_numbers(name, 0) for name in APEX[:2])
        yield requests((offsets - first) / 1e9, inputs, outputs, line=table.lines)


def write_timed(path: Path, blocks: Iterable[Requests]) -> None:
    """Seconds as they are, to the last digit."""
    with open(path, "w", encoding="ascii", newline="\n") as file:
        file.write(",".join(TIMED) + "\n")
        for block in blocks:
            rows = zip(block.arrival_s.tolist(), block.input_tokens.tolist(), block.output_tokens.tolist(), strict=True)
            file.writelines(f"{time!r},{prompt},{output}\n" for time, prompt, output in rows)


def write_lengths(path: Path, blocks: Iterable[Requests]) -> None:
    """Lengths, their sum and their ratio; times are lost."""
    with open(path, "w", encoding="ascii", newline="\n") as file:
        file.write(",".join([*LENGTHS, *EXTRA]) + "\n")
        for block in blocks:
            rows = zip(block.input_tokens.tolist(), block.output_tokens.tolist(), strict=True)
            file.writelines(f"{prompt},{output},{prompt + output},{prompt / output!r}\n" for prompt, output in rows)


def write_apex(path: Path, blocks: Iterable[Requests]) -> None:
    """Offsets rounded to nanoseconds; requests numbered in their order."""
    number = 0
    with open(path, "w", encoding="ascii", newline="\n") as file:
        file.write(",".join([*APEX[:2], *APEX_EXTRA, APEX[2]]) + "\n")
        for block in blocks:
            offsets = np.rint(block.arrival_s * 1e9).astype(np.int64).tolist()
            rows = zip(block.input_tokens.tolist(), block.output_tokens.tolist(), offsets, strict=True)
            file.writelines(f"{i},{o},{k},{i + o},{at}\n" for k, (i, o, at) in enumerate(rows, number))
            number += len(block)


def _timed(head: Head) -> bool:
    return set(TIMED) <= set(head.columns) <= {*TIMED, *EXTRA} and not head.parquet


def _lengths(head: Head) -> bool:
    return set(LENGTHS) <= set(head.columns) <= {*LENGTHS, *EXTRA} and not head.parquet


def _apex(head: Head) -> bool:
    return set(APEX) <= set(head.columns) <= {*APEX, *APEX_EXTRA} and not head.parquet


_NAMES = dict(zip(("arrival_s", "input_tokens", "output_tokens"), TIMED, strict=True))
_APEX_NAMES = {"arrival_s": APEX[2], "input_tokens": APEX[0], "output_tokens": APEX[1]}
FORMATS = (
    Format("vidur", "a Vidur trace", read_timed, _timed, write_timed, names=_NAMES),
    Format(
        "lengths", "a table of lengths (ShareGPT as Sarathi-Serve has it)", read_lengths, _lengths, write_lengths,
        clock="none", names=_NAMES,
    ),
    Format("apex", "an APEX+ trace", read_apex, _apex, write_apex, names=_APEX_NAMES),
)  # fmt: skip
