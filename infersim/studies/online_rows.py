"""Online runs as cases: stages of an even load on one server, whose prompts are shared prefixes.

Not here: the other schemas (`measurements.py`).
"""

from collections.abc import Iterator

from infersim.studies.cases import CannotSay, Case, Load, Refused, Row, known_chip, known_engine, known_model
from infersim.studies.cells import (
    COUNT,
    COUNT_OR_0,
    POSITIVE,
    SHARE,
    STAGES,
    STATISTICS,
    TEXT,
    WORD,
    Cell,
    matches,
    optional,
)
from infersim.studies.names import chip_name, dtype_of, engine_name

Fields = dict[str, str]

METRICS = {"e2e": "e2e_ms", "ttft": "ttft_ms", "itl": "itl_ms"}
CELLS: dict[str, Cell] = {
    **dict.fromkeys(("run", "hardware", "model", "engine", "stage"), WORD),
    **dict.fromkeys(("weight_dtype", "prefix_caching"), TEXT),
    **dict.fromkeys(("tp", "unique_system_prompts", "users_per_prompt", "output_tokens"), COUNT),
    **dict.fromkeys(("max_num_seqs", "max_num_batched_tokens", "gpu_kv_blocks", "block_size"), optional(COUNT)),
    **dict.fromkeys(("system_prompt_tokens", "question_tokens"), COUNT_OR_0),
    **dict.fromkeys(("stage_rate_rps", "stage_duration_s"), STAGES),
    "gpu_memory_utilization": optional(SHARE),
    "metric": matches(rf"({'|'.join(METRICS)})_({STATISTICS})", "e2e, ttft or itl with a statistic, such as ttft_p99"),
    "value_ms": POSITIVE,
}
"""What its cells must hold."""
AGREES = 1.05
"""How many times as many gaps as a client's figures amount to an answer may have."""


def online_cases(rows: list[Fields]) -> Iterator[Case | Refused]:
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
                chip = chip_name(first["hardware"]) or first["hardware"]
                metric, _, statistic = cell["metric"].rpartition("_")
                value = float(cell["value_ms"])
                engine = engine_name(first["engine"]) or first["engine"]
                yield Refused(labels, METRICS[metric], value, str(reason), "online", chip, engine, statistic)


def _online_case(name: str, first: Fields, cells: list[Fields]) -> Case:
    stages = _stages(cells)
    load = Load(
        kind="online",
        prompt=float(first["system_prompt_tokens"]) + float(first["question_tokens"]),
        output=float(first["output_tokens"]),
        stages=tuple((stage, rate, seconds) for stage, (rate, seconds) in stages.items()),
        systems=int(float(first["unique_system_prompts"])),
        conversations=int(float(first["users_per_prompt"])),
        system_tokens=int(float(first["system_prompt_tokens"])),
    )
    if unknown := {cell["stage"] for cell in cells} - {"all", *stages}:
        raise CannotSay(f"stage {', '.join(sorted(unknown))} is none of the {len(stages)} of the whole run")
    rows = []
    for cell in cells:
        metric, _, statistic = cell["metric"].rpartition("_")
        labels = {"run": name, "stage": cell["stage"]}
        gaps = fewer_gaps(cells, cell["stage"], load.output) if cell["metric"] == "itl_mean" else None
        rows.append(Row(labels, METRICS[metric], statistic, float(cell["value_ms"]), cell["stage"], gaps=gaps))
    hardware = known_chip(first["hardware"])
    engine = known_engine(first["engine"], hardware)
    if first["gpu_memory_utilization"]:
        share = engine.memory_fraction.model_copy(update={"value": float(first["gpu_memory_utilization"])})
        engine = engine.model_copy(update={"memory_fraction": share})
    return Case(
        name=name,
        model=known_model(first["model"]),
        hardware=hardware,
        engine=engine,
        tensor=int(float(first["tp"])),
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
        assumed=tuple(
            sorted({f"ITL over {r.gaps:.0f} gaps between what the client received" for r in rows if r.gaps is not None})
        ),
    )


def _stages(cells: list[Fields]) -> dict[str, tuple[float, float]]:
    """Rate [1/s] and seconds of each stage: as rows of the whole run list them, else from each stage's own rows."""
    whole = next((c for c in cells if c["stage"] == "all"), None)
    if whole is None:
        said = {c["stage"]: (c["stage_rate_rps"], c["stage_duration_s"]) for c in cells}
    else:
        rates, seconds = (whole[column].split("|") for column in ("stage_rate_rps", "stage_duration_s"))
        if len(rates) != len(seconds):
            raise CannotSay(f"its stages have {len(rates)} rates and {len(seconds)} durations")
        said = {str(i): pair for i, pair in enumerate(zip(rates, seconds, strict=True))}
    if any("|" in text for pair in said.values() for text in pair):
        raise CannotSay("a stage has one rate and one duration; several are those of the whole run, stage all")
    return {stage: (float(rate), float(long)) for stage, (rate, long) in said.items()}


def fewer_gaps(cells: list[Fields], stage: str, output: float) -> float | None:
    """Gaps that a stage's mean ITL was taken over, (E2E - TTFT) / ITL, where these are not those between all tokens.

    A server sends what can be read. A token that is one byte of a character waits for the others, and a client that adds up what
    came counts one gap: answers of Llama 2, whose tokenizer spells out rare characters byte by byte, came in a fifth fewer pieces.
    """
    said = {cell["metric"]: float(cell["value_ms"]) for cell in cells if cell["stage"] == stage}
    if not {"e2e_mean", "ttft_mean", "itl_mean"} <= set(said):
        return None
    gaps = (said["e2e_mean"] - said["ttft_mean"]) / said["itl_mean"]
    return gaps if 0.0 < gaps * AGREES < output - 1.0 else None


def _whole(text: str) -> int | None:
    return int(float(text)) if text.strip() else None
