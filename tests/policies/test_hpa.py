"""Kubernetes' HPA and KEDA against tables worked out by hand from their documented formulas, sync by sync.

Every row is one sync: what is there, what is measured, and what must come out. What comes out is carried out at once unless a row
says otherwise. Not here: scaling in a run (`tests/controlplane/test_scaler.py`).
"""

import pytest

from infersim.policies.autoscaling import AUTOSCALERS, Facts, Reading, View
from infersim.spec.pool import Pool


def made(**spec: object) -> object:
    """A policy as a scenario makes it."""
    asked = Pool.model_validate({"name": "pool", "hardware": "any", "autoscaler": spec}).autoscaler
    assert asked is not None
    return AUTOSCALERS[asked.policy].make(**asked.parameters)


def see(time_s: float, ready: int, running: int, starting: int = 0, scraped: int | None = None, **limits: int) -> View:
    """A view of `running` requests on the replicas that were ready at the scrape."""
    facts = Facts(fewest=limits.get("fewest", 1), most=limits.get("most", 100), interval_s=15.0)
    reading = Reading(time_s, ready if scraped is None else scraped, running=running)
    return View(time_s, ready, starting, readings=[reading], facts=facts)


def hpa(target: float = 10, **spec: object) -> object:
    return made(policy="kubernetes_hpa", target=target, **spec)


@pytest.mark.parametrize(
    ("ready", "running", "replicas"),
    [
        (4, 40, 4),  # ratio 1
        (4, 44, 4),  # 1.1: |1.1 - 1| <= 0.1
        (4, 45, 5),  # 1.125: ceil(4.5)
        (4, 36, 4),  # 0.9
        (10, 89, 10),  # 0.89 wants ceil(8.9) = 9, but 10 was recommended within 300 s (the first one, of the present)
        (4, 79, 8),  # 1.975: ceil(7.9)
        (4, 81, 8),  # ceil(8.1) = 9, but at most double, or four more, in 15 s
        (1, 70, 5),  # ceil(7) = 7, but 1 + 4
        (20, 1000, 40),  # double is more than four more
    ],
)
def test_one_sync(ready: int, running: int, replicas: int) -> None:
    """desired = ceil(current x metric / target), tolerance 0.1, default behavior."""
    assert hpa().desired(see(15, ready, running)) == replicas


@pytest.mark.parametrize(
    ("ready", "starting", "running", "replicas"),
    [
        # Growing: those that are not ready count as 0. 2 ready with 40 are 20 each, ratio 2. With 2 more at 0 the mean is
        # 10, ratio' 1: within tolerance, nothing.
        (2, 2, 40, 4),
        # 60: ratio 3, ratio' 1.5, ceil(1.5 x 4) = 6.
        (2, 2, 60, 6),
        # 30: ratio 1.5, ratio' 0.75: the direction turns, nothing.
        (2, 2, 30, 4),
        # Shrinking: they are left out. 4 ready with 16: ratio 0.4, ceil(0.4 x 4) = 2, of 6. (No stabilisation here.)
        (4, 2, 16, 2),
        # Nothing is measured: nothing is done.
        (0, 3, 0, 3),
    ],
)
def test_pods_that_are_not_ready(ready: int, starting: int, running: int, replicas: int) -> None:
    policy = hpa(behavior={"scale_down": {"stabilization_window_s": 0}})
    assert policy.desired(see(15, ready, running, starting)) == replicas


@pytest.mark.parametrize(
    ("scraped", "running", "replicas"),
    [
        # Two of four had no metric yet. 2 x 20: ratio 2, missing count 0: 40 / 4 = 10, ratio' 1, nothing.
        (2, 40, 4),
        (2, 70, 7),  # ratio 3.5; 70 / 4 / 10 = 1.75, ceil(1.75 x 4)
        # 2 x 4: ratio 0.4, missing count as the target: (8 + 20) / 4 / 10 = 0.7, ceil(2.8)
        (2, 8, 3),
    ],
)
def test_pods_without_a_metric(scraped: int, running: int, replicas: int) -> None:
    policy = hpa(behavior={"scale_down": {"stabilization_window_s": 0}})
    assert policy.desired(see(15, 4, running, scraped=scraped)) == replicas


def follow(policy: object, rows: list[tuple[float, int, int]], current: int, **limits: int) -> list[int]:
    """What comes out of (time, requests) sync by sync, each carried out at once."""
    found = []
    for time_s, running in rows:
        current = policy.desired(see(time_s, current, running, **limits))  # type: ignore[attr-defined]
        found.append(current)
    return found


def test_stabilisation_for_five_minutes() -> None:
    """Up at once, down to the most that was recommended within less than 300 s.

    15: 6 x 10 wants 6, from 2: at most 2 + 4 = 6. 30: 2 want ceil(0.2) -> 1, but 6 was recommended at 15. 45: 30 want 3.
    So until 315, when 15 is no longer within: of the rest 3 (at 45) is the most. 345: only ones are left.
    """
    rows = [(15.0, 60), (30.0, 2), (45.0, 30)] + [(15.0 * k, 2) for k in range(4, 25)]
    expected = [6] * 20 + [3] * 2 + [1] * 2
    assert follow(hpa(), rows, 2) == expected


def test_scaling_up_waits_for_its_window_too() -> None:
    """The least of the last 45 s: 8 is wanted from 15 on, and 2, the number at the first sync, until 45."""
    policy = hpa(behavior={"scale_up": {"stabilization_window_s": 45, "policies": [{"type": "pods", "value": 9}]}})
    rows = [(15.0, 80), (30.0, 80), (45.0, 60), (60.0, 80), (75.0, 80), (90.0, 80)]
    assert follow(policy, rows, 2) == [2, 2, 2, 6, 6, 8]


def test_policies_by_pods_and_percent() -> None:
    """At most 2 pods in 60 s or 50 %, whichever is more: from 2 by 2; from 4 (in the same minute) nothing; then on.

    15: max(2 + 2, ceil(2 x 1.5) = 3) = 4. 30, 45, 60: 2 added within 60 s, so the period began with 2: 4. 75: those of 15
    are 60 s old and no longer count: max(4 + 2, 6) = 6. 135: max(8, 9) = 9. 195: max(11, ceil(13.5) = 14) = 14.
    """
    rules = {
        "policies": [{"type": "pods", "value": 2, "period_s": 60}, {"type": "percent", "value": 50, "period_s": 60}]
    }
    rows = [(15.0 * k, 1000) for k in range(1, 14)]
    expected = [4, 4, 4, 4, 6, 6, 6, 6, 9, 9, 9, 9, 14]
    assert follow(hpa(behavior={"scale_up": rules}), rows, 2) == expected


def test_the_policy_that_allows_least() -> None:
    """selectPolicy Min: of 4 pods and 100 % in 15 s; from 2: min(6, 4) = 4, min(8, 8) = 8, min(12, 16) = 12."""
    policy = hpa(behavior={"scale_up": {"select": "min"}})
    assert follow(policy, [(15.0, 1000), (30.0, 1000), (45.0, 1000)], 2) == [4, 8, 12]


def test_scaling_down_by_policies() -> None:
    """10 % or one pod a minute, the larger change: 10 % of 30 is 3: int(27.0); of 27 int(24.3) = 24; of 24 int(21.6) = 21.

    With select min the smaller change: one pod a minute.
    """
    policies = [{"type": "percent", "value": 10, "period_s": 60}, {"type": "pods", "value": 1, "period_s": 60}]
    rows = [(60.0 * k, 0) for k in range(1, 4)]
    rules = {"stabilization_window_s": 0, "policies": policies}
    assert follow(hpa(behavior={"scale_down": rules}), rows, 30) == [27, 24, 21]
    assert follow(hpa(behavior={"scale_down": rules | {"select": "min"}}), rows, 30) == [29, 28, 27]


@pytest.mark.parametrize(("direction", "running"), [("scale_up", 1000), ("scale_down", 0)])
def test_a_direction_that_is_disabled(direction: str, running: int) -> None:
    policy = hpa(behavior={"scale_down": {"stabilization_window_s": 0}} | {direction: {"select": "disabled"}})
    assert follow(policy, [(15.0, running), (30.0, running)], 5) == [5, 5]


def test_limits() -> None:
    assert follow(hpa(), [(15.0, 1000), (30.0, 1000)], 2, most=7) == [6, 7]
    policy = hpa(behavior={"scale_down": {"stabilization_window_s": 0}})
    assert follow(policy, [(15.0, 0)], 9, fewest=3) == [3]
    assert hpa().desired(see(15, 0, 50, fewest=0)) == 0, "an HPA leaves a pool at zero alone"


@pytest.mark.parametrize(
    ("metric", "target", "replicas"),
    [
        ("utilisation", 0.5, 3),  # busy 20 of 30 replica-seconds: 2/3 / 0.5, ceil(2 x 4/3)
        ("kv_cache", 0.3, 6),  # 0.9 / 0.3, 2 x 3
        ("waiting", 2, 5),  # 9 / 2 / 2, ceil(4.5)
        ("arrival_rate", 2, 3),  # 90 in 15 s are 3 for each, 3 / 2, 2 x 1.5
        ("concurrency", 20, 2),  # 39 in flight: 0.975
    ],
)
def test_metrics(metric: str, target: float, replicas: int) -> None:
    """Two ready replicas, averaged over them."""
    before = Reading(0.0, 2, arrived=10, busy_s=5.0, up_s=0.0)
    now = Reading(15.0, 2, waiting=9, running=30, kv_cache=0.9, arrived=100, busy_s=25.0, up_s=30.0)
    view = View(15.0, 2, readings=[before, now], facts=Facts(fewest=1, most=100, interval_s=15.0))
    assert hpa(target, metric=metric).desired(view) == replicas


# ---------------------------------------------------------------- KEDA


def keda(**spec: object) -> object:
    return made(policy="keda_queue_length", queue_length=5, **spec)


def queue(time_s: float, ready: int, waiting: int, fewest: int = 0) -> View:
    facts = Facts(fewest=fewest, most=100, interval_s=15.0)
    return View(time_s, ready, readings=[Reading(time_s, ready, waiting=waiting)], facts=facts)


def test_keda_from_zero_and_back() -> None:
    """Polls at 30, 60 ...; the HPA at 15, 30 ...; five waiting for each replica, cool-down 60 s.

    15: no poll. 30: active, one. 45: HPA wants ceil(23/5) = 5. 60: 6 wait, HPA: 6 / 25 = 0.24, 2 wanted, stabilised at 5.
    75 on: nothing waits, HPA (no stabilisation would be) keeps 5. Last active at 60: at 120 60 s have passed, not more; at
    150 it goes to zero.
    """
    policy, current, found = keda(cooldown_s=60), 0, []
    for time_s, waiting in [
        (15, 9),
        (30, 9),
        (45, 23),
        (60, 6),
        (75, 0),
        (90, 0),
        (105, 0),
        (120, 0),
        (135, 0),
        (150, 0),
    ]:
        current = policy.desired(queue(time_s, current, waiting))  # type: ignore[attr-defined]
        found.append(current)
    assert found == [0, 1, 5, 5, 5, 5, 5, 5, 5, 0]


def test_keda_activation_threshold() -> None:
    """Eight waiting do not activate it, nine do; what never was active goes at the first poll."""
    policy = keda(activation_queue_length=8)
    assert [policy.desired(queue(30 * k, 0, waiting)) for k, waiting in ((1, 8), (2, 9))] == [0, 1]  # type: ignore[attr-defined]
    assert keda(activation_queue_length=8).desired(queue(30, 3, 8)) == 0  # type: ignore[attr-defined]


def test_keda_never_below_its_least() -> None:
    policy = keda(cooldown_s=0)
    found = [policy.desired(queue(15.0 * k, 2, 0, fewest=2)) for k in range(1, 60)]  # type: ignore[attr-defined]
    assert set(found) == {2}
