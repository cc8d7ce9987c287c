"""The clients of the naive twin: how long they wait, when they come again, who is let in, and what they send next.

DESIGN.md: "Attempts", "Patience", "Admission" (what is asked on arrival), "Followers", "Users in a closed loop". Not here: what giving up means at a replica
(`naive.py`). Read `naive_routing.py` next.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from infersim.dataplane.chance import uniform
from infersim.dataplane.records import ENDINGS
from infersim.dataplane.rules import ClientRules
from tests.naive_sequence import Request, Sequence
from tests.twin.case import Case

JITTER = 24301
"""What `uniform` is asked for to draw how long a client is away."""


class Bucket:
    """The token bucket of a class of requests."""

    def __init__(self, client: ClientRules) -> None:
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


def comes_again(client: ClientRules, request: Request, status: str) -> bool:
    """Whether an attempt that ended so is followed by another."""
    return status not in ("finished", "rejected") and request.attempts < client.max_attempts


def while_away_s(client: ClientRules, request: Request) -> float:
    """How long the client stays away after its latest attempt [s]."""
    seconds = client.backoff_s
    for _ in range(1, request.attempts):
        seconds = min(seconds * client.multiplier, client.max_backoff_s)
    return seconds * (1 - client.jitter * uniform(request.id, request.attempts, JITTER))


def patience_s(client: ClientRules, max_wait_s: float) -> dict[str, float]:
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


class Sequels:
    """What is sent because something else has ended."""

    def __init__(self, case: Case, requests: list[Request], send: Callable[[Request, float], None]) -> None:
        self.last_arrival_s, self.send = case.last_arrival_s, send
        self.ended: list[tuple[Request, str]] = []
        """In the event that happens now."""
        count, self.lists = len(case.requests), []
        for source in case.sources:
            mine = requests[count : count + len(source.requests)]
            self.lists.append(list(zip(mine, source.gaps.tolist(), strict=True)))
            count += len(mine)
        self.source_of: dict[Request, int] = {}
        self.followers: dict[Request, list[Follower]] = {}
        self.roots = requests[: len(case.requests)]
        if case.sequels is not None:
            self.link(case.sequels, self.roots)

    def link(self, sequels, requests: list[Request]) -> None:
        by_id = {request.id: request for request in requests}
        for request, (after, joins, unless, gap_s, source, late) in zip(requests, sequels.tolist(), strict=True):
            if source >= 0:
                self.source_of[request] = source
            if after >= 0:
                follower = Follower(request, joins, endings_of(unless), gap_s, late)
                for each in range(after, after + joins):
                    self.followers.setdefault(by_id[each], []).append(follower)
        following = {each.request for group in self.followers.values() for each in group}
        self.roots = [request for request in requests if request not in following]

    def follow_up(self, now: float) -> None:
        """Send what follows the requests that one event has ended."""
        ended, self.ended = sorted(self.ended, key=lambda each: each[0].id), []
        for request, status in ended:
            for follower in self.followers.pop(request, []):
                self.release(follower, now, status not in follower.unless)
            if request in self.source_of:
                self.take_next(self.source_of[request], now)

    def take_next(self, source: int, now: float) -> None:
        """A user is free."""
        if self.lists[source]:
            request, gap_s = self.lists[source].pop(0)
            if now + gap_s < self.last_arrival_s:
                self.source_of[request] = source
                self.send(request, now + gap_s)

    def release(self, follower: "Follower", now: float, kept: bool) -> None:
        """One of those that it waits for has ended, or will never be sent."""
        follower.awaited -= 1
        follower.kept &= kept
        if follower.awaited:
            return
        if follower.kept and (follower.late or now + follower.gap_s < self.last_arrival_s):
            self.send(follower.request, now + follower.gap_s)
        else:
            for other in self.followers.pop(follower.request, []):
                self.release(other, now, False)


@dataclass
class Follower:
    """A request that waits for others."""

    request: Request
    awaited: int
    unless: set[str]
    """Endings for which it is not sent."""
    gap_s: float
    late: bool
    kept: bool = True
    """Whether nothing has happened yet for which it would never be sent."""


def endings_of(bits: int) -> set[str]:
    """The endings that bits stand for."""
    return {name for number, name in enumerate(ENDINGS) if bits >> number & 1}
