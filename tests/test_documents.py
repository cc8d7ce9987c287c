"""What README and CONTRIBUTING tell people to write works as it stands."""

import csv
import re
from pathlib import Path

import pytest

from infersim.cli.app import app
from infersim.results.directory import read_run
from infersim.spec.load import load_scenario
from tests import readme
from tests.cli.conftest import SCENARIO

ROOT = Path(__file__).parents[1]


def blocks(document: str, language: str) -> list[str]:
    """The fenced blocks of a language, in order."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def run(*arguments: str) -> None:
    with pytest.raises(SystemExit) as end:
        app(["run", *arguments, "--no-plots", "--out", "out"], prog_name="infersim")
    assert not end.value.code


def test_the_recipe_for_policies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    router, autoscaler, process = blocks("CONTRIBUTING.md", "python")
    (tmp_path / "my_policies.py").write_text(router + autoscaler + process)
    plugins, policy, _, scaler = blocks("CONTRIBUTING.md", "yaml")[0].splitlines()
    own = (
        f"{plugins}\n{policy}\nprocesses: [{{process: chaos, every_s: 6}}]\n"
        + SCENARIO
        + scaler.replace("- ", "  ").replace("target: 32", "target: 32, interval_s: 1")
    )
    (tmp_path / "own.yaml").write_text(own)
    run("own.yaml")
    found = read_run(tmp_path / "out")
    assert found.replicas["pool"].count() >= 2, "the autoscaler keeps a spare replica"
    assert "failed" in set(found.events["kind"]), "and chaos has its way"


def test_the_recipe_for_traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (rows,) = blocks("CONTRIBUTING.md", "csv")
    (tmp_path / "my_trace.csv").write_text(rows)
    workload = blocks("CONTRIBUTING.md", "yaml")[1]
    without = re.sub(r"workload:\n(  .*\n)+", "", SCENARIO).replace("horizon_s: 20\n", "")
    (tmp_path / "own.yaml").write_text(workload + without)
    run("own.yaml")
    first, second = read_run(tmp_path / "out").requests["arrival_s"]
    assert (first, second) == (0.0, pytest.approx((50.9951690 - 46.6805900) / 2, abs=1e-9))


def test_the_recipe_for_chips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    profile = (ROOT / "hardware_profiles" / "h100-sxm.yaml").read_text(encoding="utf-8")
    (tmp_path / "my-chip.yaml").write_text(profile.replace("name: h100-sxm", "name: my-chip"), encoding="utf-8")
    run("h100_llama70b", "--set", "pools.0.hardware=my-chip.yaml", "--set", "horizon_s=10")
    assert set(read_run(tmp_path / "out").summary["pools"]["h100"]["hardware"].split()) == {"my-chip"}


@pytest.mark.parametrize("command", readme.shown())
def test_the_readme_shows_what_its_commands_print(command: str) -> None:
    """Words exactly, numbers within 2 % (processors differ in the last bit); `make readme` brings it up to date."""
    if not readme.has_traces(command):
        pytest.skip("replays a trace that is not shipped; set INFERSIM_TRACES to its folder")
    number = r"\d[\d,]*(?:\.\d+)?"
    mine, theirs = (re.sub("─+", "─", output) for output in (readme.shown()[command], readme.printed(command)))
    assert re.sub(number, "#", mine).split() == re.sub(number, "#", theirs).split()
    values = [[float(text.replace(",", "")) for text in re.findall(number, output)] for output in (mine, theirs)]
    assert values[0] == pytest.approx(values[1], rel=0.02)


def test_scenarios_of_the_readme(tmp_path: Path) -> None:
    for number, text in enumerate(blocks("README.md", "yaml")):
        path = tmp_path / f"{number}.yaml"
        path.write_text(text)
        load_scenario(path)


def test_python_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text in blocks("README.md", "python"):
        exec(compile(text, "README.md", "exec"), {})


def test_the_readme_tells_the_claims_as_they_came_out() -> None:
    """`make claims UPDATE=1` writes both."""
    assert readme.with_claims((ROOT / "README.md").read_text(encoding="utf-8")) == (ROOT / "README.md").read_text(
        encoding="utf-8"
    )


def test_the_readme_tells_the_verdicts_of_the_committed_table() -> None:
    told = re.findall(
        r"^\| (\d+) \| [^|]+ \| (holds|holds if|does not hold) \|", (ROOT / "README.md").read_text(), re.MULTILINE
    )
    with open(ROOT / "docs" / "claims.csv", encoding="utf-8", newline="") as file:
        committed = {row["claim"]: row["verdict"] for row in csv.DictReader(file)}
    assert dict(told) == committed
