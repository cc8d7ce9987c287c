"""A closed loop on prefill and decode replicas apart: the rate at which so many users are in the system, by Little's law.

The loop cannot hold back a user until an answer has come, so requests come evenly spaced at a rate that is halved in
until rate x mean latency is the number of users. Not here: one pool (`resimulation.py`).
"""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from infersim.dataplane.fleet import Fleet, PoolCost
from infersim.dataplane.tally import Tally

TRANSFER_GB_S = 45.0
"""Rate at which keys and values travel from a prefill to a decode replica: 400 Gb/s, 90 % achieved [GB/s]."""
TRANSFER_LATENCY_S = 1e-3
HALVINGS = 12


def serve_apart(
    pool: PoolCost,
    requests: NDArray,
    outputs: NDArray[np.int64],
    users: int,
    prefill: int,
    decode: int,
    kv_token: float,
) -> tuple[NDArray, Tally, float]:
    """Outcomes, the shapes that decode replicas ran, and requests a second, with `users` in the system on average.

    `kv_token`: bytes of one token's keys and values [B].
    """
    pools = [
        replace(
            pool, role="prefill", transfer_token_s=kv_token / (TRANSFER_GB_S * 1e9),
            transfer_latency_s=TRANSFER_LATENCY_S,
        ),
        replace(pool, role="decode", batching="chunked_prefill"),  # there are no prompts to put first
    ]  # fmt: skip

    def run(rate: float) -> tuple[NDArray, Tally]:
        spaced = requests.copy()
        spaced["arrival_s"] = np.arange(len(spaced)) / rate
        from infersim.policies.routing import ROUTERS

        fleet = Fleet(pools, [(spaced, outputs)], ROUTERS["least_outstanding"].compiled)
        for index, count in enumerate((prefill, decode)):
            for _ in range(count):
                fleet.open(index)
        fleet.advance(math.inf)
        return fleet.outcomes(), fleet.tally(1)

    alone, _ = run(1e-3)
    low, high = 0.0, users / float((alone["finish_s"] - alone["arrival_s"]).mean())
    outcomes, tally = run(high)
    for _ in range(HALVINGS):
        rate = 0.5 * (low + high)
        outcomes, tally = run(rate)
        steady = outcomes[len(outcomes) // 5 :]
        inside = rate * float((steady["finish_s"] - steady["arrival_s"]).mean())
        low, high = (rate, high) if inside < users else (low, rate)
    return outcomes, tally, 0.5 * (low + high)
