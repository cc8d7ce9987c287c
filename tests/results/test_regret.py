"""The oracle's bound: against every schedule there is, by hand, and above what any run can pay."""

import itertools
import math

import numpy as np
import pytest

from infersim import simulate
from infersim.results.regret import fewest_replicas

CHAT = {
    "name": "regret",
    "model": "llama-3.1-8b",
    "horizon_s": 120,
    "seed": 2,
    "workload": {
        "arrivals": {"process": "poisson", "rate_rps": 4},
        "input_tokens": {"distribution": "constant", "value": 800},
        "output_tokens": {"distribution": "constant", "value": 100},
    },
    "pools": [
        {
            "name": "chat",
            "hardware": "l40s",
            "replicas": {"initial": 1, "min": 0, "max": 4},
            "autoscaler": {"policy": "fixed", "replicas": 2},
        }
    ],
    "slo": {"ttft_p99_s": 2.0, "tpot_p99_s": 0.1},
}


def feasible(replicas: tuple[int, ...], pieces: list[tuple[int, int, float]]) -> bool:
    """Whether work in units of (first interval, last interval, amount) can be done, by its due dates (Jackson's rule)."""
    left = [list(piece) for piece in pieces]
    for interval, count in enumerate(replicas):
        capacity = float(count)
        for piece in sorted((p for p in left if p[0] <= interval and p[2] > 0), key=lambda p: p[1]):
            done = min(capacity, piece[2])
            piece[2] -= done
            capacity -= done
        if any(piece[2] > 1e-9 and piece[1] <= interval for piece in left):
            return False
    return True


@pytest.mark.parametrize("seed", range(20))
def test_no_schedule_buys_fewer(seed: int) -> None:
    """All schedules of up to five replicas in five intervals, tried one after the other."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 5, 6)
    last = np.minimum(first + rng.integers(0, 3, 6), 4)
    amounts = rng.choice([0.25, 0.5, 0.75, 1.0], 6)
    pieces = list(zip(first.tolist(), last.tolist(), amounts.tolist(), strict=True))
    best = min(
        sum(schedule) for schedule in itertools.product(range(6), repeat=5) if feasible(schedule, pieces)
    )  # fmt: skip
    found = fewest_replicas(first * 10.0, last * 10.0 + 5, amounts * 10, 50.0, 10.0)
    assert found.sum() == best
    assert feasible(tuple(int(count) for count in found), pieces)


def test_by_hand() -> None:
    """Half an interval's work due at once, and as much that can wait for the next interval's three quarters.

    Interval 0: 0.5 is due, one replica, and its other half does what can wait. 1: 0.75 is due: one. 2: nothing. 3: 2.5: three.
    """
    found = fewest_replicas(
        np.array([0.0, 1.0, 11.0, 30.0]), np.array([5.0, 15.0, 19.0, 39.0]), np.array([5.0, 5.0, 7.5, 25.0]), 40.0, 10.0
    )
    assert found.tolist() == [1, 1, 0, 3]


def test_without_limits_all_is_done_at_the_end() -> None:
    found = fewest_replicas(np.array([0.0, 20.0]), np.full(2, np.inf), np.array([3.0, 4.0]), 40.0, 10.0)
    assert found.tolist() == [0, 0, 0, 1]


def test_a_run_reports_its_regret() -> None:
    """Two replicas, one found later, over 120 s against the oracle's; the ratio and the differences are of the summary."""
    result = simulate(CHAT)
    oracle, cost, slo = (result.summary[key] for key in ("oracle", "cost", "slo"))
    assert oracle["usd_regret"] == pytest.approx(cost["total_usd"] - oracle["usd"])
    assert oracle["usd_ratio"] == pytest.approx(cost["total_usd"] / oracle["usd"])
    assert oracle["slo_regret"] == pytest.approx(oracle["attainment"] - slo["attainment"])
    assert oracle["attainment"] == 1.0
    price = result.summary["pools"]["chat"]["usd_per_chip_hour"] / 3600
    assert oracle["usd"] == pytest.approx(
        oracle["replicas_mean"] * math.ceil(result.summary["run"]["end_s"] / 15) * 15 * price
    )
    assert oracle["replicas_mean"] <= 1, "one replica serves 4 requests/s of this"


def test_less_work_than_was_done() -> None:
    """The oracle's work is a lower bound of the busy time that it replaces."""
    result = simulate(CHAT)
    run, tables = result.record, result.record.pools[0].tables
    from infersim.cost.least import least_work

    prompt, rest = least_work(tables, run.outcomes["input_tokens"], run.outcomes["output_tokens"])
    assert 0 < (prompt + rest).sum() < run.leases["busy_s"].sum()


def test_limits_that_nobody_can_keep() -> None:
    """A prompt takes longer than that on an idle replica: the oracle misses all of them too."""
    slo = {"ttft_p99_s": 0.001, "tpot_p99_s": 0.1}
    oracle = simulate(CHAT | {"slo": slo}).summary["oracle"]
    assert oracle["attainment"] == 0
    assert oracle["slo_regret"] == 0


def test_no_autoscaler_no_regret() -> None:
    fixed = [{**CHAT["pools"][0], "autoscaler": None}]
    assert "oracle" not in simulate(CHAT | {"pools": fixed}).summary


def test_without_an_slo_the_bill_alone_is_compared() -> None:
    oracle = simulate(CHAT | {"slo": {}}).summary["oracle"]
    assert math.isnan(oracle["attainment"])
    assert math.isnan(oracle["slo_regret"])
    assert oracle["usd_regret"] > 0
