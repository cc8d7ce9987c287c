"""The seam between the planes: both clocks stand at the same time, and looking changes nothing."""

import random
from collections.abc import Generator

import numpy as np
import pytest
import simpy

from infersim.controlplane.datacenter import Datacenter
from infersim.dataplane.records import FINISHED
from infersim.spec.pool import Replicas
from tests.controlplane.house import IDLE_W, at, datacenter, scale


def busy_house(seed: int) -> Datacenter:
    """Two pools that scale up and down under bursts of requests at random times."""
    rng = np.random.default_rng(seed)
    arrivals = np.sort(
        np.concatenate([rng.uniform(0, 300, 40), rng.integers(0, 300, 20), rng.normal(150, 3, 60) // 0.5])
    )
    house = datacenter(*[(float(t), int(rng.integers(1, 40))) for t in arrivals], pools=2, max_num_seqs=4)
    for pool, policy in enumerate(("target_concurrency", "queue_depth")):
        limits = Replicas(initial=int(rng.integers(0, 2)), min=0, max=5)
        scale(
            house, policy, 3, limits, pool=pool,
            interval_s=float(rng.choice([5, 7.3])), up_cooldown_s=6, down_cooldown_s=float(rng.choice([0, 11])),
        )  # fmt: skip
    return house


SEEDS = range(5)


@pytest.mark.parametrize("seed", SEEDS)
def test_whenever_python_runs_the_fleet_stands_at_now(seed: int) -> None:
    """At random times, at whole seconds (where steps end), and when an edge of the fleet wakes somebody."""
    house, draw = busy_house(seed), random.Random(seed)
    env, seen = house.env, []

    def look_now_and_then() -> Generator[simpy.Event, object, None]:
        while True:
            yield env.timeout(draw.choice([1, draw.expovariate(2), 0]))
            seen.append(env.fleet.now == env.now)

    def look_at_edges() -> Generator[simpy.Event, object, None]:
        while True:
            held = env.held
            woken = yield held | env.finished
            seen.extend(env.fleet.now == env.now == wake.time for wake in woken.values())
            if env.finished in woken:
                return

    env.process(look_now_and_then())
    env.process(look_at_edges())
    house.run(300, 3.7)
    assert all(seen)
    assert len(seen) > 300
    assert env.fleet.now == env.now


def everything(house: Datacenter, interval_s: float) -> tuple[bytes, bytes, list, float]:
    """What happened in a run that is sampled every `interval_s`."""
    house.run(300, interval_s)
    return house.env.fleet.outcomes().tobytes(), house.leases().tobytes(), house.log, house.env.now


@pytest.mark.parametrize("seed", SEEDS)
def test_sampling_changes_nothing(seed: int) -> None:
    """Twenty times as often, or hardly ever: the same bytes."""
    first, *others = (everything(busy_house(seed), interval_s) for interval_s in (1000, 10, 0.5))
    assert all(other == first for other in others)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_process_that_only_waits_changes_nothing(seed: int) -> None:
    plain, visited = busy_house(seed), busy_house(seed)
    at(visited, *((float(when), lambda: None) for when in np.sort(np.random.default_rng(seed).uniform(0, 300, 500))))
    assert everything(plain, 50) == everything(visited, 50)


@pytest.mark.parametrize("seed", SEEDS)
def test_samples_are_what_leases_and_outcomes_say(seed: int) -> None:
    """Every counter of every sample, worked out anew from the requests and the replicas' lives."""
    house = busy_house(seed)
    house.run(300, 3.1)
    leases, outcomes, samples = house.leases(), house.env.fleet.outcomes(), house.samples()
    routed_s = outcomes["arrival_s"] + outcomes["held_s"]
    assert (outcomes["status"] == FINISHED).all()
    assert len(outcomes) == 120
    for row in samples:
        now, pool = row["time_s"], row["pool"]
        mine, ours = outcomes["pool"] == pool, leases[leases["pool"] == pool]
        assert row["arrived"] == (mine & (routed_s <= now)).sum()
        assert row["ended"] == (mine & (outcomes["finish_s"] <= now)).sum()
        assert row["waiting"] + row["running"] == row["arrived"] - row["ended"]
        assert row["held"] == ((outcomes["arrival_s"] <= now) & (routed_s > now)).sum()
        assert row["billed_s"] == pytest.approx(seconds(ours["billed_from_s"], ours["closed_s"], now))
        assert row["up_s"] == pytest.approx(seconds(ours["ready_s"], ours["closed_s"], now))
        assert row["busy_s"] <= row["up_s"] * (1 + 1e-12)
        assert row["joules"] == pytest.approx(IDLE_W * row["billed_s"])
        assert row["ready"] * 4096 <= row["kv_blocks"]
    counters = ("arrived", "ended", "busy_s", "up_s", "billed_s", "output_tokens", "prompt_tokens", "joules")
    for pool in range(2):
        rows = samples[samples["pool"] == pool]
        assert np.diff(rows["time_s"]).min() > 0
        for counter in counters:
            assert np.diff(rows[counter]).min() >= -1e-9, counter


def seconds(start_s: np.ndarray, end_s: np.ndarray, now: float) -> float:
    """Seconds of all intervals up to now; those that never started count nothing."""
    return float(np.nansum(np.maximum(np.minimum(end_s, now) - start_s, 0)))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_last_sample_is_the_sum_of_the_leases(seed: int) -> None:
    house = busy_house(seed)
    house.run(300, 3.1)
    leases, outcomes = house.leases(), house.env.fleet.outcomes()
    for row in house.samples()[-2:]:
        mine, ours = outcomes[outcomes["pool"] == row["pool"]], leases[leases["pool"] == row["pool"]]
        assert row["time_s"] == house.env.now
        assert row["busy_s"] == pytest.approx(ours["busy_s"].sum())
        assert row["billed_s"] == pytest.approx((ours["closed_s"] - ours["billed_from_s"]).sum())
        assert row["output_tokens"] == ours["output_tokens"].sum() == mine["output_tokens"].sum()
        assert row["ended"] == ours["requests"].sum() == len(mine)
        assert row["prompt_tokens"] == mine["input_tokens"].sum()
    for lease in leases:
        served = outcomes[outcomes["replica"] == lease["replica"]]
        assert lease["requests"] == len(served)
        assert lease["output_tokens"] == served["output_tokens"].sum()
        assert (served["pool"] == lease["pool"]).all()
        if len(served):
            assert lease["ready_s"] <= (served["arrival_s"] + served["held_s"]).min()
            assert served["finish_s"].max() <= lease["closed_s"]


@pytest.mark.parametrize("seed", SEEDS)
def test_events_are_in_order(seed: int) -> None:
    """By time; each replica's in the order of a life; and at the moments that its lease has."""
    house = busy_house(seed)
    house.run(300, 50)
    times = [time_s for time_s, *_ in house.log]
    assert times == sorted(times)
    names = {"requested": "requested_s", "provisioned": "billed_from_s", "ready": "ready_s", "draining": "draining_s",
             "closed": "closed_s"}  # fmt: skip
    for lease in house.leases():
        mine = [(time_s, kind) for time_s, kind, _, replica, _ in house.log
                    if replica == lease["replica"] and kind in names]  # fmt: skip
        kinds = [kind for _, kind in mine]
        assert kinds == sorted(kinds, key=list(names).index)
        assert len(set(kinds)) == len(kinds)
        assert [time_s for time_s, _ in mine] == [lease[names[kind]] for kind in kinds]
