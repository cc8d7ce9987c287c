"""Bailian (qwen-bailian-usagetraces-anon): JSON lines with chats, turns and ids of 16-token blocks. Apache-2.0.

`chat_id, parent_chat_id (-1 begins a session), timestamp, input_length, output_length, type, turn, hash_ids`. Blocks
are hashed after the chat template, so their number may differ a little from the prompt's; ids beyond it are dropped.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from infersim.workload.formats.format import Format, Head
from infersim.workload.formats.mooncake import whole_prompts
from infersim.workload.jsonlines import Row, blocks_of, entries
from infersim.workload.requests import Requests

BLOCK = 16
NAMES = {"arrival_s": "timestamp", "input_tokens": "input_length", "output_tokens": "output_length"}
KEYS = ("chat_id", "parent_chat_id", "timestamp", "input_length", "output_length", "type", "turn", "hash_ids")


def read(path: Path) -> Iterator[Requests]:
    """Requests, the first at 0 s; the session is the chat that its first turn has."""
    return blocks_of(_rows(path))


def _rows(path: Path) -> Iterator[Row]:
    first, session_of = None, dict[int, int]()
    for entry in entries(path):
        time = entry.number("timestamp")
        first = time if first is None else first
        chat, parent = entry.whole("chat_id", 0, 2**62), entry.whole("parent_chat_id", -1, 2**62)
        session_of[chat] = session_of.get(parent, parent if parent >= 0 else chat)
        inputs = entry.whole("input_length")
        blocks = entry.ids("hash_ids")[: -(-inputs // BLOCK)]
        yield Row(entry.line, time - first, inputs, entry.whole("output_length"), session_of[chat], blocks)


def write(path: Path, blocks: Iterable[Requests]) -> None:
    """Type text; turns count within a session; what is not known of a prompt gets ids that occur once."""
    last: dict[int, tuple[int, int]] = {}
    with open(path, "w", encoding="ascii", newline="\n") as file:
        for chat, (time, inputs, outputs, session, ids) in enumerate(whole_prompts(blocks, BLOCK)):
            parent, turn = last.get(session, (-1, 0)) if session >= 0 else (-1, 0)
            last[session] = chat, turn + 1
            values = (chat, parent, time, inputs, outputs, "text", turn + 1, ids)
            file.write(json.dumps(dict(zip(KEYS, values, strict=True))) + "\n")


def _fits(head: Head) -> bool:
    return {"chat_id", "parent_chat_id", "hash_ids", "timestamp"} <= set(head.keys)


FORMATS = (Format("bailian", "a Bailian trace (16-token blocks)", read, _fits, write, BLOCK, "ceil", names=NAMES),)
