"""What is simulated for a claim: one fleet at one load.

Not here: what is claimed of it (`claim.py`). Read `measure.py` for how it runs.
"""

from dataclasses import dataclass
from typing import Any, Literal

from infersim.studies.grid import as_setting

At = Literal["slo", "saturation", "alone", "as it stands"]
"""The load of a case. slo: the greatest at which every p99 of the SLO holds; saturation: the analytic bound of the
fleet, which keeps a queue before it, whatever the latency; alone: one user in fifty times the length of a request; as it stands: the scenario's own."""


@dataclass(frozen=True)
class Case:
    """One fleet at one load."""

    name: str
    """Unique in its claim; names the run directory."""
    scenario: str
    """A shipped scenario, `claims/...`."""
    settings: tuple[str, ...] = ()
    """What is changed in it, as `--set` would."""
    at: At = "slo"
    """The load."""
    spread: bool = True
    """Whether it is replicated; not for long runs."""


def on(
    name: str,
    scenario: str,
    hardware: str,
    *,
    tensor: int | None = None,
    weights: str | None = None,
    kv: str | None = None,
    engine: str = "vllm",
    at: At = "slo",
    spread: bool = True,
    **more: Any,
) -> Case:
    """A case: the scenario's first pool on a chip; `more` are keys with `__` for dots (`model`, `slo__ttft_p99_s`)."""
    changes: dict[str, Any] = {"pools.0.hardware": hardware, "pools.0.engine": engine}
    if tensor is not None:
        changes["pools.0.parallelism"] = {"tensor": tensor}
    if weights is not None:
        changes["pools.0.precision.weights"] = weights
    if kv is not None or weights is not None:
        changes["pools.0.precision.kv_cache"] = kv or "bf16"
    changes |= {key.replace("__", "."): value for key, value in more.items()}
    settings = tuple(as_setting(key, value) for key, value in changes.items())
    return Case(name, f"claims/{scenario}", settings, at, spread)
