"""Profiles drawn from within what is known of them.

Each graded number is drawn evenly from value x (1 - spread) to value x (1 + spread). All times of a chip under an engine are
then multiplied by one lognormal factor, for what the cost model gets wrong whatever its inputs (`unexplained` of an engine). The number of the draw and the
name of what is drawn decide both, nothing else, so two scenarios meet the same chips (common random numbers) and their
difference has less noise. Not here: who draws (`replications.py`, `validation.py`).
"""

import math
from hashlib import sha256
from statistics import NormalDist
from typing import Any, TypeVar

from infersim.spec.base import Quantity, Ratio, Spec
from infersim.spec.engine import Engine
from infersim.spec.hardware import Hardware

UNEXPLAINED = 0.2
"""What an engine without a figure of its own is taken for: about as the others together."""
WORN = ("efficiency", "link", "scale_out")
"""Parts of a chip that say how well it does, rather than what it is."""

SHARES = ("matmul_compute", "matmul_memory", "attention_compute", "attention_memory", "efficiency")
"""Names of what is reached of a peak."""

Profile = TypeVar("Profile", bound=Spec)


def drawn(hardware: Hardware, engine: Engine, number: int) -> tuple[Hardware, Engine]:
    """A chip and its engine as draw `number` has them; no share of a peak exceeds 1, so nothing beats physics."""
    place = _draw(number, f"times of {hardware.name} under {engine.name}")
    sigma = engine.unexplained.value if engine.unexplained is not None else UNEXPLAINED
    times = math.exp(sigma * NormalDist().inv_cdf((1.0 + place) / 2.0))
    chip = _varied(hardware, number, f"hardware {hardware.name}")
    parts = {name: _slower(part, times) for name in WORN if (part := getattr(chip, name)) is not None}
    return chip.model_copy(update=parts), _slower(_varied(engine, number, f"engine {engine.name}"), times)


def _varied(value: Any, number: int, name: str) -> Any:
    """The same profile, list or number with every spread drawn from; `name` is where it stands."""
    if isinstance(value, Quantity):
        return _times(value, 1.0 + value.spread * _draw(number, name))
    if isinstance(value, Spec):
        fields = {key: _varied(getattr(value, key), number, f"{name}.{key}") for key in type(value).model_fields}
        return value.model_copy(update=fields)
    if isinstance(value, dict):
        return {key: _varied(entry, number, f"{name}.{key}") for key, entry in value.items()}
    if isinstance(value, list):
        return [_varied(entry, number, f"{name}.{k}") for k, entry in enumerate(value)]
    return value


def _slower(profile: Profile, times: float) -> Profile:
    """A part of a profile whose latencies take so many times as long, and whose shares of peaks are as much smaller."""
    fields: dict[str, Any] = {}
    for name in type(profile).model_fields:
        value = getattr(profile, name)
        if name in SHARES and isinstance(value, dict):
            fields[name] = {dtype: _times(share, 1.0 / times) for dtype, share in value.items()}
        elif name in SHARES and value is not None:
            fields[name] = _times(value, 1.0 / times)
        elif name.endswith(("_us", "_ms")) and value is not None:
            fields[name] = _times(value, times)
    return profile.model_copy(update=fields)


def _times(quantity: Quantity, factor: float) -> Quantity:
    value = quantity.value * factor
    return quantity.model_copy(update={"value": min(value, 1.0) if isinstance(quantity, Ratio) else value})


def _draw(number: int, name: str) -> float:
    """Evenly from -1 to 1, decided by the draw and the name alone."""
    digest = sha256(f"replication {number}: {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**63 - 1.0
