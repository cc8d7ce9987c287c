"""What happens next: a tree over replicas' step ends, a heap of deliveries, a heap of finishes.

Not here: what is done when it happens (`loop.py`, `ending.py`).
"""

import numpy as np

from infersim.dataplane import groups
from infersim.dataplane.groups import ROOT
from infersim.dataplane.jit import compiled, inlined, pick

# ---------------------------------------------------------------- the tree: four children of an entry are one cache line


@inlined
def reschedule(ends, replica, when_s):
    """Set when a replica's step ends [s]."""
    rank(ends, replica, np.float64(when_s).view(np.int64))  # of times from 0 on, their bits sort as they do, and sooner


@inlined
def next_end(ends):
    """When the first of all steps ends [s]."""
    return np.int64(ends.entries[ROOT].key).view(np.float64)


@compiled
def rank(tree, replica, key):
    """Set a replica's key, and find who is first above it; the lowest index wins ties.

    On each level the winner so far meets its neighbour, then the better one of the other two. There is no branch to be guessed:
    wrong guesses cost more than comparisons.
    """
    entries = tree.entries
    place = tree.leaves + replica
    entries[place].key = key
    while place > ROOT:
        near, far = place ^ 1, (place ^ 2) & ~1
        far += entries[far + 1].key < entries[far].key
        near_key, far_key = entries[near].key, entries[far].key
        sooner = near_key < key + (place & 1)
        key, first = pick(sooner, near_key, key), pick(sooner, near, place)
        sooner = far_key < key + (place >> 1 & 1)
        key, first = pick(sooner, far_key, key), pick(sooner, far, first)
        replica, place = entries[first].replica, above(place)
        winner = entries[place]
        if winner.key == key and winner.replica == replica:
            return
        winner.key, winner.replica = key, replica


above = inlined(groups.above)


# ---------------------------------------------------------------- deliveries


@compiled
def _sooner(times, orders, a, b):
    return times[a] < times[b] or (times[a] == times[b] and orders[a] < orders[b])


@compiled
def _swap(times, orders, slots, a, b):
    times[a], times[b] = times[b], times[a]
    orders[a], orders[b] = orders[b], orders[a]
    slots[a], slots[b] = slots[b], slots[a]


@compiled
def push_delivery(deliveries, size, when_s, order, slot):
    """Add a delivery to the heap of `size` entries, sorted by time, then by routing order."""
    times, orders, slots = deliveries
    times[size], orders[size], slots[size] = when_s, order, slot
    child = size
    while child > 0:
        parent = (child - 1) >> 1
        if not _sooner(times, orders, child, parent):
            return
        _swap(times, orders, slots, child, parent)
        child = parent


@compiled
def pop_delivery(deliveries, size):
    """Remove the first of `size` deliveries; return its slot."""
    times, orders, slots = deliveries
    slot = slots[0]
    last = size - 1
    times[0], orders[0], slots[0] = times[last], orders[last], slots[last]
    _settle(times, orders, slots, 0, last)
    return slot


@compiled
def drop_delivery(deliveries, size, slot):
    """Remove the delivery of `slot`, which is one of `size`."""
    times, orders, slots = deliveries
    place = 0
    while slots[place] != slot:
        place += 1
    last = size - 1
    order, when_s, moved = orders[last], times[last], slots[last]
    times[place], orders[place], slots[place] = when_s, order, moved
    if place < last:
        _settle(times, orders, slots, place, last)
        if slots[place] == moved:
            push_delivery(deliveries, place, when_s, order, moved)


@compiled
def _settle(times, orders, slots, parent, size):
    """Move an entry of the heap down to its place."""
    while True:
        child = 2 * parent + 1
        if child >= size:
            return
        if child + 1 < size and _sooner(times, orders, child + 1, child):
            child += 1
        if not _sooner(times, orders, child, parent):
            return
        _swap(times, orders, slots, child, parent)
        parent = child


# ---------------------------------------------------------------- finishes

SLOT_BITS = 24
"""A finish is one integer: the decode count at which it happens, then the slot."""
SLOT_MASK = (1 << SLOT_BITS) - 1


@compiled
def _lift(heap, child):
    while child > 0:
        parent = (child - 1) >> 1
        if heap[parent] <= heap[child]:
            return
        heap[parent], heap[child] = heap[child], heap[parent]
        child = parent


@compiled
def _sink(heap, parent, size):
    while True:
        child = 2 * parent + 1
        if child >= size:
            return
        child += (child + 1 < size) & (heap[child + 1] < heap[child])
        if heap[parent] <= heap[child]:
            return
        heap[parent], heap[child] = heap[child], heap[parent]
        parent = child


@compiled
def push_finish(heap, size, decoded, slot):
    """Add the sequence in `slot`, which finishes at decode count `decoded`, to the heap of `size` entries."""
    heap[size] = (decoded << SLOT_BITS) | slot
    _lift(heap, size)


@compiled
def remove_finish(heap, size, position):
    """Remove the entry at `position` from the heap of `size` entries; 0 is the next to finish."""
    heap[position] = heap[size - 1]
    if position < size - 1:
        _sink(heap, position, size - 1)
        _lift(heap, position)


@compiled
def find_finish(heap, size, slot):
    """Position of the sequence in `slot`."""
    for position in range(size):
        if heap[position] & SLOT_MASK == slot:
            return position
    return -1
