"""Sweeps: grids, the same table for any number of workers, resuming, failures, and what is refused beforehand."""

import math
from pathlib import Path

import pandas as pd
import pytest

import infersim.studies.sweep as module
from infersim import simulate, sweep
from infersim.studies.errors import StudyError
from infersim.studies.grid import Range, cartesian, latin_hypercube, parse_grid
from infersim.studies.rows import flat
from infersim.studies.tasks import Machines, each
from tests.studies.scenarios import SMALL

GRID = {"workload.arrivals.rate_rps": [2, 4], "pools.chat.replicas.initial": [1, 2]}


def test_grids_are_read_as_yaml() -> None:
    grid = parse_grid(["a.b=1, 2.5", "c=x,[1, 2],null", "d=1..8", "e=0.1..10:log", "f={k: 1},{k: 2}"])
    assert grid == {
        "a.b": [1, 2.5],
        "c": ["x", [1, 2], None],
        "d": Range(1, 8),
        "e": Range(0.1, 10.0, log=True),
        "f": [{"k": 1}, {"k": 2}],
    }


def test_all_combinations_the_last_key_fastest() -> None:
    points = cartesian({"a": [1, 2], "b": ["x", "y"]})
    assert [tuple(point.values()) for point in points] == [(1, "x"), (1, "y"), (2, "x"), (2, "y")]


def test_a_latin_hypercube_meets_every_share_once() -> None:
    grid = {"real": Range(0.0, 10.0), "log": Range(1.0, 1024.0, log=True), "whole": Range(1, 10), "word": list("abcde")}
    points = latin_hypercube(grid, 10, seed=3)
    assert sorted(int(p["real"]) for p in points) == list(range(10))
    assert sorted(int(math.log2(p["log"])) for p in points) == list(range(10))
    assert sorted(p["whole"] for p in points) == list(range(1, 11))
    assert sorted(p["word"] for p in points) == sorted("abcde" * 2)
    assert points == latin_hypercube(grid, 10, seed=3) != latin_hypercube(grid, 10, seed=4)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["pools.0.x"], "is not key=v1,v2"),
        (["a="], "has no values"),
        (["a=1", "a=2"], "a is given twice"),
        (["a=[1"], "is not YAML"),
        (["a=5..2"], "write it upwards"),
        (["a=0..2:log"], "begin above 0"),
        (["a=1..2"], "add --sample N"),
        ([], "the grid is empty"),
    ],
)
def test_bad_grids(texts: list[str], words: str) -> None:
    with pytest.raises(StudyError, match=words.replace("(", r"\(")):
        cartesian(parse_grid(texts))


def test_a_row_is_the_summary_of_that_run() -> None:
    table = sweep(SMALL, GRID).table
    assert list(table["workload.arrivals.rate_rps"]) == [2, 2, 4, 4]
    assert list(table["status"]) == ["done"] * 4
    alone = simulate(SMALL | {"pools": [SMALL["pools"][0] | {"replicas": {"initial": 2}}]})
    for key, value in flat(alone.summary).items():
        if isinstance(value, float) and key in table:
            assert table.loc[3, key] == value, key


def test_common_random_numbers() -> None:
    """Points that differ in the fleet see the same requests."""
    table = sweep(SMALL, GRID).table
    by_rate = table.groupby("workload.arrivals.rate_rps")
    for key in ("requests.arrived", "requests.input_tokens", "requests.output_tokens"):
        assert (by_rate[key].nunique() == 1).all()


def test_the_same_table_for_any_number_of_workers(tmp_path: Path) -> None:
    for workers in (1, 2):
        sweep(SMALL, GRID, workers=workers, out=tmp_path / str(workers))
    one, two = ((tmp_path / name / module.TABLE).read_bytes() for name in "12")
    assert one == two
    assert len(pd.read_parquet(tmp_path / "2" / module.TABLE)) == 4


def test_an_interrupted_sweep_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sweep(SMALL, GRID, out=tmp_path / "whole").table
    runs = []

    def interrupted(resolved):
        runs.append(resolved)
        if len(runs) == 3:
            raise KeyboardInterrupt
        return original(resolved)

    original = module.run_row
    monkeypatch.setattr(module, "run_row", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sweep(SMALL, GRID, out=tmp_path / "cut")
    again = sweep(SMALL, GRID, out=tmp_path / "cut")
    assert again.reused == 2
    assert len(runs) == 3 + 2
    pd.testing.assert_frame_equal(again.table, whole)
    more = sweep(SMALL, GRID | {"pools.chat.replicas.initial": [1, 2, 3]}, out=tmp_path / "cut")
    assert more.reused == 4
    other = sweep(SMALL, GRID, out=tmp_path / "cut", settings=["seed=2"])
    assert other.reused == 0


def test_a_failed_point_does_not_stop_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    def fragile(resolved):
        if resolved.pools[0].pool.replicas.initial == 2:
            raise RuntimeError("out of luck")
        return original(resolved)

    original = module.run_row
    monkeypatch.setattr(module, "run_row", fragile)
    found = sweep(SMALL, GRID)
    assert list(found.table["status"]) == ["done", "failed"] * 2
    assert list(found.failed["why"]) == ["RuntimeError: out of luck"] * 2


def test_points_that_cannot_run_are_told_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "run_row", lambda _: pytest.fail("something ran"))
    grid = {"model": ["llama-3.1-8b", "llama-3.1-70b"]}
    with pytest.raises(
        StudyError, match=r"1 of 2 points cannot run.*(?s:.)*model=\"llama-3.1-70b\"(?s:.)*does not fit"
    ):
        sweep(SMALL, grid)
    with pytest.raises(StudyError, match="did you mean replicas"):
        sweep(SMALL, {"pools.0.replica.initial": [1, 2]})


def test_or_left_out() -> None:
    table = sweep(SMALL, {"model": ["llama-3.1-8b", "llama-3.1-70b"]}, skip_invalid=True).table
    assert list(table["status"]) == ["done", "invalid"]
    assert "does not fit" in table.loc[1, "why"]


def test_progress_counts_points() -> None:
    told: list[tuple[float, float]] = []
    sweep(SMALL, GRID, progress=lambda done, to_do: told.append((done, to_do)))
    assert told == [(k, 4) for k in range(5)]


def test_tasks_answer_with_their_numbers() -> None:
    assert sorted(each(abs, [-3, -2, -1], Machines(workers=2))) == [(0, 3), (1, 2), (2, 1)]
