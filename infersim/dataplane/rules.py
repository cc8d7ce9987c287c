"""What clients put up with and what a service lets in: patience, retries, rate limits, queue limits.

Not here: what the loop does with them (`clients.py`); limits of one pool are in `PoolCost`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from infersim.dataplane.internal import CLIENT
from infersim.dataplane.layout import records_of


@dataclass(frozen=True)
class ClientRules:
    """How the clients of one class behave, and how much the service takes from them."""

    timeout_s: float = math.inf
    """From the beginning of an attempt to its end [s]."""
    ttft_timeout_s: float = math.inf
    """And to its first token [s]."""
    max_attempts: int = 1
    """How often they try; 1: never again."""
    backoff_s: float = 0.0
    """Pause after the first attempt [s]."""
    multiplier: float = 1.0
    """Growth of the pause from one attempt to the next."""
    max_backoff_s: float = math.inf
    """Longest pause [s]."""
    jitter: float = 0.0
    """Share of the pause that chance takes away, at most."""
    tokens_per_s: float = math.inf
    """Rate limit [tokens/s]; none when inf."""
    burst_tokens: float = math.inf
    """What the bucket of the rate limit holds [tokens]."""

    def __post_init__(self) -> None:
        """Check the ranges; raise ValueError."""
        positive = ("timeout_s", "ttft_timeout_s", "max_attempts", "tokens_per_s", "burst_tokens")
        for field in fields(self):
            value = getattr(self, field.name)
            if math.isnan(value) or value < 0 or (field.name in positive and value == 0):
                least = "above 0" if field.name in positive else "at least 0"
                raise ValueError(f"{field.name} must be {least}, found {value:g}")
        if self.jitter > 1:
            raise ValueError(f"jitter must be at most 1, found {self.jitter:g}")
        if math.isfinite(self.tokens_per_s) and not math.isfinite(self.burst_tokens):
            raise ValueError("a rate limit needs burst_tokens, what its bucket holds")


@dataclass(frozen=True)
class ServiceRules:
    """What holds for a whole service."""

    clients: tuple[ClientRules, ...] = ()
    """By class; classes beyond have patience without end and never try again."""
    max_wait_s: float = math.inf
    """Longest that a request waits for its first admission before it is turned away [s]."""
    max_queued: int | None = None
    """Most requests that wait in the whole service; more are turned away."""
    last_arrival_s: float = math.inf
    """From when on nothing is sent that follows something else [s]."""

    def __post_init__(self) -> None:
        """Check the ranges; raise ValueError."""
        if not self.max_wait_s > 0:
            raise ValueError(f"max_wait_s must be above 0, found {self.max_wait_s:g}")
        if self.max_queued is not None and self.max_queued < 0:
            raise ValueError(f"max_queued must be at least 0, found {self.max_queued}")

    @property
    def watch(self) -> bool:
        """Whether any of this can ever matter, so that clients must be watched."""
        plain = ClientRules()
        return any(rules != plain for rules in self.clients) or self != ServiceRules(
            self.clients, last_arrival_s=self.last_arrival_s
        )


def client_records(rules: Sequence[ClientRules], classes: int) -> np.recarray:
    """The rules of `classes` classes as CLIENT records, with full buckets."""
    rows = records_of(classes, CLIENT)
    for row, own in zip(rows, [*rules, *[ClientRules()] * (classes - len(rules))], strict=True):
        for field in fields(own):
            setattr(row, field.name, getattr(own, field.name))
        row.level_tokens = own.burst_tokens
    return rows
