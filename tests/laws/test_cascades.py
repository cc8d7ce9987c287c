"""Laws of cascades, in whole scenarios: each question is answered once, and dollars, tokens and time add up."""

import numpy as np
import pytest

from infersim import Result, simulate
from infersim.dataplane.records import FINISHED
from infersim.results.cascade_report import lane_usd
from infersim.results.directory import to_json
from infersim.spec.load import load_scenario
from infersim.workload.generate import request_blocks
from infersim.workload.requests import joined

LENGTHS = {
    "input_tokens": {"distribution": "lognormal", "mean": 400, "p99": 2500},
    "output_tokens": {"distribution": "lognormal", "mean": 40, "p99": 200},
}
THREE = [{"pool": "a", "answers": 0.35, "judge_s": 0.1}, {"pool": "b", "answers": 0.8}, {"pool": "c"}]
TWO = [{"pool": "b", "answers": 0.6, "judge_s": 0.3}, {"pool": "c"}]
CLASSES = [
    {"name": "asks", "share": 0.6, "cascade": THREE},
    {"name": "talks", "share": 0.3, "cascade": TWO, "structure": {"kind": "shared_prompt", "prompt_tokens": {"distribution": "constant", "value": 64}}},
    {"name": "plain", "share": 0.1},
]  # fmt: skip
HORIZON_S = 250


def scenario(**changes: object) -> dict:
    """Three classes on three pools, the first of which has little KV and turns long prompts away."""
    pools = [{"name": name, "hardware": "l40s", "replicas": {"initial": 2}} for name in "abc"]
    pools[0]["kv_cache"] = {"blocks": 150}
    workload = {"arrivals": {"process": "poisson", "rate_rps": 12}, "classes": CLASSES, **LENGTHS}
    return {"name": "laws", "model": "llama-3.1-8b", "horizon_s": HORIZON_S, "seed": 2, "workload": workload,
            "pools": pools, "slo": {"ttft_p99_s": 1.0}} | changes  # fmt: skip


VARIANTS = {
    "plain": {},
    "two cells": {"cells": 2},
}


@pytest.fixture(scope="module", params=["plain", "two cells"])
def result(request: pytest.FixtureRequest) -> Result:
    return simulate(scenario(**VARIANTS[request.param]))


def test_each_question_ends_exactly_once(result: Result) -> None:
    asked = joined(request_blocks(load_scenario(scenario()).workload, HORIZON_S, 2))
    rows = result.requests
    assert rows["id"].is_unique
    assert rows.sort_values("id")["arrival_s"].tolist() == asked.arrival_s.tolist()
    assert rows.sort_values("id")["input_tokens"].tolist() == asked.input_tokens.tolist()
    assert (rows["status"] == "finished").all()
    assert result.summary["requests"]["arrived"] == len(asked)


def test_time_adds_up(result: Result) -> None:
    rows = result.record.outcomes
    spans = [
        name for name in rows.dtype.names or () if name.endswith("_s") and name[:5] not in ("arriv", "first", "finis")
    ]
    assert len(spans) == 9
    assert np.allclose(sum(rows[name] for name in spans), rows["finish_s"] - rows["arrival_s"], rtol=0, atol=1e-6)
    assert ((rows["cascade_s"] > 0) <= (rows["step"] > 0)).all()


def test_tokens_add_up(result: Result) -> None:
    record, questions = result.record, result.record.totals.of()
    assert record.questions is not None
    calls, lost = record.calls.of(), record.questions.discarded.of()
    made = sum(pool.tally.output_tokens for pool in record.pools)
    assert made == calls.of_finished("output_tokens")
    assert made == questions.of_finished("output_tokens") + lost.of_finished("output_tokens")
    discarded = lost.of_finished("output_tokens") + lost.of_finished("input_tokens")
    assert discarded == questions.of_all("discarded_tokens") == result.requests["discarded_tokens"].sum() > 0
    assert calls.endings[FINISHED] == questions.finished + lost.finished


def test_dollars_add_up(result: Result) -> None:
    summary, record = result.summary, result.record
    assert record.questions is not None
    pools = [pool["cost"]["total_usd"] for pool in summary["pools"].values()]
    assert lane_usd(record, record.calls, pools).sum() == pytest.approx(summary["cost"]["total_usd"], rel=1e-9)
    for told in summary["cascades"].values():
        assert sum(step["usd"] for step in told["steps"]) == pytest.approx(told["usd"])
        assert 0 < told["discarded_usd"] < told["usd"]


def test_shares_are_those_that_were_stated(result: Result) -> None:
    """Within four standard deviations of a share of so many questions; what was refused for its length goes on besides."""
    for name, steps in (("asks", THREE), ("talks", TWO)):
        told = result.summary["cascades"][name]
        first, asked = told["steps"][0], told["steps"][0]["asked"]
        good = 1 - first["insufficient"] / (asked - first["failed"])
        assert abs(good - steps[0]["answers"]) < 4 * np.sqrt(0.25 / asked)
        assert told["escalated"] == first["insufficient"] + first["failed"]
        assert sum(step["answered"] for step in told["steps"]) == told["questions"]
    assert result.summary["cascades"]["asks"]["steps"][0]["failed"] > 0


def test_nobody_is_answered_by_a_pool_that_is_not_asked(result: Result) -> None:
    rows = result.requests
    assert set(rows.loc[rows["tenant"] == "talks", "pool"]) == {"b", "c"}
    assert set(rows.loc[rows["tenant"] == "asks", "pool"]) == {"a", "b", "c"}


def test_a_sample_of_rows_changes_no_sum() -> None:
    whole, few = simulate(scenario()), simulate(scenario(keep_requests=200))
    assert len(few.requests) <= 200
    counts = ("questions", "escalated", "discarded_tokens", "usd", "attainment")
    for name, told in few.summary["cascades"].items():
        assert {key: told[key] for key in counts} == {key: whole.summary["cascades"][name][key] for key in counts}
        exact = whole.summary["cascades"][name]["e2e_s"]["p99"]
        assert told["e2e_s"]["p99"] == pytest.approx(exact, rel=0.02)


def test_cells_do_not_depend_on_who_ran_them() -> None:
    text = scenario(cells=2, horizon_s=60)
    assert to_json(simulate(text, workers=2).summary) == to_json(simulate(text).summary)
