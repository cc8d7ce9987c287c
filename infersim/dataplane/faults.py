"""How a policy that misbehaves is noticed: an answer out of range is the loop's to see, an exception is caught here.

Not here: what is said about it (`infersim/policies/`).
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class PolicyFault(Exception):
    """A policy raised (its exception is the cause) or gave an answer that is out of range."""

    asked: str
    """One of records.ASKED."""
    time_s: float
    """When [s]."""
    pool: int | None
    """Index of the pool whose policy it is; None for a router."""
    request: int | None
    """Id of the request that it was asked about, or of one on the replica that it was asked about."""
    replica: int | None = None
    """Serial of the replica that it was asked about."""
    answer: object = None
    """What it said, where that is known."""

    def __str__(self) -> str:
        """A line for those who see it bare."""
        return f"{self.asked} at {self.time_s:.6g} s, request {self.request}"


class PolicyRaised(Exception):
    """A policy in plain Python raised; its exception is the cause."""


@contextmanager
def exceptions_of_policies(told: Callable[[], None]) -> Iterator[list[BaseException]]:
    """The exceptions that compiled policies raise meanwhile; `told` is called at each.

    A first-class function cannot raise through compiled code: numba hands its exception to `sys.unraisablehook` and
    goes on with an answer of 0.
    """
    raised: list[BaseException] = []

    def note(unraisable) -> None:
        if isinstance(unraisable.object, str) and "numba" in unraisable.object and unraisable.exc_value is not None:
            raised.append(unraisable.exc_value)
            told()
        else:
            usual(unraisable)

    usual, sys.unraisablehook = sys.unraisablehook, note
    try:
        yield raised
    except PolicyRaised as error:
        raised.append(error.__cause__ or error)
    finally:
        sys.unraisablehook = usual
