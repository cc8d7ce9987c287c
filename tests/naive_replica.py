"""One replica of the naive twin: who waits and in which order, who runs, and who has to make way.

DESIGN.md: "Queue order", "Preemption by swap". Nothing here knows of other replicas or of what a step costs. How its
next step is put together is in `naive_forming.py`, which is next.
"""

import bisect
import math
from dataclasses import dataclass, field

from infersim.dataplane.fleet import PoolCost
from tests.naive_memory import Memory
from tests.naive_sequence import Sequence

KEYS = {
    "priority": lambda each: -each.priority,
    "shortest_job": lambda each: each.input_tokens,
    "earliest_deadline": lambda each: each.arrival_s + each.deadline_s,
}
"""What a sorted queue is sorted by."""


@dataclass(eq=False)
class Replica:
    """One engine: a queue in its order, a batch in order of admission, KV memory, and the step that runs, if any."""

    index: int
    serial: int
    pool_index: int
    pool: PoolCost
    memory: Memory = field(init=False)
    ready: bool = True
    outstanding: int = 0
    queue: list[Sequence] = field(default_factory=list)
    batch: list[Sequence] = field(default_factory=list)
    leaving: list[Sequence] = field(default_factory=list)
    """Of a prefill pool: prompt processed, and not sent yet."""
    link_free_at: float = 0.0
    rows: int = 0
    """Of the static batch that decodes, 0 otherwise."""
    step: list[tuple[Sequence, int]] = field(default_factory=list)
    """Who has how many tokens in the step that runs; empty when idle."""
    step_start: float = math.nan
    step_end: float = math.nan
    copied_blocks: int = 0
    """Between chip and host, in that step."""

    def __post_init__(self) -> None:
        self.memory = Memory(self.pool)
        self.width = 1 + len(self.pool.acceptance)
        """Tokens of a decoding sequence in a step: its own and the drafted ones."""
        self.draft_blocks = self.memory.blocks_for(len(self.pool.acceptance))
        """Blocks that the drafted ones may need."""

    def can_ever_serve(self, sequence: Sequence) -> bool:
        total = sequence.input_tokens + sequence.output_tokens
        needed = self.memory.blocks_for(total - 1) + self.draft_blocks
        return total <= self.pool.max_context and needed <= self.pool.blocks

    def decoding(self) -> list[Sequence]:
        return [each for each in self.batch if each.decoding()]

    # --- the queue

    def enqueue(self, sequence: Sequence, now: float, first: bool = False) -> None:
        sequence.queued_at = now
        if self.pool.queue_order == "fcfs":
            self.queue.insert(0 if first else len(self.queue), sequence)
            return
        key = KEYS[self.pool.queue_order]
        bisect.insort(self.queue, sequence, key=lambda each: (key(each), each.order))

    def gathers_at(self) -> float:
        """From when on the queue may be gathered to a batch, the batch being empty."""
        if self.pool.batching != "dynamic" or len(self.queue) >= self.pool.max_num_seqs:
            return -math.inf
        return self.queue[0].queued_at + self.pool.max_queue_delay_s

    # --- preemption

    def victim(self) -> Sequence:
        running = [each for each in self.batch if not each.complete()]
        lowest = min(each.priority for each in running) if self.pool.queue_order == "priority" else None
        return [each for each in running if lowest in (None, each.priority)][-1]

    def preempt(self, sequence: Sequence, now: float) -> None:
        """Back to the queue; its computed tokens are forgotten, or swapped to the host."""
        sequence.enter("preempted", now)
        sequence.preemptions += 1
        self.memory.release(sequence)
        self.batch.remove(sequence)
        if self.pool.swap and sequence.decoding():
            sequence.swapped = True
            self.copied_blocks += self.memory.blocks_for(sequence.computed)
        else:
            sequence.computed, sequence.prompt = 0, sequence.input_tokens + len(sequence.token_times)
        self.enqueue(sequence, now, first=True)
