"""Queues of the textbook, built from cost tables and served by the compiled loop, and the intervals to hold them to.

A request is one prompt token and O output tokens; O steps serve it. Many small steps make its service time as good as
continuous, and the loop leaps over them. Not here: what theory says (`test_*.py`).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from infersim.dataplane.fleet import PoolCost
from infersim.dataplane.records import FINISHED, REQUEST
from tests.twin import compiled
from tests.twin.case import Case

REPLICATIONS = 16
CONFIDENCE = 0.999
WARM_UP = 0.1
"""Share of each replication's first requests that are not looked at."""

Lengths = Callable[[np.random.Generator, int], NDArray[np.int64]]


def server(step_s: NDArray[np.float64], **changes: object) -> PoolCost:
    """A replica whose step with N sequences takes step_s[N], whatever their lengths; it has len(step_s) - 1 slots."""
    slots = len(step_s) - 1
    fields: dict = {
        "linear_s": np.zeros(slots + 1),
        "sequences_s": np.asarray(step_s, float),
        "decode_base_s": np.zeros(slots + 1),
        "decode_per_context_s": np.zeros(slots + 1),
        "prefill_chunk_s": 0.0,
        "prefill_per_pair_s": 0.0,
        "prefill_per_context_s": 0.0,
        "request_overhead_s": 0.0,
        "token_overhead_s": 0.0,
        "block_size": 16,
        "blocks": 1 << 40,
        "max_num_seqs": slots,
        "max_num_batched_tokens": slots,
        "max_context": 1 << 40,
        "async_scheduling": False,
    }
    return PoolCost(**(fields | changes))


def geometric(mean: float) -> Lengths:
    """Memoryless lengths of at least one token."""
    return lambda rng, count: rng.geometric(1 / mean, count)


def constant(tokens: int) -> Lengths:
    return lambda rng, count: np.full(count, tokens)


ONE_TOKEN = constant(1)


def either(short: int, long: int, share_long: float) -> Lengths:
    return lambda rng, count: np.where(rng.random(count) < share_long, long, short)


def serve(
    rate: float,
    lengths: Lengths,
    pool: PoolCost,
    count: int,
    replicas: int = 1,
    router: str = "round_robin",
    prompts: Lengths = ONE_TOKEN,
    **rules: Any,
) -> list[NDArray[np.void]]:
    """Outcomes of independent replications with Poisson arrivals, without their warm-up.

    All requests finish unless the pool, or `rules` (of `Case`), turn some away or let them lose patience.
    """
    replications = []
    for seed in range(REPLICATIONS):
        rng = np.random.default_rng([2024, seed])
        requests = np.zeros(count, REQUEST)
        requests["id"] = np.arange(count)
        requests["arrival_s"] = np.cumsum(rng.exponential(1 / rate, count))
        requests["input_tokens"] = prompts(rng, count)
        rows = compiled.simulate(Case([pool], requests, lengths(rng, count), router, [0] * replicas, **rules)).outcomes
        assert rules or pool.max_queued is not None or (rows["status"] == FINISHED).all()
        replications.append(rows[int(WARM_UP * count) :])
    return replications


def wait_s(rows: NDArray[np.void]) -> NDArray[np.float64]:
    """Time before service [s]."""
    return rows["queued_s"]


def sojourn_s(rows: NDArray[np.void]) -> NDArray[np.float64]:
    """Time in the system [s]."""
    return rows["finish_s"] - rows["arrival_s"]


def found_by_arrivals(rows: NDArray[np.void]) -> NDArray[np.int64]:
    """How many were in the system when each request arrived; Poisson arrivals see time averages."""
    ended = np.searchsorted(np.sort(rows["finish_s"]), rows["arrival_s"])
    return np.arange(len(rows)) - ended


def assert_theory(theory: float, figures: list[float], slack: float = 0.0, width: float = 0.04) -> None:
    """The confidence interval of the replications' mean holds the theory, and is narrow enough to mean something.

    The slack is what steps add to a continuous queue: the figure may exceed the theory by so much. The half-width of
    the interval may be `width` of the theory.
    """
    mean, error = np.mean(figures), np.std(figures, ddof=1) / np.sqrt(len(figures))
    half = error * stats.t.ppf(0.5 + CONFIDENCE / 2, len(figures) - 1)
    assert half < width * theory, f"{mean:.6g} +- {half:.2g} says too little of {theory:.6g}"
    assert mean - half - slack <= theory <= mean + half, f"theory {theory:.6g}, simulated {mean:.6g} +- {half:.2g}"
