"""Where a pool's machines come from: sources in order of preference, each with a quota, a stock, and what it takes back.

Not here: what the machines cost (`infersim/cost/tariff.py`), and a replica's life (`pool.py`).
"""

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import simpy

from infersim.controlplane.places import Places
from infersim.cost.series import StepFunction
from infersim.spec.purchase import PriceChoice, Spot

if TYPE_CHECKING:
    from infersim.controlplane.pool import Replica

Story = Generator[simpy.Event, Any, None]


@dataclass
class Source:
    """One way to get machines."""

    number: int
    choice: PriceChoice
    provision_s: tuple[float, float | None]
    """Median and 99th percentile of the time until a machine is found [s]."""
    draws: np.random.Generator
    stock: np.random.Generator
    """Draws when the seller has none left: the same in all cells."""
    capacity: StepFunction | None = None
    """Replicas that the seller has machines for; no limit when None."""
    held: "list[Replica]" = field(default_factory=list)
    """Who has a machine of it, or is getting one, in that order."""
    stocked: bool = True
    """Whether the seller has any."""
    room: float = math.inf
    """Replicas that its capacity allows now."""

    @property
    def notice_s(self) -> float:
        """Time from the notice to the end of a machine that is taken back [s]."""
        return (self.choice.spot or Spot()).notice_s

    @property
    def refusal(self) -> str | None:
        """Why it has no machine for one more replica; None if it has."""
        if self.choice.limit is not None and len(self.held) >= self.choice.limit:
            return f"quota of {self.choice.limit}"
        return None if self.stocked and len(self.held) < self.room else "stock-out"

    def time_to_find(self) -> float:
        """Draw how long finding a machine takes [s]: lognormal, or always the median."""
        median, p99 = self.provision_s
        if p99 is None or median == 0:
            return median
        return median * math.exp(math.log(p99 / median) / 2.3263478740408408 * self.draws.standard_normal())


class Market:
    """The sources of one pool, and the places on which its replicas stand."""

    def __init__(
        self, env: simpy.Environment, sources: list[Source], places: Places, reclaim: Callable[["Replica", float], None]
    ) -> None:
        """`reclaim` is called with a replica whose machine is taken back and the notice [s]."""
        self.env, self.sources, self.places, self._reclaim = env, sources, places, reclaim
        self._changed = env.event()
        for source in sources:
            if source.capacity is not None:
                env.process(self._follow(source, source.capacity))
            if source.choice.stock_outs is not None:
                env.process(self._run_out(source))

    def find(self, replica: "Replica", note: Callable[[str, str], None]) -> Story:
        """Take a machine for the replica from the first source that has one; wait for one while none has.

        A source is asked once those before it have been asked for as long as their patience. Its refusal is noted when
        it changes.
        """
        asked_s, refused = self.env.now, ""
        while True:
            opens_s, refusals = asked_s, []
            for source in self.sources:
                if opens_s > self.env.now:
                    break
                refusal = source.refusal or (None if self.places.free is not None else "no sound place")
                if refusal is None:
                    self._take(replica, source)
                    return
                refusals.append(f"{source.choice.tier}: {refusal}")
                opens_s += source.choice.patience_s
            if (told := ", ".join(refusals)) != refused:
                note("refused", told)
                refused = told
            wait = self._changed
            yield wait | self.env.timeout(opens_s - self.env.now) if opens_s > self.env.now else wait

    def give(self, replica: "Replica") -> None:
        """Give a replica that is ready at the start a machine: of the first source that has one, else of the last."""
        self._take(replica, next((source for source in self.sources if source.refusal is None), self.sources[-1]))

    def leave(self, replica: "Replica") -> None:
        """Give the replica's machine back, if it has one."""
        if replica.source is not None:
            replica.source.held.remove(replica)
            self.places.taken.remove(replica.place)
            self.tell()

    def tell(self) -> None:
        """Let those who wait for a machine look again."""
        changed, self._changed = self._changed, self.env.event()
        changed.succeed()

    def _take(self, replica: "Replica", source: Source) -> None:
        place = self.places.free
        assert place is not None
        self.places.taken.add(place)
        source.held.append(replica)
        replica.source, replica.place = source, place

    def _follow(self, source: Source, capacity: StepFunction) -> Story:
        """Let the source have as many machines as its capacity says; those of spot replicas beyond it are taken back.

        The notice comes before the machines go, so a fall of the capacity is felt that much earlier.
        """
        spot = source.choice.tier == "spot"
        notice_s = source.notice_s if spot else 0.0
        ahead = _sooner(capacity, notice_s)
        while True:
            now = self.env.now
            source.room = float(min(capacity.at(now), ahead.at(now)))
            while spot and len(staying := [replica for replica in source.held if not replica.leaving]) > source.room:
                self._reclaim(staying[int(source.draws.integers(len(staying)))], notice_s)
            self.tell()
            change_s = min(capacity.next_change(now), ahead.next_change(now))
            if math.isinf(change_s):
                return
            yield self.env.timeout(change_s - now)

    def found(self, replica: "Replica") -> None:
        """The replica has its machine; a spot machine may be taken back from now on."""
        assert replica.source is not None
        spot = replica.source.choice.spot
        if spot is not None and spot.reclaims_per_hour > 0:
            self.env.process(self._haunt(replica, replica.source, 3600.0 / spot.reclaims_per_hour))

    def _haunt(self, replica: "Replica", source: Source, mean_s: float) -> Story:
        """Take a spot machine back after an exponential time, if it is still held then."""
        yield self.env.timeout(source.draws.exponential(mean_s))
        if replica in source.held and not replica.leaving:
            self._reclaim(replica, source.notice_s)

    def _run_out(self, source: Source) -> Story:
        """Be out of stock now and then."""
        stock_outs = source.choice.stock_outs
        assert stock_outs is not None
        while True:
            yield self.env.timeout(source.stock.exponential(stock_outs.mean_between_s))
            source.stocked = False
            yield self.env.timeout(source.stock.exponential(stock_outs.mean_s))
            source.stocked = True
            self.tell()


def _sooner(capacity: StepFunction, lead_s: float) -> StepFunction:
    """The capacity as it will be `lead_s` later."""
    at_s = capacity.at_s - lead_s
    first = int(np.searchsorted(at_s, 0.0, side="right")) - 1
    return StepFunction(np.append(0.0, at_s[first + 1 :]), capacity.values[first:])
