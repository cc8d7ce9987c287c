"""Features that the twin knows and the loop does not have yet: until it has them, everything is plain.

Each line goes when its feature lands; then this file goes. Not here: the features themselves (`tests/naive*.py`).
"""

import math

from infersim.dataplane.fleet import Fleet, PoolCost
from infersim.dataplane.records import OUTCOME, REQUEST

PLAIN = {
    "host_entries": 0,
    "full_blocks": 1,
    "window_blocks": 0,
    "window_tokens": 1,
    "prompts_s": (),
    "max_queued": None,
    "max_queued_work_s": math.inf,
}
"""Fields of PoolCost."""
HAS_WIDTH = "forks" in REQUEST.names
HAS_KINDS = "host_entries" in PoolCost.__dataclass_fields__ and HAS_WIDTH
HAS_CLIENTS = hasattr(Fleet, "fail") and "retries" in OUTCOME.names


def known(fields: dict) -> dict:
    """Those of the fields that PoolCost has."""
    return {name: value for name, value in fields.items() if name in PoolCost.__dataclass_fields__}


def plain_pool(**fields: object) -> PoolCost:
    """A pool with those of the fields that PoolCost has."""
    return PoolCost(**known(fields))


for _name, _value in PLAIN.items():
    if _name not in PoolCost.__dataclass_fields__:
        setattr(PoolCost, _name, _value)
