"""Where A overtakes B: the price, load, acceptance rate or whatever key at which two variants are equally good.

    breakeven("h100_llama70b", "load", 0.5, 3, a=["pools.0.precision.weights=bf16"], b=[])

Both variants see the same requests. The difference of the two is taken at both ends, where it must have opposite signs,
and halved down from there. Not here: how much each input matters (`sensitivity.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from infersim.spec.resolve import ResolvedScenario
from infersim.studies.demand import at_load
from infersim.studies.errors import StudyError
from infersim.studies.load import run_loaded
from infersim.studies.sensitivity import METRIC, number
from infersim.studies.variants import Source, resolved_with

LOAD = "load"
"""The key that multiplies every arrival rate."""
PRECISION = 1e-3
"""Width of the answer, relative to the interval."""


@dataclass(frozen=True)
class BreakEven:
    """Where two variants are equally good."""

    key: str
    value: float
    metric: str
    a: float
    """The number of variant A there."""
    b: float
    lower_below: str
    """Which variant has the lower number below that value: a or b."""


def breakeven(
    scenario: Source,
    key: str,
    low: float,
    high: float,
    *,
    a: Sequence[str] = (),
    b: Sequence[str] = (),
    metric: str = METRIC,
    settings: Sequence[str] = (),
) -> BreakEven:
    """The value of `key` (as of `--set`, or `load`, a factor) between `low` and `high` where variants `a` and `b` meet.

    `a` and `b` are settings that come after the key, so that a price of one variant stays when the other's is varied.
    Raises StudyError when one variant is better at both ends.
    """
    if not low < high:
        raise StudyError(f"found an interval from {low:g} to {high:g}; write it upwards", "--between")

    def at(value: float) -> tuple[float, float]:
        first, second = (
            number(run_loaded(_variant(scenario, key, value, [*settings], extra)), metric) for extra in (a, b)
        )
        return first, second

    ends = [at(low), at(high)]
    signs = [first - second for first, second in ends]
    if signs[0] * signs[1] > 0 or any(sign != sign for sign in signs):
        told = "; ".join(
            f"at {key} {value:g}: a {first:.4g}, b {second:.4g}"
            for value, (first, second) in zip((low, high), ends, strict=True)
        )
        raise StudyError(f"a and b do not change places in {metric} between {low:g} and {high:g}: {told}", "--between")
    below = "a" if signs[0] < 0 or (signs[0] == 0 and signs[1] > 0) else "b"
    width = (high - low) * PRECISION
    while high - low > width:
        middle = (low + high) / 2
        first, second = at(middle)
        low, high = (middle, high) if (first - second < 0) == (below == "a") else (low, middle)
    value = (low + high) / 2
    return BreakEven(key, value, metric, *at(value), below)


def _variant(scenario: Source, key: str, value: float, settings: list[str], extra: Sequence[str]) -> ResolvedScenario:
    if key == LOAD:
        return at_load(resolved_with(scenario, [*settings, *extra]), value)
    return resolved_with(scenario, [*settings, f"{key}={value!r}", *extra])
