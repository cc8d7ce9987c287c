"""Many clients at once, as ServeGen (Alibaba, NSDI 2026) decomposes traffic: a synthetic pool.

Generating each client by itself and superposing keeps what one aggregate process loses: few dominate, and their bursts
do not average out. Not here: the published parameters (`servegen.py`).
"""

import math
from collections.abc import Iterator
from statistics import NormalDist

import numpy as np

from infersim.spec.arrivals import MOST_CV, Clients
from infersim.workload.merging import merged
from infersim.workload.renewal import Times, gamma, weibull
from infersim.workload.streams import BLOCK, stream

LEAST_DRAWN_CV = 0.05
"""Lognormal CVs below are raised to this: more regular than any client that was measured."""


def client_rates(spec: Clients) -> Times:
    """Rate of each client [requests/s], the heaviest first; they sum to the pool's."""
    weights = np.arange(1, spec.clients + 1, dtype=np.float64) ** -spec.zipf_exponent
    return weights * (spec.rate_rps / weights.sum())


def client_pool(spec: Clients, horizon_s: float, seed: int, name: str) -> Iterator[Times]:
    """Arrivals of all clients in order.

    Every client has streams of its own: a pool of more clients changes the rates of the others, not their luck.
    """
    rates = client_rates(spec)
    spread = math.log(spec.cv_p90 / spec.cv_p50) / NormalDist().inv_cdf(0.9)
    streams = []
    for index, rate in enumerate(rates.tolist()):
        rng = stream(seed, f"{name}.client.{index}")
        kind, score = rng.random(), rng.standard_normal()
        cv = min(max(spec.cv_p50 * math.exp(spread * score), LEAST_DRAWN_CV), MOST_CV)
        process = weibull if kind < spec.weibull_share else gamma
        # light clients draw little at a time, so that a pool's memory is that of one process
        block = max(64, int(BLOCK * rate / spec.rate_rps))
        streams.append(process(rate, cv, horizon_s, rng, block))
    return (times for times, _ in merged(streams, BLOCK / spec.rate_rps))
