"""Several models: which pools serve what classes ask for, and what goes with one model only."""

from pathlib import Path

import pytest
import yaml

from infersim.spec.errors import SpecError
from infersim.spec.load import load_scenario
from infersim.spec.resolve import resolve

LENGTHS = {"distribution": "constant", "value": 100}


def scenario(pools: list[dict], *models: str | None, **more: object) -> dict:
    """A class for each of these models, and pools called a, b ..."""
    classes = [
        {"name": f"class{k}", "share": 1 / len(models)} | ({"model": m} if m else {}) for k, m in enumerate(models)
    ]
    workload = {
        "arrivals": {"process": "poisson", "rate_rps": 1},
        "input_tokens": LENGTHS,
        "output_tokens": LENGTHS,
        "classes": classes,
    }
    own = [{"name": "abc"[k], "hardware": "h100-sxm"} | pool for k, pool in enumerate(pools)]
    return {"name": "zoo", "model": "llama-3.1-8b", "horizon_s": 10, "workload": workload, "pools": own} | more


def problem(text: dict | str) -> str:
    with pytest.raises(SpecError) as caught:
        resolve(load_scenario(text))
    return str(caught.value)


SEVERAL = {"models": ["llama-3.1-8b", "qwen3-8b"]}
LINK = {"gb_s": 50}
CASES = {
    "a model that no pool serves": (
        scenario([{}, {"model": "qwen3-14b"}], "qwen3-8b"),
        "workload.classes[0].model", "no pool serves qwen3-8b", "did you mean qwen3-14b?"),
    "a model that nobody knows": (
        scenario([{}], "qwen3-8bb"), "workload.classes[0].model", "unknown model qwen3-8bb", "did you mean qwen3-8b"),
    "a pool's model that nobody knows": (
        scenario([{"models": ["llama-3.1-8b", "qwen3-8bb"]}], None), "pools[0].models[1]", "unknown model", "qwen3-8b"),
    "twice the same": (
        scenario([{"model": "qwen3-8b", "models": ["llama-3.1-8b", "Qwen3_8B"]}], None),
        "pools[0].models[1]", "is there already", "remove it"),
    "switching with one": (
        scenario([{"switching": {"resident": 2}}], None),
        "pools[0].switching", "is for pools with several models", "name them in models"),
    "drafts": (
        scenario([SEVERAL | {"speculative": {"method": "ngram", "tokens": 2, "acceptance": 0.5}}], None),
        "pools[0].speculative", "drafts are of one model", "give each model a pool"),
    "adapters": (
        scenario([SEVERAL | {"lora": {"slots": 2}}], None), "pools[0].lora", "adapters are of one model", "remove it"),
    "fair share": (
        scenario([SEVERAL | {"queue": "fair_share"}], None),
        "pools[0].queue.order", "no order among requests that wait for a model", "use another"),
    "measured": (
        scenario([SEVERAL | {"cost": {"source": "measured"}}], None),
        "pools[0].cost.source", "measurements are of one model", "give each model a pool"),
    "an oracle": (
        scenario([SEVERAL | {"autoscaler": {"policy": "oracle"}}], None),
        "pools[0].autoscaler.policy", "knows the work of one model", "use another policy"),
    "roles": (
        scenario([{"role": "prefill", "kv_transfer": LINK}, {"role": "decode"}, {"model": "qwen3-8b"}], None),
        "pools[0].role", "modelled for one model", "use role both"),
    "SRAM": (
        scenario([SEVERAL | {"hardware": "groq-lpu", "engine": "groq"}], None),
        "pools[0].hardware", "keeps the weights of one model in SRAM", "give each model a pool"),
    "images among others": (
        scenario([{"models": ["llama-3.1-8b", "sdxl"]}], None), "pools[0].models", "sdxl makes images", "give it a pool"),
    "an image model asked for text": (
        scenario([{"model": "sdxl", "engine": "diffusers"}, {}], "sdxl", None),
        "workload.classes[0].kind", "found completion, and sdxl makes images", "kind: image"),
    "prompts that nobody takes": (
        scenario([{"takes": {"max_input_tokens": 50}}, {"model": "qwen3-8b"}], None, "qwen3-8b"),
        "pools", "no pool takes prompts of class class0 of 51 tokens", "widen takes"),
    "nobody resident": (
        scenario([SEVERAL | {"switching": {"resident": 0}}], None), "pools[0].switching.resident", "found 0", "at least 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_error_says_where_what_and_what_would_be_right(case: str) -> None:
    text, where, what, right = CASES[case]
    found = problem(text)
    assert f"{where}: " in found
    assert what in found
    assert right in found


def test_the_error_names_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "zoo.yaml"
    text = yaml.safe_dump(scenario([{}, {"model": "qwen3-14b"}], "qwen3-8b"), sort_keys=False)
    file.write_text(text)
    line = 1 + next(k for k, row in enumerate(text.splitlines()) if row.strip() == "model: qwen3-8b")
    assert f"{file}:{line}: workload.classes[0].model: no pool serves qwen3-8b; did you mean" in problem(str(file))


def test_a_class_without_a_model_asks_for_the_scenarios_and_a_pool_without_one_serves_it() -> None:
    pools = [{}, {"models": ["qwen3-14b", "qwen3-8b"]}]
    resolved = resolve(load_scenario(scenario(pools, None, "QWEN3_8b", "qwen3-14b")))
    assert [model.name for model in resolved.models] == ["llama-3.1-8b", "qwen3-14b", "qwen3-8b"]
    assert [pool.models for pool in resolved.pools] == [(0,), (1, 2)]
    assert resolved.asked == (0, 2, 1)


def test_a_cascade_asks_the_models_of_its_pools() -> None:
    steps = [{"pool": "a", "answers": 0.7}, {"pool": "b"}]
    text = scenario([{}, {"model": "qwen3-14b"}], None)
    text["workload"]["classes"][0]["cascade"] = steps
    assert resolve(load_scenario(text)).asked == (0, 1)
    text["workload"]["classes"][0]["model"] = "qwen3-14b"
    assert "a cascade asks the models of its pools; remove model" in problem(text)
    text = scenario([{}, {"models": ["qwen3-14b", "qwen3-8b"]}], None)
    text["workload"]["classes"][0]["cascade"] = steps
    assert "a cascade asks b, and a step of it is one model" in problem(text)


def test_each_model_has_its_own_dtype_unless_the_pool_says_it() -> None:
    assert resolve(load_scenario(scenario([SEVERAL], None))).pools[0].pool.precision.weights is None
    given = SEVERAL | {"precision": {"weights": "fp8"}}
    assert resolve(load_scenario(scenario([given], None))).pools[0].pool.precision.weights == "fp8"
