"""The naive twin: what the data plane does, in plain Python, one event a step, nothing leapt over.

Written from DESIGN.md, section "What the data plane does, exactly", and not from the compiled loop; the two must agree.
Obvious before fast, and it shares only the record and tally layouts with the loop. Read `twin/test_twin.py` next.
"""

import heapq
import math
from dataclasses import dataclass, field

import numpy as np

from infersim.dataplane.records import FINISHED, OUTCOME, REJECTED
from infersim.dataplane.tally import ITL_BINS, Tally, itl_edges
from tests.twin.case import Case, Pool, Run

SPANS = ("held", "handling", "queued", "prefill", "decode", "preempted")
ARRIVAL, DELIVERY, STEP, CONTROL = range(4)  # the order of events at equal times


@dataclass(eq=False)
class Sequence:
    """One request on its way; at each moment it is in exactly one span."""

    id: int
    arrival_s: float
    input_tokens: int
    output_tokens: int
    span: str = "held"
    since: float = 0.0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SPANS, 0.0))
    replica: "Replica | None" = None
    queued_at: float = math.nan
    prompt: int = 0
    computed: int = 0
    blocks: int = 0
    token_times: list[float] = field(default_factory=list)
    preemptions: int = 0

    def enter(self, span: str, now: float) -> None:
        self.seconds[self.span] += now - self.since
        self.span, self.since = span, now

    def decoding(self) -> bool:
        return self.computed >= self.prompt


@dataclass(eq=False)
class Replica:
    """One engine: a queue, a batch in order of admission, free blocks and the step that runs, if any."""

    index: int
    serial: int
    pool_index: int
    pool: Pool
    free: int
    ready: bool = True
    outstanding: int = 0
    queue: list[Sequence] = field(default_factory=list)
    batch: list[Sequence] = field(default_factory=list)
    step: list[tuple[Sequence, int]] = field(default_factory=list)
    step_start: float = math.nan
    woken: bool = False

    def claim(self, sequence: Sequence, tokens: int) -> bool:
        """Let a sequence hold so many tokens, if the blocks are free."""
        lacking = self.pool.blocks_for(tokens) - sequence.blocks
        if lacking > self.free:
            return False
        self.free -= lacking
        sequence.blocks += lacking
        return True

    def release(self, sequence: Sequence) -> None:
        self.free += sequence.blocks
        sequence.blocks = 0
        self.batch.remove(sequence)

    def preempt(self, sequence: Sequence, now: float) -> None:
        self.release(sequence)
        sequence.enter("preempted", now)
        sequence.preemptions += 1
        sequence.computed, sequence.prompt = 0, sequence.input_tokens + len(sequence.token_times)
        sequence.queued_at = now
        self.queue.insert(0, sequence)


class Twin:
    """The world and its agenda."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.agenda: list[tuple[float, int, int, object]] = []
        self.replicas: list[Replica] = []
        self.held: list[Sequence] = []
        self.routed = self.opened = 0
        self.outcomes = np.zeros(len(case.requests), OUTCOME)
        self.token_times: list[list[float]] = [[] for _ in case.requests]
        self.steps: list[tuple[int, float, float]] = []
        self.looks: list[tuple[int, int, int, int, int]] = []
        self.tallies = [empty_tally(pool) for pool in case.pools]

    def run(self) -> Run:
        for pool in self.case.initial:
            self.open(pool, 0.0)
        for request, output in zip(self.case.requests, self.case.outputs, strict=True):
            arrival = float(request["arrival_s"])
            sequence = Sequence(int(request["id"]), arrival, int(request["input_tokens"]), int(output), since=arrival)
            heapq.heappush(self.agenda, (arrival, ARRIVAL, sequence.id, sequence))
        for order, (time, verb, what) in enumerate(self.case.actions):
            heapq.heappush(self.agenda, (time, CONTROL, order, (verb, what)))
        handlers = {ARRIVAL: self.arrive, DELIVERY: self.deliver, STEP: self.end_step, CONTROL: self.control}
        while self.agenda:
            now, kind, _, subject = heapq.heappop(self.agenda)
            handlers[kind](subject, now)
        tallies = [Tally(**tally) for tally in self.tallies]
        return Run(self.outcomes, tallies, self.token_times, self.steps, self.looks)

    # --- requests on their way to a replica

    def arrive(self, sequence: Sequence, now: float) -> None:
        self.held.append(sequence)
        self.route_held(now)

    def route_held(self, now: float) -> None:
        while self.held and any(replica.ready for replica in self.replicas):
            self.route(self.held.pop(0), now)

    def route(self, sequence: Sequence, now: float) -> None:
        routable = [replica for replica in self.replicas if replica.ready]
        if self.case.router == "round_robin":
            replica = routable[self.routed % len(routable)]
        else:
            replica = min(routable, key=lambda each: (each.outstanding, each.index))
        pool, order = replica.pool, self.routed
        self.routed += 1
        sequence.replica = replica
        replica.outstanding += 1
        sequence.enter("handling", now)
        total = sequence.input_tokens + sequence.output_tokens
        if total > pool.max_context or pool.blocks_for(total - 1) > pool.blocks:
            self.end(sequence, REJECTED, now)
            return
        delay = pool.request_overhead_s + pool.token_overhead_s * sequence.input_tokens
        heapq.heappush(self.agenda, (now + delay, DELIVERY, order, sequence))

    def deliver(self, sequence: Sequence, now: float) -> None:
        sequence.enter("queued", now)
        sequence.queued_at, sequence.prompt = now, sequence.input_tokens
        replica = sequence.replica
        replica.queue.append(sequence)
        if not replica.step and not replica.woken:
            replica.woken = True
            heapq.heappush(self.agenda, (now, STEP, replica.index, replica))

    # --- steps

    def end_step(self, replica: Replica, now: float) -> None:
        """The end of a step, or of idleness; either way the next step is formed."""
        eligible_until = replica.step_start if replica.step and replica.pool.async_scheduling else math.inf
        for sequence, tokens in replica.step:
            sequence.computed += tokens
            if sequence.decoding():
                self.emit(sequence, now)
        replica.step, replica.woken = [], False
        if not replica.batch and replica.queue and replica.queue[0].queued_at > eligible_until:
            eligible_until = math.inf  # idle after all
        self.form_step(replica, eligible_until, now)
        if replica.step:
            duration = self.account(replica)
            replica.step_start = now
            self.steps.append((replica.pool_index, now, now + duration))
            heapq.heappush(self.agenda, (now + duration, STEP, replica.index, replica))

    def emit(self, sequence: Sequence, now: float) -> None:
        times = sequence.token_times
        if times:
            tally = self.tallies[sequence.replica.pool_index]
            tally["itl_counts"][np.searchsorted(itl_edges(), now - times[-1], side="right")] += 1
            tally["itl_sum_s"] += now - times[-1]
        self.tallies[sequence.replica.pool_index]["output_tokens"] += 1
        times.append(now)
        if sequence.span == "prefill":
            sequence.enter("decode", now)
        if len(times) == sequence.output_tokens:
            sequence.replica.release(sequence)
            self.end(sequence, FINISHED, now)

    def form_step(self, replica: Replica, eligible_until: float, now: float) -> None:
        pool, batch, queue = replica.pool, replica.batch, replica.queue
        budget = pool.max_num_batched_tokens
        victims = 0

        # 1. Decoding sequences: one token each, blocks for all of them first.
        def lacking() -> int:
            return sum(pool.blocks_for(s.computed + 1) - s.blocks for s in batch if s.decoding())

        while lacking() > replica.free:
            replica.preempt(batch[-1], now)
            victims += 1
        for sequence in batch:
            if sequence.decoding():
                replica.claim(sequence, sequence.computed + 1)
                replica.step.append((sequence, 1))
                budget -= 1

        # 2. The partly prefilled sequence goes on.
        if batch and not batch[-1].decoding() and budget > 0:
            sequence = batch[-1]
            chunk = min(sequence.prompt - sequence.computed, budget)
            if replica.claim(sequence, sequence.computed + chunk):
                replica.step.append((sequence, chunk))
                budget -= chunk
            else:
                replica.preempt(sequence, now)
                victims += 1

        # 3. Admissions.
        while queue and not victims and len(batch) < pool.max_num_seqs and budget > 0:
            sequence = queue[0]
            chunk = min(sequence.prompt, budget)
            if sequence.queued_at > eligible_until or not replica.claim(sequence, chunk):
                break
            batch.append(queue.pop(0))
            sequence.enter("prefill", now)
            replica.step.append((sequence, chunk))
            budget -= chunk

    def account(self, replica: Replica) -> float:
        """Duration of the step that was just formed; counts it too."""
        pool, tally = replica.pool, self.tallies[replica.pool_index]
        contexts = [s.computed + 1 for s, _ in replica.step if s.decoding()]
        chunks = [(s.computed, c) for s, c in replica.step if not s.decoding()]
        tokens, sequences, decoding = sum(c for _, c in replica.step), len(replica.step), len(contexts)
        seconds = pool.linear_s[tokens] + pool.sequences_s[sequences]
        seconds += pool.decode_base_s[decoding] + pool.decode_per_context_s[decoding] * sum(contexts)
        for p, c in chunks:
            pairs, attended = c * p + c * (c + 1) / 2, p + c
            compute, memory = pool.prefill_per_pair_s * pairs, pool.prefill_per_context_s * attended
            seconds += pool.prefill_chunk_s + max(compute, memory)
            tally["prefill_compute_s" if compute >= memory else "prefill_memory_s"] += max(compute, memory)
            tally["prefill_chunks"] += 1
            tally["prefill_pairs"] += pairs
            tally["prefill_context"] += attended
        tally["steps_by_tokens"][tokens] += 1
        tally["steps_by_sequences"][sequences] += 1
        tally["steps_by_batch"][decoding] += 1
        tally["context_by_batch"][decoding] += sum(contexts)
        tally["busy_s"] += seconds
        return float(seconds)

    # --- ends and the control plane

    def end(self, sequence: Sequence, status: int, now: float) -> None:
        sequence.enter("ended", now)
        replica = sequence.replica
        replica.outstanding -= 1
        times = sequence.token_times
        self.token_times[sequence.id] = times
        row = self.outcomes[sequence.id]
        for name in ("id", "arrival_s", "input_tokens", "preemptions"):
            row[name] = getattr(sequence, name)
        row["output_tokens"], row["pool"], row["replica"] = len(times), replica.pool_index, replica.serial
        row["status"], row["finish_s"] = status, now
        row["first_token_s"] = times[0] if times else math.nan
        for span, seconds in sequence.seconds.items():
            row[f"{span}_s"] = seconds

    def control(self, action: tuple[str, int], now: float) -> None:
        verb, what = action
        if verb == "open":
            self.open(what, now)
        elif verb == "look":
            self.look(what)
        else:
            next(replica for replica in self.replicas if replica.serial == what).ready = False

    def open(self, pool_index: int, now: float) -> None:
        """A replica that drained gives its index to the next one, the lowest first."""
        pool = self.case.pools[pool_index]
        closed = [replica.index for replica in self.replicas if not replica.ready and not replica.outstanding]
        index = min(closed, default=len(self.replicas))
        self.replicas[index : index + 1] = [Replica(index, self.opened, pool_index, pool, pool.blocks)]
        self.opened += 1
        self.route_held(now)

    def look(self, pool_index: int) -> None:
        mine = [each for each in self.replicas if each.pool_index == pool_index and (each.ready or each.outstanding)]
        ready = sum(each.ready for each in mine)
        running = sum(len(each.batch) for each in mine)
        waiting = sum(each.outstanding for each in mine) - running
        used = sum(each.pool.blocks - each.free for each in mine)
        self.looks.append((ready, len(mine) - ready, waiting, running, used))


def empty_tally(pool: Pool) -> dict:
    by_sequences = ("steps_by_sequences", "steps_by_batch", "context_by_batch")
    scalars = ("prefill_chunks", "prefill_pairs", "prefill_context", "prefill_compute_s", "prefill_memory_s")
    tally: dict = {name: np.zeros(pool.max_num_seqs + 1) for name in by_sequences}
    tally |= dict.fromkeys((*scalars, "busy_s", "itl_sum_s"), 0.0) | {"output_tokens": 0}
    return tally | {"steps_by_tokens": np.zeros(pool.max_num_batched_tokens + 1), "itl_counts": np.zeros(ITL_BINS)}


def simulate(case: Case) -> Run:
    """Run a case to its end, one event at a time."""
    return Twin(case).run()
