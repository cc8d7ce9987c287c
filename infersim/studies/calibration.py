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

from infersim.spec.base import Quantity, Ratio
from infersim.spec.engine import Engine
from infersim.spec.errors import Problem, SpecError
from infersim.spec.hardware import Hardware
from infersim.studies.cases import CannotSay, Case
from infersim.studies.resimulation import predict, resimulate

CHIP_KNOBS = (
    "efficiency.matmul_compute", "efficiency.matmul_memory", "efficiency.attention_compute",
    "efficiency.attention_memory", "efficiency.op_floor_us", "link.latency_us", "link.efficiency",
)  # fmt: skip
ENGINE_KNOBS = (
    "step_overhead_us", "sequence_overhead_us", "filter_overhead_us", "launch_us", "request_overhead_ms",
    "token_overhead_us",
)  # fmt: skip
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
class Knob:
    """One fitted number."""

    name: str
    before: float
    after: float
    spread: float
    """Relative uncertainty after the fit."""
    identified: bool
    """Whether the data said more of it than the profile did."""


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
        chip, served_by = _turned(hardware, engine, names, start * np.exp(steps * spreads))
        return np.concatenate([_softened(_errors(seen, chip, served_by) / NOISE), steps])

    lower, upper = _limits(names, start, spreads)
    begin, step = np.full(len(names), SHIFT), STEP / SHIFT
    fit = least_squares(residuals, begin, bounds=(lower + SHIFT, upper + SHIFT), diff_step=step, max_nfev=12)
    covariance = np.linalg.inv(fit.jac.T @ fit.jac)
    shrunk = np.sqrt(np.diag(covariance))
    values = start * np.exp((fit.x - SHIFT) * spreads)
    knobs = [
        Knob(name, float(b), float(a), float(min(0.99, s * p)), bool(s < KNOWN))
        for name, b, a, s, p in zip(names, start, values, shrunk, spreads, strict=True)
    ]
    chip, served_by = _turned(hardware, engine, names, values, {knob.name: knob for knob in knobs})
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
    names, start, spreads = [], [], []
    for name in (*CHIP_KNOBS, *ENGINE_KNOBS):
        if name.startswith("link.") and all(case.tensor * case.pipeline == 1 for case in cases):
            continue
        for quantity in _quantities(hardware, engine, name)[:1]:
            if quantity.value > 0:
                names.append(name)
                start.append(quantity.value)
                spreads.append(max(NARROWEST, quantity.spread))
    return names, np.array(start), np.array(spreads)


def _limits(names: list[str], start: NDArray, spreads: NDArray) -> tuple[NDArray, NDArray]:
    """Lower and upper limits of the steps: some spreads, and no share above 1."""
    upper = np.full(len(names), RANGE)
    for i, name in enumerate(names):
        if "us" not in name.split("_") and "ms" not in name.split("_"):
            upper[i] = min(RANGE, math.log(1.0 / start[i]) / spreads[i] + 1e-6)
    return np.full(len(names), -RANGE), np.maximum(upper, 1e-3)


def _quantities(hardware: Hardware, engine: Engine, name: str) -> list[Quantity]:
    """The numbers that a knob turns: one, or the shares of all dtypes together."""
    found: object = hardware if "." in name else engine
    for part in name.split("."):
        found = getattr(found, part)
    if isinstance(found, dict):
        return list(found.values())
    return [found] if isinstance(found, Quantity) else []


def _turned(
    hardware: Hardware, engine: Engine, names: list[str], values: NDArray, knobs: dict[str, Knob] | None = None
) -> tuple[Hardware, Engine]:
    """The profiles with their knobs at `values`; graded calibrated when `knobs` says how sure they are."""
    for name, value in zip(names, values, strict=True):
        factor = float(value) / _quantities(hardware, engine, name)[0].value
        knob = knobs[name] if knobs else None
        if "." not in name:
            engine = engine.model_copy(update={name: _scaled(getattr(engine, name), factor, knob)})
            continue
        block, key = name.split(".")
        inner = getattr(hardware, block)
        old = getattr(inner, key)
        new = (
            {d: _scaled(q, factor, knob) for d, q in old.items()}
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
