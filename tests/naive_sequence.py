"""What the naive twin knows of one request on its way. Not here: who decides anything. Read `naive_memory.py` next."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.naive_replica import Replica

SPANS = ("held", "handling", "queued", "prefill", "transfer", "decode", "preempted")


@dataclass(eq=False)
class Sequence:
    """One request; at each moment it is in exactly one span."""

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
    span: str = "held"
    since: float = 0.0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SPANS, 0.0))
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
    preemptions: int = 0

    def enter(self, span: str, now: float) -> None:
        self.seconds[self.span] += now - self.since
        self.span, self.since = span, now

    def brings_kv(self) -> bool:
        """Whether the computed tokens of one in a queue need not be computed there."""
        return self.swapped or self.source is not None

    def complete(self) -> bool:
        return self.prefilled and len(self.token_times) == self.output_tokens

    def decoding(self) -> bool:
        return self.prefilled and not self.complete()

    def processed(self) -> None:
        """Its prompt is; from now on it counts the tokens of a row."""
        self.computed, self.prefilled = self.input_tokens + len(self.token_times), True

    def forget(self) -> None:
        """Its computed tokens are lost; the output of all rows is part of the prompt from now on."""
        self.computed, self.prefilled = 0, False
        self.prompt = self.input_tokens + self.width * len(self.token_times)
