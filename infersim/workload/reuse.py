"""How much of the prompts a prefix cache could have found: ideal, and with an LRU cache of a given size.

A request's hits are its leading blocks that are in the cache; then all its blocks are touched in order, and the oldest
go while there are too many. This is how the published reuse of Mooncake's and Bailian's traces is counted.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from infersim.workload.requests import Indices, Requests


@dataclass(frozen=True)
class Reuse:
    """Ideal reuse: a cache without end, contiguous prefixes."""

    blocks: int
    distinct_blocks: int
    recurring_share: float
    """Share of the distinct blocks that occur more than once."""
    of_blocks: float
    """Share of all blocks that are hits."""
    of_tokens: float
    """Share of all prompt tokens that lie in hits."""
    of_a_request: float
    """Mean over requests of the share of its blocks that are hits."""


def ideal_reuse(blocks: Iterable[Requests], block_tokens: int) -> Reuse:
    """Reuse with an unlimited cache; a hit on a partial last block counts the tokens that it has."""
    seen: set[int] = set()
    again: set[int] = set()
    before: dict[int, tuple[Indices, int]] = {}
    hits = total = tokens = hit_tokens = requests = 0
    shares = 0.0
    for ids, prompt, session in _prompts(blocks):
        # what a session repeats of its previous prompt is known without looking up every block
        earlier, repeated = before.get(session, (ids[:0], 0))
        common = _common(earlier, ids)
        again.update(ids[repeated:common].tolist())
        rest = ids[common:].tolist()
        again.update(seen.intersection(rest))
        hit = common + next((place for place, block in enumerate(rest) if block not in seen), len(rest))
        seen.update(rest)
        if session >= 0:
            before[session] = ids, common
        hits += hit
        total += ids.size
        tokens += prompt
        hit_tokens += min(hit * block_tokens, prompt)
        shares += hit / ids.size if ids.size else 0.0
        requests += 1
    return Reuse(
        total, len(seen), len(again) / max(1, len(seen)), hits / max(1, total), hit_tokens / max(1, tokens),
        shares / max(1, requests),
    )  # fmt: skip


def _common(one: Indices, other: Indices) -> int:
    """How many leading ids are equal."""
    both = min(one.size, other.size)
    differ = np.flatnonzero(one[:both] != other[:both])
    return int(differ[0]) if differ.size else both


def lru_hits(blocks: Iterable[Requests], capacity_blocks: int) -> float:
    """Share of all blocks that an LRU cache of so many blocks would have found."""
    cache: OrderedDict[int, None] = OrderedDict()
    hits = total = 0
    for prompt, _, _ in _prompts(blocks):
        ids = prompt.tolist()
        hits += next((place for place, block in enumerate(ids) if block not in cache), len(ids))
        total += len(ids)
        for block in ids:
            cache[block] = None
            cache.move_to_end(block)
        while len(cache) > capacity_blocks:
            cache.popitem(last=False)
    return hits / max(1, total)


def _prompts(blocks: Iterable[Requests]) -> Iterator[tuple[Indices, int, int]]:
    """Block ids, tokens and session of each prompt."""
    for block in blocks:
        ends = np.cumsum(block.prefix_blocks)
        bounds = ((ends - block.prefix_blocks).tolist(), ends.tolist())
        columns = (block.input_tokens.tolist(), block.session.tolist())
        for start, end, prompt, session in zip(*bounds, *columns, strict=True):
            yield block.prefixes[start:end], prompt, session
