"""Several classes of requests at once: shares of one arrival process, and classes with arrivals of their own.

Not here: the requests of one class (`traffic.py`).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from infersim.spec.workload import Workload
from infersim.workload.arrivals import arrival_blocks
from infersim.workload.requests import Requests, joined, requests
from infersim.workload.streams import Feed, stream
from infersim.workload.traffic import paired_lengths, traffic

SESSIONS_OF_A_CLASS = 1 << 48
"""Session numbers of different classes do not meet."""


def mixed(workload: Workload, horizon_s: float | None, seed: int, directory: Path | None) -> Iterator[Requests]:
    """Requests of all classes in order of arrival; ties in the order of the classes.

    The random streams of a class carry its name: adding a class does not change the others (a share changes which
    arrivals are whose).
    """
    classes = workload.classes or []
    sources: list[Iterator[Requests]] = []
    if workload.arrivals is not None:
        sources.append(_shared(workload, horizon_s or 0.0, seed, directory))
    for index, tenant in enumerate(classes):
        if tenant.arrivals is not None:
            own = traffic(workload.of_class(tenant), horizon_s, seed, directory, f"{tenant.name}.")
            sources.append(_labelled(own, index, tenant.priority))
    return merged_requests(sources)


def _labelled(blocks: Iterator[Requests], tenant: int, priority: int) -> Iterator[Requests]:
    for block in blocks:
        session = np.where(block.session < 0, block.session, block.session + tenant * SESSIONS_OF_A_CLASS)
        count = len(block)
        yield block.with_columns(tenant=np.full(count, tenant), priority=np.full(count, priority), session=session)


def _shared(workload: Workload, horizon_s: float, seed: int, directory: Path | None) -> Iterator[Requests]:
    """One process whose arrivals fall to classes by their shares, each with its lengths."""
    assert workload.classes is not None
    assert workload.arrivals is not None
    sharing = [(index, tenant) for index, tenant in enumerate(workload.classes) if tenant.share is not None]
    shares = np.cumsum([tenant.share for _, tenant in sharing])
    labels = stream(seed, "classes")
    feeds = [
        [Feed(blocks) for blocks in paired_lengths(workload.of_class(tenant), seed, directory, f"{tenant.name}.")]
        for _, tenant in sharing
    ]
    for times in arrival_blocks(workload.arrivals, horizon_s, seed, directory):
        which = np.searchsorted(shares, labels.random(times.size) * shares[-1], side="right").clip(max=len(sharing) - 1)
        inputs, outputs = np.empty(times.size, np.int64), np.empty(times.size, np.int64)
        for place, feed in enumerate(feeds):
            mine = which == place
            count = int(mine.sum())
            inputs[mine], outputs[mine] = feed[0].take(count), feed[1].take(count)
        tenant = np.array([index for index, _ in sharing])[which]
        priority = np.array([tenant.priority for _, tenant in sharing], np.int64)[which]
        yield requests(times, inputs, outputs, tenant=tenant).with_columns(priority=priority)


def merged_requests(sources: Sequence[Iterator[Requests]]) -> Iterator[Requests]:
    """Sorted sources as one; ties in the order of the sources. Holds about a block of each."""
    if len(sources) == 1:
        yield from sources[0]
        return
    waiting: list[Requests | None] = [_filled(source) for source in sources]
    while any(block is not None for block in waiting):
        safe = min(float(block.arrival_s[-1]) for block in waiting if block is not None)
        parts = []
        for place, block in enumerate(waiting):
            if block is None:
                continue
            known = int(np.searchsorted(block.arrival_s, safe, side="right"))
            parts.append(block.part(0, known))
            waiting[place] = block.part(known, len(block)) if known < len(block) else _filled(sources[place])
        whole = joined(parts)
        yield whole.at(np.argsort(whole.arrival_s, kind="stable"))


def _filled(source: Iterator[Requests]) -> Requests | None:
    """The next block that holds a request; None at the end."""
    return next((block for block in source if len(block)), None)
