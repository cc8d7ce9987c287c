"""Whole runs, from a scenario to a run directory: every request accounted for, every dollar and token in one place.

Not here: what a replica or a request does in detail (`tests/controlplane`, `tests/twin`).
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from infersim.results.directory import read_run
from infersim.results.frames import SPANS
from infersim.results.result import Result
from infersim.simulate import simulate
from infersim.spec.load import load_scenario
from infersim.spec.resolve import resolved_yaml

ROOT = Path(__file__).parents[1]
TRACES = Path(os.environ.get("INFERSIM_SHARED") or ROOT.parent / "shared") / "traces" / "azure2023"
with_traces = pytest.mark.skipif(not TRACES.is_dir(), reason=f"no {TRACES} (set INFERSIM_SHARED)")

CHIPS = {
    "h100_llama70b": ("h100-sxm", 4),
    "mi300x_llama70b": ("mi300x", 1),
    "l40s_llama8b": ("l40s", 1),
    "tpu_v5e_llama8b": ("tpu-v5e", 8),
    "inferentia2_llama8b": ("inferentia2", 1),
    "groq_llama70b": ("groq-lpu", 576),
    "cerebras_llama70b": ("cerebras-wse3", 4),
}
"""The shipped scenarios of the seven chips, and the chips of one replica."""


def fingerprints(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a run directory."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def save(result: Result, folder: Path) -> Path:
    return result.save(folder, resolved_yaml(result.record.scenario))


def check_accounts(result: Result, requests: int | None = None) -> None:
    """What must add up in any run: requests, tokens, seconds and dollars."""
    sent, replicas, timeline, summary = result.requests, result.replicas, result.timeline, result.summary
    finished = sent[sent["status"] == "finished"]
    if requests is not None:
        assert len(sent) == requests
    assert sent["id"].tolist() == list(range(len(sent)))
    assert len(finished) + (sent["status"] == "rejected").sum() == len(sent)
    np.testing.assert_allclose(
        sent[list(SPANS)].sum(axis=1), sent["finish_s"] - sent["arrival_s"], rtol=1e-9, atol=1e-9
    )
    # Requests and tokens: in all, by replica, and by pool.
    assert replicas["requests"].sum() == len(finished)
    assert replicas["output_tokens"].sum() == finished["output_tokens"].sum()
    served = finished.groupby("replica").size().reindex(replicas["replica"], fill_value=0)
    assert served.tolist() == replicas["requests"].tolist()
    last = timeline.groupby("pool", observed=True).last()
    for pool in result.record.pools:
        mine = finished[finished["pool"] == pool.name]
        assert last.loc[pool.name, "output_tokens"] == mine["output_tokens"].sum()
        assert last.loc[pool.name, "arrived"] == last.loc[pool.name, "ended"] == (sent["pool"] == pool.name).sum()
        if mine["preemptions"].sum() == 0:
            assert last.loc[pool.name, "prompt_tokens"] == mine["input_tokens"].sum()
        else:  # a preempted prompt is processed again
            assert last.loc[pool.name, "prompt_tokens"] > mine["input_tokens"].sum()
    # Seconds and dollars: billed x chips x price, and nothing is both busy and idle.
    price = {pool.name: pool.chips * pool.usd_per_chip_hour / 3600 for pool in result.record.pools}
    billed = replicas["closed_s"] - replicas["billed_from_s"]
    usd = (billed * replicas["pool"].map(price).astype(float)).sum()
    assert summary["cost"]["total_usd"] == pytest.approx(usd)
    assert replicas["cost_usd"].sum() == pytest.approx(usd)
    assert last["cost_usd"].sum() == pytest.approx(usd)
    parts = replicas[["busy_usd", "idle_usd", "cold_start_usd"]]
    assert parts.sum(axis=1).tolist() == pytest.approx(replicas["cost_usd"].tolist())
    assert (parts >= 0).all(axis=None)
    assert (replicas["busy_s"] <= billed + 1e-9).all()
    assert replicas["closed_s"].max() <= result.record.end_s


def test_the_demo_shortened(tmp_path: Path) -> None:
    """Ten minutes of it; the expected number of requests is unknown, but not its order."""
    result = simulate(load_scenario("chat_burst", ["horizon_s=600"]))
    check_accounts(result)
    assert 600 * 2 * 0.8 < len(result.requests) < 600 * 16
    assert result.requests["arrival_s"].max() < 600 <= result.record.end_s
    assert result.timeline["ready"].between(1, 8).all()


@with_traces
@pytest.mark.parametrize(("name", "requests"), [("azure_conversation", 19_366), ("azure_code", 8_819)])
def test_an_hour_of_azure(name: str, requests: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The published numbers of rows, with the autoscaler on; the run directory reads back
    with pandas, and a second run writes the same bytes."""
    monkeypatch.setenv("INFERSIM_TRACES", str(TRACES))
    result = simulate(name)
    check_accounts(result, requests)
    assert (result.requests["status"] == "finished").all()
    assert {"scale", "provisioned", "ready"} <= set(result.events["kind"])
    assert 1 < result.timeline["ready"].max() <= 8
    saved = read_run(save(result, tmp_path / "run"))
    assert len(saved.requests) == requests
    assert saved.requests["ttft_s"].equals(result.requests["ttft_s"])
    assert saved.summary["requests"]["finished"] == requests
    assert fingerprints(save(simulate(name), tmp_path / "again")) == fingerprints(tmp_path / "run")


@pytest.mark.parametrize("name", CHIPS)
def test_the_scenario_of_each_chip(name: str) -> None:
    result = simulate(name)
    check_accounts(result)
    chip, chips = CHIPS[name]
    (pool,) = result.record.pools
    assert (pool.hardware, pool.chips) == (chip, chips)
    assert (result.requests["status"] == "finished").all()
    arrivals, horizon_s = result.record.scenario.workload.arrivals, result.record.scenario.horizon_s
    expected = arrivals.rate_rps * horizon_s
    assert abs(len(result.requests) - expected) < 5 * expected**0.5  # Poisson
    assert result.requests["ttft_s"].median() < result.record.scenario.slo.ttft_p99_s
    assert result.summary["cost"]["total_usd"] == pytest.approx(
        result.record.end_s / 3600 * chips * pool.usd_per_chip_hour
    )


TWO_POOLS = {
    "name": "two-pools",
    "model": "llama-3.1-8b",
    "horizon_s": 120,
    "seed": 3,
    "workload": {
        "arrivals": {"process": "gamma", "rate_rps": 12, "cv": 2},
        "input_tokens": {"distribution": "lognormal", "mean": 800, "p99": 3000},
        "output_tokens": {"distribution": "lognormal", "mean": 150, "p99": 500},
    },
    "pools": [
        {
            "name": "h100",
            "hardware": "h100-sxm",
            "precision": {"weights": "fp8", "kv_cache": "fp8"},
            "price": {"usd_per_chip_hour": 4.0},
        },
        {
            "name": "l40s",
            "hardware": "l40s",
            "precision": {"weights": "fp8", "kv_cache": "fp8"},
            "replicas": {"initial": 1, "min": 1, "max": 4},
            "autoscaler": {"policy": "target_concurrency", "target": 8, "interval_s": 5},
            "price": {"usd_per_chip_hour": 1.0},
        },
    ],
}
"""Fast and slow chips in one service."""


def test_two_pools_serve_together() -> None:
    result = simulate(TWO_POOLS)
    check_accounts(result)
    shares = result.requests["pool"].value_counts(normalize=True)
    assert shares["h100"] > shares["l40s"] / result.timeline["ready"].max() > 0  # least outstanding: the fast one more
    tpot = result.requests.groupby("pool", observed=True)["tpot_s"].median()
    assert tpot["h100"] < tpot["l40s"]
    assert set(result.timeline["pool"]) == set(result.replicas["pool"]) == {"h100", "l40s"}
    assert set(result.summary["pools"]) == {"h100", "l40s"}


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    """Every file of the run directory, plots included; another seed changes what the requests are."""
    folders = {}
    for name, seed in (("first", 3), ("again", 3), ("other", 4)):
        folders[name] = fingerprints(save(simulate(TWO_POOLS, seed=seed), tmp_path / name))
    assert folders["first"] == folders["again"]
    assert len(folders["first"]) == 11
    assert folders["other"].keys() == folders["first"].keys()
    for file in ("requests.parquet", "timeline.parquet", "summary.json", "scenario.yaml"):
        assert folders["other"][file] != folders["first"][file]


def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    """Whatever the order of its sets and the language of its messages."""
    for name, environment in (("first", {"PYTHONHASHSEED": "1", "LC_ALL": "C"}), ("second", {"PYTHONHASHSEED": "2"})):
        command = [sys.executable, "-m", "infersim", "run", "h100_llama70b", "--set", "horizon_s=60"]
        subprocess.run(
            [*command, "--out", tmp_path / name],
            env=os.environ | environment,
            cwd=ROOT,
            capture_output=True,
            check=True,
        )
    assert fingerprints(tmp_path / "first") == fingerprints(tmp_path / "second")


def test_the_resolved_scenario_is_the_same_run(tmp_path: Path) -> None:
    """`scenario.yaml` of a run directory can be run again, and gives the same."""
    first = save(simulate(TWO_POOLS), tmp_path / "first")
    second = save(simulate(first / "scenario.yaml"), tmp_path / "second")
    assert fingerprints(first) == fingerprints(second)


def test_preempted_prompts_are_processed_again() -> None:
    """So little KV that sequences push one another out; every token is still delivered once."""
    scenario = TWO_POOLS | {"pools": [TWO_POOLS["pools"][0] | {"kv_cache": {"blocks": 700}}]}
    result = simulate(scenario)
    check_accounts(result)
    assert result.requests["preemptions"].sum() > 0


def test_what_is_too_long_is_rejected_and_accounted_for() -> None:
    """A hundred blocks of 16 tokens hold no request that is longer."""
    scenario = TWO_POOLS | {"pools": [TWO_POOLS["pools"][0] | {"kv_cache": {"blocks": 100}}]}
    result = simulate(scenario)
    check_accounts(result)
    sent = result.requests
    too_long = sent["input_tokens"] + sent["output_tokens"] - 1 > 100 * 16
    assert (sent["status"] == "rejected").sum() > 0
    assert not too_long[sent["status"] == "finished"].any()
    assert any("were rejected" in warning for warning in result.record.warnings)


def test_progress_goes_up_to_the_horizon() -> None:
    told: list[tuple[float, float]] = []
    simulate(TWO_POOLS, progress=lambda done, to_do: told.append((done, to_do)))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert {to_do for _, to_do in told} == {120}
    assert told[0][0] == 0
    assert told[-1][0] == 120


def test_a_limit_that_no_replica_can_keep_is_told() -> None:
    """A token of 8B in 16 bit on an H100 takes 16 GB over 3.35 TB/s, 4.8 ms, whatever the fleet."""
    run = {
        "name": "n",
        "model": "llama-3.1-8b",
        "horizon_s": 5,
        "workload": {
            "arrivals": {"process": "constant", "rate_rps": 1},
            "input_tokens": {"distribution": "constant", "value": 10},
            "output_tokens": {"distribution": "constant", "value": 5},
        },
        "pools": [{"name": "p", "hardware": "h100-sxm"}],
    }
    told = simulate(run | {"slo": {"ttft_p99_s": 1e-6, "tpot_p99_s": 0.0047}}).summary["warnings"]
    assert [text.split(":")[0] for text in told] == [
        "no replica can keep slo.ttft_p99_s 1e-06",
        "no replica can keep slo.tpot_p99_s 0.0047",
    ]
    assert simulate(run | {"slo": {"ttft_p99_s": 0.5, "tpot_p99_s": 0.05}}).summary["warnings"] == []
