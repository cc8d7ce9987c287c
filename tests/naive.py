"""The naive twin: what the data plane does, in plain Python, one event a step, nothing leapt over.

Written from DESIGN.md, section "What the data plane does, exactly", and not from the compiled loop; the two must agree.
Obvious before fast: blocks, batches and queues are lists that are gone through. It shares with the loop only its
input (`PoolCost`, REQUEST), the layouts of its output (OUTCOME, Tally) and `uniform`.

How to read it, each file after those that it uses:
1. `naive_sequence.py`: one request on its way, and its spans.
2. `naive_memory.py`: KV blocks and the prefix cache of one replica.
3. `naive_queue.py`: who is the head of its queue.
4. `naive_adapters.py`: which adapters are loaded; `naive_models.py`: which models.
5. `naive_replica.py`: one replica: queue, batch, who has to make way.
6. `naive_forming.py`: what the next step of a replica holds.
7. `naive_record.py`: what that step costs, and everything that is written down.
8. `naive_ending.py`: what happens when a step ends.
9. `naive_clients.py`: how long clients wait, when they come again, who is let in.
10. `naive_routing.py`: whom the router chooses, and what it sees.
11. this file: events in their order, requests between replicas, and the control plane.
Schedules worked out on paper are in `twin/test_by_hand*.py`, random cases against the loop in `twin/test_twin.py`.
"""

import heapq
import itertools
import math

from tests.naive_clients import Bucket, Sequels, comes_again, ending_of, patience_s, while_away_s
from tests.naive_ending import accepted_drafts, end_step
from tests.naive_forming import Forming
from tests.naive_memory import Memory
from tests.naive_record import Record
from tests.naive_replica import Replica
from tests.naive_routing import ROUTERS, Signals, of_the_moment, round_trip_s, signals_of, takes
from tests.naive_sequence import Request, Sequence
from tests.twin.case import REPLAYS, SLOWDOWN, Case, Run, weather_of

ARRIVAL, DELIVERY, STEP, PATIENCE, CONTROL = range(5)  # the order of events at equal times


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
        self.live: dict[Sequence, None] = {}
        """All attempts that have been let in and are not over."""
        self.buckets = [Bucket(client) for client in case.clients]
        self.turns = {"arrivals": 0, "sent": 0}
        self.routed = self.opened = 0
        self.weather = [weather_of(pool, 0) for pool in range(len(case.pools))]
        """What routers know of each pool's region: grams of CO2 a kWh, and the height of the sun."""
        self.scraped: dict[Replica, Signals] = {}
        """What the router saw of replicas when it last looked,"""
        self.scrapes = 0
        """and how often it should have by now."""
        self.sequels = Sequels(case, requests_of(case), self.send_request)
        self.routed_to, self.ended_in = [0] * len(case.pools), [0] * len(case.pools)

    def at(self, time: float, kind: int, order: int, subject: object) -> None:
        """Put something on the agenda; events of equal time happen by kind, then by order."""
        heapq.heappush(self.agenda, (time, kind, order, next(self.ticket), subject))

    def run(self) -> Run:
        for pool in self.case.initial:
            self.open(pool, 0.0)
        for request in self.sequels.roots:
            self.send_request(request, request.arrival_s)
        for order, (time, verb, what) in enumerate(self.case.actions):
            self.at(time, CONTROL, order, (verb, what))
        handlers = {
            ARRIVAL: self.arrive,
            DELIVERY: self.deliver,
            STEP: self.look_at,
            PATIENCE: self.lose_patience,
            CONTROL: self.control,
        }
        before = -math.inf
        while self.agenda:
            now, kind, _, _, subject = heapq.heappop(self.agenda)
            self.record.run.near_tie |= 0 < now - before < 1e-12 * now
            before = now
            self.scrape(now)
            handlers[kind](subject, now)
            self.sequels.follow_up(now)
        return self.record.finished()

    # --- attempts begin and end

    def send_request(self, request: Request, time: float) -> None:
        """Let a request arrive for the first time."""
        request.arrival_s = request.since = time
        self.at(time, ARRIVAL, request.id, request)

    def arrive(self, request: Request, now: float) -> None:
        request.attempts += 1
        request.enter("held", now)
        sequence = Sequence(request, request.attempts)
        client, bucket = self.case.clients[request.tenant], self.buckets[request.tenant]
        if bucket.look(now) <= 0:
            self.end(sequence, "rate_limited", now)
        elif self.case.max_queued is not None and self.queued() >= self.case.max_queued:
            self.end(sequence, "service_full", now)
        else:
            sequence.let_in = True
            bucket.take(request.input_tokens, now)
            for reason, seconds in patience_s(client, self.case.max_wait_s).items():
                if seconds < math.inf:
                    order = 2 * request.id + (reason == "wait")  # timed out comes first
                    self.at(now + seconds, PATIENCE, order, (reason, request, request.attempts))
            self.hold(sequence)
            self.route_waiting(now)

    def queued(self) -> int:
        """Requests that are held, in front ends, in queues, or on their way to a decode replica."""
        return sum(each.replica is None or each not in each.replica.batch for each in self.live)

    def hold(self, sequence: Sequence) -> None:
        self.held.append(sequence)
        self.live[sequence] = None

    def lose_patience(self, what: tuple[str, Request, int], now: float) -> None:
        """The time is up for one attempt of a request; if it has not ended, and for that reason, it is given up."""
        reason, request, number = what
        for sequence in [each for each in self.live if each.request is request and each.number == number]:
            if status := ending_of(reason, sequence):
                if sequence.replica is None or sequence not in sequence.replica.batch:
                    self.take_away(sequence, now)
                self.end(sequence, status, now)

    def take_away(self, sequence: Sequence, now: float) -> None:
        """From wherever it waits, as if it had never been there."""
        replica, source = sequence.replica, sequence.source
        if replica is None:
            self.held.remove(sequence)
            return
        if source and sequence in source.leaving:
            self.gone(sequence, now)
            if sequence in self.leaving:
                self.leaving.remove(sequence)
                return
        elif sequence in replica.queue.waiting:
            replica.queue.leave(sequence)
        else:
            replica.coming_tokens -= sequence.request.input_tokens
        self.leave(replica, now)
        self.wake(replica, now)

    def end(self, sequence: Sequence, status: str, now: float) -> None:
        """An attempt has ended; the request has, unless its client comes again."""
        request, client = sequence.request, self.case.clients[sequence.request.tenant]
        sequence.over = True
        self.live.pop(sequence, None)
        if sequence.let_in:
            self.buckets[request.tenant].take(request.width * len(sequence.token_times), now)
        if status != "finished":
            self.record.waste(sequence)
        if comes_again(client, request, status):
            request.enter("away", now)
            self.at(now + while_away_s(client, request), ARRIVAL, request.id, request)
        else:
            request.enter("ended", now)
            self.record.outcome(sequence, status, now)
            self.sequels.ended.append((request, status))

    # --- on the way to a replica

    def scrape(self, now: float) -> None:
        """Let the router look at all replicas, if it is time to, before anything else happens."""
        if self.case.scrape_s and now // self.case.scrape_s >= self.scrapes:
            self.scrapes = now // self.case.scrape_s + 1
            self.scraped = {each: signals_of(each) for each in self.replicas}

    def signals(self, replica: Replica) -> Signals:
        """What the router sees of a replica; of one that opened since it looked, what there was to see then: nothing."""
        if not self.case.scrape_s:
            return signals_of(replica)
        empty = Replica(replica.index, replica.serial, replica.pool_index, self.case.pools[replica.pool_index])
        return self.scraped.get(replica) or signals_of(empty)

    def route_waiting(self, now: float) -> None:
        """Route the held and the leaving, as far as there are replicas for them."""
        entrances = [each for each in self.replicas if each.ready and each.pool.role != "decode"]
        receivers = [each for each in self.replicas if each.ready and each.pool.role == "decode"]
        for sequence in list(self.held):
            if able := [each for each in entrances if each.zoo.serves(sequence.request.model)]:
                self.held.remove(sequence)
                self.route(sequence, able, now)
        while self.leaving and receivers:
            self.send(self.leaving.pop(0), receivers, now)

    def pick(self, sequence: Sequence, routable: list[Replica], what: str) -> Replica:
        """Assign a sequence to a replica, the router's choice."""
        if self.case.router == "round_robin":
            replica = routable[self.turns[what] % len(routable)]
        else:
            seen = [
                of_the_moment(self.signals(each), each, sequence, self.weather[each.pool_index]) for each in routable
            ]
            replica = routable[seen.index(ROUTERS[self.case.router](seen, sequence.request))]
        sequence.order, sequence.replica = self.routed, replica
        self.turns[what] += 1
        self.routed += 1
        self.routed_to[replica.pool_index] += 1
        replica.outstanding += 1
        return replica

    def route(self, sequence: Sequence, routable: list[Replica], now: float) -> None:
        taking = [each for each in routable if takes(each.pool, sequence.request)]
        replica = self.pick(sequence, taking or routable, "arrivals")
        sequence.request.enter("handling", now)
        if refusal := replica.refuses(sequence):
            self.leave(replica, now)
            self.end(sequence, refusal, now)
            return
        replica.asked = sequence.request.model
        replica.coming_tokens += sequence.request.input_tokens
        cost = replica.cost_of(sequence)
        delay = cost.request_overhead_s + cost.token_overhead_s * sequence.request.input_tokens
        delay += round_trip_s(replica.pool, sequence.request)
        self.at(now + delay, DELIVERY, sequence.order, sequence)

    def send(self, sequence: Sequence, routable: list[Replica], now: float) -> None:
        """Over the link of its prefill replica, after those that use it already."""
        source, replica = sequence.source, self.pick(sequence, routable, "sent")
        if not replica.can_ever_serve(sequence):
            self.gone(sequence, now)
            self.leave(replica, now)
            self.end(sequence, "rejected", now)
            return
        seconds = source.pool.transfer_latency_s + source.pool.transfer_token_s * sequence.computed
        source.link_free_at = max(now, source.link_free_at) + seconds
        self.at(source.link_free_at, DELIVERY, sequence.order, sequence)

    def deliver(self, sequence: Sequence, now: float) -> None:
        if sequence.over:
            return
        if sequence.request.span == "handling":
            sequence.replica.coming_tokens -= sequence.request.input_tokens
        sequence.request.enter("queued", now)
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

    def leave(self, replica: Replica, now: float) -> None:
        """One fewer is outstanding at a replica."""
        replica.outstanding -= 1
        self.ended_in[replica.pool_index] += 1
        if not replica.ready and not replica.outstanding:
            self.record.run.drained[replica.serial] = now
            self.stop_switching(replica, now)

    # --- steps

    def wake(self, replica: Replica, now: float) -> None:
        """Have an idle replica look at its queue, after all arrivals and deliveries of this time."""
        if not replica.step and not replica.switching:
            self.have_look(replica, now)

    def have_look(self, replica: Replica, time: float) -> None:
        """See a replica at that time next, and not when it was to be seen before."""
        replica.looks_at = time
        self.at(time, STEP, replica.index, replica)

    def look_at(self, replica: Replica, now: float) -> None:
        """A step ends, or an idle replica looks at its queue; either way the next step is formed."""
        eligible_until = math.inf
        if replica.failed or now != replica.looks_at:
            return
        replica.switching = False
        if replica.step:
            if replica.pool.async_scheduling:
                eligible_until = replica.step_start
            end_step(self, replica, now)
            self.route_waiting(now)
        if self.switches(replica, now):
            return
        forming = Forming(replica, eligible_until, now)
        forming.fill()
        if replica.step:
            replica.step_start, replica.step_end = now, self.record.step(replica, now)
            self.have_look(replica, replica.step_end)
        elif forming.short_of_blocks:
            self.have_look(replica, now)
        elif replica.queue.head():
            waits = replica.gathers_at() > now
            assert waits or replica.leaving, "a replica with a queue and nothing to wait for stands still"
            if waits:
                self.have_look(replica, replica.gathers_at())

    def switches(self, replica: Replica, now: float) -> bool:
        """Let a replica with an empty batch go to the model that is asked for next; return whether that takes time."""
        head = replica.queue.head()
        if replica.batch or not head or head.request.model == replica.pool.model:
            return False
        seconds, evicted, loads = replica.zoo.switch(head.request.model)
        replica.pool = replica.zoo.costs[head.request.model]
        replica.memory, replica.step, replica.switching = Memory(replica.pool), [], seconds > 0
        replica.step_start, replica.step_end = now, self.record.switch(replica, now, seconds, evicted, loads)
        if replica.switching:
            self.have_look(replica, replica.step_end)
        return replica.switching

    def stop_switching(self, replica: Replica, now: float) -> None:
        """A replica that is empty has gone."""
        if replica.switching:
            self.record.break_off(replica, now)
            replica.switching = False

    # --- the control plane

    def control(self, action: tuple[str, int], now: float) -> None:
        verb, what = action
        if verb == "open":
            self.open(what, now)
        elif verb == "look":
            self.look(what)
        elif verb == "weather":
            self.weather = [weather_of(pool, what) for pool in range(len(self.case.pools))]
        else:
            replica = next(replica for replica in self.replicas if replica.serial == what)
            if verb == "slow":
                replica.slowdown = SLOWDOWN
            elif verb in REPLAYS:
                self.fail(replica, REPLAYS[verb], now)
            else:
                replica.ready = False
                if not replica.outstanding:
                    self.stop_switching(replica, now)
                if verb == "migrate":
                    self.migrate(replica, now)

    def open(self, pool_index: int, now: float) -> None:
        """A replica that is gone gives its index to the next one, the lowest first."""
        pool = self.case.pools[pool_index]
        closed = [replica.index for replica in self.replicas if not replica.ready and not replica.outstanding]
        index = min(closed, default=len(self.replicas))
        self.replicas[index : index + 1] = [Replica(index, self.opened, pool_index, pool)]
        self.opened += 1
        self.route_waiting(now)

    def migrate(self, replica: Replica, now: float) -> None:
        """Hand back what has not started on a replica that drains."""
        mine = [each for each in self.live if each.replica is replica and not each.source]
        handled = [each for each in mine if each.request.span == "handling"]
        queued = [each for each in replica.queue.waiting if not each.source and each.cached_tokens is None]
        for sequence in sorted(handled + queued, key=lambda each: each.order):
            self.take_away(sequence, now)
            self.hand_back(sequence, now)
        self.route_waiting(now)

    def fail(self, replica: Replica, replays: int, now: float) -> None:
        """Everything that a replica holds is gone; what was in the middle of a step too."""
        hit = [each for each in self.live if each.replica is replica or each in replica.leaving]
        replica.ready, replica.failed = False, True
        self.stop_switching(replica, now)
        if replica.step:
            self.record.break_off(replica, now)
            for sequence, tokens in replica.step:
                if sequence.over:  # its client gave it up while this step ran
                    self.record.processed(sequence, self.tokens_processed(sequence, tokens))
        for sequence in hit:
            if sequence.replica is not replica:  # it was being sent to another
                self.leave(sequence.replica, now)
            elif sequence.source and sequence in sequence.source.leaving and sequence.source is not replica:
                self.gone(sequence, now)
            if sequence in self.leaving:
                self.leaving.remove(sequence)
        self.ended_in[replica.pool_index] += replica.outstanding
        replica.outstanding = 0
        for sequence in sorted(hit, key=lambda each: each.order):
            self.record.waste(sequence)
            if sequence.request.replays < replays:
                sequence.request.replays += 1
                self.hand_back(sequence, now)
            else:
                self.end(sequence, "lost", now)
        self.route_waiting(now)

    def tokens_processed(self, sequence: Sequence, tokens: int) -> int:
        """What a step processes for a sequence that it holds: a chunk, or a token of each row and accepted drafts."""
        if not sequence.prefilled:
            return tokens
        return sequence.request.width + accepted_drafts(sequence, len(sequence.token_times) + 1)

    def hand_back(self, sequence: Sequence, now: float) -> None:
        """The same attempt starts anew, behind those that are held."""
        sequence.over = True
        del self.live[sequence]
        sequence.request.enter("held", now)
        again = Sequence(sequence.request, sequence.number, let_in=True, admitted=sequence.admitted)
        self.hold(again)

    def look(self, pool_index: int) -> None:
        mine = [each for each in self.replicas if each.pool_index == pool_index and (each.ready or each.outstanding)]
        ready = sum(each.ready for each in mine)
        running = sum(len(each.batch) for each in mine)
        waiting = sum(each.outstanding - len(each.leaving) for each in mine) - running
        used = sum(each.memory.used() for each in mine)
        counts = (self.routed_to[pool_index], self.ended_in[pool_index], sum(each.pool.blocks for each in mine))
        self.record.run.looks.append((ready, len(mine) - ready, waiting, running, used, *counts))


def requests_of(case: Case) -> list[Request]:
    """The requests of the case and of its sources, as their clients send them."""
    requests, (rows, outputs) = [], case.all_requests()
    for row, output in zip(rows, outputs.tolist(), strict=True):
        names = case.names[row["prefix_start"] :][: row["prefix_blocks"]].tolist()
        fields = {
            name: row[name].item()
            for name in (
                "id",
                "arrival_s",
                "input_tokens",
                "tenant",
                "priority",
                "deadline_s",
                "adapter",
                "adapter_rank",
                "model",
                "session",
            )
        }
        fields |= {
            "output_tokens": output,
            "width": 1 + int(row["forks"]),
            "since": fields["arrival_s"],
        }
        requests.append(Request(**fields, names=names))
    return requests


def simulate(case: Case) -> Run:
    """Run a case to its end, one event at a time."""
    return World(case).run()
