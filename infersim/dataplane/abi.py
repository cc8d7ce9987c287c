"""The binary interface of the compiled loop: numba types of the records, and how policies are compiled and cached.

A policy is compiled once, with an explicit signature, to a first-class function value; the loop is compiled once for
all policies, and both are cached on disk. With NUMBA_DISABLE_JIT=1 both stay plain Python. Not here: the policies
(`infersim/policies/`). Read `loop.py` next.
"""

import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numba
import numpy as np
from numba import types

from infersim.dataplane import records
from infersim.dataplane.faults import PolicyRaised

JIT = not numba.config.DISABLE_JIT


def _array(dtype: np.dtype) -> types.Array:
    return types.Array(numba.from_dtype(dtype), 1, "C")


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
    _array(records.SERVER),
    types.int64[:, ::1],
    _array(records.TABLE),
    types.float64[::1],
    types.float64[::1],
    types.int64[::1],
)
"""Signature of `progress.observe`."""

GLANCE = types.void(
    types.float64,
    types.int64,
    REPLICAS,
    _array(records.SERVER),
    types.int64[:, ::1],
    _array(records.TABLE),
    types.float64[::1],
)
"""Signature of `progress.glance`."""

COUNTS = types.float64[::1]
ADVANCE = types.int64(
    types.float64,  # until
    types.float64,  # factor of a verb
    types.int64[::1],  # slots of its victims
    types.FunctionType(ROUTE),
    types.FunctionType(ORDER),
    types.FunctionType(SHAPE),
    _array(records.CLOCK),
    _array(records.REQUEST),  # the chunk of requests that arrive
    types.int64[::1],  # their output tokens
    _array(records.REQUEST),  # of the requests in flight, by slot
    _array(records.FLIGHT),
    types.int64[::1],  # stack of free slots
    types.float64[::1],  # pending deliveries: times,
    types.int64[::1],  # orders
    types.int64[::1],  # and slots
    REPLICAS,
    REPLICAS,  # as the router saw them last
    _array(records.SERVER),
    types.int64[::1],  # replicas that requests are routed to
    types.int64[::1],  # replicas that sequences are sent to after their prompt
    types.int64[::1],  # the router's memory
    types.float64[::1],  # requests outstanding at each replica that requests are routed to, inf at others
    types.int64[::1],  # winner tree over them
    types.float64[::1],  # when each replica's step ends
    types.int64[::1],  # winner tree over them
    types.int64[:, ::1],  # finishes by replica
    types.int64[:, ::1],  # block phases by replica
    types.Array(numba.from_dtype(records.ENTRY), 2, "C"),  # prefix cache entries by replica
    types.int64[:, ::1],  # hash tables over them
    types.int64[::1],  # names of the prefix blocks of requests in sight
    types.Array(numba.from_dtype(records.SHARE), 2, "C"),  # tenants' shares by replica
    types.Array(numba.from_dtype(records.ADAPTER), 2, "C"),  # adapters by replica
    _array(records.STEP),  # the step that is being formed
    _array(records.STATE),  # what a batching policy sees of it
    _array(records.TABLE),
    types.float64[::1],  # flat tables of times
    COUNTS,  # flat histograms
    types.float64[::1],  # edges of the ITL histogram
    _array(records.OUTCOME),
    _array(records.CALL),  # clients, by slot
    types.int64[::1],  # heap of those that have an alarm
    _array(records.CLIENT),  # classes of clients
    _array(records.SEQUEL),  # what the requests of the chunk follow
    types.int64[::1],  # where those stand
    types.int64[::1],  # slots of the requests of the chunk
    _array(records.SOURCE),  # what users in closed loops send
    _array(records.REQUEST),  # their next requests,
    types.int64[::1],  # output tokens
    types.float64[::1],  # and times to think
)
"""Signature of the loop; see `loop.advance`."""


@cache
def compiled_policy(function: Callable, signature: types.Type) -> Callable:
    """`function` as a first-class value of the given signature, cached on disk where its file allows it.

    Indexes are checked, so that a user's mistake is an error and not a look into foreign memory.
    """
    if not JIT:
        return _interpreted(function)
    return numba.cfunc(signature, cache=_has_file(function), boundscheck=True)(function)


def bare(dispatcher: Callable) -> Callable:
    """The one compiled version of a function, without numba's look at the type of each argument (60 us for the loop's).

    The door of the data plane casts what it hands over, so there is nothing to look at.
    """
    (version,) = dispatcher.overloads.values()
    return version.entry_point


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
