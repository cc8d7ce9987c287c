"""The KV memory of one replica of the naive twin: who holds how many blocks, and the prefix cache in the free ones.

DESIGN.md: "Forming a step" (blocks), "Prefix caching", "Host tier", "Sliding windows", "Width", "Speculative decoding"
(the reserve). Not here: who has to make way when blocks are lacking. Read `naive_queue.py` next.
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
        self.cache = PrefixCache(pool.host_entries)
        self.entry_blocks = pool.prefix_tokens // pool.block_size
        """KV blocks of an entry; 0 without a prefix cache."""
        self.reserve = 0
        """Blocks kept for the draft tokens of the step that is being formed."""
        self.per_run = pool.full_blocks + pool.window_blocks
        """Blocks of block_size new tokens, windowed layers included."""
        self.draft_blocks = self.per_run * self.runs(len(pool.acceptance))
        """Blocks that the draft tokens of a sequence may need."""

    # --- how many blocks

    def runs(self, tokens: int) -> int:
        """How many times block_size tokens hold so many."""
        return -(-tokens // self.pool.block_size)

    def most_runs_in_window(self) -> int:
        return self.runs(self.pool.window_tokens - 1) + 1

    def blocks_of_prompt(self, tokens: int) -> int:
        """Blocks of the first tokens of a prompt, once their chunk has been processed."""
        runs = self.runs(tokens)
        return self.pool.full_blocks * runs + self.pool.window_blocks * min(runs, self.most_runs_in_window())

    def blocks_of_rows(self, sequence: Sequence, tokens: int) -> int:
        """Blocks of one whose prompt is processed, with so many tokens in each row."""
        shared, runs = sequence.request.input_tokens // self.pool.block_size, self.runs(tokens)
        in_full = shared + sequence.request.width * (runs - shared)
        in_window = sequence.request.width * min(runs, self.most_runs_in_window())
        return self.pool.full_blocks * in_full + self.pool.window_blocks * in_window

    def blocks_during_chunk(self, sequence: Sequence, computed: int, chunk: int) -> int:
        """Blocks in the step that processes a chunk of the prompt after so many computed tokens."""
        new_runs = self.runs(computed + chunk) - self.runs(computed)
        blocks = self.blocks_of_prompt(computed) + self.per_run * new_runs
        if computed + chunk < sequence.prompt or self.pool.role == "prefill":
            return blocks
        return max(blocks, self.blocks_of_rows(sequence, sequence.request.input_tokens + len(sequence.token_times)))

    def promised_blocks(self, sequence: Sequence) -> int:
        """What an admission promises to a sequence: all that it may need before it leaves."""
        return self.most_blocks(sequence, 1 if self.pool.role == "prefill" else sequence.request.output_tokens)

    def most_blocks(self, sequence: Sequence, output_tokens: int) -> int:
        """What a sequence with so many output tokens may need, whatever befalls it."""
        output = max(output_tokens, 1)
        rows = self.blocks_of_rows(sequence, sequence.request.input_tokens + output - 1)
        runs = self.runs(sequence.request.input_tokens + sequence.request.width * (output - 1))
        in_window = min(runs, self.most_runs_in_window() + self.runs(self.pool.max_num_batched_tokens))
        prompt = self.pool.full_blocks * runs + self.pool.window_blocks * in_window
        return max(rows, prompt) + self.draft_blocks

    # --- who has them

    def used(self) -> int:
        """Blocks that somebody uses; idle entries of the prefix cache are free."""
        return self.own.total() + self.entry_blocks * len(self.cache.users)

    def free(self) -> int:
        """Blocks that are neither used nor kept for draft tokens."""
        return self.pool.blocks - self.used() - self.reserve

    def lacking(self, sequence: Sequence, blocks: int) -> int:
        """Blocks that a sequence needs beside those that it has, to hold so many."""
        return blocks - self.own[sequence] - self.entry_blocks * len(self.entries.get(sequence, ()))

    def hold(self, sequence: Sequence, blocks: int) -> bool:
        """Let a sequence hold so many blocks, if they are free."""
        lacking = self.lacking(sequence, blocks)
        if lacking > max(self.free(), 0):
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
        for name in sequence.request.names[: (sequence.prompt - 1) // self.pool.prefix_tokens]:
            if not self.cache.has(name):
                break
            found.append(name)
        return found

    def take_over(self, sequence: Sequence, names: list[int]) -> int:
        """Let a sequence use these entries; return how many of them were on the host."""
        on_host = sum(name in self.cache.host for name in names)
        self.entries[sequence] = names
        for name in names:
            self.cache.use(name)
        return on_host

    def name_blocks(self, sequence: Sequence) -> None:
        """The prompt blocks that a chunk completed become entries; its own copy of one that exists is freed."""
        if self.entry_blocks:
            mine = self.entries[sequence]
            for name in sequence.request.names[len(mine) : sequence.computed // self.pool.prefix_tokens]:
                self.cache.use(name)
                mine.append(name)
                self.own[sequence] -= self.entry_blocks


class PrefixCache:
    """Which prefix blocks a replica has: how many sequences use each, and the idle and hosted ones, the oldest first."""

    def __init__(self, host_entries: int) -> None:
        self.users: dict[int, int] = {}
        self.idle: dict[int, None] = {}
        self.host: dict[int, None] = {}
        self.host_entries = host_entries

    def has(self, name: int) -> bool:
        return name in self.users or name in self.idle or name in self.host

    def use(self, name: int) -> None:
        self.users[name] = self.users.get(name, 0) + 1
        self.idle.pop(name, None)
        self.host.pop(name, None)

    def release(self, name: int) -> None:
        self.users[name] -= 1
        if not self.users[name]:
            del self.users[name]
            self.idle[name] = None

    def evict_down_to(self, most: int) -> None:
        while len(self.idle) > most:
            name = next(iter(self.idle))
            del self.idle[name]
            self.host[name] = None
            if len(self.host) > self.host_entries:
                del self.host[next(iter(self.host))]
