"""Users in a closed loop: each sends a request, waits for its answer and sends the next, on one pool or on two apart.

What a request waits for is in the loop: the front end, and the steps that run and are scheduled when it comes, which are
long ones where many answers of one length end together. Not here: other loads (`resimulation.py`).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from infersim.dataplane.fleet import Fleet, PoolCost
from infersim.dataplane.records import NONE, SEQUEL
from infersim.dataplane.tally import Tally

TRANSFER_GB_S = 45.0
"""Rate at which keys and values travel from a prefill to a decode replica: 400 Gb/s, 90 % achieved [GB/s]."""
TRANSFER_LATENCY_S = 1e-3


def apart(prefill: PoolCost, decode: PoolCost, kv_token: float) -> list[PoolCost]:
    """Two pools as one that prefills and one that decodes; `kv_token`: bytes of one token's keys and values [B]."""
    transfer_s = kv_token / (TRANSFER_GB_S * 1e9)
    return [
        replace(prefill, role="prefill", transfer_token_s=transfer_s, transfer_latency_s=TRANSFER_LATENCY_S),
        replace(decode, role="decode", batching="chunked_prefill"),  # there are no prompts to put first
    ]


def serve_users(
    pools: list[PoolCost],
    requests: NDArray,
    outputs: NDArray[np.int64],
    users: int,
    replicas: Sequence[int],
    shape: Callable | None = None,
) -> tuple[NDArray, Tally]:
    """Outcomes by id, and the shapes that replicas of the last pool ran, of `users` who each send one request after the
    other; the first ones come at their `arrival_s`. `replicas` of each pool, which form steps by `shape` if it is given."""
    from infersim.policies.routing import ROUTERS

    first = np.zeros(min(users, len(requests)), SEQUEL)
    first["after"] = NONE
    later = (requests[users:], outputs[users:], np.zeros(max(0, len(requests) - users)))
    fleet = Fleet(
        pools, [(requests[:users], outputs[:users], np.zeros(0, np.int64), first)],
        ROUTERS["least_outstanding"].compiled, shape=shape, sources=[[later]],
    )  # fmt: skip
    for index, count in enumerate(replicas):
        for _ in range(count):
            fleet.open(index)
    fleet.advance(math.inf)
    return fleet.outcomes(), fleet.tally(len(pools) - 1)
