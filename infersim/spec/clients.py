"""What clients put up with and what a service lets in: patience, retries, rate limits, admission.

Not here: limits of one replica's queue (`serving.py`, Queue), and what is done with all this (DESIGN.md, "Attempts",
"Patience" and "Admission").
"""

from typing import Annotated

from pydantic import Field, model_validator

from infersim.spec.base import NonNegative, Positive, Spec, wrong_at


class Patience(Spec):
    """How long a client waits for an attempt before giving it up; what was processed for it is wasted."""

    timeout_s: Positive | None = None
    """From sending an attempt to its last token [s]; for ever when absent."""
    ttft_timeout_s: Positive | None = None
    """And to its first token [s]; for ever when absent."""

    @model_validator(mode="after")
    def _says_something(self) -> "Patience":
        if self.timeout_s is None and self.ttft_timeout_s is None:
            raise wrong_at(("timeout_s",), "is missing; give timeout_s, ttft_timeout_s or both")
        if self.timeout_s and self.ttft_timeout_s and self.ttft_timeout_s > self.timeout_s:
            what = f"found {self.ttft_timeout_s:g}, but timeout_s {self.timeout_s:g} ends the attempt before"
            raise wrong_at(("ttft_timeout_s",), f"{what}; use less, or leave it out")
        return self


class Retries(Spec):
    """A client sends again what was lost, timed out or turned away, as clients do that back off exponentially.

    The defaults are those of OpenAI's Python client (openai-python 1.x, _constants.py and _base_client.py).
    """

    max_attempts: Annotated[int, Field(ge=1, le=1000)] = 3
    """How often it is sent in all."""
    backoff_s: NonNegative = 0.5
    """Pause after the first attempt [s]."""
    multiplier: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 2.0
    """Growth of the pause from one attempt to the next."""
    max_backoff_s: NonNegative = 8.0
    """Longest pause [s]."""
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.25
    """Share of each pause that chance takes away at most."""

    @model_validator(mode="after")
    def _ordered(self) -> "Retries":
        if self.backoff_s > self.max_backoff_s:
            what = f"found {self.max_backoff_s:g}, less than backoff_s {self.backoff_s:g}"
            raise wrong_at(("max_backoff_s",), f"{what}; use at least that")
        return self


class RateLimit(Spec):
    """A token bucket: prompt tokens are taken when a request is let in, output tokens when it ends."""

    tokens_per_s: Positive
    """What flows in [tokens/s]."""
    burst_tokens: Positive | None = None
    """What the bucket holds [tokens]; a minute's flow when absent, as limits are quoted by the minute."""


class Admission(Spec):
    """What the whole service does with requests that would wait."""

    max_queued: Annotated[int, Field(ge=1, le=10**9)] | None = None
    """Most requests that wait; more are turned away (service_full)."""
    max_wait_s: Positive | None = None
    """Longest that a request waits before it is admitted to a batch [s]; then it is turned away (overloaded)."""
