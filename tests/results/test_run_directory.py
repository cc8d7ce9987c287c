"""The run directory: whole or absent, the same bytes for the same run, never read when it is not what was written."""

import json
import os
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from infersim.results import directory as module
from infersim.results.directory import OutputError, RunDirectoryError, check_writable, read_run
from infersim.results.result import Result
from infersim.spec.scenario import Slo
from tests.results.run_records import edited, large_run, small_run

FILES = {"summary.json", "requests.parquet", "replicas.parquet", "timeline.parquet", "events.parquet", "scenario.yaml",
         "manifest.json", "plots/load.png", "plots/latency.png", "plots/queue.png", "plots/cost.png"}  # fmt: skip


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return Result(small_run(Slo(ttft_p99_s=1.0))).save(tmp_path / "run", "name: by-hand\n", plots=False)


def test_what_is_written(tmp_path: Path) -> None:
    folder = Result(small_run()).save(tmp_path / "a" / "b", "name: by-hand\n")
    assert folder == tmp_path / "a" / "b"
    assert set(content(folder)) == FILES
    assert os.listdir(folder.parent) == ["b"], "nothing hidden stays beside it"
    assert folder.stat().st_mode & 0o777 == folder.parent.stat().st_mode & 0o777


def test_same_run_same_bytes_anywhere(tmp_path: Path) -> None:
    first = content(Result(large_run(300)).save(tmp_path / "here", "x: 1\n"))
    second = content(Result(large_run(300)).save(tmp_path / "over" / "there", "x: 1\n"))
    assert first == second
    assert not any(str(tmp_path).encode() in data for data in first.values())


def test_reads_back_what_was_saved(saved: Path) -> None:
    result, read = Result(small_run(Slo(ttft_p99_s=1.0))), read_run(saved)
    for name in ("requests", "replicas", "timeline", "events"):
        pd.testing.assert_frame_equal(getattr(read, name), getattr(result, name))
        plain = pd.read_parquet(saved / f"{name}.parquet")
        pd.testing.assert_frame_equal(plain, getattr(result, name))
    assert read.scenario_yaml == "name: by-hand\n"
    assert read.summary["cost"] == result.summary["cost"]


def test_without_a_text_the_resolved_scenario_is_saved(tmp_path: Path) -> None:
    folder = Result(small_run(Slo(ttft_p99_s=1.0))).save(tmp_path / "run", plots=False)
    saved = yaml.safe_load((folder / "scenario.yaml").read_text())
    assert (saved["model"], saved["slo"], saved["facility"]["pue"]) == ("imaginary-1b", {"ttft_p99_s": 1.0}, 1.5)


def test_numbers_that_do_not_exist_are_null(tmp_path: Path) -> None:
    folder = Result(edited(small_run(), requests=0)).save(tmp_path / "run", "", plots=False)
    text = (folder / "summary.json").read_text()
    assert "NaN" not in text
    assert json.loads(text)["latency"]["ttft_s"]["p99"] is None


def test_sums_agree_to_the_cent_between_files(tmp_path: Path) -> None:
    read = read_run(Result(large_run(1000)).save(tmp_path / "run", "", plots=False))
    total = read.summary["cost"]["total_usd"]
    assert read.replicas["cost_usd"].sum() == pytest.approx(total, abs=0.005)
    assert read.timeline.groupby("pool", observed=True)["cost_usd"].last().sum() == pytest.approx(total, abs=0.005)


class TestInterruption:
    """An interruption at any point leaves what was there before."""

    @pytest.mark.parametrize("victim", ["write_parquet", "to_json", "_fingerprint", "_swap"])
    @pytest.mark.parametrize("nth", [1, 2])
    @pytest.mark.parametrize("before", [False, True])
    def test_while_writing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: str, nth: int, before: bool
    ) -> None:
        target = tmp_path / "runs" / "run"
        if before:
            Result(small_run()).save(target, "the earlier run\n", plots=False)
        earlier = content(target)
        interrupt(monkeypatch, module, victim, nth if victim != "_swap" else 1)
        with pytest.raises(KeyboardInterrupt):
            Result(small_run()).save(target, "the new run\n", plots=False)
        assert content(target) == earlier
        assert [path.name for path in tmp_path.glob("runs/*")] == (["run"] if before else [])
        assert list(tmp_path.glob("runs/.*")) == []

    @pytest.mark.parametrize("nth", [1, 2])
    def test_between_the_two_renames(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int) -> None:
        target = Result(small_run()).save(tmp_path / "run", "the earlier run\n", plots=False)
        earlier = content(target)
        interrupt(monkeypatch, os, "replace", nth)
        with pytest.raises(KeyboardInterrupt):
            Result(small_run()).save(target, "the new run\n", plots=False)
        monkeypatch.undo()
        assert content(target) == earlier
        assert os.listdir(tmp_path) == ["run"]


def interrupt(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, nth: int) -> None:
    """Make the nth call of a function end in Ctrl-C before it does anything."""
    real, calls = getattr(owner, name), []

    def interrupted(*given, **named):  # type: ignore[no-untyped-def]
        calls.append(name)
        if len(calls) == nth:
            raise KeyboardInterrupt
        return real(*given, **named)

    monkeypatch.setattr(owner, name, interrupted)


class TestWhereToWrite:
    """What `check_writable` refuses, and that it leaves no trace."""

    def test_absent_empty_and_earlier_runs_are_fine(self, tmp_path: Path, saved: Path) -> None:
        (tmp_path / "empty").mkdir()
        for name in ("absent", "some/where/deep", "empty", "run"):
            assert check_writable(tmp_path / name) == tmp_path / name
        assert sorted(os.listdir(tmp_path)) == ["empty", "run"]
        Result(small_run()).save(saved, "again\n", plots=False)
        assert (saved / "scenario.yaml").read_text() == "again\n"

    def test_a_link_is_followed(self, tmp_path: Path, saved: Path) -> None:
        (tmp_path / "latest").symlink_to("run")
        Result(small_run()).save(tmp_path / "latest", "through the link\n", plots=False)
        assert (saved / "scenario.yaml").read_text() == "through the link\n"
        assert (tmp_path / "latest").is_symlink()

    def test_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(OutputError, match="file is a file; name a directory"):
            check_writable(tmp_path / "file")
        with pytest.raises(OutputError, match=r"cannot write .*file/run: .*Not a directory"):
            check_writable(tmp_path / "file" / "run")

    def test_somebody_elses_directory(self, tmp_path: Path) -> None:
        (tmp_path / "thesis").mkdir()
        (tmp_path / "thesis" / "chapter1.tex").touch()
        with pytest.raises(OutputError, match=r"thesis holds 'chapter1.tex', which no infersim run wrote"):
            Result(small_run()).save(tmp_path / "thesis", "")
        assert os.listdir(tmp_path / "thesis") == ["chapter1.tex"]

    def test_a_run_with_somebodys_notes(self, saved: Path) -> None:
        (saved / "notes.md").write_text("do not lose me")
        with pytest.raises(OutputError, match=r"holds 'notes.md'"):
            check_writable(saved)

    def test_where_you_stand(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(OutputError, match="is the directory you are in; name one inside it, such as run"):
            check_writable(".")

    @pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs Linux's /proc, where nobody may write")
    def test_a_place_that_takes_no_files(self) -> None:
        with pytest.raises(OutputError, match=r"cannot write /proc/run: /proc: .*; name another directory"):
            check_writable("/proc/run")

    def test_a_full_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(module, "_fingerprint", full)
        with pytest.raises(OutputError, match=r"cannot write .*: No space left on device"):
            Result(small_run()).save(tmp_path / "run", "", plots=False)
        assert os.listdir(tmp_path) == []


class TestDamage:
    """A run directory that is not what was written is never read."""

    def test_truncated(self, saved: Path) -> None:
        path = saved / "requests.parquet"
        whole = path.read_bytes()
        path.write_bytes(whole[:100])
        with pytest.raises(RunDirectoryError, match=rf"requests.parquet is truncated: 100 of {len(whole)} bytes"):
            read_run(saved)

    @pytest.mark.parametrize("name", ["events.parquet", "summary.json", "scenario.yaml", "timeline.parquet"])
    def test_missing(self, saved: Path, name: str) -> None:
        (saved / name).unlink()
        with pytest.raises(RunDirectoryError, match=rf"{name} is missing; run the scenario again"):
            read_run(saved)

    def test_plots_may_be_deleted_but_not_edited(self, tmp_path: Path) -> None:
        saved = Result(small_run()).save(tmp_path / "run", "")
        (saved / "plots" / "cost.png").unlink()
        assert len(read_run(saved).requests) == 5
        (saved / "plots" / "load.png").write_bytes(b"another picture")
        with pytest.raises(RunDirectoryError, match=r"load.png is truncated"):
            read_run(saved)

    @pytest.mark.parametrize("name", ["summary.json", "replicas.parquet", "scenario.yaml"])
    def test_edited(self, saved: Path, name: str) -> None:
        data = bytearray((saved / name).read_bytes())
        data[len(data) // 2] ^= 1
        (saved / name).write_bytes(bytes(data))
        with pytest.raises(RunDirectoryError, match=rf"{name} was changed after the run"):
            read_run(saved)

    @pytest.mark.parametrize(
        "manifest",
        [b"", b"{", b"[]", b'{"format": 1}', b'"x"', b"\xff\xfe", b'{"format": "infersim run directory, version 2"}'],
    )
    def test_manifest(self, saved: Path, manifest: bytes) -> None:
        (saved / "manifest.json").write_bytes(manifest)
        with pytest.raises(RunDirectoryError, match=r"manifest\.json"):
            read_run(saved)

    def test_manifest_that_leaves_out_a_file(self, saved: Path) -> None:
        manifest = json.loads((saved / "manifest.json").read_text())
        del manifest["files"]["requests.parquet"]
        (saved / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(RunDirectoryError, match=r"damaged .*requests\.parquet"):
            read_run(saved)

    def test_not_a_run(self, tmp_path: Path) -> None:
        with pytest.raises(RunDirectoryError, match="is not a directory"):
            read_run(tmp_path / "nowhere")
        with pytest.raises(RunDirectoryError, match=r"has no manifest\.json"):
            read_run(tmp_path)


@pytest.mark.slow
def test_a_million_requests_are_written_in_three_seconds(tmp_path: Path) -> None:
    """Frames, summary and Parquet files; this process's time, as the machine is shared."""
    result = Result(large_run(1_000_000, slo=Slo(ttft_p99_s=1.5)))
    start = time.process_time()
    result.save(tmp_path / "run", "", plots=False)
    assert time.process_time() - start < 3.0
