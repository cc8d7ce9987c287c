"""Slips in tables of measurements: told by line and column, or refused row by row, never a crash."""

import csv
import json
from pathlib import Path

import pytest

from infersim.spec.errors import SpecError
from infersim.studies.measurements import read_measurements
from infersim.studies.online_rows import online_cases
from infersim.studies.validation import compare, validate
from tests.validation.test_reading import table

RUN = {
    "run": "mine", "hardware": "H100", "tp": "1", "model": "Qwen/Qwen2.5-7B-Instruct", "weight_dtype": "bf16",
    "engine": "vllm-0.15.1", "gpu_memory_utilization": "", "max_num_seqs": "64", "max_num_batched_tokens": "2048",
    "gpu_kv_blocks": "20000", "block_size": "16", "cpu_kv_offload": "no", "prefix_caching": "yes",
    "unique_system_prompts": "3", "users_per_prompt": "2", "system_prompt_tokens": "100", "question_tokens": "200",
    "output_tokens": "20", "stage": "all", "stage_rate_rps": "2|4", "stage_duration_s": "20|10",
    "metric": "e2e_mean", "value_ms": "200",
}  # fmt: skip
REQUEST = {"queued_ts": 1.0, "first_token_ts": 1.5, "last_token_ts": 2.0, "input_toks": 100, "output_toks": 11}
META = {"model": "meta-llama/Llama-3.1-8B", "vllm_version": "0.19.0", "engine_kwargs": {"tensor_parallel_size": 1}}


def online(path: Path, **changes: str) -> Path:
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, RUN)
        writer.writeheader()
        writer.writerow({**RUN, **changes})
    return path


def recorded(folder: Path, meta: object = META, lines: str | None = None) -> Path:
    folder.mkdir()
    (folder / "meta.json").write_text(json.dumps(meta))
    (folder / "requests.jsonl").write_text(lines if lines is not None else json.dumps(REQUEST) + "\n")
    return folder


@pytest.mark.parametrize(
    ("column", "text", "wanted"),
    [
        ("value", "1,000", "found '1,000'; write a number above 0"),
        ("value", "", "found ''; write a number above 0"),
        ("value", "nan", "found 'nan'; write a number above 0"),
        ("statistic", "median", "found 'median'; write mean, or a percentile such as p99"),
        ("model", " ", "found ''; write what it is"),
    ],
)
def test_a_slip_in_the_long_table(tmp_path: Path, column: str, text: str, wanted: str) -> None:
    with pytest.raises(SpecError) as error:
        read_measurements(table(tmp_path / "mine.csv", **{column: text}))
    assert str(error.value) == f"{tmp_path / 'mine.csv'}:2: {column}: {wanted}"


@pytest.mark.parametrize(
    ("column", "text", "wanted"),
    [
        ("tp", "two", "found 'two'; write a whole number of 1 or more"),
        ("gpu_kv_blocks", "0.5", "found '0.5'; write a whole number of 1 or more, or nothing"),
        (
            "stage_rate_rps",
            "2|x",
            "found '2|x'; write a number above 0; for the whole run those of its stages, as 2.5|6.0",
        ),
        ("metric", "ttft_p999", "found 'ttft_p999'; write e2e, ttft or itl with a statistic, such as ttft_p99"),
        ("metric", "tpot_mean", "found 'tpot_mean'; write e2e, ttft or itl with a statistic, such as ttft_p99"),
        ("gpu_memory_utilization", "90", "found '90'; write a share above 0, at most 1, or nothing"),
    ],
)
def test_a_slip_in_a_table_of_online_runs(tmp_path: Path, column: str, text: str, wanted: str) -> None:
    with pytest.raises(SpecError) as error:
        read_measurements(online(tmp_path / "mine.csv", **{column: text}))
    assert str(error.value) == f"{tmp_path / 'mine.csv'}:2: {column}: {wanted}"


def test_columns_that_are_missing_are_told_together(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("run,stage,gpu_kv_blocks\na,all,10\n")
    with pytest.raises(SpecError, match="the column hardware is missing") as error:
        read_measurements(path)
    assert "the column value_ms is missing" in str(error.value)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"scenario": "gossip"}, "the scenario is gossip"),
        ({"metric": "tok_s_user", "osl_tokens": "1"}, "needs outputs of 2 tokens"),
        ({"batch_or_concurrency": "100000000"}, "more than 10,000,000 requests"),
        (
            {"parallelism": "tp=2;prefill_workers=1;decode_workers=1", "scenario": "offline_throughput"},
            "as closed loops",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_reason(tmp_path: Path, changes: dict, reason: str) -> None:
    found = validate(table(tmp_path / "mine.csv", **changes))
    assert found.coverage == 0.0
    assert reason in found.table["reason"][0]


def test_users_without_a_request_change_nothing(tmp_path: Path) -> None:
    """50 requests of a closed loop are all there at once, for 50 users and for 5,000."""
    few, many = (
        validate(table(tmp_path / f"{users}.csv", note="50 requests", batch_or_concurrency=str(users)))
        for users in (50, 5000)
    )
    assert few.table["predicted"][0] == pytest.approx(many.table["predicted"][0], rel=0.02)


def test_what_does_not_fit_is_refused_though_its_blocks_are_stated(tmp_path: Path) -> None:
    path = online(tmp_path / "mine.csv", model="meta-llama/Llama-3.1-70B-Instruct")
    assert "does not fit 1 x h100-sxm" in validate(path).table["reason"][0]


def test_a_whole_run_says_its_stages_by_itself(tmp_path: Path) -> None:
    """With and without rows of its stages the whole run is the same."""
    single = [
        {**RUN, "stage": str(i), "stage_rate_rps": r, "stage_duration_s": s}
        for i, (r, s) in enumerate([("2", "20"), ("4", "10")])
    ]
    alone, together = (compare(_reading(rows)).table for rows in ([RUN], [*single, RUN]))
    assert alone["predicted"].iloc[0] == together["predicted"].iloc[2]
    by_stage = compare(_reading(single)).table
    assert list(by_stage["predicted"]) == list(together["predicted"][:2])


def _reading(rows: list[dict[str, str]]) -> object:
    from infersim.studies.cases import Reading

    return Reading(list(online_cases(rows)), [])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"stage_duration_s": "20"}, "its stages have 2 rates and 1 durations"),
        ({"stage": "0"}, "a stage has one rate and one duration"),
        ({"stage_rate_rps": "1e12", "stage_duration_s": "9"}, "more than 10,000,000 requests"),
    ],
)
def test_stages_that_do_not_fit_together(tmp_path: Path, changes: dict, reason: str) -> None:
    assert reason in validate(online(tmp_path / "mine.csv", **changes)).table["reason"][0]


def test_memory_that_the_engine_was_given_is_what_its_cache_has(tmp_path: Path) -> None:
    """Where blocks are not stated they follow from the share of memory: 0.9 and 0.5 of 85.5 GB are 34 GB apart, in
    blocks of 16 tokens of 2 x 4 heads x 128 x 2 B x 28 layers."""
    from infersim.studies.resimulation import price

    blocks = [
        price(
            read_measurements(online(tmp_path / f"{share}.csv", gpu_kv_blocks="", gpu_memory_utilization=share)).cases[
                0
            ]
        ).memory.blocks
        for share in ("0.9", "0.5")
    ]
    assert blocks[0] - blocks[1] == pytest.approx(0.4 * 85.5e9 / (16 * 2 * 4 * 128 * 2 * 28), rel=0.01)


def test_a_recorded_run(tmp_path: Path) -> None:
    """One request alone: TTFT 0.5 s and TPOT 0.5 s over 10 gaps, as its stamps say."""
    rows = read_measurements(recorded(tmp_path / "h100-sxm_mine")).cases[0].rows
    assert {(row.metric, row.actual) for row in rows} == {("ttft_ms", 500.0), ("tpot_ms", 50.0), ("e2e_ms", 1000.0)}


@pytest.mark.parametrize(
    ("meta", "lines", "wanted"),
    [
        ({"model": "x"}, None, "meta.json: lacks engine_kwargs, vllm_version"),
        (META | {"engine_kwargs": None}, None, "meta.json: engine_kwargs: found None; write a JSON object"),
        (
            META | {"engine_kwargs": {"tensor_parallel_size": "two"}},
            None,
            "engine_kwargs.tensor_parallel_size: found 'two'; write a whole number of 1 or more",
        ),
        (META, "{]\n", "requests.jsonl:1: JSONDecodeError"),
        (META, json.dumps(REQUEST | {"output_toks": "many"}), "requests.jsonl:1: TypeError"),
        (META, json.dumps({"queued_ts": 1}), "requests.jsonl:1: KeyError('first_token_ts')"),
        (META, "\n", "requests.jsonl: holds no request"),
    ],
)
def test_a_record_with_a_slip(tmp_path: Path, meta: object, lines: str | None, wanted: str) -> None:
    with pytest.raises(SpecError) as error:
        read_measurements(recorded(tmp_path / "h100-sxm_mine", meta, lines))
    assert wanted in str(error.value)


@pytest.mark.parametrize(
    ("model", "experts", "layout", "seqs"),
    [
        ("meta-llama/Llama-3.1-8B", False, (1, 1, 1, 2), 128),
        ("Qwen/Qwen3-30B-A3B", False, (2, 1, 2, 1), 256),
        ("Qwen/Qwen3-30B-A3B", True, (2, 2, 2, 1), 256),
    ],
)
def test_ranks_of_a_mixture_share_its_experts(
    tmp_path: Path, model: str, experts: bool, layout: tuple[int, ...], seqs: int
) -> None:
    """Two data-parallel ranks: replicas of a dense model; of a mixture attention alone is by rank, with all sequences of both."""
    kwargs = {"data_parallel_size": 2, "enable_expert_parallel": experts, "max_num_seqs": 128}
    meta = META | {"model": model, "engine_kwargs": kwargs}
    case = read_measurements(recorded(tmp_path / "h100-sxm_mine", meta)).cases[0]
    assert (case.tensor, case.expert, case.attention_data, case.replicas) == layout
    assert case.max_num_seqs == seqs


def test_a_run_without_its_requests(tmp_path: Path) -> None:
    (recorded(tmp_path / "h100-sxm_mine") / "requests.jsonl").unlink()
    with pytest.raises(SpecError, match=r"requests\.jsonl: cannot be read"):
        read_measurements(tmp_path)


def test_a_recorded_run_of_an_unknown_model_is_refused(tmp_path: Path) -> None:
    found = validate(recorded(tmp_path / "h100-sxm_mine", META | {"model": "somebody/unheard-of"}))
    assert found.coverage == 0.0
    assert len(found.table) == 9
