"""Trace formats, one a file: what each looks like, how it is read and written, and which one a file is.

Start with `format.py` (what a format is); `azure.py` is the simplest. `replay.py` above makes a workload of them.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infersim.workload.formats import (
    azure,
    bailian,
    bench,
    burstgpt,
    kvcache_tester,
    mooncake,
    plain,
    ragpulse,
    vidur,
)
from infersim.workload.formats.format import Format, head_of
from infersim.workload.traces import TraceError, find_trace

FORMATS: tuple[Format, ...] = (
    *azure.FORMATS, *burstgpt.FORMATS, *mooncake.FORMATS, *bailian.FORMATS, *ragpulse.FORMATS,
    *kvcache_tester.FORMATS, *vidur.FORMATS, *bench.FORMATS, *plain.FORMATS,
)  # fmt: skip
"""All formats, in the order in which they are tried."""


def format_of(path: Path) -> Format:
    """The format of a file, by its content alone; TraceError with what was found if it is none."""
    head = head_of(path)
    for candidate in FORMATS:
        if candidate.fits(head):
            return candidate
    found = f"columns {', '.join(head.columns[:12])}" if head.columns else f"keys {', '.join(head.keys[:12])}"
    known = ", ".join(candidate.name for candidate in FORMATS)
    plain = "arrival_s,input_tokens,output_tokens"
    raise TraceError(path, f"is of no known format: found {found}; known are {known}; a plain CSV has {plain}", line=1)


def format_named(name: str) -> Format:
    """A format by its name; ValueError with the known names if there is none."""
    for candidate in FORMATS:
        if candidate.name == name:
            return candidate
    if name == "servegen":
        what = "servegen holds rates and lengths of clients in windows, not requests"
        raise ValueError(f"{what}; write csv, or keep the scenario, whose arrivals can be of process servegen")
    raise ValueError(f"no trace format is called {name}; known are {', '.join(kind.name for kind in FORMATS)}")


def block_tokens_of(path: Path, kind: Format) -> int:
    """Tokens in a prefix block of a file; 0 where it has none."""
    return kind.block_tokens if isinstance(kind.block_tokens, int) else kind.block_tokens(head_of(path))


def length_table(file: str, column: str, directory: Path | None) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Distinct token counts of a column of a trace and how often each occurs, zeros left out."""
    path = find_trace(file, directory)
    counts: dict[int, int] = {}
    for block in format_of(path).read(path):
        values, times = np.unique(getattr(block, column), return_counts=True)
        for value, count in zip(values.tolist(), times.tolist(), strict=True):
            counts[value] = counts.get(value, 0) + count
    counts.pop(0, None)
    if not counts:
        raise TraceError(path, f"has no {column} above 0", column=column)
    found = sorted(counts)
    return np.array(found, np.int64), np.array([counts[value] for value in found], np.float64)
