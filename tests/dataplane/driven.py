"""A prefix cache driven request by request, as a cache of blocks and nothing else.

Each request asks how many of its blocks are known from the first on, uses all of them in order and lets go of each at
once; then the cache is cut down to its capacity. Not here: what must come of it (`test_prefix*.py`).
"""

import numba
import numpy as np
from numpy.typing import NDArray

from infersim.dataplane.internal import ENTRY, SERVER
from infersim.dataplane.prefix import (
    evict_down_to,
    find_entry,
    insert_entry,
    matching_blocks,
    release_entry,
    use_entry,
)
from infersim.dataplane.records import NONE


class Cache:
    """The arrays of one replica's cache with room for `entries` blocks, `host` of them in host memory."""

    def __init__(self, entries: int, host: int = 0) -> None:
        self.state = np.zeros(1, SERVER).view(np.recarray)
        self.entries = np.zeros(entries, ENTRY).view(np.recarray)
        self.entries.newer = np.append(np.arange(1, entries), NONE)
        self.state.oldest = self.state.newest = NONE
        self.state.host_oldest = self.state.host_newest = NONE
        self.state.host_room = host
        self.table = np.zeros(1 << (2 * entries).bit_length(), np.int64)

    def serve(self, names: NDArray[np.int64], blocks: NDArray[np.int64], capacity: int) -> NDArray[np.int64]:
        """Known blocks of each request; its names are the next `blocks` of all names."""
        return _serve(self.state, self.entries, self.table, names, blocks, capacity)

    def idle(self) -> list[int]:
        """Names of the idle entries, the least recently used first."""
        found, entry = [], int(self.state[0].oldest)
        while entry != NONE:
            found.append(int(self.entries[entry].name))
            entry = int(self.entries[entry].newer)
        return found


@numba.njit
def _serve(states, entries, table, names, blocks, capacity):
    state, start, known = states[0], 0, np.zeros_like(blocks)
    for i in range(len(blocks)):
        known[i] = matching_blocks(entries, table, names, start, blocks[i])
        for k in range(start, start + blocks[i]):
            entry = find_entry(entries, table, names[k])
            if entry == NONE:
                entry = insert_entry(state, entries, table, names[k], NONE)
            else:
                use_entry(state, entries, entry)
            release_entry(state, entries, entry)
        evict_down_to(state, entries, table, capacity)
        start += blocks[i]
    return known
