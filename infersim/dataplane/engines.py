"""One replica out of the arrays of all.

Not here: what the arrays are (`groups.py`).
"""

from infersim.dataplane.groups import Engine
from infersim.dataplane.jit import pasted


@pasted
def engine_of(r, engines, tables):
    """Replica `r` and what its pool is like."""
    server = engines.servers[r]
    return Engine(
        server, engines.replicas[r], tables[server.table], engines.finishes[r], engines.phases[r], engines.caches[r],
        engines.lookups[r], engines.names, engines.shares[r], engines.slots[r], engines.models[r],
    )  # fmt: skip
