"""The commands that show the catalogue, against numbers worked out by hand from datasheets and architectures."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infersim.cli.facts import number
from tests.cli.conftest import Command

SEVEN_CHIPS = {"h100-sxm", "l40s", "mi300x", "tpu-v5e", "inferentia2", "groq-lpu", "cerebras-wse3"}
SEVEN_ENGINES = {"vllm", "tensorrt-llm", "sglang", "jetstream", "neuron", "groq", "cerebras"}
MODELS = {"llama-2-7b", "llama-2-70b", "llama-3.1-8b", "llama-3.1-70b", "llama-3.1-405b", "mixtral-8x7b", "qwen3-14b"}
SCENARIOS = {"chat_burst", "azure_conversation", "azure_code"}


def graded(value: object) -> Iterator[dict]:
    """Every graded number anywhere in a profile."""
    if isinstance(value, dict) and "grade" in value:
        yield value
    elif isinstance(value, dict | list):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from graded(entry)


@pytest.mark.parametrize(("command", "least", "last"), [
    (("hardware", "list"), SEVEN_CHIPS, "price"), (("model", "list"), MODELS, "dtype"),
    (("engine", "list"), SEVEN_ENGINES, "block"), (("scenarios",), SCENARIOS, "question"),
])  # fmt: skip
def test_lists(command: tuple[str, ...], least: set[str], last: str, infersim: Command) -> None:
    """Every name, every column, and no line too long for a wide terminal."""
    rows = json.loads(infersim(*command, "--json").out)
    assert least <= {row["name"] for row in rows}
    table = infersim(*command)
    assert table.code == 0
    assert all(row["name"] in table.out for row in rows)
    assert max(map(len, table.out.splitlines())) <= 120
    assert table.out.split("──")[0].split()[-1] == last
    assert "…" not in table.out


def test_ridge_points_of_the_h100(infersim: Command) -> None:
    """989.4 TFLOP/s dense over 3.35 TB/s is 295.3 FLOP/B; in fp8, with twice the peak, 590.7."""
    points = json.loads(infersim("hardware", "show", "h100-sxm", "--json").out)["ridge_points"]
    assert points["bf16"]["peak"] == pytest.approx(295.3, abs=0.1)
    assert points["fp8"]["peak"] == pytest.approx(590.7, abs=0.1)
    assert "295.3" in infersim("hardware", "show", "h100-sxm").out


def test_the_beginning_of_a_name_is_enough_to_show(infersim: Command) -> None:
    assert json.loads(infersim("hardware", "show", "h100", "--json").out)["name"] == "h100-sxm"


@pytest.mark.parametrize("chip", sorted(SEVEN_CHIPS))
def test_a_chip_shows_every_graded_number_with_its_source(chip: str, infersim: Command) -> None:
    facts = json.loads(infersim("hardware", "show", chip, "--json").out)
    shown = infersim("hardware", "show", chip).out
    quantities = list(graded(facts))
    assert len(quantities) > 10
    for quantity in quantities:
        cells = number(quantity["value"]), quantity["grade"], quantity["source"].split()[0]
        assert re.search(" .*".join(map(re.escape, cells)), shown), quantity


def test_what_follows_from_an_architecture(infersim: Command) -> None:
    """Llama 3.1 8B: 8.03e9 parameters (model card); 2 x 32 layers x 8 heads x 128 x 2 B = 131,072 B of KV a token."""
    derived = json.loads(infersim("model", "show", "llama-3.1-8b", "--json").out)["derived"]
    assert derived["parameters_b"] == pytest.approx(8.03, abs=0.005)
    assert derived["kv_bytes_per_token_16_bit"] == 131072
    shown = infersim("model", "show", "llama-3.1-8b").out
    assert "8.03" in shown
    assert "131,072" in shown


@pytest.mark.parametrize("engine", sorted(SEVEN_ENGINES))
def test_an_engine_shows_its_profile(engine: str, infersim: Command) -> None:
    profile = json.loads(infersim("engine", "show", engine, "--json").out)
    shown = infersim("engine", "show", engine)
    assert shown.code == 0
    for key in ("step_overhead_us", "memory_fraction", "block_size", "max_num_seqs"):
        assert key in shown.out
    assert profile["step_overhead_us"]["grade"] in shown.out


@pytest.mark.parametrize("kind", ["scenario", "hardware", "model", "engine"])
def test_schemas(kind: str, infersim: Command) -> None:
    schema = json.loads(infersim("schema", kind).out)
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert all({"description", "$ref"} & entry.keys() for entry in schema["properties"].values()), (
        "every key is documented"
    )


def test_text_of_a_profile_is_no_markup(infersim: Command, tmp_path: Path) -> None:
    """Square brackets and colons in a source are text, not styles and emoji."""
    profile = json.loads(infersim("engine", "show", "vllm", "--json").out)
    profile["step_overhead_us"]["source"] = "[red]mine[/red] :smile:"
    (tmp_path / "mine.json").write_text(json.dumps(profile))
    done = infersim("engine", "show", "./mine.json")
    assert done.code == 0, done.err
    assert "[red]mine[/red] :smile:" in done.out


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = f"{sys.executable} -m infersim schema scenario | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stdout == "{\n"
    assert done.stderr == ""


def test_chips_side_by_side(infersim: Command, tmp_path: Path) -> None:
    rows = json.loads(infersim("hardware", "compare", "h100", "l40s", "--json").out)
    assert {"h100-sxm", "l40s"} <= rows[0].keys()
    shown = infersim("hardware", "compare", "h100", "l40s", "--plot", str(tmp_path / "plot.png"))
    assert shown.code == 0, shown.err
    assert all(row["quantity"] in shown.out for row in rows)
    assert (tmp_path / "plot.png").is_file()
    alone = infersim("hardware", "compare", "h100")
    assert alone.code == 2
    assert "two chips or more" in alone.err
