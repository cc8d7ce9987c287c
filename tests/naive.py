"""The naive twin: what the data plane does, in plain Python, one event a step, nothing leapt over.

Written from DESIGN.md, section "What the data plane does, exactly", and not from the compiled loop; the two must agree.
Obvious before fast, and it shares only the record and tally layouts and `uniform` with the loop. What one replica does is in
`naive_replica.py`, what a step costs in `naive_tally.py`; read `twin/test_twin.py` after that.
"""

import heapq
import itertools
import math

import numpy as np

from infersim.dataplane.chance import uniform
from infersim.dataplane.records import FINISHED, OUTCOME, REJECTED
from infersim.dataplane.tally import Tally
from tests.naive_replica import Replica
from tests.naive_sequence import Sequence
from tests.naive_tally import count_gap, count_step, empty_tally
from tests.twin.case import Case, Run

ARRIVAL, DELIVERY, STEP, CONTROL = range(4)  # the order of events at equal times


class Twin:
    """The world and its agenda."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.agenda: list[tuple[float, int, int, int, object]] = []
        self.ticket = itertools.count()
        self.replicas: list[Replica] = []
        self.held: list[Sequence] = []
        """Arrived, without a replica."""
        self.leaving: list[Sequence] = []
        """Their prompts processed in a prefill pool, without a decode replica."""
        self.turns = {"arrivals": 0, "sent": 0}
        self.routed = self.opened = 0
        self.routed_to, self.ended_in = [0] * len(case.pools), [0] * len(case.pools)
        self.outcomes = np.zeros(len(case.requests), OUTCOME)
        self.tokens: list[list[tuple[float, int]]] = [[] for _ in case.requests]
        self.steps: list[tuple[int, float, float]] = []
        self.looks: list[tuple[int, ...]] = []
        self.drained: dict[int, float] = {}
        self.tallies = [empty_tally(pool) for pool in case.pools]

    def at(self, time: float, kind: int, order: int, subject: object) -> None:
        """Put something on the agenda; events of equal time happen by kind, then by order."""
        heapq.heappush(self.agenda, (time, kind, order, next(self.ticket), subject))

    def run(self) -> Run:
        for pool in self.case.initial:
            self.open(pool, 0.0)
        for request, output in zip(self.case.requests, self.case.outputs, strict=True):
            names = self.case.names[request["prefix_start"] :][: request["prefix_blocks"]].tolist()
            fields = ("id", "arrival_s", "input_tokens", "priority", "deadline_s")
            sequence = Sequence(
                **{name: request[name].item() for name in fields}, output_tokens=int(output), names=names
            )
            sequence.since = sequence.arrival_s
            self.at(sequence.arrival_s, ARRIVAL, sequence.id, sequence)
        for order, (time, verb, what) in enumerate(self.case.actions):
            self.at(time, CONTROL, order, (verb, what))
        handlers = {ARRIVAL: self.arrive, DELIVERY: self.deliver, STEP: self.look_at, CONTROL: self.control}
        while self.agenda:
            now, kind, _, _, subject = heapq.heappop(self.agenda)
            handlers[kind](subject, now)
        tallies = [Tally(**tally) for tally in self.tallies]
        return Run(self.outcomes, tallies, self.tokens, self.steps, self.looks, self.drained)

    # --- requests on their way to a replica

    def arrive(self, sequence: Sequence, now: float) -> None:
        self.held.append(sequence)
        self.route_waiting(now)

    def route_waiting(self, now: float) -> None:
        """Route the held and the leaving, as far as there are replicas for them."""
        entrances = [each for each in self.replicas if each.ready and each.pool.role != "decode"]
        receivers = [each for each in self.replicas if each.ready and each.pool.role == "decode"]
        while self.held and entrances:
            self.route(self.held.pop(0), entrances, now)
        while self.leaving and receivers:
            self.send(self.leaving.pop(0), receivers, now)

    def pick(self, sequence: Sequence, routable: list[Replica], what: str) -> bool:
        """Assign a sequence to a replica; return whether it can ever be served there."""
        if self.case.router == "round_robin":
            replica = routable[self.turns[what] % len(routable)]
        else:
            replica = min(routable, key=lambda each: (each.outstanding, each.index))
        pool = replica.pool
        sequence.order, sequence.replica = self.routed, replica
        self.turns[what] += 1
        self.routed += 1
        self.routed_to[replica.pool_index] += 1
        replica.outstanding += 1
        total = sequence.input_tokens + sequence.output_tokens
        return total <= pool.max_context and pool.blocks_for(total - 1) + pool.draft_blocks <= pool.blocks

    def route(self, sequence: Sequence, routable: list[Replica], now: float) -> None:
        fits = self.pick(sequence, routable, "arrivals")
        sequence.enter("handling", now)
        if not fits:
            self.end(sequence, REJECTED, now)
            return
        pool = sequence.replica.pool
        delay = pool.request_overhead_s + pool.token_overhead_s * sequence.input_tokens
        self.at(now + delay, DELIVERY, sequence.order, sequence)

    def send(self, sequence: Sequence, routable: list[Replica], now: float) -> None:
        """Over the link of its prefill replica, after those that use it already."""
        source = sequence.source
        if not self.pick(sequence, routable, "sent"):
            self.forget(sequence, now)
            self.end(sequence, REJECTED, now)
            return
        pool = source.pool
        seconds = pool.transfer_latency_s + pool.transfer_token_s * sequence.computed
        source.link_free_at = max(now, source.link_free_at) + seconds
        self.at(source.link_free_at, DELIVERY, sequence.order, sequence)

    def deliver(self, sequence: Sequence, now: float) -> None:
        sequence.enter("queued", now)
        sequence.prompt = sequence.input_tokens
        if sequence.source:
            self.forget(sequence, now)
        replica = sequence.replica
        replica.enqueue(sequence, now)
        if not replica.step:
            self.at(now, STEP, replica.index, replica)

    def forget(self, sequence: Sequence, now: float) -> None:
        """Its prefill replica has nothing to do with a sequence any more, and may have room for others."""
        source = sequence.source
        source.release(sequence)
        source.leaving.remove(sequence)
        self.leave(source, now)
        if not source.step:
            self.at(now, STEP, source.index, source)

    # --- steps

    def look_at(self, replica: Replica, now: float) -> None:
        """A step ends, or an idle replica looks at its queue; either way the next step is formed."""
        eligible_until = math.inf
        if replica.step:
            if now < replica.step_end:
                return  # it has begun since it was to be looked at
            if replica.pool.async_scheduling:
                eligible_until = replica.step_start
            self.end_step(replica, now)
        replica.form_step(eligible_until, now)
        if replica.step:
            replica.step_start, replica.step_end = now, now + count_step(self.tallies[replica.pool_index], replica)
            self.steps.append((replica.pool_index, now, replica.step_end))
            self.at(replica.step_end, STEP, replica.index, replica)
        elif replica.queue:
            waits = replica.gathers_at() > now
            assert waits or replica.leaving, "a replica with a queue and nothing to wait for stands still"
            if waits:
                self.at(replica.gathers_at(), STEP, replica.index, replica)

    def end_step(self, replica: Replica, now: float) -> None:
        decoded = [sequence for sequence, _ in replica.step if sequence.decoding()]
        chunks = [(sequence, tokens) for sequence, tokens in replica.step if not sequence.decoding()]
        for sequence in decoded:
            sequence.computed += 1
            self.emit(sequence, now)
            self.accept_drafts(sequence, now)
        for sequence in sorted(decoded, key=lambda each: each.order):
            if sequence.complete():
                self.finish(sequence, now)
        for sequence, tokens in chunks:
            sequence.computed += tokens
            replica.name_blocks(sequence)
            if sequence.decoding():
                self.emit(sequence, now)
                if sequence.complete():
                    self.finish(sequence, now)
                elif replica.pool.role == "prefill":
                    sequence.enter("transfer", now)
                    sequence.source = replica
                    replica.batch.remove(sequence)
                    replica.leaving.append(sequence)
                    self.leaving.append(sequence)
        self.route_waiting(now)
        if replica.rows and not any(sequence.decoding() for sequence in replica.batch):
            replica.rows = 0
            for sequence in replica.batch:
                self.end(sequence, FINISHED, now)
            replica.batch.clear()

    def accept_drafts(self, sequence: Sequence, now: float) -> None:
        """Draft tokens, until one is refused."""
        tokens = len(sequence.token_times)
        for place, chance in enumerate(sequence.replica.pool.acceptance):
            if sequence.complete() or uniform(sequence.id, tokens, place) >= chance:
                break
            sequence.computed += 1
            self.produce(sequence, now)
        sequence.replica.reserve = 0
        assert sequence.replica.hold(sequence, sequence.computed)

    def emit(self, sequence: Sequence, now: float) -> None:
        """The one sure token of a step."""
        if sequence.token_times:
            count_gap(self.tallies[sequence.replica.pool_index], now - sequence.token_times[-1])
        self.produce(sequence, now)
        if sequence.span == "prefill":
            sequence.enter("decode", now)

    def produce(self, sequence: Sequence, now: float) -> None:
        sequence.token_times.append(now)
        self.tokens[sequence.id].append((now, sequence.replica.pool_index))
        self.tallies[sequence.replica.pool_index]["output_tokens"] += 1

    def finish(self, sequence: Sequence, now: float) -> None:
        """The last token: its memory is free, and it has ended unless its static batch decodes on."""
        replica = sequence.replica
        replica.release(sequence)
        if not replica.rows:
            replica.batch.remove(sequence)
            self.end(sequence, FINISHED, now)

    # --- ends and the control plane

    def end(self, sequence: Sequence, status: int, now: float) -> None:
        sequence.enter("ended", now)
        replica, times = sequence.replica, sequence.token_times
        self.leave(replica, now)
        row = self.outcomes[sequence.id]
        for name in ("id", "arrival_s", "input_tokens", "preemptions"):
            row[name] = getattr(sequence, name)
        row["output_tokens"], row["pool"], row["replica"] = len(times), replica.pool_index, replica.serial
        row["status"], row["finish_s"], row["cached_tokens"] = status, now, sequence.cached_tokens or 0
        row["first_token_s"] = times[0] if times else math.nan
        for span, seconds in sequence.seconds.items():
            row[f"{span}_s"] = seconds

    def leave(self, replica: Replica, now: float) -> None:
        """One fewer is outstanding at a replica."""
        replica.outstanding -= 1
        self.ended_in[replica.pool_index] += 1
        if not replica.ready and not replica.outstanding:
            self.drained[replica.serial] = now

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
        self.replicas[index : index + 1] = [Replica(index, self.opened, pool_index, pool)]
        self.opened += 1
        self.route_waiting(now)

    def look(self, pool_index: int) -> None:
        mine = [each for each in self.replicas if each.pool_index == pool_index and (each.ready or each.outstanding)]
        ready = sum(each.ready for each in mine)
        running = sum(len(each.batch) for each in mine)
        waiting = sum(each.outstanding - len(each.leaving) for each in mine) - running
        used = sum(each.pool.blocks - each.free() for each in mine)
        counts = (self.routed_to[pool_index], self.ended_in[pool_index])
        self.looks.append((ready, len(mine) - ready, waiting, running, used, *counts))


def simulate(case: Case) -> Run:
    """Run a case to its end, one event at a time."""
    return Twin(case).run()
