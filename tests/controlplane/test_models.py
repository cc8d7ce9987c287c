"""Pools of different models under autoscalers: whoever waits for a model wakes the pools that serve it, and no others."""

import pytest

from infersim import simulate

LENGTHS = {"distribution": "constant", "value": 100}


def arrivals(rate_rps: float) -> dict:
    return {"process": "constant", "rate_rps": rate_rps}


def scenario(*pools: dict) -> dict:
    """A request a second for the first model, a few for the second."""
    classes = [
        {"name": "often", "arrivals": arrivals(1.0)},
        {"name": "seldom", "model": "qwen3-8b", "arrivals": {"process": "poisson", "rate_rps": 0.15}},
    ]
    workload = {"input_tokens": LENGTHS, "output_tokens": LENGTHS, "classes": classes}
    each = {"hardware": "h100-sxm", "cold_start": {"provision_s": 30, "initialise_s": 5}}
    return {
        "name": "zero",
        "model": "llama-3.1-8b",
        "horizon_s": 20,
        "seed": 2,
        "workload": workload,
        "pools": [each | pool for pool in pools],
    }


KPA = {"policy": "knative_kpa", "target": 16}


def test_a_request_without_a_replica_of_its_model_wakes_its_pool_alone() -> None:
    first = {"name": "first", "replicas": {"initial": 1, "min": 1, "max": 2}, "autoscaler": KPA}
    second = {"name": "second", "model": "qwen3-8b", "replicas": {"initial": 0, "min": 0, "max": 2}, "autoscaler": KPA}
    result = simulate(scenario(first, second))
    asked = result.events[result.events["kind"] == "requested"]
    rare = result.requests[result.requests["model"] == "qwen3-8b"]
    assert set(asked["pool"]) == {"first", "second"}  # the one that was there at first, and
    since = asked["time_s"][asked["pool"] == "second"].min()
    assert since > 0.1
    assert since == pytest.approx(rare["arrival_s"].min())
    # 30 s until the machine is found, 16.4 GB at the profile's 1.1 GB/s or so, 5 s.
    ready = result.replicas["ready_s"][result.replicas["pool"] == "second"].min()
    assert ready > since + 35
    assert rare["held_s"].iloc[0] == pytest.approx(ready - rare["arrival_s"].iloc[0])
    assert set(rare["pool"]) == {"second"}
    assert result.requests["held_s"][result.requests["model"] == "llama-3.1-8b"].max() == 0
    samples = result.timeline
    assert samples["held"][samples["pool"] == "first"].max() == 0
    assert samples["held"][samples["pool"] == "second"].max() == len(rare) > 0


def test_a_pool_that_serves_both_wakes_for_either() -> None:
    both = {"name": "both", "models": ["llama-3.1-8b", "qwen3-8b"], "autoscaler": KPA}
    result = simulate(scenario(both | {"replicas": {"initial": 0, "min": 0, "max": 1}}))
    assert (result.requests["status"] == "finished").all()
    assert result.summary["pools"]["both"]["models"]["qwen3-8b"]["loads"] >= 1


def test_every_switch_is_an_event() -> None:
    """As many of each model as the summary counts, in order of time among the others; a switch takes 0.1 s and the load."""
    both = {"name": "both", "models": ["llama-3.1-8b", "qwen3-8b"], "replicas": {"initial": 2}}
    result = simulate(scenario(both))
    found = result.events[result.events["kind"] == "switch"]
    models = result.summary["pools"]["both"]["models"]
    assert len(found) == sum(one["switches"] for one in models.values()) > 1
    for name, one in models.items():
        led = found[found["detail"].str.contains(f" to {name}: ")]
        assert len(led) == one["switches"]
        assert led["detail"].str.contains("weights loaded").sum() == one["loads"]
    first = found.iloc[0]
    assert first["detail"].startswith("llama-3.1-8b to qwen3-8b: ")
    assert (first["pool"], first["time_s"]) == ("both", pytest.approx(first["time_s"]))
    assert set(found["replica"]) <= {0, 1}
    assert result.events["time_s"].is_monotonic_increasing
    graded = [one for one in result.summary["provenance"] if one["key"] == "switching.switch_s"]
    assert [one["grade"] for one in graded] == ["estimated"]


def test_a_switch_that_waits_for_an_empty_replica_begins_with_the_request() -> None:
    """By hand: one request for the other model comes to an idle replica: it switches then, and 0.25 s later serves it."""
    pool = {"name": "both", "models": ["llama-3.1-8b", "qwen3-8b"], "switching": {"resident": 2, "switch_s": 0.25}}
    given = scenario(pool)
    given["workload"]["classes"] = [{"name": "late", "model": "qwen3-8b", "arrivals": arrivals(1.0)}]
    result = simulate(given | {"horizon_s": 1.5})
    (event,) = result.events[result.events["kind"] == "switch"].itertuples()
    row = result.requests.iloc[0]
    assert event.time_s == pytest.approx(row["arrival_s"] + row["handling_s"])
    load_s = result.summary["pools"]["both"]["models"]["qwen3-8b"]["load_s"]
    assert row["queued_s"] == pytest.approx(0.25 + load_s)
    assert not [one for one in result.summary["provenance"] if one["key"] == "switching.switch_s"]
