"""One replica of the compiled loop alone, for schedules worked out by hand: every step takes a second.

Not here: the schedules (`test_*.py`); what a pool is made of is in `tests/twin/by_hand.py`.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from infersim.dataplane.fleet import Fleet, Why
from infersim.dataplane.layout import PoolCost
from infersim.dataplane.records import REQUEST
from infersim.policies.routing import ROUTERS


def fleet(
    rows: list[tuple[float, int, int]],
    *pools: PoolCost,
    router: str = "round_robin",
    order: Callable | None = None,
    **fields: list,
) -> Fleet:
    """A ready replica of each pool; rows are (arrival, input tokens, output tokens), other fields by request."""
    requests = np.zeros(len(rows), REQUEST)
    requests["id"] = np.arange(len(rows))
    requests["arrival_s"], requests["input_tokens"] = [row[0] for row in rows], [row[1] for row in rows]
    for name, values in fields.items():
        requests[name] = values
    chosen, outputs = ROUTERS[router], np.array([row[2] for row in rows])
    made = Fleet(list(pools), [(requests, outputs)], chosen.compiled, reads=chosen.reads, order=order)
    for index in range(len(pools)):
        made.open(index)
    return made


def served(*args: object, **fields: object) -> NDArray[np.void]:
    """The outcomes by id of what `fleet` makes of the same."""
    made = fleet(*args, **fields)  # type: ignore[arg-type]
    while made.advance(math.inf).why not in (Why.ON_TIME, Why.FINISHED):
        pass
    return made.outcomes()


def by_finish(rows: NDArray[np.void]) -> list[int]:
    """Ids in the order in which the requests ended."""
    return rows["id"][np.argsort(rows["finish_s"], kind="stable")].tolist()
