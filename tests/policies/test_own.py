"""Users' own queue orders and batching policies, what all policies may not do, and what is said of those that fail."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from infersim import Result
from infersim.dataplane import abi
from infersim.policies.errors import PolicyError
from infersim.simulate import check_runnable, simulate
from infersim.spec.errors import SpecError
from infersim.spec.load import load_scenario
from infersim.spec.resolve import resolve
from tests.policies.house import scenario

compiled_only = pytest.mark.skipif(not abi.JIT, reason="NUMBA_DISABLE_JIT=1: policies run as plain Python")
SETTINGS = {"routing": (), "ordering": ("pools.0.queue.order=mine",), "batching": ("pools.0.batching.policy=mine",)}
PARAMETERS = {"routing": "request, replicas, routable, memory", "ordering": "request", "batching": "replica"}
NOUNS = {"routing": "router", "ordering": "queue order", "batching": "batching policy"}


def run(folder: Path, kind: str, body: str, *settings: str, before: str = "", parameters: str | None = None) -> Result:
    """Simulate with a policy of this kind and body on one replica."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    names = PARAMETERS[kind] if parameters is None else parameters
    source = f"import numba\nfrom infersim import {kind}\n\n\n{before}@{kind}\ndef mine({names}):\n{lines}\n"
    path = scenario(
        folder, source, router="mine" if kind == "routing" else "round_robin", autoscaler="target_concurrency"
    )
    one = ("pools.0.replicas={initial: 1, min: 1, max: 1}", "workload.arrivals.rate_rps=20")
    return simulate(load_scenario(path, [*SETTINGS[kind], *one, *settings]))


def shipped(folder: Path, *settings: str) -> Result:
    one = ("pools.0.replicas={initial: 1, min: 1, max: 1}", "workload.arrivals.rate_rps=20")
    return simulate(load_scenario(scenario(folder, router="round_robin"), [*one, *settings]))


def same(one: Result, other: Result) -> bool:
    return one.record.outcomes.tobytes() == other.record.outcomes.tobytes()


# ---------------------------------------------------------------- what they can do

SEATS = "pools.0.batching.max_num_seqs=8"


@pytest.mark.parametrize(
    ("body", "order"),
    [
        ("return request.input_tokens", "shortest_job"),
        ("return -request.priority", "priority"),
        ("return request.arrival_s + request.deadline_s", "earliest_deadline"),
    ],
)
def test_an_order_of_ones_own_is_as_good_as_a_shipped_one(tmp_path: Path, body: str, order: str) -> None:
    """Priorities are all 0, so that nobody is preempted for them."""
    mine = run(tmp_path, "ordering", body, SEATS)
    assert same(mine, shipped(tmp_path, SEATS, f"pools.0.queue={order}"))
    assert mine.requests["queued_s"].max() > 1


def test_chunked_prefill_of_ones_own(tmp_path: Path) -> None:
    mine = run(tmp_path, "batching", "return replica.max_num_batched_tokens, True, 1", SEATS)
    theirs = shipped(tmp_path, SEATS)
    for column in ("first_token_s", "finish_s"):
        # The shipped policy leaps over steps in which nothing changes.
        np.testing.assert_allclose(mine.requests[column], theirs.requests[column], rtol=1e-9)


def test_prefill_first_of_ones_own(tmp_path: Path) -> None:
    """Prompts alone while somebody waits and there is a seat; an empty step is formed again, then all decode."""
    body = (
        "prompts = replica.prefilling_tokens > 0 or replica.waiting > 0 and replica.running < replica.max_num_seqs\n"
        "return (replica.max_num_batched_tokens, False, 2) if prompts else (0, True, 0)"
    )
    settings = ("pools.0.batching.max_num_seqs=64", "pools.0.engine=jetstream", "pools.0.hardware=tpu-v5e")
    settings = ("pools.0.batching.max_num_seqs=64",)
    mine = run(tmp_path, "batching", body, *settings)
    theirs = shipped(tmp_path, *settings, "pools.0.batching.policy=prefill_first")
    # An asynchronous engine sees a request in the queue that is not yet eligible, and decodes as chunked prefill would.
    assert abs(mine.requests["finish_s"].mean() / theirs.requests["finish_s"].mean() - 1) < 0.01


def test_a_prefill_budget_that_follows_the_batch(tmp_path: Path) -> None:
    """No step holds more prompt tokens than the policy allows beside decoding."""
    body = "return (64 if replica.decoding > 0 else replica.max_num_batched_tokens), True, 1"
    mine = run(tmp_path, "batching", body)
    theirs = shipped(tmp_path)
    assert mine.summary["latency"]["itl_s"]["p99"] < theirs.summary["latency"]["itl_s"]["p99"]
    assert mine.summary["latency"]["ttft_s"]["mean"] > theirs.summary["latency"]["ttft_s"]["mean"]
    assert mine.summary["requests"]["finished"] == theirs.summary["requests"]["finished"]


@pytest.mark.parametrize("body", ["return 0, False, 0", "return 0, True, 0", "return 1, False, 2"])
def test_nobody_can_stop_a_replica(tmp_path: Path, body: str) -> None:
    result = run(tmp_path, "batching", body, "horizon_s=10")
    requests = result.requests
    assert (requests["status"] == "finished").all()
    spans = sorted(zip(requests["arrival_s"], requests["finish_s"], strict=True))
    assert all(later >= 0 for later in np.diff([arrival for arrival, _ in spans]))
    assert any(one[1] > other[0] for one, other in pairwise(spans))


def test_each_pool_has_its_own(tmp_path: Path) -> None:
    """Two pools with unlike orders of the user's: each is asked about its own requests."""
    source = (
        "from infersim import ordering\n\n@ordering\ndef short(request):\n    return request.input_tokens\n\n"
        "@ordering\ndef long(request):\n    return -request.input_tokens\n"
    )
    base = load_scenario(scenario(tmp_path, source, router="round_robin"), ["workload.arrivals.rate_rps=120"])
    pool = base.pools[0].model_copy(update={"autoscaler": None})
    pools = []
    for name in ("short", "long"):
        changes = {"name": name, "queue": pool.queue.model_copy(update={"order": name})}
        pools.append(
            pool.model_copy(update=changes | {"batching": pool.batching.model_copy(update={"max_num_seqs": 8})})
        )
    requests = simulate(base.model_copy(update={"pools": pools}).read_from(base.origin)).requests
    waited = requests[requests["queued_s"] > 1]
    mean = waited.groupby("pool", observed=True)["input_tokens"].mean()
    assert mean["short"] > 1.2 * mean["long"]


# ---------------------------------------------------------------- what they must not


@compiled_only
@pytest.mark.parametrize("kind", SETTINGS)
def test_nobody_may_know_the_output(tmp_path: Path, kind: str) -> None:
    record = "replica" if kind == "batching" else "request"
    with pytest.raises(PolicyError) as caught:
        run(tmp_path, kind, f"return {record}.output_tokens")
    start = f"{NOUNS[kind]} 'mine' (mine0.py:7) does not compile: reads .output_tokens, which it cannot know. A "
    assert str(caught.value).startswith(start)
    assert "may read" in str(caught.value)
    assert "max_num_seqs" in str(caught.value) or kind == "ordering"


@pytest.mark.parametrize("kind", SETTINGS)
def test_another_signature(tmp_path: Path, kind: str) -> None:
    right = f"a {NOUNS[kind]} takes ({PARAMETERS[kind]})"
    with pytest.raises(PolicyError, match=re.escape(f"{NOUNS[kind]} 'mine' (mine0.py:5) takes (one, two); {right}")):
        run(tmp_path, kind, "return 0", parameters="one, two")


@compiled_only
@pytest.mark.parametrize(
    "body", ["replicas[0] = replicas[1]\nreturn 0", "routable[0] = 3\nreturn 0", "r = replicas\nr[0] = r[1]\nreturn 0"]
)
def test_a_router_writes_nothing_but_its_memory(tmp_path: Path, body: str) -> None:
    with pytest.raises(PolicyError, match="writes what it may only read; a router writes nothing but memory"):
        run(tmp_path, "routing", body)


@pytest.mark.parametrize(
    ("kind", "name"), [("routing", "replicas[0]"), ("ordering", "request"), ("batching", "replica")]
)
@pytest.mark.parametrize("how", ["{}.pool = 1", "{}['pool'] = 1"])
def test_fields_cannot_be_written(tmp_path: Path, kind: str, name: str, how: str) -> None:
    with pytest.raises(
        PolicyError, match=rf"{NOUNS[kind]} 'mine' \(mine0.py:7\) writes .*pool.*; a {NOUNS[kind]} writes nothing"
    ):
        run(tmp_path, kind, how.format(name) + "\nreturn 0")


FAULTS = [
    ("ordering", "if request.id == 5:\n    raise ValueError('too hard')\nreturn 0", "raised ValueError: too hard, asked about request 5 at "),
    ("ordering", "return 1.0 / (request.id - 5)", "raised ZeroDivisionError"),
    ("ordering", "return (request.id - 5.0) * 0.0 / (request.id - 5.0) if request.id != 5 else float('nan')", "answered nan, asked about request 5 at "),
    ("ordering", "return float('nan')", "answered nan, asked about request 0 at "),
    ("batching", "return 1 << 40, True, 1", "answered (1099511627776, 1, 1), asked about replica 0 at "),
    ("batching", "return -1, True, 1", "answered (-1, 1, 1), asked about replica 0 at "),
    ("batching", "return 0, True, 3", "answered (0, 1, 3), asked about replica 0 at "),
    ("batching", "return 0, 2, 0", "answered (0, 2, 0), asked about replica 0 at "),
    ("batching", "return 10 // (3 - replica.steps), True, 1", "raised ZeroDivisionError"),
    ("routing", "if request.id == 5:\n    raise ValueError('too hard')\nreturn 0", "raised ValueError: too hard, asked about request 5 at "),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "body", "what"), FAULTS)
def test_a_fault_stops_the_run(tmp_path: Path, kind: str, body: str, what: str) -> None:
    with pytest.raises(PolicyError) as caught:
        run(tmp_path, kind, body)
    assert str(caught.value).startswith(f"{NOUNS[kind]} 'mine' {what}")
    assert re.search(r"request \d+", str(caught.value))
    assert re.search(r"at [\d.e-]+ s", str(caught.value))
    assert "must return" in str(caught.value)


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize(
    "loop", ["while True:\n    x += 1", "while x < 2:\n    pass", "for _ in range(10**15):\n    x += 1"]
)
def test_an_endless_loop_is_stopped(tmp_path: Path, kind: str, loop: str) -> None:
    with pytest.raises(
        PolicyError, match=r"raised RuntimeError: went round its loops more than 10,000,000 times|never ret"
    ):
        run(tmp_path, kind, f"x = 0\n{loop}\nreturn x" if kind != "batching" else f"x = 0\n{loop}\nreturn x, True, 1")


@compiled_only
def test_an_endless_loop_in_a_function_that_is_called_is_stopped(tmp_path: Path) -> None:
    helper = "@numba.njit\ndef endless(x):\n    while x >= 0:\n        x = x * 1\n    return x\n\n\n"
    with pytest.raises(PolicyError, match="went round its loops more than"):
        run(tmp_path, "ordering", "return endless(request.id)", before=helper)


@compiled_only
def test_a_function_that_calls_itself_is_refused(tmp_path: Path) -> None:
    helper = "@numba.njit\ndef deep(x):\n    return deep(x + 1) if x >= 0 else 0\n\n\n"
    with pytest.raises(PolicyError, match="deep calls itself; a policy may loop, but not call itself"):
        run(tmp_path, "ordering", "return deep(request.id)", before=helper)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("pools.0.queue=shortest", r"unknown policy shortest; did you mean (shortest_job|shortest_predicted)"),
        ("pools.0.batching.policy=chunked", "unknown policy chunked; did you mean chunked_prefill"),
        ("pools.0.queue=shortest_predicted", "prediction_sigma.* is missing; say how well lengths are predicted"),
        ("pools.0.queue={order: fcfs, prediction_sigma: 1}", "is not used by fcfs; remove it"),
        (
            "pools.0.queue={order: priority, input_weight: 1}",
            "is for fair_share, and this order is priority; remove it",
        ),
        ("pools.0.queue={order: fair_share, input_weight: 0, output_weight: 0}", "with both weights 0 nothing counts"),
        ("pools.0.queue={order: fair_share, input_weight: 0.5}", "whole number"),
    ],
)
def test_settings_that_cannot_be(tmp_path: Path, setting: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        resolve(load_scenario(scenario(tmp_path), [setting]))


def test_a_plugin_without_the_name(tmp_path: Path) -> None:
    path = scenario(tmp_path, "x = 1\n")
    for key in ("queue.order", "batching.policy"):
        with pytest.raises(SpecError, match="unknown policy mine"):
            check_runnable(resolve(load_scenario(path, [f"pools.0.{key}=mine"])))
