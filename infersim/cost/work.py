"""Ways to make and combine `Work`: nothing, only launches, only links, a sum, a mask, and padding to compiled shapes.

Not here: the contract (`tables.py`). Read `roofline.py` for who uses them.
"""

from collections.abc import Callable, Iterable
from dataclasses import fields, replace

import numpy as np
from numpy.typing import NDArray

from infersim.cost.tables import Array, Work


def zeros(shape: int | tuple[int, ...]) -> Work:
    """Work of nothing, for a table of `shape` entries; () is a scalar."""
    return Work(*(np.zeros(shape) for _ in fields(Work)))


def launches(seconds: Array) -> Work:
    """Work that is nothing but launch floors or host time [s]."""
    return replace(zeros(seconds.shape), launch_s=seconds)


def network(seconds: Array, sent: Array) -> Work:
    """Work that is nothing but links: seconds and bytes sent by all chips."""
    return replace(zeros(seconds.shape), network_s=seconds, network_bytes=sent)


def total(works: Iterable[Work], shape: int | tuple[int, ...]) -> Work:
    """Works one after the other."""
    result = zeros(shape)
    for work in works:
        result = result + work
    return result


def only_where(work: Work, present: NDArray[np.bool_]) -> Work:
    """The work where something is present, nothing elsewhere."""
    return work * present.astype(np.float64)


def padded(counts: Array, buckets: list[int]) -> Array:
    """Counts rounded up to compiled sizes: whole passes of the largest, then the bucket that holds the rest."""
    if not buckets:
        return counts
    sizes = np.array(sorted(buckets), dtype=np.float64)
    passes, rest = np.divmod(counts, sizes[-1])
    return passes * sizes[-1] + np.where(rest > 0, sizes[np.searchsorted(sizes, rest)], 0.0)


def padding(buckets: list[int]) -> float:
    """Mean of contexts padded to compiled lengths over their own mean, when each length up to the largest is as likely.

    A third more for powers of two: half of all contexts are padded by a third, a quarter by a third of half as much ...
    """
    if not buckets:
        return 1.0
    sizes = np.array([0, *sorted(buckets)], dtype=np.float64)
    return float((np.diff(sizes) * sizes[1:]).sum() / (sizes[-1] ** 2 / 2.0))


def in_buckets(counts: Array, buckets: list[int], cost: Callable[[Array], Work]) -> Work:
    """Cost of `counts` padded up to compiled sizes; each pass of the largest size costs anew."""
    if not buckets:
        return only_where(cost(counts), counts > 0)
    largest = float(max(buckets))
    passes, rest = np.divmod(counts, largest)
    whole = cost(np.full_like(counts, largest)) * passes
    return whole + only_where(cost(padded(rest, buckets)), rest > 0)
