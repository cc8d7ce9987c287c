"""Tables of measurements read: names, layouts, refusals; and loads whose outcome is known by hand."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from infersim.cli.app import app
from infersim.spec import catalogue
from infersim.spec.errors import SpecError
from infersim.studies.arrivals import arrivals, lengths
from infersim.studies.cases import Case, Load, Refused, Row
from infersim.studies.measurements import read_measurements
from infersim.studies.names import chip_name, dtype_of, engine_name, model_name
from infersim.studies.online_rows import fewer_gaps
from infersim.studies.outcomes import predict, predicted
from infersim.studies.own_figures import cut_short, let_in
from infersim.studies.resimulation import compiled_for, price, resimulate
from infersim.studies.silicon_rows import silicon_case, silicon_cases
from infersim.studies.validation import OWN, validate

ROW = {
    "id": "mine-1", "hardware": "H100-SXM", "chips": "8", "parallelism": "tp=2;pp=1;ep=1;dp=4",
    "model": "Llama-3.1-70B", "weight_dtype": "fp8", "kv_dtype": "fp8", "engine": "TensorRT-LLM 1.0",
    "scenario": "closed_loop", "batch_or_concurrency": "16", "request_rate": "", "isl_tokens": "500",
    "osl_tokens": "100", "metric": "output_tok_s", "statistic": "mean", "value": "1000", "per": "chip",
    "speculative": "no", "source": "this test", "note": "", "tier": "A", "group": "mine",
}  # fmt: skip


def table(path: Path, **changes: str) -> Path:
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, ROW)
        writer.writeheader()
        writer.writerow({**ROW, **changes})
    return path


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("meta-llama/Llama-3.1-70B-Instruct", "llama-3.1-70b"),
        ("RedHatAI/Llama-4-Scout-17B-16E-Instruct-FP8-dynamic", "llama-4-scout"),
        ("mistralai/Mistral-Nemo-Instruct-2407", "mistral-nemo"),
        ("Qwen/Qwen3-32B", "qwen3-32b"),
        ("Llama-3-70B", "llama-3-70b"),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "mixtral-8x7b"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistral-7b-v0.3"),
        ("mistralai/Mistral-7B-v0.1", "mistral-7b-v0.1"),
        ("Qwen/Qwen3-235B-A22B-Instruct-2507-FP8", "qwen3-235b-a22b"),
        ("deepseek-ai/DeepSeek-V3-0324", "deepseek-v3"),
        ("hugging-quants/Meta-Llama-3.1-70B-Instruct-AWQ-INT4", "llama-3.1-70b"),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-70B", "llama-3.3-70b"),
        ("lmsys/vicuna-13b-v1.5", "llama-2-13b"),
        ("Qwen/Qwen2-72B-Instruct", "qwen2.5-72b"),
        ("Qwen/Qwen3-Coder-480B-A35B-Instruct-FP8", "qwen3-coder-480b-a35b"),
        ("deepseek-ai/DeepSeek-Coder-V2-Lite-Instruct", "deepseek-v2-lite"),
        ("tiiuae/falcon-7b-instruct", "falcon-7b"),
        ("somebody/Unheard-Of-9B", None),
    ],
)
def test_models_by_any_name(text: str, name: str | None) -> None:
    assert model_name(text) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "h100-sxm"), ("NVIDIA H100 PCIe", "h100-pcie"), ("H100 NVL", "h100-nvl"),
        ("NVIDIA A100-SXM4-80GB", "a100-sxm-80gb"), ("NVIDIA A100-SXM4-40GB", "a100-sxm-40gb"),
        ("NVIDIA A100 80GB PCIe", "a100-pcie-80gb"), ("NVIDIA A100-PCIE-40GB", None), ("NVIDIA L40S", "l40s"),
        ("L40", None), ("NVIDIA L4", "l4"), ("A10", None), ("AMD Instinct MI300X", "mi300x"), ("TPU v5 lite", "tpu-v5e"),
        ("Trillium", "tpu-v6e"), ("Trainium", "trainium1"), ("trn2", "trainium2"), ("Gaudi 3", "gaudi3"),
        ("GeForce RTX 4090", "rtx-4090"), ("CS-3", "cerebras-wse3"), ("Abacus", None),
    ],
)  # fmt: skip
def test_chips_by_any_name(text: str, name: str | None) -> None:
    assert chip_name(text) == name


def test_every_chip_by_its_own_name() -> None:
    assert [chip_name(name) for name in catalogue.hardware_names()] == catalogue.hardware_names()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("vllm-0.6.3", "vllm-v0"), ("vLLM V0 0.8.5", "vllm-v0"), ("vllm-0.19.0", "vllm"), ("vllm-v1", "vllm"),
        ("TRT-LLM 0.17", "tensorrt-llm-0"), ("TensorRT-LLM v0.20", "tensorrt-llm"),
        ("TensorRT-LLM v1.2.0rc3", "tensorrt-llm-1.2"), ("sglang-0.5.12", "sglang-0.5.10"), ("TGI 2.4.1", "vllm-v0"),
        ("TGI-gaudi 2.0", "optimum-habana"), ("HF transformers", "static"), ("MaxText", "jetstream"), ("Ollama", "local"),
    ],
)  # fmt: skip
def test_engines_by_any_name(text: str, name: str) -> None:
    assert engine_name(text) == name


def test_chips_engines_and_dtypes_by_any_name() -> None:
    assert chip_name("H100") == chip_name("H100-SXM") == "h100-sxm"
    assert chip_name("Abacus") is None
    assert engine_name("vllm-0.15.1") == "vllm"
    assert engine_name("TGI-neuron 2025") == "neuron"
    assert [dtype_of(t) for t in ("mxfp4", "fp8 (KV-scaled checkpoint)", "unknown", "int4 (AWQ)")] == [
        "fp4", "fp8", "bf16", "int4",
    ]  # fmt: skip


def test_a_row_of_one_chip_is_multiplied_and_replicas_follow(tmp_path: Path) -> None:
    (case,) = read_measurements(table(tmp_path / "t.csv")).cases
    assert (case.tensor, case.replicas, case.rows[0].actual) == (2, 4, 8000.0)


def test_rows_that_say_too_little_are_refused_with_the_reason(tmp_path: Path) -> None:
    found = validate(table(tmp_path / "t.csv", batch_or_concurrency="many"))
    assert found.coverage == 0.0
    assert found.records() == [
        {
            "id": "mine-1",
            "metric": "output_tok_s",
            "statistic": "mean",
            "actual": 1000.0,
            "reason": "the batch or concurrency is many",
        }
    ]


def test_a_closed_loop_obeys_littles_law(tmp_path: Path) -> None:
    (case,) = read_measurements(table(tmp_path / "t.csv")).cases
    outcome = resimulate(case)
    rate = len(outcome.outputs) / outcome.makespan_s
    assert rate * outcome.seconds["e2e_s"].mean() == pytest.approx(
        16, rel=0.1
    )  # the last ones leave an emptying system


def test_more_chips_and_smaller_dtypes_are_not_slower(tmp_path: Path) -> None:
    def speed(**changes: str) -> float:
        (case,) = read_measurements(table(tmp_path / "t.csv", **changes)).cases
        return 1.0 / resimulate(case).makespan_s

    base = speed(parallelism="tp=2;pp=1;ep=1;dp=1", chips="2")
    assert speed(parallelism="tp=4;pp=1;ep=1;dp=1", chips="4") > base
    assert speed(parallelism="tp=2;pp=1;ep=1;dp=1", chips="2", weight_dtype="bf16") < base


def test_drawn_lengths_have_the_mean_that_was_asked_for() -> None:
    prompts, outputs = lengths(Load("server", prompt=300.0, output=290.0, varied=0.75, longest=1024), 20_000)
    assert prompts.mean() == pytest.approx(300, rel=0.02)
    assert outputs.mean() == pytest.approx(290, rel=0.02)
    assert outputs.max() <= 1024
    assert np.std(prompts) / np.mean(prompts) == pytest.approx(0.75, rel=0.1)


def test_what_is_no_table_is_an_error_that_says_what_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SpecError, match="wanted are the columns id, scenario"):
        validate(tmp_path / "t.csv")


def test_the_command_writes_one_object_a_row(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    out = tmp_path / "out.json"
    result = CliRunner().invoke(app, ["validate", str(OWN / "online.csv"), "--json", str(out), "--worst", "2"])
    assert result.exit_code == 0, result.output
    assert "Errors by metric" in result.output
    assert out.read_text().count('"run"') == 238


def test_a_users_decode_rate_on_a_wafer_needs_neither_lengths_nor_the_number_of_wafers(tmp_path: Path) -> None:
    sram = {"hardware": "Cerebras-WSE-3", "engine": "vendor API 2024-09", "scenario": "single_stream",
            "weight_dtype": "fp16", "kv_dtype": "fp16", "isl_tokens": "unknown", "osl_tokens": "unknown",
            "metric": "tok_s_user", "per": "system", "chips": "unknown", "parallelism": "unknown"}  # fmt: skip
    (case,) = read_measurements(table(tmp_path / "t.csv", **sram)).cases
    assert (case.engine.name, case.chips) == ("cerebras", 4)
    assert len(case.assumed) == 3  # chips, prompt and output
    found = validate(table(tmp_path / "t.csv", **(sram | {"metric": "ttft_ms"})))  # which does depend on the prompt
    assert found.refused()["reason"].tolist() == ["the prompt is unknown"]
    assert found.table["hardware"].tolist() == ["cerebras-wse3"]


@pytest.mark.parametrize(
    ("columns", "layout"),
    [
        ((4, 1, 4, 1), (4, 1, 1)),
        ((64, 1, 8, 8), (8, 8, 1)),  # eight chips share layers and experts
        ((1, 64, 8, 8), (8, 8, 8)),  # the same with data-parallel attention
        ((2, 2, 1, 4), (2, 2, 2)),
        ((1, 8, 1, 8), (8, 8, 8)),
        ((4, 0, 0, 0), (4, 1, 1)),
    ],
)
def test_layouts_of_the_silicon_sample(columns: tuple[int, ...], layout: tuple[int, int, int]) -> None:
    names = ("tp_size", "attention_dp_size", "moe_tp_size", "moe_ep_size")
    row = {"id": "a", "silicon_data_source": "db-dump; silicon_concurrency=16; x", "backend": "vllm", "mode": "agg",
           "model_path": "Qwen/Qwen3-235B-A22B-FP8", "system": "h200_sxm", "precision": "fp8", "isl": "1000",
           "osl": "100", "batch_size": "4.0", "pp_size": "1.0", "silicon_ttft_ms": "100.0", "silicon_tpot_ms": "",
           **dict(zip(names, map(str, columns), strict=True))}  # fmt: skip
    case = silicon_case(row)
    assert (case.tensor, case.expert, case.attention_data) == layout
    assert (case.load.users, case.load.prompt) == (16, 900.0)
    assert [(r.metric, r.actual) for r in case.rows] == [("ttft_ms", 100.0)]


def apart(**sizes: str) -> dict[str, str]:
    """A run of prefill and decode pools in the sample: two prefill workers of four chips, three decode workers of eight."""
    pools = {"prefill": ("2.0", "1.0", "4.0", "1.0", "4.0"), "decode": ("3.0", "8.0", "1.0", "1.0", "8.0")}
    keys = ("num_workers", "tp_size", "attention_dp_size", "moe_tp_size", "moe_ep_size")
    columns = {f"{pool}_{key}": size for pool, values in pools.items() for key, size in zip(keys, values, strict=True)}
    return {"id": "a", "silicon_data_source": "db-dump; silicon_concurrency=12; x", "backend": "trtllm", "mode": "disagg",
            "model_path": "deepseek-ai/DeepSeek-V3", "system": "gb200", "precision": "fp4", "isl": "1024", "osl": "128",
            "batch_size": "", "pp_size": "", "silicon_ttft_ms": "100.0", "silicon_tpot_ms": "10.0",
            **dict.fromkeys(("tp_size", "attention_dp_size", "moe_tp_size", "moe_ep_size"), ""), **columns, **sizes}  # fmt: skip


def test_pools_apart_are_served_where_their_sizes_are_said_in_the_row_or_of_the_same_run_elsewhere() -> None:
    unsaid = apart(id="b", prefill_num_workers="", decode_num_workers="")
    other = apart(id="c", prefill_num_workers="", silicon_tpot_ms="11.0")
    first, second, refused, _ = silicon_cases([apart(), unsaid, other])
    assert isinstance(first, Case)
    assert (first.prefill_replicas, first.replicas) == (2, 3)
    assert (first.prefill_layout, (first.tensor, first.expert, first.attention_data)) == ((4, 4, 4), (8, 8, 1))
    assert isinstance(second, Case)
    assert (second.prefill_replicas, second.replicas) == (2, 3)
    assert isinstance(refused, Refused)
    assert "sizes are not said" in refused.reason
    outcome = resimulate(first)  # Little's law: twelve users, but for the last ones
    rate = len(outcome.outputs) / outcome.makespan_s
    assert rate * outcome.seconds["e2e_s"].mean() == pytest.approx(12, rel=0.1)


def test_the_error_of_single_requests(tmp_path: Path) -> None:
    """Two requests that never meet take what each takes alone, so their errors are those of the clock we wrote."""
    folder = tmp_path / "h100_mine"
    folder.mkdir()
    meta = {"model": "meta-llama/Llama-3.1-8B", "vllm_version": "0.19.0",
            "engine_kwargs": {"tensor_parallel_size": 1, "data_parallel_size": 1, "max_num_seqs": 8, "dtype": "bfloat16",
                              "max_num_batched_tokens": 2048, "kv_cache_dtype": "auto"}}  # fmt: skip
    (folder / "meta.json").write_text(json.dumps(meta))

    def write(first_s: float, last_s: float) -> pd.DataFrame:
        times = {"first_token_ts": first_s, "last_token_ts": last_s, "input_toks": 100, "output_toks": 11}
        lines = [
            {key: value + 100.0 * i if key.endswith("_ts") else value for key, value in times.items()}
            | {"queued_ts": 100.0 * i}
            for i in range(2)
        ]
        (folder / "requests.jsonl").write_text("\n".join(map(json.dumps, lines)))
        return validate(folder).requests.set_index(["metric", "request"])

    guess = write(1.0, 2.0)["predicted"]
    exact = write(guess["ttft_ms", 0] / 1e3, guess["e2e_ms", 0] / 1e3)
    assert exact["error_pct"].abs().max() < 0.1
    slow = write(guess["ttft_ms", 0] / 1e3 * 2, guess["e2e_ms", 0] / 1e3 * 2)
    assert slow["error_pct"].to_numpy() == pytest.approx(-50.0, abs=0.1)


@pytest.mark.parametrize(("said", "profile"), [
    ("vLLM 2024-11", "vllm-v0"), ("vLLM (2024)", "vllm-v0"), ("vLLM 0.5.2", "vllm-v0"), ("vLLM v0.9.2", "vllm-0.13"),
    ("vLLM 0.10.0", "vllm-0.13"), ("vLLM V1 TPU prototype (2024-11)", "jetstream"), ("SGLang v0.4.9", "sglang"),
    ("TensorRT-LLM 0.14", "tensorrt-llm-0"), ("TensorRT-LLM 0.5", "tensorrt-llm-0"), ("trtllm", "tensorrt-llm"),
    ("TensorRT-LLM 0.20 (PyTorch backend)", "tensorrt-llm"), ("TensorRT-LLM 1.0", "tensorrt-llm"),
    ("TensorRT-LLM 1.2.0rc6", "tensorrt-llm-1.2"),
    ("TensorRT-LLM", "tensorrt-llm"), ("TensorRT-LLM (TensorRT 10.2.0, CUDA 12.4)", "tensorrt-llm-0"),
    ("TensorRT 10.11, CUDA 12.9", "tensorrt-llm"), ("NVIDIA NIM 1.8.0 (TensorRT-LLM)", "tensorrt-llm-0"),
])  # fmt: skip
def test_an_engines_version_decides_its_profile(said: str, profile: str) -> None:
    assert engine_name(said) == profile


def test_software_for_a_vendors_chips_is_a_profile_of_its_own() -> None:
    assert engine_name("vLLM 2024-11", "mi300x") == "vllm-rocm-0"
    assert engine_name("vLLM 0.10.0 (ROCm 6.4.1)", "mi300x") == "vllm"
    assert engine_name("vLLM 0.6.5.dev964+mlperf50, ROCm 6.3.1", "mi300x") == "vllm"
    assert engine_name("SGLang 0.5.13.post1 (ROCm 7.2)", "mi300x") == "sglang"
    assert engine_name("SGLang 0.5.13.post1") == "sglang-0.5.10"
    assert engine_name("Deepspeed (2024)") == "static"
    assert engine_name("Deepspeed (2024)", "gaudi2") == "optimum-habana"
    assert engine_name("Deepspeed (2024)", "xeon-6980p") == "static"


def read(path: Path, **changes: str) -> Case:
    return read_measurements(table(path / "t.csv", **changes)).cases[0]


def test_what_a_row_says_of_prompts_caches_and_seats(tmp_path: Path) -> None:
    dstack = {"hardware": "MI300X", "engine": "vLLM 2024-11", "kv_dtype": "fp8 (KV-scaled checkpoint)"}
    whole = read(tmp_path, **dstack, note="num-scheduler-steps 15")
    assert whole.max_num_batched_tokens == 131_072  # prompts are not cut, so a step holds the longest one
    assert whole.kv_cache == "bf16"  # scales in a checkpoint are not a cache of 8 bits
    tuned = {"hardware": "MI300X", "engine": "vLLM 0.6.2", "scenario": "offline_throughput"}
    assert read(tmp_path, **tuned, source="results@1:closed/AMD/results/x").max_num_seqs == 1024
    assert read(tmp_path, **tuned, source="results@1:open/AMD/results/x").max_num_seqs is None
    assert read(tmp_path, **tuned, source="results@1:closed/x", note="max_num_seqs 2700").max_num_seqs == 2700
    gaudi = {"hardware": "Gaudi2", "scenario": "fixed_batch", "weight_dtype": "bf16", "kv_dtype": "bf16"}
    static = read(tmp_path, **gaudi, engine="Deepspeed (2024)")
    assert (static.slots, static.slot_tokens) == (16, 600)  # 16 caches of 500 + 100 tokens, read whole
    assert read(tmp_path, **gaudi, engine="optimum-habana (SynapseAI)").slot_tokens is None


def test_the_sources_machine_and_the_model_tell_what_columns_do_not(tmp_path: Path) -> None:
    """MLPerf's GH200 have 144 GB, of which 128 to 160 are HBM3e; TensorRT-LLM's compiled engines have no latent attention."""
    source = "results@1:closed/NVIDIA/results/GH200-GraceHopper-Superchip_GH200-144GB_aarch64x1_TRT/x"
    ours = {"hardware": "GH200", "chips": "1", "parallelism": "tp=1;pp=1", "engine": "TensorRT 10.2"}
    large = read(tmp_path, **ours, source=source)
    assert 128 < large.hardware.memory.capacity_gb.value < 160
    assert large.engine.name == "tensorrt-llm-0"
    assert read(tmp_path, **ours).hardware.name == "gh200"
    latent = {
        "model": "DeepSeek-R1",
        "hardware": "B200",
        "parallelism": "tp=8;pp=1;ep=8;dp=1",
        "engine": "TensorRT 10.11",
    }
    assert read(tmp_path, **latent).engine.name == "tensorrt-llm"


def test_weights_of_unstated_dtype_are_as_wide_as_fits(tmp_path: Path) -> None:
    """70 billion weights take 140 GB in 16 bits, 70 in 8 and 35 in 4; a RTX 4090 has 24."""
    for count, dtype in {"2": "int4", "4": "int8", "8": "bf16"}.items():
        row = {"hardware": "RTX-4090", "chips": count, "parallelism": "unknown", "weight_dtype": "unknown"}
        assert read(tmp_path, **row, engine="vLLM 0.5.2").weights == dtype


def test_publishers_own_checkpoint_keeps_attention_in_16_bits(tmp_path: Path) -> None:
    row = {"model": "Llama-3.1-405B", "engine": "vLLM 2024-11", "parallelism": "tp=8;pp=1", "kv_dtype": "auto"}
    assert read(tmp_path, **row).model.quantised == "mlp"
    assert read(tmp_path, **row | {"hardware": "MI300X"}).model.quantised == "all"
    assert read(tmp_path, **row | {"engine": "TensorRT-LLM 1.0"}).model.quantised == "all"


def test_a_run_that_stopped_early_is_known_by_its_own_figures() -> None:
    """TTFT 900 ms, 10 ms a token and 60 tokens/s agree with 900 / (1000 / 60 - 10) = 135 tokens, not with 4,096."""
    load = Load(kind="single_stream", prompt=4096.0, output=4096.0, users=1)
    rows = tuple(
        Row({}, metric, statistic, actual)
        for metric, statistic, actual in (
            ("ttft_ms", "p50", 900.0),
            ("tpot_ms", "p50", 10.0),
            ("output_tok_s", "mean", 60.0),
        )
    )
    case = Case(
        name="cut", model=catalogue.model("llama-2-7b"), hardware=catalogue.hardware("trainium1"),
        engine=catalogue.engine("neuron"), tensor=16, pipeline=1, expert=1, attention_data=1, chips=None, replicas=1,
        weights="bf16", kv_cache="bf16", load=load, rows=rows, group="",
    )  # fmt: skip
    assert cut_short(case).load.output == 135.0
    agreeing = replace(case, rows=(*rows[:2], replace(rows[2], actual=1e3 * 4096 / (900.0 + 4096 * 10.0))))
    assert cut_short(agreeing) is agreeing
    own = [case for case in read_measurements(OWN / "measurements.csv").cases if "agree with" in "".join(case.assumed)]
    assert [case.load.output for case in own] == pytest.approx(
        [128.0] * 3, abs=1.0
    )  # three runs of Neuron, all of 128 tokens


def test_a_server_that_held_more_sequences_than_its_default_allows_was_told_to() -> None:
    """2,000 tokens/s at 200 ms a token are 400 sequences at a time (Little's law); vLLM V0's default allows 256."""
    rows = tuple(Row({}, metric, "mean", actual) for metric, actual in (("output_tok_s", 2000.0), ("tpot_ms", 200.0)))
    case = Case(
        name="many", model=catalogue.model("llama-3.1-405b"), hardware=catalogue.hardware("mi300x"),
        engine=catalogue.engine("vllm-rocm-0"), tensor=8, pipeline=1, expert=1, attention_data=1, chips=None, replicas=1,
        weights="fp8", kv_cache="bf16", load=Load(kind="server", prompt=200.0, output=200.0, rate_rps=16.0), rows=rows, group="",
    )  # fmt: skip
    assert let_in(case).max_num_seqs == 1024
    assert "400 decoded" in let_in(case).assumed[0]
    for same in (
        replace(case, replicas=2),  # 200 on each
        replace(case, max_num_seqs=512),
        replace(case, rows=rows[:1]),
        replace(case, load=replace(case.load, kind="closed_loop", users=400)),
    ):
        assert let_in(same) is same


def test_an_offline_run_of_mlperf_lasts_ten_minutes(tmp_path: Path) -> None:
    """30,000 tokens/s in answers of 300 are 100 a second: 60,000 in 600 s; 24,576 samples are the fewest. One replica of eight serves its eighth."""
    row = {
        "scenario": "offline_throughput",
        "per": "system",
        "isl_tokens": "219",
        "osl_tokens": "300",
        "parallelism": "tp=1;pp=1",
    }
    source = "mlcommons/inference_results_v4.1@1:closed/x"
    for value, samples in ("30000", 60_000), ("1000", 24_576):
        assert read(tmp_path, **row, source=source, value=value).load.requests == samples
    assert read(tmp_path, **row, value="30000").load.requests == 0
    one = read(tmp_path, **row, source=source, value="30000", chips="8", model="Llama-3.1-8B")
    assert len(arrivals(one, price(one))[0]) == 2 * 7_500


def test_some_replicas_stand_for_all_when_all_requests_are_there_at_once() -> None:
    """A hundred replicas yield a hundred times what one does; none of them is left half empty for want of requests."""
    load = Load(kind="offline_throughput", prompt=32.0, output=32.0)
    one = Case(
        name="many", model=catalogue.model("llama-3.1-8b"), hardware=catalogue.hardware("h100-sxm"),
        engine=catalogue.engine("vllm"), tensor=1, pipeline=1, expert=1, attention_data=1, chips=None, replicas=1,
        weights="bf16", kv_cache="bf16", load=load, rows=(), group="",
    )  # fmt: skip
    hundred = replace(one, replicas=100)
    rate = [predicted(case, resimulate(case), "output_tok_s", "mean") for case in (one, hundred)]
    assert rate[1] == pytest.approx(100 * rate[0], rel=0.01)


def test_a_batch_runs_in_the_shape_that_was_compiled_for_it() -> None:
    """163 sequences are padded to 256 by an engine that compiles powers of two, unless it was compiled for 163."""
    engine = catalogue.engine("optimum-habana")
    assert 163 not in engine.sequence_buckets
    compiled = compiled_for(engine, 163, 163 * 128)
    assert min(size for size in compiled.sequence_buckets if size >= 163) == 163
    assert 163 * 128 in compiled.token_buckets
    assert compiled_for(catalogue.engine("vllm"), 163, 100) == catalogue.engine("vllm")


def test_sglang_serves_prompts_before_decoding_sequences() -> None:
    """64 equal users come in waves: all are prefilled before any decodes, so TTFT holds half a wave and no more."""
    case = Case(
        name="wave", model=catalogue.model("llama-3.1-8b"), hardware=catalogue.hardware("h100-sxm"),
        engine=catalogue.engine("sglang"), tensor=1, pipeline=1, expert=1, attention_data=1, chips=None, replicas=1,
        weights="bf16", kv_cache="bf16", load=Load(kind="closed_loop", prompt=2048.0, output=64.0, users=64),
        rows=(), group="",
    )  # fmt: skip
    chunked = replace(case, engine=case.engine.model_copy(update={"batching": "chunked_prefill"}))
    first, mixed = resimulate(case), resimulate(chunked)
    assert first.seconds["ttft_s"][64:].mean() > 1.5 * mixed.seconds["ttft_s"][64:].mean()
    assert first.seconds["tpot_s"][64:].mean() < mixed.seconds["tpot_s"][64:].mean()


def test_an_itl_of_pieces_is_compared_with_pieces() -> None:
    """(2,025 - 25) / 12.5 = 160 gaps, where 201 tokens have 200: a client that counted pieces saw each for a quarter longer.
    Where figures agree, to 5 %, or one of them is missing, an ITL is one of tokens."""

    def cells(itl: float) -> list[dict[str, str]]:
        values = {"e2e_mean": 2025.0, "ttft_mean": 25.0, "itl_mean": itl}
        return [{"stage": "0", "metric": metric, "value_ms": str(value)} for metric, value in values.items()]

    assert fewer_gaps(cells(12.5), "0", 201.0) == pytest.approx(160.0)
    assert fewer_gaps(cells(10.2), "0", 201.0) is None
    assert fewer_gaps(cells(12.5)[1:], "0", 201.0) is None
    load = Load(kind="single_stream", prompt=100.0, output=201.0, users=1)
    row = Row({}, "itl_ms", "mean", 12.5)
    case = Case(
        "one", catalogue.model("llama-3.1-8b"), catalogue.hardware("h100-sxm"), catalogue.engine("vllm"), 1, 1, 1, 1, None, 1,
        "bf16", "bf16", load, (row,), "one",
    )  # fmt: skip
    outcome = resimulate(case)
    whole = predict(case, outcome, row)
    assert predict(case, outcome, replace(row, gaps=160.0)) == pytest.approx(1.25 * whole)
