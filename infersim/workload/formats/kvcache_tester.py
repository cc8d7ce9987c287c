"""kv-cache-tester (WEKA): recorded coding-agent sessions, one JSON object each, with 64-token blocks. Apache-2.0.

A file holds one session, or one a line; or the flat Parquet form (a row a request, block ids run-length coded).
Block ids are local to a session, and only whole blocks are named. Times count from a session's start, so a replay needs
a rate of sessions. Sub-agents run inside a session from when they are spawned; the row that spawns one is no request.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any

import numpy as np

from infersim.workload.columnar import batches
from infersim.workload.formats.format import Format, Head
from infersim.workload.jsonlines import Entry, Row, blocks_of, entries, whole_object
from infersim.workload.requests import Requests, requests
from infersim.workload.traces import TraceError, byte_blocks

BLOCK = 64
OF_A_SESSION = 1 << 32
"""Block ids of different sessions do not meet."""
MODEL = "infersim"
Call = tuple[float, float, int, int, list[int]]
"""Time from the session's start and since the call before [s], prompt and output tokens, ids of whole blocks."""
FLAT = ("trace", "path", "seq", "t", "type", "input_tokens", "output_tokens", "hash_start", "hash_len")


def read(path: Path) -> Iterator[Requests]:
    """Calls of all sessions, session after session, times from the session's start."""
    return blocks_of(
        row for number, entry in enumerate(sessions(path)) for row in _calls(entry, number, 0.0, entry.get("requests"))
    )


def sessions(path: Path) -> Iterator[Entry]:
    """One object a line, or the whole file as one object."""
    try:
        json.loads(next(byte_blocks(path)).lstrip().partition(b"\n")[0])
    except ValueError:
        yield whole_object(path)
        return
    yield from entries(path)


def _calls(session: Entry, number: int, start_s: float, calls: Any) -> Iterator[Row]:
    """The calls of an agent and, where they are spawned, of its sub-agents."""
    if session.data.get("block_size", BLOCK) != BLOCK:
        session.fail("block_size", f"found {session.data['block_size']}; kv-cache-tester has {BLOCK}")
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        session.fail("requests", "is no list of objects")
    for data in calls:
        call = Entry(session.path, session.line, data)
        time = start_s + call.number("t")
        if call.get("type") == "subagent":
            yield from _calls(session, number, time, call.get("requests"))
            continue
        inputs, ids = call.whole("in"), call.ids("hash_ids")
        if len(ids) != inputs // BLOCK:
            call.fail(
                "hash_ids",
                f"found {len(ids)} blocks for {inputs} tokens; whole blocks of {BLOCK} are {inputs // BLOCK}",
            )
        if ids and max(ids) >= OF_A_SESSION:
            call.fail("hash_ids", f"found {max(ids)}; an id is below {OF_A_SESSION}")
        blocks = [number * OF_A_SESSION + block for block in ids]
        yield Row(call.line, time, inputs, call.whole("out"), number, blocks)


def write(path: Path, blocks: Iterable[Requests]) -> None:
    """A session a line, in the order in which they begin; when it began is lost, and all sessions are in memory until the end.

    A request without a session is one by itself. Blocks that are not known get ids that occur once. What a workload
    does not know is `infersim` (the model) or null (why an answer stopped, and how long it took: the time that its client waits
    counts from the call before).
    """
    with open(path, "w", encoding="ascii", newline="\n") as file:
        for number, calls in enumerate(_by_session(blocks)):
            entries = [
                {"t": time, "type": "s", "model": MODEL, "in": inputs, "out": outputs, "hash_ids": ids, "input_types": ["text"],
                 "output_types": ["text"], "stop": None, "think_time": think, "api_time": None}
                for time, think, inputs, outputs, ids in calls
            ]  # fmt: skip
            totals = {
                "requests": len(calls),
                "input_tokens": sum(c[2] for c in calls),
                "output_tokens": sum(c[3] for c in calls),
            }
            session = {"id": f"trace_{number:04d}", "models": [MODEL], "block_size": BLOCK, "hash_id_scope": "local",
                       "tool_tokens": 0, "system_tokens": 0, "requests": entries, "totals": totals}  # fmt: skip
            file.write(json.dumps(session) + "\n")


def write_flat(path: Path, blocks: Iterable[Requests]) -> None:
    """The same as a row a request, with runs of ids."""
    import pyarrow
    import pyarrow.parquet

    text, whole, real = pyarrow.string(), pyarrow.int64(), pyarrow.float64()
    kinds = {"trace": text, "path": text, "seq": whole, "t": real, "type": text, "model": text, "input_tokens": whole,
             "output_tokens": whole, "n_blocks": whole, "shared_prev": whole, "api_time": real, "think_time": real, "stop": text,
             "hash_start": pyarrow.list_(whole), "hash_len": pyarrow.list_(whole)}  # fmt: skip
    rows = []
    for number, calls in enumerate(_by_session(blocks)):
        before: list[int] = []
        for place, (time, think, inputs, outputs, ids) in enumerate(calls):
            begins = [k for k in range(len(ids)) if k == 0 or ids[k] != ids[k - 1] + 1]
            lengths = [end - begin for begin, end in pairwise([*begins, len(ids)])]
            shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, ids, strict=False)))
            rows.append((f"trace_{number:04d}", "", place, time, "s", MODEL, inputs, outputs, len(ids), shared, None, think,
                         "", [ids[k] for k in begins], lengths))  # fmt: skip
            before = ids
    columns = zip(*rows, strict=True) if rows else [()] * len(kinds)
    arrays = [pyarrow.array(list(column), kind) for column, kind in zip(columns, kinds.values(), strict=True)]
    pyarrow.parquet.write_table(pyarrow.table(dict(zip(kinds, arrays, strict=True))), path, compression="zstd")


def _by_session(blocks: Iterable[Requests]) -> list[list[Call]]:
    """The calls of each session; ids of blocks are numbers within it, from 0 in their order."""
    calls, known, begun, last = list[list[Call]](), list[dict[int, int]](), list[float](), list[float]()
    place: dict[int, int] = {}
    for block in blocks:
        ends, counts = np.cumsum(block.prefix_blocks).tolist(), block.prefix_blocks.tolist()
        columns = (block.arrival_s, block.input_tokens, block.output_tokens, block.session)
        for row, (time, inputs, outputs, session) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
            number = place.setdefault(session, len(calls)) if session >= 0 else len(calls)
            if number == len(calls):
                calls.append([])
                known.append({})
                begun.append(time)
                last.append(time)
            ids = known[number]
            named = block.prefixes[ends[row] - counts[row] : ends[row]].tolist()[: inputs // BLOCK]
            fresh = [-1 - len(ids) - k for k in range(inputs // BLOCK - len(named))]
            local = [ids.setdefault(one, len(ids)) for one in (*named, *fresh)]
            calls[number].append((time - begun[number], time - last[number], inputs, outputs, local))
            last[number] = time
    return calls


def read_flat(path: Path) -> Iterator[Requests]:
    """The same from the flat form, whose rows of a sub-agent follow the row that spawns it; the line is the row."""
    numbers: dict[str, int] = {}
    starts: dict[tuple[str, str], float] = {}
    spawned = 0.0
    for batch in batches(path, FLAT):
        calls = np.array([kind != "subagent" for kind in batch.texts("type")])
        times = batch.numbers("t").copy()
        session = np.empty(len(batch), np.int64)
        for row, (trace, agent) in enumerate(zip(batch.texts("trace"), batch.texts("path"), strict=True)):
            if trace is None or agent is None:
                raise TraceError(path, "found nothing; every row names trace and path", int(batch.lines[row]), "trace")
            session[row] = numbers.setdefault(trace, len(numbers))
            start = starts.setdefault((trace, agent), spawned if agent else 0.0)
            times[row] += start
            spawned = spawned if calls[row] else float(times[row])
        kept = batch.where(calls)
        inputs, outputs = (kept.whole_numbers(name, 0, 10**9) for name in ("input_tokens", "output_tokens"))
        whole = requests(times[calls], inputs, outputs, session=session[calls], line=kept.lines)
        yield _with_runs(whole, *kept.lists("hash_start"), *kept.lists("hash_len"))


def _with_runs(block: Requests, runs: np.ndarray, starts: np.ndarray, _: np.ndarray, lengths: np.ndarray) -> Requests:
    """Block ids out of runs of (first id, how many)."""
    owner = np.repeat(np.arange(len(block)), runs)
    counts = np.bincount(owner, lengths, minlength=len(block)).astype(np.int64)
    inside = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    ids = np.repeat(starts + block.session[owner] * OF_A_SESSION, lengths) + inside
    return block.with_columns(prefix_blocks=counts, prefixes=ids)


def _fits(head: Head) -> bool:
    return {"id", "block_size", "hash_id_scope", "requests"} <= set(head.keys)


def _is_flat(head: Head) -> bool:
    return head.parquet and set(FLAT) <= set(head.columns)


_SHARED: dict[str, Any] = {"block_tokens": BLOCK, "blocks": "floor", "clock": "session", "zeros_failed": True}
FORMATS = (
    Format("kv-cache-tester", "a kv-cache-tester recording (64-token blocks)", read, _fits, write, **_SHARED),
    Format(
        "kv-cache-tester-flat", "kv-cache-tester sessions in a flat table", read_flat, _is_flat, write_flat, **_SHARED
    ),
)
