"""Latency, throughput and SLO against paper, and the ITL histogram against the raw gaps."""

import math

import numpy as np
import pytest

from infersim.dataplane.tally import itl_edges
from infersim.results.metrics import distribution, itl_distribution
from infersim.results.result import Result
from infersim.spec.scenario import Slo
from tests.results.run_records import edited, itl_counts, small_run, tally

SLO = Slo(ttft_p99_s=1.0, tpot_p99_s=0.5)


def test_latencies_of_four_requests() -> None:
    latency = Result(small_run(SLO)).summary["latency"]
    # TTFT sorted: 0.2 0.5 1.0 4.0; p90 has rank 0.9 * 3 = 2.7, so 1.0 + 0.7 * 3.0
    assert latency["ttft_s"] == pytest.approx(
        {"mean": 1.425, "p50": 0.75, "p90": 3.1, "p95": 3.55, "p99": 3.91, "p99.9": 3.991}
    )
    # TPOT sorted: 0.1 0.5 2.0 (the request with one token has none)
    assert latency["tpot_s"] == pytest.approx(
        {"mean": 2.6 / 3, "p50": 0.5, "p90": 1.7, "p95": 1.85, "p99": 1.97, "p99.9": 1.997}
    )
    assert latency["e2e_s"] == pytest.approx(
        {"mean": 2.275, "p50": 1.45, "p90": 4.65, "p95": 5.325, "p99": 5.865, "p99.9": 5.9865}
    )


def test_throughput_over_the_makespan() -> None:
    """First arrival at 1 s, last end at 11 s; the rejected request's 99 tokens do not count."""
    summary = Result(small_run(SLO)).summary
    assert summary["run"]["makespan_s"] == pytest.approx(10.0)
    assert summary["throughput"] == pytest.approx(
        {"requests_per_s": 0.4, "input_tokens_per_s": 10.0, "output_tokens_per_s": 1.1, "total_tokens_per_s": 11.1}
    )


def test_slo() -> None:
    slo = Result(small_run(SLO)).summary["slo"]
    assert slo["met_requests"] == 3
    assert slo["goodput_rps"] == pytest.approx(0.3)
    assert slo["attainment"] == pytest.approx(3 / 5), "the rejected request misses"
    assert slo["targets"]["ttft_p99_s"] == {
        "limit_s": 1.0, "p99_s": pytest.approx(3.91), "attainment": pytest.approx(0.6), "holds": False,
    }  # fmt: skip
    assert "e2e_p99_s" not in slo["targets"]
    assert Result(small_run(Slo(ttft_p99_s=3.92))).summary["slo"]["targets"]["ttft_p99_s"]["holds"]


def test_without_limits_there_is_no_goodput() -> None:
    slo = Result(small_run()).summary["slo"]
    assert slo["targets"] == {}
    assert math.isnan(slo["goodput_rps"])
    assert slo["met_requests"] is None


def test_single_tokens_meet_a_tpot_limit_and_nobody_finished_meets_nothing() -> None:
    only_single = Result(edited(small_run(SLO), requests=slice(2, 3))).summary["slo"]
    assert only_single["targets"]["tpot_p99_s"]["holds"]
    assert only_single["attainment"] == 1.0
    only_rejected = Result(edited(small_run(SLO), requests=slice(3, 4))).summary["slo"]
    assert not only_rejected["targets"]["tpot_p99_s"]["holds"]
    assert only_rejected["attainment"] == 0.0


def test_mean_spans_sum_to_the_mean_latency() -> None:
    summary = Result(small_run()).summary
    assert sum(summary["mean_spans_s"].values()) == pytest.approx(summary["latency"]["e2e_s"]["mean"])
    assert summary["mean_spans_s"]["held_s"] == pytest.approx(3.2 / 4)


@pytest.mark.parametrize(
    "gaps",
    [
        np.random.default_rng(1).lognormal(-3.5, 0.4, 100_000),
        np.random.default_rng(2).exponential(0.02, 3_000),
        np.full(1000, 0.025),
        np.repeat([0.011, 0.4], [95, 5]),
        np.array([0.03]),
        np.geomspace(2e-6, 9e3, 77),
    ],
    ids=["lognormal", "exponential", "constant", "two values", "one value", "whole range"],
)
def test_itl_percentiles_are_within_half_a_percent_of_the_raw_data(gaps: np.ndarray) -> None:
    found, exact = itl_distribution([tally(1, 1.0, gaps)]), distribution(gaps)
    assert found["mean"] == pytest.approx(exact["mean"], rel=1e-12)
    for name in ("p50", "p90", "p95", "p99", "p99.9"):
        assert found[name] == pytest.approx(exact[name], rel=0.005), name


def test_itl_of_pools_is_that_of_all_gaps() -> None:
    rng = np.random.default_rng(3)
    fast, slow = rng.normal(0.02, 0.001, 5000), rng.normal(0.08, 0.004, 1000)
    found = itl_distribution([tally(1, 1.0, fast), tally(1, 1.0, slow)])
    exact = distribution(np.concatenate([fast, slow]))
    assert found == pytest.approx(exact, rel=0.005)


def test_the_makers_histogram_puts_values_between_their_edges() -> None:
    """Guards the test data: bin k holds edges[k-1] <= x < edges[k]."""
    edges = itl_edges()
    assert np.flatnonzero(itl_counts(np.array([edges[4]]))).tolist() == [5]
    assert np.flatnonzero(itl_counts(np.array([np.nextafter(edges[4], 0.0)]))).tolist() == [4]


def test_no_tokens_no_itl() -> None:
    assert all(math.isnan(x) for x in itl_distribution([tally(0, 0.0, np.empty(0))]).values())
