"""Asking for memory before it is needed, where a fleet has outgrown the processor's caches. Changes nothing but time.

By the time that a replica's step ends, thousands of others have had theirs, and its records have left the near caches: each look
at them would wait for some 50 ns, one after the other. So when a step has been formed, the records of a replica nearby in the tree
whose turn will come in a few events are asked for, and those of the replica that the next request goes to.

Not here: whose turn it is (`agenda.py`).
"""

import numba
from llvmlite import ir
from numba.core import cgutils
from numba.core.types import Record, void
from numba.extending import intrinsic

from infersim.dataplane.agenda import SLOT_MASK
from infersim.dataplane.jit import inlined

MANY = 1 << 62 if numba.config.DISABLE_JIT else 512
"""Replicas (a power of two) from which on it pays; the records of fewer stay in the second cache. Never in plain Python."""
SOON, NEXT = 3, 1
"""Depths in the tree of step ends: of eight parts, whose first ones are up within some eight events, and of two."""
LINE = 64
"""Bytes that a cache keeps together."""


@intrinsic
def _fetch(_, array, row):
    """Ask for a record, or for the first two lines of a row of integers."""

    def generate(context, builder, signature, arguments):
        kind = signature.args[0]
        made = context.make_array(kind)(context, builder, arguments[0])
        size = kind.dtype.size if isinstance(kind.dtype, Record) else 2 * LINE
        begin = builder.mul(arguments[1], builder.extract_value(made.strides, 0))
        begin = builder.add(builder.ptrtoint(made.data, ir.IntType(64)), begin)
        pointer, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        wanted = ir.FunctionType(ir.VoidType(), [pointer, flag, flag, flag])
        prefetch = cgutils.get_or_insert_function(builder.module, wanted, "llvm.prefetch.p0")
        for offset in (*range(0, size, LINE), size - 1):
            address = builder.inttoptr(builder.add(begin, ir.IntType(64)(offset)), pointer)
            builder.call(prefetch, [address, flag(0), flag(3), flag(1)])  # to read, keep near, data
        return context.get_dummy_value()

    return void(array, row), generate


@inlined
def look_ahead(r, clock, ends, loads, engines, roll):
    """Ask for the records of who is up soon, now that the step of replica `r` has been formed."""
    node = r + ends.keys.shape[0]
    _fetch_replica(ends.winners[node >> (clock.depth - SOON)], engines)
    slot = engines.finishes[ends.winners[node >> (clock.depth - NEXT)], 0] & SLOT_MASK
    _fetch(roll.flights, slot)
    _fetch(roll.asked, slot)
    if clock.by_load:
        _fetch_replica(loads.winners[1], engines)


@inlined
def _fetch_replica(r, engines):
    """Ask for what every step and every request of a replica looks at."""
    _fetch(engines.servers, r)
    _fetch(engines.replicas, r)
    _fetch(engines.phases, r)
    _fetch(engines.finishes, r)
