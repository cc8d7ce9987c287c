"""How a row of the long table of measurements used its chips: layout, and the dtype of weights where it depends on room.

Not here: its load (`calibration_loads.py`), the rest of the row (`calibration_rows.py`).
"""

import re
from typing import Any

from infersim.cost.operators import parameters
from infersim.spec.base import BYTES_PER_ELEMENT
from infersim.spec.engine import Engine
from infersim.spec.hardware import Hardware
from infersim.spec.model import Model
from infersim.spec.placement import sram_chips
from infersim.studies.calibration_loads import Fields
from infersim.studies.cases import CannotSay

CORES = {"inferentia2": 2, "trainium1": 2, "trainium2": 4}
"""Cores that a chip counts as in the column `parallelism`; of Trainium2 logical ones, two cores each."""


def chips_of(row: Fields) -> int:
    """Chips of the row; CannotSay where that is no number."""
    found = re.search(r"\d+", row["chips"])
    if found is None:
        raise CannotSay(f"the number of chips is {row['chips']}")
    return int(found.group())


def layout_of(
    row: Fields, model: Model, hardware: Hardware, engine: Engine, weights: str, kv_cache: str, assumed: list[str]
) -> dict[str, Any]:
    """Keys of a Case that say how chips are used."""
    if hardware.execution == "pipeline":
        known = re.match(r"\d+", row["chips"])
        chips = int(known.group()) if known else sram_chips(model, hardware, engine, weights, kv_cache)  # type: ignore[arg-type]
        if not known:
            assumed.append(f"{chips} chips, the fewest that hold weights and KV")
        return {"tensor": 1, "pipeline": 1, "expert": 1, "attention_data": 1, "chips": chips, "replicas": 1}
    text, chips = row["parallelism"], chips_of(row)
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


def fits(model: Model, hardware: Hardware, weights: str, layout: dict[str, Any]) -> bool:
    """Whether weights of that dtype fit the layout's chips."""
    room = layout["chips"] * hardware.memory.capacity_gb.value * 1e9 * 0.85
    return parameters(model) * BYTES_PER_ELEMENT[weights] < room


def narrow_enough(row: Fields, model: Model, hardware: Hardware, weights: str, assumed: list[str]) -> str:
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
