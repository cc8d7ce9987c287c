"""Knative's autoscaler against tables worked out by hand from its documented formulas, tick by tick.

Not here: scaling in a run (`tests/controlplane/test_scaler.py`).
"""

import math

import pytest

from infersim.policies.autoscaling import Reading, View
from tests.policies.test_hpa import made


def kpa(**spec: object) -> object:
    """Ten requests in flight for each replica, all of them aimed at."""
    return made(**({"policy": "knative_kpa", "target": 10, "target_utilisation": 1.0} | spec))


def follow(policy: object, rows: list[tuple[float, int]], ready: int, lead_s: float = math.inf) -> list[int]:
    """What is desired at each (time, requests in flight); it is there at the next tick `lead_s` later."""
    readings: list[Reading] = []
    found: list[int] = []
    coming: list[tuple[float, int]] = []
    for time_s, running in rows:
        while coming and coming[0][0] <= time_s:
            ready = coming.pop(0)[1]
        readings.append(Reading(time_s, ready, running=running))
        view = View(time_s, ready, found[-1] - ready if found and found[-1] > ready else 0, readings=readings)
        found.append(int(policy.desired(view)))  # type: ignore[attr-defined]
        coming.append((time_s + lead_s, found[-1]))
    return found


def every(seconds: float, *blocks: tuple[int, int]) -> list[tuple[float, int]]:
    """(ticks, requests in flight) as rows from the first tick on."""
    flights = [running for ticks, running in blocks for _ in range(ticks)]
    return [(seconds * (number + 1), running) for number, running in enumerate(flights)]


def test_stable_window() -> None:
    """One replica, ticks of 10 s, a window of 60 s and no panic; 5 in flight, then 15.

    The mean over the last six readings: 5 six times, then 6.67, 8.33, 10, 11.67, 13.33, 15: ceil(mean / 10).
    """
    rows = every(10, (6, 5), (6, 15))
    assert follow(kpa(interval_s=10.0, panic_threshold=10.0), rows, 1) == [1] * 6 + [1, 1, 1, 2, 2, 2]


def test_target_utilisation() -> None:
    """70 % of 10: 14 in flight are two replicas, 15 are three."""
    for running, replicas in ((7, 1), (14, 2), (15, 3)):
        assert follow(kpa(target_utilisation=0.7, panic_threshold=10.0), [(2, running)], 1) == [replicas]


def test_panic() -> None:
    """Ticks of 2 s; one ready; 5 in flight, then 60 from 22 on. Panic looks at the last three readings.

    22: (5 + 5 + 60) / 3 = 23.3, 3 wanted, 3 / 1 >= 2: panic. 24: 41.7, 5. 26: 60, 6. Stable is (5 k + 60 m) / n, less.
    Then quiet from 28 on: panic keeps the most, 6, for 60 s after it was last over the threshold: 26: 6; 28: 40, 4 over 1;
    30: 20, ceil(2) / 1 = 2, over; 32: 0. So from 30 until more than 60 s have passed: to 90. At 92 the stable window
    (of the readings since 34) is empty of requests: zero is wanted, and the last replica is kept.
    """
    rows = every(2, (10, 5), (3, 60), (40, 0))
    found = follow(kpa(), rows, 1)
    assert found[:10] == [1] * 10
    assert found[10:13] == [3, 5, 6]
    assert found[13:45] == [6] * 32  # 28 to 90
    assert rows[44][0] == 90
    assert found[45] == 1


def test_panic_with_replicas_that_become_ready() -> None:
    """As above, but what is wanted is ready 4 s later: over the threshold only until the wanted are there.

    22: 3. 24: 5. 26: 6 (of 3 ready: 2.0, over). 28: 5 ready, 60 in flight: 6 / 5 = 1.2: not over any more. So the clock
    of panic stands at 26, and it ends at the first tick after 86.
    """
    rows = every(2, (10, 5), (10, 60), (40, 0))
    found = follow(kpa(), rows, 1, lead_s=4)
    assert found[10:13] == [3, 5, 6]
    assert found[13:43] == [6] * 30  # 28 to 86
    stable = 0.0  # the readings of 30 to 88: six with 60 (30 to 40), the others 0
    stable = 6 * 60 / 30
    assert found[43] == max(math.ceil(stable / 10), 6 // 2) == 3


def test_rates_of_change() -> None:
    """At most ceil(rate x ready) and at least floor(ready / rate): 8 ready, nothing in flight: 4; 990 in flight: 12."""
    assert follow(kpa(), [(2, 0)], 8)[0] == 8, "begins in panic mode, which only grows"
    policy = kpa(max_scale_up_rate=1.5, panic_threshold=10.0)
    assert follow(policy, [(70, 990)], 8) == [12]
    policy = kpa()
    policy._begun = True  # type: ignore[attr-defined]  # as after a minute of quiet
    assert follow(policy, [(70, 0)], 8) == [4]


def test_it_begins_in_panic_mode_with_more_than_one() -> None:
    """Four at the start, nothing in flight: four until a minute has passed, then half, half of that, and one."""
    found = follow(kpa(interval_s=10.0), every(10, (10, 0)), 4, lead_s=0)
    assert found[:8] == [4, 4, 4, 4, 4, 4, 2, 1]


def test_to_zero() -> None:
    """One request at 2 and 4, then none. Ticks of 2 s.

    Active since 2. The mean is above 0 until the reading of 4 leaves the window at 64. It has been active for 62 s then: inactive.
    The grace of 30 s ends at 94, and the last replica goes.
    """
    rows = every(2, (2, 1), (50, 0))
    found = follow(kpa(), rows, 1)
    gone = found.index(0)
    assert rows[gone][0] == 94
    assert found[:gone] == [1] * gone


def test_not_to_zero_within_the_stable_window() -> None:
    """Nothing ever arrives: one is kept for the stable window from the first tick, and for the grace."""
    found = follow(kpa(scale_to_zero_grace_s=0.0), every(2, (40, 0)), 1)
    assert found.index(0) * 2 + 2 == 62, "active since the tick of 2, inactive at 62, and gone without a grace"


def test_requests_end_the_grace() -> None:
    """Inactive at 62; a request at 70 makes it active again, for another stable window: gone at 70 + 60 + 30."""
    rows = every(2, (34, 0), (1, 1), (100, 0))
    found = follow(kpa(), rows, 1)
    assert rows[33][0] == 68
    assert rows[found.index(0)][0] == 70 + 60 + 30


def test_from_zero() -> None:
    """A request that finds nobody: one; twenty-five: three, which is panic."""
    for held, replicas in ((1, 1), (25, 3)):
        view = View(7.0, readings=[Reading(7.0, 0, held=held)])
        assert kpa().desired(view) == replicas  # type: ignore[attr-defined]


def test_scale_down_delay() -> None:
    """30 in flight until 60 (ticks of 10 s), then none; without panic. The most that was wanted within 30 s."""
    policy = kpa(interval_s=10.0, panic_threshold=10.0, scale_down_delay_s=30.0, stable_window_s=10.0, panic_window=1.0)
    found = follow(policy, every(10, (6, 30), (5, 0)), 1, lead_s=0)
    assert found[:9] == [3, 3, 3, 3, 3, 3, 3, 3, 1]


@pytest.mark.parametrize(("rate", "replicas"), [(15.0, 2), (20.0, 2), (20.1, 3)])
def test_requests_a_second(rate: float, replicas: int) -> None:
    readings = [Reading(0.0, 1), Reading(60.0, 1, arrived=round(60 * rate))]
    policy = kpa(metric="rps", panic_threshold=10.0)
    assert policy.desired(View(60.0, 1, readings=readings)) == replicas  # type: ignore[attr-defined]
