"""One replica of the naive twin: who waits, who runs, who holds which KV blocks, and what its next step holds.

Written from DESIGN.md, section "What the data plane does, exactly". Nothing here knows of time beyond `now`, of other
replicas, or of what a step costs: that is `naive.py`.
"""

import math
from dataclasses import dataclass, field

from tests.naive_sequence import PrefixCache, Sequence
from tests.twin.case import Pool


@dataclass(eq=False)
class Replica:
    """One engine: a queue in its order, a batch in order of admission, KV blocks and the step that runs, if any."""

    index: int
    serial: int
    pool_index: int
    pool: Pool
    ready: bool = True
    outstanding: int = 0
    queue: list[Sequence] = field(default_factory=list)
    batch: list[Sequence] = field(default_factory=list)
    leaving: list[Sequence] = field(default_factory=list)
    """Of a prefill pool: prompt processed, and not sent yet."""
    link_free_at: float = 0.0
    cache: PrefixCache = field(default_factory=PrefixCache)
    rows: int = 0
    """Of the static batch that decodes, 0 otherwise."""
    step: list[tuple[Sequence, int]] = field(default_factory=list)
    step_start: float = math.nan
    step_end: float = math.nan
    reserve: int = 0
    """Blocks kept for draft tokens in the step that is being formed."""
    copied_blocks: int = 0
    """Between chip and host, in the step."""
    victims: list[Sequence] = field(default_factory=list)
    """Preempted while the step was formed."""
    short_of_blocks: bool = False
    """Whether one of them was preempted for want of blocks, and not for one of higher priority."""
    eligible_until: float = math.inf

    # --- KV blocks

    @property
    def entry_blocks(self) -> int:
        return self.pool.prefix_tokens // self.pool.block_size

    def free(self) -> int:
        """Blocks that nobody uses; idle entries of the prefix cache are among them."""
        in_use = sum(each.blocks for each in self.batch + self.leaving) + self.entry_blocks * len(self.cache.users)
        return self.pool.blocks - in_use

    def available(self) -> int:
        """Blocks that are neither used nor kept for draft tokens."""
        return self.free() - self.reserve

    def lacking(self, sequence: Sequence, tokens: int) -> int:
        """Blocks that a sequence needs beside those that it has, to hold so many tokens."""
        return self.pool.blocks_for(tokens) - sequence.blocks - self.entry_blocks * len(sequence.entries)

    def hold(self, sequence: Sequence, tokens: int) -> bool:
        """Let a sequence of the batch hold so many tokens, if the blocks are free."""
        lacking = self.lacking(sequence, tokens)
        if lacking > self.available():
            return False
        sequence.blocks += lacking
        if self.entry_blocks:
            self.cache.evict_down_to(self.available() // self.entry_blocks)
        return True

    def name_blocks(self, sequence: Sequence) -> None:
        """The prompt blocks that a chunk completed become entries; its own copy of one that exists is freed."""
        if self.entry_blocks:
            for name in sequence.names[len(sequence.entries) : sequence.computed // self.pool.prefix_tokens]:
                self.cache.use(name)
                sequence.entries.append(name)
                sequence.blocks -= self.entry_blocks

    def release(self, sequence: Sequence) -> None:
        """Free all that a sequence holds, its last entry first."""
        sequence.blocks = 0
        while sequence.entries:
            self.cache.release(sequence.entries.pop())

    # --- the queue

    def enqueue(self, sequence: Sequence, now: float, first: bool = False) -> None:
        sequence.queued_at = now
        order = self.pool.queue_order
        if order == "fcfs":
            self.queue.insert(0 if first else len(self.queue), sequence)
            return
        keys = {
            "priority": lambda each: -each.priority,
            "shortest_job": lambda each: each.input_tokens,
            "earliest_deadline": lambda each: each.arrival_s + each.deadline_s,
        }
        self.queue.append(sequence)
        self.queue.sort(key=lambda each: (keys[order](each), each.order))

    def eligible(self, sequence: Sequence) -> bool:
        return sequence.queued_at <= self.eligible_until and sequence not in self.victims

    def gathers_at(self) -> float:
        """From when on the queue may be gathered to a batch, the batch being empty."""
        if self.pool.batching != "dynamic" or len(self.queue) >= self.pool.max_num_seqs:
            return -math.inf
        return self.queue[0].queued_at + self.pool.max_queue_delay_s

    def victim(self) -> Sequence:
        running = [each for each in self.batch if not each.complete()]
        lowest = min(each.priority for each in running) if self.pool.queue_order == "priority" else None
        return [each for each in running if lowest in (None, each.priority)][-1]

    def preempt(self, sequence: Sequence, now: float) -> None:
        sequence.enter("preempted", now)
        sequence.preemptions += 1
        self.release(sequence)
        self.batch.remove(sequence)
        if self.pool.swap and sequence.decoding():
            sequence.swapped = True
            self.copied_blocks += self.pool.blocks_for(sequence.computed)
        else:
            sequence.computed, sequence.prompt = 0, sequence.input_tokens + len(sequence.token_times)
        self.victims.append(sequence)
        self.enqueue(sequence, now, first=True)

    # --- forming a step

    def form_step(self, eligible_until: float, now: float) -> None:
        """Fill `step` with sequences and their tokens, `copied_blocks` and `rows`; nothing to do leaves it empty."""
        self.step, self.reserve, self.copied_blocks, self.victims, self.short_of_blocks = [], 0, 0, [], False
        left_alone = not self.batch and self.queue and self.queue[0].queued_at > eligible_until
        self.eligible_until = math.inf if left_alone else eligible_until
        if not self.batch and self.queue and self.gathers_at() > now:
            return
        if not self.rows:
            self.make_way(now)
        if self.pool.batching == "chunked_prefill":
            budget = self.form_decode(now)
            self.form_prompts(budget, now)
            return
        if not self.rows:
            self.form_prompts(self.pool.max_num_batched_tokens, now)
        if not self.step:
            self.form_decode(now)
            if self.pool.batching in ("static", "dynamic") and not self.rows:
                self.rows = len(self.step)

    def make_way(self, now: float) -> None:
        """Preempt sequences of lower priority than the head of the queue while it is blocked."""
        pool = self.pool
        while self.queue and self.batch and pool.queue_order == "priority" and self.eligible(self.queue[0]):
            head, decoding = self.queue[0], [each for each in self.batch if each.decoding()]
            target = head.input_tokens + len(head.token_times)
            chunk = min(target, pool.max_num_batched_tokens - pool.width * len(decoding))
            room = self.free() - self.claims() - pool.watermark_blocks
            blocked = len(self.batch) >= pool.max_num_seqs or pool.blocks_for(chunk) > room
            if chunk <= 0 or not blocked or self.victim().priority >= head.priority:
                break
            self.preempt(self.victim(), now)

    def form_decode(self, now: float) -> int:
        """A token and its drafts for each decoding sequence, blocks for all first; return the budget that is left."""
        while self.claims() > self.free():
            self.preempt(self.victim(), now)
            self.short_of_blocks = True
        decoding = [each for each in self.batch if each.decoding()]
        self.reserve = self.pool.draft_blocks * len(decoding)
        for sequence in decoding:
            self.hold(sequence, sequence.computed + 1)
            self.step.append((sequence, self.pool.width))
        return self.pool.max_num_batched_tokens - self.pool.width * len(decoding)

    def claims(self) -> int:
        """Blocks that the decoding sequences need for their next tokens, sure or drafted."""
        decoding = [each for each in self.batch if each.decoding()]
        return sum(self.lacking(each, each.computed + 1) + self.pool.draft_blocks for each in decoding)

    def form_prompts(self, budget: int, now: float) -> None:
        """The partly prefilled sequence goes on; then admissions, unless somebody was preempted for lack of blocks."""
        partly = [each for each in self.batch if each.computed < each.prompt]
        if partly and budget > 0:
            sequence = partly[0]
            chunk = min(sequence.prompt - sequence.computed, budget)
            if self.hold(sequence, sequence.computed + chunk):
                self.step.append((sequence, chunk))
                budget -= chunk
            else:
                self.preempt(sequence, now)
                self.short_of_blocks = True
        while not self.short_of_blocks and (tokens := self.admit(budget, now)):
            budget -= tokens

    def admit(self, budget: int, now: float) -> int:
        """Admit the head of the queue, if that may be; return its tokens in the step."""
        if not (
            self.queue and budget > 0 and len(self.batch) < self.pool.max_num_seqs and self.eligible(self.queue[0])
        ):
            return 0
        head, matching, drafted = self.queue[0], [], 0
        if head.brings_kv():
            computed, tokens, drafted = head.computed, self.pool.width, self.pool.draft_blocks
            if tokens > budget:
                return 0
        else:
            matching = self.matching(head)
            computed = self.pool.prefix_tokens * len(matching)
            tokens = min(head.prompt - computed, budget)
            whole_only = self.pool.batching != "chunked_prefill" and self.step
            if whole_only and tokens < head.prompt - computed:
                return 0
        in_use = sum(name in self.cache.users for name in matching)
        will_hold = computed + (1 if head.brings_kv() else tokens)
        needed = self.pool.blocks_for(will_hold) - self.entry_blocks * in_use + drafted
        if needed + (self.pool.watermark_blocks if self.batch else 0) > self.available():
            return 0
        self.batch.append(self.queue.pop(0))
        self.reserve += drafted
        for name in matching:
            self.cache.use(name)
        head.entries, head.computed = matching, computed
        self.hold(head, will_hold)
        if head.cached_tokens is None:
            head.cached_tokens = computed
        if head.swapped:
            self.copied_blocks += self.pool.blocks_for(computed)
        head.swapped, head.source = False, None
        head.enter("decode" if head.decoding() else "prefill", now)
        self.step.append((head, tokens))
        return tokens

    def matching(self, sequence: Sequence) -> list[int]:
        """Names of the entries that a sequence takes over when it is admitted."""
        if not self.entry_blocks:
            return []
        found: list[int] = []
        for name in sequence.names[: (sequence.prompt - 1) // self.pool.prefix_tokens]:
            if not self.cache.has(name):
                break
            found.append(name)
        return found
