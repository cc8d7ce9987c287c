"""What some formats tell beyond requests: RAGPulse's components, and how agents of kv-cache-tester call.

Not here: what every trace is asked (`inspect.py`).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from infersim.workload.columnar import batches
from infersim.workload.formats import kvcache_tester, ragpulse
from infersim.workload.jsonlines import Entry, entries

Details = dict[str, float | dict[str, float]]


def details(path: Path, name: str) -> Details:
    """What a file of the format `name` tells beyond requests; nothing for most formats. Raises TraceError."""
    return _READERS[name](path) if name in _READERS else {}


def components(path: Path) -> Details:
    """Passages of a request, each component's share of the tokens, and the tokens whose component and all before recur.

    The last two need the files with the components' lengths beside the trace.
    """
    lengths = ragpulse.component_lengths(path)
    tokens: Counter[str] = Counter()
    seen: set[tuple[Any, ...]] = set()
    requests = passages = repeated = 0
    for entry in entries(path):
        parts = ragpulse.components(entry)
        requests += 1
        passages += sum(kind == "passages_ids" for kind, _, _ in parts)
        if lengths:
            tokens.update({kind: 0 for kind, _, _ in parts})
            for kind, number, _ in parts:
                tokens[kind] += lengths[kind][number]
            repeated += _repeated(parts, lengths, seen)
    total = sum(tokens.values())
    found: Details = {"passages_per_request": passages / max(1, requests)}
    if total:
        found["token_share"] = {kind: tokens[kind] / total for kind in ragpulse.COMPONENTS}
        found["reuse_of_components"] = repeated / total
    return found


def _repeated(parts: list[tuple[str, int, int]], lengths: dict[str, dict[int, int]], seen: set[tuple[Any, ...]]) -> int:
    """Tokens of the leading components that an earlier prompt began with too; remembers the prompt's beginnings."""
    prefix: tuple[Any, ...] = ()
    found, known = 0, True
    for kind, number, content in parts:
        prefix = (hash(prefix), content)
        known = known and prefix in seen
        found += lengths[kind][number] if known else 0
        seen.add(prefix)
    return found


class Call(NamedTuple):
    """One call of an agent."""

    session: Any
    blocks: int
    shared: int
    """Leading blocks that are those of the call before of the same agent."""
    api_time_s: float
    think_time_s: float
    stop: str
    """Why the answer ended; empty where unknown."""


def calls(of_file: Iterable[Call]) -> Details:
    """Calls of coding agents: what is new in a prompt, how long provider and user take, and why answers end.

    New tokens (in whole blocks) and reuse are those of calls that are not the first of their session. A provider's
    or user's time that was not recorded is left out.
    """
    rows = list(of_file)
    sessions, first = set(), np.zeros(len(rows), bool)
    for place, row in enumerate(rows):
        first[place] = row.session not in sessions
        sessions.add(row.session)
    blocks, shared, api_s, think_s = (np.array([row[k] for row in rows], float) for k in range(1, 5))
    later = ~first & (blocks > 0)
    stops = Counter(row.stop or "unknown" for row in rows)
    return {
        "new_tokens": _spread(kvcache_tester.BLOCK * (blocks - shared)[later]),
        "reuse_of_last_call": _spread((shared / np.maximum(blocks, 1))[later], (50,)) | {
            "of_blocks": float(shared.sum() / max(1.0, blocks.sum()))},
        "api_time_s": _spread(api_s[np.isfinite(api_s)]),
        "think_time_s": _spread(think_s[np.isfinite(think_s)]),
        "stop": {name: count / len(rows) for name, count in stops.most_common(4)},
    }  # fmt: skip


def _spread(values: np.ndarray, shares: tuple[int, ...] = (50, 90, 99)) -> dict[str, float]:
    """Mean and quantiles."""
    if not values.size:
        return {}
    quantiles = np.percentile(values, shares).tolist()
    return {"mean": float(values.mean())} | {f"p{share}": q for share, q in zip(shares, quantiles, strict=True)}


def _flat_calls(path: Path) -> Iterator[Call]:
    columns = ("trace", "type", "n_blocks", "shared_prev", "api_time", "think_time", "stop")
    for batch in batches(path, columns):
        kept = batch.where(np.array([kind != "subagent" for kind in batch.texts("type")]))
        counts = (kept.whole_numbers(name, 0, 10**9).tolist() for name in ("n_blocks", "shared_prev"))
        times = (_seconds(kept.texts(name)) for name in ("api_time", "think_time"))
        stops = [stop or "" for stop in kept.texts("stop")]
        yield from map(Call, kept.texts("trace"), *counts, *times, stops)


def _seconds(texts: list[str | None]) -> list[float]:
    return [float("nan") if text is None else float(text) for text in texts]


def _recorded_calls(path: Path) -> Iterator[Call]:
    for number, session in enumerate(kvcache_tester.sessions(path)):
        yield from _agent_calls(session, number, session.get("requests"))


def _agent_calls(session: Entry, number: int, recorded: list[dict[str, Any]]) -> Iterator[Call]:
    """Calls of an agent and of the sub-agents that it spawns."""
    before: list[int] = []
    for data in recorded:
        if data.get("type") == "subagent":
            yield from _agent_calls(session, number, data.get("requests", []))
            continue
        ids = Entry(session.path, session.line, data).ids("hash_ids")
        shared = next((k for k, (one, other) in enumerate(zip(before, ids, strict=False)) if one != other), None)
        shared = min(len(before), len(ids)) if shared is None else shared
        api_s, think_s = (float("nan") if data.get(name) is None else float(data[name])
                          for name in ("api_time", "think_time"))  # fmt: skip
        yield Call(number, len(ids), shared, api_s, think_s, str(data.get("stop") or ""))
        before = ids


_READERS: dict[str, Callable[[Path], Details]] = {
    "ragpulse": components,
    "kv-cache-tester": lambda path: calls(_recorded_calls(path)),
    "kv-cache-tester-flat": lambda path: calls(_flat_calls(path)),
}
