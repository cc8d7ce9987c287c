"""Recorded series, spot capacities and faults: the documented formats, their gaps, and the real files where they are."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest

from infersim.spec.faults import FaultTrace
from infersim.spec.series import Capacity, Series
from infersim.workload.faults import recorded_faults
from infersim.workload.recorded import capacity, series
from infersim.workload.traces import TraceError

SHARED = Path(os.environ.get("INFERSIM_SHARED", Path(__file__).parents[2] / ".." / "shared")) / "traces"
needs_traces = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no recorded traces in {SHARED}")

HOURLY = """timestamp,WND,avg_CI
2022-01-01 00:00:00+00:00,1,100
2022-01-01 01:00:00+00:00,2,300
2022-01-01 02:00:00+00:00,3,200
"""


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize("name", ["ci.csv", "ci.csv.gz"])
def test_hourly(tmp_path: Path, name: str) -> None:
    written(tmp_path, name, HOURLY)
    found = series(Series(file=name, scale=0.5), 10_800, tmp_path)
    assert found.at([0, 3599, 3600, 7200, 9e9]).tolist() == [50, 50, 150, 100, 100]
    assert found.integral(5400) == 50 * 3600 + 150 * 1800
    wind = series(Series(file=name, column="WND", start="2022-01-01 01:00", repeat=True), 1e6, tmp_path)
    assert wind.at([0, 3600, 7200, 10800]).tolist() == [2, 3, 2, 3]
    assert wind.integral(7200 * 3 + 3600) == 3 * 5 * 3600 + 2 * 3600


def test_seconds(tmp_path: Path) -> None:
    written(tmp_path, "p.csv", "time_s,value\n0,2\n10,4\n15,0\n")
    found = series(Series(file="p.csv"), 1e6, tmp_path)
    assert found.at([0, 9.99, 10, 15, 99]).tolist() == [2, 2, 4, 0, 0]
    assert found.next_change(0) == 10
    assert found.next_change(15) == np.inf


@pytest.mark.parametrize(
    ("text", "span_s", "problem", "line"),
    [
        (HOURLY.replace("2022-01-01 01:00:00+00:00,2,300\n", "") + "2022-01-01 03:00:00+00:00,1,1\n"
         + "2022-01-01 04:00:00+00:00,1,1\n", 14_400, "has a gap: nothing between", 3),
        (HOURLY.replace(",300", ","), 10_800, "has a gap: no value", 3),
        (HOURLY, 10_801, "holds 10800 s from its start on", None),
        (HOURLY.replace("02:00", "00:30"), 3600, "times must rise", 4),
        (HOURLY.replace("00:00:00+00:00,1", "noon,1"), 3600, "found '2022-01-01 noon'", 2),
        (HOURLY.replace("300", "much"), 10_800, "found 'much'", 3),
        ("time_s,value\n5,1\n6,2\n", 5, "begins at 5 s", 2),
        ("time_s,value\n", 5, "holds no values", None),
    ],
)  # fmt: skip
def test_faults_of_a_series(tmp_path: Path, text: str, span_s: float, problem: str, line: int | None) -> None:
    written(tmp_path, "s.csv", text)
    with pytest.raises(TraceError, match=problem) as caught:
        series(Series(file="s.csv"), span_s, tmp_path)
    assert caught.value.line == line


def test_a_gap_outside_the_run_does_not_matter(tmp_path: Path) -> None:
    text = HOURLY + "2022-01-01 03:00:00+00:00,1,1\n2022-01-01 09:00:00+00:00,1,1\n"
    written(tmp_path, "s.csv", text)
    assert series(Series(file="s.csv"), 10_800, tmp_path).at(10_799) == 200


def test_spot_capacities(tmp_path: Path) -> None:
    written(tmp_path, "fleet.csv", "0,add,a\n0,add,b\n0,add,c\n5000,remove,b\n7000,add,d\n7000,add,e\n")
    found = capacity(Capacity(file="fleet.csv"), tmp_path)
    assert found.at([0, 4.9, 5, 7]).tolist() == [3, 3, 2, 4]
    assert capacity(Capacity(file="fleet.csv", nodes_per_replica=2), tmp_path).at([0, 5, 7]).tolist() == [1, 1, 2]
    written(tmp_path, "count.txt", "2021-12-10, 13:00:00, 80\n2021-12-10, 13:01:00, 70\n")
    assert capacity(Capacity(file="count.txt"), tmp_path).at([0, 60]).tolist() == [80, 70]
    written(tmp_path, "bad.csv", "0,add,a\n1,remove,b\n")
    with pytest.raises(TraceError, match="cannot remove b, which is not there") as caught:
        capacity(Capacity(file="bad.csv"), tmp_path)
    assert caught.value.line == 2


def test_faults_overlap_begin_before_and_never_end(tmp_path: Path) -> None:
    def fault(node: str, day: float, kind: str) -> dict:
        return {"node_id": node, "event_time": day, "event_type": f"fault_{kind}", "fault_type": {"Level": "Hardware"}}

    entries = [
        fault("a", 1, "start"), fault("a", 2, "start"), fault("a", 3, "end"), fault("a", 4, "end"),
        fault("b", 1.5, "end"), fault("c", 9, "start"),
    ]  # fmt: skip
    written(tmp_path, "f.json", json.dumps(entries))
    found = recorded_faults(FaultTrace(file="f.json", nodes=3), np.random.default_rng(1), tmp_path)
    days = sorted((fault.begin_s / 86400, fault.end_s / 86400) for fault in found)
    assert days == [(0, 1.5), (1, 4), (9, np.inf)]
    assert sorted(fault.node for fault in found) == [0, 1, 2]
    later = recorded_faults(FaultTrace(file="f.json", nodes=3, from_day=2), np.random.default_rng(1), tmp_path)
    assert sorted((fault.begin_s / 86400, fault.end_s / 86400) for fault in later) == [(0, 2), (7, np.inf)]
    with pytest.raises(TraceError, match="faults on 3 nodes, but nodes says that 2"):
        recorded_faults(FaultTrace(file="f.json", nodes=2), np.random.default_rng(1), tmp_path)
    with pytest.raises(TraceError, match="no fault of level Software; it has Hardware"):
        recorded_faults(FaultTrace(file="f.json", level="Software"), np.random.default_rng(1), tmp_path)


@needs_traces
def test_the_published_energy_files() -> None:
    """Means as the README of the traces has them: 11.48 USD/MWh, 273 g/kWh; CISO has missing hours."""
    energy = SHARED / "energy"
    price = series(Series(file=str(energy / "CAISO_LMP_20240509_20240521.csv"), scale=0.001), 3468 * 300)
    assert price.mean(3468 * 300) * 1000 == pytest.approx(11.48, abs=0.01)
    year = 8760 * 3600
    carbon = series(Series(file=str(energy / "carbon_NYIS_2022_hourly.csv.gz")), year)
    assert carbon.mean(year) == pytest.approx(273, abs=1)
    with pytest.raises(TraceError, match="has a gap"):
        series(Series(file=str(energy / "carbon_CISO_2022_hourly.csv.gz")), year)


@needs_traces
def test_the_published_spot_and_failure_files() -> None:
    """32 nodes at most, 80 nodes at most; 584 faults on 231 of 400 servers."""
    assert capacity(Capacity(file=str(SHARED / "spot" / "bamboo_p3-trace.csv"))).values.max() == 32
    assert capacity(Capacity(file=str(SHARED / "spot" / "bamboo_gcloud_v100x1-east1c.txt"))).values.max() == 80
    file = SHARED / "failures" / "infinitehbd_fault_trace.json.gz"
    found = recorded_faults(FaultTrace(file=str(file)), np.random.default_rng(1))
    assert len({fault.node for fault in found}) == 231
    assert 500 < len(found) <= 584
