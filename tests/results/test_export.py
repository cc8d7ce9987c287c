"""Exports: read back by independent readers, they say what the run says."""

import csv
import io
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from infersim.results.directory import OutputError
from infersim.results.export import FORMATS, exported, write_exports
from infersim.results.perfetto import MOST_REQUESTS
from infersim.results.prometheus import HISTOGRAMS
from infersim.results.result import Result
from infersim.spec.scenario import Slo
from tests.results.run_records import edited, large_run, pool_record, small_run

PAGE = Path(__file__).parents[2] / "docs" / "reading_runs.md"
SHELL = os.environ.get("TRACE_PROCESSOR_SHELL") or shutil.which("trace_processor_shell")


@pytest.fixture(scope="module")
def run() -> Result:
    return Result(large_run(600, slo=Slo(ttft_p99_s=1.0)))


def trace(result: Result) -> list[dict]:
    return json.loads(exported(result, ["perfetto"])["trace.json"])["traceEvents"]


def queries(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_every_format_of_a_result_and_its_directory(run: Result, tmp_path: Path) -> None:
    folder = run.save(tmp_path / "run", plots=False, exports=FORMATS)
    again = exported(folder, FORMATS)
    assert len(again) == 9
    assert again == {name: (folder / name).read_bytes() for name in again}
    paths = write_exports(tmp_path / "exports", folder, ["csv", "aiperf"])
    assert [path.name for path in paths] == [*(f"{n}.csv" for n in ("requests", "replicas", "timeline", "events")),
                                            "profile_export_aiperf.json"]  # fmt: skip


def test_an_unknown_format(run: Result) -> None:
    with pytest.raises(OutputError, match="unknown export format 'xml'; known: csv, json, perfetto"):
        exported(run, ["xml"])


@pytest.mark.parametrize(
    "changes", [{"requests": 0}, {"requests": slice(3, 4)}, {"samples": 0}, {"requests": 0, "leases": 0}]
)
@pytest.mark.filterwarnings("error")
def test_runs_with_little_to_export(changes: dict) -> None:
    files = exported(Result(edited(small_run(), **changes)), FORMATS)
    for name in ("trace.json", "vllm_bench.json", "profile_export_aiperf.json"):
        assert b"NaN" not in files[name]


def test_tables_hold_every_request(run: Result) -> None:
    files = exported(run, ["csv", "json"])
    rows = list(csv.DictReader(io.StringIO(files["requests.csv"].decode())))
    lines = [json.loads(line) for line in files["requests.jsonl"].splitlines()]
    for records in (rows, lines):
        assert sum(int(row["output_tokens"]) for row in records) == run.requests["output_tokens"].sum()
    assert float(rows[17]["ttft_s"]) == run.requests["ttft_s"][17]


def test_benchmark_files_agree_with_numpy(run: Result) -> None:
    files = exported(run, ["vllm-bench", "aiperf"])
    bench, aiperf = json.loads(files["vllm_bench.json"]), json.loads(files["profile_export_aiperf.json"])
    ttft = (run.record.outcomes["first_token_s"] - run.record.outcomes["arrival_s"]) * 1e3
    assert bench["p99_ttft_ms"] == pytest.approx(np.percentile(ttft, 99))
    assert bench["std_ttft_ms"] == pytest.approx(np.std(ttft))
    assert aiperf["time_to_first_token"]["p25"] == pytest.approx(np.percentile(ttft, 25))
    assert bench["completed"] == aiperf["request_count"]["avg"] == 600
    assert bench["request_throughput"] * bench["duration"] == pytest.approx(600)


class TestPrometheus:
    def samples(self, result: Result) -> dict[str, float]:
        text = exported(result, ["prometheus"])["metrics.prom"].decode()
        pattern = re.compile(r'^([a-z0-9_:]+)\{((?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)+)\} (\S+)$')
        found = {}
        for line in text.splitlines():
            if not line.startswith("# "):
                match = pattern.match(line)
                assert match, line
                found[f"{match[1]}{{{match[2]}}}"] = float(match[3])
        return found

    def test_counts_add_up(self, run: Result) -> None:
        found = self.samples(run)
        for name, (column, _) in HISTOGRAMS.items():
            counts = [value for key, value in found.items() if key.startswith(f"{name}_count")]
            sums = [value for key, value in found.items() if key.startswith(f"{name}_sum")]
            assert sum(counts) == run.requests[column].notna().sum()
            assert sum(sums) == pytest.approx(run.requests[column].sum())
        below = sum(
            v for k, v in found.items() if k.startswith("vllm:time_to_first_token_seconds_bucket") and 'le="0.25"' in k
        )
        assert below == (run.requests["ttft_s"] <= 0.25).sum()

    def test_names_are_escaped(self) -> None:
        assert self.samples(Result(edited(small_run(), pools=[pool_record('a "b"\\\n')])))


class TestPerfetto:
    def test_slices_nest_and_arrows_land(self, run: Result) -> None:
        """What the trace processor would refuse: unbalanced slices, flows without a slice at their ends."""
        events = trace(run)
        open_slices: dict = {}
        for event in events:
            if event["ph"] == "b":
                open_slices[(event["id"], event["name"])] = event["ts"]
            elif event["ph"] == "e":
                assert open_slices.pop((event["id"], event["name"])) <= event["ts"]
        assert not open_slices
        slices = {(e["pid"], e["tid"], e["ts"]) for e in events if e["ph"] == "X"}
        arrows = [e for e in events if e["ph"] in "sf"]
        assert len(arrows) == 2 * 600
        assert all((e["pid"], e["tid"], e["ts"]) in slices for e in arrows)

    def test_replicas_live_as_long_as_they_are_billed(self) -> None:
        events = trace(Result(small_run()))
        lives = [(e["tid"] - 2, e["name"], e["ts"] / 1e6, e["dur"] / 1e6) for e in events
                 if e["ph"] == "X" and e["name"] in ("starting", "ready", "draining")]  # fmt: skip
        assert lives == [(0, "ready", 0.0, 20.0), (1, "starting", 4.0, 4.0), (1, "ready", 8.0, 6.0),
                         (1, "draining", 14.0, 1.0), (2, "starting", 16.0, 4.0)]  # fmt: skip
        assert {e["name"] for e in events if e["ph"] == "i"} == {"scale", "ready"}

    def test_many_requests_are_thinned(self) -> None:
        events = trace(Result(large_run(MOST_REQUESTS + 5)))
        assert sum(e["ph"] == "s" for e in events) == (MOST_REQUESTS + 5 + 1) // 2

    @pytest.mark.skipif(SHELL is None, reason="no trace_processor_shell here (the perfetto package downloads its own)")
    def test_the_trace_processor_answers_the_queries_of_the_docs(self, run: Result, tmp_path: Path) -> None:
        perfetto = pytest.importorskip("perfetto.trace_processor")
        (path,) = write_exports(tmp_path, run, ["perfetto"])
        with perfetto.TraceProcessor(str(path), config=perfetto.TraceProcessorConfig(bin_path=SHELL)) as processor:
            tables = [list(processor.query(query)) for query in queries("perfetto")]
            (losses,) = processor.query("SELECT sum(value) AS n FROM stats WHERE severity IN ('error', 'data_loss')")
            (flows,) = processor.query("SELECT count(*) AS n FROM flow")
        spans = {(row.pool, row.name): row.seconds for row in tables[0]}
        assert set(spans) == {(f"pool {pool}", name) for pool in ("reserved", "spot") for name in ("starting", "ready")}
        replicas = run.replicas.set_index("pool")
        for pool in ("reserved", "spot"):
            starting = replicas.loc[pool, "ready_s"] - replicas.loc[pool, "requested_s"]
            assert spans[f"pool {pool}", "starting"] == pytest.approx(starting, abs=1e-6)
        assert {row.name: row.slices for row in tables[1]}["request"] == 600
        assert (losses.n or 0, flows.n) == (0, 600)


def test_duckdb_answers_the_queries_of_the_docs(run: Result, tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    folder = run.save(tmp_path / "run", plots=False)
    hours, pools = (duckdb.sql(query.replace("RUN", str(folder))).df() for query in queries("sql"))
    hour = (run.requests["arrival_s"] // 3600).rename("hour")
    expected = run.requests.groupby(hour)["ttft_s"].quantile(0.99)
    np.testing.assert_allclose(hours["ttft_p99_s"], expected)
    assert hours["requests"].sum() == 600
    assert pools["usd"].sum() == pytest.approx(run.summary["cost"]["total_usd"])
