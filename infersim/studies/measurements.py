"""Published measurements as cases that can be re-simulated: both schemas of tables, and folders of single requests.

A case is one run of one deployment under one load; its rows are what was measured of it. What is said differently by
different sources (chips, engines, dtypes, layouts) is translated here, and a row that says too little is refused with
the reason, never guessed silently: what had to be assumed stands in the case.
Not here: serving them (`resimulation.py`), errors (`validation.py`).
"""

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infersim.spec import catalogue
from infersim.spec.engine import Engine
from infersim.spec.errors import Problem, SpecError
from infersim.spec.hardware import Hardware
from infersim.spec.model import Model
from infersim.studies.names import chip_name, dtype_of, engine_name, model_name

Fields = dict[str, str]


@dataclass(frozen=True)
class Row:
    """One measured number, of the whole system, in the unit that the metric's name ends in."""

    labels: dict[str, Any]
    """What identifies it in its file: id, or run and stage."""
    metric: str
    """output_tok_s, total_tok_s, req_s, tok_s_user, or ttft_ms, tpot_ms, itl_ms, e2e_ms."""
    statistic: str
    """mean, p50, p90 or p99."""
    actual: float
    stage: str = "all"
    """Which stage of the load it was measured in."""


@dataclass(frozen=True)
class Load:
    """What arrives."""

    kind: str
    """offline_throughput, fixed_batch, single_stream, closed_loop, server, online or requests."""
    prompt: float = 0.0
    """Mean prompt [tokens]."""
    output: float = 0.0
    """Mean output [tokens]."""
    varied: float = 0.0
    """Coefficient of variation of both lengths; 0 where all requests are alike."""
    longest: int = 0
    """Longest output, where one is set [tokens]; 0 for none."""
    requests: int = 0
    """How many requests; 0 lets the re-simulation choose."""
    users: int = 0
    """Users of a closed loop, or sequences of a fixed batch."""
    rate_rps: float = 0.0
    """Poisson rate of a server [1/s]."""
    beams: int = 1
    """Sequences that are generated for each request."""
    stages: tuple[tuple[str, float, float], ...] = ()
    """(name, rate [1/s], seconds) of an online run, one after the other."""
    systems: int = 0
    """Distinct system prompts of an online run."""
    conversations: int = 0
    """Distinct prompts that begin with each."""
    system_tokens: int = 0
    """Length of the system prompt [tokens]."""
    trace: tuple[tuple[float, int, int], ...] = ()
    """(arrival [s], prompt, output) of single requests."""


@dataclass(frozen=True)
class Case:
    """One deployment under one load, and what was measured of it."""

    name: str
    model: Model
    hardware: Hardware
    engine: Engine
    tensor: int
    pipeline: int
    expert: int
    attention_data: int
    chips: int | None
    """Chips of a replica of an SRAM machine."""
    replicas: int
    weights: str
    kv_cache: str
    load: Load
    rows: tuple[Row, ...]
    group: str
    """Rows of one group come from one source, chip and model."""
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    block_size: int | None = None
    blocks: int | None = None
    prefix_caching: bool = False
    prefill_replicas: int = 0
    """Replicas that only prefill, beside `replicas` that only decode; 0 where every replica does both."""
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refused:
    """A row that cannot be re-simulated."""

    labels: dict[str, Any]
    metric: str
    actual: float
    reason: str
    kind: str
    hardware: str
    engine: str


@dataclass
class Reading:
    """What a file holds."""

    cases: list[Case] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


class CannotSay(Exception):
    """A row does not say enough, or says what infersim does not know."""


def read_measurements(path: Path) -> Reading:
    """The cases of a table in either schema, of all tables in a folder, or of folders of single requests.

    Raises SpecError for anything else.
    """
    if path.is_dir() and (tables := sorted(path.glob("*.csv"))) and not (path / "meta.json").is_file():
        readings = [read_measurements(table) for table in tables]
        return Reading([c for r in readings for c in r.cases], [x for r in readings for x in r.refused])
    if path.is_dir():
        folders = [path] if (path / "requests.jsonl").is_file() else sorted(p.parent for p in path.glob("*/meta.json"))
        if not folders:
            raise SpecError(Problem("holds no requests.jsonl with its meta.json", source=str(path)))
        return _collected(_request_folder(folder) for folder in folders)
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise SpecError(Problem(f"cannot be read: {error.strerror}", source=str(path))) from error
    columns = set(rows[0]) if rows else set()
    if {"run", "stage", "gpu_kv_blocks"} <= columns:
        return _collected(_online(rows))
    if {"id", "scenario", "isl_tokens", "metric"} <= columns:
        return _collected(_calibration(rows))
    raise SpecError(
        Problem(
            "is no table of measurements: wanted are the columns id, scenario, isl_tokens, metric ... or run, stage, "
            f"gpu_kv_blocks ...; found {', '.join(sorted(columns)) or 'nothing'}",
            source=str(path),
        )
    )


def _collected(found: Iterator[Case | Refused]) -> Reading:
    reading = Reading()
    for one in found:
        (reading.cases if isinstance(one, Case) else reading.refused).append(one)  # type: ignore[arg-type]
    return reading


# ---------------------------------------------------------------- online runs


def _online(rows: list[Fields]) -> Iterator[Case | Refused]:
    """One case for each run: its stages follow each other on one server, whose prefix cache stays warm."""
    runs: dict[str, list[Fields]] = {}
    for row in rows:
        runs.setdefault(row["run"], []).append(row)
    for name, cells in runs.items():
        first = cells[0]
        try:
            yield _online_case(name, first, cells)
        except CannotSay as reason:
            for cell in cells:
                labels = {"run": name, "stage": cell["stage"]}
                kind, chip = "online", first["hardware"]
                value = float(cell["value_ms"])
                yield Refused(labels, cell["metric"], value, str(reason), kind, chip, first["engine"])


def _online_case(name: str, first: Fields, cells: list[Fields]) -> Case:
    stages = {
        c["stage"]: (float(c["stage_rate_rps"]), float(c["stage_duration_s"])) for c in cells if c["stage"] != "all"
    }
    load = Load(
        kind="online",
        prompt=float(first["system_prompt_tokens"]) + float(first["question_tokens"]),
        output=float(first["output_tokens"]),
        stages=tuple((stage, rate, seconds) for stage, (rate, seconds) in stages.items()),
        systems=int(first["unique_system_prompts"]),
        conversations=int(first["users_per_prompt"]),
        system_tokens=int(first["system_prompt_tokens"]),
    )
    metrics = {"e2e": "e2e_ms", "ttft": "ttft_ms", "itl": "itl_ms"}
    rows = []
    for cell in cells:
        metric, _, statistic = cell["metric"].rpartition("_")
        labels = {"run": name, "stage": cell["stage"]}
        rows.append(Row(labels, metrics[metric], statistic, float(cell["value_ms"]), cell["stage"]))
    return Case(
        name=name,
        model=known_model(first["model"]),
        hardware=known_chip(first["hardware"]),
        engine=known_engine(first["engine"]),
        tensor=int(first["tp"]),
        pipeline=1,
        expert=1,
        attention_data=1,
        chips=None,
        replicas=1,
        weights=dtype_of(first["weight_dtype"]),
        kv_cache="bf16",
        load=load,
        rows=tuple(rows),
        group=f"{first['hardware']} {first['model']}",
        max_num_seqs=_whole(first["max_num_seqs"]),
        max_num_batched_tokens=_whole(first["max_num_batched_tokens"]),
        block_size=_whole(first["block_size"]),
        blocks=_whole(first["gpu_kv_blocks"]),
        prefix_caching=first["prefix_caching"] == "yes",
    )


# ---------------------------------------------------------------- single requests


def _request_folder(folder: Path) -> Case:
    """A run of vLLM, request by request; the rows are statistics over its requests."""
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    settings = meta["engine_kwargs"]
    lines = [json.loads(line) for line in (folder / "requests.jsonl").read_text(encoding="utf-8").splitlines() if line]
    start = min(line["queued_ts"] for line in lines)
    ordered = sorted(lines, key=lambda line: line["queued_ts"])
    trace = tuple((line["queued_ts"] - start, line["input_toks"], line["output_toks"]) for line in ordered)
    measured = {
        "ttft_ms": [1e3 * (line["first_token_ts"] - line["queued_ts"]) for line in ordered],
        "tpot_ms": [
            1e3 * (line["last_token_ts"] - line["first_token_ts"]) / (line["output_toks"] - 1)
            for line in ordered
            if line["output_toks"] > 1
        ],
        "e2e_ms": [1e3 * (line["last_token_ts"] - line["queued_ts"]) for line in ordered],
    }
    from infersim.studies.resimulation import statistic

    rows = [
        Row({"run": folder.name, "stage": "all"}, metric, name, statistic(values, name))
        for metric, values in measured.items()
        for name in ("mean", "p50", "p99")
    ]
    chip = folder.name.split("_")[0]
    weights = dtype_of(settings["dtype"])
    return Case(
        name=folder.name,
        model=known_model(meta["model"]),
        hardware=known_chip(chip),
        engine=known_engine(f"vllm-{meta['vllm_version']}"),
        tensor=settings["tensor_parallel_size"],
        pipeline=1,
        expert=1,
        attention_data=1,
        chips=None,
        replicas=settings["data_parallel_size"],
        weights=weights,
        kv_cache=weights if settings["kv_cache_dtype"] == "auto" else dtype_of(settings["kv_cache_dtype"]),
        load=Load(kind="requests", trace=trace),
        rows=tuple(rows),
        group=f"{chip} {meta['model']}",
        max_num_seqs=settings["max_num_seqs"],
        max_num_batched_tokens=settings["max_num_batched_tokens"],
        blocks=meta.get("kv_blocks") or settings.get("num_gpu_blocks_override"),
    )


# ---------------------------------------------------------------- the long table


def _calibration(rows: list[Fields]) -> Iterator[Case | Refused]:
    """One case for each run; rows that differ in the metric alone belong together."""
    from infersim.studies.calibration_rows import calibration_case

    cases: dict[str, Case] = {}
    for row in rows:
        try:
            case = calibration_case(row)
        except CannotSay as reason:
            yield Refused(
                {"id": row["id"]}, row["metric"], float(row["value"]), str(reason), row["scenario"], row["hardware"],
                row["engine"],
            )  # fmt: skip
            continue
        have = cases.get(case.name)
        if have is None:
            cases[case.name] = case
        else:
            from dataclasses import replace

            cases[case.name] = replace(have, rows=have.rows + case.rows)
    yield from cases.values()


# ---------------------------------------------------------------- names


def known_model(text: str) -> Model:
    """The catalogue's model; CannotSay if there is none."""
    return _known(catalogue.model, model_name(text), "model", text)


def known_chip(text: str) -> Hardware:
    """The catalogue's chip; CannotSay if there is none."""
    return _known(catalogue.hardware, chip_name(text), "chip", text)


def known_engine(text: str) -> Engine:
    """The catalogue's engine; CannotSay if there is none."""
    return _known(catalogue.engine, engine_name(text), "engine", text)


def _known(look_up: Any, name: str | None, what: str, text: str) -> Any:
    if name is not None:
        try:
            return look_up(name)
        except catalogue.UnknownName:
            pass
    raise CannotSay(f"{what} {text} is not in the catalogue")


def _whole(text: str) -> int | None:
    return int(float(text)) if re.fullmatch(r"\d+(\.0*)?", text.strip()) else None
