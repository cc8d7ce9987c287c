"""Azure LLM inference traces: 2023 (Splitwise, ISCA 2024), the week of 2024 (DynamoLLM, HPCA 2025), multimodal 2024/25.

CSV with TIMESTAMP,ContextTokens,GeneratedTokens, the multimodal one with NumImages as well. 2023 has naive times with
seven decimals, 2024 has +00:00 and leaves out a fraction of zero, the multimodal trace has T and Z; all are read alike,
exactly, in ticks of 100 ns. CC-BY-4.0.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from infersim.workload.delimited import TICKS_PER_SECOND, tables
from infersim.workload.formats.format import Format, Head
from infersim.workload.requests import Requests, requests

COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
IMAGES = "NumImages"
NAMES = dict(zip(("arrival_s", "input_tokens", "output_tokens"), COLUMNS, strict=True))
DAY = 86_400 * TICKS_PER_SECOND
EPOCH_2023 = np.datetime64("2023-11-16T18:00:00", "us")
EPOCH_LMM = np.datetime64("2024-10-15T12:00:00", "ms")
EPOCH_2024 = np.datetime64("2024-05-10T00:00:00", "us")


def read(path: Path) -> Iterator[Requests]:
    """Requests of an Azure file, the first at 0 s; images are counted in the prompt's tokens by the trace itself."""
    first = None
    for table in tables(path, COLUMNS, "an Azure trace", (IMAGES,)):
        ticks = table.instants(COLUMNS[0])
        first = ticks[0] if first is None else first
        inputs, outputs = (table.whole_numbers(column, 0) for column in COLUMNS[1:])
        images = table.whole_numbers(IMAGES, 0, 1_000_000, "images are") if IMAGES in table.columns else None
        yield requests((ticks - first) / TICKS_PER_SECOND, inputs, outputs, line=table.lines, images=images)


def midnight(path: Path) -> float:
    """Seconds after midnight of the first request."""
    return float(next(tables(path)).instants(COLUMNS[0])[0] % DAY / TICKS_PER_SECOND)


def write_2023(path: Path, blocks: Iterable[Requests]) -> None:
    """Naive times with seven decimals, beginning on 16 November 2023 at 18:00."""
    _write(path, blocks, lambda ticks: _dates(EPOCH_2023, ticks, " ", True))


def write_2024(path: Path, blocks: Iterable[Requests]) -> None:
    """Times in microseconds with +00:00, a fraction of zero left out, beginning on 10 May 2024 at 00:00."""
    _write(path, blocks, lambda ticks: [f"{text}+00:00" for text in _dates(EPOCH_2024, ticks, " ", False)])


def write_multimodal(path: Path, blocks: Iterable[Requests]) -> None:
    """Times rounded to milliseconds, beginning on 15 October 2024 at 12:00; images as the workload has them, else 0."""
    with open(path, "w", encoding="ascii", newline="\n") as file:
        file.write(",".join([COLUMNS[0], IMAGES, *COLUMNS[1:]]) + "\n")
        for block in blocks:
            whole = np.rint(block.arrival_s * 1000).astype("timedelta64[ms]")
            stamps = np.datetime_as_string(EPOCH_LMM + whole, unit="ms").tolist()
            images = block.images if block.images.size else np.zeros(len(block), np.int64)
            columns = (column.tolist() for column in (images, block.input_tokens, block.output_tokens))
            file.writelines(f"{stamp}Z,{n},{i},{o}\n" for stamp, n, i, o in zip(stamps, *columns, strict=True))


def _write(path: Path, blocks: Iterable[Requests], stamps) -> None:  # type: ignore[no-untyped-def]  # ticks to texts
    with open(path, "w", encoding="ascii", newline="\n") as file:
        file.write(",".join(COLUMNS) + "\n")
        for block in blocks:
            ticks = np.rint(block.arrival_s * TICKS_PER_SECOND).astype(np.int64)
            rows = zip(stamps(ticks), block.input_tokens.tolist(), block.output_tokens.tolist(), strict=True)
            file.writelines(f"{stamp},{prompt},{output}\n" for stamp, prompt, output in rows)


def _dates(epoch: np.datetime64, ticks: np.ndarray, separator: str, seven: bool) -> list[str]:
    whole = np.datetime_as_string(epoch + (ticks // 10).astype("timedelta64[us]"), unit="us")
    texts = [text.replace("T", separator) for text in whole.tolist()]
    if seven:
        return [f"{text}{last}" for text, last in zip(texts, (ticks % 10).tolist(), strict=True)]
    return [text.removesuffix(".000000") for text in texts]


def _first_time(head: Head) -> str:
    return head.rows[0].split(",")[head.columns.index(COLUMNS[0])] if head.rows else ""


def _is_azure(head: Head) -> bool:
    return set(head.columns) == set(COLUMNS)


def _naive(head: Head) -> bool:
    return _is_azure(head) and "+" not in _first_time(head)


def _zoned(head: Head) -> bool:
    return _is_azure(head) and "+" in _first_time(head)


def _multimodal(head: Head) -> bool:
    return set(head.columns) == {*COLUMNS, IMAGES}


_SHARED: dict[str, Any] = {"read": read, "midnight": midnight, "names": NAMES}
FORMATS = (
    Format("azure-2023", "the Azure LLM inference trace 2023", fits=_naive, write=write_2023, **_SHARED),
    Format("azure-2024", "the Azure LLM inference trace 2024 (a week)", fits=_zoned, write=write_2024, **_SHARED),
    Format("azure-lmm", "the Azure multimodal inference trace", fits=_multimodal, write=write_multimodal, **_SHARED),
)
