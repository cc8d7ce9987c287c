"""Mooncake (FAST 2025): JSON lines with a clock in milliseconds and ids of 512-token prefix blocks. Apache-2.0.

`{"timestamp": ms, "input_length": n, "output_length": n, "hash_ids": [...]}`; the k-th id stands for the prompt up to
the end of its k-th block of 512 tokens, the last one partial, so a prompt has ceil(input_length / 512). The block size
is not in the file. Older AIPerf and vLLM trace replays use the same lines; hash_ids may then be missing.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from infersim.workload.formats.format import Format, Head
from infersim.workload.jsonlines import Row, blocks_of, entries
from infersim.workload.requests import Requests

BLOCK = 512
NAMES = {"arrival_s": "timestamp", "input_tokens": "input_length", "output_tokens": "output_length"}


def read(path: Path) -> Iterator[Requests]:
    """Requests, the first at 0 s."""
    return blocks_of(_rows(path))


def _rows(path: Path) -> Iterator[Row]:
    first = None
    for entry in entries(path):
        time = entry.number("timestamp")
        first = time if first is None else first
        inputs, outputs = entry.whole("input_length"), entry.whole("output_length")
        blocks = entry.ids("hash_ids") if "hash_ids" in entry.data else []
        if blocks and len(blocks) != -(-inputs // BLOCK):
            problem = f"found {len(blocks)} blocks for {inputs} tokens; blocks of {BLOCK} are {-(-inputs // BLOCK)}"
            entry.fail("hash_ids", problem)
        yield Row(entry.line, (time - first) / 1000, inputs, outputs, blocks=blocks)


def write(path: Path, blocks: Iterable[Requests]) -> None:
    """Times rounded to milliseconds; what is not known of a prompt gets ids that occur once."""
    with open(path, "w", encoding="ascii", newline="\n") as file:
        for time, inputs, outputs, _, ids in whole_prompts(blocks, BLOCK):
            data = {"timestamp": round(time * 1000), "input_length": inputs, "output_length": outputs, "hash_ids": ids}
            file.write(json.dumps(data) + "\n")


def whole_prompts(blocks: Iterable[Requests], tokens: int) -> Iterator[tuple[float, int, int, int, list[int]]]:
    """Arrival, lengths, session and an id for every block of every prompt, numbered in the order of appearance."""
    numbers: dict[int, int] = {}
    used = 0
    for block in blocks:
        ends = np.cumsum(block.prefix_blocks).tolist()
        columns = (block.arrival_s, block.input_tokens, block.output_tokens, block.session, block.prefix_blocks)
        for row, (time, inputs, outputs, session, count) in enumerate(
            zip(*(column.tolist() for column in columns), strict=True)
        ):
            ids = []
            for known in block.prefixes[ends[row] - count : ends[row]].tolist():
                used += known not in numbers
                ids.append(numbers.setdefault(known, used - 1))
            fresh = -(-inputs // tokens) - len(ids)
            yield time, inputs, outputs, session, [*ids[: len(ids) + min(fresh, 0)], *range(used, used + fresh)]
            used += max(0, fresh)


def _fits(head: Head) -> bool:
    return {"timestamp", "input_length", "output_length"} <= set(head.keys) <= {*NAMES.values(), "hash_ids"}


FORMATS = (
    Format(
        "mooncake", "a Mooncake trace (512-token blocks, the last one partial)", read, _fits, write, BLOCK, "ceil",
        names=NAMES,
    ),
)  # fmt: skip
