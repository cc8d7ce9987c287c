"""A run recorded request by request as a case: vLLM's own time stamps of each.

Not here: the other schemas (`measurements.py`).
"""

import json
import math
from pathlib import Path

from infersim.studies.cases import Case, Load, Row, known_chip, known_engine, known_model
from infersim.studies.names import dtype_of
from infersim.studies.resimulation import statistic


def request_case(folder: Path) -> Case:
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
            if line["output_toks"] > 1
            else math.nan
            for line in ordered
        ],
        "e2e_ms": [1e3 * (line["last_token_ts"] - line["queued_ts"]) for line in ordered],
    }
    rows = [
        Row({"run": folder.name, "stage": "all"}, metric, name, statistic([v for v in values if v == v], name))
        for metric, values in measured.items()
        for name in ("mean", "p50", "p99")
    ]
    hardware = known_chip(folder.name.split("_")[0])
    weights = dtype_of(settings["dtype"])
    return Case(
        name=folder.name,
        model=known_model(meta["model"]),
        hardware=hardware,
        engine=known_engine(f"vllm-{meta['vllm_version']}", hardware),
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
        group=f"{hardware.name} {meta['model']}",
        each={metric: tuple(values) for metric, values in measured.items()},
        max_num_seqs=settings["max_num_seqs"],
        max_num_batched_tokens=settings["max_num_batched_tokens"],
        blocks=meta.get("kv_blocks") or settings.get("num_gpu_blocks_override"),
    )
