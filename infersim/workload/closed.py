"""Users in a closed loop: how long they think, and what each of them sends first.

The data plane decides who sends which request when (DESIGN.md, "Users in a closed loop"). Not here: the requests
themselves (`traffic.py`).
"""

import math
from collections.abc import Iterator
from statistics import NormalDist

import numpy as np

from infersim.spec.closed import ClosedLoop, ConstantTime, ExponentialTime, Think
from infersim.workload.renewal import Times
from infersim.workload.requests import Requests, joined, no_sequels
from infersim.workload.streams import BLOCK, stream


def think_times(think: Think, seed: int, name: str) -> Iterator[Times]:
    """Times to think [s], without end."""
    rng = stream(seed, name)
    while True:
        if isinstance(think, ConstantTime):
            yield np.full(BLOCK, think.value_s)
        elif isinstance(think, ExponentialTime):
            yield rng.exponential(think.mean_s, BLOCK)
        else:
            spread = math.log(think.p90_s / think.p50_s) / NormalDist().inv_cdf(0.9)
            yield think.p50_s * np.exp(spread * rng.standard_normal(BLOCK))


def first_of_users(process: ClosedLoop, listed: Iterator[Requests]) -> Iterator[Requests]:
    """The first request of each user, by arrival: after the ramp has reached him and he has thought."""
    blocks, count = [], 0
    while count < process.users:
        blocks.append(next(listed))
        count += len(blocks[-1])
    first = joined(blocks).part(0, process.users)
    begun = process.ramp_s * np.arange(process.users) / process.users
    sequels = no_sequels(process.users)
    sequels["source"] = 0
    first = first.with_columns(arrival_s=begun + first.arrival_s, sequels=sequels)
    yield first.at(np.argsort(first.arrival_s, kind="stable"))
