"""SimPy's environment with the compiled fleet inside: the seam between the two planes.

Before each control event the fleet serves requests up to that event's time, so whenever Python runs, the fleet stands
at `env.now`. What the fleet reports on the way (a replica has drained, a request found no replica, all is served)
becomes an ordinary SimPy event. Not here: what is done with them (`datacenter.py`, `pool.py`).
"""

import simpy

from infersim.dataplane.fleet import Fleet, Wake, Why


class Environment(simpy.Environment):
    """SimPy's environment over a fleet."""

    def __init__(self, fleet: Fleet) -> None:
        """Start at time 0 with the fleet at time 0."""
        super().__init__()
        self.fleet = fleet
        self.finished = self.event()
        """Succeeds when every request has arrived and ended."""
        self.held = self.event()
        """Succeeds when a request finds no replica while no other is held; a new event takes its place then."""
        self.leaving = self.event()
        """The same of sequences that find no decode replica after their prompt."""
        self._held: dict[int, simpy.Event] = {}
        """The same of a pool's models, where there are several."""
        self._drained: dict[int, simpy.Event] = {}

    def held_for(self, pool: int) -> simpy.Event:
        """The one of these that concerns a pool."""
        if self.fleet.several_models:
            return self._held.setdefault(pool, self.event())
        return self.leaving if self.fleet.receives(pool) else self.held

    def drained(self, replica: int) -> simpy.Event:
        """An event that succeeds when the draining replica with this index is empty."""
        return self._drained.setdefault(replica, self.event())

    def forget(self, replica: int) -> None:
        """Nobody waits any more for the replica with this index to be empty."""
        self._drained.pop(replica, None)

    def step(self) -> None:
        """Serve requests up to the next control event, then process it, or an edge that came first."""
        wake = self.fleet.advance(until=self.peek())
        if wake.why is Why.ON_TIME:
            super().step()
            return
        self._now = wake.time  # assigned, so that both clocks are exactly equal
        self._upcall(wake)

    def _upcall(self, wake: Wake) -> None:
        """Turn an edge into an event; it is processed before the fleet moves on, since it is due now."""
        if wake.why is Why.DRAINED:
            self._drained.pop(wake.replica, self.event()).succeed(wake)
        elif wake.why is Why.FINISHED:
            self.finished.succeed(wake)
        elif wake.why is Why.HELD:
            held, self.held = self.held, self.event()
            held.succeed(wake)
            for pool in [pool for pool in self._held if self.fleet.held_for(pool)]:
                self._held.pop(pool).succeed(wake)
        elif wake.why is Why.LEAVING:
            leaving, self.leaving = self.leaving, self.event()
            leaving.succeed(wake)
