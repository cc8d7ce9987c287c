"""Queue orders of your own: who in a replica's queue is next. Write one with `@ordering`.

    @ordering
    def short_and_urgent(request):
        return request.input_tokens - 1000.0 * request.priority

The function sees the request alone (dataplane.records.REQUEST: never its output length) and is asked when it is routed;
the smallest key is first, on ties who was routed first. `pools[i].queue.order` names it. Not here: the shipped orders
(`infersim/dataplane/queue.py` and `shares.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass

from infersim.spec import policies as names


@dataclass(frozen=True)
class Ordering:
    """A queue order: its name, what it does in one line, and its function."""

    name: str
    summary: str
    function: Callable


ORDERINGS: dict[str, Ordering] = {}
"""Users' queue orders by name."""


def ordering(function: Callable) -> Callable:
    """Register `function(request) -> key` as a queue order under its own name."""
    summary = (function.__doc__ or "").strip().split("\n")[0]
    ORDERINGS[function.__name__] = Ordering(function.__name__, summary, function)
    names.QUEUE_ORDERS.add(function.__name__)
    return function
