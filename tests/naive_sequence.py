"""What the naive twin knows of one request, and of one attempt to have it served.

Not here: who decides anything. Read `naive_memory.py` next.
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.naive_replica import Replica

SPANS = ("held", "handling", "queued", "prefill", "transfer", "decode", "preempted", "away")


@dataclass(eq=False)
class Request:
    """What a client wants, and what adds up over all attempts; at each moment it is in exactly one span."""

    id: int
    arrival_s: float
    input_tokens: int
    output_tokens: int
    """Of each row; 0 if it ends with its prompt and without a token."""
    tenant: int = 0
    priority: int = 0
    deadline_s: float = 0.0
    width: int = 1
    """Rows that share the prompt and decode side by side."""
    names: list[int] = field(default_factory=list)
    """Of its prefix blocks."""
    adapter: int = 0
    """Its number, 0 for none."""
    adapter_rank: int = 0
    model: int = 0
    """That it asks for."""
    session: int = -1
    """Requests of one conversation share it; -1 for none."""
    span: str = "held"
    since: float = 0.0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SPANS, 0.0))
    attempts: int = 0
    lives: int = 0
    replays: int = 0
    """How often it was handed back because its replica failed."""
    preemptions: int = 0
    wasted_tokens: int = 0
    """Processed for attempts that did not finish."""

    def enter(self, span: str, now: float) -> None:
        self.seconds[self.span] += now - self.since
        self.span, self.since = span, now


@dataclass(eq=False)
class Sequence:
    """One attempt of a request, as the replicas see it; handed back, it goes on as a new one."""

    request: Request
    number: int
    """Of the attempt, from 1."""
    life: int = 0
    """Counts how often the request was begun anew, by its client or by the service."""
    over: bool = False
    """Ended, given up or handed back; one in a batch stays there as nobody's until the step ends."""
    let_in: bool = False
    """Whether it has passed the token bucket of its class."""
    admitted: bool = False
    """Whether it ever was in this attempt."""
    replica: "Replica | None" = None
    order: int = -1
    """Its routing number."""
    queued_at: float = math.nan
    prompt: int = 0
    """Tokens that must be computed before it decodes; after a recomputation its output so far too."""
    computed: int = 0
    """Tokens that it has in KV; once it decodes those of one row."""
    prefilled: bool = False
    """Whether its prompt is processed, and not forgotten."""
    swapped: bool = False
    """Whether its computed tokens are in host memory."""
    source: "Replica | None" = None
    """The prefill replica that sends them, or sent them and they have not been used yet."""
    cached_tokens: int | None = None
    """Found in the prefix cache when it was first admitted."""
    host_cached_tokens: int = 0
    """Those of them that were in host memory."""
    token_times: list[float] = field(default_factory=list)
    """When the output tokens of a row left."""
    processed_in: Counter[int] = field(default_factory=Counter)
    """Tokens processed for it, by pool."""

    def __post_init__(self) -> None:
        self.prompt = self.request.input_tokens
        self.request.lives += 1
        self.life = self.request.lives

    def brings_kv(self) -> bool:
        """Whether the computed tokens of one in a queue need not be computed there."""
        return self.swapped or self.source is not None

    def complete(self) -> bool:
        return self.prefilled and len(self.token_times) == self.request.output_tokens

    def decoding(self) -> bool:
        return self.prefilled and not self.complete()

    def end_prompt(self) -> None:
        """Its prompt is processed; from now on it counts the tokens of a row."""
        self.computed, self.prefilled = self.request.input_tokens + len(self.token_times), True

    def forget(self) -> None:
        """Its computed tokens are lost; the output of all rows is part of the prompt from now on."""
        self.computed, self.prefilled = 0, False
        self.prompt = self.request.input_tokens + self.request.width * len(self.token_times)
