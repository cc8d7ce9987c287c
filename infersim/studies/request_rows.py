"""A run recorded request by request as a case: vLLM's own time stamps of each.

Not here: the other schemas (`measurements.py`).
"""

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from infersim.spec.errors import Problem, SpecError
from infersim.studies.cases import CannotSay, Case, Load, Refused, Row, known_chip, known_engine, known_model
from infersim.studies.cells import COUNT
from infersim.studies.names import dtype_of
from infersim.studies.outcomes import statistic

STAMPS = ("queued_ts", "first_token_ts", "last_token_ts", "input_toks", "output_toks")
STATISTICS = ("mean", "p50", "p99")
COUNTS = (
    *(f"{kind}_parallel_size" for kind in ("tensor", "pipeline", "data")),
    "max_num_seqs", "max_num_batched_tokens", "num_gpu_blocks_override",
)  # fmt: skip
"""Settings of the engine that are whole numbers, where they are stated."""


def request_cases(folders: Iterable[Path]) -> Iterator[Case | Refused]:
    """A case for each run; the rows are statistics over its requests. SpecError for a file that is no such record."""
    for folder in folders:
        meta, lines = _meta(folder / "meta.json"), _requests(folder / "requests.jsonl")
        measured = {
            "ttft_ms": [1e3 * (line["first_token_ts"] - line["queued_ts"]) for line in lines],
            "tpot_ms": [
                1e3 * (line["last_token_ts"] - line["first_token_ts"]) / (line["output_toks"] - 1)
                if line["output_toks"] > 1
                else math.nan
                for line in lines
            ],
            "e2e_ms": [1e3 * (line["last_token_ts"] - line["queued_ts"]) for line in lines],
        }
        rows = tuple(
            Row({"run": folder.name, "stage": "all"}, metric, name, statistic(known, name))
            for metric, values in measured.items()
            if (known := [value for value in values if value == value])
            for name in STATISTICS
        )
        start = lines[0]["queued_ts"]
        trace = tuple((line["queued_ts"] - start, line["input_toks"], line["output_toks"]) for line in lines)
        chip = folder.name.split("_")[0]
        engine = f"vllm-{meta['vllm_version']}"
        try:
            yield _case(folder.name, chip, engine, meta, Load(kind="requests", trace=trace), rows, measured)
        except CannotSay as reason:
            for row in rows:
                yield Refused(row.labels, row.metric, row.actual, str(reason), "requests", chip, engine, row.statistic)


def _meta(path: Path) -> dict[str, Any]:
    """What a run says of its server."""
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
        missing = {"model", "vllm_version", "engine_kwargs"} - set(meta)
    except (OSError, ValueError, TypeError) as error:
        raise SpecError(Problem(f"is no JSON object: {error}", source=str(path))) from error
    if missing:
        raise SpecError(Problem(f"lacks {', '.join(sorted(missing))}", source=str(path)))
    settings = meta["engine_kwargs"]
    if not isinstance(settings, dict):
        raise SpecError(Problem(f"found {settings!r}; write a JSON object", str(path), path=("engine_kwargs",)))
    stated = {key: settings[key] for key in COUNTS if settings.get(key) is not None}
    problems = [
        Problem(f"found {value!r}; write {COUNT.wanted}", str(path), path=("engine_kwargs", key))
        for key, value in stated.items()
        if not COUNT.holds(str(value))
    ]
    if problems:
        raise SpecError(problems)
    return dict(meta)


def _requests(path: Path) -> list[dict[str, Any]]:
    """Its requests in the order in which they were queued."""
    found = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(Problem(f"cannot be read: {error}", source=str(path))) from error
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
            found.append({stamp: 0 + line[stamp] for stamp in STAMPS})
        except (ValueError, KeyError, TypeError) as error:
            wanted = f"write a JSON object with numbers for {', '.join(STAMPS)}"
            raise SpecError(Problem(f"{error!r}; {wanted}", source=str(path), line=number)) from error
    if not found:
        raise SpecError(Problem("holds no request", source=str(path)))
    return sorted(found, key=lambda line: float(line["queued_ts"]))


def _case(
    name: str,
    chip: str,
    engine: str,
    meta: dict[str, Any],
    load: Load,
    rows: tuple[Row, ...],
    each: dict[str, list[float]],
) -> Case:
    settings = meta["engine_kwargs"]
    hardware, model = known_chip(chip), known_model(meta["model"])
    tensor, data = (int(settings.get(f"{kind}_parallel_size") or 1) for kind in ("tensor", "data"))
    shared = data if model.experts else 1  # ranks of a mixture share their experts, others are replicas of their own
    seqs, tokens, blocks = (
        shared * each_rank if each_rank else None
        for each_rank in (
            settings.get("max_num_seqs"), settings.get("max_num_batched_tokens"),
            meta.get("kv_blocks") or settings.get("num_gpu_blocks_override"),
        )
    )  # fmt: skip
    weights = dtype_of(settings.get("quantization") or settings.get("dtype") or "auto")
    kept = settings.get("kv_cache_dtype") or "auto"
    return Case(
        name=name,
        model=model,
        hardware=hardware,
        engine=known_engine(engine, hardware),
        tensor=tensor * shared,
        pipeline=int(settings.get("pipeline_parallel_size") or 1),
        expert=tensor * shared if model.experts and settings.get("enable_expert_parallel") else 1,
        attention_data=shared,
        chips=None,
        replicas=data // shared,
        weights=weights,
        kv_cache=dtype_of(settings.get("dtype") or "auto") if kept == "auto" else dtype_of(kept),
        load=load,
        rows=rows,
        group=f"{hardware.name} {meta['model']}",
        each={metric: tuple(values) for metric, values in each.items()},
        max_num_seqs=seqs,
        max_num_batched_tokens=tokens,
        blocks=blocks,
    )
