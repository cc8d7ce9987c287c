"""Doubly linked lists of requests in flight, on the flights' own links; whoever owns a list keeps its first and last.

Not here: whose lists these are (`queue.py`, `sequences.py`, `withdrawing.py`).
"""

from infersim.dataplane.jit import inlined
from infersim.dataplane.records import NONE


@inlined
def appended(slot, head, tail, flights):
    """Append a request to the list; return its first and last."""
    flights[slot].next = NONE
    flights[slot].previous = tail
    if tail == NONE:
        return slot, slot
    flights[tail].next = slot
    return head, slot


@inlined
def unlinked(slot, head, tail, flights):
    """Take a request out of the list; return its first and last."""
    before, after = flights[slot].previous, flights[slot].next
    if before == NONE:
        head = after
    else:
        flights[before].next = after
    if after == NONE:
        tail = before
    else:
        flights[after].previous = before
    return head, tail
