"""The prefix cache of each replica: which prefix blocks are in its KV cache, and which goes first.

A prefix block is named by an integer that stands for all tokens up to its end (chained), so equal names mean equal
prefixes. An entry is *in use* while a sequence in the batch refers to it, else *idle*: its memory counts as free and is
taken away, least recently used first, when it is needed. Where host memory is a second level it goes there, and is
forgotten when it is the least recently used of those. Entries are found through a hash table with linear probing
and idle ones hang in a list by age. Not here: who may use what is found (`sequences.py`).
"""

from infersim.dataplane.internal import ON_HOST
from infersim.dataplane.jit import called, compiled, inlined
from infersim.dataplane.records import NONE

_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)  # 2^64 / golden ratio, as a signed integer


@called
def _home(name, buckets):
    """First bucket to look in."""
    mixed = name * _GOLDEN
    return (mixed ^ (mixed >> 29)) & (buckets - 1)


@called
def find_entry(cache, table, name):
    """Entry of the prefix block `name`, NONE if it is not cached; `table` holds entry + 1, 0 where free."""
    bucket = _home(name, table.shape[0])
    while table[bucket] != 0:
        if cache[table[bucket] - 1].name == name:
            return table[bucket] - 1
        bucket = (bucket + 1) & (table.shape[0] - 1)
    return NONE


@called
def insert_entry(state, cache, table, name, parent):
    """Add a prefix block that is in use once; return its entry. There is always room: entries need KV or host blocks."""
    entry = state.spare
    state.spare = cache[entry].newer
    cache[entry].name = name
    cache[entry].parent = parent
    cache[entry].users = 1
    bucket = _home(name, table.shape[0])
    while table[bucket] != 0:
        bucket = (bucket + 1) & (table.shape[0] - 1)
    table[bucket] = entry + 1
    return entry


@called
def _forget(state, cache, table, entry):
    """Remove an entry from the hash table, closing the gap, and give it back."""
    mask = table.shape[0] - 1
    gap = _home(cache[entry].name, table.shape[0])
    while table[gap] != entry + 1:
        gap = (gap + 1) & mask
    probe = gap
    while True:
        probe = (probe + 1) & mask
        if table[probe] == 0:
            break
        home = _home(cache[table[probe] - 1].name, table.shape[0])
        if ((probe - home) & mask) >= ((probe - gap) & mask):
            table[gap] = table[probe]
            gap = probe
    table[gap] = 0
    cache[entry].newer = state.spare
    state.spare = entry


@called
def _unlink(state, cache, entry):
    """Take an idle entry, or one on the host, out of its list by age."""
    older, newer, hosted = cache[entry].older, cache[entry].newer, cache[entry].users == ON_HOST
    if older != NONE:
        cache[older].newer = newer
    elif hosted:
        state.host_oldest = newer
    else:
        state.oldest = newer
    if newer != NONE:
        cache[newer].older = older
    elif hosted:
        state.host_newest = older
    else:
        state.newest = older
    if hosted:
        state.hosted -= 1
    else:
        state.idle -= 1


@called
def use_entry(state, cache, entry):
    """Refer to an entry once more, on the chip; return whether nobody did."""
    unused = cache[entry].users <= 0
    if unused:
        _unlink(state, cache, entry)
        cache[entry].users = 0
    cache[entry].users += 1
    return unused


@called
def release_entry(state, cache, entry):
    """Refer to an entry once less; return whether it is idle now, as the most recently used of all."""
    cache[entry].users -= 1
    if cache[entry].users > 0:
        return False
    cache[entry].older = state.newest
    cache[entry].newer = NONE
    if state.newest == NONE:
        state.oldest = entry
    else:
        cache[state.newest].newer = entry
    state.newest = entry
    state.idle += 1
    return True


@called
def evict_down_to(state, cache, table, idle):
    """Evict the least recently used idle entries until at most `idle` are left."""
    while state.idle > idle:
        entry = state.oldest
        _unlink(state, cache, entry)
        if state.host_room > 0:
            _move_to_host(state, cache, table, entry)
        else:
            _forget(state, cache, table, entry)


@called
def _move_to_host(state, cache, table, entry):
    """Put an evicted entry into host memory, as the most recently used there; the oldest may have to go for it."""
    if state.hosted == state.host_room:
        oldest = state.host_oldest
        _unlink(state, cache, oldest)
        _forget(state, cache, table, oldest)
    cache[entry].users = ON_HOST
    cache[entry].older = state.host_newest
    cache[entry].newer = NONE
    if state.host_newest == NONE:
        state.host_oldest = entry
    else:
        cache[state.host_newest].newer = entry
    state.host_newest = entry
    state.hosted += 1


@inlined
def make_room(free, state, cache, lookup, table):
    """Evict the idle entries for which `free` KV blocks have no room any more."""
    if table.prefix_tokens > 0:
        evict_down_to(state, cache, lookup, free // table.entry_blocks)


@called
def matching_blocks(cache, table, names, start, most):
    """How many of the blocks names[start:start + most] are cached, from the first on without a gap."""
    count = 0
    while count < most and find_entry(cache, table, names[start + count]) != NONE:
        count += 1
    return count


@compiled
def forget_all(server, cache, table):
    """Forget all entries, on chip and host; nobody uses any."""
    table[:] = 0
    for entry in range(cache.shape[0]):
        cache[entry].newer = entry + 1
    cache[cache.shape[0] - 1].newer = NONE
    server.spare = 0
    server.oldest, server.newest, server.idle = NONE, NONE, 0
    server.host_oldest, server.host_newest, server.hosted = NONE, NONE, 0
