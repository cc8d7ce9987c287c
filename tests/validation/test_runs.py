"""How runs of InferenceMAX were made, as the sample's rows do not say: first prompts, polling, drafts, limits of a step."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from infersim.cost.silicon import package_data
from infersim.studies.arrivals import first_come
from infersim.studies.cases import Case
from infersim.studies.outcomes import predicted
from infersim.studies.resimulation import price, resimulate
from infersim.studies.silicon_rows import silicon_case
from infersim.studies.silicon_runs import WARM_SINCE, day


def run(**changes: str) -> Case:
    """DeepSeek R1 on eight B200, one replica, 16 users."""
    row = {"id": "a", "silicon_data_source": "db-dump; silicon_concurrency=16; measured=2026-01-29; x", "mode": "agg",
           "backend": "trtllm", "backend_version": "1.2.0rc6.post2", "model_path": "deepseek-ai/DeepSeek-R1",
           "system": "b200_sxm", "precision": "fp8", "isl": "1024", "osl": "128", "batch_size": "16.0", "tp_size": "8.0",
           "pp_size": "1.0", "attention_dp_size": "1.0", "moe_tp_size": "8.0", "moe_ep_size": "1.0",
           "prefill_num_workers": "", "silicon_ttft_ms": "100.0", "silicon_tpot_ms": "10.0"}  # fmt: skip
    return silicon_case(row | changes)


def test_limits_of_a_step_and_releases_of_tensorrt_llm() -> None:
    """A prompt of 1,024, 16 tokens and 64, in whole 64s: 1,152; of each of eight ranks with data-parallel attention."""
    assert (run().max_num_batched_tokens, run().engine.name, run().polls_every) == (1152, "tensorrt-llm-1.2", 1)
    ranks = run(tp_size="1.0", attention_dp_size="8.0", moe_tp_size="1.0", moe_ep_size="8.0")
    assert (ranks.attention_data, ranks.max_num_batched_tokens, ranks.polls_every) == (8, 8 * 1152, 60)
    assert run(backend_version="1.0.0rc3").engine.name == "tensorrt-llm"
    assert run(model_path="openai/gpt-oss-120b", precision="fp4").max_num_batched_tokens is None


def test_campaigns_that_drafted_tokens() -> None:
    assert run().drafts == ()
    assert len(run(backend_version="1.2.0rc6.post3").drafts) == 3
    later = run(
        backend_version="1.1.0rc2.post2", silicon_data_source="x; silicon_concurrency=16; measured=2026-01-14T01"
    )
    assert len(later.drafts) == 3
    assert run(backend_version="1.1.0rc2.post2").drafts == ()


def test_sglang_looks_for_requests_now_and_then_on_b200() -> None:
    def looks(users: int, **changes: str) -> int:
        said = {"backend": "sglang", "silicon_data_source": f"db-dump; silicon_concurrency={users}; x"}
        return run(**said, **changes).polls_every

    assert (looks(8), looks(16), looks(8, system="h200_sxm"), looks(16, model_path="zai-org/GLM-5")) == (10, 30, 1, 1)


def sglang(image: str, release: str = "nightly-dev") -> str:
    source = f"x; silicon_concurrency=8; measured=2026-03-20; lmsysorg/sglang:{image}"
    return run(backend="sglang", backend_version=release, silicon_data_source=source).engine.name


def test_releases_of_sglang_that_replay_prompts() -> None:
    """0.5.10 and nightly images from mid-March 2026 on."""
    assert (
        sglang("v0.5.10.post1-cu130", "0.5.10.post1") == sglang("nightly-dev-cu13-20260317-1eea7448") == "sglang-0.5.10"
    )
    assert {sglang("v0.5.9-cu130", "0.5.9"), sglang("nightly-dev-20260216-d3bae71e"), sglang("x", "0.5.1.post1")} == {
        "sglang"
    }


def test_servers_are_warm_since_april() -> None:
    def cold(day: str) -> float:
        return run(silicon_data_source=f"x; silicon_concurrency=8; measured={day}").load.cold_s

    assert (cold("2026-03-31"), cold("2026-04-01T05:00")) == (0.2, 0.0)


def test_the_same_image_was_faster_to_its_first_token_once_servers_were_warm() -> None:
    """Kimi K2.5 under vLLM 0.17 on eight B200, four users, in the sample: TPOT the same to 5 %, TTFT 164 and 74 ms."""
    pytest.importorskip("aiconfigurator_core", reason="the extra silicon is not installed")
    with open(package_data().parent / "silicon_sample.csv", newline="") as file:
        kimi = [
            row for row in csv.DictReader(file) if "Kimi" in row["model_path"] and row["backend_version"] == "0.17.0"
        ]
    mine = [r for r in kimi if (r["system"], r["tp_size"], r["isl"], r["osl"]) == ("b200_sxm", "8", "1024", "1024")]
    before, after = sorted((r for r in mine if day(r) and "concurrency=4;" in r["silicon_data_source"]), key=day)
    assert day(before) < WARM_SINCE < day(after)
    assert float(after["silicon_tpot_ms"]) == pytest.approx(float(before["silicon_tpot_ms"]), rel=0.05)
    assert float(before["silicon_ttft_ms"]) - float(after["silicon_ttft_ms"]) > 80.0


def test_what_was_in_flight_fits_in_eight_bits_alone() -> None:
    """Llama 3.1 70B in fp4 on one B200, 64 users of 0.9 x 9,216 tokens: 80 layers x 2 x 8 heads x 128 is 327,680 B a token in 16 bits,
    174 GB in all, beside 40 GB of weights; the sample's TTFT there (1.9 s) is that of users who do not wait."""
    said = {"backend": "vllm", "backend_version": "", "model_path": "meta-llama/Llama-3.1-70B", "precision": "fp4", "osl": "1024",
            "isl": "8192", "tp_size": "1.0", "moe_tp_size": "1.0"}  # fmt: skip
    small = run(**said, silicon_data_source="x; silicon_concurrency=64; measured=2025-10-29")
    assert small.kv_cache == "fp8"
    needed = 64 * 0.9 * 9216 * 327_680.0
    for dtype, width, fits in (("fp8", 0.5, True), ("bf16", 1.0, False)):
        memory = price(replace(small, kv_cache=dtype)).memory
        assert (memory.blocks * memory.block_size * 327_680.0 * width > needed * width) is fits
    assert run(**said | {"system": "h100_sxm"}).kv_cache == "bf16"


def test_limits_of_a_step_under_vllm() -> None:
    """Twice the prompt; 2,048 for MiniMax and Kimi under 0.15 to 0.17; of each rank; Llama of 2025 as the engine has it."""

    def tokens(release: str, model: str, isl: str = "8192", **layout: str) -> int | None:
        return run(backend="vllm", backend_version=release, model_path=model, isl=isl, **layout).max_num_batched_tokens

    kimi, minimax, llama = "moonshotai/Kimi-K2.5", "MiniMaxAI/MiniMax-M2.5", "meta-llama/Llama-3.1-70B"
    assert (tokens("0.19.0", minimax), tokens("0.17.0", kimi)) == (16384, 2048)
    assert (tokens("0.18.0", minimax, "1024"), tokens("", llama)) == (2048, None)
    ranks = {"tp_size": "1.0", "attention_dp_size": "8.0", "moe_tp_size": "1.0", "moe_ep_size": "8.0"}
    assert tokens("0.17.0", minimax, **ranks) == 8 * 2048


def own(backend: str, **changes: str) -> Case:
    """A run of the package itself, which names a file on a disk."""
    return run(backend=backend, silicon_data_source="source_file=/Users/a.csv; silicon_concurrency=16", **changes)


def test_runs_of_the_package_itself() -> None:
    """One prompt a step, 1,024 tokens at least, beside 16 decoding; Llama 8B on H100 served one user fewer; vLLM 0.12 was not ahead; on H200
    lengths varied."""
    steps = [own("trtllm", isl=isl).max_num_batched_tokens for isl in ("128", "1024", "4096")]
    assert (
        steps == [1040, 1040, 4112] == [own("vllm", isl=isl).max_num_batched_tokens for isl in ("128", "1024", "4096")]
    )
    llama = {
        "model_path": "meta-llama/Llama-3.1-8B-Instruct",
        "system": "h100_sxm",
        "tp_size": "1.0",
        "precision": "fp8",
    }
    assert (own("trtllm", **llama).max_num_seqs, own("sglang", **llama).max_num_seqs) == (15, 16)
    ahead = [own("vllm", backend_version=release).engine.async_scheduling for release in ("0.12.0", "0.15.1")]
    assert (ahead, run(backend="vllm", backend_version="0.12.0").engine.async_scheduling) == ([False, True], True)
    loads = [own("sglang", system=system).load for system in ("h100_sxm", "h200_sxm")]
    assert [(load.varied, load.requests, load.prompt) for load in loads] == [(0.0, 160, 1024), (0.1, 80, 1024)]


def test_a_campaign_that_compiled_kernels_for_whole_chunks() -> None:
    """More than 16,384 tokens at once waited 70 s."""

    def cold(users: int, isl: str, day: str = "2025-11-10") -> float:
        source = f"x; silicon_concurrency={users}; measured={day}"
        return run(backend="sglang", isl=isl, silicon_data_source=source).load.cold_s

    assert (cold(16, "1024"), cold(32, "1024"), cold(4, "8192"), cold(32, "1024", "2025-11-02")) == (
        0.2,
        70.0,
        70.0,
        0.2,
    )


def test_first_prompts_come_one_after_the_other_through_the_front_end() -> None:
    """0.2 s cold, then a front end of 2.5 ms and 4 us a token: request i has come after i + 1 such times."""
    case = run()
    tables = price(case)
    prompts = np.full(40, 1000)
    front = 0.0025 + 4e-6 * 1000
    expected = np.maximum(0.2, front * np.arange(1, 17))
    assert first_come(case, tables, prompts)[:16] + front == pytest.approx(expected)
    many = replace(case, load=replace(case.load, cold_s=0.0))
    assert first_come(many, tables, prompts)[:16] + front == pytest.approx(front * np.arange(1, 17))


def test_cold_kernels_delay_the_first_prompts_alone() -> None:
    """All of a user's ten requests count, one of them waits 2 s longer: 0.2 s of the mean."""
    case = run()
    means = [
        predicted(case, resimulate(replace(case, load=replace(case.load, cold_s=cold))), "ttft_ms", "mean") / 1e3
        for cold in (1.0, 3.0)
    ]
    assert means[1] - means[0] == pytest.approx(0.2, rel=0.02)


def test_prompts_wait_for_half_of_the_interval_between_two_looks() -> None:
    """Requests end at any step of the interval of 20, so the next ones wait for 9.5 steps on average."""
    case = replace(run(osl="512"), load=replace(run(osl="512").load, cold_s=0.0, varied=0.3))
    plain, looked = (resimulate(replace(case, polls_every=every)) for every in (1, 20))
    step_s = looked.seconds["tpot_s"].mean()
    waited = looked.seconds["ttft_s"][16:].mean() - plain.seconds["ttft_s"][16:].mean()
    assert waited / step_s == pytest.approx(9.5, rel=0.35)


def test_accepted_drafts_save_steps_but_no_more_than_they_are() -> None:
    """1 + 0.68 + 0.68^2 + 0.68^3 = 2.46 tokens a step; verifying four tokens and drafting costs some of it."""
    plain, drafted = run(osl="512"), run(osl="512", backend_version="1.2.0rc6.post3")
    gain = predicted(plain, resimulate(plain), "tpot_ms", "mean") / predicted(
        drafted, resimulate(drafted), "tpot_ms", "mean"
    )
    assert 1.2 < gain < 2.46


def test_two_images_of_one_day_of_which_one_drafted() -> None:
    """Qwen3.5 on four B300, 2026-04-03: 5.3 ms a token at four users under one image, 8.6 under others."""
    said = {"backend": "sglang", "backend_version": "0.5.9"}
    source = "x; silicon_concurrency=8; measured=2026-04-03; lmsysorg/sglang:v0.5.9-cu130"
    assert len(run(**said, silicon_data_source=source).drafts) == 3
    assert run(**said, silicon_data_source=f"{source}-amd64").drafts == ()


def test_ranks_of_tensorrt_llm_wait_for_each_other_whatever_the_model() -> None:
    """TTFT of gpt-oss with four groups of attention is 35 steps where it is 12 without."""
    ranks = {"tp_size": "1.0", "attention_dp_size": "4.0", "moe_tp_size": "1.0", "moe_ep_size": "4.0"}
    assert run(model_path="openai/gpt-oss-120b", precision="fp4", **ranks).polls_every == 60


def test_tokens_that_come_by_the_twenty_begin_nineteen_later() -> None:
    """TTFT is 19 tokens' time longer, E2E the same: on four chips, and on eight not."""
    four = run(model_path="meta-llama/Llama-3.1-70B", osl="1024", tp_size="4.0", moe_tp_size="4.0")
    eight = run(model_path="meta-llama/Llama-3.1-70B", osl="1024")
    assert (four.streams_every, eight.streams_every) == (20, 1)
    sent, together = resimulate(replace(four, streams_every=1)), resimulate(four)
    assert together.seconds["e2e_s"] == pytest.approx(sent.seconds["e2e_s"])
    later = together.seconds["ttft_s"] - sent.seconds["ttft_s"]
    assert later == pytest.approx(19 * sent.seconds["tpot_s"])


def test_a_campaign_whose_first_prompts_waited_longer() -> None:
    """A tenth of its requests wait for 2.5 s, of others of that day for 0.2."""
    source = "x; silicon_concurrency=16; measured=2026-01-14; y"
    found = [
        run(system=chip, backend_version="1.1.0rc2.post2", silicon_data_source=source).load.cold_s
        for chip in ("h200_sxm", "b200_sxm")
    ]
    assert found == [2.5, 0.2]
