"""Replaying a trace: which requests, when, in bounded memory; warnings and errors of a replay."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from infersim.spec.workload import Workload
from infersim.workload.generate import request_blocks, workload_span_s
from infersim.workload.requests import Requests, joined
from infersim.workload.traces import TraceError, TraceWarning

HEADER = "arrived_at,num_prefill_tokens,num_decode_tokens\n"


def workload(**keys) -> Workload:
    return Workload.model_validate({"arrivals": {"process": "trace", "file": "trace.csv", **keys}})


def collect(folder: Path, horizon: float | None = None, seed: int = 1, **keys) -> Requests:
    return joined(request_blocks(workload(**keys), horizon, seed, folder))


@pytest.fixture
def four(tmp_path):
    (tmp_path / "trace.csv").write_text(HEADER + "5,10,1\n6,20,2\n8,30,3\n11,40,4\n")
    return tmp_path


def test_as_recorded_and_faster(four):
    assert collect(four).arrival_s.tolist() == [0, 1, 3, 6]
    assert collect(four, rate_scale=2.0).arrival_s.tolist() == [0, 0.5, 1.5, 3]


def test_looping_begins_again_one_mean_gap_after_the_last(four):
    found = collect(four, 17.0, loop=True)
    assert found.arrival_s.tolist() == [0, 1, 3, 6, 8, 9, 11, 14, 16]
    assert found.input_tokens.tolist() == [10, 20, 30, 40, 10, 20, 30, 40, 10]
    assert not workload(loop=True).ends
    assert collect(four, 4.0, loop=True, rate_scale=2.0).arrival_s.tolist() == [0, 0.5, 1.5, 3]
    assert workload_span_s(workload(loop=True), 99.0, four) == 99.0


def test_a_bent_clock_is_straight_between_its_points_and_beyond(four):
    found = collect(four, time_warp=[[0.0, 0.0], [2.0, 10.0], [4.0, 11.0]])
    assert found.arrival_s.tolist() == [0, 5, 10.5, 12]
    assert collect(four, time_warp=[[0.0, 0.0], [2.0, 10.0]], rate_scale=10.0, limit=3).arrival_s.tolist() == [
        0,
        0.5,
        1.5,
    ]


def test_thinning_keeps_each_request_by_itself(tmp_path):
    rows = "".join(f"{k * 0.01:.2f},{k + 1},5\n" for k in range(20_000))
    (tmp_path / "trace.csv").write_text(HEADER + rows)
    found = collect(tmp_path, keep_share=0.25)
    assert len(found) == pytest.approx(5000, abs=4 * np.sqrt(20_000 * 0.25 * 0.75))
    assert stats.chisquare(np.bincount(np.diff(found.input_tokens), minlength=50)[1:12],
                           np.diff(found.input_tokens).size * 0.25 * 0.75 ** np.arange(11) /
                           (1 - 0.75**11) * np.mean(np.diff(found.input_tokens) <= 11)).pvalue > 1e-3  # fmt: skip
    assert not np.array_equal(found.input_tokens, collect(tmp_path, seed=2, keep_share=0.25).input_tokens[: len(found)])
    assert (
        collect(tmp_path, 50.0, keep_share=0.25).input_tokens.tolist()
        == found.input_tokens[found.arrival_s < 50].tolist()
    )


def test_a_limit_reads_no_further(four):
    (four / "trace.csv").write_text((four / "trace.csv").read_text() + "x" * 10)
    with pytest.raises(TraceError, match="line 6"):
        collect(four)
    big = HEADER + "".join(f"{k},10,5\n" for k in range(2_000_000)) + "rubbish\n"
    (four / "trace.csv").write_text(big)
    assert len(collect(four, limit=100)) == 100


def test_a_large_file_streams(tmp_path):
    """Reading takes the memory of some blocks, not of the file."""

    def peak(rows: int) -> int:
        (tmp_path / "trace.csv").write_text(HEADER + "".join(f"{k},1000,500\n" for k in range(rows)))
        tracemalloc.start()
        count = sum(len(block) for block in request_blocks(workload(), None, 1, tmp_path))
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count == rows
        return top

    assert peak(2_000_000) < 1.3 * peak(800_000)


def test_sessions_without_absolute_times_begin_at_random(tmp_path):
    call = '{"t": %s, "type": "s", "in": 70, "out": 5, "hash_ids": [1]}'
    line = '{"id": "x", "block_size": 64, "hash_id_scope": "local", "requests": [%s]}'
    (tmp_path / "trace.csv").write_text((line % f"{call % 0}, {call % 2.5}" + "\n") * 2000)
    found = collect(tmp_path, session_rate_rps=2.0)
    assert len(found) == 4000
    starts = np.array([found.arrival_s[found.session == k].min() for k in range(200)])
    assert np.all(np.diff(found.arrival_s) >= 0)
    assert stats.kstest(np.diff(starts) * 2, "expon").pvalue > 1e-3
    rows = np.flatnonzero(found.session == 7)
    assert np.diff(found.arrival_s[rows]) == pytest.approx([2.5])
    assert np.unique(found.prefixes).size == 2000
    with pytest.raises(TraceError, match="needs session_rate_rps"):
        collect(tmp_path)


def test_what_cannot_be_replayed_is_refused(four):
    with pytest.raises(TraceError, match="remove session_rate_rps"):
        collect(four, session_rate_rps=1.0)
    (four / "trace.csv").write_text("num_prefill_tokens,num_decode_tokens\n1,2\n")
    with pytest.raises(TraceError, match="lengths and no times"):
        collect(four)
    (four / "trace.csv").write_text(HEADER + "1,1,1\n")
    with pytest.raises(TraceError, match="cannot loop"):
        collect(four, 10.0, loop=True)


def test_failed_requests_are_left_out_with_a_warning(tmp_path):
    rows = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    (tmp_path / "trace.csv").write_text(rows + "5,GPT-4,4,0,4,API log\n7,GPT-4,4,3,7,API log\n")
    with pytest.warns(TraceWarning, match="1 rows without tokens"):
        assert collect(tmp_path).arrival_s.tolist() == [2.0]


def test_tenants_of_a_trace_are_no_classes_of_the_scenario(tmp_path: Path):
    """A trace that was written by a scenario with classes is replayed by one without."""
    (tmp_path / "trace.csv").write_text("arrival_s,input_tokens,output_tokens,tenant\n0,9,2,0\n1,9,2,3\n2,9,2,1\n")
    with pytest.warns(TraceWarning, match="2 rows have a tenant other than 0"):
        found = collect(tmp_path)
    assert found.tenant.tolist() == [0, 0, 0]
