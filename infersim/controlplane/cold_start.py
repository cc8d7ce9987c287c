"""How a replica gets ready: a machine is found, the image pulled, the weights loaded, the engine started.

Not here: what happens to it afterwards (`pool.py`), how long each phase takes (`infersim/cost/cold_start.py`).
"""

from typing import TYPE_CHECKING

import simpy

from infersim.controlplane.market import Story
from infersim.controlplane.replica import Replica

if TYPE_CHECKING:
    from infersim.controlplane.pool import Pool


def to_ready(pool: "Pool", replica: Replica) -> Story:
    """From a request for a machine to ready; a machine of the warm pool waits on the way until it is wanted."""
    try:
        yield from _find_machine(pool, replica)
        kept = pool.terms.warm.state if pool.terms.warm and replica.wanted else ""
        phases = pool.terms.phases
        yield from _phase(pool, replica, "image", phases.image_s, "pulled")
        if kept == "booted":
            yield from _wait(pool, replica, kept)
        yield from _load(pool, replica)
        if kept == "cached":
            yield from _wait(pool, replica, kept)
            yield from _phase(pool, replica, "loaded", phases.cached_s, "from page_cache")
        yield from _phase(pool, replica, "initialised", phases.initialise_s)
        if kept == "asleep":
            yield from _wait(pool, replica, kept)
            yield from _phase(pool, replica, "awake", phases.wake_s)
        pool.serve(replica)
    except simpy.Interrupt:
        return  # cancelled, reclaimed or lost: whoever did it has written it down


def _find_machine(pool: "Pool", replica: Replica) -> Story:
    """Wait until somebody has a machine, and then until it has been found and booted."""
    yield from pool.market.find(replica, lambda kind, detail: pool.note_of(replica, kind, detail))
    assert replica.source is not None
    finding_s = replica.source.time_to_find()
    yield pool.env.timeout(finding_s)
    replica.lease["billed_from_s"] = pool.env.now
    pool.market.found(replica)
    pool.note_of(replica, "provisioned", f"{finding_s:.6g} s, {replica.source.choice.tier}")


def _load(pool: "Pool", replica: Replica) -> Story:
    """Load the weights from a ready replica that sends to nobody, if that is allowed, else from storage.

    A sender that goes meanwhile leaves half a model: it is loaded again from storage.
    """
    peer_s = pool.terms.phases.peer_s
    peer = next((other for other in pool.serving if not other.sending), None)
    if peer_s is not None and peer is not None:
        peer.sending = True
        try:
            sent = pool.env.timeout(peer_s)
            yield sent | peer.gone
        finally:
            peer.sending = False
        if sent.processed:
            pool.note_of(replica, "loaded", f"{peer_s:.6g} s, from replica {peer.serial}")
            return
    yield from _phase(pool, replica, "loaded", pool.terms.phases.load_s, f"from {pool.terms.phases.source}")


def _phase(pool: "Pool", replica: Replica, kind: str, seconds: float, detail: str = "") -> Story:
    """One phase of a cold start; nothing at all if it takes no time."""
    if seconds > 0:
        yield pool.env.timeout(seconds)
        pool.note_of(replica, kind, ", ".join(filter(None, (f"{seconds:.6g} s", detail))))


def _wait(pool: "Pool", replica: Replica, kept: str) -> Story:
    """Stand in the warm pool until a replica is wanted."""
    assert replica.wanted is not None
    pool.note_of(replica, "warm", kept)
    yield replica.wanted
