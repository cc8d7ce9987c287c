"""Defaults filled in, what fits together, and the resolved YAML, which says it all again."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infersim.spec import catalogue
from infersim.spec.document import parse
from infersim.spec.errors import SpecError
from infersim.spec.load import load_scenario
from infersim.spec.placement import sram_chips
from infersim.spec.resolve import resolve, resolved_yaml, sample_interval_s
from tests.spec.conftest import CHIP, SCENARIO

Write = Callable[[str], Path]
BARE = """\
name: bare
model: llama-2-70b
horizon_s: 100
workload:
  arrivals: {process: poisson, rate_rps: 1}
  input_tokens: {distribution: constant, value: 100}
  output_tokens: {distribution: constant, value: 10}
pools:
  - {name: a, hardware: chip.yaml, engine: engine.yaml, parallelism: {tensor: 4, pipeline: 2}}
"""


def test_defaults_come_from_model_engine_and_chip(folder: Path, write: Write) -> None:
    (folder / "chip.yaml").write_text(CHIP.replace("computes_as: {int4: bf16}", "computes_as: {fp16: bf16}"))
    resolved = resolve(load_scenario(write(BARE)))
    (pool,) = resolved.pools
    assert (pool.hardware.name, pool.engine.name, resolved.model.name) == ("testchip", "testengine", "llama-2-70b")
    assert (pool.precision.weights, pool.precision.kv_cache) == ("fp16", "fp16")  # Llama 2 was published in fp16
    assert (pool.max_num_seqs, pool.max_num_batched_tokens, pool.block_size, pool.chips) == (256, 8192, 16, 8)
    assert pool.pool.price.provider == "aws"  # the first of the tier
    assert resolved.scenario.pools[0] == pool.pool
    assert resolved.scenario.sample_interval_s == 1.0
    assert resolved.directory == folder


@pytest.mark.parametrize(
    ("more", "policy"),
    [
        ("engine: sglang", "prefill_first"),
        ("engine: vllm", "chunked_prefill"),
        ("engine: sglang, batching: {policy: static}", "static"),
        ("engine: sglang, kv_cache: {preemption: swap}", "chunked_prefill"),
    ],
)
def test_an_engine_forms_steps_in_its_own_way_unless_told_otherwise(write: Write, more: str, policy: str) -> None:
    text = BARE.replace("engine: engine.yaml", more).replace("hardware: chip.yaml", "hardware: h100-sxm")
    (pool,) = resolve(load_scenario(write(text))).pools
    assert pool.pool.batching.policy == policy


@pytest.mark.parametrize(
    ("chip", "limits"),
    [
        ("h100-sxm", (1024, 8192)), ("h200-sxm", (1024, 8192)), ("mi300x", (1024, 8192)),
        ("a100-sxm-80gb", (256, 2048)), ("l40s", (256, 2048)), ("a10g", (256, 2048)),
    ],
)  # fmt: skip
def test_vllm_allows_more_on_chips_of_70_gib_that_are_no_a100(chip: str, limits: tuple[int, int], write: Write) -> None:
    """`EngineArgs._set_default_args` of vLLM 0.9 to 0.15 for its API server."""
    text = BARE.replace("chip.yaml", chip).replace("engine.yaml", "vllm").replace("llama-2-70b", "llama-3.1-8b")
    pool = resolve(load_scenario(write(text))).pools[0]
    assert (pool.max_num_seqs, pool.max_num_batched_tokens) == limits
    told = text.replace("engine: vllm,", "engine: vllm, batching: {max_num_seqs: 100},")
    assert resolve(load_scenario(write(told))).pools[0].max_num_seqs == 100


def test_a_small_step_holds_fewer_sequences_unless_they_are_stated(write: Write) -> None:
    text = BARE.replace("chip.yaml", "h100-sxm").replace("engine.yaml", "vllm").replace("llama-2-70b", "llama-3.1-8b")
    small = text.replace("engine: vllm,", "engine: vllm, batching: {max_num_batched_tokens: 512},")
    assert resolve(load_scenario(write(small))).pools[0].max_num_seqs == 512
    drafts = "speculative: {method: ngram, tokens: 3, acceptance: 0.5}, parallelism: {tensor: 4}}"
    drafting = small.replace("parallelism: {tensor: 4, pipeline: 2}}", drafts)
    assert resolve(load_scenario(write(drafting))).pools[0].max_num_seqs == 128  # a token and three drafts of each
    with pytest.raises(SpecError, match="max_num_seqs 600 exceeds max_num_batched_tokens 512"):
        resolve(load_scenario(write(small.replace("{max_num", "{max_num_seqs: 600, max_num"))))


@pytest.mark.parametrize(
    ("more", "watermark"),
    [
        ("engine: vllm-v0", 0.01),  # one block in a hundred stays free
        ("engine: vllm", None),
        ("engine: vllm-v0, kv_cache: {watermark: 0.0}", 0.0),
    ],
)
def test_a_watermark_is_the_engines_unless_told_otherwise(write: Write, more: str, watermark: float | None) -> None:
    text = BARE.replace("engine: engine.yaml", more).replace("hardware: chip.yaml", "hardware: h100-sxm")
    (pool,) = resolve(load_scenario(write(text))).pools
    assert pool.pool.kv_cache.watermark == watermark


def test_what_is_given_wins(write: Write) -> None:
    given_ = (
        "parallelism: {tensor: 2}, precision: {weights: int4, kv_cache: fp8}, kv_cache: {block_size: 32, blocks: 10}, "
        "batching: {max_num_seqs: 8, max_num_batched_tokens: 512}, price: {usd_per_chip_hour: 2.5}"
    )
    text = BARE.replace("parallelism: {tensor: 4, pipeline: 2}", given_)
    (pool,) = resolve(load_scenario(write(text))).pools
    assert (pool.precision.weights, pool.precision.kv_cache) == ("int4", "fp8")
    assert (pool.max_num_seqs, pool.max_num_batched_tokens, pool.block_size, pool.chips) == (8, 512, 32, 2)
    assert pool.pool.kv_cache.blocks == 10
    assert (pool.pool.price.usd_per_chip_hour, pool.pool.price.provider) == (2.5, None)


def test_a_chip_without_the_models_own_dtype_is_an_error(write: Write) -> None:
    with pytest.raises(SpecError, match=r"precision.weights: testchip cannot use fp16 \(the model's own dtype\)"):
        load_scenario(write(BARE))


@pytest.mark.parametrize(
    ("spacing", "span", "expected"), [("", 4000, 10), ("", 40, 1), ("sample_interval_s: 7\n", 40, 7)]
)
def test_spacing_of_the_timeline(spacing: str, span: float, expected: float, write: Write) -> None:
    assert sample_interval_s(load_scenario(write(SCENARIO + spacing)), span) == expected


@pytest.mark.parametrize("name", catalogue.scenario_names())
def test_resolved_yaml_says_the_same_again(name: str, tmp_path: Path) -> None:
    resolved = resolve(load_scenario(name)).scenario
    path = tmp_path / "scenario.yaml"
    path.write_text(resolved_yaml(resolved))
    again = load_scenario(path)
    assert again == resolved
    assert resolve(again).scenario == resolved
    assert resolved_yaml(resolve(again).scenario) == resolved_yaml(resolved)


def test_resolved_yaml_names_version_and_seed(write: Write) -> None:
    from infersim import __version__

    text = resolved_yaml(resolve(load_scenario(write(SCENARIO), ["seed=77"])).scenario)
    assert f"infersim {__version__}" in text.splitlines()[0]
    assert "\nseed: 77\n" in text


@given(st.text(), st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True), st.floats(1e-300, 1e9))
def test_any_text_and_number_survives(description: str, name: str, horizon: float) -> None:
    mapping, _ = parse(BARE, "file")
    mapping["pools"][0] |= {"hardware": "h100-sxm", "engine": "vllm", "precision": {"weights": "fp8"}}
    scenario = load_scenario({**mapping, "description": description, "name": name, "horizon_s": horizon})
    data, _ = parse(resolved_yaml(scenario), "again")
    assert (data["description"], data["name"], data["horizon_s"]) == (description, name, horizon)


def test_scenarios_compare_by_what_they_ask_and_travel_between_processes(write: Write) -> None:
    scenario = load_scenario(write(SCENARIO))
    elsewhere = load_scenario(write("# moved\n" + SCENARIO))
    assert scenario == elsewhere
    assert scenario != load_scenario(write(SCENARIO), ["seed=2"])
    copy = pickle.loads(pickle.dumps(scenario))
    assert resolve(copy) == resolve(scenario)


def test_errors_travel_between_processes(write: Write) -> None:
    with pytest.raises(SpecError) as caught:
        load_scenario(write(SCENARIO), ["seed=-1"])
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    with pytest.raises(SpecError) as unknown:
        catalogue.hardware("h100")
    assert str(pickle.loads(pickle.dumps(unknown.value))) == str(unknown.value)


def test_later_checks_can_point_to_the_line(write: Write) -> None:
    path = write(SCENARIO)
    resolved = resolve(load_scenario(path, ["pools.0.kv_cache.blocks=5"]))
    line = SCENARIO[: SCENARIO.index("weights: fp8")].count("\n") + 1
    error = resolved.error(("pools", 0, "precision", "weights"), "does not fit")
    assert str(error) == f"{path}:{line}: pools[0].precision.weights: does not fit"
    error = resolved.error(("pools", 0, "kv_cache", "blocks"), "do not fit")
    assert str(error) == "--set pools.0.kv_cache.blocks=5: pools[0].kv_cache.blocks: do not fit"


def test_plugins_lie_beside_the_scenario_and_bring_policies(folder: Path, write: Write) -> None:
    text = SCENARIO.replace("least_outstanding", "my_router") + "plugins: [mine.py]\n"
    path = write(text)
    scenario = load_scenario(path)  # names are accepted; the run will know
    with pytest.raises(SpecError) as caught:
        resolve(scenario)
    line = text[: text.index("plugins:")].count("\n") + 1
    assert str(caught.value).startswith(
        f"{path}:{line}: plugins[0]: there is no file {folder / 'mine.py'}; plugins lie"
    )
    (folder / "mine.py").write_text("")
    assert resolve(scenario).plugin_files == (folder / "mine.py",)


def test_paths_on_the_command_line_start_where_one_stands(folder: Path, write: Write) -> None:
    path = write(SCENARIO)
    key = ("workload", "arrivals", "file")
    trace = "workload={arrivals: {process: trace, file: a.csv}}"
    assert resolve(load_scenario(path, [trace])).directory_of(key) == Path()
    text = SCENARIO[: SCENARIO.index("workload:")] + "workload: {arrivals: {process: trace, file: a.csv}}\n"
    text += SCENARIO[SCENARIO.index("router:") :]
    assert resolve(load_scenario(write(text))).directory_of(key) == folder


def test_sram_pipelines_take_chips(write: Write) -> None:
    text = BARE.replace("hardware: chip.yaml, engine: engine.yaml", "hardware: groq-lpu, engine: groq")
    with pytest.raises(SpecError) as caught:
        load_scenario(write(text))
    assert "pools[0].parallelism.tensor: groq-lpu is an SRAM pipeline" in str(caught.value)
    (pool,) = resolve(load_scenario(write(text.replace("{tensor: 4, pipeline: 2}", "{chips: 576}")))).pools
    assert pool.chips == 576


def test_sram_machines_follow_from_weights_and_a_working_set_of_kv() -> None:
    """Llama-3.1-70B in 16 bit: 141.1 GB of weights and 65,536 x 327,680 B of KV on wafers of 0.95 x 44 GB are four."""
    model, chip, engine = catalogue.model("llama-3.1-70b"), catalogue.hardware("cerebras-wse3"), "cerebras"
    assert sram_chips(model, chip, catalogue.engine(engine), "bf16", "bf16") == 4
    assert -(-(141.1e9 + 65_536 * 327_680) // (0.95 * 44e9)) == 4
    mapping, _ = parse(BARE, "file")
    mapping |= {"model": "llama-3.1-70b"}
    mapping["pools"][0] |= {"hardware": "cerebras-wse3", "engine": engine, "parallelism": {}}
    mapping["pools"][0]["precision"] = {"weights": "bf16", "kv_cache": "bf16"}
    (pool,) = resolve(load_scenario(mapping)).pools
    assert (pool.chips, pool.pool.parallelism.chips) == (4, 4)


def test_python_values_are_taken_as_they_come() -> None:
    import numpy as np

    mapping, _ = parse(BARE, "file")
    mapping["pools"][0] |= {"hardware": "h100-sxm", "engine": "vllm", "precision": {"weights": "fp8"}}
    mapping |= {"seed": np.int64(3), "horizon_s": np.float64(50), "pools": tuple(mapping["pools"])}
    scenario = load_scenario(mapping)
    assert (scenario.seed, scenario.horizon_s) == (3, 50.0)
