"""Laws of impatient clients and of services that turn requests away, on a scenario with all of it at once."""

import numpy as np
import pytest

from infersim import Result, simulate
from infersim.dataplane.records import ENDINGS, FINISHED
from infersim.results.explain import explain
from infersim.spec.load import load_scenario
from infersim.workload.conduct import service_rules
from tests.laws.spans import SPANS

SCENARIO = {
    "name": "clients",
    "model": "llama-3.1-8b",
    "horizon_s": 120,
    "seed": 5,
    "workload": {
        "arrivals": {"process": "mmpp", "rates_rps": [5, 90], "mean_sojourn_s": [30, 20]},
        "input_tokens": {"distribution": "lognormal", "mean": 600, "p99": 4000, "max": 9000},
        "output_tokens": {"distribution": "lognormal", "mean": 150, "p99": 600, "max": 2000},
        "patience": {"ttft_timeout_s": 4, "timeout_s": 20},
        "retries": {"max_attempts": 3, "jitter": 0.5},
        "classes": [
            {"name": "free", "share": 0.5, "rate_limit": {"tokens_per_s": 15_000, "burst_tokens": 60_000}},
            {"name": "hasty", "share": 0.2, "patience": {"timeout_s": 3}, "retries": {"max_attempts": 1}},
            {"name": "paying", "share": 0.3, "patience": {"timeout_s": 600}},
        ],
    },
    "admission": {"max_queued": 60, "max_wait_s": 2},
    "router": {"policy": "random"},
    "pools": [
        {"name": name, "hardware": "h100-sxm", "batching": {"max_num_seqs": 64}, "queue": {key: value}}
        for name, key, value in (("short", "max_queued", 30), ("brief", "max_queued_work_s", 0.6))
    ],
    "slo": {"ttft_p99_s": 2},
}  # fmt: skip


@pytest.fixture(scope="module", params=[1, 2], ids=["whole", "two cells"])
def result(request: pytest.FixtureRequest) -> Result:
    replicas = [pool | {"replicas": {"initial": request.param}} for pool in SCENARIO["pools"]]
    return simulate(SCENARIO | {"cells": request.param, "pools": replicas})


def test_every_request_ends_once_and_in_every_way(result: Result) -> None:
    requests, rows = result.summary["requests"], result.record.outcomes
    assert rows["id"].tolist() == list(range(requests["arrived"]))
    counts = {ending: requests[ending] for ending in ENDINGS}
    assert sum(counts.values()) == requests["arrived"]
    if result.record.scenario.cells == 1:
        assert {ending for ending, count in counts.items() if not count} == {"rejected", "lost"}
    by_class = result.summary["slo"]["classes"]
    for ending in ENDINGS:
        assert sum(own[ending] for own in by_class.values()) == counts[ending]
    assert by_class["free"]["rate_limited"] == counts["rate_limited"]
    assert (result.requests["attempts"][result.requests["tenant"] == "hasty"] == 1).all()
    assert result.requests["attempts"].max() == 3
    assert result.summary["requests"]["retries"] == (result.requests["attempts"] - 1).sum()


def test_spans_sum_to_the_time_of_all_attempts(result: Result) -> None:
    rows = result.record.outcomes
    spent = sum(rows[span] for span in SPANS)
    assert np.allclose(spent, rows["finish_s"] - rows["arrival_s"], rtol=1e-9, atol=1e-9)
    assert (rows["away_s"][rows["retries"] == 0] == 0).all()
    # pauses of 0.5 s, then 1 s, of which chance takes at most a half
    for attempts, pauses in ((1, 0.5), (2, 1.5)):
        away = rows["away_s"][rows["retries"] == attempts]
        assert away.min() >= pauses / 2 - 1e-9
        assert away.max() <= pauses + 1e-9


def test_nobody_waits_longer_than_they_may(result: Result) -> None:
    """All attempts and pauses together; a request that is turned away waited less than max_wait_s each time."""
    rows = result.record.outcomes
    latest = np.array([3 * 20 + 1.5, 3.0, 3 * 600 + 1.5])[rows["tenant"]]
    assert (rows["finish_s"] - rows["arrival_s"] <= latest + 1e-9).all()
    hasty = rows[(rows["tenant"] == 1) & (rows["status"] == ENDINGS.index("timed_out"))]
    assert np.allclose(hasty["finish_s"] - hasty["arrival_s"], 3.0)


def test_tokens_are_conserved(result: Result) -> None:
    """What steps processed is what finished requests needed and what was wasted, to the token."""
    rows, record = result.record.outcomes, result.record
    assert rows["preemptions"].sum() == 0
    done = rows[rows["status"] == FINISHED]
    needed = done["input_tokens"].sum() + (done["output_tokens"] - 1).sum()
    processed = 0.0
    for pool in record.pools:
        batches = pool.tally.steps_by_batch
        processed += pool.tally.prompt_tokens + (batches * np.arange(len(batches))).sum()
    wasted = rows["wasted_tokens"].sum()
    assert wasted > 0
    assert processed == needed + wasted
    assert (
        sum(pool.tally.wasted_tokens for pool in record.pools) == wasted == result.summary["requests"]["wasted_tokens"]
    )
    cost = result.summary["cost"]
    assert cost["abandoned_tokens"] == wasted
    assert 0 < cost["wasted_usd"] < cost["busy_usd"]


def test_only_what_finished_is_good(result: Result) -> None:
    requests = result.requests
    good = (requests["status"] == "finished") & (requests["ttft_s"] <= 2)
    assert (requests["slo_met"] == good).all()
    assert result.summary["slo"]["met_requests"] == good.sum()
    assert requests["ttft_s"].notna().sum() == result.summary["requests"]["finished"]


def test_the_explanation_names_every_ending(result: Result) -> None:
    chapter = next(c for c in explain(result).chapters if c.title == "Requests that did not finish")
    requests = result.summary["requests"]
    assert {(row[0], row[2]) for row in chapter.rows} == {
        (ending.replace("_", " "), f"{requests[ending]:,}") for ending in ENDINGS[1:] if requests[ending]
    }


def test_cells_share_what_all_clients_may_do_together() -> None:
    scenario = load_scenario(SCENARIO)
    parts = [service_rules(scenario, (cell, 7)) for cell in range(7)]
    assert [part.max_queued for part in parts] == [9, 9, 9, 9, 8, 8, 8]
    assert sum(part.clients[0].tokens_per_s for part in parts) == pytest.approx(15_000)
    assert sum(part.clients[0].burst_tokens for part in parts) == pytest.approx(60_000)
    assert all(part.max_wait_s == 2 and part.last_arrival_s == 120 for part in parts)
    assert [client.timeout_s for client in parts[0].clients] == [20, 3, 600]
    assert [client.ttft_timeout_s for client in parts[0].clients] == [4, np.inf, np.inf]
