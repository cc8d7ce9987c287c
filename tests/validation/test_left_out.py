"""Cross-validation: what a group measured never reaches its own prediction, and the others' errors are made good."""

import math
from dataclasses import replace

import numpy as np
import pytest

from infersim.spec import catalogue
from infersim.studies.cases import Case, Load, Row
from infersim.studies.knobs import CHIP_KNOBS, ENGINE_KNOBS, guess, knobs_of, plausible, quantities, turned
from infersim.studies.left_out import Prior, Slopes, errors, fit, left_out, prior, with_factors
from infersim.studies.measurements import read_measurements
from infersim.studies.outcomes import predict, predicted
from infersim.studies.resimulation import resimulate
from infersim.studies.validation import OWN

CHIP, ENGINE = catalogue.hardware("h100-sxm"), catalogue.engine("vllm")
_fitted = CHIP.efficiency.matmul_memory.model_copy(update={"grade": "calibrated"})
FITTED = CHIP.model_copy(update={"efficiency": CHIP.efficiency.model_copy(update={"matmul_memory": _fitted})})
"""The same chip, if its memory bandwidth had been fitted to runs."""


def runs(slower: float) -> list[Case]:
    """What one user would measure of four models if memory were so much slower than the profile says."""
    found = []
    memory = CHIP.efficiency.matmul_memory.value
    chip, _ = turned(CHIP, ENGINE, {"efficiency.matmul_memory": memory / slower})
    for name in ("llama-3.1-8b", "llama-2-13b", "qwen2.5-7b", "phi-4"):
        load = Load(kind="closed_loop", prompt=200, output=32, users=1, requests=2)
        case = Case(
            name=name, model=catalogue.model(name), hardware=chip, engine=ENGINE, tensor=1, pipeline=1, expert=1,
            attention_data=1, chips=None, replicas=1, weights="bf16", kv_cache="bf16", load=load, rows=(), group=name,
        )  # fmt: skip
        outcome = resimulate(case)
        rows = (Row({}, "tpot_ms", "mean", predicted(case, outcome, "tpot_ms", "mean")),)
        found.append(replace(case, hardware=FITTED, rows=rows))
    return found


def error(case: Case) -> float:
    return abs(predict(case, resimulate(case), case.rows[0]) / case.rows[0].actual - 1.0)


def test_what_is_left_out_is_predicted_by_the_others_and_does_not_count_itself() -> None:
    cases = runs(slower=1.25)
    factors = left_out(cases)
    for case in cases:
        assert error(with_factors(case, factors)) < 0.5 * error(case)
    first = replace(cases[0], rows=tuple(replace(row, actual=9.0 * row.actual) for row in cases[0].rows))
    again = left_out([first, *cases[1:]])
    assert again[first.group] == pytest.approx(factors[first.group])  # its own measurement says nothing to it
    assert again[cases[1].group] != pytest.approx(factors[cases[1].group])  # but to the others


def test_a_fit_of_two_knobs_by_hand() -> None:
    """Errors of 0.2 that fall with one knob, free; the other is known to one part in a million and stays."""
    priors = {
        ("chip", "a"): Prior(0.0, 1e3, -9, 9),
        ("chip", "b"): Prior(0.1, 1e-6, -9, 9),
        ("chip", "c"): Prior(0.3, 1, -9, 9),
    }
    one = Slopes(
        "g", np.array([0.2, 0.2]), {("chip", "a"): np.array([-1.0, -1.0]), ("chip", "b"): np.array([1.0, 1.0])}
    )
    found = fit([one], priors)
    assert math.log(found["chip", "a"]) == pytest.approx(0.3, abs=1e-4)
    assert math.log(found["chip", "b"]) == pytest.approx(0.1, abs=1e-4)
    assert math.log(found["chip", "c"]) == pytest.approx(0.3)  # nobody tells of it
    narrow = priors | {("chip", "a"): Prior(0.0, 1e3, -0.1, 0.1)}
    assert math.log(fit([one], narrow)["chip", "a"]) == pytest.approx(0.1)


def test_a_time_may_be_many_times_what_was_expected() -> None:
    """Errors say that a time is ten times the expected one, which its logarithm allows at two sigmas; and a share of a peak e times."""
    priors = {("engine", "step_us"): Prior(0.0, math.log(10.0) / 2.0, -9, 9), ("chip", "a"): Prior(0.0, 0.5, -9, 9)}
    step = Slopes(
        "g", np.full(50, -9.0), {("engine", "step_us"): np.ones(50)}
    )  # 1 more of the coordinate for each 100 %
    share = Slopes("h", np.full(50, -1.0), {("chip", "a"): np.ones(50)})
    found = fit([step, share], priors)
    assert found["engine", "step_us"] == pytest.approx(10.0, rel=0.01)
    assert found["chip", "a"] == pytest.approx(math.e, rel=0.01)


def test_of_what_nobody_measured_the_usual_is_expected() -> None:
    """Chips that stream weights are expected to do what those do whose operators were measured; SRAM machines the middle of the range."""
    measured = [catalogue.hardware(name) for name in catalogue.hardware_names()]
    for name in ("efficiency.matmul_memory", "efficiency.attention_memory", "link.latency_us", "link.efficiency"):
        shares = [
            numbers[0].value
            for chip in measured
            if chip.execution == "roofline"
            and (numbers := quantities(chip, ENGINE, name))
            and numbers[0].grade == "measured"
        ]
        assert guess(CHIP, name) == pytest.approx(float(np.median(shares)), rel=0.05)
    assert guess(catalogue.hardware("groq-lpu"), "efficiency.matmul_memory") == pytest.approx(math.sqrt(0.02 * 0.95))


def test_what_was_fitted_to_runs_is_forgotten_and_what_was_measured_is_not() -> None:
    measured, fitted = CHIP.efficiency.matmul_memory, ENGINE.launch_us
    assert measured.grade == "measured"
    assert prior(CHIP, "efficiency.matmul_memory", measured).centre == 0.0
    assert fitted is not None
    low, high = ENGINE_KNOBS["launch_us"]
    assert fitted.value * math.exp(prior(CHIP, "launch_us", fitted).centre) == pytest.approx(math.sqrt(low * high))


@pytest.mark.parametrize("name", catalogue.hardware_names())
def test_the_knobs_of_every_chip_are_plausible(name: str) -> None:
    chip = catalogue.hardware(name)
    for knob, quantity in knobs_of(chip, ENGINE, linked=chip.link.topology != "none").items():
        if knob in CHIP_KNOBS:
            low, high = plausible(chip, knob)
            assert low <= quantity.value <= high, knob


@pytest.mark.parametrize("name", catalogue.engine_names())
def test_the_knobs_of_every_engine_are_plausible(name: str) -> None:
    for knob, quantity in knobs_of(CHIP, catalogue.engine(name), linked=True).items():
        if knob in ENGINE_KNOBS:
            low, high = ENGINE_KNOBS[knob]
            assert low <= quantity.value <= high, knob


def test_first_tokens_of_servers_are_not_fitted() -> None:
    """A queue at saturation says more of its load than of the chip: throughput and TPOT of the same run count, its TTFT does not."""
    rows = tuple(Row({}, metric, "mean", 1.0) for metric in ("output_tok_s", "tpot_ms", "ttft_ms"))
    served = replace(runs(1.0)[0], load=Load(kind="server", prompt=64, output=8, rate_rps=2.0, requests=20), rows=rows)
    assert len(errors(served)) == 2
    assert len(errors(replace(served, load=replace(served.load, kind="closed_loop", users=2)))) == 3


def test_a_row_near_saturation_counts_as_much_as_what_it_amplifies() -> None:
    """Its queue grows ten per cent where a step grows one: an error of 2 there says what one of 0.2 says of a plain row."""
    priors = {("chip", "a"): Prior(0.0, 0.3, -9, 9)}
    plain = Slopes("g", np.array([0.2]), {("chip", "a"): np.array([-1.0])})
    queue = Slopes("g", np.array([2.0]), {("chip", "a"): np.array([-10.0])})
    assert fit([queue], priors) == fit([plain], priors)
    assert Slopes("g", np.zeros(1), {("e", "step_us"): np.ones(1), ("c", "a"): -np.ones(1)}).amplified == 2.0
    twice = {("e", "step_us"): np.ones(1), ("c", "efficiency.host_time"): np.ones(1)}  # the same time
    assert Slopes("g", np.zeros(1), twice).amplified == 1.0


def test_what_is_not_to_be_fitted_is_predicted_all_the_same() -> None:
    first, *others = runs(slower=1.25)
    factors = left_out([replace(first, fitted=False), *others])
    assert factors[first.group] == pytest.approx(left_out([first, *others])[first.group])
    assert factors[others[0].group] == pytest.approx(left_out(others)[others[0].group])


def test_nothing_is_fitted_to_runs_that_tell_of_their_software() -> None:
    """SGLang's untuned kernels and vLLM's early ones on MI300X are predicted, but say nothing of the chip; all others do."""
    apart = {case.group for case in read_measurements(OWN / "measurements.csv").cases if not case.fitted}
    assert apart == {"llm-inference-bench|MI300X|Llama-3-8B", "sglang-thread|MI300X|MiniMax-M2.7"}
