"""Cells: parts of a service that know nothing of each other, and a whole that does not depend on who ran them."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from infersim.assembly import parts
from infersim.results.directory import to_json
from infersim.results.result import Result
from infersim.simulate import simulate
from infersim.spec.load import load_scenario
from infersim.spec.resolve import resolve
from infersim.spec.scenario import Scenario
from infersim.workload.generate import request_blocks
from infersim.workload.requests import joined

CELLS = 3


def chat(cells: int = CELLS, **changes: object) -> Scenario:
    """Bursty chat on five replicas, more asked for when it bursts."""
    settings = [f"cells={cells}", "horizon_s=300", "pools.0.replicas={initial: 5, min: 4, max: 9}", "seed=3",
                "pools.0.autoscaler.target=16", *(f"{key}={value}" for key, value in changes.items())]  # fmt: skip
    return load_scenario("chat_burst", settings)


@pytest.fixture(scope="module")
def result() -> Result:
    return simulate(chat())


def test_the_workers_change_no_byte(result: Result) -> None:
    two = simulate(chat(), workers=2)
    assert to_json(two.summary) == to_json(result.summary)
    for name in ("requests", "replicas", "timeline", "events"):
        assert getattr(two, name).equals(getattr(result, name)), name


def test_the_cells_share_out_the_traffic_of_the_scenario(result: Result) -> None:
    whole = joined(request_blocks(chat().workload, 300.0, 3))
    sent = result.requests
    assert sent["id"].tolist() == list(range(len(whole)))
    for name in ("arrival_s", "input_tokens", "output_tokens"):
        assert sent[name].tolist() == getattr(whole, name).tolist()
    cells = [pool.pool.replicas for part in range(CELLS) for pool in parts.cell_of(resolve(chat()), part).pools]
    assert [(c.initial, c.min, c.max) for c in cells] == [(2, 2, 3), (2, 1, 3), (1, 1, 3)]


def test_a_cell_is_a_service_of_its_own(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second cell's requests, sent to a service of its size, fare as they did."""
    own = list(parts.offered(parts.cell_of(resolve(chat()), 1)).chunks())
    ids = np.concatenate([chunk[0]["id"] for chunk in own])
    assert len(ids) == pytest.approx(len(result.requests) / CELLS, rel=0.2)
    sent = SimpleNamespace(prefix_tokens=0, span_s=300.0, chunks=lambda: iter(own), waits=False, sources=list)
    monkeypatch.setattr(parts, "offered", lambda *_: sent)
    small = {"pools.0.replicas": "{initial: 2, min: 1, max: 3}"}
    fared = simulate(chat(1, **small)).requests
    there = result.requests.set_index("id").loc[ids].reset_index()
    for name in ("first_token_s", "finish_s", "queued_s", "prefill_s", "decode_s"):
        assert fared[name].tolist() == there[name].tolist()


def test_the_whole_adds_up(result: Result) -> None:
    """Over the pool, over replicas, over the timeline: the same counts, seconds and dollars."""
    summary, last = result.summary, result.timeline.iloc[-1]
    assert last["time_s"] == summary["run"]["end_s"]
    assert last["ended"] == summary["requests"]["arrived"] == len(result.requests)
    replicas = result.replicas
    assert replicas["replica"].tolist() == list(range(len(replicas)))
    assert replicas["requests"].sum() == summary["requests"]["finished"]
    assert replicas["cost_usd"].sum() == pytest.approx(summary["cost"]["total_usd"])
    assert last["cost_usd"] == pytest.approx(summary["cost"]["total_usd"])
    assert last["busy_s"] == pytest.approx(replicas["busy_s"].sum())
    served = result.requests.groupby("replica")["id"].count()
    assert served.reindex(replicas["replica"], fill_value=0).tolist() == replicas["requests"].tolist()
    assert (result.events["time_s"].diff().dropna() >= 0).all()


def test_autoscalers_that_name_replicas_name_those_of_all_cells() -> None:
    always = {"pools.0.replicas.max": "9", "pools.0.autoscaler": "{policy: fixed, replicas: 7}"}
    hours = "[{at_s: 0, replicas: 4}, {at_s: 60, replicas: 8}]"
    rules = {"pools.0.replicas.max": "9", "pools.0.autoscaler": f"{{policy: schedule, rules: {hours}}}"}
    assert [_scaler(always, cell).replicas for cell in range(CELLS)] == [3, 2, 2]
    assert [[rule.replicas for rule in _scaler(rules, cell).rules] for cell in range(CELLS)] == [[2, 3], [1, 3], [1, 2]]


def _scaler(changes: dict[str, str], cell: int) -> Any:
    settings = [f"cells={CELLS}", *(f"{key}={value}" for key, value in changes.items())]
    return parts.cell_of(resolve(load_scenario("chat_burst", settings)), cell).pools[0].pool.autoscaler


def test_sessions_stay_in_their_cell() -> None:
    resolved = resolve(load_scenario("rag", ["horizon_s=200", "cells=2"]))
    seen = []
    for cell in range(2):
        chunks = list(parts.offered(parts.cell_of(resolved, cell)).chunks())
        seen.append({int(session) for chunk in chunks for session in chunk[0]["session"] if session >= 0})
        for records, _, names in chunks:
            assert records["prefix_blocks"].sum() == len(names)
    assert not seen[0] & seen[1]


def test_rows_of_cells_are_sampled_as_one() -> None:
    few = simulate(chat(keep_requests=300))
    assert few.record.halvings > 0
    full = simulate(chat()).record.outcomes
    assert np.isin(few.record.outcomes["id"], full["id"]).all()
    assert few.summary["requests"]["output_tokens"] == full["output_tokens"].sum()
    assert len(few.requests) <= 300 < 2 * len(few.requests) * 1.5


def test_too_few_replicas_for_the_cells_are_refused() -> None:
    with pytest.raises(ValueError, match=r"replicas\.max: found 9 replicas for 10 cells"):
        chat(10)
