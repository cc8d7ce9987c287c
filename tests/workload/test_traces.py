"""Where a trace file is sought, in which order, and what is said when it is nowhere."""

import os
from pathlib import Path

import pytest

from infersim.workload.traces import VARIABLE, TraceError, find_trace


@pytest.fixture
def places(tmp_path: Path, monkeypatch) -> Path:
    """A scenario's folder, and a folder of traces two levels deep; $INFERSIM_TRACES is unset."""
    for name in ("scenario/near.csv", "traces/top.csv", "traces/azure/inner.csv", "traces/azure/deep/deepest.csv"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    monkeypatch.delenv(VARIABLE, raising=False)
    return tmp_path


def test_absolute_and_beside_the_scenario(places):
    near = places / "scenario" / "near.csv"
    assert find_trace(str(near), places / "traces") == near
    assert find_trace("near.csv", near.parent) == near
    assert find_trace("../traces/top.csv", near.parent).samefile(places / "traces" / "top.csv")


def test_the_working_directory_where_there_is_no_scenario(places, monkeypatch):
    monkeypatch.chdir(places / "scenario")
    assert find_trace("near.csv").samefile(places / "scenario" / "near.csv")


@pytest.mark.parametrize("name", ["top.csv", "azure/inner.csv", "inner.csv", "deepest.csv", "deep/deepest.csv"])
def test_folders_of_the_variable_and_their_subfolders(places, monkeypatch, name):
    monkeypatch.setenv(VARIABLE, os.pathsep.join([str(places / "absent"), "", str(places / "traces")]))
    assert find_trace(name, places / "scenario").name == name.split("/")[-1]


def test_a_file_in_the_variable_counts_only_by_its_own_name(places, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(places / "traces" / "top.csv"))
    assert find_trace("top.csv", places / "scenario") == places / "traces" / "top.csv"
    with pytest.raises(TraceError, match="no such trace file"):
        find_trace("other.csv", places / "scenario")


def test_beside_the_scenario_wins_then_the_first_entry(places, monkeypatch):
    (places / "traces" / "near.csv").write_text("another")
    (places / "other").mkdir()
    (places / "other" / "top.csv").write_text("another")
    monkeypatch.setenv(VARIABLE, os.pathsep.join([str(places / "traces"), str(places / "other")]))
    assert find_trace("near.csv", places / "scenario").parent.name == "scenario"
    assert find_trace("top.csv", places / "scenario").parent.name == "traces"


def test_two_files_of_one_name_are_not_guessed_between(places, monkeypatch):
    (places / "traces" / "b").mkdir()
    (places / "traces" / "b" / "inner.csv").write_text("another")
    monkeypatch.setenv(VARIABLE, str(places / "traces"))
    with pytest.raises(TraceError, match=r"there twice.*azure.*b"):
        find_trace("inner.csv", places / "scenario")
    assert find_trace("b/inner.csv", places / "scenario").parent.name == "b"


def test_nowhere_says_where_it_was_sought(places, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(places / "traces"))
    with pytest.raises(TraceError) as caught:
        find_trace("absent.csv", places / "scenario")
    for part in (str(places / "scenario" / "absent.csv"), str(places / "traces"), VARIABLE, "absolute path"):
        assert part in str(caught.value)
    with pytest.raises(TraceError, match="give a path that exists"):
        find_trace(str(places / "absent.csv"), places / "scenario")


@pytest.mark.parametrize("name", ["", ".", "azure", "a\0b", "x" * 5000])
def test_names_that_are_no_files(places, monkeypatch, name):
    monkeypatch.setenv(VARIABLE, str(places / "traces"))
    with pytest.raises(TraceError):
        find_trace(name, places / "scenario")
