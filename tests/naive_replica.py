"""One replica of the naive twin: who waits, who runs, who has to make way, which adapters and models are loaded.

DESIGN.md: "Queue order" (victims), "Preemption by swap", "Adapters". Nothing here knows of other replicas or of what a
step costs. How its next step is put together is in `naive_forming.py`, which is next.
"""

import math
from collections import Counter
from dataclasses import dataclass, field

from infersim.dataplane.fleet import PoolCost
from tests.naive_adapters import NONE, Slots
from tests.naive_memory import Memory
from tests.naive_models import Zoo
from tests.naive_queue import Queue
from tests.naive_sequence import Sequence


@dataclass(eq=False)
class Replica:
    """One engine: a queue, a batch in order of admission, KV memory, and the step that runs, if any."""

    index: int
    serial: int
    pool_index: int
    pool: PoolCost
    """With its active model."""
    memory: Memory = field(init=False)
    queue: Queue = field(init=False)
    slots: Slots = field(init=False)
    zoo: Zoo = field(init=False)
    asked: int = field(init=False)
    switching: bool = False
    """Whether it is on the way to its active model, until step_end."""
    ready: bool = True
    failed: bool = False
    outstanding: int = 0
    coming_tokens: int = 0
    """Of the prompts in its front end."""
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
    looks_at: float = math.nan
    """When a step ends or one may be formed."""
    steps: int = 0
    """That it has run."""
    copied_blocks: int = 0
    """Between chip and host, in that step."""
    loaded_ranks: int = 0
    """Of the adapters that it loads."""
    adapters_admitted: Counter[str] = field(default_factory=Counter)
    """What its admissions of sequences with an adapter add to the tally."""
    shape: dict = field(default_factory=dict)
    """What that step has added to the tally,"""
    written: list = field(default_factory=list)
    """and where it is written down."""
    slowdown: float = 1.0

    def __post_init__(self) -> None:
        self.memory, self.queue, self.slots = Memory(self.pool), Queue(self.pool), Slots(self.pool.adapter_slots)
        self.zoo = Zoo(self.pool)
        self.asked = self.pool.model
        self.drafts = len(self.pool.acceptance)

    def can_ever_serve(self, sequence: Sequence) -> bool:
        pool, total = self.cost_of(sequence), sequence.request.input_tokens + sequence.request.output_tokens
        narrow = sequence.request.width <= pool.max_num_seqs
        plain = sequence.request.adapter == NONE or pool.adapter_slots > 0
        short = (
            total <= pool.max_context
            and Memory(pool).most_blocks(sequence, sequence.request.output_tokens) <= pool.blocks
        )
        return narrow and plain and short

    def cost_of(self, sequence: Sequence) -> PoolCost:
        """What the model costs that a sequence asks for."""
        return self.zoo.costs[sequence.request.model]

    def refuses(self, sequence: Sequence) -> str | None:
        """How the attempt that is routed here ends at once, if it does."""
        if not self.can_ever_serve(sequence):
            return "rejected"
        before = self.outstanding - 1 - len(self.batch) - len(self.leaving)
        if self.pool.max_queued is not None and before >= self.pool.max_queued:
            return "queue_full"
        work_s = self.queued_tokens() * prompt_token_s(self.cost_of(sequence))
        return "overloaded" if work_s > self.pool.max_queued_work_s else None

    def queued_tokens(self) -> int:
        """Of prompts that are still to be processed, in front end and queue."""
        return self.coming_tokens + sum(each.prompt for each in self.queue.waiting if not each.brings_kv())

    def decoding(self) -> list[Sequence]:
        return [each for each in self.batch if each.decoding()]

    def seats(self) -> int:
        """How many more rows the batch may have."""
        return self.pool.max_num_seqs - sum(each.request.width for each in self.batch)

    def tokens_of(self, sequence: Sequence) -> int:
        """Tokens in a step of one that decodes: one for each row, and the drafted ones."""
        return sequence.request.width + self.drafts

    def claim_of(self, sequence: Sequence) -> int:
        """Blocks that one that decodes needs for its next tokens."""
        return self.memory.lacking(sequence, self.memory.blocks_of_rows(sequence, sequence.computed + 1))

    def adapters_in_use(self) -> set[int]:
        return {each.request.adapter for each in self.batch if each.request.adapter != NONE}

    def leave_batch(self, sequence: Sequence) -> None:
        """Its seat is free, and its adapter if it was the last to use it."""
        self.batch.remove(sequence)
        if sequence.request.adapter not in self.adapters_in_use():
            self.slots.disused(sequence.request.adapter)

    def enqueue(self, sequence: Sequence, now: float, preempted: bool = False) -> None:
        self.queue.enter(sequence, now, preempted)

    def gathers_at(self) -> float:
        """From when on the queue may be gathered to a batch, the batch being empty."""
        queued_rows = sum(each.request.width for each in self.queue.waiting)
        if self.pool.batching != "dynamic" or queued_rows >= self.pool.max_num_seqs:
            return -math.inf
        return self.queue.head().queued_at + self.pool.max_queue_delay_s

    def victim(self) -> Sequence:
        running = [each for each in self.batch if not each.complete()]
        lowest = min(each.request.priority for each in running) if self.pool.queue_order == "priority" else None
        return [each for each in running if lowest in (None, each.request.priority)][-1]

    def preempt(self, sequence: Sequence, now: float) -> None:
        """Back to the queue; its computed tokens are forgotten, or swapped to the host."""
        sequence.request.enter("preempted", now)
        sequence.request.preemptions += 1
        self.memory.release(sequence)
        self.leave_batch(sequence)
        if self.pool.swap and sequence.decoding():
            sequence.swapped = True
            self.copied_blocks += self.memory.blocks_of_rows(sequence, sequence.computed)
        else:
            sequence.forget()
        self.enqueue(sequence, now, preempted=True)


def prompt_token_s(pool: PoolCost) -> float:
    """The least time that a token of a prompt takes."""
    return pool.linear_s[-1] / pool.max_num_batched_tokens
