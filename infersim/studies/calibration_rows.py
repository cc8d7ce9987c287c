"""A row of the long table of measurements as a case: its layout, its dtypes, its load, and what had to be assumed.

Not here: its layout (`calibration_layouts.py`) and load (`calibration_loads.py`), the other schemas (`measurements.py`).
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from infersim.spec.base import BYTES_PER_ELEMENT
from infersim.spec.engine import Engine
from infersim.spec.hardware import Hardware
from infersim.spec.model import Model
from infersim.studies.bench_limits import SOURCE, bench_limits
from infersim.studies.calibration_layouts import chips_of, fits, layout_of, narrow_enough
from infersim.studies.calibration_loads import Fields, load_of, noted
from infersim.studies.cases import CannotSay, Case, Load, Refused, Row, known_chip, known_engine, known_model
from infersim.studies.cells import POSITIVE, STATISTIC, TEXT, WORD, Cell
from infersim.studies.names import chip_name, dtype_of, engine_name
from infersim.studies.own_figures import TUNED_SEQS, as_told

CELLS: dict[str, Cell] = {
    **dict.fromkeys(("id", "hardware", "model", "engine", "scenario", "metric"), WORD),
    **dict.fromkeys(("chips", "parallelism", "weight_dtype", "kv_dtype", "batch_or_concurrency", "request_rate"), TEXT),
    **dict.fromkeys(("isl_tokens", "osl_tokens", "per", "speculative", "source", "note", "tier", "group"), TEXT),
    "statistic": STATISTIC,
    "value": POSITIVE,
}
"""What its cells must hold: most say in words what was not published."""
PUBLIC = "over the internet"
"""What notes say of services shared with strangers, whose TTFT is an upper bound."""
SERVICES = {"Cerebras": "cerebras", "SN40L": "sambanova", "Groq": "groq"}
"""Engines behind the public services of chips' vendors."""
VERSIONS = ("GH200-144GB",)
"""Chips of which the column `hardware` names the family alone."""
BACK_END = "TensorRT-LLM 1.0"
"""TensorRT-LLM serves models with latent attention by its PyTorch back end alone, whatever TensorRT is installed beside it (its
examples/models/core/deepseek_v3; TPOT of DeepSeek-R1 in MLPerf 5.1 is 3.5 times that of compiled engines)."""
OWN_CHECKPOINTS = {("llama-3.1-405b", "vllm-v0")}
"""Models and engines that were served from the publisher's own fp8 checkpoint: Meta's quantises the feed-forward layers alone (The Llama
3 Herd of Models, section 6.2), 480 GB and not 410. Eight H100 then have room for some 100,000 tokens, which is where the rows' batches
begin to wait. TensorRT-LLM's and AMD's checkpoints quantise attention too."""
OF_SOFTWARE = ("llm-inference-bench|MI300X|", "sglang-thread|MI300X|")
"""Groups that tell of their software, not of the chip, so that nothing is fitted to them: vLLM on ROCm of early 2024, off by 30 to 70 % either
way at batches of 1 and 64, to which those who compiled the measurements say not to fit; and SGLang on ROCm with Triton's attention and
experts that nobody tuned (steps of 1,024 sequences take 239 ms on eight chips, 53 by their operators), while its engine profile is of
NVIDIA's kernels: with them, all that other software reaches on the chip came out 20 to 50 % too slow."""


def calibration_cases(rows: list[Fields]) -> Iterator[Case | Refused]:
    """One case for each run; rows that differ in the metric alone belong together."""
    cases: dict[str, Case] = {}
    waited: dict[str, dict[str, float]] = {}
    for row in rows:
        if row["metric"] == "ttft_ms" and PUBLIC in row["note"]:
            waited.setdefault(row["group"], {})[row["statistic"]] = float(row["value"])
    for row in rows:
        try:
            case = replace(calibration_case(row), public_ttft_ms=waited.get(row["group"], {}))
        except CannotSay as reason:
            chip, engine = chip_name(row["hardware"]), engine_name(row["engine"])
            yield Refused(
                {"id": row["id"], "tier": row["tier"]}, row["metric"], float(row["value"]), str(reason),
                row["scenario"], chip or row["hardware"], engine or row["engine"], row["statistic"],
            )  # fmt: skip
            continue
        have = cases.get(case.name)
        cases[case.name] = case if have is None else replace(have, rows=have.rows + case.rows)
    yield from map(as_told, cases.values())


def calibration_case(row: Fields) -> Case:
    """The case of one row, holding that row alone; CannotSay if it cannot be re-simulated."""
    if row["speculative"] == "yes":
        raise CannotSay("speculative decoding needs a draft model")
    workers = dict(re.findall(r"(prefill|decode)_workers=(\d+)", row["parallelism"]))
    if not workers and "disaggregated" in row["parallelism"].lower():
        raise CannotSay("prefill and decode on different pools")
    model, hardware = known_model(row["model"]), known_chip(_version_of(row))
    engine = _engine(row, model, hardware)
    weights, kv_cache = dtype_of(row["weight_dtype"]), _kv_dtype(row["kv_dtype"])
    assumed: list[str] = []
    if weights == "fp8" and (model.name, engine.name) in OWN_CHECKPOINTS and "checkpoint" not in row["kv_dtype"]:
        model = model.model_copy(update={"quantised": "mlp"})
        assumed.append("the publisher's fp8 checkpoint, in which attention keeps 16 bits")
    if row["metric"] == "ttft_ms" and PUBLIC in row["note"]:
        raise CannotSay("TTFT holds a public network and strangers' requests: an upper bound")
    if row["metric"] in ("output_tok_s", "req_s") and PUBLIC in row["note"]:
        raise CannotSay("throughput of one client of a shared service holds that client's own pauses")
    if not row["weight_dtype"].strip().lower().startswith(("fp", "bf", "int")) and hardware.execution == "roofline":
        weights = narrow_enough(row, model, hardware, weights, assumed)
    layout = layout_of(row, model, hardware, engine, weights, kv_cache, assumed)
    value = float(row["value"])
    if row["per"] == "chip":
        value *= chips_of(row)
    load = load_of(row, assumed)
    seqs, tokens = _limits(row, model, hardware, engine, layout, weights, kv_cache, load, assumed)
    if workers:
        layout |= {"replicas": int(workers["decode"])}
    if (
        hardware.execution == "pipeline"
        and BYTES_PER_ELEMENT[weights] > 1
        and not fits(model, hardware, weights, layout)
    ):
        weights = "int8"
        assumed.append("weights of 8 bits, since 16 do not fit the chips")
    whole = engine.name == "optimum-habana" and "deepspeed" in row["engine"].lower()
    if whole:
        assumed.append("caches as long as prompt and output, read whole: static shapes without buckets")
    words = [row[k] for k in ("hardware", "chips", "parallelism", "model", "weight_dtype", "kv_dtype", "engine")]
    load_words = [row[k] for k in ("scenario", "batch_or_concurrency", "request_rate", "isl_tokens", "osl_tokens")]
    return Case(
        name=" | ".join((*words, *load_words, row["source"], row["note"])),
        model=model,
        hardware=hardware,
        engine=engine,
        weights=weights,
        kv_cache=kv_cache,
        load=load,
        rows=(
            Row(
                {"id": row["id"], "tier": row["tier"]},
                row["metric"],
                row["statistic"],
                value,
                every_token="divides e2e" in row["note"],
            ),
        ),
        group=row["group"],
        fitted=not row["group"].startswith(OF_SOFTWARE),
        max_num_seqs=seqs,
        slots=noted(row, r"batch slots (\d+)|(\d+) (?:batch|decode) slots") or (load.users if whole else None),
        slot_tokens=noted(row, r"cache length (\d+)") or (round(load.prompt + load.output) if whole else None),
        max_num_batched_tokens=tokens,
        prefill_replicas=int(workers.get("prefill", 0)),
        assumed=tuple(assumed),
        **layout,
    )


def _version_of(row: Fields) -> str:
    """The chip, in the version that the source's name of the machine tells."""
    return next((chip for chip in VERSIONS if chip in row["source"]), row["hardware"])


def _engine(row: Fields, model: Model, hardware: Hardware) -> Engine:
    """The engine; a vendor's own service runs on the vendor's own, and a model on the back end that has it."""
    own = next((engine for chip, engine in SERVICES.items() if row["hardware"].startswith(chip)), None)
    engine = known_engine(own if own and "api" in row["engine"].lower() else row["engine"], hardware)
    return known_engine(BACK_END, hardware) if engine.name == "tensorrt-llm-0" and model.attention.latent else engine


def _kv_dtype(text: str) -> str:
    """Dtype of keys and values: scales in a checkpoint do not make an engine store them in 8 bits."""
    return dtype_of("auto" if "checkpoint" in text else text)


def _limits(
    row: Fields, model: Model, hardware: Hardware, engine: Engine, layout: dict[str, Any], weights: str, kv_cache: str,
    load: Load, assumed: list[str],
) -> tuple[int | None, int | None]:  # fmt: skip
    """Most sequences and most tokens in a step, where they are not the engine's defaults."""
    ranks, tensor = layout["attention_data"], layout["tensor"]
    if SOURCE not in row["source"] or load.kind != "offline_throughput":
        most, held = _seqs(row, engine, assumed), _batched(row, model)
        if ranks > 1 and engine.name.startswith("tensorrt-llm"):  # each rank has limits of its own
            return most or engine.max_num_seqs * ranks, held or engine.max_num_batched_tokens * ranks
        return most, held
    seqs, tokens = bench_limits(model, hardware, tensor * layout["pipeline"], tensor, weights, kv_cache, load)
    assumed.append(f"{seqs} sequences and {tokens} tokens in a step of each rank, as trtllm-bench sets them")
    return seqs * ranks, tokens * ranks


def _seqs(row: Fields, engine: Engine, assumed: list[str]) -> int | None:
    """Most sequences in a step, where a row says so or its source does."""
    if (stated := noted(row, r"max_num_seqs (\d+)")) is not None:
        return stated
    if ":closed/" not in row["source"] or engine.max_num_seqs >= TUNED_SEQS:
        return None
    assumed.append(f"up to {TUNED_SEQS} sequences in a step, as submissions that say so")
    return TUNED_SEQS


def _batched(row: Fields, model: Model) -> int | None:
    """Most tokens in a step; where prompts are not cut, the longest context."""
    whole = "chunked prefill FALSE" in row["note"] or "num-scheduler-steps" in row["note"]  # these exclude each other
    return model.max_context if whole else noted(row, r"max_num_batched_tokens (\d+)")
