"""A claim as it is written down: what was said, which cases are simulated, and which numbers decide.

Not here: running cases (`measure.py`), judging (`verdict.py`). Read `chips.py` for the first claims.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from infersim.studies.claims.case import Case
from infersim.studies.claims.reading import Reading

Unit = Literal["x", "usd", "s", "share", "tokens/s", "yes", "J", "Wh", "gCO2", "chips", "MW", "t", "GPU s", "1/s"]


@dataclass(frozen=True)
class Claimed:
    """What was claimed of a number."""

    words: str
    """at least, at most, about, from."""
    values: tuple[float, ...]
    """The numbers behind the words."""
    low: float = float("-inf")
    high: float = float("inf")

    def holds(self, value: float) -> bool:
        """Whether the number is as claimed; one that does not exist is not."""
        return self.low <= value <= self.high


def at_least(value: float) -> Claimed:
    """As much or more."""
    return Claimed("at least", (value,), low=value)


def at_most(value: float) -> Claimed:
    """As much or less."""
    return Claimed("at most", (value,), high=value)


def between(low: float, high: float) -> Claimed:
    """In a range."""
    return Claimed("from", (low, high), low, high)


def about(value: float) -> Claimed:
    """Within a quarter."""
    return Claimed("about", (value,), value * 0.75, value * 1.25)


@dataclass(frozen=True)
class Check:
    """One number that a claim is about."""

    what: str
    """What the number is."""
    value: Callable[[Reading], float]
    """The number, read off the cases."""
    unit: Unit = "x"
    claimed: Claimed | None = None
    """What was said of it; None when the number only explains."""
    when: str = ""
    """The condition under which it is asked: what stands behind `holds if`."""


@dataclass(frozen=True)
class Claim:
    """Something that is said of the inference market."""

    number: int
    title: str
    text: str
    """What is claimed."""
    source: str
    """Who says so, and what of it is known."""
    simulated: str
    """What stands for it."""
    hinges: str
    """What the verdict hinges on, in words; estimated inputs are added by themselves, from their grades."""
    cases: tuple[Case, ...]
    checks: tuple[Check, ...]
    short: str = ""
    """What came out, in a line; {3} is the number of the fourth check."""
