"""Laws of whole scenarios, for every router with every autoscaler: leases, money, energy and the timeline add up.

Laws of the data plane alone are in `test_dataplane.py`.
"""

import numpy as np
import pytest

from infersim import Result, simulate
from infersim.dataplane.records import FINISHED
from infersim.policies.autoscaling import AUTOSCALERS
from infersim.policies.routing import ROUTERS
from tests.laws.spans import served_span

CLOSE = 1e-9
HOUR_S = 3600


def scenario(router: str, autoscaler: str) -> dict:
    """Bursts on two unlike pools that grow and shrink and have little KV; the small one keeps up under every router."""
    return {
        "name": "laws",
        "model": "llama-3.1-8b",
        "horizon_s": 800,
        "seed": 3,
        "workload": {
            "arrivals": {"process": "mmpp", "rates_rps": [0.5, 16], "mean_sojourn_s": [150, 150]},
            "input_tokens": {"distribution": "lognormal", "mean": 600, "p99": 4000, "max": 9000},
            "output_tokens": {"distribution": "lognormal", "mean": 150, "p99": 600, "max": 2000},
        },
        "router": {"policy": router},
        "slo": {"ttft_p99_s": 0.5, "tpot_p99_s": 0.05},
        "pools": [pool("large", "h100-sxm", autoscaler, 8, 4), pool("small", "l40s", autoscaler, 2, 8)],
    }


SCALERS = {
    "target_concurrency": {"interval_s": 15, "down_cooldown_s": 60},
    "queue_depth": {"interval_s": 15, "down_cooldown_s": 60},
    "fixed": {"replicas": 3},
    "schedule": {"rules": [{"at_s": 100, "replicas": 4}, {"cron": "5 * * * *", "replicas": 1}]},
    "kubernetes_hpa": {"behavior": {"scale_down": {"stabilization_window_s": 60}}},
    "keda_queue_length": {"queue_length": 4, "counts": "in_flight", "polling_interval_s": 7.3},
    "knative_kpa": {},
    "slo_feedback": {"patience_s": 60},
    "queueing": {"down_after_s": 60},
    "seasonal": {"season_s": 150, "bin_s": 15, "refit_s": 60},
    "holt_winters": {"bin_s": 15, "refit_s": 100},
}
"""Parameters of every shipped autoscaler but the oracle, which knows a single pool."""
TARGETED = ("target_concurrency", "queue_depth", "kubernetes_hpa", "knative_kpa", "seasonal", "holt_winters")


def pool(name: str, hardware: str, autoscaler: str, target: float, most: int) -> dict:
    return {
        "name": name,
        "hardware": hardware,
        "engine": "vllm",
        "replicas": {"initial": 1, "min": 1, "max": most},
        "autoscaler": {"policy": autoscaler, **SCALERS[autoscaler]}
        | ({"target": target} if autoscaler in TARGETED else {}),
        "batching": {"max_num_seqs": 256, "max_num_batched_tokens": 8192},
        "kv_cache": {"blocks": 900},
    }


PLAIN = ("target_concurrency", "queue_depth")
GEOGRAPHIC = {"nearest", "greenest", "follow_the_sun"}
"""Routers that need regions; laws of these are in `tests/controlplane/test_regions.py`."""
PAIRS = [(router, scaler) for router in ROUTERS if router not in GEOGRAPHIC for scaler in PLAIN]
PAIRS += [("least_outstanding", scaler) for scaler in SCALERS if scaler not in PLAIN]


def test_every_autoscaler_is_under_the_laws() -> None:
    assert SCALERS.keys() | {"oracle"} == AUTOSCALERS.keys()


@pytest.fixture(scope="module", params=PAIRS, ids="-".join)
def policies(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param


@pytest.fixture(scope="module")
def result(policies: tuple[str, str]) -> Result:
    return simulate(scenario(*policies))


def test_every_arrival_is_accounted_for(result: Result):
    rows = result.record.outcomes
    assert rows["id"].tolist() == list(range(len(rows)))
    assert len(rows) > 1000
    assert len(result.requests) == len(rows)
    assert result.summary["requests"]["arrived"] == len(rows)


def test_something_happened(policies: tuple[str, str], result: Result):
    """The laws are not kept by idleness."""
    record = result.record
    assert len(record.leases) > 3  # two are there from the start
    assert np.isfinite(record.leases["draining_s"]).any() or policies[1] == "fixed"
    assert record.outcomes["preemptions"].sum() > 0


def test_a_replica_lives_in_order(result: Result):
    leases = result.record.leases
    assert (leases["replica"] == np.arange(len(leases))).all()
    assert (leases["requested_s"] <= leases["billed_from_s"]).all()
    assert (leases["billed_from_s"] <= leases["closed_s"]).all()
    ready = leases[np.isfinite(leases["ready_s"])]
    assert (ready["billed_from_s"] <= ready["ready_s"]).all()
    assert (ready["ready_s"] <= ready["closed_s"]).all()
    drained = ready[np.isfinite(ready["draining_s"])]
    assert (drained["ready_s"] <= drained["draining_s"]).all()
    assert (drained["draining_s"] <= drained["closed_s"]).all()


def test_nobody_is_served_outside_a_lease(result: Result):
    rows, leases = result.record.outcomes, result.record.leases
    lease = leases[rows["replica"]]
    routed = rows["arrival_s"] + rows["held_s"]
    tolerance = CLOSE * result.record.end_s
    assert (lease["pool"] == rows["pool"]).all()
    assert (routed >= lease["ready_s"] - tolerance).all()
    assert (routed <= np.fmin(lease["draining_s"], lease["closed_s"]) + tolerance).all()
    assert (rows["finish_s"] <= lease["closed_s"] + tolerance).all()


def test_busy_and_idle_are_up(result: Result):
    """A lease is busy exactly while requests are at its replica; leases, tallies and samples agree."""
    record = result.record
    finished = record.outcomes[record.outcomes["status"] == FINISHED]
    for lease in record.leases:
        mine = finished[finished["replica"] == lease["replica"]]
        assert np.isclose(lease["busy_s"], served_span(mine), rtol=CLOSE, atol=CLOSE * record.end_s)
        assert lease["output_tokens"] == mine["output_tokens"].sum()
        up = 0.0 if np.isnan(lease["ready_s"]) else lease["closed_s"] - lease["ready_s"]
        assert lease["busy_s"] <= up * (1 + CLOSE)
    for number, pool in enumerate(record.pools):
        leases = record.leases[record.leases["pool"] == number]
        last = record.samples[record.samples["pool"] == number][-1]
        up = np.nansum(leases["closed_s"] - leases["ready_s"])
        assert np.isclose(pool.tally.busy_s, leases["busy_s"].sum(), rtol=CLOSE)
        assert np.isclose(last["busy_s"], leases["busy_s"].sum(), rtol=CLOSE)
        assert np.isclose(last["up_s"], up, rtol=CLOSE)
        assert np.isclose(last["billed_s"], (leases["closed_s"] - leases["billed_from_s"]).sum(), rtol=CLOSE)
        assert pool.tally.output_tokens == leases["output_tokens"].sum() == last["output_tokens"]


def test_dollars_are_hours_times_price(result: Result):
    record, total = result.record, 0.0
    for number, pool in enumerate(record.pools):
        leases = record.leases[record.leases["pool"] == number]
        usd_per_s = pool.chips * pool.usd_per_chip_hour / HOUR_S
        billed = (leases["closed_s"] - leases["billed_from_s"]).sum() * usd_per_s
        cost = result.summary["pools"][pool.name]["cost"]
        assert np.isclose(cost["total_usd"], billed, rtol=CLOSE)
        assert np.isclose(cost["busy_usd"], leases["busy_s"].sum() * usd_per_s, rtol=CLOSE)
        assert np.isclose(cost["busy_usd"] + cost["idle_usd"] + cost["cold_start_usd"], billed, rtol=CLOSE)
        total += billed
    assert np.isclose(result.summary["cost"]["total_usd"], total, rtol=CLOSE)


def test_power_is_between_idle_and_the_limit(result: Result):
    for number, pool in enumerate(result.record.pools):
        last = result.record.samples[result.record.samples["pool"] == number][-1]
        assert pool.tables.idle_w * last["up_s"] <= last["joules"] <= pool.tables.tdp_w * last["billed_s"]


def test_the_timeline_counts_up_and_ends_empty(result: Result):
    for number, pool in enumerate(result.record.scenario.pools):
        samples = result.record.samples[result.record.samples["pool"] == number]
        assert (np.diff(samples["time_s"]) > 0).all()
        for counter in ("arrived", "ended", "busy_s", "up_s", "billed_s", "output_tokens", "prompt_tokens", "joules"):
            assert (np.diff(samples[counter]) >= -CLOSE * samples[counter][-1]).all(), counter
        assert (samples["waiting"] + samples["running"] == samples["arrived"] - samples["ended"]).all()
        assert (samples["kv_blocks_used"] <= samples["kv_blocks"]).all()
        assert (samples["ready"] + samples["starting"] <= pool.replicas.max).all()
        for level in ("held", "waiting", "running", "kv_blocks_used"):
            assert samples[level].min() >= 0
            assert samples[level][-1] == 0, level


def test_the_seed_decides_everything(policies: tuple[str, str], result: Result):
    again, other = simulate(scenario(*policies)), simulate(scenario(*policies), seed=4)
    for name in ("outcomes", "leases", "samples"):
        assert getattr(again.record, name).tobytes() == getattr(result.record, name).tobytes(), name
    assert again.record.events == result.record.events
    assert other.record.outcomes.tobytes() != result.record.outcomes.tobytes()
