"""What a user's process may see of the datacentre, and do to it: the `datacenter` that it is given.

    datacenter.now                    the time [s]
    datacenter.pools["h100"]          a pool; `for pool in datacenter.pools.values()`
    pool.view                         its load and rates over the last hour, as autoscalers see them (`View`)
    pool.replicas                     those that start, serve or leave; pool.ready: how many serve
    pool.scale_to(4), pool.open(2)    ask for replicas, pool.drain(replica) gives one back when it is empty
    pool.fail(replica), pool.slow(replica, 2.0)
    pool.note("whatever")             an event of the run, kind `note`

Facts are read-only and always of now. Whatever is asked for, a pool never has more than `pool.most` replicas (its
`replicas.max`): that is an event, `limited`. An autoscaler of the same pool goes on deciding.

Not here: how processes are registered (`infersim/policies/processes.py`).
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import simpy

from infersim.controlplane.datacenter import Datacenter
from infersim.controlplane.meter import Meter
from infersim.controlplane.pool import Pool
from infersim.controlplane.replica import Replica
from infersim.policies.autoscaling import Facts, View

SCRAPE_S = 15.0
"""How often the load is read for `view` [s]."""


@dataclass(frozen=True)
class ReplicaFacts:
    """One replica as it is now; `serial` tells it apart, and is what verbs go by."""

    serial: int
    state: str
    """starting, serving or leaving."""
    outstanding: int
    """Requests that it holds."""
    speed: float
    """Its rate over that of a sound replica."""


class PoolFacade:
    """One pool: facts and verbs."""

    def __init__(self, pool: Pool, facts: Facts) -> None:
        """A pool and what is known of it beforehand."""
        self._pool, self._facts = pool, facts
        self._meter = Meter(pool, facts, 0.0, None)
        pool.env.process(self._meter.scrape(SCRAPE_S))

    @property
    def name(self) -> str:
        """Its name in the scenario."""
        return self._pool.name

    @property
    def fewest(self) -> int:
        """The least that an autoscaler may ask for."""
        return self._facts.fewest

    @property
    def most(self) -> int:
        """More replicas than this there never are."""
        return self._pool.most

    @property
    def cold_start_s(self) -> float:
        """Time from asking for a replica to ready, as expected [s]."""
        return self._facts.cold_start_s

    @property
    def replicas(self) -> list[ReplicaFacts]:
        """All that start, serve or leave, by serial."""
        return [
            ReplicaFacts(one.serial, one.state.value, self._pool.outstanding(one) if one.index is not None else 0, one.speed)
            for one in self._known()
        ]  # fmt: skip

    @property
    def ready(self) -> int:
        """How many serve."""
        return len(self._pool.serving)

    @property
    def starting(self) -> int:
        """How many are on their way."""
        return len(self._pool.starting)

    @property
    def leaving(self) -> int:
        """How many finish what they hold."""
        return len(self._pool.leaving)

    @property
    def usd_per_hour(self) -> float | None:
        """Price of a replica now, as routers see it [USD/h]; None while none serves."""
        if not self._pool.serving or (index := self._pool.serving[0].index) is None:
            return None
        return float(self._pool.env.fleet.replica(index).usd_per_hour)

    @property
    def view(self) -> View:
        """The load and its rates, as an autoscaler without scrape lag sees them."""
        return self._meter.view()

    # ------------------------------------------------------------ verbs

    def scale_to(self, replicas: int, why: str = "as a process wants") -> None:
        """Open or drain until so many serve or are on their way. Raises ValueError for what is no number of replicas."""
        self._pool.scale_to(replicas, why)

    def open(self, count: int = 1, why: str = "as a process wants") -> None:
        """Ask for more replicas."""
        self.scale_to(self.ready + self.starting + count, why)

    def drain(self, replica: ReplicaFacts | int | None = None) -> None:
        """Give back a ready replica when it has finished what it holds; without one, the pool chooses.

        Raises ValueError if there is none, or if it does not serve.
        """
        if replica is None:
            self._pool.drain()
        else:
            self._pool.retire(self._serving(replica), why="as a process wants")

    def fail(self, replica: ReplicaFacts | int, why: str = "a process") -> None:
        """Lose a replica, and what it holds with it; another is asked for. Raises ValueError if it is gone."""
        self._pool.lose(self._live(replica), why)

    def slow(self, replica: ReplicaFacts | int, factor: float, why: str = "a process") -> None:
        """Let a ready replica's steps take `factor` times as long from the next on; 1 is its own speed again."""
        found, places = self._serving(replica), self._pool.terms.places
        if not 0 < factor < float("inf"):
            raise ValueError(f"factor is {factor:g}; give a number above 0, such as 2 for half the speed")
        places.slow.setdefault(found.place, {})["process"] = 1.0 / factor
        if factor == 1:
            del places.slow[found.place]["process"]
        self._pool.pace(found, why)

    def note(self, text: str) -> None:
        """Write an event of kind `note` into the run."""
        self._pool.note("note", text)

    # ------------------------------------------------------------ who is meant

    def _known(self) -> list[Replica]:
        groups = (*self._pool.starting, *self._pool.serving, *self._pool.leaving)
        return sorted(groups, key=lambda one: one.serial)

    def _live(self, replica: ReplicaFacts | int) -> Replica:
        serial = replica.serial if isinstance(replica, ReplicaFacts) else replica
        for one in self._known():
            if one.serial == serial:
                return one
        live = ", ".join(str(one.serial) for one in self._known()) or "none"
        raise ValueError(f"pool {self.name} has no replica {serial}; it has {live}")

    def _serving(self, replica: ReplicaFacts | int) -> Replica:
        found = self._live(replica)
        if found not in self._pool.serving:
            raise ValueError(f"replica {found.serial} of pool {self.name} is {found.state.value}, not serving")
        return found


class DatacenterFacade:
    """The datacentre as a user's process sees it."""

    def __init__(self, datacenter: Datacenter, facts: list[Facts]) -> None:
        """`facts` by pool."""
        self._env = datacenter.env
        pools = {pool.name: PoolFacade(pool, known) for pool, known in zip(datacenter.pools, facts, strict=True)}
        self.pools: Mapping[str, PoolFacade] = MappingProxyType(pools)
        """By name."""

    @property
    def now(self) -> float:
        """The time [s]."""
        return self._env.now

    @property
    def in_flight(self) -> int:
        """Requests of the whole service that came and have not ended."""
        return self._env.fleet.in_flight

    @property
    def held(self) -> int:
        """Those of them that wait for a replica."""
        return self._env.fleet.held


def followed(story: Generator[Any, Any, Any]) -> Generator[simpy.Event, Any, Any]:
    """The same story; what it yields that is no event is an error at the line that yields it."""
    answer: Any = None
    fault: Exception | None = None
    while True:
        try:
            event = story.send(answer) if fault is None else story.throw(fault)
        except StopIteration as end:
            return end.value
        answer, fault = None, None
        if not isinstance(event, simpy.Event):
            fault = TypeError(f"yielded {event!r}, which is no event; yield one, such as env.timeout(60)")
            continue
        try:
            answer = yield event
        except Exception as error:
            fault = error
