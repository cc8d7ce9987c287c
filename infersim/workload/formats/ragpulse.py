"""RAGPulse (arXiv 2511.12979): JSON lines whose prompts are named by component, second 0 at 12:00 local time. MIT.

`{"timestamp": "seconds", "input_length", "output_length", "hash_ids": {five lists of component ids}, "session_id"}`.
Five JSONL files beside it (`1_sys_prompt.jsonl.gz` ..., or `TRACE_sys_prompt.jsonl` ...) say how long each component is; where they are, prompts get chained ids of 16-token
blocks, components in the published order. One published pair is out of order, so a replay sorts.
"""

import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import numpy as np

from infersim.workload.formats.format import Format, Head
from infersim.workload.jsonlines import Entry, Row, blocks_of, entries
from infersim.workload.prompts import block_ids, content_id
from infersim.workload.requests import Requests

BLOCK = 16
NAMES = {"arrival_s": "timestamp", "input_tokens": "input_length", "output_tokens": "output_length"}
COMPONENTS = {
    "sys_prompt": ("sys_prompt", "sys_prompt_id"),
    "passages_ids": ("passages", "passage_id"),
    "history": ("history", "history_id"),
    "web_search": ("web_search", "web_search_id"),
    "user_input": ("user_input", "user_input_id"),
}
"""Lists of a request in the order of the prompt, the file that has their lengths, and its key."""


def read(path: Path, block_tokens: int = BLOCK) -> Iterator[Requests]:
    """Requests; second 0 is noon of the first day, also where the first request comes later."""
    lengths = component_lengths(path)
    sessions: dict[str, int] = {}
    segments: list[list[tuple[int, int]]] = []

    def rows() -> Iterator[Row]:
        for entry in entries(path):
            session = sessions.setdefault(str(entry.get("session_id")), len(sessions))
            parts = components(entry)
            segments.append([(content, lengths[kind][number]) for kind, number, content in parts] if lengths else [])
            inputs, outputs = entry.whole("input_length"), entry.whole("output_length")
            yield Row(entry.line, _seconds(entry), inputs, outputs, session)

    for block in blocks_of(rows()):
        yield _named(block, segments[: len(block)], block_tokens)
        del segments[: len(block)]


def _named(block: Requests, segments: list[list[tuple[int, int]]], block_tokens: int) -> Requests:
    """The requests with the ids of their blocks, where lengths of components are known."""
    flat = np.array([pair for prompt in segments for pair in prompt], np.int64).reshape(-1, 2)
    counts, ids = block_ids(flat[:, 0], flat[:, 1], np.array([len(prompt) for prompt in segments]), block_tokens)
    if (counts > block.input_tokens // block_tokens).any():  # lengths sum to the prompt's within 5 %
        kept = np.minimum(counts, block.input_tokens // block_tokens)
        place = np.arange(ids.size) - np.repeat(np.cumsum(counts) - counts, counts)
        counts, ids = kept, ids[place < np.repeat(kept, counts)]
    return block.with_columns(prefix_blocks=counts, prefixes=ids)


def stem(path: Path) -> str:
    """The name of a trace without its endings, which the tables that were written with it begin with."""
    return path.name.removesuffix(".part").removesuffix(".gz").rpartition(".")[0] or path.name


def component_lengths(trace: Path) -> dict[str, dict[int, int]]:
    """Tokens of every component by kind, from the trace's own tables or those of its folder, as published; empty unless there are all five."""
    found: dict[str, dict[int, int]] = {}
    for kind, (name, key) in COMPONENTS.items():
        own = trace.with_name(f"{stem(trace)}_{name}.jsonl")
        files = [own] if own.is_file() else sorted(trace.parent.glob(f"[0-9]*_{name}.jsonl*"))
        if not files:
            return {}
        found[kind] = {entry.whole(key, 0, 2**62): entry.whole("token_length") for entry in entries(files[0])}
    return {kind: _Lengths(table) for kind, table in found.items()}


class _Lengths(dict[int, int]):
    def __missing__(self, number: int) -> int:
        return 0  # a component without a length adds none; the sums are within 5 % of the prompt anyway


def _seconds(entry: Entry) -> float:
    value = entry.get("timestamp")
    if not isinstance(value, str) or not value.isascii() or not value.isdigit() or len(value) > 12:
        entry.fail("timestamp", f'found {value!r:.40}; it is whole seconds as text, like "82"')
    return float(value)


def components(entry: Entry) -> list[tuple[str, int, int]]:
    """(kind, id, content) in the order of the prompt."""
    lists = entry.get("hash_ids")
    if not isinstance(lists, dict) or not set(lists) <= set(COMPONENTS):
        entry.fail("hash_ids", f"found {str(lists)[:60]}; it is an object of {', '.join(COMPONENTS)}")
    inner = Entry(entry.path, entry.line, lists)
    return [
        (kind, number, _content(place, number))
        for place, kind in enumerate(COMPONENTS)
        if kind in lists
        for number in inner.ids(kind)
    ]


@cache
def _content(place: int, number: int) -> int:
    return int(content_id(place, number)[0])


def midnight(path: Path) -> float:
    """Second 0 is noon."""
    return 12 * 3600.0


def write(path: Path, blocks: Iterable[Requests]) -> None:
    """Whole seconds from noon (fractions are lost), and the five tables of lengths beside it, named after the file.

    What a workload knows of a prompt is which of its blocks it shares, not its components: so each known block is a
    passage of its own, and the rest of the prompt a user input that nobody else has. A request without a session gets one of its own.
    """
    numbers, tables = dict[int, int](), {kind: dict[int, int]() for kind in COMPONENTS}
    number = 0
    with open(path, "w", encoding="ascii", newline="\n") as file:
        for block in blocks:
            ends = np.cumsum(block.prefix_blocks).tolist()
            counts = block.prefix_blocks.tolist()
            rows = zip(
                *(c.tolist() for c in (block.arrival_s, block.input_tokens, block.output_tokens, block.session)),
                strict=True,
            )
            for row, (time, inputs, outputs, session) in enumerate(rows):
                known = block.prefixes[ends[row] - counts[row] : ends[row]].tolist()[: inputs // BLOCK]
                passages = [numbers.setdefault(one, len(numbers)) for one in known]
                tables["passages_ids"] |= dict.fromkeys(passages, BLOCK)
                rest = inputs - BLOCK * len(passages)
                tables["user_input"] |= {number: rest} if rest else {}
                lists: dict[str, list[int]] = {kind: [] for kind in COMPONENTS}
                lists["passages_ids"], lists["user_input"] = passages, [number] if rest else []
                data = {"timestamp": str(int(time)), "input_length": inputs, "output_length": outputs, "hash_ids": lists,
                        "session_id": f"s{session}" if session >= 0 else f"r{number}"}  # fmt: skip
                file.write(json.dumps(data) + "\n")
                number += 1
    for kind, (name, key) in COMPONENTS.items():
        _write_table(path.with_name(f"{stem(path)}_{name}.jsonl"), key, tables[kind])


def _write_table(path: Path, key: str, lengths: dict[int, int]) -> None:
    """One table of lengths; where no request has such a component, one that nobody uses."""
    with open(path, "w", encoding="ascii", newline="\n") as file:
        file.writelines(
            json.dumps({key: number, "token_length": n}) + "\n" for number, n in (lengths or {0: 1}).items()
        )


def _fits(head: Head) -> bool:
    return {"timestamp", "input_length", "hash_ids", "session_id"} <= set(head.keys) and isinstance(
        head.first["hash_ids"], dict
    )


FORMATS = (
    Format(
        "ragpulse", "a RAGPulse trace (components; 16-token blocks where their lengths are beside it)", read, _fits,
        write, BLOCK, "floor", disordered=True, midnight=midnight, names=NAMES,
    ),
)  # fmt: skip
