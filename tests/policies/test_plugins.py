"""Policies of a user's own, in files that a scenario names: they run, and every fault of theirs is told where it is."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infersim.policies import autoscaling, routing
from infersim.policies.errors import PolicyError
from infersim.policies.plugins import load_policies
from infersim.simulate import simulate
from infersim.spec import policies as names
from infersim.spec.errors import SpecError
from tests.policies.house import scenario

ROUTER = """\
from infersim import routing


@routing
def by_length(request, replicas, routable, memory):
    '''Long prompts to the first ready replica, short ones to the last.'''
    return routable[0] if request.input_tokens > 500 else routable[-1]
"""

AUTOSCALER = """\
from infersim import autoscaling


@autoscaling
class AlwaysThree:
    def __init__(self, target: float) -> None:
        self.target = target

    def desired(self, view) -> float:
        return 3
"""


@pytest.fixture(autouse=True)
def _nothing_stays_registered() -> Iterator[None]:
    """A run's plugins are its own: no test may leave anything behind."""
    registries = (routing.ROUTERS, autoscaling.AUTOSCALERS, names.ROUTERS, names.AUTOSCALERS)
    before = [registry.copy() for registry in registries]  # type: ignore[attr-defined]
    yield
    assert [registry.copy() for registry in registries] == before  # type: ignore[attr-defined]


def test_a_router_and_an_autoscaler_of_ones_own(tmp_path: Path) -> None:
    result = simulate(scenario(tmp_path, ROUTER, AUTOSCALER, router="by_length", autoscaler="always_three"))
    requests = result.requests
    assert (requests["status"] == "finished").all()
    assert set(requests["replica"][requests["input_tokens"] > 500]) == {0}
    assert set(requests["replica"][requests["input_tokens"] <= 500]) == {2}
    assert len(result.replicas) == 3


def test_a_plugin_may_have_a_shipped_name_and_does_not_outlive_its_run(tmp_path: Path) -> None:
    plain = scenario(tmp_path)
    before = simulate(plain).record.outcomes
    own = scenario(tmp_path, ROUTER.replace("by_length", "least_outstanding"))
    assert set(simulate(own).requests["replica"]) == {0, 2}
    after = simulate(scenario(tmp_path)).record.outcomes
    assert before.tobytes() == after.tobytes()
    assert set(after["replica"]) == {0, 1, 2}


def test_a_changed_plugin_is_compiled_anew(tmp_path: Path) -> None:
    """The cache on disk watches the file."""
    policies = {"router": "by_length", "autoscaler": "always_three"}
    assert set(simulate(scenario(tmp_path, ROUTER, AUTOSCALER, **policies)).requests["replica"]) == {0, 2}
    changed = ROUTER.replace("routable[-1]", "routable[1]  # the second")
    assert set(simulate(scenario(tmp_path, changed, AUTOSCALER, **policies)).requests["replica"]) == {0, 1}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = 1\ny = = 2\n", r"mine0.py:2 failed to load: SyntaxError: invalid syntax"),
        ("x = 1\n\nraise RuntimeError('no licence')\n", r"mine0.py:3 failed to load: RuntimeError: no licence"),
        ("def f():\n    return 1 / 0\n\n\nf()\n", r"mine0.py:2 failed to load: ZeroDivisionError"),
        ("import a_module_that_is_not_there\n", r"mine0.py:1 failed to load: ModuleNotFoundError: .*a_module_that"),
        ("import sys\nsys.exit('bye')\n", r"mine0.py:2 failed to load: SystemExit: bye"),
        ("import json\njson.loads('[\\n\\n')\n", r"mine0.py:2 failed to load: JSONDecodeError"),
        (
            "from infersim import autoscaling\n\n\n@autoscaling\nclass Lazy:\n    pass\n",
            r"mine0.py:4 failed to load: PolicyError: autoscaler Lazy has no method desired",
        ),
    ],
)
def test_a_plugin_that_does_not_load(tmp_path: Path, source: str, expected: str) -> None:
    with pytest.raises(PolicyError, match=expected):
        simulate(scenario(tmp_path, source))


def test_a_broken_module_that_a_plugin_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line told is the plugin's, not the other file's."""
    (tmp_path / "broken_neighbour.py").write_text("\n\n\n\n\nx = = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PolicyError, match=r"mine0.py:2 failed to load: SyntaxError"):
        simulate(scenario(tmp_path, "import os\nimport broken_neighbour\n"))


def test_a_plugin_that_is_no_python(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x = 1")
    with pytest.raises(PolicyError, match=r"mine.txt is not a Python file \(.py\)"):
        load_policies([tmp_path / "mine.txt"])


def test_dataclasses_work_in_plugins(tmp_path: Path) -> None:
    """They look for their module in sys.modules."""
    source = """
        from __future__ import annotations

        from dataclasses import dataclass

        from infersim import autoscaling


        @autoscaling
        @dataclass
        class HalfOfIt:
            target: float

            def desired(self, view) -> float:
                return view.in_flight / self.target / 2
    """
    result = simulate(scenario(tmp_path, source, autoscaler="half_of_it"))
    assert (result.requests["status"] == "finished").all()


@pytest.mark.parametrize(
    ("key", "wrong", "right", "line"),
    [("router", "by_lenght", "by_length", 10), ("autoscaler", "allways_three", "always_three", 17)],
)
def test_an_unknown_name_beside_plugins(tmp_path: Path, key: str, wrong: str, right: str, line: int) -> None:
    """The plugins have to be loaded to know: the message is that of any unknown name."""
    with pytest.raises(SpecError) as caught:
        simulate(scenario(tmp_path, ROUTER, AUTOSCALER, **{key: wrong}))
    (problem,) = caught.value.problems
    assert (problem.line, problem.path[-2:]) == (line, (key, "policy"))
    assert f"unknown policy {wrong}; did you mean {right}" in problem.message


def test_an_autoscaler_that_cannot_be_made(tmp_path: Path) -> None:
    source = """
        from infersim import autoscaling


        @autoscaling
        class Picky:
            def __init__(self, target: float) -> None:
                if target < 100:
                    raise ValueError("wants at least 100")

            def desired(self, view) -> float:
                return 1
    """
    with pytest.raises(PolicyError, match="autoscaler 'picky' cannot be made with target 8: wants at least 100"):
        simulate(scenario(tmp_path, source, autoscaler="picky"))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return 1 / (view.ready - 3)", r"'wild' failed at 5 s \(mine0.py:7\): ZeroDivisionError"),
        ("return float('nan')", r"'wild' answered nan at 5 s; it must return a finite number of replicas"),
        ("pass", r"'wild' answered None at 5 s; it must return a finite number"),
        (
            "return view.queue",
            r"'wild' failed at 5 s \(mine0.py:7\): AttributeError: 'View' object has no attribute 'queue'",
        ),
    ],
)
def test_an_autoscaler_that_fails(tmp_path: Path, body: str, expected: str) -> None:
    source = f"""
        from infersim import autoscaling


        @autoscaling
        class Wild:
            def __init__(self, target): ...
            def desired(self, view): {body}
    """
    with pytest.raises(PolicyError, match=expected):
        simulate(scenario(tmp_path, source, autoscaler="wild"))
