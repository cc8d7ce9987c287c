"""How the naive twin forms the next step of a replica.

DESIGN.md: "Forming a step", "Batching policies", "Watermark", priorities, who waits for an adapter. Not here: what the step costs
(`naive_record.py`, which is next).
"""

import math
from collections import Counter
from types import SimpleNamespace

from tests.naive_adapters import NONE
from tests.naive_replica import Replica
from tests.naive_sequence import Sequence
from tests.twin.own import own_shape


class Forming:
    """The step of one replica at one time, while it is being formed; `fill` leaves it in `replica.step`."""

    def __init__(self, replica: Replica, eligible_until: float, now: float) -> None:
        self.replica, self.pool, self.memory, self.now = replica, replica.pool, replica.memory, now
        head = replica.queue.head()
        left_alone = not replica.batch and head and head.queued_at > eligible_until
        self.eligible_until = math.inf if left_alone else eligible_until
        self.budget = self.pool.max_num_batched_tokens
        self.victims: list[Sequence] = []
        self.aside: list[Sequence] = []
        """Who finds no slot for an adapter, or asks for another model."""
        self.short_of_blocks = False
        """Whether somebody was preempted for want of blocks, and not for one of higher priority."""
        self.whole_only = self.pool.batching not in ("chunked_prefill", "own")
        """Whether only the first prompt of a step may be cut."""
        replica.step, replica.copied_blocks, self.memory.reserve = [], 0, 0
        replica.loaded_ranks, replica.adapters_admitted = 0, Counter()

    def fill(self) -> None:
        """Nothing to do leaves the step empty."""
        replica = self.replica
        if not replica.batch and replica.queue.head() and replica.gathers_at() > self.now:
            return
        if not replica.rows:
            self.make_way()
        if self.pool.batching == "chunked_prefill":
            self.decode()
            self.process_prompts()
            return
        if self.pool.batching == "own":
            self.form_as_asked()
            return
        if not replica.rows:
            self.process_prompts()
        if not replica.step:
            self.decode()
            if self.pool.batching in ("static", "dynamic") and not replica.rows:
                replica.rows = sum(each.request.width for each, _ in replica.step)

    def form_as_asked(self) -> None:
        """As the user's policy says; as chunked_prefill would if nothing came of it."""
        if not (self.replica.batch or self.replica.queue.waiting):
            return
        everything = (self.pool.max_num_batched_tokens, 1, 1)
        for prompts, decode, admit in (own_shape(self.replica.pool_index, self.state()), everything):
            if decode:
                self.decode()
            withheld, self.whole_only = max(0, self.budget - prompts), admit == 2
            self.budget -= withheld
            self.process_prompts(admit > 0)
            self.budget += withheld
            if self.replica.step:
                return

    def state(self) -> SimpleNamespace:
        """What a user's policy may know."""
        replica, pool, head = self.replica, self.pool, self.replica.queue.head()
        decoding = replica.decoding()
        return SimpleNamespace(
            pool=replica.pool_index,
            now_s=self.now,
            steps=replica.steps,
            waiting=rows(replica.queue.waiting),
            waiting_tokens=sum(each.prompt for each in replica.queue.waiting),
            head_tokens=head.prompt if head else 0,
            head_wait_s=self.now - head.queued_at if head else 0.0,
            running=rows(replica.batch),
            decoding=rows(decoding),
            context=sum(each.request.width * (each.computed + 1) for each in decoding),
            prefilling_tokens=sum(each.prompt - each.computed for each in replica.batch if not each.prefilled),
            kv_free=self.memory.free(),
            kv_blocks=pool.blocks,
            block_size=pool.block_size,
            max_num_seqs=pool.max_num_seqs,
            max_num_batched_tokens=pool.max_num_batched_tokens,
        )

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
        replica = self.replica
        if self.pool.queue_order != "priority":
            return
        while (head := replica.queue.head()) and replica.batch and self.eligible(head) and self.blocked(head):
            if head.request.model != self.pool.model:
                break
            if replica.victim().request.priority >= head.request.priority:
                break
            self.preempt(replica.victim())

    def blocked(self, head: Sequence) -> bool:
        """By seats or by blocks, once the decoding sequences have theirs; a lack of budget does not count."""
        replica, memory = self.replica, self.memory
        prompt = head.request.input_tokens + head.request.width * len(head.token_times)
        chunk = min(prompt, self.budget - sum(replica.tokens_of(each) for each in replica.decoding()))
        room = memory.free() - self.claims() - self.pool.watermark_blocks
        short = memory.per_run * memory.runs(chunk) > room or not self.keeps_promises(head)
        return chunk > 0 and (head.request.width > replica.seats() or short)

    def keeps_promises(self, head: Sequence) -> bool:
        """Whether all that the batch and the head may come to need fits, where admissions promise that."""
        batch = self.replica.batch
        if not (self.pool.promises and batch):
            return True
        return sum(self.memory.promised_blocks(each) for each in [*batch, head]) <= self.pool.blocks

    # --- decoding sequences

    def claims(self) -> int:
        """Blocks that the decoding sequences need for their next tokens, sure or drafted."""
        return sum(self.replica.claim_of(each) + self.memory.draft_blocks for each in self.replica.decoding())

    def decode(self) -> None:
        """A token for each row and the drafts of each decoding sequence; blocks for all of them first."""
        memory = self.memory
        while self.claims() > memory.free():
            self.preempt(self.replica.victim())
            self.short_of_blocks = True
        decoding = self.replica.decoding()
        memory.reserve = memory.draft_blocks * len(decoding)
        for sequence in decoding:
            memory.hold(sequence, memory.blocks_of_rows(sequence, sequence.computed + 1))
            self.give(sequence, self.replica.tokens_of(sequence))

    # --- prompts

    def process_prompts(self, admit: bool = True) -> None:
        """The partly prefilled sequence goes on; then admissions, unless somebody was preempted for want of blocks."""
        partly = [each for each in self.replica.batch if not each.prefilled]
        if partly and self.budget > 0:
            sequence = partly[0]
            chunk = min(sequence.prompt - sequence.computed, self.budget)
            if self.memory.hold(sequence, self.memory.blocks_during_chunk(sequence, sequence.computed, chunk)):
                self.give(sequence, chunk)
            else:
                self.preempt(sequence)
                self.short_of_blocks = True
        while admit and not self.short_of_blocks and (head := self.next_to_admit()) and self.admit(head):
            pass

    def next_to_admit(self) -> Sequence | None:
        """The first in the queue whose model is active and whose adapter finds a slot, if turns, time, seats and budget allow."""
        replica = self.replica
        while (head := replica.queue.head(self.aside)) and self.budget > 0:
            if head.request.model != self.pool.model:
                if self.now >= head.queued_at + self.pool.turn_s:
                    return None
                self.aside.append(head)
                continue
            if not self.eligible(head) or head.request.width > replica.seats():
                return None
            if replica.slots.find(head.request.adapter, replica.adapters_in_use()):
                return head
            self.aside.append(head)
        return None

    def admit(self, head: Sequence) -> bool:
        """Admit the head of the queue, if budget and blocks allow."""
        replica, memory = self.replica, self.memory
        if not self.keeps_promises(head):
            return False
        matching, drafted = memory.matching(head), 0
        if head.brings_kv():
            computed, tokens, drafted = head.computed, replica.tokens_of(head), memory.draft_blocks
            will_hold = memory.blocks_of_rows(head, computed + 1)
            if tokens > self.budget:
                return False
        else:
            computed = self.pool.prefix_tokens * len(matching)
            tokens = min(head.prompt - computed, self.budget)
            will_hold = memory.blocks_during_chunk(head, computed, tokens)
            if self.whole_only and replica.step and computed + tokens < head.prompt:
                return False
        in_use = sum(name in memory.cache.users for name in matching)
        needed = will_hold - memory.entry_blocks * in_use + drafted
        if needed + (self.pool.watermark_blocks if replica.batch else 0) > memory.free():
            return False
        replica.queue.leave(head)
        if head.request.adapter != NONE:
            loads = replica.slots.load(head.request.adapter, replica.adapters_in_use())
            replica.loaded_ranks += loads * head.request.adapter_rank
            replica.adapters_admitted.update(adapter_admissions=1, adapter_loads=loads)
        replica.batch.append(head)
        from_host = memory.take_over(head, matching)
        memory.reserve += drafted
        memory.hold(head, will_hold)
        replica.copied_blocks += memory.entry_blocks * from_host
        if head.swapped:
            replica.copied_blocks += memory.blocks_of_rows(head, computed)
        if head.cached_tokens is None:
            head.cached_tokens, head.host_cached_tokens = computed, self.pool.prefix_tokens * from_host
            replica.queue.charge(head, self.pool.input_weight * (0 if head.brings_kv() else head.prompt - computed))
        head.computed, head.swapped, head.source, head.admitted = computed, False, None, True
        head.request.enter("decode" if head.decoding() else "prefill", self.now)
        self.give(head, tokens)
        return True


def rows(sequences: list[Sequence]) -> int:
    """How many rows they have, or will have when their prompts are processed."""
    return sum(each.request.width for each in sequences)
