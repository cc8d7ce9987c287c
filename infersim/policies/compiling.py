"""A policy's function as the loop takes it: refused with reasons, or compiled, its loops watched.

Not here: why one is refused (`refusal.py`), how loops are watched (`guard.py`), how the loop calls it
(`infersim/dataplane/abi.py`).
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numba

from infersim.policies.errors import PolicyError
from infersim.policies.guard import guarded
from infersim.policies.refusal import Kind, fault_at_sight, why_refused


def first_class(name: str, function: Callable, kind: Kind, signature: Any, reads: Collection[str] = ()) -> Callable:
    """A policy compiled to a first-class function value; PolicyError says why if it cannot be."""
    from infersim.dataplane import abi

    watched = _watched(name, function, kind, reads)
    try:
        return abi.compiled_policy(watched, signature)
    except Exception as error:  # numba refuses in many classes, KeyError for an unknown field among them
        raise PolicyError(why_refused(name, function, kind, error)) from error


def of_pools(functions: Mapping[int, tuple[str, Callable]], kind: Kind, signature: Any, pooled: Any) -> Callable:
    """One function value for all pools that have a policy of their own: (pool, argument) -> the answer of that pool's.

    `functions` are (name, function) by index of the pool, `signature` is that of each, `pooled` that of the result.
    """
    from infersim.dataplane import abi

    def nobody(pool, argument):
        return one(argument)

    made: dict[int, Any] = {}
    for pool, (name, function) in functions.items():
        watched = _watched(name, function, kind, ())
        try:
            made[pool] = numba.njit(signature, boundscheck=True)(watched) if abi.JIT else watched
            if abi.JIT and made[pool].nopython_signatures[0].return_type != signature.return_type:
                raise TypeError("it never returns an answer")
        except Exception as error:
            raise PolicyError(why_refused(name, function, kind, error)) from error
    one = next(iter(made.values()))
    chosen: Callable = nobody
    for pool, function in made.items():
        chosen = _either(pool, function, numba.njit(chosen) if abi.JIT else chosen)
    return abi.compiled_policy(chosen, pooled)


def _either(pool: int, mine: Callable, others: Callable) -> Callable:
    """The policy of one pool, or of the others."""

    def chosen(asked, argument):
        if asked == pool:
            return mine(argument)
        return others(asked, argument)

    return chosen


def _watched(name: str, function: Callable, kind: Kind, reads: Collection[str]) -> Callable:
    """The function with its loops counted, if it is a user's; PolicyError if it is wrong at sight."""
    if fault := fault_at_sight(name, function, kind, reads):
        raise PolicyError(fault)
    if function.__module__.startswith("infersim."):
        return function
    try:
        return guarded(function)
    except PolicyError as error:
        raise PolicyError(f"{kind.noun} {name!r}: {error}") from error
