"""The workload as the data plane gets it: one sequence, however it is cut; streams that do not disturb each other."""

from pathlib import Path

import numpy as np
import pytest

from infersim.dataplane.records import REQUEST
from infersim.spec.arrivals import Gamma, Mmpp, Poisson, Trace
from infersim.spec.lengths import Constant, Empirical, Lognormal
from infersim.spec.workload import Workload
from infersim.workload import replay
from infersim.workload.generate import Offered, TraceError, request_chunks, workload_span_s

LOGNORMAL = Lognormal(distribution="lognormal", mean=211.0, p99=601.0)
EMPIRICAL = Empirical(distribution="empirical", values=[3, 5, 8], weights=[1.0, 2.0, 3.0])
ROWS = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    "2024-02-28 23:59:59.5000000,10,1\n"
    "2024-02-29 00:00:00.0000001,20,2\n"
    "2024-02-29 00:00:00.0000001,30,3\n"
    "2024-03-01 00:00:01.0000000,40,4\n"
)


def workload(arrivals: Poisson | Gamma | Mmpp, inputs=LOGNORMAL, outputs=EMPIRICAL) -> Workload:
    return Workload(arrivals=arrivals, input_tokens=inputs, output_tokens=outputs)


def collect(given: Workload, horizon: float | None, seed: int = 1, **how) -> tuple[np.ndarray, np.ndarray]:
    chunks = list(request_chunks(given, horizon, seed, **how))
    return np.concatenate([chunk[0] for chunk in chunks]), np.concatenate([chunk[1] for chunk in chunks])


@pytest.fixture
def traced(tmp_path: Path) -> Path:
    (tmp_path / "rows.csv").write_text(ROWS)
    return tmp_path


def trace(**keys) -> Workload:
    return Workload(arrivals=Trace(process="trace", file="rows.csv", **keys))


PROCESSES = {
    "poisson": Poisson(process="poisson", rate_rps=2000.0),
    "gamma": Gamma(process="gamma", rate_rps=2000.0, cv=2.5),
    "mmpp": Mmpp(process="mmpp", rates_rps=[500.0, 8000.0], mean_sojourn_s=[0.4, 0.1]),
}


@pytest.mark.parametrize("name", PROCESSES)
def test_the_chunk_size_changes_no_byte(name):
    given = workload(PROCESSES[name])
    whole, outputs = collect(given, 20.0, chunk=65536)
    assert whole.size > 2 * 16384  # more than two blocks, so that cuts and blocks interleave
    for chunk in (1, 7, 1000):
        requests, others = collect(given, 20.0, chunk=chunk)
        assert requests.tobytes() == whole.tobytes()
        assert others.tobytes() == outputs.tobytes()


def test_chunks_are_full_but_the_last_and_ids_count_from_zero():
    chunks = list(request_chunks(workload(PROCESSES["poisson"]), 3.0, 1, chunk=1000))
    assert all(requests.size == outputs.size == 1000 for requests, outputs, _ in chunks[:-1])
    assert 0 < chunks[-1][0].size <= 1000
    requests, outputs, _ = (np.concatenate(column) for column in zip(*chunks, strict=True))
    assert requests.dtype == REQUEST
    assert outputs.dtype == np.int64
    assert np.array_equal(requests["id"], np.arange(requests.size))
    assert np.all(np.diff(requests["arrival_s"]) >= 0)
    assert np.all(requests["input_tokens"] >= 1)
    assert set(np.unique(outputs)) == {3, 5, 8}


def test_lengths_do_not_disturb_arrivals_nor_each_other():
    base, outputs = collect(workload(PROCESSES["gamma"]), 5.0)
    longer, changed = collect(workload(PROCESSES["gamma"], outputs=LOGNORMAL), 5.0)
    assert longer.tobytes() == base.tobytes()
    assert not np.array_equal(changed, outputs)
    other, same = collect(workload(PROCESSES["gamma"], inputs=Constant(distribution="constant", value=9)), 5.0)
    assert np.array_equal(other["arrival_s"], base["arrival_s"])
    assert np.array_equal(same, outputs)


def test_arrivals_do_not_disturb_lengths():
    base, outputs = collect(workload(PROCESSES["poisson"]), 5.0)
    other, others = collect(workload(PROCESSES["mmpp"]), 5.0)
    both = min(base.size, other.size)
    assert np.array_equal(base["input_tokens"][:both], other["input_tokens"][:both])
    assert np.array_equal(outputs[:both], others[:both])


def test_inputs_and_outputs_of_one_law_are_independent():
    requests, outputs = collect(workload(PROCESSES["poisson"], outputs=LOGNORMAL), 20.0)
    assert abs(np.corrcoef(np.log(requests["input_tokens"]), np.log(outputs))[0, 1]) < 4 / np.sqrt(outputs.size)


def test_a_run_without_an_arrival_is_empty():
    rare = workload(Poisson(process="poisson", rate_rps=1e-9))
    assert list(request_chunks(rare, 1.0, 1)) == []


def test_a_synthetic_workload_needs_a_horizon():
    given = workload(PROCESSES["poisson"])
    for call in (lambda: request_chunks(given, None, 1), lambda: workload_span_s(given, None)):
        with pytest.raises(ValueError, match="horizon_s is missing"):
            call()
    assert workload_span_s(given, 12.5) == 12.5


def test_a_trace_brings_arrivals_and_lengths(traced):
    requests, outputs = collect(trace(), None, directory=traced)
    # half a second and a tick to midnight; then a day and a second (29 February 2024 exists)
    assert requests["arrival_s"].tolist() == [0.0, 0.5000001, 0.5000001, 86401.5]
    assert requests["input_tokens"].tolist() == [10, 20, 30, 40]
    assert outputs.tolist() == [1, 2, 3, 4]
    assert requests["id"].tolist() == [0, 1, 2, 3]
    for chunk in (1, 3):
        assert collect(trace(), None, directory=traced, chunk=chunk)[0].tobytes() == requests.tobytes()


def test_rate_scale_divides_times_and_limit_keeps_the_first(traced):
    requests, outputs = collect(trace(rate_scale=2.0, limit=3), None, directory=traced)
    assert requests["arrival_s"].tolist() == [0.0, 0.25000005, 0.25000005]
    assert outputs.tolist() == [1, 2, 3]
    assert workload_span_s(trace(rate_scale=2.0), None, traced) == 43200.75
    assert workload_span_s(trace(rate_scale=0.5, limit=2), None, traced) == 1.0000002
    assert collect(trace(limit=99), None, directory=traced)[0].size == 4
    with pytest.raises(ValueError, match="rate_scale"):
        workload_span_s(trace(rate_scale=1e-308), None, traced)


def test_the_horizon_cuts_a_trace(traced):
    assert collect(trace(), 86401.5, directory=traced)[0].size == 3  # arrivals lie before the horizon
    assert collect(trace(), 86402.0, directory=traced)[0].size == 4
    assert collect(trace(), 1e-9, directory=traced)[0].size == 1
    assert workload_span_s(trace(), None, traced) == 86401.5
    assert workload_span_s(trace(), 60.0, traced) == 60.0
    assert workload_span_s(trace(), 1e9, traced) == 86401.5


def test_a_bad_trace_fails_before_the_first_chunk(tmp_path):
    with pytest.raises(TraceError, match="no such trace file"):
        request_chunks(trace(), None, 1, tmp_path)
    (tmp_path / "rows.csv").write_text(ROWS + "oops\n")
    with pytest.raises(TraceError, match="line 6"):
        request_chunks(trace(), None, 1, tmp_path)


@pytest.mark.parametrize(("horizon", "arrive"), [(None, 4), (86401.5, 3), (1e9, 4)])
def test_a_trace_is_parsed_once_a_run(traced, monkeypatch, horizon, arrive):
    parsed, checked = [], replay.checked
    monkeypatch.setattr(replay, "checked", lambda path, kind: parsed.append(path) or checked(path, kind))
    offered = Offered(trace(), horizon, 1, traced)
    assert offered.span_s == min(86401.5, horizon or np.inf)
    sent = np.concatenate([chunk[0] for chunk in offered.chunks()])
    assert len(parsed) == 1
    assert sent.tobytes() == collect(trace(), horizon, directory=traced)[0].tobytes()
    assert sent.size == arrive
