"""Routers: which replica a request goes to. A router is a compiled function; write your own with `@routing`.

    @routing
    def longest_prompts_first_replica(request, replicas, routable, memory):
        return routable[0] if request.input_tokens > 4000 else routable[-1]

A router sees the request (dataplane.records.REQUEST: never its output length), the signals of all replicas
(REPLICA), the indexes of those that are ready (`routable`, ascending, never empty) and eight integers of `memory` that
are its own, 0 at the start. It returns one of `routable`.

Not here: how it is called (`infersim/dataplane/loop.py`). Read `plugins.py` for routers in files of their own.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from infersim.policies.errors import PolicyError
from infersim.policies.refusal import place, why_refused
from infersim.spec import policies as names

PARAMETERS = ("request", "replicas", "routable", "memory")


@dataclass(frozen=True)
class Router:
    """A routing policy: its name, what it does in one line, and its function."""

    name: str
    summary: str
    function: Callable

    @cached_property
    def compiled(self) -> Callable:
        """The function as the loop takes it; compiled on first use, cached on disk.

        Raises PolicyError if it does not compile: it says where, and what a router may read.
        """
        from infersim.dataplane import abi

        found = tuple(inspect.signature(self.function).parameters)
        if len(found) != len(PARAMETERS):
            raise PolicyError(
                f"router {self.name!r} ({place(self.function)}) takes ({', '.join(found)}); "
                f"a router takes ({', '.join(PARAMETERS)})"
            )
        try:
            return abi.compiled_policy(self.function, abi.ROUTE)
        except Exception as error:  # numba refuses in many classes, KeyError for an unknown field among them
            raise PolicyError(why_refused(self.name, self.function, error)) from error


ROUTERS: dict[str, Router] = {}
"""All known routers by name."""


def routing(function: Callable) -> Callable:
    """Register `function(request, replicas, routable, memory) -> index` as a router under its own name."""
    summary = (function.__doc__ or "").strip().split("\n")[0]
    ROUTERS[function.__name__] = Router(function.__name__, summary, function)
    names.ROUTERS.add(function.__name__)
    return function


@routing
def round_robin(request, replicas, routable, memory):
    """Each ready replica in turn, in order of index."""
    turn = memory[0]
    memory[0] = turn + 1
    return routable[turn % routable.shape[0]]


@routing
def least_outstanding(request, replicas, routable, memory):
    """The ready replica with the fewest requests routed to it and not ended; the lowest index on ties."""
    best = routable[0]
    for r in routable:
        if replicas[r].outstanding < replicas[best].outstanding:
            best = r
    return best
