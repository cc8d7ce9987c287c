"""Processes of the user's own: what they see, what they do and when, what limits them, and what is said of their faults."""

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml

from infersim import Result, process, simulate
from infersim.policies.errors import PolicyError
from infersim.policies.processes import PROCESSES
from infersim.spec.errors import SpecError

SMALL: dict[str, Any] = {
    "name": "own",
    "model": "llama-3.1-8b",
    "horizon_s": 300,
    "seed": 1,
    "workload": {
        "arrivals": {"process": "poisson", "rate_rps": 2},
        "input_tokens": {"distribution": "constant", "value": 400},
        "output_tokens": {"distribution": "constant", "value": 50},
    },
    "pools": [{"name": "chat", "hardware": "l40s", "replicas": {"initial": 2, "max": 4}}],
    "plugins": ["mine.py"],
}


def run(folder: Path, source: str, *names: object, **change: object) -> Result:
    """The small scenario with a plugin file, whose processes it starts."""
    (folder / "mine.py").write_text("from infersim import process\n\n" + dedent(source))
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(SMALL | {"processes": list(names)} | change))
    return simulate(path)


def events(result: Result, *kinds: str) -> list[tuple[float, str, int, str]]:
    return [
        (time_s, kind, replica, detail) for time_s, kind, _, replica, detail in result.record.events if kind in kinds
    ]


def test_it_acts_when_it_says(tmp_path: Path) -> None:
    """One more at 50, a note at 60, the first replica given back at 120 when it is empty, which is soon."""
    result = run(
        tmp_path,
        """
        @process
        def day(env, datacenter, first_s=10):
            pool = datacenter.pools["chat"]
            yield env.timeout(first_s)
            pool.open()
            yield env.timeout(10)
            pool.note(f"{datacenter.now:g}: {pool.ready} ready, {pool.starting} starting, at most {pool.most}")
            yield env.timeout(60)
            pool.drain(pool.replicas[0])
        """,
        {"process": "day", "first_s": 50},
    )
    assert events(result, "scale", "note", "draining") == [
        (50, "scale", -1, "2 -> 3: as a process wants"),
        (60, "note", -1, "60: 2 ready, 1 starting, at most 4"),
        (120, "draining", 0, "as a process wants"),
    ]
    assert result.summary["requests"]["finished"] == result.summary["requests"]["arrived"]


def test_failing_and_slowing(tmp_path: Path) -> None:
    """A lost replica is asked for again; one at half its speed takes twice as long; nobody's request is lost twice."""
    result = run(
        tmp_path,
        """
        @process
        def chaos(env, datacenter):
            pool = datacenter.pools["chat"]
            yield env.timeout(40)
            pool.slow(1, 2.0, "throttled")
            assert [one.speed for one in pool.replicas] == [1.0, 0.5]
            yield env.timeout(10)
            pool.fail(max(pool.replicas, key=lambda one: (one.outstanding, one.serial)), "chaos")
            assert pool.ready == 1 and pool.starting == 1
            yield env.timeout(10)
            if pool.replicas[0].serial == 1:
                pool.slow(1, 1.0)
                assert pool.replicas[0].speed == 1.0
        """,
        "chaos",
    )
    (failed,) = events(result, "failed")
    assert (failed[0], failed[3]) == (50, "chaos")
    assert [time_s for time_s, *_ in events(result, "requested")] == [0, 0, 50]
    assert events(result, "paced")[0][:3] == (40, "paced", 1)
    assert result.summary["requests"]["arrived"] == len(result.requests)


def test_what_it_sees(tmp_path: Path) -> None:
    """The load as autoscalers see it, and facts that cannot be written."""
    result = run(
        tmp_path,
        """
        @process
        def look(env, datacenter):
            (pool,) = datacenter.pools.values()
            yield env.timeout(200)
            view = pool.view
            assert abs(view.arrival_rate(150) - 2) < 1, view.arrival_rate(150)
            assert view.ready == pool.ready == 2
            assert sum(one.outstanding for one in pool.replicas) == view.outstanding
            assert datacenter.in_flight == view.in_flight + datacenter.held - view.held
            assert pool.usd_per_hour > 0
            for thing, name in ((pool, "ready"), (datacenter, "now"), (pool.replicas[0], "speed")):
                try:
                    setattr(thing, name, 0)
                except AttributeError:
                    pool.note("read-only " + name)
        """,
        "look",
    )
    assert [detail for *_, detail in events(result, "note")] == ["read-only ready", "read-only now", "read-only speed"]


def test_looking_changes_nothing(tmp_path: Path) -> None:
    source = """
        @process
        def look(env, datacenter):
            while True:
                yield env.timeout(7)
                datacenter.pools["chat"].view
        """
    watched, alone = run(tmp_path, source, "look"), run(tmp_path, source)
    assert watched.record.outcomes.tobytes() == alone.record.outcomes.tobytes()
    assert watched.record.leases.tobytes() == alone.record.leases.tobytes()


@pytest.mark.parametrize("call", ["pool.scale_to(10**9)", "pool.open(10**9)"])
def test_a_billion_replicas_are_cut_to_the_most(tmp_path: Path, call: str) -> None:
    result = run(
        tmp_path,
        f"""
        @process
        def greedy(env, datacenter):
            pool = datacenter.pools["chat"]
            yield env.timeout(10)
            {call}
        """,
        "greedy",
    )
    (limited,) = events(result, "limited")
    assert limited[0] == 10
    assert "1000000000" in limited[3] or "1000000002" in limited[3]
    assert len(result.record.leases) == 4


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("1 / 0", r"process 'faulty' \(mine.py:7\) failed at 30 s: ZeroDivisionError: division by zero"),
        ("yield 5", r"\(mine.py:7\) failed at 30 s: TypeError: yielded 5, which is no event; yield one, such as"),
        ("yield env.timeout(-1)", r"\(mine.py:7\) failed at 30 s: ValueError: Negative delay -1"),
        ("datacenter.pools['h100']", r"\(mine.py:7\) failed at 30 s: KeyError: 'h100'"),
        ("datacenter.pools['chat'].fail(77)", r"ValueError: pool chat has no replica 77; it has 0, 1"),
        ("datacenter.pools['chat'].scale_to(1.5)", r"ValueError: pool chat cannot have 1.5 replicas"),
        ("datacenter.pools['chat'].slow(0, 0)", r"ValueError: factor is 0; give a number above 0"),
        ("env.process(child(env)); yield env.timeout(99)", r"\(mine.py:10\) failed at 35 s: RuntimeError: gone"),
    ],
)
def test_faults_are_one_clear_message(tmp_path: Path, body: str, message: str) -> None:
    source = f"""
        @process
        def faulty(env, datacenter):
            yield env.timeout(30)
            {body}
        def child(env):
            yield env.timeout(5)
            raise RuntimeError("gone")
        """
    with pytest.raises(PolicyError, match=message):
        run(tmp_path, source, "faulty")


def test_what_a_scenario_may_not_ask(tmp_path: Path) -> None:
    source = """
        @process
        def mine(env, datacenter, every_s):
            yield env.timeout(every_s)
        """
    with pytest.raises(SpecError, match=r"processes\[0\].process: unknown policy mein; did you mean mine"):
        run(tmp_path, source, "mein")
    with pytest.raises(
        PolicyError, match="process 'mine' cannot be started with nothing: missing a required argument: 'every_s'"
    ):
        run(tmp_path, source, "mine")
    with pytest.raises(PolicyError, match=r"cannot be started with .*got an unexpected keyword argument 'after_s'"):
        run(tmp_path, source, {"process": "mine", "every_s": 1, "after_s": 3})


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("@process\ndef plain(env, datacenter):\n    pass\n", "process plain is no generator function"),
        (
            "@process\ndef short(env):\n    yield\n",
            r"process short takes \(env\); its first two are env and datacenter",
        ),
    ],
)
def test_what_is_no_process(tmp_path: Path, source: str, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        run(tmp_path, source)


def test_of_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registered in this Python, without a file of its own; autoscalers likewise."""
    from infersim import autoscaling
    from infersim.policies.autoscaling import AUTOSCALERS
    from infersim.spec import policies as names

    monkeypatch.setattr("infersim.policies.processes.PROCESSES", PROCESSES.copy())
    monkeypatch.setattr("infersim.policies.autoscaling.registry.AUTOSCALERS", AUTOSCALERS)
    cell = dedent("""
        @process
        def from_a_cell(env, datacenter):
            yield env.timeout(20)
            datacenter.pools["chat"].note("hello")

        @autoscaling
        class OneMore:
            def desired(self, view):
                return view.ready + 1 if view.time_s < 40 else view.current
        """)
    try:
        exec(compile(cell, "<ipython-input-1>", "exec"), {"process": process, "autoscaling": autoscaling})
        pools = [SMALL["pools"][0] | {"autoscaler": {"policy": "one_more"}}]
        result = simulate(SMALL | {"plugins": [], "processes": ["from_a_cell"], "pools": pools})
    finally:
        AUTOSCALERS.pop("one_more", None)
        names.AUTOSCALERS.discard("one_more")
    assert [(time_s, detail) for time_s, _, _, detail in events(result, "note")] == [(20, "hello")]
    assert events(result, "scale")[0][0] == 15
