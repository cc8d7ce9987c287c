"""Scaling up, down and from zero, with cool-downs and limits, worked out by hand (see `house.py` for the times)."""

import pytest

from infersim.controlplane.datacenter import Datacenter
from infersim.policies.errors import PolicyError
from infersim.spec.pool import Replicas
from tests.controlplane.house import COLD_START_S, datacenter, events, life, scale, scale_as

ONE_TO_FOUR = Replicas(initial=1, min=1, max=4)


def scalings(house: Datacenter) -> list[tuple[float, str]]:
    return [(time_s, detail.split(":")[0]) for time_s, kind, _, _, detail in house.log if kind == "scale"]


def test_up_and_down_with_cooldowns() -> None:
    """Six requests from 1 to 101, four more from 15 to 35; two in flight for each replica, asked every 10 s.

    10: 6 in flight, 3 replicas. 20: 10 want 5, cut to 4 (an event), but the last scale-up was 10 s ago. 30: it was 20 s ago.
    40, 50: 6 want 3, but the last change was less than 30 s ago. 60: the youngest idle one goes. 110: nothing is in
    flight, two of three go and the least stays.
    """
    house = datacenter(*[(1.0, 100)] * 6, *[(15.0, 20)] * 4)
    scale(
        house, "target_concurrency", 2, Replicas(initial=1, min=1, max=4),
        interval_s=10, up_cooldown_s=20, down_cooldown_s=30,
    )  # fmt: skip
    house.run(125, 7)
    assert scalings(house) == [(10, "1 -> 3"), (30, "3 -> 4"), (60, "4 -> 3"), (110, "3 -> 1")]
    assert [event for event in events(house) if event[1] not in ("loaded", "initialised")] == [
        (0, "requested", 0), (0, "ready", 0),
        (10, "scale", -1), (10, "requested", 1), (10, "requested", 2),
        (15, "provisioned", 1), (15, "provisioned", 2), (20, "ready", 1), (20, "ready", 2), (20, "limited", -1),
        (30, "scale", -1), (30, "requested", 3), (35, "provisioned", 3), (40, "ready", 3),
        (60, "scale", -1), (60, "draining", 3), (60, "closed", 3),
        (110, "scale", -1), (110, "draining", 2), (110, "closed", 2), (110, "draining", 1), (110, "closed", 1),
    ]  # fmt: skip


def test_replicas_on_their_way_count() -> None:
    """40 s of cold start and a decision every 2 s: nothing is asked for twice."""
    house = datacenter(*[(1.0, 100)] * 6)
    scale(house, "target_concurrency", 2, Replicas(initial=1, max=8), interval_s=2)
    house.run(10, 100)
    assert scalings(house) == [(2, "1 -> 3")]


def test_demand_that_goes_away_cancels_what_is_on_its_way() -> None:
    """Asked for at 2, no longer wanted at 8, when the six requests have ended; the machines came at 7."""
    house = datacenter(*[(1.0, 6)] * 6)
    scale(house, "target_concurrency", 2, Replicas(initial=1, min=1, max=8), interval_s=2, down_cooldown_s=0)
    house.run(10, 100)
    assert scalings(house) == [(2, "1 -> 3"), (8, "3 -> 1")]
    assert events(house)[-2:] == [(8, "closed", 2), (8, "closed", 1)]
    assert [lease["closed_s"] - lease["billed_from_s"] for lease in house.leases()] == [10, 1, 1]


def test_no_cooldown_counts_before_the_first_change() -> None:
    house = datacenter()
    scale(house, "target_concurrency", 2, Replicas(initial=3, min=1), interval_s=10, down_cooldown_s=1000)
    house.run(15, 100)
    assert scalings(house) == [(10, "3 -> 1")]


@pytest.mark.parametrize("first", [0.0, 7.0])
def test_from_zero(first: float) -> None:
    """The first request that finds nobody wakes the scaler at once; all are then served in the order of arrival.

    Also at time 0, where arrivals come before the control plane.
    """
    house = datacenter((first, 2), (first + 1, 3), (first + 2, 1), max_num_seqs=1)
    scale(house, "target_concurrency", 10, Replicas(initial=0, max=4), interval_s=60)
    house.run(50, 100)
    ready = first + COLD_START_S
    assert life(house, 0)["requested"] == first
    assert life(house, 0)["ready"] == ready
    outcomes = house.env.fleet.outcomes()
    assert outcomes["held_s"].tolist() == [10, 9, 8]
    assert outcomes["finish_s"].tolist() == [ready + 2, ready + 5, ready + 6]
    assert outcomes["queued_s"].tolist() == [0, 2, 5]


def test_down_to_zero_and_up_again() -> None:
    """The last replica goes at 30; the request of 40 wakes the scaler, which has been asleep since 30."""
    house = datacenter((1.0, 4), (40.0, 4))
    scale(house, "target_concurrency", 10, Replicas(initial=1, max=4), interval_s=30, down_cooldown_s=0)
    house.run(60, 100)
    assert scalings(house) == [(30, "1 -> 0"), (40, "0 -> 1")]
    assert house.env.fleet.outcomes()["finish_s"].tolist() == [5, 40 + COLD_START_S + 4]


def test_a_held_request_waits_for_the_cooldown() -> None:
    """Scaled up for the request of 1; given back at 20; the request of 21 must wait until 30 s have passed since 1."""
    house = datacenter((1.0, 4), (21.0, 4))
    scale(
        house, "target_concurrency", 10, Replicas(initial=0, max=4), interval_s=19, up_cooldown_s=30, down_cooldown_s=0
    )
    house.run(100, 100)
    assert scalings(house)[:3] == [(1, "0 -> 1"), (20, "1 -> 0"), (40, "0 -> 1")]


def test_two_pools_both_hear_of_a_held_request() -> None:
    house = datacenter((3.0, 4), pools=2)
    for pool in range(2):
        scale(house, "target_concurrency", 1, Replicas(initial=0, max=4), pool=pool, interval_s=60)
    house.run(30, 100)
    assert [(time_s, pool) for time_s, kind, pool, _, _ in house.log if kind == "requested"] == [
        (3, "pool0"),
        (3, "pool1"),
    ]
    assert house.env.fleet.outcomes()["pool"].tolist() == [0]


def test_queue_depth() -> None:
    """Ten requests at 1, served one at a time for 5 s each by the replica that they were routed to.

    10: one is done, one runs, 8 wait, more than 3 x 1, so ceil(8 / 3) = 3. 20, 30, 40: 6, 4, 2 wait, at most 3 for each
    of three. 50: the last one runs, nothing waits, one goes. 60: too soon. 70: one more goes, and the least stays.
    """
    house = datacenter(*[(1.0, 5)] * 10, max_num_seqs=1)
    scale(house, "queue_depth", 3, Replicas(initial=1, min=1, max=9), interval_s=10, down_cooldown_s=15)
    house.run(100, 100)
    assert scalings(house) == [(10, "1 -> 3"), (50, "3 -> 2"), (70, "2 -> 1")]


@pytest.mark.parametrize("answer", [float("nan"), float("inf"), None, "three", 1j])
def test_an_answer_that_is_no_number(answer: object) -> None:
    house = datacenter((1.0, 4))
    scale_as(house, lambda view: answer, ONE_TO_FOUR)
    with pytest.raises(PolicyError, match=r"autoscaler 'mine' answered .* at 15 s; it must return a finite number"):
        house.run(60, 100)


def test_an_autoscaler_that_raises() -> None:
    house = datacenter((1.0, 4))
    scale_as(house, lambda view: 1 / view.held, ONE_TO_FOUR)
    with pytest.raises(PolicyError, match=r"'mine' failed at 15 s \(test_scaler.py:\d+\): ZeroDivisionError: .*zero"):
        house.run(60, 100)


@pytest.mark.parametrize(
    ("answer", "replicas"), [(-5, 1), (0.2, 1), (0.1 * 3 / 0.1, 3), (2.0, 2), (2.1, 3), (1e300, 4)]
)
def test_answers_are_rounded_up_and_kept_within_the_limits(answer: float, replicas: int) -> None:
    house = datacenter()
    scale_as(house, lambda view: answer, ONE_TO_FOUR)
    house.run(16, 100)
    assert len(house.pools[0].serving) + len(house.pools[0].starting) == replicas
