"""What if: numbers of a pool's chip or engine, replaced by the scenario's own.

    assume: {link.latency_us: 1.0, efficiency.matmul_memory: 0.9}

Keys are those of the profile's file (`infersim hardware show`, `engine show`). Such a number counts as estimated, with the scenario
as its source, and replications do not draw it. Read `resolve.py` next.
"""

from typing import Any, TypeVar

from pydantic import ValidationError

from infersim.spec.base import Quantity, Spec, leaves

SOURCE = "assumed by the scenario"

Profile = TypeVar("Profile", bound=Spec)


def numbers_of(profile: Spec) -> dict[str, Quantity]:
    """The graded numbers of a profile by dotted key."""
    return {key: value for key, value in leaves(profile) if isinstance(value, Quantity)}


def assuming(profile: Profile, key: str, value: float) -> Profile:
    """The profile with the number at a dotted key replaced; ValueError if it cannot be that."""
    try:
        found: Profile = _replaced(profile, key.split("."), value)
    except ValidationError as error:
        raise ValueError(f"found {value:g}; {error.errors()[0]['msg'].lower()}") from None
    return found


def _replaced(here: Any, path: list[str], value: float) -> Any:
    if not path:
        return type(here)(value=float(value), grade="estimated", source=SOURCE)
    head, *rest = path
    if isinstance(here, dict):
        return here | {head: _replaced(here[head], rest, value)}
    return here.model_copy(update={head: _replaced(getattr(here, head), rest, value)})
