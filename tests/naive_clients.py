"""The clients of the naive twin: how long they wait, when they come again, and who is let in.

DESIGN.md: "Attempts", "Patience", "Admission" (what is asked on arrival). Not here: what giving up means at a replica
(`naive.py`, which is next).
"""

import math

from infersim.dataplane.chance import uniform
from tests.naive_sequence import Request, Sequence
from tests.twin.case import Client

JITTER = 24301
"""What `uniform` is asked for to draw how long a client is away."""


class Bucket:
    """The token bucket of a class of requests."""

    def __init__(self, client: Client) -> None:
        self.client, self.level, self.looked_at = client, client.burst_tokens, 0.0

    def look(self, now: float) -> float:
        """Its level now."""
        if self.level == math.inf:
            return self.level
        more = self.client.tokens_per_s * (now - self.looked_at)
        self.level, self.looked_at = min(self.client.burst_tokens, self.level + more), now
        return self.level

    def take(self, tokens: int, now: float) -> None:
        self.look(now)
        self.level -= tokens


def comes_again(client: Client, request: Request, status: str) -> bool:
    """Whether an attempt that ended so is followed by another."""
    return status not in ("finished", "rejected") and request.attempts < client.max_attempts


def while_away_s(client: Client, request: Request) -> float:
    """How long the client stays away after its latest attempt [s]."""
    seconds = client.backoff_s
    for _ in range(1, request.attempts):
        seconds = min(seconds * client.multiplier, client.max_backoff_s)
    return seconds * (1 - client.jitter * uniform(request.id, request.attempts, JITTER))


def patience_s(client: Client, max_wait_s: float) -> dict[str, float]:
    """After which time of an attempt each reason to give it up is looked at [s]."""
    return {"timeout": client.timeout_s, "ttft": client.ttft_timeout_s, "wait": max_wait_s}


def ending_of(reason: str, sequence: Sequence) -> str | None:
    """How an attempt ends when its time for a reason is up, None if it goes on."""
    if sequence.over:
        return None
    if reason == "timeout" or (reason == "ttft" and not sequence.token_times):
        return "timed_out"
    waiting = not sequence.admitted and sequence.request.span in ("held", "handling", "queued")
    return "overloaded" if reason == "wait" and waiting else None
