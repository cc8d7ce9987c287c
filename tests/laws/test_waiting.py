"""Laws of agents and of users in closed loops, in whole scenarios: nobody is sent before what it waits for has ended."""

import numpy as np
import pytest

from infersim import Result, simulate
from infersim.assembly.parts import cell_of, offered
from infersim.dataplane.records import FINISHED
from infersim.spec.load import load_scenario
from infersim.spec.resolve import resolve
from infersim.workload import generate

HORIZON_S = 300
LENGTHS = {
    "input_tokens": {"distribution": "lognormal", "mean": 300, "p99": 1500},
    "output_tokens": {"distribution": "lognormal", "mean": 60, "p99": 300},
}
AGENTS = {
    "name": "agents",
    "arrivals": {"process": "gamma", "rate_rps": 0.5, "cv": 3.0},
    "structure": {
        "kind": "agents",
        "calls": {"distribution": "uniform", "min": 1, "max": 12},
        "tool_s": {"p50_s": 1, "p90_s": 8},
        "think_share": 0.2,
        "think_s": {"p50_s": 10, "p90_s": 30},
        "prompts": 2,
        "prompt_tokens": {"distribution": "constant", "value": 640},
        "sub_agents": {
            "share": 0.25,
            "count": {"distribution": "uniform", "min": 1, "max": 4},
            "calls": {"distribution": "uniform", "min": 1, "max": 4},
            "prompt_tokens": {"distribution": "constant", "value": 320},
        },
    },
}
USERS = {
    "name": "users",
    "arrivals": {
        "process": "closed_loop",
        "users": 20,
        "think_s": {"distribution": "exponential", "mean_s": 4},
        "ramp_s": 30,
    },
}
ROBOTS = {
    "name": "robots",
    "arrivals": {"process": "closed_loop", "users": 8, "think_s": {"distribution": "constant", "value_s": 0.5}},
    "structure": {"kind": "shared_prompt", "prompts": 2, "prompt_tokens": {"distribution": "constant", "value": 320}},
}
OPEN = {"name": "open", "arrivals": {"process": "poisson", "rate_rps": 1}}


def scenario(**changes: object) -> dict:
    """All of them at once, some impatient, on two replicas with a prefix cache."""
    return {
        "name": "waiting",
        "model": "llama-3.1-8b",
        "horizon_s": HORIZON_S,
        "seed": 4,
        "workload": {"max_context_tokens": 8000, **LENGTHS, "classes": [AGENTS, USERS, ROBOTS, OPEN]},
        "pools": [
            {
                "name": "p",
                "hardware": "l40s",
                "replicas": {"initial": 2},
                "kv_cache": {"prefix_caching": True},
                "batching": {"max_num_seqs": 12},
            }
        ],
    } | changes


HASTY = {"patience": {"ttft_timeout_s": 2.0}, "rate_limit": {"tokens_per_s": 9000, "burst_tokens": 20_000}}
VARIANTS = {
    "patient": {},
    "hasty": {"workload": scenario()["workload"] | HASTY},
    "stubborn": {"workload": scenario()["workload"] | HASTY | {"retries": {"max_attempts": 2}}},
    "full": {"admission": {"max_queued": 3}},
    "two cells": {"cells": 2},
}


@pytest.fixture(scope="module", params=list(VARIANTS))
def variant(request: pytest.FixtureRequest) -> dict:
    return scenario(**VARIANTS[request.param])


@pytest.fixture(scope="module")
def result(variant: dict) -> Result:
    return simulate(variant)


def of_chunks(variant: dict) -> tuple[np.ndarray, np.ndarray]:
    """Ids and SEQUEL of all requests of the chunks, of all cells."""
    resolved = resolve(load_scenario(variant))
    parts = [chunk for cell in range(resolved.scenario.cells) for chunk in offered(cell_of(resolved, cell)).chunks()]
    ids, sequels = np.concatenate([part[0]["id"] for part in parts]), np.concatenate([part[3] for part in parts])
    order = np.argsort(ids)
    return ids[order], sequels[order]


def test_followers_come_when_all_that_they_wait_for_has_ended(variant: dict, result: Result) -> None:
    rows = {row["id"]: row for row in result.record.outcomes}
    ids, sequels = of_chunks(variant)
    sent, joined = 0, 0
    for number, sequel in zip(ids.tolist(), sequels, strict=True):
        if sequel["joins"] == 0:
            assert number in rows
            continue
        before = [rows.get(k) for k in range(sequel["after"], sequel["after"] + sequel["joins"])]
        goes_on = all(row is not None and row["status"] == FINISHED for row in before)
        due = max(row["finish_s"] for row in before) + sequel["gap_s"] if goes_on else np.inf
        if due >= HORIZON_S:
            assert number not in rows
            continue
        assert rows[number]["arrival_s"] == due
        sent, joined = sent + 1, joined + (sequel["joins"] > 1)
    assert sent > 300
    assert joined > 15


def test_users_have_one_request_at_a_time(result: Result) -> None:
    rows = result.record.outcomes
    for tenant, users, pause_s in ((1, 20, 0.0), (2, 8, 0.5)):
        own = rows[rows["tenant"] == tenant]
        begins, ends = np.sort(own["arrival_s"]), np.sort(own["finish_s"])
        away = np.searchsorted(ends, begins - pause_s + 1e-9, side="right")
        assert (np.arange(1, len(own) + 1) - away).max() <= users
        assert len(own) > users
        assert own["arrival_s"].max() < HORIZON_S
        if result.record.scenario.cells == 1:
            assert len(own[own["arrival_s"] < 40]) >= users


def test_everybody_ends_once(result: Result) -> None:
    rows = result.record.outcomes
    assert len(np.unique(rows["id"])) == len(rows) == result.summary["requests"]["arrived"]
    assert set(np.unique(rows["tenant"])) == {0, 1, 2, 3}


def test_a_robot_is_served_its_prefix_from_the_cache(result: Result) -> None:
    rows = result.record.outcomes
    robots = rows[(rows["tenant"] == 2) & (rows["status"] == FINISHED)]
    assert np.median(robots["cached_tokens"]) == 320


@pytest.mark.parametrize("name", ["patient", "hasty", "full"])
def test_where_chunks_are_cut_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = simulate(scenario(**VARIANTS[name])).record.outcomes
    monkeypatch.setattr(generate, "CHUNK", 5)
    monkeypatch.setattr(generate, "USERS", 3)
    assert simulate(scenario(**VARIANTS[name])).record.outcomes.tobytes() == whole.tobytes()
