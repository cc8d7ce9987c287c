"""A closed loop on prefill and decode replicas apart.

Not here: one pool (`resimulation.py`).
"""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from infersim.dataplane.fleet import Fleet, PoolCost
from infersim.dataplane.records import NONE, SEQUEL
from infersim.dataplane.tally import Tally

TRANSFER_GB_S = 45.0
"""Rate at which keys and values travel from a prefill to a decode replica: 400 Gb/s, 90 % achieved [GB/s]."""
TRANSFER_LATENCY_S = 1e-3


def serve_apart(
    pools: tuple[PoolCost, PoolCost],
    requests: NDArray,
    outputs: NDArray[np.int64],
    users: int,
    replicas: tuple[int, int],
    kv_token: float,
) -> tuple[NDArray, Tally]:
    """Outcomes by id, and the shapes that decode replicas ran, of `users` who each send one request after the other.

    `pools` and `replicas` are of prefill and decode; `kv_token`: bytes of one token's keys and values [B].
    """
    from infersim.policies.routing import ROUTERS

    both = [
        replace(
            pools[0], role="prefill", transfer_token_s=kv_token / (TRANSFER_GB_S * 1e9),
            transfer_latency_s=TRANSFER_LATENCY_S,
        ),
        replace(pools[1], role="decode", batching="chunked_prefill"),  # there are no prompts to put first
    ]  # fmt: skip
    first = np.zeros(min(users, len(requests)), SEQUEL)
    first["after"] = NONE
    later = (requests[users:], outputs[users:], np.zeros(max(0, len(requests) - users)))
    fleet = Fleet(
        both, [(requests[:users], outputs[:users], np.zeros(0, np.int64), first)],
        ROUTERS["least_outstanding"].compiled, sources=[[later]],
    )  # fmt: skip
    for index, count in enumerate(replicas):
        for _ in range(count):
            fleet.open(index)
    fleet.advance(math.inf)
    return fleet.outcomes(), fleet.tally(1)
