"""The binary interface of the compiled loop: numba types of the records, and how policies are compiled and cached.

A policy is compiled once, with an explicit signature, to a first-class function value; the loop is compiled once for
all policies, and both are cached on disk. With NUMBA_DISABLE_JIT=1 both stay plain Python. Not here: the policies
(`infersim/policies/`). Read `loop.py` next.
"""

import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FunctionType

import numba
import numpy as np
from numba import types

from infersim.dataplane import groups, internal, pools, records
from infersim.dataplane.faults import PolicyRaised
from infersim.dataplane.jit import counting_forwards

JIT = not numba.config.DISABLE_JIT


def _array(dtype: np.dtype, dimensions: int = 1) -> types.Array:
    return types.Array(numba.from_dtype(dtype), dimensions, "C")


REPLICAS = _array(records.REPLICA)
ROUTE = types.int64(
    numba.from_dtype(records.REQUEST),
    types.Array(numba.from_dtype(records.REPLICA), 1, "C", readonly=True),
    types.Array(types.int64, 1, "C", readonly=True),
    types.int64[::1],
)
"""Signature of a routing policy: (request, replicas, routable, memory) -> index of a replica."""

ORDER = types.float64(types.int64, numba.from_dtype(records.REQUEST))
"""Signature of users' queue orders: (pool, request) -> key, smaller first."""

SHAPE = types.UniTuple(types.int64, 3)(types.int64, numba.from_dtype(records.STATE))
"""Signature of users' batching policies: (pool, state) -> (prompt tokens, whether to decode, whom to admit)."""

ORDER_OF_POOL, SHAPE_OF_POOL = ORDER.return_type(*ORDER.args[1:]), SHAPE.return_type(*SHAPE.args[1:])
"""The same for the policy of one pool, as users write it."""

OBSERVE = types.void(
    types.float64,
    types.int64,
    REPLICAS,
    _array(internal.SERVER),
    types.int32[:, ::1],
    _array(pools.TABLE),
    types.float64[::1],
    types.float64[::1],
    types.int64[::1],
)
"""Signature of `progress.observe`."""

GLANCE = types.void(
    types.float64,
    types.int64,
    REPLICAS,
    _array(internal.SERVER),
    types.int32[:, ::1],
    _array(pools.TABLE),
    types.float64[::1],
)
"""Signature of `progress.glance`."""


def _group(kind: type, *parts: types.Type) -> types.NamedTuple:
    return types.NamedTuple(parts, kind)


_INTS, _FLOATS, _TABLE_OF_INTS = types.int64[::1], types.float64[::1], types.int64[:, ::1]
_TREE = _group(groups.Tree, _array(internal.KEYED), types.int64)

ADVANCE = types.int64(
    types.float64,  # until
    types.float64,  # factor of a verb
    _INTS,  # slots of its victims
    _group(groups.Policies, types.FunctionType(ROUTE), types.FunctionType(ORDER), types.FunctionType(SHAPE)),
    _array(internal.CLOCK),
    _group(groups.Arrivals, _array(records.REQUEST), _INTS),
    _group(groups.Roll, _array(records.REQUEST), _array(internal.FLIGHT), _INTS, _array(records.OUTCOME)),
    _group(groups.Deliveries, _FLOATS, _INTS, _INTS),
    _TREE,  # when each replica's step ends
    _group(groups.Routing, REPLICAS, _INTS, _INTS, _INTS, _TREE),
    _group(
        groups.Engines, REPLICAS, _array(internal.SERVER), _TABLE_OF_INTS, types.int32[:, ::1], _array(internal.ENTRY, 2),
        _TABLE_OF_INTS, _INTS, _array(internal.SHARE, 2), _array(internal.ADAPTER, 2), _array(internal.MODEL, 2),
        _array(records.SWITCH), _array(internal.STEP),
        _array(records.STATE),
    ),
    _group(groups.Pools, _array(pools.TABLE), _FLOATS, _FLOATS, _FLOATS),
    _group(
        groups.Crowd, _array(internal.CALL), _INTS, _array(internal.CLIENT), _array(records.SEQUEL), _INTS, _INTS,
        _array(internal.SOURCE), _array(records.REQUEST), _INTS, _FLOATS,
    ),
)  # fmt: skip
"""Signature of the loop; see `loop.advance` and `groups.py`."""


@cache
def compiled_loop() -> Callable:
    """The loop, from the cache on disk or compiled now; plain Python under NUMBA_DISABLE_JIT=1."""
    from infersim.dataplane.loop import advance

    return _compiled(advance, ADVANCE)


@cache
def compiled_glance() -> Callable:
    """`progress.glance`, likewise."""
    from infersim.dataplane.progress import glance

    return _compiled(glance, GLANCE)


@cache
def compiled_observe() -> Callable:
    """`progress.observe`, likewise."""
    from infersim.dataplane.progress import observe

    return _compiled(observe, OBSERVE)


def _compiled(function: Callable, signature: types.Type) -> Callable:
    """The one compiled version of a function, without numba's look at the type of each argument (60 us for the loop's).

    The door of the data plane casts what it hands over, so there is nothing to look at. The name that numba caches it
    under holds a checksum of all sources of the data plane: numba itself watches only the function's own file, and the
    version must not outlive a change of what it has inlined.
    """
    if not JIT:
        return function
    code, name = function.__code__, f"{function.__name__}_{source_stamp():08x}"
    named = FunctionType(code, function.__globals__, name)
    named.__qualname__ = name
    with counting_forwards():
        (version,) = numba.njit(signature, cache=True, _nrt=False)(named).overloads.values()
    return version.entry_point


@cache
def compiled_policy(function: Callable, signature: types.Type) -> Callable:
    """`function` as a first-class value of the given signature, cached on disk where its file allows it.

    Indexes are checked, so that a user's mistake is an error and not a look into foreign memory.
    """
    if not JIT:
        return _interpreted(function)
    return numba.cfunc(signature, cache=_has_file(function), boundscheck=True)(function)


def _interpreted(function: Callable) -> Callable:
    """A policy in plain Python, kept to the same rules: of its arguments it may write the last array alone."""

    def policy(*arguments):
        try:
            return function(*map(_read_only, arguments[:-1]), arguments[-1])
        except Exception as error:
            raise PolicyRaised from error

    return policy


def _read_only(value: object) -> object:
    """A view of an array that cannot be written; anything else as it is."""
    if isinstance(value, np.ndarray):
        value = value.view()
        value.flags.writeable = False
    return value


def no_order(pool, request):
    """The queue order of a fleet without one of its own; never asked."""
    return 0.0


def no_shape(pool, state):
    """The batching policy of a fleet without one of its own; never asked."""
    return 0, 0, 0


def _has_file(function: Callable) -> bool:
    """Whether a function comes from a file that a cache can watch (a notebook cell or stdin does not)."""
    return Path(function.__code__.co_filename).is_file()


def source_stamp() -> int:
    """Checksum of all sources of the data plane, so that a cached loop never outlives a change of what it inlined."""
    stamp = 0
    for path in sorted(Path(__file__).parent.glob("*.py")):
        stamp = zlib.crc32(path.read_bytes(), stamp)
    return stamp
