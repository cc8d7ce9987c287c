"""The shipped autoscalers, by tables worked out by hand, and how one is registered."""

import math

import pytest

from infersim.policies.autoscaling import AUTOSCALERS, Reading, View, autoscaling
from infersim.policies.autoscaling.targets import QueueDepth, TargetConcurrency
from infersim.policies.errors import PolicyError


def view(ready: int = 0, starting: int = 0, waiting: int = 0, running: int = 0, held: int = 0) -> View:
    return View(0.0, ready, starting, readings=[Reading(0.0, ready, waiting, running, held)])


@pytest.mark.parametrize(
    ("seen", "target", "replicas"),
    [
        (view(), 10, 0),
        (view(ready=3), 10, 0),
        (view(ready=1, running=1), 10, 1),
        (view(ready=1, running=10), 10, 1),
        (view(ready=1, running=10, waiting=1), 10, 2),
        (view(held=1), 10, 1),
        (view(ready=2, starting=5, waiting=7, running=11, held=13), 10, 4),  # 31 in flight, whatever there is
        (view(ready=2, running=5), 2.5, 2),
        (view(ready=2, running=6), 2.5, 3),
        (view(ready=9, running=48), 48, 1),
    ],
)
def test_target_concurrency(seen: View, target: float, replicas: int) -> None:
    """ceil(in flight / target), as the Kubernetes HPA computes an AverageValue; the ceiling is the control plane's."""
    assert math.ceil(TargetConcurrency(target).desired(seen)) == replicas


@pytest.mark.parametrize(
    ("seen", "replicas"),
    [
        (view(ready=3), 2),  # nothing waits: one fewer
        (view(), -1),  # the control plane keeps it at its least
        (view(ready=3, running=99), 2),  # running requests do not wait
        (view(ready=3, waiting=1), 3),  # something waits, not too much
        (view(ready=3, waiting=12), 3),  # 4 for each, exactly the target
        (view(ready=3, waiting=13), 4),  # ceil(13 / 4)
        (view(ready=3, waiting=40), 10),
        (view(ready=1, starting=2, waiting=12), 3),  # those on their way count
        (view(ready=1, starting=2, waiting=10, held=3), 4),  # held requests wait too
        (view(held=1), 1),
        (view(held=9), 3),
    ],
)
def test_queue_depth(seen: View, replicas: int) -> None:
    """Target 4: at most four waiting for each replica, given back one by one."""
    assert QueueDepth(4).desired(seen) == replicas


def test_names_are_in_snake_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infersim.policies.autoscaling.registry.AUTOSCALERS", AUTOSCALERS.copy())
    monkeypatch.setattr("infersim.spec.policies.AUTOSCALERS", set())
    from infersim.policies.autoscaling import registry
    from infersim.spec import policies as names

    class TwoOfThem:
        def desired(self, seen: View) -> float:
            return 2

    assert autoscaling(TwoOfThem) is TwoOfThem
    assert registry.AUTOSCALERS["two_of_them"].make is TwoOfThem
    assert {"two_of_them"} == names.AUTOSCALERS


def test_a_class_that_decides_nothing() -> None:
    class Lazy:
        pass

    with pytest.raises(PolicyError, match=r"autoscaler Lazy has no method desired\(view\)"):
        autoscaling(Lazy)
