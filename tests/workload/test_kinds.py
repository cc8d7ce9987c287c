"""Kinds of request in scenarios: samples, beams, embeddings; what reaches the loop, the results, and what is refused."""

import numpy as np
import pytest

from infersim import simulate
from infersim.spec.errors import SpecError

LENGTHS = {
    "input_tokens": {"distribution": "constant", "value": 500},
    "output_tokens": {"distribution": "constant", "value": 100},
}


def scenario(rate_rps: float = 4, horizon_s: float = 10, pool: dict | None = None, **workload: object) -> dict:
    pools = [{"name": "h100", "hardware": "h100-sxm"} | (pool or {})]
    arrivals = {"process": "constant", "rate_rps": rate_rps}
    given = {key: value for key, value in (LENGTHS | workload).items() if value is not None}
    base = {"name": "kinds", "model": "llama-3.1-8b", "horizon_s": horizon_s, "seed": 1, "pools": pools}
    return base | {"workload": {"arrivals": arrivals} | given}


def test_all_samples_are_the_clients_and_one_beam_is() -> None:
    one, samples, beams = (simulate(scenario(**more)) for more in ({}, {"samples": 4}, {"beams": 4}))
    requests = one.summary["requests"]["arrived"]
    assert one.summary["requests"]["output_tokens"] == 100 * requests
    assert samples.summary["requests"]["output_tokens"] == 4 * 100 * requests
    assert beams.summary["requests"]["output_tokens"] == 100 * requests
    # They are four rows of the same steps, so that they take equally long; the prompt is processed once.
    assert (samples.requests["finish_s"] == beams.requests["finish_s"]).all()
    assert (samples.requests["answers"] == 4).all()
    assert "answers" not in beams.requests
    for result in (samples, beams):
        assert result.record.pools[0].tally.output_tokens == 4 * 100 * requests
        assert result.record.pools[0].tally.prompt_tokens == 500 * requests


def test_samples_of_one_prompt_cost_less_than_prompts_of_their_own() -> None:
    """Four prompts of 4,000 tokens are four times the work of one, and their decoding is the same."""
    long = {"input_tokens": {"distribution": "constant", "value": 4000}}
    together, apart = simulate(scenario(samples=4, **long)), simulate(scenario(16, **long))
    busy = [result.record.pools[0].tally.busy_s for result in (together, apart)]
    assert busy[0] < 0.6 * busy[1]


def test_an_embedding_comes_whole() -> None:
    result = simulate(scenario(kind="embedding", output_tokens=None) | {"slo": {"ttft_p99_s": 0.001}})
    frame, summary = result.requests, result.summary
    assert (frame["output_tokens"] == 0).all()
    assert (frame["ttft_s"] == frame["e2e_s"]).all()
    assert frame["tpot_s"].isna().all()
    assert summary["throughput"]["output_tokens_per_s"] == 0
    assert summary["throughput"]["input_tokens_per_s"] > 0
    assert summary["slo"]["attainment"] == 0  # nobody is embedded within a millisecond
    assert summary["latency"]["ttft_s"]["mean"] == pytest.approx(summary["latency"]["e2e_s"]["mean"])
    assert np.isnan(summary["cost"]["usd_per_million_output_tokens"])
    assert summary["cost"]["usd_per_thousand_requests"] > 0


def test_classes_of_different_kinds() -> None:
    classes = [
        {"name": "chat", "share": 0.5},
        {"name": "best_of", "share": 0.25, "samples": 3},
        {"name": "search", "share": 0.25, "kind": "embedding"},
    ]
    result = simulate(scenario(20, classes=classes))
    frame = result.requests
    assert frame.groupby("tenant", observed=True)["answers"].unique().map(list).to_dict() == {
        "chat": [1], "best_of": [3], "search": [0],
    }  # fmt: skip
    outputs = frame["output_tokens"] * frame["answers"]
    assert result.summary["requests"]["output_tokens"] == outputs.sum()
    assert (frame.loc[frame["tenant"] == "search", "output_tokens"] == 0).all()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"kind": "embedding"}, "an embedding has none"),
        ({"kind": "embedding", "output_tokens": None, "samples": 2}, "is for completions"),
        ({"samples": 2, "beams": 2}, "samples or beams, not both"),
        ({"steps": 4}, "is for kind image"),
        ({"kind": "image", "input_tokens": None, "output_tokens": None}, "how many denoising steps"),
        ({"kind": "picture"}, "picture"),
        ({"samples": 0}, "samples"),
    ],
)
def test_what_does_not_go_together(changes: dict, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        simulate(scenario(**changes))


def test_samples_need_seats_and_no_drafts() -> None:
    with pytest.raises(SpecError, match="use at least 5"):
        simulate(scenario(samples=5, pool={"batching": {"max_num_seqs": 4}}))
    drafts = {"method": "ngram", "tokens": 2, "acceptance": 0.5}
    with pytest.raises(SpecError, match="draft tokens are modelled for one"):
        simulate(scenario(beams=2, pool={"speculative": drafts}))


def test_explanations_of_answers_that_come_whole(tmp_path) -> None:
    """An image's time is in its steps, an embedding's in its prompt, and neither has a first token before the last."""
    from infersim.results.explain import explain

    images = scenario(1, kind="image", steps=7, input_tokens=None, output_tokens=None) | {"model": "sdxl"}
    images["pools"] = [{"name": "l40s", "hardware": "l40s", "engine": "diffusers"}]
    for number, (asked, says) in enumerate(
        ((images, "came whole, after 7 steps"), (scenario(kind="embedding", output_tokens=None), "came whole."))
    ):
        run = simulate(asked).save(tmp_path / str(number), plots=False)
        told = " ".join(str(explain(run, 2)).split())
        assert says in told
        assert "gets its answer" in told
        assert "preempted" not in told
