"""The sample of measured end-to-end points that travels in the package `aiconfigurator-core`, as cases.

Each row is a closed loop of some users on one chip, engine and layout, with mean TTFT and TPOT. Its columns multiply
some layouts with themselves (tp 64 for eight chips that share layers and experts); they are read as the runs were.
Not here: what rows do not say of a run (`silicon_runs.py`), the operator tables of the same package (`infersim/cost/silicon.py`).
"""

import math
import re
from collections.abc import Iterator

from infersim.studies import silicon_runs as runs
from infersim.studies.cases import CannotSay, Case, Load, Refused, Row, known_chip, known_engine, known_model
from infersim.studies.cells import AT_LEAST_0, COUNT, COUNT_OR_0, TEXT, WORD, Cell, optional
from infersim.studies.names import chip_name, dtype_of, engine_name

Fields = dict[str, str]

METRICS = {"silicon_ttft_ms": "ttft_ms", "silicon_tpot_ms": "tpot_ms"}
MOST_CHIPS = 16
"""Chips that one replica of such a run takes at most; rows with more add up pools of a disaggregated run."""
POOLS = tuple(
    f"{pool}_{size}"
    for pool in ("prefill", "decode")
    for size in ("num_workers", "tp_size", "attention_dp_size", "moe_tp_size", "moe_ep_size")
)
"""Columns of the pools of a disaggregated run."""
CELLS: dict[str, Cell] = {
    **dict.fromkeys(("id", "backend", "model_path", "system", "mode"), WORD),
    **dict.fromkeys(("silicon_data_source", "backend_version", "precision", "gemm_quant_mode", "moe_quant_mode"), TEXT),
    **dict.fromkeys(("isl", "osl"), COUNT),
    **dict.fromkeys(
        ("batch_size", "tp_size", "pp_size", "attention_dp_size", "moe_tp_size", "moe_ep_size"), optional(COUNT_OR_0)
    ),
    **dict.fromkeys(POOLS, optional(COUNT_OR_0)),
    **dict.fromkeys(METRICS, optional(AT_LEAST_0)),
}
"""What its cells must hold."""


def silicon_cases(rows: list[Fields]) -> Iterator[Case | Refused]:
    """One case for each row, with TTFT and TPOT."""
    pools = {_run(row): row for row in rows if row["prefill_num_workers"]}
    for row in rows:
        if row["mode"] != "agg" and not row["prefill_num_workers"] and _run(row) in pools:
            row = row | {column: pools[_run(row)][column] for column in POOLS}
        try:
            yield silicon_case(row)
        except CannotSay as reason:
            chip, engine = chip_name(row["system"]) or row["system"], engine_name(row["backend"]) or row["backend"]
            for column, metric in METRICS.items():
                value = _number(row[column])
                if value:
                    yield Refused({"id": row["id"]}, metric, value, str(reason), "closed_loop", chip, engine)


def _run(row: Fields) -> tuple[str, ...]:
    """What tells a run from others: some are listed twice, once without the sizes of their pools."""
    return tuple(row[c] for c in ("system", "backend", "precision", "isl", "osl", *METRICS))


def silicon_case(row: Fields) -> Case:
    """The case of one row; CannotSay if it cannot be re-simulated."""
    apart = row["mode"] != "agg"
    if apart and not row["prefill_num_workers"]:
        raise CannotSay("prefill and decode on pools whose sizes are not said")
    if apart and not _number(row["decode_num_workers"]):
        raise CannotSay("the number of decode workers is not said")
    tensor, expert, data = _pool_layout(row, "decode") if apart else _layout(row)
    users = re.search(r"silicon_concurrency=(\d+)", row["silicon_data_source"])
    if users is None and not _number(row["batch_size"]):
        raise CannotSay("the concurrency is not said")
    weights = dtype_of(row["precision"] or row["gemm_quant_mode"] or row["model_path"])
    drawn = not runs.on_disk(row)
    share, varied = runs.lengths(row)
    asked = int(users.group(1)) if users else int(_number(row["batch_size"]))
    chip = known_chip(row["system"])
    engine = known_engine(runs.engine_release(row), chip)
    model = known_model(row["model_path"])
    if model.experts is None and not apart:
        expert = data = 1
    drafts = runs.drafts(row, data)
    if (graphed := runs.graphed_tokens(row)) is not None:
        engine = engine.model_copy(update={"mixed_graph_tokens": graphed})
    return Case(
        name=row["id"],
        model=model,
        hardware=chip,
        engine=engine,
        tensor=tensor,
        pipeline=1 if apart else max(1, int(_number(row["pp_size"]))),
        expert=expert,
        attention_data=data,
        chips=None,
        replicas=int(_number(row["decode_num_workers"])) if apart else 1,
        weights=weights,
        kv_cache=runs.kv_cache(row, weights),
        load=Load(
            kind="closed_loop",
            prompt=share * float(row["isl"]),
            output=share * float(row["osl"]),
            varied=varied,
            requests=runs.rounds(row) * asked,
            users=asked,
            ramp_counts=users is not None,  # a batch size is that of a steady state
            cold_s=runs.cold_s(row, asked) if users is not None and not apart else 0.0,
        ),
        rows=tuple(
            Row({"id": row["id"]}, metric, "mean", _number(row[column]))
            for column, metric in METRICS.items()
            if _number(row[column])
        ),
        group=f"silicon|{row['system']}|{row['model_path']}",
        max_num_seqs=runs.seats(row, asked),
        max_num_batched_tokens=None if apart else runs.step_tokens(row, asked * (1 + len(drafts)), data),
        drafts=drafts,
        streams_every=runs.streams_every(row),
        polls_every=runs.polls_every(row, asked, data) if drawn and not apart else 1,
        prefill_replicas=int(_number(row["prefill_num_workers"])) if apart else 0,
        prefill_layout=_pool_layout(row, "prefill") if apart else None,
    )


def _pool_layout(row: Fields, pool: str) -> tuple[int, int, int]:
    """The same of a worker of the prefill or decode pool of a disaggregated run."""
    tensor, data, expert = (
        max(1, int(_number(row[f"{pool}_{key}"]))) for key in ("tp_size", "attention_dp_size", "moe_ep_size")
    )
    return tensor * data, min(expert, tensor * data), data


def _layout(row: Fields) -> tuple[int, int, int]:
    """(chips, groups of experts, groups of attention)."""
    tensor, data = (max(1, int(_number(row[key]))) for key in ("tp_size", "attention_dp_size"))
    moe_tensor, expert = (max(1, int(_number(row[key]))) for key in ("moe_tp_size", "moe_ep_size"))
    side = math.isqrt(tensor * data)
    if side > 1 and side * side == tensor * data == moe_tensor * expert and (moe_tensor == expert or tensor == data):
        return side, side, side if data > 1 else 1
    chips = tensor * data
    if chips > MOST_CHIPS:
        raise CannotSay(f"the layout is {chips} chips, the sum of unlike pools")
    return chips, min(expert, chips), data


def _number(text: str) -> float:
    """A cell's number; 0 for an empty one."""
    return float(text) if text.strip() else 0.0
