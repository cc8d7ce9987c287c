"""Several classes of requests at once: shares of one arrival process, and classes with arrivals of their own.

Not here: the requests of one class (`traffic.py`).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from infersim.spec.workload import Workload
from infersim.workload.arrivals import arrival_blocks
from infersim.workload.renewal import Times
from infersim.workload.requests import Requests, joined
from infersim.workload.streams import stream
from infersim.workload.traffic import traffic

SESSIONS_OF_A_CLASS = 1 << 48
"""Session numbers of different classes do not meet."""


def mixed(workload: Workload, horizon_s: float | None, seed: int, directory: Path | None) -> Iterator[Requests]:
    """Requests of all classes in order of arrival; ties in the order of the classes.

    The random streams of a class carry its name: adding a class does not change the others (a share changes which
    arrivals are whose).
    """
    sources = []
    for index, tenant in enumerate(workload.classes or []):
        times = None if tenant.share is None else _share(workload, index, horizon_s or 0.0, seed, directory)
        own = traffic(workload.of_class(tenant), horizon_s, seed, directory, f"{tenant.name}.", times)
        sources.append(_labelled(own, index, tenant.priority))
    return merged_requests(sources)


def _labelled(blocks: Iterator[Requests], tenant: int, priority: int) -> Iterator[Requests]:
    """The requests of a class with its number and priority."""
    for block in blocks:
        session = np.where(block.session < 0, block.session, block.session + tenant * SESSIONS_OF_A_CLASS)
        count = len(block)
        yield block.with_columns(tenant=np.full(count, tenant), priority=np.full(count, priority), session=session)


def _share(workload: Workload, tenant: int, horizon_s: float, seed: int, directory: Path | None) -> Iterator[Times]:
    """The arrivals of the common process that fall to a class; each draws the process again and takes its own."""
    assert workload.classes is not None
    assert workload.arrivals is not None
    ends = np.cumsum([one.share or 0.0 for one in workload.classes])
    labels = stream(seed, "classes")
    for times in arrival_blocks(workload.arrivals, horizon_s, seed, directory):
        which = np.searchsorted(ends, labels.random(times.size) * ends[-1], side="right")
        yield times[which == tenant]


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
