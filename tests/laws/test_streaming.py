"""A run that keeps rows of a few requests only says the same as the run that keeps them all."""

import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from infersim.dataplane.totals import LATENCY_ERROR
from infersim.results.directory import read_run
from infersim.results.explain import explain
from infersim.results.gathering import chosen
from infersim.results.report import report
from infersim.results.result import Result
from infersim.simulate import simulate
from infersim.spec.load import load_scenario

OF_ROWS = ("steady_state.", "requests.rows", "requests.percentile_error", "oracle.")
"""Keys of the summary that rest on rows, or speak of them."""


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from leaves(inner, f"{path}{key}.")
        else:
            yield f"{path}{key}", inner


def run(requests: int, keep: int, name: str = "multi_tenant", **changes: object) -> Result:
    """About so many requests of a shipped scenario."""
    rps = {"multi_tenant": 12.0, "h100_llama70b": 4.0}[name]
    settings = [f"horizon_s={requests / rps}", f"keep_requests={keep}", "sample_interval_s=10"]
    return simulate(load_scenario(name, [*settings, *(f"{key}={value}" for key, value in changes.items())]))


@pytest.fixture(scope="module")
def pair() -> tuple[Result, Result]:
    return run(8000, 10**6), run(8000, 1000)


def test_everything_but_percentiles_is_the_same_to_the_last_bit(pair: tuple[Result, Result]) -> None:
    full, streamed = (dict(leaves(result.summary)) for result in pair)
    percentiles = 0
    for key, value in full.items():
        if key.startswith(OF_ROWS) or (".classes." in key and key.endswith("p99_s")) or key.endswith("p99_s.p99_s"):
            continue
        if "latency." in key and not key.endswith(".mean"):
            percentiles += 1
            assert streamed[key] == pytest.approx(value, rel=LATENCY_ERROR, nan_ok=True), key
        elif "latency." in key:  # means: of all rows at once, or batch by batch
            assert streamed[key] == pytest.approx(value, rel=1e-12, nan_ok=True), key
        else:
            assert streamed[key] == value or value != value, key
    assert percentiles > 30
    for key in ("slo.targets.ttft_p99_s.p99_s", "slo.classes.chat.ttft_p99_s"):
        assert streamed[key] == pytest.approx(full[key], rel=LATENCY_ERROR)


def test_the_oracle_is_estimated_and_says_so(pair: tuple[Result, Result]) -> None:
    """From an eighth of the rows: work within four standard errors of a mean of 1,000 requests whose deviation is about their mean."""
    full, streamed = (result.summary["oracle"] for result in pair)
    assert "rows_share" not in full
    assert streamed["rows_share"] == 0.5 ** pair[1].record.halvings
    assert streamed["work_usd"] == pytest.approx(full["work_usd"], rel=4 / np.sqrt(len(pair[1].requests)))
    assert streamed["usd_regret"] == pytest.approx(pair[1].summary["cost"]["total_usd"] - streamed["usd"])


def test_the_rows_kept_are_rows_of_the_full_run_chosen_by_their_id(pair: tuple[Result, Result]) -> None:
    full, streamed = pair
    halvings, count = streamed.record.halvings, len(full.requests)
    assert 500 < len(streamed.requests) <= 1000
    assert streamed.summary["requests"]["rows_share"] == 0.5**halvings
    kept = full.record.outcomes[chosen(full.record.outcomes["id"], halvings)]
    assert kept.tobytes() == streamed.record.outcomes.tobytes()
    assert len(kept) == pytest.approx(count * 0.5**halvings, rel=5 / np.sqrt(len(kept)))
    assert full.record.halvings == 0
    assert "rows" not in full.summary["requests"]


def test_every_reader_copes_with_a_sample(pair: tuple[Result, Result], tmp_path) -> None:
    full, streamed = pair
    exports = ("csv", "json", "perfetto", "prometheus", "vllm-bench", "aiperf")
    saved = read_run(streamed.save(tmp_path / "run", report=True, exports=exports))
    assert saved.summary["slo"]["over_time"] == full.summary["slo"]["over_time"]
    words = str(explain(saved))
    assert "have a row" in words
    service = next(chapter for chapter in str(explain(full)).split("\n\n") if "every limit" in chapter)
    assert service in words
    assert "have a row" in report(saved)
    assert "have a row" not in report(full)


def test_memory_does_not_grow_with_the_number_of_requests() -> None:
    """Four times as many requests, hardly more memory (a chunk of arrivals is 65,536 of them)."""
    run(1000, 1000, "h100_llama70b")  # so that imports and compilation are done
    peaks = []
    for requests in (100_000, 400_000):
        tracemalloc.start()
        result = run(requests, 1000, "h100_llama70b", sample_interval_s=1000)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert result.summary["requests"]["arrived"] == pytest.approx(requests, rel=0.05)
    # windows of a second grow with the time; rows of all would take 46 MB more
    assert peaks[1] < peaks[0] + 1e7
