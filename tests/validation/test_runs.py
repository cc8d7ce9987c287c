"""How runs of InferenceMAX were made, as the sample's rows do not say: first prompts, polling, drafts, limits of a step."""

from dataclasses import replace

import numpy as np
import pytest

from infersim.studies.cases import Case
from infersim.studies.resimulation import first_come, predicted, price, resimulate
from infersim.studies.silicon_rows import silicon_case


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


def test_first_prompts_come_one_after_the_other_through_the_front_end() -> None:
    """0.3 s cold, then a front end of 2.5 ms and 4 us a token: request i has come after i + 1 such times."""
    case = run()
    tables = price(case)
    prompts = np.full(40, 1000)
    front = 0.0025 + 4e-6 * 1000
    expected = np.maximum(0.3, front * np.arange(1, 17))
    assert first_come(case, tables, prompts)[:16] == pytest.approx(expected)
    many = replace(case, load=replace(case.load, cold_s=0.0))
    assert first_come(many, tables, prompts)[:16] == pytest.approx(front * np.arange(1, 17))
    assert (first_come(many, tables, prompts)[16:] == first_come(many, tables, prompts)[15]).all()


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
