"""Variants of one scenario: each with some keys changed, checked before anything runs.

Not here: which variants (`grid.py`). Read `sweep.py` for the first that uses them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infersim.cost.memory import DoesNotFit
from infersim.policies.errors import PolicyError
from infersim.simulate import check_runnable
from infersim.spec.catalogue import scenario_path
from infersim.spec.errors import SpecError
from infersim.spec.load import load_scenario
from infersim.spec.resolve import ResolvedScenario, resolve
from infersim.spec.scenario import Scenario
from infersim.studies.errors import StudyError
from infersim.studies.grid import Settings, as_setting
from infersim.workload.traces import TraceError

Source = str | Path | Mapping[str, Any] | Scenario
"""A file, the name of a shipped scenario, a mapping, or a Scenario (its relative paths then start where one stands)."""

TELLING = 5
"""Faulty variants that a message spells out."""


@dataclass(frozen=True)
class Variant:
    """One scenario of several."""

    settings: Settings
    """What sets it apart."""
    resolved: ResolvedScenario | None
    """Ready to run; None when it cannot."""
    why: str = ""
    """Why it cannot run."""


def resolved_with(source: Source, settings: Sequence[str] = ()) -> ResolvedScenario:
    """The scenario with `key=value` settings applied, found able to run. Raises what `simulate` would before."""
    document = source.model_dump(exclude_none=True) if isinstance(source, Scenario) else source
    resolved = resolve(load_scenario(document, settings))
    check_runnable(resolved)
    return resolved


def variants(source: Source, settings: Sequence[str], points: Sequence[Settings]) -> list[Variant]:
    """One variant for each point, in order; those that cannot run say why. Raises when there is no such scenario."""
    if isinstance(source, str | Path):
        scenario_path(source)
    return [_variant(source, settings, point) for point in points]


def _variant(source: Source, settings: Sequence[str], point: Settings) -> Variant:
    changes = [as_setting(key, value) for key, value in point.items()]
    try:
        return Variant(point, resolved_with(source, [*settings, *changes]))
    except (SpecError, DoesNotFit, PolicyError, TraceError) as error:
        return Variant(point, None, str(error))


def refuse_faulty(found: Sequence[Variant]) -> None:
    """Raise StudyError that tells which variants cannot run."""
    faulty = [variant for variant in found if variant.resolved is None]
    if not faulty:
        return
    if len(faulty) == len(found):
        raise StudyError(f"none of the {len(found)} points can run; the first: {faulty[0].why}")
    told = [f"  {spelled(variant.settings)}\n    {variant.why}" for variant in faulty[:TELLING]]
    told += [f"  ... and {len(faulty) - TELLING} more"] if len(faulty) > TELLING else []
    raise StudyError(
        f"{len(faulty)} of {len(found)} points cannot run, so nothing was run; correct them, or leave them out with "
        "--skip-invalid:\n" + "\n".join(told)
    )


def spelled(settings: Settings) -> str:
    """A variant's settings in one line."""
    return ", ".join(as_setting(key, value) for key, value in settings.items()) or "as it stands"
