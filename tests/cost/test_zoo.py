"""Models that take turns on a replica: memory, loading times and the sum of what they use, by hand and end to end."""

import math

import pytest

from infersim import simulate
from infersim.cost.energy import usage
from infersim.cost.memory import DoesNotFit
from infersim.cost.tables import CostTables
from infersim.results.explain import explain
from infersim.results.result import Result
from infersim.results.units import percent
from infersim.simulate import cost_tables
from infersim.spec.load import load_scenario
from infersim.spec.resolve import resolve

MODELS = ["llama-3.1-8b", "qwen3-14b", "qwen3-8b"]


def scenario(models: list[str] = MODELS, rate_rps: float = 1.0, **pool: object) -> dict:
    lengths = {"distribution": "lognormal", "mean": 200, "p99": 600, "max": 1000}
    classes = [{"name": model, "model": model, "share": 1 / len(MODELS)} for model in MODELS]
    workload = {"input_tokens": lengths, "output_tokens": lengths, "classes": classes}
    return {
        "name": "zoo",
        "model": "llama-3.1-8b",
        "horizon_s": 120,
        "workload": workload | {"arrivals": {"process": "poisson", "rate_rps": rate_rps}},
        "router": {"policy": "model_affinity"},
        "pools": [{"name": "shared", "hardware": "h100-sxm", "models": models} | pool],
    }


def tables(models: list[str] = MODELS, **pool: object) -> CostTables:
    return cost_tables(resolve(load_scenario(scenario(models, **pool))), 0)


def alone(model: str, **pool: object) -> CostTables:
    text = scenario(**pool)
    text["pools"][0] |= {"model": model, "models": None}
    text["model"], text["workload"]["classes"] = model, None
    text["workload"] |= {"kind": None}
    return cost_tables(resolve(load_scenario(text)), 0)


@pytest.mark.parametrize("resident", [1, 2])
def test_the_largest_models_have_room_beside_the_kv_cache(resident: int) -> None:
    zoo = tables(switching={"resident": resident})
    sizes = sorted((alone(model).memory.weight_bytes for model in MODELS), reverse=True)
    assert zoo.room_bytes == pytest.approx(sum(sizes[:resident]), abs=3)
    for model in zoo.models:
        own = alone(model.name).memory
        left = own.usable_bytes - own.reserve_bytes - zoo.room_bytes
        assert model.tables.memory.blocks == math.floor(left / own.block_bytes)
        # The rest is what it is alone.
        assert model.tables.linear.seconds.tolist() == alone(model.name).linear.seconds.tolist()


def test_as_many_are_resident_as_the_blocks_leave_room_for() -> None:
    zoo = tables(kv_cache={"blocks": 1000})
    assert [model.tables.memory.blocks for model in zoo.models] == [1000] * 3
    plans = [alone(model, kv_cache={"blocks": 1000}).memory for model in MODELS]
    left = min(plan.usable_bytes - plan.reserve_bytes - 1000 * plan.block_bytes for plan in plans)
    assert zoo.room_bytes == math.floor(left)
    assert sum(sorted(plan.weight_bytes for plan in plans)[1:]) < zoo.room_bytes  # two, of three


def test_too_many_residents_say_what_is_left() -> None:
    with pytest.raises(
        DoesNotFit, match=r"pools\[0\]: weights of resident models .* leave .* for KV, and llama-3.1-8b needs"
    ):
        tables([*MODELS, "phi-4", "mistral-nemo"], switching={"resident": 4})


def test_weights_come_over_pcie_from_the_host_and_else_as_at_a_cold_start() -> None:
    """Llama 3.1 8B is 16.06 GB; PCIe of the H100 profile moves 50 GB/s, its storage 1.1 GB/s with source disk."""
    host, disk = tables(), tables(switching={"weights_from": "storage"}, cold_start={"weights": {"source": "disk"}})
    assert host.models[0].load_s == pytest.approx(8.03e9 * 2 / 50e9, rel=0.01)
    assert disk.models[0].load_s == pytest.approx(8.03e9 * 2 / 1.1e9, rel=0.01)


@pytest.fixture(scope="module")
def run() -> Result:
    return simulate(scenario(switching={"resident": 2}))


def test_what_models_used_adds_up_to_what_the_pool_did(run: Result) -> None:
    (pool,) = run.record.pools
    used = usage(pool.tables, pool.tally)
    assert used.busy_s == pytest.approx(pool.tally.busy_s)
    assert used.switching_s == pytest.approx(pool.tally.switching_s)
    assert sum(one.output_tokens for one in pool.tally.by_model) == pool.tally.output_tokens
    # A switch takes 0.1 s, and what is loaded as long as loading takes.
    for model, own in zip(pool.tables.models, pool.tally.by_model, strict=True):
        assert own.switching_s == pytest.approx(0.1 * own.switches + model.load_s * own.loads)
    assert pool.tally.evictions == pool.tally.loads - 1  # two have room, one was there at first
    busy = run.timeline[["busy_s", "compute_s", "memory_s", "network_s", "launch_s", "slowed_s", "switching_s"]].iloc[
        -1
    ]
    assert busy.iloc[1:].sum() == pytest.approx(busy.iloc[0])


def test_results_by_model(run: Result) -> None:
    by_model = run.summary["slo"]["models"]
    frame = run.requests
    for model in MODELS:
        own = frame[frame["model"] == model]
        assert by_model[model]["requests"] == len(own)
        assert by_model[model]["output_tokens"] == own["output_tokens"].sum()
        assert by_model[model]["ttft_p99_s"] == pytest.approx(own["ttft_s"].quantile(0.99))
    assert sum(model["switches"] for model in run.summary["pools"]["shared"]["models"].values()) > 3


def test_the_explanation_says_what_switching_took(run: Result) -> None:
    told, models = str(explain(run)), run.summary["pools"]["shared"]["models"]
    switches = sum(one["switches"] for one in models.values())
    share = run.record.pools[0].tally.switching_s / run.record.pools[0].tally.busy_s
    assert "Models that take turns in shared" in told
    assert f"Replicas switched {switches:,} times" in told
    assert percent(share) in told


def test_a_model_alone_in_its_pool_costs_what_it_costs_as_the_scenarios_model() -> None:
    """The same requests, once as a class of the model, once with it as the scenario's."""
    one = scenario()
    one["workload"]["classes"] = [{"name": "only", "model": "qwen3-8b", "share": 1.0}]
    one["pools"] = [{"name": "shared", "hardware": "h100-sxm", "model": "qwen3-8b"}]
    other = scenario() | {"model": "qwen3-8b"}
    other["workload"]["classes"] = [{"name": "only", "share": 1.0}]
    other["pools"] = [{"name": "shared", "hardware": "h100-sxm"}]
    here, there = simulate(one).requests, simulate(other).requests
    assert here["finish_s"].tolist() == there["finish_s"].tolist()
