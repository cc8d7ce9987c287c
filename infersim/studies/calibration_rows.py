"""A row of the long table of measurements as a case: its layout, its dtypes, its load, and what had to be assumed.

Not here: the other schema (`measurements.py`).
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from infersim.cost.operators import parameters
from infersim.spec.base import BYTES_PER_ELEMENT
from infersim.spec.engine import Engine
from infersim.spec.hardware import Hardware
from infersim.spec.model import Model
from infersim.spec.placement import sram_chips
from infersim.studies.bench_limits import SOURCE, bench_limits
from infersim.studies.cases import CannotSay, Case, Load, Refused, Row, known_chip, known_engine, known_model
from infersim.studies.cells import POSITIVE, STATISTIC, TEXT, WORD, Cell
from infersim.studies.names import chip_name, dtype_of, engine_name
from infersim.studies.own_figures import TUNED_SEQS, as_told

Fields = dict[str, str]

CELLS: dict[str, Cell] = {
    **dict.fromkeys(("id", "hardware", "model", "engine", "scenario", "metric"), WORD),
    **dict.fromkeys(("chips", "parallelism", "weight_dtype", "kv_dtype", "batch_or_concurrency", "request_rate"), TEXT),
    **dict.fromkeys(("isl_tokens", "osl_tokens", "per", "speculative", "source", "note", "tier", "group"), TEXT),
    "statistic": STATISTIC,
    "value": POSITIVE,
}
"""What its cells must hold: most say in words what was not published."""
SCENARIOS = ("offline_throughput", "fixed_batch", "single_stream", "closed_loop", "server")
PROMPTS = {"OpenOrca+GSM8K+MBXP": 300.0, "mix of OpenOrca": 300.0, "CNN-DailyMail": 778.0, "math/code": 800.0,
           "long-context": 9400.0, "ShareGPT": 220.0, "short": 16.0}  # fmt: skip
"""Mean prompts of public data sets, where a row names the set and not the length [tokens]. That of MLPerf's Mixtral is estimated: OpenOrca's 219
and MBXP's are shorter, GSM8K's are longer if they are posed with worked examples, as the score of 73.8 % suggests; with 300 offline runs of H100 and
GH200 come out 30 % too fast and those of MI300X 10 % too slow, with 206 all were 3 to 55 % too fast."""
VARIED = {"OpenOrca": 0.75, "CNN-DailyMail": 0.45, "math/code": 0.9, "long-context": 0.6, "ShareGPT": 1.0}
"""Coefficient of variation of their lengths, roughly."""
OF_MOST = 940 / 1024
"""Mean output over the most that a load generator asks for, where a row says that alone: models seldom stop by themselves
before it (934,964 tokens of 995 requests with at most 1,024 in the example of JetStream's benchmark, benchmarks/README.md)."""
BEAM_OUTPUT = 67.0
"""Mean answer of MLPerf's GPT-J, beam search on CNN-DailyMail with at most 128 tokens: 13,368 answers have 4,016,878 characters (gen_len in its
accuracy targets), 300 each, and a token has 4.5; Llama-3.1-8B's 8,167,644 characters on the same set are 128 tokens each."""
USUAL = 512.0
"""Prompt and output of a single stream of which only the decode rate was published [tokens]."""
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
EARLY = "llm-inference-bench|MI300X|"
"""Groups whose software tells little of the chip: vLLM on ROCm of early 2024, off by 30 to 70 % either way at batches of 1 and 64; those who
compiled the measurements say not to fit to them."""
CORES = {"inferentia2": 2, "trainium1": 2, "trainium2": 4}
"""Cores that a chip counts as in the column `parallelism`; of Trainium2 logical ones, two cores each."""


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
        weights = _narrow_enough(row, model, hardware, weights, assumed)
    layout = _layout(row, model, hardware, engine, weights, kv_cache, assumed)
    value = float(row["value"])
    if row["per"] == "chip":
        value *= _chips(row)
    load = _load(row, assumed)
    seqs, tokens = _limits(row, model, hardware, engine, layout, weights, kv_cache, load, assumed)
    if workers:
        layout |= {"replicas": int(workers["decode"])}
    if (
        hardware.execution == "pipeline"
        and BYTES_PER_ELEMENT[weights] > 1
        and not _fits(model, hardware, weights, layout)
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
        fitted=not row["group"].startswith(EARLY),
        max_num_seqs=seqs,
        slots=_noted(row, r"batch slots (\d+)|(\d+) (?:batch|decode) slots") or (load.users if whole else None),
        slot_tokens=_noted(row, r"cache length (\d+)") or (round(load.prompt + load.output) if whole else None),
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
    if (stated := _noted(row, r"max_num_seqs (\d+)")) is not None:
        return stated
    if ":closed/" not in row["source"] or engine.max_num_seqs >= TUNED_SEQS:
        return None
    assumed.append(f"up to {TUNED_SEQS} sequences in a step, as submissions that say so")
    return TUNED_SEQS


def _batched(row: Fields, model: Model) -> int | None:
    """Most tokens in a step; where prompts are not cut, the longest context."""
    whole = "chunked prefill FALSE" in row["note"] or "num-scheduler-steps" in row["note"]  # these exclude each other
    return model.max_context if whole else _noted(row, r"max_num_batched_tokens (\d+)")


def _chips(row: Fields) -> int:
    found = re.search(r"\d+", row["chips"])
    if found is None:
        raise CannotSay(f"the number of chips is {row['chips']}")
    return int(found.group())


def _layout(
    row: Fields, model: Model, hardware: Hardware, engine: Engine, weights: str, kv_cache: str, assumed: list[str]
) -> dict[str, Any]:
    """Keys of a Case that say how chips are used."""
    if hardware.execution == "pipeline":
        known = re.match(r"\d+", row["chips"])
        chips = int(known.group()) if known else sram_chips(model, hardware, engine, weights, kv_cache)  # type: ignore[arg-type]
        if not known:
            assumed.append(f"{chips} chips, the fewest that hold weights and KV")
        return {"tensor": 1, "pipeline": 1, "expert": 1, "attention_data": 1, "chips": chips, "replicas": 1}
    text, chips = row["parallelism"], _chips(row)
    if "prefill replicated" in row["note"]:
        raise CannotSay("one program in which every chip prefills all prompts and decodes a share of them")
    if "over" in text and not text.startswith("wide EP over"):
        raise CannotSay(f"the layout is {text}")
    degrees = {k: int(v) for k, v in re.findall(r"(tp|pp|ep|dp)=(\d+)", text)}
    pipeline = degrees.get("pp", 1)
    if "tp" in degrees:
        tensor = max(1, degrees["tp"] // CORES.get(hardware.name, 1))
    elif text.startswith("wide EP over"):
        tensor = chips
    elif "prefill" in text:
        raise CannotSay("prefill and decode on different pools")
    else:
        tensor = _fewest_chips(model, hardware, weights, chips)
        assumed.append(f"tensor parallelism {tensor}: the fewest chips that hold the weights and as much KV")
    expert, data = degrees.get("ep", 1), 1
    if "attention-dp" in text or text.startswith("wide EP over") or (expert > 1 and degrees.get("dp", 1) == expert):
        if expert > tensor or text.startswith("wide EP over"):
            tensor = expert = chips
        data = tensor
        expert = tensor if model.experts else 1
        assumed.append(f"experts over {expert} chips")
    elif expert == tensor > 1 and model.attention.latent and "TensorRT" in row["engine"]:
        data = tensor
        assumed.append(
            "attention data parallel, as TensorRT-LLM serves latent attention, whose cache each chip would hold whole otherwise"
        )
    replicas = max(1, chips // (tensor * pipeline))
    return {
        "tensor": tensor, "pipeline": pipeline, "expert": min(expert, tensor), "attention_data": data, "chips": None,
        "replicas": replicas,
    }  # fmt: skip


def _fits(model: Model, hardware: Hardware, weights: str, layout: dict[str, Any]) -> bool:
    room = layout["chips"] * hardware.memory.capacity_gb.value * 1e9 * 0.85
    return parameters(model) * BYTES_PER_ELEMENT[weights] < room


def _narrow_enough(row: Fields, model: Model, hardware: Hardware, weights: str, assumed: list[str]) -> str:
    """The widest dtype in which weights of unstated dtype fit all chips."""
    known = re.search(r"\d+", row["chips"])
    room = (int(known.group()) if known else 1) * hardware.memory.capacity_gb.value * 1e9 * 0.85
    widths = [dtype for dtype in (weights, "int8", "int4") if parameters(model) * BYTES_PER_ELEMENT[dtype] < room]
    if widths and widths[0] != weights:
        assumed.append(f"weights in {widths[0]}, the widest that fits")
    return widths[0] if widths else weights


def _fewest_chips(model: Model, hardware: Hardware, weights: str, chips: int) -> int:
    size = parameters(model) * BYTES_PER_ELEMENT[weights]
    tensor = 1
    while tensor < chips and tensor * hardware.memory.capacity_gb.value * 1e9 * 0.9 < 1.35 * size:
        tensor *= 2
    return min(tensor, chips)


def _load(row: Fields, assumed: list[str]) -> Load:
    """The load of a row."""
    note, kind = row["note"], row["scenario"]
    if kind not in SCENARIOS:
        raise CannotSay(f"the scenario is {kind}, none of {', '.join(SCENARIOS)}")
    prompt, output = _length(row["isl_tokens"]), _length(row["osl_tokens"])
    if prompt is None:
        said = f"{note} {row['isl_tokens']}"
        prompt = next((tokens for words, tokens in PROMPTS.items() if words in said), None)
        if prompt is not None:
            assumed.append(f"prompts of {prompt:g} tokens, as the data set's")
    if between := re.search(r"measured output is about (\d+)-(\d+)", note):
        output = (float(between.group(1)) + float(between.group(2))) / 2.0
    most = _noted(row, r"max out (\d+)") or 0
    if output is None and most:
        output = OF_MOST * most
        assumed.append(f"outputs of {output:.0f} tokens where {most} were asked for")
    if output is None and "ShareGPT" in f"{note} {row['osl_tokens']} {row['isl_tokens']}":
        output = 200.0
        assumed.append("outputs of 200 tokens, as ShareGPT's")
    if "BEAM" in note:
        output = BEAM_OUTPUT
        assumed.append(f"answers of {output:g} tokens, as MLPerf's GPT-J")
    if output is None and "CNN-DailyMail" in note:
        output = 128.0
        assumed.append("outputs of 128 tokens, the data set's limit")
    decodes = kind == "single_stream" and row["metric"] in ("tok_s_user", "tpot_ms")
    if prompt is None and decodes:
        prompt = USUAL
        assumed.append(f"prompts of {USUAL:g} tokens, on which one user's decode rate hardly depends")
    if output is None and decodes:
        output = USUAL
        assumed.append(f"outputs of {USUAL:g} tokens, on which one user's decode rate hardly depends")
    if prompt is None:
        raise CannotSay(f"the prompt is {row['isl_tokens'] or 'not said'}")
    if output is None:
        raise CannotSay(f"the output is {row['osl_tokens'] or 'not said'}")
    varied = next((v for words, v in VARIED.items() if words in note), 0.0)
    users = _length(row["batch_or_concurrency"])
    if kind in ("fixed_batch", "closed_loop") and users is None:
        raise CannotSay(f"the batch or concurrency is {row['batch_or_concurrency'] or 'not said'}")
    rate = _length(row["request_rate"])
    if kind == "server" and rate is None:
        raise CannotSay(f"the request rate is {row['request_rate'] or 'not said'}")
    many = re.search(r"(?:all )?(\d+) (?:random prompts|requests|prompts)", note)
    return Load(
        kind=kind,
        prompt=prompt,
        output=max(output, 1.0),
        varied=varied,
        longest=128 if "<=128" in note else 1024 if "OpenOrca" in note else most,
        requests=int(many.group(1)) if many and kind != "single_stream" else 0,
        users=1 if kind == "single_stream" else int(users or 0),
        ramp_counts="random prompts" in note,  # engines' own benchmarks count every request
        rate_rps=rate or 0.0,
        beams=4 if "BEAM" in note else 1,
    )


def _length(text: str) -> float | None:
    """The first number of a cell such as 128, 291.2 or ~500; None for words."""
    found = re.search(r"\d+(\.\d+)?", text.replace(",", "")) if text and not text.startswith(("<", "up")) else None
    return float(found.group()) if found else None


def _noted(row: Fields, pattern: str) -> int | None:
    """The number that a row's note says in one of the pattern's ways."""
    found = re.search(pattern, row["note"])
    return int(next(filter(None, found.groups()))) if found else None
