"""What is shipped: found by name from anywhere, consistent in itself, and described by a schema."""

from pathlib import Path

import pytest

from infersim.spec import catalogue
from infersim.spec.errors import SpecError
from infersim.spec.load import load_scenario
from infersim.spec.resolve import resolve
from infersim.spec.schema import schema

ROOT = Path(__file__).parents[2]


def test_the_seven_chips_and_their_engines_are_shipped() -> None:
    chips = {"h100-sxm", "l40s", "mi300x", "tpu-v5e", "inferentia2", "groq-lpu", "cerebras-wse3"}
    engines = {"vllm", "tensorrt-llm", "sglang", "jetstream", "neuron", "groq", "cerebras"}
    models = {
        "llama-2-7b",
        "llama-2-70b",
        "llama-3.1-8b",
        "llama-3.1-70b",
        "llama-3.1-405b",
        "mixtral-8x7b",
        "qwen3-14b",
    }
    assert chips <= set(catalogue.hardware_names())
    assert engines <= set(catalogue.engine_names())
    assert models <= set(catalogue.model_names())


def test_files_are_called_what_they_hold() -> None:
    assert all(catalogue.hardware(name).name == name for name in catalogue.hardware_names())
    assert all(catalogue.engine(name).name == name for name in catalogue.engine_names())
    assert all(catalogue.model(name).name == name for name in catalogue.model_names())


def test_case_and_underscores_do_not_matter_and_nothing_else_is_guessed() -> None:
    assert catalogue.hardware("H100_SXM") is catalogue.hardware("h100-sxm")
    with pytest.raises(SpecError, match="unknown hardware h100; did you mean h100-sxm"):
        catalogue.hardware("h100")


def test_showing_takes_the_beginning_of_a_name_if_it_is_the_only_one() -> None:
    assert catalogue.hardware("h100", prefix=True).name == "h100-sxm"
    assert catalogue.model("mixtral-8x7", prefix=True).name == "mixtral-8x7b"
    with pytest.raises(SpecError, match=r"llama-2-7b or llama-2-70b|llama-2-70b or llama-2-7b"):
        catalogue.model("llama-2-7", prefix=True)
    with pytest.raises(SpecError, match="unknown hardware ;"):
        catalogue.hardware("", prefix=True)


def test_profiles_by_path(folder: Path) -> None:
    assert catalogue.hardware(folder / "chip.yaml").name == "testchip"
    assert catalogue.engine("engine.yaml", folder).name == "testengine"
    with pytest.raises(SpecError, match="there is no file"):
        catalogue.engine("motor.yaml", folder)


@pytest.mark.parametrize("name", catalogue.scenario_names())
def test_shipped_scenarios_resolve_and_open_with_their_question(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # by name, from anywhere
    scenario = load_scenario(name)
    resolve(scenario)
    first = catalogue.scenario_path(name).read_text().split("\nname:")[0].splitlines()
    assert all(line.startswith("# ") for line in first)
    assert any("?" in line for line in first)
    assert "?" in scenario.description
    assert scenario.name == name.rpartition("/")[2].replace("_", "-")


def test_the_seven_chips_of_the_mission_have_a_scenario() -> None:
    served = {pool.hardware for name in catalogue.scenario_names() for pool in load_scenario(name).pools}
    seven = {"h100-sxm", "l40s", "mi300x", "tpu-v5e", "inferentia2", "groq-lpu", "cerebras-wse3"}
    assert seven <= served <= set(catalogue.hardware_names())


def test_a_file_comes_before_a_shipped_scenario_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert catalogue.scenario_path("chat_burst") == catalogue.scenario_path("chat-burst")
    (tmp_path / "chat_burst").write_text("")
    assert catalogue.scenario_path("chat_burst") == Path("chat_burst")
    with pytest.raises(SpecError, match="goes by its name alone: chat_burst"):
        catalogue.scenario_path("chat_burst.yaml")


@pytest.mark.parametrize("kind", ["scenario", "hardware", "model", "engine"])
def test_schemas_refuse_unknown_keys_and_document_every_known_one(kind: str) -> None:
    whole = schema(kind)
    for part in [whole, *whole.get("$defs", {}).values()]:
        if part.get("type") == "object":
            own = part["title"] in ("Own", "UserProcess")  # what a user writes has parameters of its own
            assert part["additionalProperties"] is own
            assert all("description" in key or "$ref" in key for key in part["properties"].values())


def test_schemas_of_nothing_else() -> None:
    with pytest.raises(SpecError, match="unknown kind of file scenarios; did you mean scenario"):
        schema("scenarios")
