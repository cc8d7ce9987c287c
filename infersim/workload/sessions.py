"""Sessions: every arrival begins a conversation whose turns resend the whole history, on an open-loop clock.

Turn j's prompt is the system prompt, then every earlier message and answer, then its own message; so its blocks begin
with those of turn j - 1. The next turn comes a nominal response time and a pause later, whatever the fleet does.
Not here: agents, who wait for the answer (`agents.py`), and recorded sessions (`recorded_sessions.py`).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np

from infersim.spec.structure import Delay, Sessions
from infersim.workload.lengths import length_blocks
from infersim.workload.prompts import Indices, block_ids, content_id
from infersim.workload.renewal import Times
from infersim.workload.requests import Requests, requests
from infersim.workload.streams import Feed, stream
from infersim.workload.structure import ANSWER, PROMPT, TEXT, family, fixed_lengths

STARTS = 512
"""Sessions drawn at a time."""
BLOCKS = 1 << 21
"""About the most block ids made at a time."""


def session_requests(
    spec: Sessions,
    starts: Iterator[Times],
    lengths: tuple[Iterator[Indices], Iterator[Indices]],
    horizon_s: float,
    most_tokens: int | None,
    seed: int,
    directory: Path | None,
    name: str,
) -> Iterator[Requests]:
    """Turns of all sessions in order of time, up to the horizon.

    `lengths` are those of messages and answers. A session ends before the turn that would exceed `most_tokens`. Holds
    the sessions that are under way.
    """
    draw = _Draw(spec, lengths, most_tokens, seed, directory, name)
    waiting = _empty()
    feed = Feed(starts)
    while (begun := feed.take(STARTS)).size:
        waiting = _joined(waiting, draw.turns(begun))
        yield from _named(spec, waiting.at(waiting.arrival_s < begun[-1]), horizon_s)
        waiting = waiting.at(waiting.arrival_s >= begun[-1])
    yield from _named(spec, waiting, horizon_s)


@dataclass(frozen=True)
class _Turns:
    """Turns in order of time; their histories lie in segments that the turns of a session share."""

    arrival_s: Times
    output_tokens: Indices
    session: Indices
    first: Indices
    """Where a turn's segments begin in `content` and `tokens`."""
    segments: Indices
    content: Indices
    tokens: Indices

    def at(self, kept: np.ndarray) -> "_Turns":
        """The chosen turns, with the segments of their sessions only."""
        first, count = self.first[kept], self.segments[kept]
        begins, which = np.unique(first, return_inverse=True)
        most = np.zeros(begins.size, np.int64)
        np.maximum.at(most, which, count)
        places = np.repeat(begins - (np.cumsum(most) - most), most) + np.arange(int(most.sum()))
        moved = (np.cumsum(most) - most)[which]
        return _Turns(self.arrival_s[kept], self.output_tokens[kept], self.session[kept], moved, count,
                      self.content[places], self.tokens[places])  # fmt: skip


def _empty() -> _Turns:
    none = np.empty(0, np.int64)
    return _Turns(np.empty(0), none, none, none, none, none, none)


def _joined(one: _Turns, other: _Turns) -> _Turns:
    """Both, in order of time."""
    pairs = {name: np.concatenate([getattr(one, name), getattr(other, name)]) for name in _Turns.__annotations__}
    pairs["first"] = np.concatenate([one.first, other.first + one.content.size])
    order = np.argsort(pairs["arrival_s"], kind="stable")
    for name in ("arrival_s", "output_tokens", "session", "first", "segments"):
        pairs[name] = pairs[name][order]
    return _Turns(**pairs)


class _Draw:
    """The random streams of sessions."""

    def __init__(
        self, spec: Sessions, lengths: tuple[Iterator[Indices], Iterator[Indices]], most: int | None, seed: int,
        directory: Path | None, name: str,
    ) -> None:  # fmt: skip
        self._spec, self._most, self._family, self._begun = spec, most, family(name), 0
        self._messages, self._answers = (Feed(blocks) for blocks in lengths)
        self._counts = Feed(length_blocks(spec.turns, seed, f"{name}turns", directory))
        names = ("pauses", "pauses.tools", "prompts.chosen")
        self._pauses, self._tools, self._prompts = (stream(seed, f"{name}{key}") for key in names)
        self._prompt_tokens = np.zeros(spec.prompts, np.int64)
        if spec.prompt_tokens is not None:
            self._prompt_tokens = fixed_lengths(spec.prompt_tokens, spec.prompts, seed, f"{name}prompts", directory)

    def turns(self, starts: Times) -> _Turns:
        """All turns of the sessions that begin at these times."""
        spec, count = self._spec, self._counts.take(starts.size)
        total = int(count.sum())
        session = np.repeat(np.arange(starts.size), count)
        begin = (np.cumsum(count) - count)[session]
        messages, answers = self._messages.take(total), self._answers.take(total)
        busy = spec.first_token_s + spec.token_s * (answers - 1) + self._pause(total)
        elapsed = np.cumsum(busy) - busy
        times = starts[session] + elapsed - elapsed[begin]
        number = self._begun + np.arange(starts.size)
        self._begun += starts.size
        turn = np.arange(total) - begin

        # segments of a session: its system prompt, then message, answer, message, answer ...
        chosen = self._prompts.integers(spec.prompts, size=starts.size)
        size = 2 * count + 1
        first = np.cumsum(size) - size
        content, tokens = np.empty(int(size.sum()), np.int64), np.empty(int(size.sum()), np.int64)
        content[first], tokens[first] = content_id(PROMPT, self._family, chosen), self._prompt_tokens[chosen]
        place = first[session] + 1 + 2 * turn
        for offset, kind, values in ((0, TEXT, messages), (1, ANSWER, answers)):
            content[place + offset] = content_id(kind, self._family, number[session], turn)
            tokens[place + offset] = values
        whole = _Turns(times, answers, number[session], first[session], 2 * turn + 2, content, tokens)
        return whole if self._most is None else whole.at(self._fits(whole, begin))

    def _fits(self, turns: _Turns, begin: Indices) -> np.ndarray:
        """Turns before the first of their session that exceeds the longest context."""
        sums = np.cumsum(turns.tokens)
        last = turns.first + turns.segments - 1
        context = sums[last] - sums[turns.first] + turns.tokens[turns.first] + turns.output_tokens
        over = np.cumsum(context > (self._most or 0))
        return over - (over[begin] - (context > (self._most or 0))[begin]) == 0

    def _pause(self, count: int) -> Times:
        """Pauses of people and of tools."""
        scores, kinds = self._pauses.standard_normal(count), self._tools.random(count)
        pause = delay(self._spec.think_s, scores)
        if self._spec.tool_s is None:
            return pause
        return np.where(kinds < self._spec.tool_share, delay(self._spec.tool_s, scores), pause)


def delay(delay: Delay, scores: Times) -> Times:
    """Lognormal times of these normal scores."""
    return delay.p50_s * np.exp(math.log(delay.p90_s / delay.p50_s) / NormalDist().inv_cdf(0.9) * scores)


def _named(spec: Sessions, turns: _Turns, horizon_s: float) -> Iterator[Requests]:
    """Turns before the horizon as requests with the ids of their blocks, in pieces of bounded size."""
    turns = turns.at(turns.arrival_s < horizon_s)
    sums = np.concatenate([[0], np.cumsum(turns.tokens)])
    inputs = sums[turns.first + turns.segments] - sums[turns.first]
    pieces = np.cumsum(inputs // spec.block_tokens) // BLOCKS
    for piece in np.unique(pieces).tolist():
        rows = np.flatnonzero(pieces == piece)
        counts = turns.segments[rows]
        places = np.repeat(turns.first[rows] - (np.cumsum(counts) - counts), counts) + np.arange(int(counts.sum()))
        blocks, ids = block_ids(turns.content[places], turns.tokens[places], counts, spec.block_tokens)
        yield requests(turns.arrival_s[rows], inputs[rows], turns.output_tokens[rows], session=turns.session[rows],
                       prefix_blocks=blocks, prefixes=ids)  # fmt: skip
