"""Asking for memory before it is needed, where a fleet has outgrown the processor's caches. Changes nothing but time.

By the time that a replica's step ends, thousands of others have had theirs, and its records have left the near caches: each look
at them would wait for some 50 ns, one after the other. So when a step has been formed, three others of those that are up soon are looked
for in the tree: of one, the replica's records are asked for; of the next, those of requests that its step will touch; of the
very next, the neighbours of the request that it may end.

Not here: whose turn it is (`agenda.py`).
"""

import numba
from llvmlite import ir
from numba.core import cgutils
from numba.core.types import void
from numba.extending import intrinsic

from infersim.dataplane.agenda import SLOT_MASK, above
from infersim.dataplane.groups import ROOT
from infersim.dataplane.jit import inlined
from infersim.dataplane.records import LINE

MANY = 1 << 62 if numba.config.DISABLE_JIT else 128
"""Replicas from which on it pays; the records of fewer stay in the second cache. Never in plain Python."""
SOON = 24
"""Entries of the tree of step ends before this are the first of four parts, and of sixteen."""


@intrinsic(prefer_literal=True)
def _fetch(_, array, row, lines):
    """Ask for the first lines of a row."""

    def generate(context, builder, signature, arguments):
        kind = signature.args[0]
        made = context.make_array(kind)(context, builder, arguments[0])
        begin = builder.mul(arguments[1], builder.extract_value(made.strides, 0))
        begin = builder.add(builder.ptrtoint(made.data, ir.IntType(64)), begin)
        pointer, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        wanted = ir.FunctionType(ir.VoidType(), [pointer, flag, flag, flag])
        prefetch = cgutils.get_or_insert_function(builder.module, wanted, "llvm.prefetch.p0")
        for offset in range(0, lines.literal_value * LINE, LINE):
            address = builder.inttoptr(builder.add(begin, ir.IntType(64)(offset)), pointer)
            builder.call(prefetch, [address, flag(0), flag(3), flag(1)])  # to read, keep near, data
        return context.get_dummy_value()

    return void(array, row, lines), generate


@inlined
def look_ahead(r, ends, engines, roll):
    """Ask for the records of who is up soon, now that the step of replica `r` has been formed."""
    place = ends.leaves + r
    while place >= SOON:
        place = above(place)
    fetch_replica(ends.entries[place].replica, engines)
    soon = ends.entries[above(place)].replica
    server = engines.servers[soon]
    slot = engines.finishes[soon, 0] & SLOT_MASK
    _fetch(roll.flights, slot, 3)
    _fetch(roll.asked, slot, 1)
    _fetch(roll.flights, server.prefilling, 2)  # NONE, too: to ask for what is not there does no harm
    _fetch(roll.flights, server.queue_head, 2)
    _fetch(roll.flights, server.batch_tail, 1)
    ending = roll.flights[engines.finishes[ends.entries[ROOT].replica, 0] & SLOT_MASK]
    _fetch(roll.flights, ending.previous, 1)
    _fetch(roll.flights, ending.next, 2)


@inlined
def fetch_replica(r, engines):
    """Ask for what every step and every request of a replica looks at."""
    _fetch(engines.servers, r, 4)
    _fetch(engines.replicas, r, 1)
    _fetch(engines.phases, r, 1)
    _fetch(engines.finishes, r, 2)
