"""Joules and utilisation against paper: 100 steps of 1 GFLOP and 1 MB, 33 billed replica-seconds, PUE 1.5."""

import numpy as np
import pytest

from infersim.results.power import lease_joules
from infersim.results.result import Result
from tests.results.run_records import edited, large_run, pool_record, small_run, tally


def test_energy() -> None:
    """Dynamic: 1e11 FLOP x 1e-9 + 1e8 B x 1e-6 = 200 J; idle: 100 W x 33 s."""
    assert Result(small_run()).summary["energy"] == pytest.approx(
        {
            "total_j": 5250.0,
            "dynamic_j": 200.0,
            "idle_j": 3300.0,
            "building_j": 1750.0,
            "total_kwh": 5250.0 / 3.6e6,
            "mean_w": 262.5,
            "j_per_output_token": 5250.0 / 11,
            "wh_per_request": 5250.0 / 3600 / 4,
        }
    )


def test_energy_by_replica() -> None:
    """Dynamic energy in proportion to the busy seconds 6, 2 and 0; idle by the billed seconds 20, 10 and 3."""
    np.testing.assert_allclose(lease_joules(small_run()), np.array([2000 + 150, 1000 + 50, 300]) * 1.5)


def test_replicas_of_a_pool_that_never_worked_draw_idle_power() -> None:
    run = small_run()
    run = edited(run, leases=run.leases[2:], pools=[pool_record(tally=tally(0, 0.0, np.empty(0)))])
    np.testing.assert_allclose(lease_joules(run), [300 * 1.5])


def test_energy_adds_up() -> None:
    result = Result(large_run(200))
    total = result.summary["energy"]
    assert total["dynamic_j"] + total["idle_j"] + total["building_j"] == pytest.approx(total["total_j"])
    assert result.replicas["energy_j"].sum() == pytest.approx(total["total_j"])
    assert sum(pool["energy"]["total_j"] for pool in result.summary["pools"].values()) == pytest.approx(
        total["total_j"]
    )


def test_utilisation() -> None:
    """8 of 27 up seconds busy; 1e11 FLOP and 1e8 B in 1 s of steps, on 1e12 FLOP/s and 1e9 B/s."""
    use = Result(small_run()).summary["pools"]["a100s"]["utilisation"]
    assert use["busy"] == pytest.approx(8 / 27)
    assert use["mfu"] == pytest.approx(0.1)
    assert use["mbu"] == pytest.approx(0.1)
    shares = {"compute": 0.0, "memory": 0.6, "network": 0.0, "launch": 0.4, "slowed": 0.0, "switching": 0.0}
    assert use["time_share"] == pytest.approx(shares)
    assert (use["steps"], use["mean_sequences"]) == (100, 1.0)


def test_replicas_of_a_pool() -> None:
    replicas = Result(small_run()).summary["pools"]["a100s"]["replicas"]
    assert replicas == {"leased": 3, "served": 2, "peak_ready": 2, "mean_up": pytest.approx(27 / 20)}
