"""The few fitted numbers of chips and engines: their names, their plausible ranges, and how to turn them.

A knob belongs to a chip or to an engine, never to a model or a pair, and means something physical. Beyond its range it
would stand for something that is not modelled. Not here: fits (`calibration.py`, `left_out.py`).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infersim.spec.base import Quantity, Ratio
from infersim.spec.engine import Engine
from infersim.spec.hardware import Hardware

Floats = NDArray[np.float64]

CHIP_KNOBS = {
    "efficiency.matmul_compute": (0.1, 0.95),
    "efficiency.matmul_memory": (0.5, 0.95),
    "efficiency.attention_compute": (0.1, 0.9),
    "efficiency.attention_memory": (0.2, 0.95),
    "efficiency.op_floor_us": (0.3, 20.0),
    "efficiency.host_time": (0.5, 3.0),
    "link.latency_us": (1.0, 40.0),
    "link.efficiency": (0.2, 0.95),
}
"""Plausible ranges of a chip's knobs: shares of peaks, floors and latencies [us], and the host's time."""
MEASURED = {
    "efficiency.matmul_compute": 0.78,
    "efficiency.matmul_memory": 0.82,
    "efficiency.attention_compute": 0.59,
    "efficiency.attention_memory": 0.89,
    "link.latency_us": 5.3,
    "link.efficiency": 0.62,
}
"""Medians of what chips reach whose operators were measured (A100 to GB300, L40S, RTX PRO 6000; profiles of grade `measured`): the
best guess of a chip that streams its weights and of which nobody measured that, whatever its name."""
SRAM_KNOBS = {"efficiency.matmul_memory": (0.02, 0.95), "efficiency.attention_memory": (0.02, 0.95)}
"""The same where weights stay in SRAM: no stage streams at the rate of all its banks."""
ENGINE_KNOBS = {
    "step_overhead_us": (10.0, 4000.0),
    "sequence_overhead_us": (0.5, 500.0),
    "filter_overhead_us": (50.0, 2000.0),
    "launch_us": (10.0, 200.0),
    "gap_us": (0.3, 20.0),
    "query_reads": (1.0, 8.0),
    "request_overhead_ms": (0.5, 40.0),
    "token_overhead_us": (0.5, 20.0),
}
"""Plausible ranges of an engine's knobs: host time in a step, for a sequence, a filter, a kernel, between kernels; cache over memory
bandwidth of query heads; a request, a token."""


@dataclass(frozen=True)
class Knob:
    """One fitted number."""

    name: str
    before: float
    after: float
    spread: float
    """Relative uncertainty after the fit."""
    identified: bool
    """Whether the data said more of it than the profile did."""


def plausible(hardware: Hardware, name: str) -> tuple[float, float]:
    """The range of a knob of a chip, or of an engine that drives it."""
    if "." not in name:
        return ENGINE_KNOBS[name]
    return SRAM_KNOBS.get(name, CHIP_KNOBS[name]) if hardware.execution == "pipeline" else CHIP_KNOBS[name]


def guess(hardware: Hardware, name: str) -> float:
    """What to expect of a knob of which nothing was measured: what is usual, or the middle of what is plausible."""
    low, high = plausible(hardware, name)
    usual = MEASURED.get(name) if hardware.execution == "roofline" else None
    return usual if usual is not None else math.sqrt(low * high)


def quantities(hardware: Hardware, engine: Engine, name: str) -> list[Quantity]:
    """The numbers that a knob turns: one, or the shares of all dtypes together."""
    found: object = hardware if "." in name else engine
    for part in name.split("."):
        found = getattr(found, part)
    if isinstance(found, dict):
        return list(found.values())
    return [found] if isinstance(found, Quantity) else []


def knobs_of(hardware: Hardware, engine: Engine, linked: bool) -> dict[str, Quantity]:
    """The knobs that a chip and an engine have, with their numbers; those of links only where chips are `linked`."""
    names = [*CHIP_KNOBS, *ENGINE_KNOBS]
    found = {name: quantities(hardware, engine, name)[:1] for name in names if linked or not name.startswith("link.")}
    return {name: numbers[0] for name, numbers in found.items() if numbers and numbers[0].value > 0}


def turned(
    hardware: Hardware, engine: Engine, values: dict[str, float], knobs: dict[str, Knob] | None = None
) -> tuple[Hardware, Engine]:
    """The profiles with their knobs at `values`; graded calibrated when `knobs` says how sure they are."""
    for name, value in values.items():
        factor = float(value) / quantities(hardware, engine, name)[0].value
        knob = knobs[name] if knobs else None
        if "." not in name:
            engine = engine.model_copy(update={name: _scaled(getattr(engine, name), factor, knob)})
            continue
        block, key = name.split(".")
        inner = getattr(hardware, block)
        old = getattr(inner, key)
        new = (
            {dtype: _scaled(number, factor, knob) for dtype, number in old.items()}
            if isinstance(old, dict)
            else _scaled(old, factor, knob)
        )
        hardware = hardware.model_copy(update={block: inner.model_copy(update={key: new})})
    return hardware, engine


def _scaled(quantity: Quantity, factor: float, knob: Knob | None) -> Quantity:
    value = quantity.value * factor
    update: dict[str, object] = {"value": min(1.0, value) if isinstance(quantity, Ratio) else value}
    if knob is not None and knob.identified:
        update |= {"grade": "calibrated", "spread": round(knob.spread, 3), "source": "infersim calibrate"}
    return quantity.model_copy(update=update)
