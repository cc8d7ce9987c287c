"""A pool and the life of its replicas: a machine is found, made ready, serves, drains or is lost, and is given back.

Billing runs from when the machine is found to when it is given back. Not here: how a replica gets ready (`cold_start.py`), who decides how
many there are (`scaler.py`), where machines come from (`market.py`), what breaks (`faults.py`), what of it is written down (`ledger.py`).
Read `datacenter.py` next.
"""

import math
from dataclasses import dataclass, field
from numbers import Integral

import simpy

from infersim.controlplane.cold_start import to_ready
from infersim.controlplane.environment import Environment
from infersim.controlplane.market import Market, Source, Story
from infersim.controlplane.places import Places
from infersim.controlplane.replica import Replica, State, rounding_s
from infersim.cost.cold_start import Phases
from infersim.cost.energy import usage
from infersim.cost.tables import CostTables
from infersim.spec.life import Billing, Draining, Warm

Log = list[tuple[float, str, str, int, str]]


@dataclass(frozen=True)
class Terms:
    """What a pool is made of."""

    name: str
    tables: CostTables
    phases: Phases
    sources: list[Source]
    places: Places
    warm: Warm | None = None
    draining: Draining = field(default_factory=Draining)
    billing: Billing = field(default_factory=Billing)
    replays: int = 1
    """How often a request whose replica is lost begins anew on another."""
    region: str | None = None

    @property
    def cold_start_s(self) -> float:
        """Time from asking for a replica to ready, of a machine that the first source finds in its median time [s]."""
        return self.sources[0].provision_s[0] + self.phases.image_s + self.phases.load_s + self.phases.initialise_s


class Pool:
    """Replicas of one kind, and their control verbs."""

    def __init__(self, env: Environment, number: int, terms: Terms, log: Log, leases: list) -> None:
        """An empty pool; `log` and `leases` are shared by all pools and receive what happens."""
        self.env, self.number, self.terms = env, number, terms
        self.name, self.tables = terms.name, terms.tables
        self.market = Market(env, terms.sources, terms.places, self.reclaim)
        self._log, self._leases = log, leases
        self.starting: list[Replica] = []
        self.serving: list[Replica] = []
        self.leaving: list[Replica] = []
        """Told to go, and not yet given back."""
        self.warm: list[Replica] = []
        """Kept, or on the way to be, until they are wanted."""
        self.autoscaler: str | None = None
        """The policy that decides how many replicas there are."""
        self.most = 2**53
        """More replicas than this are never asked for (the scenario's replicas.max)."""
        self._throttle = 1.0
        self._throttled_j, self._saved_j = 0.0, 0.0
        self.past_billed_s, self.past_up_s = 0.0, 0.0
        """Seconds that replicas which are gone have been billed, and could serve."""
        self._changed = env.event()

    # ------------------------------------------------------------ verbs

    def open(self, ready: bool = False) -> Replica:
        """Ask for one more replica; `ready` ones serve at once and have cost nothing before."""
        if ready:
            replica = self._new(State.STARTING)
            self.market.give(replica)
            replica.lease["billed_from_s"] = self.env.now
            self.market.found(replica)
            self.serve(replica)
            return replica
        waiting = [
            replica for replica in self.warm if replica.found and replica.wanted and not replica.wanted.triggered
        ]
        if not waiting:
            replica = self._new(State.STARTING)
            replica.process = self.env.process(to_ready(self, replica))
            return replica
        replica = waiting[0]
        self.warm.remove(replica)
        self.starting.append(replica)
        replica.state = State.STARTING
        self.note_of(replica, "taken", "from the warm pool")
        assert replica.wanted is not None
        replica.wanted.succeed()
        self.keep_warm()
        return replica

    def keep_warm(self) -> None:
        """Find as many machines for the warm pool as it lacks."""
        for _ in range(self.terms.warm.machines - len(self.warm) if self.terms.warm else 0):
            replica = self._new(State.WARM)
            replica.wanted = self.env.event()
            replica.process = self.env.process(to_ready(self, replica))

    def drain(self) -> None:
        """Give back one replica: the latest of those on their way, or else the ready one with the fewest requests.

        The youngest on ties. Raises ValueError if there is none.
        """
        if self.starting:
            self._cancel(self.starting[-1])
        elif self.serving:
            index = self.env.fleet.emptiest(self.number)
            self.retire(next(replica for replica in self.serving if replica.index == index))
        else:
            raise ValueError(f"pool {self.name} has no replica to give back")

    def scale_to(self, replicas: int, reason: str, ready: bool = False) -> None:
        """Open or drain replicas until `replicas` serve or are on their way; `ready` ones serve at once.

        More than `most` are cut to it, and that is an event (`limited`). Raises ValueError for what is no number of
        replicas.
        """
        if not isinstance(replicas, Integral) or replicas < 0:
            raise ValueError(f"pool {self.name} cannot have {replicas!r} replicas; ask for a whole number from 0 on")
        if replicas > self.most:
            self.note("limited", f"asked for {replicas}, the most is {self.most}: {reason}")
            replicas = self.most
        current = len(self.starting) + len(self.serving)
        if replicas != current:
            self.note("scale", f"{current} -> {replicas}: {reason}")
        for _ in range(replicas - current):
            self.open(ready)
        for _ in range(current - replicas):
            self.drain()

    def retire(self, replica: Replica, grace_s: float | None = None, why: str = "") -> None:
        """Let a ready replica finish what it holds, for at most `grace_s` [s], or hand it over, and then go."""
        assert replica.index is not None
        self.serving.remove(replica)
        self.leaving.append(replica)
        replica.state = State.LEAVING
        replica.lease["draining_s"] = self.env.now
        self.note_of(replica, "draining", why)
        self._tell()
        if self.env.fleet.drain(replica.index, self.terms.draining.policy == "migrate"):
            self._close(replica, "closed")
        else:
            grace_s = grace_s if grace_s is not None else self.terms.draining.grace_s
            replica.process = self.env.process(self._finish(replica, grace_s))

    def reclaim(self, replica: Replica, notice_s: float) -> None:
        """The seller wants a machine back in `notice_s` [s]: ask for another at once, and leave.

        One that is not ready yet has nothing to finish and goes at once.
        """
        wanted = replica.state is not State.WARM
        self.note_of(replica, "reclaimed", f"{notice_s:g} s notice")
        if replica.state is State.SERVING:
            self.retire(replica, notice_s, "reclaimed")
        else:
            self._cancel(replica)
        if wanted:
            self.open()
        else:
            self.keep_warm()

    def lose(self, replica: Replica, why: str) -> None:
        """The machine of a replica is gone, and what it held with it; another is asked for unless it was leaving."""
        state = replica.state
        if replica.process is not None and replica.process.is_alive:
            replica.process.interrupt(why)
        if replica.index is not None:
            self.count_work(replica)
            self.env.forget(replica.index)
            self.env.fleet.fail(replica.index, self.terms.replays)
            replica.index = None
        self._close(replica, "failed", why)
        if state is State.WARM:
            self.keep_warm()
        elif state is not State.LEAVING:
            self.open()

    def pace(self, replica: Replica, why: str) -> None:
        """Let a replica run as fast as its place and the power cap allow."""
        speed = self._throttle * self.terms.places.speed(replica.place)
        if replica.index is None or speed == replica.speed:
            return
        replica.speed = speed
        self.env.fleet.slow(replica.index, 1.0 / speed)
        self.note_of(replica, "paced", f"{speed:.1%} of its rate: {why}")

    def throttle(self, speed: float, why: str) -> None:
        """Let all replicas run at a share of their rate, at a voltage that goes with it: energy as its square."""
        dynamic_j = usage(self.tables, self.env.fleet.tally(self.number)).dynamic_j
        self._saved_j += (dynamic_j - self._throttled_j) * (1.0 - self._throttle**2)
        self._throttled_j, self._throttle = dynamic_j, speed
        for replica in (*self.serving, *self.leaving):
            self.pace(replica, why)

    def saved_j(self, dynamic_j: float) -> float:
        """What throttling has saved of the dynamic energy that its steps cost at full rate [J]."""
        return self._saved_j + (dynamic_j - self._throttled_j) * (1.0 - self._throttle**2)

    def changed(self) -> simpy.Event:
        """An event that succeeds when a replica becomes ready, begins to leave, or is gone."""
        return self._changed

    def _tell(self) -> None:
        changed, self._changed = self._changed, self.env.event()
        changed.succeed()

    # ------------------------------------------------------------ a replica's life

    def serve(self, replica: Replica) -> None:
        """Let a replica that is ready take requests."""
        replica.index = self.env.fleet.open(self.number, replica.serial)
        replica.lease["ready_s"] = self.env.now
        replica.state = State.SERVING
        self.starting.remove(replica)
        self.serving.append(replica)
        self.note_of(replica, "ready")
        self.pace(replica, "where it stands")
        self._tell()

    def _finish(self, replica: Replica, grace_s: float | None) -> Story:
        """Serve what is held, for at most `grace_s` [s], then give the machine back."""
        assert replica.index is not None
        drained = self.env.drained(replica.index)
        try:
            yield drained if grace_s is None else drained | self.env.timeout(grace_s)
        except simpy.Interrupt:
            return
        if drained.triggered:
            self._close(replica, "closed")
        else:
            replica.process = None
            self.lose(replica, f"still busy {grace_s:g} s after the notice")

    def _cancel(self, replica: Replica) -> None:
        """Give up a replica that is not ready."""
        if replica.process is not None:
            replica.process.interrupt()
        if not replica.found:
            replica.lease["billed_from_s"] = self.env.now  # never billed: the order was cancelled
        self._close(replica, "closed")

    def _close(self, replica: Replica, kind: str, detail: str = "") -> None:
        if replica.index is not None:
            self.count_work(replica)
            self.env.fleet.close(replica.index)
            replica.index = None
        for group in (self.starting, self.serving, self.leaving, self.warm):
            if replica in group:
                group.remove(replica)
        replica.state = State.GONE
        if not replica.found:
            replica.lease["billed_from_s"] = self.env.now
        replica.lease["closed_s"] = self.env.now
        billed_s, up_s = replica.seconds(self.env.now)
        if billed_s > 0:
            replica.lease["rounding_s"] = rounding_s(self.terms.billing, billed_s)
        self.past_billed_s += billed_s
        self.past_up_s += up_s
        self.market.leave(replica)
        replica.gone.succeed()
        self._tell()
        self.note_of(replica, kind, detail)

    def _new(self, state: State) -> Replica:
        replica = Replica(len(self._leases), state, self.env.event())
        moments = ("billed_from_s", "ready_s", "draining_s", "closed_s")
        replica.lease = {"requested_s": self.env.now, **dict.fromkeys(moments, math.nan)}
        self._leases.append((self, replica))
        (self.warm if state is State.WARM else self.starting).append(replica)
        self.note_of(replica, "requested", "for the warm pool" if state is State.WARM else "")
        return replica

    def count_work(self, replica: Replica) -> None:
        """Write what a replica has done into its lease."""
        assert replica.index is not None
        server = self.env.fleet.server(replica.index)
        replica.lease |= {
            "busy_s": self.env.fleet.busy_s(replica.index),
            "steps": int(server.total_steps),
            "requests": int(server.requests),
            "output_tokens": int(server.output_tokens),
        }

    def note(self, kind: str, detail: str) -> None:
        """Write down something that concerns the whole pool."""
        self._log.append((self.env.now, kind, self.name, -1, detail))

    def note_of(self, replica: Replica, kind: str, detail: str = "") -> None:
        """Write down something that happened to a replica."""
        self._log.append((self.env.now, kind, self.name, replica.serial, detail))

    def outstanding(self, replica: Replica) -> int:
        """Requests that a serving replica holds."""
        assert replica.index is not None
        return int(self.env.fleet.replica(replica.index).outstanding)
