"""Agents: sessions whose calls of the model wait for the answers before them, with sub-agents side by side.

A session's calls stand one behind the other, all with the time at which the session begins; SEQUEL says which of them a
call waits for, and the data plane sends it (DESIGN.md, "Followers"). Not here: sessions on a clock of their own
(`sessions.py`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infersim.dataplane.records import UNANSWERED
from infersim.spec.structure import Agents
from infersim.workload.lengths import length_blocks
from infersim.workload.prompts import Indices, block_ids, content_id
from infersim.workload.renewal import Times
from infersim.workload.requests import Requests, no_sequels, requests
from infersim.workload.sessions import delay
from infersim.workload.streams import BLOCK, Feed, stream
from infersim.workload.structure import ANSWER, PROMPT, TEXT, family, fixed_lengths

STARTS = 32
"""Sessions drawn at a time."""
OF_SUB_AGENTS = 1 << 20
"""Number of the system prompt of sub-agents; those of main agents are smaller."""

Segment = tuple[int, int, int, int]
"""A piece of a prompt: its kind, session (0 for system prompts), number in it, and tokens."""


def agent_requests(
    spec: Agents, starts: Iterator[Times], lengths: tuple[Iterator[Indices], Iterator[Indices]], most_tokens: int | None,
    seed: int, directory: Path | None, name: str,
) -> Iterator[Requests]:  # fmt: skip
    """All calls of the sessions that begin at these times, session after session.

    `lengths` are those of what a call adds and of its answer. An agent ends before the call that would exceed
    `most_tokens`.
    """
    draw = _Draw(spec, lengths, most_tokens, seed, directory, name)
    feed, begun = Feed(starts), 0
    while (times := feed.take(STARTS)).size:
        yield _as_requests([draw.session(begun + k) for k in range(times.size)], times, begun, spec, family(name))
        begun += times.size


@dataclass
class _Session:
    """The calls of one session."""

    after: list[int] = field(default_factory=list)
    """How many rows before it the first call stands that it waits for; -1: it begins the session."""
    joins: list[int] = field(default_factory=list)
    gap_s: list[float] = field(default_factory=list)
    output_tokens: list[int] = field(default_factory=list)
    prompts: list[list[Segment]] = field(default_factory=list)

    def add(self, call: "_Call", first: int, joins: int, gap_s: float) -> int:
        """Append a call that waits for `joins` calls from the one at `first` on; return its own place."""
        place = len(self.after)
        self.after.append(place - first if joins else -1)
        self.joins.append(joins)
        self.gap_s.append(gap_s)
        self.output_tokens.append(call.answer)
        self.prompts.append(call.prompt)
        return place


@dataclass(frozen=True)
class _Call:
    prompt: list[Segment]
    answer: int


class _Draw:
    """The random streams of agents."""

    def __init__(
        self, spec: Agents, lengths: tuple[Iterator[Indices], Iterator[Indices]], most: int | None, seed: int,
        directory: Path | None, name: str,
    ) -> None:  # fmt: skip
        self._spec, self._most = spec, most
        self._messages, self._answers = (Feed(blocks) for blocks in lengths)
        self._calls = Feed(length_blocks(spec.calls, seed, f"{name}calls", directory))
        names = ("pauses", "pauses.kinds", "prompts.chosen")
        pauses, kinds, chosen = (stream(seed, f"{name}{key}") for key in names)
        self._pauses = Feed(pauses.standard_normal(BLOCK) for _ in iter(int, 1))
        self._kinds = Feed(kinds.random(BLOCK) for _ in iter(int, 1))
        self._prompts = Feed(chosen.integers(spec.prompts, size=BLOCK) for _ in iter(int, 1))
        self._prompt_tokens = np.zeros(spec.prompts, np.int64)
        if spec.prompt_tokens is not None:
            self._prompt_tokens = fixed_lengths(spec.prompt_tokens, spec.prompts, seed, f"{name}prompts", directory)
        if (sub := spec.sub_agents) is not None:
            self._counts = Feed(length_blocks(sub.count, seed, f"{name}sub_agents", directory))
            self._sub_calls = Feed(length_blocks(sub.calls, seed, f"{name}sub_agents.calls", directory))
            own = [] if sub.prompt_tokens is None else fixed_lengths(
                sub.prompt_tokens, 1, seed, f"{name}sub_agents.prompt", directory
            ).tolist()  # fmt: skip
            self._sub_prompt = [(PROMPT, 0, OF_SUB_AGENTS, tokens) for tokens in own]

    def session(self, number: int) -> _Session:
        """The calls of a main agent and of those that it starts."""
        spec, session, text = self._spec, _Session(), iter(range(1 << 40))
        chosen = int(self._prompts.take(1)[0])
        prompt = [(PROMPT, 0, chosen, int(self._prompt_tokens[chosen]))]
        first, joins, gap_s = 0, 0, 0.0
        for call in self._agent(prompt, int(self._calls.take(1)[0]), number, text):
            place = session.add(call, first, joins, gap_s)
            first, joins, gap_s = place, 1, self._pause()
            if spec.sub_agents is not None and float(self._kinds.take(1)[0]) < spec.sub_agents.share:
                first, joins = self._fan_out(session, place, number, text)
                gap_s = 0.0
        return session

    def _fan_out(self, session: _Session, place: int, number: int, text: Iterator[int]) -> tuple[int, int]:
        """Add sub-agents that wait for the call at `place`; return the first of their last calls, and how many there are."""
        last = []
        for calls in self._sub_calls.take(int(self._counts.take(1)[0])).tolist():
            before, gap_s = place, 0.0
            own = self._agent(self._sub_prompt, calls, number, text)
            for call in own[:-1]:
                before = session.add(call, before, 1, gap_s)
                gap_s = self._pause()
            last += [(call, before, gap_s) for call in own[-1:]]
        places = [session.add(call, before, 1, gap_s) for call, before, gap_s in last]
        return (places[0], len(places)) if places else (place, 1)

    def _agent(self, prompt: list[Segment], calls: int, number: int, text: Iterator[int]) -> list[_Call]:
        """The calls of one agent: each sends all that was said before."""
        history, found = list(prompt), []
        messages, answers = self._messages.take(calls).tolist(), self._answers.take(calls).tolist()
        tokens = sum(segment[3] for segment in history)
        for message, answer in zip(messages, answers, strict=True):
            tokens += message
            if self._most is not None and tokens + answer > self._most:
                break
            history = [*history, (TEXT, number, next(text), message)]
            found.append(_Call(history, answer))
            history = [*history, (ANSWER, number, next(text), answer)]
            tokens += answer
        return found

    def _pause(self) -> float:
        """From an answer to the next call [s]."""
        spec, score, kind = self._spec, self._pauses.take(1), float(self._kinds.take(1)[0])
        thinks = spec.think_s is not None and kind < spec.think_share
        return float(delay(spec.think_s if thinks and spec.think_s else spec.tool_s, score)[0])


def _as_requests(sessions: list[_Session], times: Times, begun: int, spec: Agents, own: int) -> Requests:
    """The calls of some sessions as columns."""
    counts = np.array([len(session.after) for session in sessions])
    prompts = [prompt for session in sessions for prompt in session.prompts]
    segments = np.array([len(prompt) for prompt in prompts], np.int64)
    pieces: NDArray[np.int64] = np.array([piece for prompt in prompts for piece in prompt], np.int64).reshape(-1, 4)
    content = content_id(pieces[:, 0], own, pieces[:, 1], pieces[:, 2])
    blocks, ids = block_ids(content, pieces[:, 3], segments, spec.block_tokens)
    sequels = no_sequels(len(prompts))
    for name in ("after", "joins", "gap_s"):
        sequels[name] = [value for session in sessions for value in getattr(session, name)]
    sequels["unless"] = np.where(sequels["joins"] > 0, UNANSWERED, 0)
    ends = np.cumsum(segments)
    inputs = np.diff(np.concatenate([[0], np.cumsum(pieces[:, 3])])[np.concatenate([[0], ends])])
    outputs = np.array([tokens for session in sessions for tokens in session.output_tokens], np.int64)
    numbers = np.repeat(begun + np.arange(len(sessions)), counts)
    return requests(np.repeat(times, counts), inputs, outputs, session=numbers, prefix_blocks=blocks, prefixes=ids,
                    sequels=sequels)  # fmt: skip
