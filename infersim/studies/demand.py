"""What a workload asks for: its requests' lengths and their rate; and the same workload at another load.

Not here: drawing requests (`infersim/workload/generate.py`), what serving them costs (`bounds.py`).
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infersim.assembly.parts import offered
from infersim.spec.base import Spec
from infersim.spec.closed import ClosedLoop
from infersim.spec.resolve import ResolvedScenario
from infersim.studies.errors import StudyError

Counts = NDArray[np.float64]

FACTORS = ("rate_factor", "rate_scale")
"""Keys that multiply the rate of a file; where an arrival process has one, the others stay."""
RATES = ("rate_rps", "rates_rps", "base_rps", "peak_rps", "from_rps", "to_rps")
"""Keys that are rates."""


@dataclass(frozen=True)
class Demand:
    """The requests of a run."""

    input_tokens: Counts
    output_tokens: Counts
    span_s: float
    """For how long they arrive [s]."""

    @property
    def rate_rps(self) -> float:
        """Mean arrivals [requests/s]."""
        return len(self.input_tokens) / self.span_s


def demand(resolved: ResolvedScenario) -> Demand:
    """The requests that the scenario would send. Raises StudyError when there are none."""
    scenario = resolved.scenario
    requests = offered(resolved)
    if any(isinstance(part.arrivals, ClosedLoop) for part in (scenario.workload, *(scenario.workload.classes or ()))):
        what = f"{scenario.name} has users in a closed loop, whose rate depends on how they are served"
        raise StudyError(f"{what}; sweep workload.arrivals.users, or give a rate_rps")
    span_s, blocks = requests.span_s, list(requests.blocks())
    if span_s <= 0 or sum(len(block) for block in blocks) == 0:
        raise StudyError(f"no request arrives in {scenario.name}, so there is no load to vary; raise rate or horizon")
    inputs, outputs = (
        np.concatenate([np.asarray(getattr(block, name), np.float64) for block in blocks])
        for name in ("input_tokens", "output_tokens")
    )
    return Demand(inputs, outputs, span_s)


def at_load(resolved: ResolvedScenario, factor: float) -> ResolvedScenario:
    """The scenario with every arrival rate multiplied; lengths and the random numbers stay.

    Raises StudyError when the workload has no rate (a closed loop, say).
    """
    workload, changed = _scaled(resolved.scenario.workload, factor)
    if not changed:
        raise StudyError("the workload has no arrival rate, so its load cannot be varied; give it a rate_rps")
    return replace(resolved, scenario=resolved.scenario.model_copy(update={"workload": workload}))


def _scaled(spec: Any, factor: float) -> tuple[Any, bool]:
    """The model with the rates in it and below it multiplied; whether there were any."""
    if isinstance(spec, list):
        pairs = [_scaled(entry, factor) for entry in spec]
        return [entry for entry, _ in pairs], any(changed for _, changed in pairs)
    if not isinstance(spec, Spec):
        return spec, False
    keys = list(type(spec).model_fields)
    rates = [key for key in FACTORS if key in keys] or [key for key in RATES if key in keys]
    update: dict[str, Any] = {}
    for key in keys:
        value = getattr(spec, key)
        if key in rates and value is not None:
            update[key] = [rate * factor for rate in value] if isinstance(value, list) else value * factor
        else:
            inner, changed = _scaled(value, factor)
            update |= {key: inner} if changed else {}
    return spec.model_copy(update=update), bool(update)
