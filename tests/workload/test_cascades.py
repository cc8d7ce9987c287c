"""Cascades worked out by hand: each step takes one second, so an answer of O tokens takes O seconds.

Not here: what must hold of any (`tests/laws/test_cascades.py`), and bad input (`tests/spec/test_bad_cascades.py`).
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import infersim.simulate  # noqa: F401  # its module is patched
from infersim import Result, simulate
from infersim.results.explain import explain
from infersim.results.why_latency import PARTS
from infersim.workload.cascades import difficulty
from tests.controlplane.house import tables

SHORT_CONTEXT = 50
"""Longest context of the small model."""
ONE_PER_SECOND = {"usd_per_chip_hour": 3600}


@pytest.fixture(autouse=True)
def steps_of_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pool 0 has the short context."""
    of_pool = [replace(tables(), max_context=SHORT_CONTEXT), tables(), tables()]
    monkeypatch.setattr(sys.modules["infersim.simulate"], "cost_tables", lambda _, index: of_pool[index])


def ran(
    tmp_path: Path,
    rows: list[tuple[float, int, int]],
    cascade: list[dict],
    workload: dict | None = None,
    **more: object,
) -> Result:
    """A run of questions (arrival [s], prompt tokens, output tokens) that are put to the pools of a cascade."""
    lines = ["arrival_s,input_tokens,output_tokens", *(",".join(map(str, row)) for row in rows)]
    (tmp_path / "questions.csv").write_text("\n".join(lines) + "\n")
    arrivals = {"process": "trace", "file": str(tmp_path / "questions.csv")}
    sent = {"arrivals": arrivals, "cascade": cascade, **(workload or {})}
    pools = [{"name": step["pool"], "hardware": "h100-sxm", "price": ONE_PER_SECOND} for step in cascade]
    return simulate({"name": "c", "model": "llama-3.1-8b", "workload": sent, "pools": pools, **more})


def pair(answers: float, judge_s: float = 0.5) -> list[dict]:
    return [{"pool": "small", "answers": answers, "judge_s": judge_s}, {"pool": "large"}]


def test_a_question_that_goes_on_waits_for_both_models_and_the_judge(tmp_path: Path) -> None:
    """Small answers from 0 to 3, the judge thinks until 3.5, large answers from 3.5 to 6.5."""
    result = ran(tmp_path, [(0, 10, 3)], pair(0.0))
    row = result.requests.iloc[0]
    assert (row["ttft_s"], row["e2e_s"], row["tpot_s"]) == (4.5, 6.5, 1.0)
    assert (row["cascade_s"], row["prefill_s"], row["decode_s"]) == (3.5, 1.0, 2.0)
    assert (row["pool"], row["cascade_step"], row["discarded_tokens"], row["wasted_tokens"]) == ("large", 1, 13, 0)
    told = result.summary["cascades"]["all"]
    assert (told["usd"], told["discarded_usd"], told["usd_per_question"]) == (13.0, 6.5, 13.0)
    assert result.summary["cost"]["discarded_tokens"] == 13


def test_an_answer_that_stands_is_streamed_and_waits_for_nobody(tmp_path: Path) -> None:
    row = ran(tmp_path, [(0, 10, 3)], pair(1.0)).requests.iloc[0]
    assert (row["ttft_s"], row["e2e_s"], row["cascade_s"]) == (1.0, 3.0, 0.0)
    assert (row["pool"], row["cascade_step"], row["discarded_tokens"]) == ("small", 0, 0)


def test_the_large_model_takes_at_once_what_the_small_one_cannot(tmp_path: Path) -> None:
    """The second prompt exceeds the small model's context: it is refused at 1, and nobody has to judge that."""
    rows = ran(tmp_path, [(0, 10, 3), (1, 60, 2)], pair(1.0)).requests
    assert rows["pool"].tolist() == ["small", "large"]
    assert rows["e2e_s"].tolist() == [3.0, 2.0]
    assert rows["discarded_tokens"].tolist() == [0, 0]


def test_a_question_before_the_horizon_is_answered_after_it(tmp_path: Path) -> None:
    result = ran(tmp_path, [(0, 10, 3), (4, 10, 3)], pair(0.0), horizon_s=4.5)
    assert result.requests["finish_s"].tolist() == [6.5, 10.5]


def test_what_the_service_turns_away_goes_to_nobody(tmp_path: Path) -> None:
    """The bucket holds 20 tokens and nearly nothing comes in: two prompts empty it. Calls that go on do not count."""
    limit = {"rate_limit": {"tokens_per_s": 1e-6, "burst_tokens": 20}}
    result = ran(tmp_path, [(0, 10, 1), (0.25, 12, 1), (0.5, 10, 1)], pair(0.0), limit)
    assert result.requests["status"].tolist() == ["finished", "finished", "rate_limited"]
    assert [step["asked"] for step in result.summary["cascades"]["all"]["steps"]] == [3, 2]


def test_three_models_share_the_questions_by_difficulty(tmp_path: Path) -> None:
    """40 questions, one after the other: each is answered by the first model whose share exceeds its difficulty."""
    steps = [{"pool": "a", "answers": 0.3}, {"pool": "b", "answers": 0.6, "judge_s": 1.0}, {"pool": "c"}]
    result = ran(tmp_path, [(20.0 * k, 10, 2) for k in range(40)], steps, seed=5)
    hard = difficulty(result.requests["id"].to_numpy(), 5)
    step = np.searchsorted([0.3, 0.6], hard, side="right")
    assert set(step) == {0, 1, 2}
    assert result.requests["cascade_step"].tolist() == step.tolist()
    waits = np.array([0.0, 2.0, 5.0])
    assert result.requests["ttft_s"].tolist() == (waits[step] + 1.0).tolist()
    assert result.requests["discarded_tokens"].tolist() == (12 * step).tolist()
    told = result.summary["cascades"]["all"]
    assert [each["asked"] for each in told["steps"]] == [40, int((step > 0).sum()), int((step > 1).sum())]
    assert [each["answered"] for each in told["steps"]] == np.bincount(step).tolist()


def test_a_pool_s_dollars_are_shared_by_the_time_in_its_batches(tmp_path: Path) -> None:
    """Side by side for 4 s in the small model, of which one goes on: half of its dollars were for nothing."""
    seed = next(s for s in range(99) if (difficulty(np.array([0, 2]), s) < 0.5).tolist() == [True, False])
    result = ran(tmp_path, [(0, 10, 4), (0, 10, 4)], pair(0.5, judge_s=0.0), seed=seed)
    assert result.requests["finish_s"].tolist() == [4.0, 8.0]
    told = result.summary["cascades"]["all"]
    assert (told["usd"], told["discarded_usd"]) == (16.0, 4.0)
    assert [step["usd"] for step in told["steps"]] == [8.0, 8.0]


def test_it_is_explained(tmp_path: Path) -> None:
    """40 questions of which some go on: these are the slow ones, and what made them slow is the model before."""
    result = ran(tmp_path, [(20.0 * k, 10, 2) for k in range(40)], pair(0.9), seed=5)
    gone = int((difficulty(result.requests["id"].to_numpy(), 5) >= 0.9).sum())
    text = " ".join(str(explain(result)).split())
    assert f"{gone} of 40 questions" in text
    assert f"{12 * gone} prompt and output tokens" in text
    assert PARTS["cascade"][0] in text
    slow = int(result.requests.loc[result.requests["cascade_step"] == 1, "id"].iloc[0])
    assert "goes on to large" in str(explain(result, request=slow))
