"""Why nothing is served any more: which request waits, for what, under which policies, and what would mend it.

Not here: when a run is given up (`datacenter.py`).
"""

from collections.abc import Sequence

from infersim.controlplane.pool import Pool
from infersim.dataplane.fleet import Fleet, Waiting


class Standstill(RuntimeError):
    """Time passes, requests are in flight, and nothing is being served."""


def complaint(first: Waiting, fleet: Fleet, pools: Sequence[Pool], idle_s: float) -> str:
    """What is said of a fleet in which no step has run for `idle_s` [s], though requests wait, this one for longest."""
    wanted = _wanted(fleet, pools, first)
    return (
        f"standstill at {fleet.now:g} s: no step has run for {idle_s:g} s, and {fleet.in_flight} requests are in flight. "
        f"The first of them, request {first.request}, {_what(first, pools)}. "
        f"{'; '.join(_state(fleet, pool) for pool in pools)}. {_mend(wanted, first)}"
    )


def _what(first: Waiting, pools: Sequence[Pool]) -> str:
    """What a request waits for, in words."""
    if first.state == "held":
        return f"has waited since {first.since_s:g} s for a replica that is ready"
    if first.state == "leaving":
        prompt = f"has its prompt processed in pool {pools[first.pool].name}"
        return f"{prompt}, and has waited since {first.since_s:g} s for a decode replica that is ready"
    return f"is in state {first.state} at replica {first.replica} of pool {pools[first.pool].name} since {first.since_s:g} s"


def _wanted(fleet: Fleet, pools: Sequence[Pool], first: Waiting) -> list[Pool]:
    """The pools whose replicas a request waits for."""
    if first.state in ("held", "leaving"):
        waited_for = [pool for pool in pools if fleet.held_for(pool.number)]
        return [pool for pool in waited_for if fleet.receives(pool.number) == (first.state == "leaving")]
    return [pools[first.pool]]


def _state(fleet: Fleet, pool: Pool) -> str:
    """What a pool is doing."""
    policy = f"autoscaler {pool.autoscaler}" if pool.autoscaler else "no autoscaler"
    held, _ = fleet.observe(pool.number)
    lacking = sum(not replica.found for replica in pool.starting)
    return (
        f"Pool {pool.name} ({policy}): {held.ready} ready, {held.draining} draining, "
        f"{len(pool.starting)} starting ({lacking} without a machine), {held.waiting} requests waiting, {held.running} running"
    )


def _mend(wanted: list[Pool], first: Waiting) -> str:
    """What to do about it."""
    names = " or ".join(pool.name for pool in wanted)
    if first.state not in ("held", "leaving"):
        return f"Nothing should be able to hold it up in pool {names}: please report this scenario, with its seed"
    if any(not replica.found for pool in wanted for replica in pool.starting):
        return (
            f"No machine is found for pool {names}: give its price more capacity or a higher limit, add fallbacks, "
            "or end the outage"
        )
    asked = [pool for pool in wanted if pool.autoscaler]
    if asked:
        policies = " and ".join(f"{pool.autoscaler} (pool {pool.name})" for pool in asked)
        return f"Autoscaler {policies} asks for no replica: raise replicas.min to 1, or see why it does not"
    return f"Give pool {names} at least one replica (replicas.initial), or an autoscaler that starts one"
