"""A pool and the life of its replicas: a machine is found, weights are loaded, it serves, drains, and is given back.

Billing runs from when the machine is found to when it is given back. Not here: who decides how many replicas there are
(`scaler.py`). Read `datacenter.py` next.
"""

import math
from collections.abc import Generator
from dataclasses import dataclass, field
from numbers import Integral

import numpy as np
import simpy

from infersim.controlplane.environment import Environment
from infersim.controlplane.ledger import LEASE, SAMPLE
from infersim.cost.energy import usage
from infersim.cost.tables import CostTables

Log = list[tuple[float, str, str, int, str]]


@dataclass
class Replica:
    """One replica's life."""

    serial: int
    stop: simpy.Event
    """Succeeds when the replica is told to go."""
    index: int | None = None
    """Its place in the fleet while it serves."""
    lease: dict[str, float] = field(default_factory=dict)


class Pool:
    """Replicas of one kind, and their control verbs."""

    def __init__(self, env: Environment, number: int, name: str, tables: CostTables, log: Log, leases: list) -> None:
        """An empty pool; `log` and `leases` are shared by all pools and receive what happens."""
        self.env, self.number, self.name, self.tables = env, number, name, tables
        self._log, self._leases = log, leases
        self.starting: list[Replica] = []
        self.serving: list[Replica] = []
        self.leaving: list[Replica] = []
        """Told to go, and not yet given back."""
        self.most = 2**53
        """More replicas than this are never asked for (the scenario's replicas.max)."""
        self._past_billed_s = 0.0
        self._past_up_s = 0.0

    # ------------------------------------------------------------ verbs

    def open(self, ready: bool = False) -> None:
        """Ask for one more replica; `ready` ones serve at once and have cost nothing before."""
        replica = Replica(len(self._leases), self.env.event())
        replica.lease = {
            "requested_s": self.env.now,
            **dict.fromkeys(("billed_from_s", "ready_s", "draining_s", "closed_s"), math.nan),
        }
        self._leases.append((self, replica))
        self.starting.append(replica)
        self._note(replica, "requested")
        if ready:
            replica.lease["billed_from_s"] = self.env.now
            self._serve(replica)
            self.env.process(self._retire_when_told(replica))
        else:
            self.env.process(self._life(replica))

    def drain(self) -> None:
        """Give back one replica: the latest of those on their way, or else the ready one with the fewest requests.

        The youngest on ties. Raises ValueError if there is none.
        """
        if self.starting:
            chosen = self.starting.pop()
        elif self.serving:
            chosen = min(self.serving, key=lambda replica: (self._outstanding(replica), -replica.serial))
            self.serving.remove(chosen)
        else:
            raise ValueError(f"pool {self.name} has no replica to give back")
        self.leaving.append(chosen)
        chosen.stop.succeed()

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

    def note(self, kind: str, detail: str) -> None:
        """Write down an event of the pool as a whole."""
        self._log.append((self.env.now, kind, self.name, -1, detail))

    # ------------------------------------------------------------ a replica's life

    def _life(self, replica: Replica) -> Generator[simpy.Event, object, None]:
        """From a request for a machine to its return."""
        yield self.env.timeout(self.tables.provision_s) | replica.stop
        if replica.stop.triggered:
            replica.lease["billed_from_s"] = self.env.now  # never billed: the order was cancelled
            self._close(replica)
            return
        replica.lease["billed_from_s"] = self.env.now
        self._note(replica, "provisioned")
        yield self.env.timeout(self.tables.load_s + self.tables.initialise_s) | replica.stop
        if replica.stop.triggered:
            self._close(replica)
            return
        self._serve(replica)
        yield from self._retire_when_told(replica)

    def _serve(self, replica: Replica) -> None:
        replica.index = self.env.fleet.open(self.number, replica.serial)
        replica.lease["ready_s"] = self.env.now
        self.starting.remove(replica)
        self.serving.append(replica)
        self._note(replica, "ready")

    def _retire_when_told(self, replica: Replica) -> Generator[simpy.Event, object, None]:
        """Serve until told to stop, finish what is held, give the machine back."""
        yield replica.stop
        assert replica.index is not None
        replica.lease["draining_s"] = self.env.now
        self._note(replica, "draining")
        if not self.env.fleet.drain(replica.index):
            yield self.env.drained(replica.index)
        self._count_work(replica)
        self.env.fleet.close(replica.index)
        replica.index = None
        self._close(replica)

    def _close(self, replica: Replica) -> None:
        self.leaving.remove(replica)
        replica.lease["closed_s"] = self.env.now
        billed_s, up_s = self._seconds(replica)
        self._past_billed_s += billed_s
        self._past_up_s += up_s
        self._note(replica, "closed")

    def _seconds(self, replica: Replica) -> tuple[float, float]:
        """Seconds billed and seconds up, to now or to the replica's end."""
        lease, now = replica.lease, self.env.now
        end_s = now if math.isnan(lease["closed_s"]) else lease["closed_s"]
        billed_s, up_s = (
            0.0 if math.isnan(lease[start]) else end_s - lease[start] for start in ("billed_from_s", "ready_s")
        )
        return billed_s, up_s

    def _count_work(self, replica: Replica) -> None:
        assert replica.index is not None
        server = self.env.fleet.server(replica.index)
        replica.lease |= {
            "busy_s": self.env.fleet.busy_s(replica.index),
            "steps": int(server.total_steps),
            "requests": int(server.requests),
            "output_tokens": int(server.output_tokens),
        }

    def _note(self, replica: Replica, kind: str) -> None:
        self._log.append((self.env.now, kind, self.name, replica.serial, ""))

    def _outstanding(self, replica: Replica) -> int:
        assert replica.index is not None
        return int(self.env.fleet.replica(replica.index).outstanding)

    # ------------------------------------------------------------ readings

    def lease(self, replica: Replica) -> np.void:
        """A replica's row for the bill, up to now if it has not been given back."""
        if replica.index is not None:
            self._count_work(replica)
        row = np.zeros(1, LEASE)[0]
        row["replica"], row["pool"] = replica.serial, self.number
        for name, value in replica.lease.items():
            row[name] = value
        for name in ("billed_from_s", "closed_s"):
            if np.isnan(row[name]):
                row[name] = self.env.now
        return row

    def sample(self) -> np.void:
        """The pool's row for the timeline."""
        fleet = self.env.fleet
        held, tally = fleet.observe(self.number)
        live = [self._seconds(replica) for replica in (*self.starting, *self.serving, *self.leaving)]
        billed_s = self._past_billed_s + sum(billed for billed, _ in live)
        up_s = self._past_up_s + sum(up for _, up in live)
        row = np.zeros(1, SAMPLE)[0]
        row["time_s"], row["pool"] = self.env.now, self.number
        row["starting"], row["ready"], row["draining"] = len(self.starting), held.ready, held.draining
        row["held"], row["waiting"], row["running"] = fleet.held_for(self.number), held.waiting, held.running
        row["kv_blocks_used"], row["kv_blocks"] = held.kv_blocks_used, held.kv_blocks
        row["arrived"], row["ended"] = held.routed, held.ended
        row["busy_s"], row["up_s"], row["billed_s"] = tally.busy_s, up_s, billed_s
        row["output_tokens"], row["prompt_tokens"] = tally.output_tokens, tally.prompt_tokens
        used = usage(self.tables, tally)
        row["joules"] = used.dynamic_j + self.tables.idle_w * billed_s
        for name in ("flops", "memory_bytes", "compute_s", "memory_s", "network_s", "launch_s"):
            row[name] = getattr(used, name)
        return row
