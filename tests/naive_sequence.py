"""What the naive twin knows of one request, and the prefix cache of one replica.

Written from DESIGN.md, section "What the data plane does, exactly". Who decides is `naive_replica.py`.
"""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.naive_replica import Replica

SPANS = ("held", "handling", "queued", "prefill", "transfer", "decode", "preempted")


@dataclass(eq=False)
class Sequence:
    """One request on its way; at each moment it is in exactly one span."""

    id: int
    arrival_s: float
    input_tokens: int
    output_tokens: int
    priority: int = 0
    deadline_s: float = 0.0
    names: list[int] = field(default_factory=list)
    span: str = "held"
    since: float = 0.0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SPANS, 0.0))
    replica: "Replica | None" = None
    order: int = -1
    """Its routing number."""
    queued_at: float = math.nan
    prompt: int = 0
    computed: int = 0
    blocks: int = 0
    """KV blocks of its own."""
    entries: list[int] = field(default_factory=list)
    """Prefix entries that it uses, from its first block on."""
    swapped: bool = False
    """Whether its computed tokens are in host memory."""
    source: "Replica | None" = None
    """The prefill replica that sends its computed tokens, or sent them and they have not been used yet."""
    cached_tokens: int | None = None
    token_times: list[float] = field(default_factory=list)
    preemptions: int = 0

    def enter(self, span: str, now: float) -> None:
        self.seconds[self.span] += now - self.since
        self.span, self.since = span, now

    def brings_kv(self) -> bool:
        """Whether the computed tokens of one in a queue need not be computed there."""
        return self.swapped or self.source is not None

    def complete(self) -> bool:
        return len(self.token_times) == self.output_tokens

    def decoding(self) -> bool:
        return self.computed >= self.prompt and not self.complete()


class PrefixCache:
    """Which prefix blocks a replica has: how many sequences use each, and the idle ones, the oldest first."""

    def __init__(self) -> None:
        self.users: dict[int, int] = {}
        self.idle: dict[int, None] = {}

    def has(self, name: int) -> bool:
        return name in self.users or name in self.idle

    def use(self, name: int) -> None:
        self.users[name] = self.users.get(name, 0) + 1
        self.idle.pop(name, None)

    def release(self, name: int) -> None:
        self.users[name] -= 1
        if not self.users[name]:
            del self.users[name]
            self.idle[name] = None

    def evict_down_to(self, most: int) -> None:
        while len(self.idle) > most:
            del self.idle[next(iter(self.idle))]
