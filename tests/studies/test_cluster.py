"""Beyond one process: a Dask scheduler and workers on the loopback give the same bytes; what is refused, and why."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infersim import sweep
from infersim.studies.errors import StudyError
from infersim.studies.sweep import TABLE
from tests.studies.scenarios import SMALL

pytest.importorskip("distributed", reason="the extra dask is not installed")

ROOT = Path(__file__).parents[2]
GRID = {"workload.arrivals.rate_rps": [1, 2, 3, 4], "pools.chat.replicas.initial": [1, 2]}


def started(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:]],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def worker(address: str) -> subprocess.Popen[str]:
    """A worker that is not restarted, so that killing it kills it."""
    return started("dask_worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1")


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[str, list[subprocess.Popen[str]]]]:
    """The address of a scheduler with two workers, and the workers."""
    scheduler = started("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    assert scheduler.stderr is not None
    line = next(line for line in scheduler.stderr if "Scheduler at:" in line)
    address = line.split("Scheduler at:")[1].strip()
    processes = [worker(address), worker(address)]
    from distributed import Client

    with Client(address, timeout=30) as client:
        client.wait_for_workers(2, timeout=60)
    yield address, processes
    for process in [*processes, scheduler]:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_the_same_bytes_as_on_one_machine(cluster, tmp_path: Path) -> None:
    sweep(SMALL, GRID, out=tmp_path / "here")
    sweep(SMALL, GRID, out=tmp_path / "there", cluster=cluster[0])
    assert (tmp_path / "here" / TABLE).read_bytes() == (tmp_path / "there" / TABLE).read_bytes()


@pytest.mark.slow
def test_a_worker_of_another_version_is_refused(cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infersim.studies.tasks.__version__", "9.9.9")
    with pytest.raises(StudyError, match=r"worker tcp://127.0.0.1:\d+ has infersim .* and here it is 9.9.9"):
        sweep(SMALL, GRID, cluster=cluster[0])


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_loses_nothing(cluster, tmp_path: Path) -> None:
    address, processes = cluster
    whole = sweep(SMALL, GRID, settings=["horizon_s=200"]).table

    def kill_one(done: float, to_do: float) -> None:
        if done == 2:
            processes[0].send_signal(signal.SIGKILL)
            time.sleep(0.2)

    again = sweep(SMALL, GRID, settings=["horizon_s=200"], cluster=address, progress=kill_one)
    assert processes[0].wait(10) != 0
    assert again.table.equals(whole)
    assert len(again.failed) == 0


def test_an_address_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infersim.studies.tasks.CONNECT_S", 0.5)
    with pytest.raises(StudyError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9"):
        sweep(SMALL, GRID, cluster="tcp://127.0.0.1:9")
    with pytest.raises(StudyError, match="no Dask scheduler answers at nonsense://"):
        sweep(SMALL, GRID, cluster="nonsense://x")
