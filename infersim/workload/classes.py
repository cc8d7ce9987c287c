"""Several classes of requests at once: shares of one arrival process, and classes with arrivals of their own.

Not here: the requests of one class (`traffic.py`).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from infersim.spec.arrivals import ServeGen, Trace
from infersim.spec.closed import ClosedLoop
from infersim.spec.workload import Workload
from infersim.workload.arrivals import arrival_blocks
from infersim.workload.formats import block_tokens_of, format_of
from infersim.workload.prompts import content_id, reblocked
from infersim.workload.renewal import Times
from infersim.workload.requests import Requests, joined
from infersim.workload.streams import stream
from infersim.workload.structure import family
from infersim.workload.traces import TraceError, find_trace
from infersim.workload.traffic import listed, traffic

SESSIONS_OF_A_CLASS = 1 << 48
"""Session numbers of different classes do not meet."""


def mixed(workload: Workload, horizon_s: float | None, seed: int, directory: Path | None) -> Iterator[Requests]:
    """Requests of all classes in order of arrival; ties in the order of the classes.

    The random streams of a class carry its name: adding a class does not change the others (a share changes which
    arrivals are whose).
    """
    common = prefix_tokens(workload, directory)
    sources = []
    for index, tenant in enumerate(workload.classes or []):
        alone = workload.of_class(tenant)
        times = None if tenant.share is None else _share(workload, index, horizon_s or 0.0, seed, directory)
        own = traffic(alone, horizon_s, seed, directory, f"{tenant.name}.", times)
        sources.append(_labelled(_renamed(own, alone, common, directory), index, tenant.priority))
    return merged_requests(sources)


def user_lists(workload: Workload, seed: int, directory: Path | None) -> list[Iterator[Requests]]:
    """What the users of each class that is a closed loop send after their first requests, without end; empty for others.

    arrival_s is the time to think before each.
    """
    if workload.classes is None:
        return [_after_the_first(workload, seed, directory)]
    lists, common = [], prefix_tokens(workload, directory)
    for index, tenant in enumerate(workload.classes):
        alone = workload.of_class(tenant)
        own = _renamed(_after_the_first(alone, seed, directory, f"{tenant.name}."), alone, common, directory)
        lists.append(_labelled(own, index, tenant.priority))
    return lists


def _after_the_first(workload: Workload, seed: int, directory: Path | None, name: str = "") -> Iterator[Requests]:
    """The list of a closed loop from where its users have drawn their first requests; nothing of other arrivals."""
    if not isinstance(workload.arrivals, ClosedLoop):
        return
    taken = workload.arrivals.users
    for block in listed(workload, seed, directory, name):
        if taken < len(block):
            yield block.part(taken, len(block))
        taken = max(taken - len(block), 0)


def prefix_tokens(workload: Workload, directory: Path | None = None) -> int:
    """Tokens in each named prefix block of the requests; 0 if they name none. Of several sizes it is the smallest.

    Raises TraceError for a trace that cannot be read, or whose blocks cannot be told in that size.
    """
    parts = workload.parts
    sizes = [_own_tokens(part, directory) for part in parts]
    least = min((size for size in sizes if size), default=0)
    for part, size in zip(parts, sizes, strict=True):
        if size and size % least:
            what = f"names blocks of {size} tokens, which are not whole blocks of {least} as another class has them"
            file = part.arrivals.file if isinstance(part.arrivals, Trace) else "workload.classes"
            raise TraceError(Path(file), f"{what}; give the structures block_tokens that divide it")
    return least


def _own_tokens(workload: Workload, directory: Path | None) -> int:
    """Block size of one class."""
    if workload.structure is not None:
        return workload.structure.block_tokens
    if not isinstance(workload.arrivals, Trace):
        return 0
    path = find_trace(workload.arrivals.file, directory)
    return block_tokens_of(path, format_of(path))


def _renamed(blocks: Iterator[Requests], workload: Workload, common: int, directory: Path | None) -> Iterator[Requests]:
    """Blocks in the common size; those of a recording under names that no other recording has."""
    size = _own_tokens(workload, directory)
    for block in blocks:
        if isinstance(workload.arrivals, Trace):
            block = block.with_columns(prefixes=content_id(family(workload.arrivals.file), block.prefixes))
        yield block if size in (0, common) else reblocked(block, size, common)


def _labelled(blocks: Iterator[Requests], tenant: int, priority: int) -> Iterator[Requests]:
    """The requests of a class with its number and priority."""
    for block in blocks:
        session = np.where(block.session < 0, block.session, block.session + tenant * SESSIONS_OF_A_CLASS)
        count, sequels = len(block), block.sequels.copy()
        sequels["source"][sequels["source"] >= 0] = tenant
        yield block.with_columns(
            tenant=np.full(count, tenant), priority=np.full(count, priority), session=session, sequels=sequels
        )


def _share(workload: Workload, tenant: int, horizon_s: float, seed: int, directory: Path | None) -> Iterator[Times]:
    """The arrivals of the common process that fall to a class; each draws the process again and takes its own."""
    assert workload.classes is not None
    process = workload.arrivals
    assert process is not None
    assert not isinstance(process, Trace | ServeGen | ClosedLoop)
    ends = np.cumsum([one.share or 0.0 for one in workload.classes])
    labels = stream(seed, "classes")
    for times in arrival_blocks(process, horizon_s, seed, directory):
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
