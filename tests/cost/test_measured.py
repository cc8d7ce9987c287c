"""Measured tables: linear inside, the model anchored at the edge outside, never under the roofline; steps and files."""

from pathlib import Path

import numpy as np
import pytest

import infersim
from infersim.cost.build import build_tables
from infersim.cost.measured import Measured, grid
from infersim.cost.measured_csv import read_measured
from infersim.cost.step_table import StepTable
from infersim.spec import catalogue
from infersim.spec.errors import SpecError
from infersim.spec.pool import Parallelism


def tables(measured: Measured | StepTable | None = None):
    model, chip, engine = catalogue.model("llama-3.1-8b"), catalogue.hardware("h100-sxm"), catalogue.engine("vllm")
    return build_tables(model, chip, engine, Parallelism(), "bf16", "bf16", 64, 2048, 16, None, measured)


def test_linear_inside_and_anchored_outside() -> None:
    table = grid(np.array([10.0, 20.0]), seconds=np.array([1.0, 3.0]))
    found = table.at(lambda x: 2.0 * x, np.array([10.0, 15.0, 20.0, 40.0, 5.0]))
    assert found.tolist() == [1.0, 2.0, 3.0, 6.0, 0.5]  # beyond the edges: in proportion to the model


def test_a_hole_leaves_its_weight_to_its_neighbours() -> None:
    table = grid(np.array([1.0, 1.0, 2.0]), np.array([1.0, 2.0, 1.0]), seconds=np.array([4.0, 8.0, 6.0]))
    assert table.at(lambda x, y: x, 1.5, 1.0) == 5.0
    assert table.at(lambda x, y: x, 2.0, 2.0) == 2.0  # nothing near: the model


def test_products_are_never_faster_than_their_roofline_and_slower_where_measured(tmp_path: Path) -> None:
    for latency, slower in ((0.001, False), (1e6, True)):
        file = tmp_path / "t.csv"
        file.write_text(
            f"operator,dtype,m,n,k,latency_us\ngemm,bf16,1,4096,4096,{latency}\ngemm,bf16,64,4096,4096,{latency}\n"
        )
        measured, own = tables(read_measured(file)), tables()
        work = measured.linear
        least = np.maximum(work.flops / measured.peak_flops, work.memory_bytes / measured.peak_bytes_s)
        assert (work.seconds >= least * (1 - 1e-12)).all()
        assert (work.seconds[1:] > own.linear.seconds[1:]).all() == slower


def test_steps_take_what_was_measured(tmp_path: Path) -> None:
    """Twice the model's own steps come back as twice; half of them stops at the roofline."""
    own = tables()
    rows = [f"decode,{b},{c},{2e6 * own.step_s(b, b, b, b * c, [])}" for b in (1, 8, 64) for c in (500, 4000)]
    (tmp_path / "t.csv").write_text("\n".join(["phase,batch,context,latency_us", *rows]))
    measured = tables(read_measured(tmp_path / "t.csv"))
    for batch, context in ((1, 1000), (8, 2000), (64, 4000)):
        step = measured.step_s(batch, batch, batch, batch * context, [])
        assert step == pytest.approx(2 * own.step_s(batch, batch, batch, batch * context, []), rel=0.02)
    fast = tables(StepTable("t", ((8, 500, 1e-9), (8, 4000, 2e-9)), ()))
    assert fast.linear.seconds[8] >= fast.linear.memory_bytes[8] / fast.peak_bytes_s * (1 - 1e-12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "wanted are the columns operator"),
        ("operator,dtype,m,n,k,latency_us\ngem,bf16,1,1,1,1\n", "t.csv:2: operator: found 'gem'"),
        ("operator,dtype,m,n,k,latency_us\ngemm,bf17,1,1,1,1\n", "t.csv:2: dtype: found 'bf17'"),
        ("phase,batch,context,latency_us\ndecode,1,100,-3\n", "t.csv:2: latency_us: found '-3'"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(SpecError, match=message):
        read_measured(tmp_path / "t.csv")


def test_silicon_tables_price_a_step_near_the_models_own() -> None:
    pytest.importorskip("aiconfigurator_core", reason="the extra silicon is not installed")
    from infersim.cost.silicon import NoTables, silicon

    measured, own = tables(silicon("h100-sxm", "vllm")), tables()
    assert "aiconfigurator-core" in measured.notes[-1]
    assert measured.step_s(16, 16, 16, 16_000, []) == pytest.approx(own.step_s(16, 16, 16, 16_000, []), rel=0.3)
    with pytest.raises(NoTables, match=r"versions there: 0\.24"):
        silicon("h100-sxm", "vllm", "9")
    with pytest.raises(NoTables, match="no measurements of mi300x"):
        silicon("mi300x", "vllm")


def test_a_run_priced_by_measured_operators(tmp_path: Path) -> None:
    """From the scenario to the summary: the tables price the pool, and the notes say whose measurements they are."""
    pytest.importorskip("aiconfigurator_core", reason="the extra silicon is not installed")
    scenario = {
        "name": "measured", "model": "llama-3.1-8b", "horizon_s": 20, "seed": 1,
        "workload": {
            "arrivals": {"process": "poisson", "rate_rps": 2},
            "input_tokens": {"distribution": "constant", "value": 500},
            "output_tokens": {"distribution": "constant", "value": 50},
        },
        "pools": [{
            "name": "chat", "hardware": "h100-sxm", "engine": "vllm", "parallelism": {"tensor": 1},
            "cost": {"source": "measured"},
        }],
    }  # fmt: skip
    measured = infersim.simulate(scenario)
    scenario["pools"][0]["cost"] = {"source": "analytic"}  # type: ignore[index]
    analytic = infersim.simulate(scenario)
    ratio = measured.requests["tpot_s"].mean() / analytic.requests["tpot_s"].mean()
    assert 0.7 < ratio < 1.4
    assert ratio != 1.0
    assert any("aiconfigurator-core" in note for note in measured.summary["pools"]["chat"]["notes"])


def test_products_without_finding_scales_agree_between_engines() -> None:
    """4-bit products on B200, 8 tokens: TensorRT-LLM's table finds inputs' scales each time (some 8 us of 21), vLLM's does not; without
    that the two are as near as two libraries are."""
    pytest.importorskip("aiconfigurator_core", reason="the extra silicon is not installed")
    from infersim.cost.silicon import silicon

    def seconds(engine: str, columns: int, rows: int) -> float:
        return float(silicon("b200-sxm", engine).products["fp4"].at(lambda m, n, k: m + np.nan, 8.0, columns, rows))

    for columns, rows in ((2048, 7168), (2048, 8192), (8192, 8192)):
        assert seconds("tensorrt-llm-1.2", columns, rows) == pytest.approx(seconds("vllm", columns, rows), rel=0.3)


def test_experts_in_fp8_are_those_of_the_checkpoint() -> None:
    """Mixtral has a scale for each matrix, Qwen3 and DeepSeek V3 one for each block, and kernels of their own: each is priced by its
    own table where both were measured (16,384 tokens on H200, four chips: 2.5 and 6.1 ms of Qwen3's shape)."""
    pytest.importorskip("aiconfigurator_core", reason="the extra silicon is not installed")
    from infersim.cost.silicon import silicon

    measured = silicon("h200-sxm", "tensorrt-llm-1.2")
    own = catalogue.model("qwen3-235b-a22b")
    built = [
        build_tables(
            model, catalogue.hardware("h200-sxm"), catalogue.engine("tensorrt-llm-1.2"), Parallelism(tensor=4), "fp8", "bf16",
            8, 16384, 16, 1000, measured=measured,
        )
        for model in (own, own.model_copy(update={"block_scales": False}))
    ]  # fmt: skip
    block, matrix = (float(tables.linear.seconds[16384]) for tables in built)
    assert block - matrix == pytest.approx(94 * (6.08e-3 - 2.46e-3), rel=0.05)
