"""The KV memory of one replica of the naive twin: who holds how many blocks, and the prefix cache in the free ones.

DESIGN.md: "Forming a step" (blocks), "Prefix caching", "Speculative decoding" (the reserve). Not here: who has to make
way when blocks are lacking (`naive_replica.py`, which is next).
"""

from collections import Counter

from infersim.dataplane.fleet import PoolCost
from tests.naive_sequence import Sequence


class Memory:
    """Blocks are counted, not placed."""

    def __init__(self, pool: PoolCost) -> None:
        self.pool = pool
        self.own: Counter[Sequence] = Counter()
        """Blocks of each sequence that are no entries of the prefix cache."""
        self.entries: dict[Sequence, list[int]] = {}
        """Names of the entries that a sequence uses, from its first block on."""
        self.cache = PrefixCache()
        self.entry_blocks = pool.prefix_tokens // pool.block_size
        """KV blocks of an entry; 0 without a prefix cache."""
        self.reserve = 0
        """Blocks kept for the draft tokens of the step that is being formed."""

    def blocks_for(self, tokens: int) -> int:
        return -(-tokens // self.pool.block_size)

    def used(self) -> int:
        """Blocks that somebody uses; idle entries of the prefix cache are free."""
        return self.own.total() + self.entry_blocks * len(self.cache.users)

    def free(self) -> int:
        """Blocks that are neither used nor kept for draft tokens."""
        return self.pool.blocks - self.used() - self.reserve

    def lacking(self, sequence: Sequence, tokens: int) -> int:
        """Blocks that a sequence needs beside those that it has, to hold so many tokens."""
        has = self.own[sequence] + self.entry_blocks * len(self.entries.get(sequence, ()))
        return self.blocks_for(tokens) - has

    def hold(self, sequence: Sequence, tokens: int) -> bool:
        """Let a sequence hold so many tokens, if the blocks are free."""
        lacking = self.lacking(sequence, tokens)
        if lacking > self.free():
            return False
        self.own[sequence] += lacking
        if self.entry_blocks:
            self.cache.evict_down_to(self.free() // self.entry_blocks)
        return True

    def release(self, sequence: Sequence) -> None:
        """Free all that a sequence holds, its last entry first."""
        del self.own[sequence]
        for name in reversed(self.entries.pop(sequence, [])):
            self.cache.release(name)

    # --- prefix cache

    def matching(self, sequence: Sequence) -> list[int]:
        """Names of the entries that a sequence would take over if it were admitted."""
        if not self.entry_blocks or sequence.brings_kv():
            return []
        found: list[int] = []
        for name in sequence.names[: (sequence.prompt - 1) // self.pool.prefix_tokens]:
            if not self.cache.has(name):
                break
            found.append(name)
        return found

    def take_over(self, sequence: Sequence, names: list[int]) -> None:
        self.entries[sequence] = names
        for name in names:
            self.cache.use(name)

    def name_blocks(self, sequence: Sequence) -> None:
        """The prompt blocks that a chunk completed become entries; its own copy of one that exists is freed."""
        if self.entry_blocks:
            mine = self.entries[sequence]
            for name in sequence.names[len(mine) : sequence.computed // self.pool.prefix_tokens]:
                self.cache.use(name)
                mine.append(name)
                self.own[sequence] -= self.entry_blocks


class PrefixCache:
    """Which prefix blocks a replica has: how many sequences use each, and the idle ones, the oldest first."""

    def __init__(self) -> None:
        self.users: dict[int, int] = {}
        self.idle: dict[int, None] = {}

    def has(self, name: int) -> bool:
        return name in self.users or name in self.idle

    def use(self, name: int) -> None:
        self.users[name] = self.users.get(name, 0) + 1
        self.idle.pop(name, None)

    def release(self, name: int) -> None:
        self.users[name] -= 1
        if not self.users[name]:
            del self.users[name]
            self.idle[name] = None

    def evict_down_to(self, most: int) -> None:
        while len(self.idle) > most:
            del self.idle[next(iter(self.idle))]
