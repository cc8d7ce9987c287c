"""Images: a fixed number of steps of fixed work, by hand; what is refused; what batches are good for."""

import pytest

from infersim import simulate
from infersim.cost.chip import OVERLAP
from infersim.cost.diffusion import diffusion_tables
from infersim.cost.memory import DoesNotFit
from infersim.spec import catalogue
from infersim.spec.errors import SpecError

SDXL = catalogue.any_model("sdxl")


def tables(chip: str = "l40s", images: int = 8, weights: str = "fp16"):
    return diffusion_tables(SDXL, catalogue.hardware(chip), catalogue.engine("diffusers"), weights, images)  # type: ignore[arg-type]


def scenario(steps: int = 20, rate_rps: float = 0.01, horizon_s: float = 1000, **pool: object) -> dict:
    return {
        "name": "images",
        "model": "sdxl",
        "horizon_s": horizon_s,
        "workload": {"kind": "image", "steps": steps, "arrivals": {"process": "constant", "rate_rps": rate_rps}},
        "pools": [{"name": "gpu", "hardware": "l40s", "engine": "diffusers"} | pool],
    }


def step_s(images: int) -> float:
    """Longer of 12 TFLOP an image and 5.2 GB of weights with 20 GB an image, a little more where they are close."""
    chip = catalogue.hardware("l40s").efficiency
    compute = images * 12e12 / (362.05e12 * chip.matmul_compute["fp16"].value * 0.75)
    memory = (2.6e9 * 2 + images * 20e9) / (864e9 * chip.matmul_memory.value)
    longer, shorter = max(compute, memory), min(compute, memory)
    return longer * (1 + (shorter / longer) ** OVERLAP) ** (1 / OVERLAP) + 1500 * chip.op_floor_us.value * 1e-6


@pytest.mark.parametrize("images", [1, 2, 8])
def test_a_step_by_hand(images: int) -> None:
    assert tables().linear.seconds[images] == pytest.approx(step_s(images))
    assert tables().linear.seconds[images] >= images * 12e12 / 362.05e12


def test_an_image_takes_its_steps_and_is_decoded_once() -> None:
    """20 steps alone, the host's 320 us in each, reading the prompt and decoding, and 20 ms of the front end."""
    frame = simulate(scenario()).requests
    chip = catalogue.hardware("l40s").efficiency
    once = 5e12 / (362.05e12 * chip.matmul_compute["bf16"].value * 0.75)
    alone = 20 * (step_s(1) + 320e-6) + once + 0.02
    assert frame["e2e_s"].to_numpy() == pytest.approx(alone)
    assert (frame["ttft_s"] == frame["e2e_s"]).all()
    assert frame["tpot_s"].isna().all()


def test_images_are_no_tokens() -> None:
    result = simulate(scenario(rate_rps=0.1))
    summary = result.summary
    assert summary["throughput"]["output_tokens_per_s"] == 0
    assert summary["cost"]["usd_per_thousand_requests"] == pytest.approx(
        1000 * summary["cost"]["total_usd"] / summary["requests"]["finished"]
    )
    tally = result.record.pools[0].tally
    steps = sum(images * count for images, count in enumerate(tally.steps_by_tokens))
    assert steps == 20 * summary["requests"]["finished"]


def test_four_steps_cost_a_fifth_of_twenty() -> None:
    """Distilled models (SDXL Lightning, 4 steps): the steps are a fifth, what is done once for an image is not."""
    busy = {steps: simulate(scenario(steps)).record.pools[0].tally.busy_s for steps in (4, 20)}
    assert 0.2 < busy[4] / busy[20] < 0.25


def test_batches_hardly_help_where_one_image_fills_the_chip() -> None:
    """An image of 12 TFLOP a step is bound by arithmetic: four at once take nearly four times as long."""
    static = {"policy": "static", "max_num_seqs": 4}
    rate = {}
    for batching in ({"policy": "none"}, static, {"policy": "chunked_prefill", "max_num_seqs": 4}):
        result = simulate(scenario(rate_rps=5, horizon_s=60, batching=batching))
        rate[batching["policy"]] = result.summary["throughput"]["requests_per_s"]
    assert rate["none"] < rate["static"] < 1.3 * rate["none"]
    assert rate["chunked_prefill"] == pytest.approx(rate["static"], rel=0.1)


def test_too_many_images_at_once_do_not_fit() -> None:
    """7 GB of weights and 1.5 GB an image in 0.9 x 48.3 GB: 24 fit."""
    tables(images=24)
    with pytest.raises(DoesNotFit, match="max_num_seqs 24"):
        tables(images=25)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"parallelism": {"tensor": 2}}, "made on one chip"),
        ({"kv_cache": {"blocks": 5}}, "has no KV cache"),
        ({"role": "decode"}, "made on one chip"),
        ({"hardware": "groq-lpu", "engine": "groq"}, "roofline chips"),
    ],
)
def test_what_images_do_not_have(changes: dict, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        simulate(scenario(**changes))


def test_tokens_and_images_do_not_mix() -> None:
    with pytest.raises(SpecError, match="makes none; name one of image models"):
        simulate(scenario() | {"model": "llama-3.1-8b"})
    chat = scenario()
    nine = {"distribution": "constant", "value": 9}
    arrivals = {"process": "poisson", "rate_rps": 1}
    chat["workload"] = {"arrivals": arrivals, "input_tokens": nine, "output_tokens": nine}
    with pytest.raises(SpecError, match="give kind: image and steps"):
        simulate(chat)
