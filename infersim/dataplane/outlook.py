"""Asking for memory before it is needed, where a fleet has outgrown the processor's caches. Changes nothing but time.

By the time that a replica's step ends, thousands of others have had theirs, and its records have left the near caches: each look
at them would wait for some 50 ns, one after the other. So when a step has been formed, the records of a replica nearby in the tree
whose turn will come in a few events are asked for; and, once they are there, those of the requests that its step will touch.

Not here: whose turn it is (`agenda.py`).
"""

import numba
from llvmlite import ir
from numba.core import cgutils
from numba.core.types import void
from numba.extending import intrinsic

from infersim.dataplane.agenda import SLOT_MASK, first_of
from infersim.dataplane.groups import ROOT
from infersim.dataplane.jit import inlined
from infersim.dataplane.records import LINE, NONE

MANY = 1 << 62 if numba.config.DISABLE_JIT else 512
"""Replicas from which on it pays; the records of fewer stay in the second cache. Never in plain Python."""


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
def look_ahead(r, clock, ends, loads, engines, roll):
    """Ask for the records of who is up soon, now that the step of replica `r` has been formed."""
    if clock.soon != NONE:
        server = engines.servers[clock.soon]
        if server.decoding > 0:
            _fetch_request(engines.finishes[clock.soon, 0] & SLOT_MASK, roll)
        if server.prefilling != NONE:
            _fetch(roll.flights, server.prefilling, 2)
        if server.queue_head != NONE:
            _fetch(roll.flights, server.queue_head, 2)
    place = ends.least.shape[0] - ends.keys.shape[0] + r
    while place > ROOT + 8:
        place = (place >> 3) + ROOT - 1
    clock.soon = first_of(ends, place)  # of the eighth of the replicas that it is in: up in some eight events
    _fetch_replica(clock.soon, engines)
    if clock.by_load:
        _fetch_replica(first_of(loads, ROOT), engines)


@inlined
def _fetch_request(slot, roll):
    """Ask for what the end of a request looks at."""
    _fetch(roll.flights, slot, 3)
    _fetch(roll.asked, slot, 2)


@inlined
def _fetch_replica(r, engines):
    """Ask for what every step and every request of a replica looks at."""
    _fetch(engines.servers, r, 4)
    _fetch(engines.replicas, r, 1)
    _fetch(engines.phases, r, 1)
    _fetch(engines.finishes, r, 2)
