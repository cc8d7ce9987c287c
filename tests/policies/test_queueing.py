"""The queueing autoscaler against Erlang's formula and against stationary probabilities summed one by one."""

import math

import pytest

from infersim.policies.autoscaling import Facts, Reading, View
from infersim.policies.autoscaling.queueing import Queueing, most_load
from tests.oracles.test_many_servers import erlang_c

STEP_S, TOKENS = 0.02, 100
GRID_SHARE = 1 / 200
"""How far below the exact load the answer may lie, as a share of the fastest service: two rounds of 17 points."""


def bisected(missed: float, share_missed) -> float:  # type: ignore[no-untyped-def]
    """The load, as a share of the fastest service, at which a rising function reaches `missed`."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if share_missed(middle) <= missed else (low, middle)
    return low


@pytest.mark.parametrize("servers", [1, 4, 32])
@pytest.mark.parametrize("ttft_s", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("missed", [0.01, 0.1])
def test_servers_whose_speed_does_not_depend_on_the_batch(servers: int, ttft_s: float, missed: float) -> None:
    """Steps of the same length whatever the batch: M/M/c. More than c + k requests are there for C(c, a) x rho^(1 + k)."""
    fastest = servers / (STEP_S * TOKENS)

    def late(rho: float) -> float:
        return erlang_c(servers, rho * servers) * rho ** (1 + ttft_s * fastest) if rho < 1 else 1.0

    exact = bisected(missed, late) * fastest
    found = most_load(STEP_S, 0.0, TOKENS, servers, ttft_s, math.inf, missed)
    assert exact - GRID_SHARE * fastest <= found <= exact * (1 + 1e-9) + 1e-3 * fastest


@pytest.mark.parametrize(
    ("base_s", "slope_s", "tpot_s"), [(0.01, 0.001, 0.05), (0.02, 0.0005, 0.03), (0.01, 0.002, 9.0)]
)
def test_servers_that_slow_down_with_the_batch(base_s: float, slope_s: float, tpot_s: float) -> None:
    """p(n) by birth and death, summed up to 5,000 requests, against the share of time beyond what TPOT allows."""
    places, missed = 64, 0.05
    allowed = min(places, int((tpot_s - base_s) / slope_s))

    def rate(n: int) -> float:
        batch = min(n, places)
        return batch / (TOKENS * (base_s + slope_s * batch))

    def late(rho: float) -> float:
        load, weight, total, beyond = rho * rate(places), 1.0, 1.0, 0.0
        for n in range(1, 5000):
            weight *= load / rate(n)
            total += weight
            beyond += weight if n > allowed else 0.0
            if weight < 1e-15 * total:
                break
        return beyond / total

    exact = bisected(missed, late) * rate(places)
    found = most_load(base_s, slope_s, TOKENS, places, 0.0, tpot_s, missed)
    assert exact - GRID_SHARE * rate(places) <= found <= exact * 1.001


def test_it_measures_service_by_littles_law() -> None:
    """Two replicas always in steps, 8 requests in each batch, a token for each every 20 ms, 100 tokens a request.

    So 800 tokens and 8 requests a second. Half of the step is taken to grow with the batch, for batches have not varied:
    a = 10 ms, b = 1.25 ms. It asks for ceil(8 / most load of such a replica).
    """
    facts = Facts(interval_s=15.0, max_num_seqs=32, ttft_s=1.0, tpot_s=0.04)
    readings = [
        Reading(time_s, 2, running=16, busy_s=2 * time_s, up_s=2 * time_s, output_tokens=800 * time_s,
                arrived=round(8 * time_s), ended=round(8 * time_s))
        for time_s in range(0, 241, 15)
    ]  # fmt: skip
    policy = Queueing(0.99, 120.0, 300.0)
    wanted = policy.desired(View(240.0, 2, readings=readings, facts=facts))
    most = most_load(0.01, 0.00125, 100, 32, 1.0, 0.04, 0.01)
    assert wanted == math.ceil(8 / most)
    assert most < 24 / (100 * 0.04), "TPOT allows 24 in a batch, and that is the least load at which it misses"
