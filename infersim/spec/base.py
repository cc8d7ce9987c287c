"""What every spec model shares: frozen, no unknown keys, no silent coercion; and the graded number.

Not here: any particular model. Read `hardware.py` next.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

Grade = Literal["measured", "datasheet", "vendor_claim", "calibrated", "estimated"]
Dtype = Literal["fp32", "tf32", "bf16", "fp16", "fp8", "int8", "fp6", "fp4", "int4"]

BYTES_PER_ELEMENT: dict[str, float] = {
    "fp32": 4.0, "tf32": 4.0, "bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "int8": 1.0, "fp6": 0.75, "fp4": 0.5, "int4": 0.5,
}  # fmt: skip

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=2**53)]


def wrong_at(path: tuple[str | int, ...], message: str) -> PydanticCustomError:
    """What a validator raises when it knows which key below its model is wrong."""
    return PydanticCustomError("wrong_at", "{message}", {"path": path, "message": message})


class Spec(BaseModel):
    """Something the user wrote: frozen, strict (no text read as numbers), no unknown keys."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class Quantity(Spec):
    """A number that matters, with the grade of its evidence, its source and its spread."""

    value: NonNegative
    """The number, in the unit that the key names."""
    grade: Grade
    """How good the evidence is."""
    source: str = Field(min_length=3)
    """Where the number was read, or how it was derived when `estimated`."""
    spread: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Relative half-width of the plausible interval, 0.1 = 10 %; replications draw from it."""


class Ratio(Quantity):
    """A graded fraction of a physical peak: more than 0 and at most 1, so that nothing beats physics."""

    value: Fraction
    """The share, more than 0 and at most 1."""


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, Quantity or plain value) of everything in a profile that is not empty, in the order of its file."""
    if isinstance(value, Quantity):
        yield path, value
    elif isinstance(value, Spec):
        for key in type(value).model_fields:
            yield from leaves(getattr(value, key), f"{path}.{key}".lstrip("."))
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield from leaves(entry, f"{path}.{key}")
    elif value not in (None, [], ""):
        yield path, value
