"""`infersim trace`: what is printed, written and refused."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infersim.cli.app import app

ROWS = "arrived_at,num_prefill_tokens,num_decode_tokens\n" + "".join(
    f"{k * 0.5},{100 + k % 7},{5 + k % 3}\n" for k in range(400)
)
SCENARIO = """
name: tiny
model: llama-3.1-8b
horizon_s: 20
workload:
  arrivals: {process: poisson, rate_rps: 10}
  input_tokens: {distribution: constant, value: 100}
  output_tokens: {distribution: constant, value: 10}
  structure: {kind: shared_prompt, prompt_tokens: {distribution: constant, value: 64}}
pools:
  - {name: l40s, hardware: l40s, engine: vllm}
"""


@pytest.fixture
def trace(tmp_path) -> Path:
    (tmp_path / "trace.csv").write_text(ROWS)
    return tmp_path / "trace.csv"


def run(*arguments: str | Path):
    return CliRunner().invoke(app, ["trace", *map(str, arguments)])


def test_inspect(trace):
    done = run("inspect", trace)
    assert done.exit_code == 0
    assert "a Vidur trace" in done.stdout
    found = json.loads(run("inspect", trace, "--json").stdout)
    assert (found["format"], found["rows"], found["span_s"]) == ("vidur", 400, 199.5)
    assert found["input_tokens"]["max"] == 106
    assert found["reuse"] is None


def test_inspect_draws(trace, tmp_path):
    for name in ("plot.png", "plot.svg"):
        assert run("inspect", trace, "--plot", tmp_path / name).exit_code == 0
        assert (tmp_path / name).stat().st_size > 5000
    assert b"<svg" in (tmp_path / "plot.svg").read_bytes()


def test_fit(trace):
    done = run("fit", trace)
    assert done.exit_code == 0
    assert "workload:" in done.stdout
    found = json.loads(run("fit", trace, "--json").stdout)
    assert found["candidates"][0]["arrivals"]["process"] == "poisson"


@pytest.mark.parametrize(("name", "kind"), [("x.csv", "csv"), ("x.parquet", "parquet"), ("x.jsonl", "mooncake")])
def test_generate_and_inspect_again(tmp_path, name, kind):
    (tmp_path / "scenario.yaml").write_text(SCENARIO)
    done = run("generate", tmp_path / "scenario.yaml", "-o", tmp_path / name, "--format", kind, "--seed", "3")
    assert done.exit_code == 0, done.output
    found = json.loads(run("inspect", tmp_path / name, "--json").stdout)
    assert found["format"] == kind
    assert found["rows"] == pytest.approx(200, abs=60)
    assert set(tmp_path.iterdir()) == {tmp_path / "scenario.yaml", tmp_path / name}
    if kind != "mooncake":
        # ten whole blocks in 164 tokens, of which the first four are the system prompt's
        assert found["reuse"]["of_blocks"] == pytest.approx(0.4, abs=0.01)


def test_problems_end_with_one_message(tmp_path, trace):
    (tmp_path / "bad.csv").write_text(ROWS + "oops\n")
    (tmp_path / "scenario.yaml").write_text(SCENARIO)
    for arguments, says in (
        (("inspect", tmp_path / "bad.csv"), "line 402"),
        (("inspect", tmp_path / "absent.csv"), "cannot be read"),
        (("fit", tmp_path / "scenario.yaml"), "no known format"),
        (
            ("generate", tmp_path / "scenario.yaml", "-o", tmp_path / "x", "--format", "servegen"),
            "rates and lengths of clients in windows, not requests",
        ),
        (("generate", tmp_path / "scenario.yaml", "-o", tmp_path / "x", "--format", "nothing"), "known are azure-2023"),
        (("generate", tmp_path / "scenario.yaml", "-o", tmp_path / "no" / "x.csv"), "cannot be written"),
        (("download", "nothing"), "known are azure-code-2023"),
    ):
        done = run(*arguments)
        assert done.exit_code == 2, done.output
        assert says in " ".join(done.output.replace("\u2502", " ").split())
    assert not (tmp_path / "x").exists()


def test_what_is_many_files_is_fetched_by_hand(tmp_path):
    done = run("download", "servegen", "-o", tmp_path / "traces")
    assert done.exit_code != 0
    told = " ".join(done.output.split())
    assert "github.com/alibaba/ServeGen" in told
    assert "clone it" in told
    assert not (tmp_path / "traces").exists()


def test_preview_counts_and_draws(tmp_path):
    (tmp_path / "tiny.yaml").write_text(SCENARIO.replace("horizon_s: 20", "horizon_s: 200"))
    users = "arrivals: {process: closed_loop, users: 4, think_s: {distribution: constant, value_s: 1}}"
    (tmp_path / "users.yaml").write_text(SCENARIO.replace("arrivals: {process: poisson, rate_rps: 10}", users))
    done = run("preview", tmp_path / "tiny.yaml", tmp_path / "users.yaml", "-o", tmp_path / "both.png")
    assert done.exit_code == 0, done.output
    rows = [line.split() for line in done.stdout.splitlines() if line.split()[:1] == ["tiny"]]
    assert int(rows[0][1].replace(",", "")) == pytest.approx(2000, abs=200)
    # four users who think for a second and are answered in about a tenth of one, for 20 s
    assert 50 < int(rows[1][1]) <= 80
    assert (tmp_path / "both.png").stat().st_size > 5000


def test_download_checks_the_hash_and_keeps_nothing_that_fails(tmp_path):
    from infersim.workload.download import PublicTrace, download
    from infersim.workload.traces import TraceError

    source = tmp_path / "source.csv"
    source.write_text("hello")
    digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"  # SHA-256 of hello
    good = PublicTrace("x", "x.csv", source.as_uri(), "MIT", "nobody", digest)
    assert download(good, tmp_path / "traces").read_text() == "hello"
    wrong = PublicTrace("y", "y.csv", source.as_uri(), "MIT", "nobody", "0" * 64)
    with pytest.raises(TraceError, match=r"another hash.*in a browser"):
        download(wrong, tmp_path / "traces")
    gone = PublicTrace("z", "z.csv", (tmp_path / "absent").as_uri(), "MIT", "nobody")
    with pytest.raises(TraceError, match=r"cannot be fetched.*in a browser and put it at"):
        download(gone, tmp_path / "traces")
    assert [path.name for path in (tmp_path / "traces").iterdir()] == ["x.csv"]
