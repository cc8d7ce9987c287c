"""What load generators report: AIPerf's record export and vLLM's `bench serve --save-detailed`.

AIPerf: JSON lines, `metadata.request_start_ns` and `metrics.input_sequence_length`, `output_sequence_length`.
vLLM: one JSON object with the lists `input_lens`, `output_lens` and, in newer versions, `start_times` [s]. Rows with an
error, or without output, are failures, which a replay leaves out.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from infersim.workload.formats.format import Format, Head
from infersim.workload.jsonlines import MOST_TOKENS, Entry, Row, blocks_of, entries, shown, whole_object
from infersim.workload.requests import Requests, joined, requests
from infersim.workload.traces import TraceError


def read_aiperf(path: Path) -> Iterator[Requests]:
    """Records in the order of the file, the first at 0 s; conversations are sessions."""
    return blocks_of(_records(path))


def _records(path: Path) -> Iterator[Row]:
    first, sessions = None, dict[str, int]()
    for entry in entries(path):
        meta, metrics = (Entry(path, entry.line, _object(entry, key)) for key in ("metadata", "metrics"))
        start = meta.whole("request_start_ns", 0, 2**63 - 1)
        first = start if first is None else first
        failed = entry.data.get("error") is not None
        tokens = [0 if failed and key not in metrics.data else _value(metrics, key)
                  for key in ("input_sequence_length", "output_sequence_length")]  # fmt: skip
        name = meta.data.get("conversation_id")
        session = -1 if name is None else sessions.setdefault(str(name), len(sessions))
        yield Row(entry.line, (start - first) / 1e9, tokens[0], 0 if failed else tokens[1], session)


def _object(entry: Entry, key: str) -> dict[str, Any]:
    value = entry.get(key)
    return value if isinstance(value, dict) else entry.fail(key, f"found {shown(value)}; it is an object")


def _value(metrics: Entry, key: str) -> int:
    """A metric, plain or with its unit: {"value": 550, "unit": "tokens"}."""
    value = metrics.get(key)
    value = value.get("value") if isinstance(value, dict) else value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return Entry(metrics.path, metrics.line, {key: value}).whole(key)


def read_vllm(path: Path) -> Iterator[Requests]:
    """Requests in the order of their start."""
    data = whole_object(path)
    block = _lists(data, _seconds(path, data.get("start_times")))
    order = np.argsort(block.arrival_s, kind="stable")
    yield block.at(order).with_columns(arrival_s=block.arrival_s[order] - block.arrival_s.min())


def read_vllm_lengths(path: Path) -> Iterator[Requests]:
    """Lengths without times."""
    yield _lists(whole_object(path), None)


def _lists(data: Entry, times: np.ndarray | None) -> Requests:
    inputs, outputs = (_numbers(data, key) for key in ("input_lens", "output_lens"))
    times = np.full(inputs.size, np.nan) if times is None else times
    if not inputs.size or not inputs.size == outputs.size == times.size:
        found = f"found {inputs.size} input_lens, {outputs.size} output_lens, {times.size} start_times"
        raise TraceError(data.path, f"{found}; the lists have one entry for each request", 1)
    return requests(times, inputs, outputs, line=np.arange(1, inputs.size + 1))


def _numbers(entry: Entry, key: str) -> np.ndarray:
    values = entry.get(key)
    if not isinstance(values, list):
        entry.fail(key, f"found {shown(values)}; it is a list of token counts")
    for row, value in enumerate(values):
        if type(value) is not int or not 0 <= value <= MOST_TOKENS:
            entry.fail(key, f"entry {row + 1} is {shown(value)}; tokens are a whole number from 0 to {MOST_TOKENS}")
    return np.array(values, np.int64)


def _seconds(path: Path, values: Any) -> np.ndarray:
    if not isinstance(values, list) or not all(type(value) in (int, float) and abs(value) < 1e15 for value in values):
        raise TraceError(path, "is no list of seconds", 1, "start_times")
    return np.array(values, np.float64)


def write_aiperf(path: Path, blocks: Iterable[Requests]) -> None:
    """Records without what only a run measures, times rounded to nanoseconds; sessions are conversations."""
    number = 0
    with open(path, "w", encoding="ascii", newline="\n") as file:
        for block in blocks:
            starts = np.rint(block.arrival_s * 1e9).astype(np.int64)
            columns = (starts, block.input_tokens, block.output_tokens, block.session)
            for start, inputs, outputs, session in zip(*(column.tolist() for column in columns), strict=True):
                meta = {
                    "session_num": number,
                    "x_request_id": str(number),
                    "request_start_ns": start,
                    "benchmark_phase": "profiling",
                }
                meta |= {"conversation_id": str(session)} if session >= 0 else {}
                counts = {"input_sequence_length": inputs, "output_sequence_length": outputs}
                metrics = {name: {"value": value, "unit": "tokens"} for name, value in counts.items()}
                file.write(json.dumps({"metadata": meta, "metrics": metrics, "error": None}) + "\n")
                number += 1


def write_vllm(path: Path, blocks: Iterable[Requests]) -> None:
    """Lengths and start times, without what only a run measures; all requests are in memory."""
    _write_lists(path, joined(blocks), True)


def write_vllm_lengths(path: Path, blocks: Iterable[Requests]) -> None:
    """Lengths alone."""
    _write_lists(path, joined(blocks), False)


def _write_lists(path: Path, every: Requests, timed: bool) -> None:
    lists = {
        "num_prompts": len(every),
        "input_lens": every.input_tokens.tolist(),
        "output_lens": every.output_tokens.tolist(),
    }
    lists |= {"start_times": every.arrival_s.tolist()} if timed else {}
    path.write_text(json.dumps(lists) + "\n", encoding="ascii", newline="\n")


def _aiperf(head: Head) -> bool:
    return {"metadata", "metrics"} <= set(head.keys)


def _timed(head: Head) -> bool:
    return {"input_lens", "output_lens", "start_times"} <= set(head.keys)


def _untimed(head: Head) -> bool:
    return {"input_lens", "output_lens"} <= set(head.keys)


_VLLM = {"arrival_s": "start_times", "input_tokens": "input_lens", "output_tokens": "output_lens"}
_AIPERF = {
    "arrival_s": "request_start_ns", "input_tokens": "input_sequence_length", "output_tokens": "output_sequence_length"
}  # fmt: skip
FORMATS = (
    Format(
        "aiperf", "an AIPerf record export", read_aiperf, _aiperf, write_aiperf, zeros_failed=True, disordered=True, names=_AIPERF
    ),
    Format("vllm-bench", "a vLLM bench result", read_vllm, _timed, write_vllm, zeros_failed=True, names=_VLLM),
    Format("vllm-bench-lengths", "a vLLM bench result without start times", read_vllm_lengths, _untimed, write_vllm_lengths, clock="none",
           zeros_failed=True, names=_VLLM),
)  # fmt: skip
