"""The four frames against numbers worked out on paper (`run_records.small_run`)."""

import numpy as np
import pandas as pd
import pytest

from infersim.results.frames import SPANS
from infersim.results.result import Result
from infersim.spec.scenario import Slo
from tests.results.run_records import NAN, edited, large_run, small_run

SLO = Slo(ttft_p99_s=1.0, tpot_p99_s=0.5)


def test_requests() -> None:
    frame = Result(small_run(SLO)).requests
    assert frame["status"].tolist() == ["finished", "finished", "finished", "rejected", "finished"]
    assert frame["pool"].isna().tolist() == [False, False, False, True, False]
    np.testing.assert_allclose(frame["ttft_s"], [0.5, 1.0, 0.2, NAN, 4.0])
    np.testing.assert_allclose(frame["tpot_s"], [0.5, 0.1, NAN, NAN, 2.0])
    np.testing.assert_allclose(frame["e2e_s"], [1.5, 1.4, 0.2, NAN, 6.0])
    assert frame["slo_met"].tolist() == [True, True, True, False, False]
    np.testing.assert_allclose(frame[list(SPANS)].sum(axis=1), frame["finish_s"] - frame["arrival_s"])


def test_slo_counts_only_the_limits_that_are_given() -> None:
    assert Result(small_run(Slo(e2e_p99_s=1.4))).requests["slo_met"].tolist() == [False, True, True, False, False]
    assert Result(small_run()).requests["slo_met"].tolist() == [True, True, True, False, True]


def test_prefix_hits_are_of_finished_requests() -> None:
    run = small_run()
    run.outcomes["cached_tokens"][[1, 3, 4]] = [16, 32, 8]
    assert Result(run).requests["cached_tokens"].tolist() == [0, 16, 0, 32, 8]
    assert Result(run).summary["requests"]["prefix_hit_ratio"] == pytest.approx(24 / 100)
    assert "prefix_hit_ratio" not in Result(small_run()).summary["requests"]


def test_replicas() -> None:
    frame = Result(small_run()).replicas
    np.testing.assert_allclose(frame["billed_s"], [20, 10, 3])
    np.testing.assert_allclose(frame["cold_start_s"], [0, 3, 3])
    np.testing.assert_allclose(frame["idle_s"], [14, 5, 0])
    np.testing.assert_allclose(frame["utilisation"], [6 / 20, 2 / 7, NAN])
    np.testing.assert_allclose(frame["cost_usd"], [0.020, 0.010, 0.003])


def test_timeline() -> None:
    frame = Result(small_run()).timeline
    expected = {
        "interval_s": [0, 10, 10],
        "arrivals_rps": [NAN, 0.4, 0.0],
        "endings_rps": [NAN, 0.3, 0.1],
        "output_tokens_per_s": [NAN, 0.9, 0.2],
        "utilisation": [NAN, 5 / 12, 3 / 15],
        "kv_occupancy": [0, 0.25, 0],
        "power_w": [NAN, 450, 750],  # 3,000 J and 5,000 J in 10 s, times the PUE of 1.5
        "usd_per_hour": [NAN, 5.4, 6.48],  # 15 and 18 replica-seconds at 0.001 USD in 10 s
        "busy_usd": [0, 0.005, 0.008],
        "idle_usd": [0, 0.007, 0.019],
        "cold_start_usd": [0, 0.003, 0.006],
        "cost_usd": [0, 0.015, 0.033],
        "energy_j": [0, 4500, 12000],
        "mfu": [NAN, 0.2, 0.5],  # 1e12 FLOP in 5 s and 1.5e12 in 3 s, of 1e12 FLOP/s
        "mbu": [NAN, 0.4, 0.3],
        "compute_s": [0, 1, 3],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(frame[name], values, atol=1e-12, err_msg=name)


def test_two_samples_of_one_moment_count_once() -> None:
    run = small_run()
    twice = edited(run, samples=run.samples[[0, 1, 1, 2]])
    pd.testing.assert_frame_equal(Result(twice).timeline, Result(run).timeline)


def test_events() -> None:
    frame = Result(small_run()).events
    assert frame.columns.tolist() == ["time_s", "kind", "pool", "replica", "detail"]
    assert frame["kind"].tolist() == ["scale", "ready"]


@pytest.mark.filterwarnings("error")
def test_a_run_without_anything_still_has_every_column() -> None:
    run, full = edited(small_run(), requests=0, samples=0, leases=0, events=0), Result(small_run())
    for name in ("requests", "replicas", "timeline", "events"):
        empty, expected = getattr(Result(run), name), getattr(full, name)
        assert len(empty) == 0
        assert empty.columns.tolist() == expected.columns.tolist(), name
        assert empty.dtypes.astype(str).tolist() == expected.dtypes.astype(str).tolist(), name


def test_timeline_keeps_pools_apart() -> None:
    run = large_run(500)
    frame = Result(run).timeline
    assert frame["pool"].value_counts().tolist() == [len(run.samples) // 2] * 2
    for index, pool in enumerate(run.pools):
        own, raw = frame[frame["pool"] == pool.name], run.samples[run.samples["pool"] == index]
        assert own["arrived"].tolist() == raw["arrived"].tolist()
        counted = np.nansum(own["arrivals_rps"] * own["interval_s"])
        assert counted == pytest.approx(raw["arrived"][-1] - raw["arrived"][0])
