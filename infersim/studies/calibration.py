"""Fit the few knobs of a chip and an engine to measurements of one's own, and say what the data could not tell.

The knobs are factors on a profile's numbers, found by least squares on the logarithms of predicted over measured, with
the profile's own spread as prior: a knob that the data say nothing of stays where it was. The error that counts is that
of groups of measurements that the fit did not see. Not here: serving a case (`resimulation.py`).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from infersim.spec.engine import Engine
from infersim.spec.errors import Problem, SpecError
from infersim.spec.hardware import Hardware
from infersim.studies.cases import CannotSay, Case
from infersim.studies.knobs import Knob, knobs_of, plausible, turned
from infersim.studies.outcomes import predict
from infersim.studies.resimulation import resimulate

NARROWEST = 0.05
"""Least relative spread that a prior is given."""
RANGE = 3.0
"""A knob may move this many spreads, as a factor either way."""
NOISE = 0.05
"""Relative error of a measurement that is not the knobs' fault."""
SHIFT = 10.0
"""Added to the steps, so that differences have one width wherever a knob stands."""
STEP = 0.25
"""That width, in spreads: wide enough to rise above the simulation's own steps."""
KNOWN = 0.7
"""A knob counts as identified if the data shrink its spread below this share of the prior's."""
FITTED = ("mean", "p50")
"""Statistics that are fitted: tails tell of the load more than of the chip."""
HELD_OUT = 4
"""Every so many-th group is left out of the fit."""


@dataclass(frozen=True)
class Calibration:
    """A fit."""

    hardware: Hardware
    engine: Engine
    knobs: list[Knob]
    fitted_rows: int
    left_out_rows: int
    fitted_error_pct: tuple[float, float]
    """Median absolute error of what was fitted, before and after [%]."""
    left_out_error_pct: tuple[float, float]
    """The same for what was left out [%]; NaN when nothing was."""


def calibrate(cases: Sequence[Case], *, progress: Callable[[float, float], None] | None = None) -> Calibration:
    """Fit the profiles of cases that share one chip and one engine; SpecError if they do not, or are too few."""
    from scipy.optimize import least_squares

    hardware, engine = _shared(cases)
    usable = [case for case in cases if _rows(case) and _served(case)]
    if len(usable) < 2:
        raise SpecError(Problem(f"{len(usable)} runs can be re-simulated; a fit needs at least 2", source="calibrate"))
    seen, unseen = _split(usable)
    names, start, spreads = _knobs(hardware, engine, usable)
    calls = 0

    def residuals(shifted: NDArray[np.float64]) -> NDArray[np.float64]:
        nonlocal calls
        steps = shifted - SHIFT
        calls += 1
        if progress is not None:
            progress(min(calls, 99), 100)
        chip, served_by = turned(hardware, engine, dict(zip(names, start * np.exp(steps * spreads), strict=True)))
        return np.concatenate([_softened(_errors(seen, chip, served_by) / NOISE), steps])

    lower, upper = _limits(hardware, names, start, spreads)
    begin, step = np.full(len(names), SHIFT), STEP / SHIFT
    fit = least_squares(residuals, begin, bounds=(lower + SHIFT, upper + SHIFT), diff_step=step, max_nfev=12)
    covariance = np.linalg.inv(fit.jac.T @ fit.jac)
    shrunk = np.sqrt(np.diag(covariance))
    values = start * np.exp((fit.x - SHIFT) * spreads)
    knobs = [
        Knob(name, float(b), float(a), float(min(0.99, s * p)), bool(s < KNOWN))
        for name, b, a, s, p in zip(names, start, values, shrunk, spreads, strict=True)
    ]
    chip, served_by = turned(
        hardware, engine, dict(zip(names, values, strict=True)), {knob.name: knob for knob in knobs}
    )
    return Calibration(
        hardware=chip,
        engine=served_by,
        knobs=knobs,
        fitted_rows=sum(len(_rows(case)) for case in seen),
        left_out_rows=sum(len(_rows(case)) for case in unseen),
        fitted_error_pct=(_median(seen, hardware, engine), _median(seen, chip, served_by)),
        left_out_error_pct=(_median(unseen, hardware, engine), _median(unseen, chip, served_by)),
    )


def _shared(cases: Sequence[Case]) -> tuple[Hardware, Engine]:
    chips, engines = {case.hardware.name for case in cases}, {case.engine.name for case in cases}
    if len(chips) != 1 or len(engines) != 1:
        found = f"found {', '.join(sorted(chips)) or 'no chip'} under {', '.join(sorted(engines)) or 'no engine'}"
        raise SpecError(Problem(f"one chip and one engine are fitted at a time; {found}", source="calibrate"))
    return cases[0].hardware, cases[0].engine


def _rows(case: Case) -> list:
    return [row for row in case.rows if row.statistic in FITTED and row.actual > 0]


def _served(case: Case) -> bool:
    try:
        resimulate(case)
    except CannotSay:
        return False
    return True


def _split(cases: list[Case]) -> tuple[list[Case], list[Case]]:
    """Fitted and left out: whole groups where there are several, else runs."""
    keys = sorted({case.group for case in cases})
    if len(keys) < 2:
        keys = sorted({case.name for case in cases})
        chosen = set(keys[1::HELD_OUT])
        return [c for c in cases if c.name not in chosen], [c for c in cases if c.name in chosen]
    chosen = set(keys[1::HELD_OUT])
    return [c for c in cases if c.group not in chosen], [c for c in cases if c.group in chosen]


def _knobs(hardware: Hardware, engine: Engine, cases: list[Case]) -> tuple[list[str], NDArray, NDArray]:
    """Names, values and prior spreads of the knobs that the cases could move."""
    found = knobs_of(hardware, engine, any(case.tensor * case.pipeline > 1 for case in cases))
    spreads = [max(NARROWEST, quantity.spread) for quantity in found.values()]
    return list(found), np.array([quantity.value for quantity in found.values()]), np.array(spreads)


def _limits(hardware: Hardware, names: list[str], start: NDArray, spreads: NDArray) -> tuple[NDArray, NDArray]:
    """Lower and upper limits of the steps: some spreads, and no knob moves out of its plausible range."""
    low, high = np.array([plausible(hardware, name) for name in names]).T
    lower = np.maximum(-RANGE, np.log(low / start) / spreads)
    upper = np.minimum(RANGE, np.log(high / start) / spreads)
    return np.minimum(lower, -1e-3), np.maximum(upper, 1e-3)


def _errors(cases: list[Case], hardware: Hardware, engine: Engine) -> NDArray[np.float64]:
    """Logarithms of predicted over measured, of all fitted rows."""
    found = []
    for case in cases:
        served = replace(case, hardware=hardware, engine=engine)
        outcome = resimulate(served)
        for row in _rows(case):
            found.append(math.log(predict(served, outcome, row) / row.actual))
    return np.array(found)


def _softened(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Errors of which large ones count by size, not by square: one odd row must not turn every knob."""
    return np.sign(errors) * np.sqrt(2.0 * (np.sqrt(1.0 + errors**2) - 1.0))


def _median(cases: list[Case], hardware: Hardware, engine: Engine) -> float:
    return float(100.0 * np.median(np.abs(np.expm1(_errors(cases, hardware, engine))))) if cases else math.nan
