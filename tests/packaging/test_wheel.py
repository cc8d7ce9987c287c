"""An installed infersim works anywhere: build the wheel, install it into an empty environment, run from elsewhere."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(
    str(file.relative_to(ROOT))
    for folder in ("hardware_profiles", "scenarios")
    for file in (ROOT / folder).rglob("*.yaml")
)

pytestmark = pytest.mark.slow


def call(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution, so that both are tested."""
    out = tmp_path_factory.mktemp("dist")
    done = call(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment that holds infersim and what it depends on, nothing else."""
    venv = tmp_path_factory.mktemp("empty") / "venv"
    assert call(sys.executable, "-m", "venv", venv, cwd=venv.parent).returncode == 0
    done = call(venv / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-compile", wheel, cwd=venv.parent)
    if done.returncode != 0 and "connection broken by" in done.stderr:
        pytest.skip("no package registry can be reached, so the dependencies cannot be installed")
    assert done.returncode == 0, done.stderr
    return venv / "bin"


@pytest.fixture
def elsewhere(tmp_path: Path) -> dict:
    """Keyword arguments that run a command far from the checkout, with nothing of this session's environment.

    The loop is compiled without optimising it, which is half the work, for it is the installation that is looked at.
    """
    keep = ("HOME", "PATH", "LANG", "TMPDIR")
    env = {name: os.environ[name] for name in keep if name in os.environ} | {"NUMBA_OPT": "0"}
    return {"cwd": tmp_path, "env": env}


def test_profiles_and_scenarios_travel_in_the_wheel(wheel: Path) -> None:
    assert any(name.startswith("hardware_profiles/") for name in SHIPPED)
    assert any(name.startswith("scenarios/") for name in SHIPPED)
    inside = set(zipfile.ZipFile(wheel).namelist())
    assert {f"infersim/_shipped/{name}" for name in SHIPPED} <= inside


def test_nothing_else_travels_in_the_wheel(wheel: Path) -> None:
    outside = [
        name
        for name in zipfile.ZipFile(wheel).namelist()
        if not name.startswith(("infersim/", "infersim-")) or "__pycache__" in name or name.endswith((".nbi", ".nbc"))
    ]
    assert outside == []


def test_a_shipped_scenario_runs_from_elsewhere(installed: Path, elsewhere: dict) -> None:
    done = call(installed / "infersim", "run", "chat_burst", "--set", "horizon_s=60", "--json", **elsewhere)
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)
    (run,) = (elsewhere["cwd"] / "runs").iterdir()
    assert {"summary.json", "scenario.yaml", "requests.parquet"} <= {file.name for file in run.iterdir()}


def test_every_shipped_name_is_found_from_elsewhere(installed: Path, elsewhere: dict) -> None:
    for kind in ("hardware", "model", "engine"):
        done = call(installed / "infersim", kind, "list", "--json", **elsewhere)
        assert done.returncode == 0, done.stderr
        assert len(json.loads(done.stdout)) >= 7
