"""How the naive twin forms the next step of a replica.

DESIGN.md: "Forming a step", "Batching policies", "Watermark". Not here: what happens when the step ends
(`naive_ending.py`, which is next).
"""

import math

from tests.naive_replica import Replica
from tests.naive_sequence import Sequence


class Forming:
    """The step of one replica at one time, while it is being formed; `fill` leaves it in `replica.step`."""

    def __init__(self, replica: Replica, eligible_until: float, now: float) -> None:
        self.replica, self.pool, self.memory, self.now = replica, replica.pool, replica.memory, now
        queue = replica.queue
        left_alone = not replica.batch and queue and queue[0].queued_at > eligible_until
        self.eligible_until = math.inf if left_alone else eligible_until
        self.budget = self.pool.max_num_batched_tokens
        self.victims: list[Sequence] = []
        self.short_of_blocks = False
        """Whether somebody was preempted for want of blocks, and not for one of higher priority."""
        replica.step, replica.copied_blocks, self.memory.reserve = [], 0, 0

    def fill(self) -> None:
        """Nothing to do leaves the step empty."""
        replica = self.replica
        if not replica.batch and replica.queue and replica.gathers_at() > self.now:
            return
        if not replica.rows:
            self.make_way()
        if self.pool.batching == "chunked_prefill":
            self.decode()
            self.process_prompts()
            return
        if not replica.rows:
            self.process_prompts()
        if not replica.step:
            self.decode()
            if self.pool.batching in ("static", "dynamic") and not replica.rows:
                replica.rows = len(replica.step)

    def give(self, sequence: Sequence, tokens: int) -> None:
        """A sequence gets tokens in the step."""
        self.replica.step.append((sequence, tokens))
        self.budget -= tokens

    def preempt(self, sequence: Sequence) -> None:
        self.replica.preempt(sequence, self.now)
        self.victims.append(sequence)

    def eligible(self, sequence: Sequence) -> bool:
        return sequence.queued_at <= self.eligible_until and sequence not in self.victims

    # --- those of lower priority

    def make_way(self) -> None:
        """Preempt sequences of lower priority than the head of the queue while it is blocked."""
        replica, queue = self.replica, self.replica.queue
        if self.pool.queue_order != "priority":
            return
        while queue and replica.batch and self.eligible(queue[0]) and self.blocked(queue[0]):
            if replica.victim().priority >= queue[0].priority:
                break
            self.preempt(replica.victim())

    def blocked(self, head: Sequence) -> bool:
        """By max_num_seqs or by blocks, once the decoding sequences have theirs; a lack of budget does not count."""
        replica = self.replica
        prompt = head.input_tokens + len(head.token_times)
        chunk = min(prompt, self.budget - replica.width * len(replica.decoding()))
        room = self.memory.free() - self.claims() - self.pool.watermark_blocks
        full = len(replica.batch) >= self.pool.max_num_seqs
        return chunk > 0 and (full or self.memory.blocks_for(chunk) > room)

    # --- decoding sequences

    def claims(self) -> int:
        """Blocks that the decoding sequences need for their next tokens, sure or drafted."""
        decoding = self.replica.decoding()
        return sum(self.memory.lacking(each, each.computed + 1) + self.replica.draft_blocks for each in decoding)

    def decode(self) -> None:
        """A token and its drafts for each decoding sequence; blocks for all of them first."""
        while self.claims() > self.memory.free():
            self.preempt(self.replica.victim())
            self.short_of_blocks = True
        decoding = self.replica.decoding()
        self.memory.reserve = self.replica.draft_blocks * len(decoding)
        for sequence in decoding:
            self.memory.hold(sequence, sequence.computed + 1)
            self.give(sequence, self.replica.width)

    # --- prompts

    def process_prompts(self) -> None:
        """The partly prefilled sequence goes on; then admissions, unless somebody was preempted for want of blocks."""
        partly = [each for each in self.replica.batch if each.computed < each.prompt]
        if partly and self.budget > 0:
            sequence = partly[0]
            chunk = min(sequence.prompt - sequence.computed, self.budget)
            if self.memory.hold(sequence, sequence.computed + chunk):
                self.give(sequence, chunk)
            else:
                self.preempt(sequence)
                self.short_of_blocks = True
        while not self.short_of_blocks and self.may_admit() and self.admit(self.replica.queue[0]):
            pass

    def may_admit(self) -> bool:
        queue, full = self.replica.queue, len(self.replica.batch) >= self.pool.max_num_seqs
        return bool(queue) and self.budget > 0 and not full and self.eligible(queue[0])

    def admit(self, head: Sequence) -> bool:
        """Admit the head of the queue, if budget and blocks allow."""
        replica, memory = self.replica, self.memory
        matching, drafted = memory.matching(head), 0
        if head.brings_kv():
            computed, tokens, drafted = head.computed, replica.width, replica.draft_blocks
            will_hold = computed + 1
            if tokens > self.budget:
                return False
        else:
            computed = self.pool.prefix_tokens * len(matching)
            tokens = min(head.prompt - computed, self.budget)
            will_hold = computed + tokens
            whole_only = self.pool.batching != "chunked_prefill" and replica.step
            if whole_only and will_hold < head.prompt:
                return False
        in_use = sum(name in memory.cache.users for name in matching)
        needed = memory.blocks_for(will_hold) - memory.entry_blocks * in_use + drafted
        if needed + (self.pool.watermark_blocks if replica.batch else 0) > memory.free():
            return False
        replica.batch.append(replica.queue.pop(0))
        memory.reserve += drafted
        memory.take_over(head, matching)
        head.computed = computed
        memory.hold(head, will_hold)
        if head.cached_tokens is None:
            head.cached_tokens = computed
        if head.swapped:
            replica.copied_blocks += memory.blocks_for(computed)
        head.swapped, head.source = False, None
        head.enter("decode" if head.decoding() else "prefill", self.now)
        self.give(head, tokens)
        return True
