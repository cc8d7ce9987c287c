"""Explanations: a cause that was put into a run is the cause that is named, from a result and from its directory."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infersim.results.explain import explain
from infersim.results.record import RunRecord
from infersim.results.result import Result
from infersim.results.story import UnknownRequest
from infersim.results.why_latency import PARTS, slowest, ttft_parts
from infersim.spec.scenario import Slo
from tests.results.run_records import edited, large_run, pool_record, small_run


def chapter(result: Result, title: str) -> str:
    """The words and cells of a chapter."""
    found = next(c for c in explain(result).chapters if c.title == title)
    return "\n".join([*found.sentences, *(" | ".join(row) for row in found.rows)])


def delayed(part: str, seconds: float = 50.0) -> RunRecord:
    """A run in which every 100th request of the tenth minute and no other spent more time in one part."""
    run = large_run(5000)
    rows = run.outcomes
    chosen = (rows["arrival_s"] >= 600) & (rows["arrival_s"] < 660)
    rows[f"{part}_s"][chosen] += seconds
    rows["first_token_s"][chosen] += seconds
    rows["finish_s"][chosen] += seconds
    return run


@pytest.mark.parametrize("part", [part for part in PARTS if part != "cascade"])  # that is in test_cascades.py
def test_names_what_delayed_the_first_token(part: str) -> None:
    text = chapter(Result(delayed(part)), "Time to first token")
    assert PARTS[part][0] + ")" in text
    assert "0:10:00 to" in text


def test_parts_of_four_requests() -> None:
    """By hand from `small_run`: spans before the first token; request 1 was preempted after its own."""
    parts = ttft_parts(Result(small_run()).requests)
    np.testing.assert_allclose(parts.sum(axis=1), [0.5, 1.0, 0.2, 4.0])
    np.testing.assert_allclose(parts["held"], [0.0, 0.2, 0.0, 3.0])
    np.testing.assert_allclose(parts["prefill"], [0.3, 0.3, 0.1, 0.5])
    np.testing.assert_allclose(parts["preempted"], [0.0, 0.0, 0.0, 0.0], atol=1e-12)


@given(st.integers(0, 400), st.integers(0, 9))
@settings(max_examples=20, deadline=None)
def test_parts_always_sum_to_the_time_to_first_token(count: int, seed: int) -> None:
    requests = Result(large_run(max(count, 1), seed)).requests.iloc[:count]
    parts = ttft_parts(requests)
    assert (parts.to_numpy() >= 0).all()
    np.testing.assert_allclose(parts.sum(axis=1), requests["ttft_s"])


def test_the_slowest_are_one_in_a_hundred_and_at_least_one() -> None:
    requests = Result(large_run(1000)).requests
    worst = slowest(requests["ttft_s"])
    assert len(worst) == 10
    assert requests.loc[worst, "ttft_s"].min() >= requests["ttft_s"].drop(worst).max()
    assert slowest(Result(small_run()).requests["ttft_s"]).tolist() == [4]


def test_the_bill_and_the_costliest_idle_time() -> None:
    """Of 0.033 USD 0.019 are idle; of these, 0.012 fall between 10 and 20 s, evenly."""
    result = Result(small_run())
    assert "57.6 % for replicas with nothing to do" in chapter(result, "The bill")
    first = next(c for c in explain(result).chapters if c.title == "The costliest idle times").rows[0]
    assert first[0].startswith("0:00:1")
    assert first[2] == "$0.00120"  # windows of one second


def test_what_bound_window_by_window() -> None:
    """Compute 1 of 5 busy seconds until 10 s and 2 of 3 after it; memory 3 of 5 and 1 of 3."""
    rows = next(c for c in explain(Result(small_run())).chapters if c.title == "What bound the chips").rows
    assert [row[3] for row in rows] == ["memory"] * 5 + ["compute"] * 5
    assert rows[0][4:8] == ("20.0 %", "60.0 %", "10.0 %", "10.0 %")


def test_a_directory_says_the_same_as_its_result(tmp_path: Path) -> None:
    result = Result(large_run(400, slo=Slo(ttft_p99_s=1.0)))
    folder = result.save(tmp_path / "run", plots=False)
    assert str(explain(folder)) == str(explain(result))
    assert str(explain(str(folder), 7)) == str(explain(result, 7))


def test_one_request() -> None:
    result = Result(small_run(Slo(ttft_p99_s=1.0)))
    text = str(explain(result, 4))
    for piece in ("40 prompt tokens", "2 output tokens", "held for 3.00 s", "after 400 ms in the queue", "over 1.00 s",
                  "missed the SLO", "replica 1 (a100s)"):  # fmt: skip
        assert piece in text, piece
    assert "is rejected" in str(explain(result, 3))
    assert "preempted once, for 100 ms" in str(explain(result, 1))


def test_an_unknown_request() -> None:
    with pytest.raises(UnknownRequest, match="no request 5; ids go from 0 to 4"):
        explain(Result(small_run()), 5)
    with pytest.raises(UnknownRequest, match="no request arrived"):
        explain(Result(edited(small_run(), requests=0)), 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"requests": 0},
        {"requests": slice(3, 4)},
        {"requests": slice(2, 3)},
        {"samples": 0},
        {"leases": 0, "samples": 1},
    ],
    ids=["nothing came", "one was rejected", "a single token", "no samples", "no replicas"],
)
@pytest.mark.filterwarnings("error")
def test_runs_with_little_to_explain(changes: dict) -> None:
    text = str(explain(Result(edited(small_run(), **changes))))
    assert "nan" not in text
    assert "None" not in text


def test_html_is_escaped() -> None:
    explained = explain(Result(edited(small_run(), pools=[pool_record("<script>")])))
    assert "<script>" not in explained._repr_html_()
    assert "&lt;script&gt;" in explained._repr_html_()
