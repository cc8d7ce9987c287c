"""Windows of time against the run worked out on paper."""

import numpy as np
import pytest

from infersim.results.result import Result
from infersim.results.windows import label, window_edges, windows
from tests.results.run_records import edited, large_run, small_run


@pytest.mark.parametrize(
    ("end_s", "most", "length", "count"),
    [(20.0, 4, 5.0, 4), (3600.0, 24, 300.0, 12), (3606.7, 24, 300.0, 12), (86400.0, 24, 3600.0, 24), (0.5, 24, 1.0, 1)],
)
def test_edges_are_round_and_cover_the_run(end_s: float, most: int, length: float, count: int) -> None:
    edges = window_edges(end_s, most)
    assert (edges[0], edges[-1], len(edges) - 1) == (0.0, end_s, count)
    assert np.allclose(np.diff(edges)[:-1], length)


def test_a_window_of_two_samples() -> None:
    """Between 5 and 15 s: half of each interval's growth; 1 replica ready until 10 s, 2 from then on."""
    found = windows(Result(small_run()).timeline, np.array([5.0, 15.0])).iloc[0]
    assert found["busy_s"] == pytest.approx(2.5 + 1.5)
    assert found["up_s"] == pytest.approx(6.0 + 7.5)
    assert found["idle_usd"] == pytest.approx(0.0035 + 0.006)
    assert found["ready"] == pytest.approx(1.5)
    assert found["memory_s"] == pytest.approx(1.5 + 0.5)
    assert found["mfu"] == pytest.approx((0.5 + 0.75) / 4.0)  # TFLOP of a peak of 1 TFLOP/s in 4 busy seconds


def test_windows_add_up_to_the_run() -> None:
    result = Result(large_run(500))
    table = windows(result.timeline, window_edges(result.record.end_s))
    for column in ("cost_usd", "busy_usd", "idle_usd", "cold_start_usd"):
        assert table[column].sum() == pytest.approx(result.summary["cost"][column.replace("cost_usd", "total_usd")])


def test_no_samples_no_windows() -> None:
    assert len(windows(Result(edited(small_run(), samples=0)).timeline, window_edges(20.0))) == 0


def test_labels_are_times_of_the_run() -> None:
    assert label(600.0, 90061.4) == "0:10:00 to 25:01:01"
