"""The naive twin: what the data plane does, in plain Python, one event a step, nothing leapt over.

Written from DESIGN.md, section "What the data plane does, exactly", and not from the compiled loop; the two must agree.
Obvious before fast: blocks, batches and queues are lists that are gone through. It shares with the loop only its
input (`PoolCost`, REQUEST), the layouts of its output (OUTCOME, Tally) and `uniform`.

How to read it, each file after those that it uses:
1. `naive_sequence.py`: one request on its way, and its spans.
2. `naive_memory.py`: KV blocks and the prefix cache of one replica.
3. `naive_queue.py`: who is the head of its queue.
4. `naive_replica.py`: one replica: queue, batch, who has to make way.
5. `naive_forming.py`: what the next step of a replica holds.
6. `naive_record.py`: what that step costs, and everything that is written down.
7. `naive_ending.py`: what happens when a step ends.
8. this file: events in their order, requests between replicas, and the control plane.
Schedules worked out on paper are in `twin/test_by_hand*.py`, random cases against the loop in `twin/test_twin.py`.
"""

import heapq
import itertools
import math

from infersim.dataplane.records import REJECTED
from tests.naive_ending import end_step
from tests.naive_forming import Forming
from tests.naive_record import Record
from tests.naive_replica import Replica
from tests.naive_sequence import Sequence
from tests.twin.case import Case, Run

ARRIVAL, DELIVERY, STEP, CONTROL = range(4)  # the order of events at equal times


class World:
    """All replicas, all requests that are not at one, and the agenda."""

    def __init__(self, case: Case) -> None:
        self.case, self.record = case, Record(case)
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

    def at(self, time: float, kind: int, order: int, subject: object) -> None:
        """Put something on the agenda; events of equal time happen by kind, then by order."""
        heapq.heappush(self.agenda, (time, kind, order, next(self.ticket), subject))

    def run(self) -> Run:
        for pool in self.case.initial:
            self.open(pool, 0.0)
        for sequence in sequences_of(self.case):
            self.at(sequence.arrival_s, ARRIVAL, sequence.id, sequence)
        for order, (time, verb, what) in enumerate(self.case.actions):
            self.at(time, CONTROL, order, (verb, what))
        handlers = {ARRIVAL: self.arrive, DELIVERY: self.deliver, STEP: self.look_at, CONTROL: self.control}
        while self.agenda:
            now, kind, _, _, subject = heapq.heappop(self.agenda)
            handlers[kind](subject, now)
        return self.record.finished()

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

    def pick(self, sequence: Sequence, routable: list[Replica], what: str) -> Replica:
        """Assign a sequence to a replica, the router's choice."""
        if self.case.router == "round_robin":
            replica = routable[self.turns[what] % len(routable)]
        else:
            replica = min(routable, key=lambda each: (each.outstanding, each.index))
        sequence.order, sequence.replica = self.routed, replica
        self.turns[what] += 1
        self.routed += 1
        self.routed_to[replica.pool_index] += 1
        replica.outstanding += 1
        return replica

    def route(self, sequence: Sequence, routable: list[Replica], now: float) -> None:
        replica = self.pick(sequence, routable, "arrivals")
        sequence.enter("handling", now)
        if not replica.can_ever_serve(sequence):
            self.end(sequence, REJECTED, now)
            return
        delay = replica.pool.request_overhead_s + replica.pool.token_overhead_s * sequence.input_tokens
        self.at(now + delay, DELIVERY, sequence.order, sequence)

    def send(self, sequence: Sequence, routable: list[Replica], now: float) -> None:
        """Over the link of its prefill replica, after those that use it already."""
        source = sequence.source
        if not self.pick(sequence, routable, "sent").can_ever_serve(sequence):
            self.gone(sequence, now)
            self.end(sequence, REJECTED, now)
            return
        seconds = source.pool.transfer_latency_s + source.pool.transfer_token_s * sequence.computed
        source.link_free_at = max(now, source.link_free_at) + seconds
        self.at(source.link_free_at, DELIVERY, sequence.order, sequence)

    def deliver(self, sequence: Sequence, now: float) -> None:
        sequence.enter("queued", now)
        sequence.prompt = sequence.input_tokens
        if sequence.source:
            self.gone(sequence, now)
        sequence.replica.enqueue(sequence, now)
        self.wake(sequence.replica, now)

    def gone(self, sequence: Sequence, now: float) -> None:
        """Its prefill replica has nothing to do with a sequence any more, and may have room for others."""
        source = sequence.source
        source.memory.release(sequence)
        source.leaving.remove(sequence)
        self.leave(source, now)
        self.wake(source, now)

    # --- steps

    def wake(self, replica: Replica, now: float) -> None:
        """Have an idle replica look at its queue, after all arrivals and deliveries of this time."""
        if not replica.step:
            self.at(now, STEP, replica.index, replica)

    def look_at(self, replica: Replica, now: float) -> None:
        """A step ends, or an idle replica looks at its queue; either way the next step is formed."""
        eligible_until = math.inf
        if replica.step:
            if now < replica.step_end:
                return  # it has begun since it was to be looked at
            if replica.pool.async_scheduling:
                eligible_until = replica.step_start
            end_step(self, replica, now)
            self.route_waiting(now)
        Forming(replica, eligible_until, now).fill()
        if replica.step:
            replica.step_start, replica.step_end = now, self.record.step(replica, now)
            self.at(replica.step_end, STEP, replica.index, replica)
        elif replica.queue.head():
            waits = replica.gathers_at() > now
            assert waits or replica.leaving, "a replica with a queue and nothing to wait for stands still"
            if waits:
                self.at(replica.gathers_at(), STEP, replica.index, replica)

    # --- ends and the control plane

    def end(self, sequence: Sequence, status: int, now: float) -> None:
        sequence.enter("ended", now)
        self.leave(sequence.replica, now)
        self.record.outcome(sequence, status, now)

    def leave(self, replica: Replica, now: float) -> None:
        """One fewer is outstanding at a replica."""
        replica.outstanding -= 1
        self.ended_in[replica.pool_index] += 1
        if not replica.ready and not replica.outstanding:
            self.record.run.drained[replica.serial] = now

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
        used = sum(each.memory.used() for each in mine)
        counts = (self.routed_to[pool_index], self.ended_in[pool_index])
        self.record.run.looks.append((ready, len(mine) - ready, waiting, running, used, *counts))


def sequences_of(case: Case) -> list[Sequence]:
    """The case's requests, as they arrive."""
    sequences = []
    for request, output in zip(case.requests, case.outputs.tolist(), strict=True):
        names = case.names[request["prefix_start"] :][: request["prefix_blocks"]].tolist()
        fields = {name: request[name].item() for name in ("id", "arrival_s", "input_tokens", "tenant", "priority", "deadline_s")}
        fields |= {"output_tokens": output, "width": 1 + int(request["forks"]), "since": fields["arrival_s"]}
        sequences.append(Sequence(**fields, names=names))
    return sequences


def simulate(case: Case) -> Run:
    """Run a case to its end, one event at a time."""
    return World(case).run()
