"""What if: numbers of profiles that a scenario replaces."""

from pathlib import Path

import pytest

from infersim import simulate
from infersim.spec.errors import SpecError
from infersim.spec.load import load_scenario
from infersim.spec.resolve import resolve, resolved_yaml

RUN = {
    "name": "w",
    "model": "llama-3.1-8b",
    "horizon_s": 20,
    "workload": {
        "arrivals": {"process": "constant", "rate_rps": 0.5},
        "input_tokens": {"distribution": "constant", "value": 100},
        "output_tokens": {"distribution": "constant", "value": 5},
    },
}


def assuming(**numbers: float) -> dict:
    named = {key.replace("__", "."): value for key, value in numbers.items()}
    return RUN | {"pools": [{"name": "p", "hardware": "h100-sxm", "assume": named}]}


def test_a_front_end_that_takes_a_second_makes_every_first_token_a_second_later() -> None:
    at_once, later = (simulate(assuming(request_overhead_ms=ms)).requests["ttft_s"] for ms in (0.0, 1000.0))
    assert (later - at_once).tolist() == pytest.approx([1.0] * len(at_once), abs=1e-9)


def test_it_stands_among_the_sources_and_in_the_scenario_that_ran() -> None:
    result = simulate(assuming(efficiency__matmul_compute__bf16=0.5))
    (told,) = (one for one in result.summary["provenance"] if one["key"] == "efficiency.matmul_compute.bf16")
    assert (told["value"], told["grade"], told["spread"], told["source"]) == (
        0.5,
        "estimated",
        0.0,
        "assumed by the scenario",
    )
    assert "efficiency.matmul_compute.bf16: 0.5" in resolved_yaml(result.record.scenario)


@pytest.mark.parametrize(
    ("line", "found", "right"),
    [
        ("{link.latancy_us: 1}", "neither h100-sxm nor vllm has a number link.latancy_us", "link.latency_us"),
        ("{efficiency.matmul_memory: 1.5}", "found 1.5", "less than or equal to 1"),
        ("{link.latency_us: -1}", "found -1", "greater than or equal to 0"),
        ("{link.latency_us: fast}", "found the text fast", "number"),
    ],
)
def test_what_cannot_be_assumed(tmp_path: Path, line: str, found: str, right: str) -> None:
    file = tmp_path / "s.yaml"
    head = "name: w\nmodel: llama-3.1-8b\nhorizon_s: 20\nworkload:\n  arrivals: {process: constant, rate_rps: 1}\n"
    lengths = (
        "  input_tokens: {distribution: constant, value: 9}\n  output_tokens: {distribution: constant, value: 9}\n"
    )
    file.write_text(f"{head}{lengths}pools:\n  - name: p\n    hardware: h100-sxm\n    assume: {line}\n")
    with pytest.raises(SpecError) as caught:
        resolve(load_scenario(file))
    message = str(caught.value)
    assert f"{file}:11: pools[0].assume" in message
    assert found in message
    assert right in message
