"""Recordings beside requests against the figures of shared/traces/README.md, and by hand."""

import json
from pathlib import Path

import pytest

from infersim.workload.formats.format import head_of
from infersim.workload.inspect_recorded import RecordedInspection, recording
from infersim.workload.traces import TraceError
from tests.workload.test_inspect import SHARED, check, real


def inspected(path: Path) -> RecordedInspection:
    inspect = recording(head_of(path))
    assert inspect is not None
    return inspect(path)


@real
def test_burstgpt():
    daily = inspected(SHARED / "burstgpt" / "burstgpt1_daily.csv").figures
    requests = daily["requests"]
    assert (daily["rows"], requests["sum"], daily["total_tokens"]["sum"]) == (61, 1_429_737, 1_049_263_050)
    check([requests[key] for key in ("least", "most", "peak_to_mean", "cv")], "1576", "149520", "6.38", "1.14")
    hours = inspected(SHARED / "burstgpt" / "burstgpt1_hour_of_day.csv").figures["requests_per_hour"]
    check([hours[key] for key in ("least", "most", "most_to_least")], "153", "1796", "11.7")
    assert (hours["hour_of_least"], hours["hour_of_most"]) == (7, 14)


@real
def test_energy():
    price = inspected(SHARED / "energy" / "CAISO_LMP_20240509_20240521.csv")
    assert (price.figures["rows"], price.figures["step_s"], price.warnings) == (3468, 300, [])
    value = price.figures["value"]
    check([value[key] for key in ("mean", "p5", "p50", "p95")], "11.48", "-43.6", "17.4", "45.7")
    check([100 * value["negative_share"]], "31.8")
    for grid, *published in (
        ("CISO", "256", "116", "377", "1.76"), ("NYIS", "273", "218", "333", "1.11"),
        ("ERCO", "347", "214", "457", "1.20"),
    ):  # fmt: skip
        found = inspected(SHARED / "energy" / f"carbon_{grid}_2022_hourly.csv.gz")
        value = found.figures["value"]
        check([value["mean"], value["p5"], value["p95"], found.figures["most_to_least_hour"]], *published)
        assert found.warnings == (["3 lines have no value; a run that reads them stops"] if grid == "CISO" else [])


@real
def test_spot():
    fleet = inspected(SHARED / "spot" / "bamboo_p3-trace.csv").figures
    assert (fleet["rows"], fleet["most_nodes"]) == (344, 32)
    check([fleet["span_h"]], "11.4")
    cloud = inspected(SHARED / "spot" / "bamboo_gcloud_v100x1-east1c.txt").figures
    assert (cloud["rows"], cloud["least_nodes"], cloud["most_nodes"]) == (1477, 30, 80)
    check([cloud["span_h"]], "24")


@real
def test_faults():
    found = inspected(SHARED / "failures" / "infinitehbd_fault_trace.json.gz").figures
    assert (found["faults"], found["nodes_with_faults"]) == (584, 231)
    check([found["span_d"]], "349")
    rate = found["faults_per_node_year"]
    check([rate["all"], rate["Hardware Failure"], rate["GPU"]], "1.53", "0.78", "0.41")
    check(found["between_faults_h"], "14.2", "5.6", "1.76")
    check(found["repair_h"], "132.8", "20.4", "311", "1966", "2.71", "2.52")


def written(folder: Path, text: str) -> Path:
    path = folder / "recording.csv"
    path.write_text(text)
    return path


def test_a_fleet_by_hand(tmp_path: Path):
    """One node for an hour, two for the next, one for two more: 5 node-hours in 4 h."""
    found = inspected(written(tmp_path, "0,add,a\n3600000,add,b\n7200000,remove,a\n14400000,remove,b\n")).figures
    assert found["mean_nodes"] == pytest.approx(5 / 4)
    assert (found["span_h"], found["least_nodes"], found["nodes_taken_back"]) == (4, 0, 2)


def test_faults_by_hand(tmp_path: Path):
    """Two faults of one node overlap: 24 h and 48 h; a third is never mended."""
    events = [("a", 1, "start", "GPU"), ("a", 2, "start", "NIC"), ("a", 2, "end", "GPU"), ("a", 4, "end", "NIC"),
              ("b", 10, "start", "GPU")]  # fmt: skip
    entries = [
        {"node_id": node, "event_time": day, "event_type": f"fault_{kind}", "fault_type": {"Level": "H", "Class": what}}
        for node, day, kind, what in events
    ]
    found = inspected(written(tmp_path, json.dumps(entries))).figures
    assert (found["repair_h"]["mean"], found["between_faults_h"]["mean"]) == (36, 24 * 4.5)
    assert found["faults_per_node_year"]["GPU"] == pytest.approx(2 / (400 * 10 / 365.25))


def test_gaps_and_missing_values_are_told(tmp_path: Path):
    lines = ["timestamp,avg_CI", *(f"2022-01-01 {hour:02}:00:00,{hour}" for hour in (0, 1, 2, 3, 6)),
             "2022-01-01 07:00:00,"]  # fmt: skip
    found = inspected(written(tmp_path, "\n".join(lines)))
    assert found.figures["value"]["mean"] == pytest.approx(12 / 5)
    assert found.warnings == [
        "1 gaps: lines are more than 3600 s apart", "1 lines have no value; a run that reads them stops"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("day,requests\n0,many\n", "line 2: found '0,many'; a line has 2 numbers: day,requests"),
        ("day,requests\n0,1,2\n1,3\n", "line 2: found '0,1,2'"),
        ("time_s,value\n0,1\n", "one line of values"),
        ("time_s,value\n0,\n1,\n", "has no value"),
        ("0,add,a\n1,remove,b\n", "cannot remove b"),
        ("timestamp,avg_CI\n2022-01-01,5\n2022-01-01,6\n", "times must rise"),
        ('[{"node_id": "a", "event_time": "soon", "event_type": "fault_start"}]', "number of days"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, text: str, told: str):
    with pytest.raises(TraceError, match=told):
        inspected(written(tmp_path, text))
