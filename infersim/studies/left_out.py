"""Cross-validation by group: each group of measurements predicted with knobs that were fitted to all the others.

The shipped profiles have seen the tables that they are compared with; these predictions have not. For each group all
knobs of its chip and engine are found anew, by least squares on the logarithms of predicted over measured of the other
groups. What comes before the data is the shipped value where it was measured on the chip's own operators or estimated, and
what is usual, or the middle of the plausible range, where it was fitted to runs of whole models (grade `calibrated`): that would
bring what is left out back in.

How a prediction moves with a knob is worked out once for each case, by serving it with the knob a little further; the
fit works on these slopes: over the logarithm of a share of a peak, and over the value itself of a time, for times add up (what is
known beforehand is so many per cent of either). A row near saturation, where a step that is a per cent longer makes the queue many per cent
longer, is known that many times less well. The group's own cases are then served with its knobs, so nothing that is reported is linear.
Not here: the knobs (`knobs.py`), errors (`validation.py`).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from infersim.spec.base import Quantity
from infersim.spec.hardware import Hardware
from infersim.studies.cases import CannotSay, Case, Row, unserved
from infersim.studies.knobs import guess, knobs_of, plausible, turned
from infersim.studies.outcomes import predict
from infersim.studies.resimulation import resimulate
from infersim.studies.tasks import HERE, Machines, all_done

Floats = NDArray[np.float64]
Unknown = tuple[str, str]
"""A knob and its owner: (name of the chip or the engine, name of the knob)."""

EACH_GROUP = 12
"""Cases of a group that are fitted, spread over it: a long table would otherwise outvote all others."""
NOISE = 0.05
"""Relative error of a case that is not the knobs' fault: beyond it an error counts by size, not by square."""
STEP = 0.1
"""How much further a knob is turned to see what moves: of its value, for a time of the middle of its range at least."""
WIDTH = 6.0
"""A plausible range is so many standard deviations wide."""
NARROWEST = 0.05
ROUNDS = 12
"""Rounds of weighting that the fit takes."""
FITTED = ("mean", "p50")
"""Statistics that are fitted: tails tell of the load more than of the chip."""
HOST = "efficiency.host_time"
"""The knob that turns times which are knobs themselves."""
FROM_RUNS = "calibrated"
"""The grade of numbers that runs of whole models have moved."""

Progress = Callable[[float, float], None]


@dataclass(frozen=True)
class Slopes:
    """A case near the shipped knobs."""

    group: str
    errors: Floats
    """Logarithms of predicted over measured, by row."""
    by_knob: dict[Unknown, Floats]
    """How they grow with a knob's coordinate: see `coordinate`."""

    @property
    def amplified(self) -> Floats:
        """By row, what an error of a per cent in all that a step takes becomes, in per cent, where that is more."""
        slower = np.zeros(len(self.errors))
        for (_, name), slope in self.by_knob.items():
            if name != HOST:
                slower += slope if _is_time(name) else -slope
        return np.maximum(1.0, np.abs(slower))


@dataclass(frozen=True)
class Prior:
    """What is known of a knob before any run is seen: logarithms of the factor on its shipped value."""

    centre: float
    sigma: float
    lower: float
    upper: float


def left_out(
    cases: Sequence[Case], machines: Machines = HERE, progress: Progress | None = None
) -> dict[str, dict[Unknown, float]]:
    """For each group the factors on the shipped knobs that all other groups ask for."""
    priors: dict[Unknown, Prior] = {}
    touched: dict[str, set[Unknown]] = {}
    for case in cases:
        for name, quantity in _knobs(case).items():
            priors.setdefault(_owner(case, name), prior(case.hardware, name, quantity))
            touched.setdefault(case.group, set()).add(_owner(case, name))
    chosen = chosen_cases(cases)
    found = all_done(slopes_of, chosen, machines, unserved(chosen, "--left-out"), progress)
    slopes = [one for one in found if one is not None]
    return {
        group: {u: x for u, x in fit([s for s in slopes if s.group != group], priors).items() if u in mine}
        for group, mine in sorted(touched.items())
    }


def with_factors(case: Case, factors: dict[str, dict[Unknown, float]]) -> Case:
    """The case with the knobs that were found without its group."""
    mine = factors[case.group]
    values = {name: quantity.value * mine[_owner(case, name)] for name, quantity in _knobs(case).items()}
    hardware, engine = turned(case.hardware, case.engine, values)
    return replace(case, hardware=hardware, engine=engine)


def coordinate(name: str, factor: float) -> float:
    """Where a knob stands, by the factor on its shipped value: 0 at that value."""
    return factor - 1.0 if _is_time(name) else math.log(factor)


def factor_at(name: str, place: float) -> float:
    """The factor on a knob's shipped value at a coordinate."""
    return 1.0 + place if _is_time(name) else math.exp(place)


def prior(hardware: Hardware, name: str, shipped: Quantity) -> Prior:
    """What is known of a knob beforehand."""
    lower, upper = (math.log(limit / shipped.value) for limit in plausible(hardware, name))
    if shipped.grade != FROM_RUNS:
        return Prior(0.0, max(NARROWEST, shipped.spread), min(lower, 0.0), max(upper, 0.0))
    return Prior(math.log(guess(hardware, name) / shipped.value), (upper - lower) / WIDTH, lower, upper)


def chosen_cases(cases: Sequence[Case]) -> list[Case]:
    """The cases that are fitted: at most EACH_GROUP of each group and engine, spread evenly over it."""
    groups: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        if case.fitted and any(_counts(case, row) for row in case.rows):
            groups.setdefault((case.group, case.engine.name), []).append(case)
    found = []
    for members in groups.values():
        count = min(len(members), EACH_GROUP)
        found += [members[i] for i in np.unique(np.linspace(0, len(members) - 1, count).round().astype(int))]
    return found


def slopes_of(case: Case) -> Slopes | None:
    """How a case's errors move with each knob; None for a case that cannot be served."""
    try:
        start = errors(case)
        by_knob = {}
        for name, quantity in _knobs(case).items():
            low, high = (limit / quantity.value for limit in plausible(case.hardware, name))
            up = max(1.0, math.sqrt(low * high)) if _is_time(name) else 1.0
            factor = 1.0 + STEP * up if 1.0 + STEP * up <= high else 1.0 - STEP  # no share of a peak above 1
            hardware, engine = turned(case.hardware, case.engine, {name: quantity.value * factor})
            further = errors(replace(case, hardware=hardware, engine=engine))
            by_knob[_owner(case, name)] = (further - start) / coordinate(name, factor)
    except CannotSay:
        return None
    return Slopes(case.group, start, by_knob)


def errors(case: Case) -> Floats:
    """Logarithms of predicted over measured of the rows that are fitted."""
    outcome = resimulate(case)
    return np.array([math.log(predict(case, outcome, row) / row.actual) for row in case.rows if _counts(case, row)])


def fit(slopes: Sequence[Slopes], priors: dict[Unknown, Prior]) -> dict[Unknown, float]:
    """The factors on the knobs that these cases ask for; a knob that none of them tells of stays at its prior's centre."""
    from scipy.optimize import lsq_linear

    known = sorted({unknown for one in slopes for unknown in one.by_knob})
    place = {unknown: i for i, unknown in enumerate(known)}
    time = np.array([_is_time(name) for _, name in known], bool)
    centre = np.array([priors[u].centre for u in known])
    sigma = np.array([priors[u].sigma for u in known])
    limits = np.array([(priors[u].lower, priors[u].upper) for u in known]).reshape(-1, 2).T
    lower, upper = np.where(time, np.expm1(limits), limits)
    matrix = np.zeros((sum(len(one.errors) for one in slopes), len(known)))
    first = 0
    for one in slopes:
        for unknown, column in one.by_knob.items():
            matrix[first : first + len(column), place[unknown]] = column / one.amplified
        first += len(one.errors)
    start = np.concatenate([one.errors / one.amplified for one in slopes]) if slopes else np.zeros(0)
    x = np.where(time, np.expm1(centre), centre)
    for _ in range(ROUNDS if known else 0):
        size = np.abs(start + matrix @ x) / NOISE
        root = (1.0 + size**2) ** -0.25 / NOISE
        factor = np.where(time, 1.0 + x, np.exp(x))
        grows = np.where(time, factor, 1.0)  # of a coordinate with the logarithm that the prior is of
        left = np.vstack([matrix * root[:, None], np.diag(1.0 / (sigma * grows))])
        right = np.concatenate([-start * root, (x / grows + centre - np.log(factor)) / sigma])
        x = lsq_linear(left, right, bounds=(lower, upper)).x
    places = {u: one.centre if not _is_time(u[1]) else math.expm1(one.centre) for u, one in priors.items()}
    places |= {unknown: float(x[i]) for unknown, i in place.items()}
    return {unknown: factor_at(unknown[1], at) for unknown, at in places.items()}


def _knobs(case: Case) -> dict[str, Quantity]:
    return knobs_of(case.hardware, case.engine, case.tensor * case.pipeline > 1)


def _owner(case: Case, name: str) -> Unknown:
    return (case.hardware.name if "." in name else case.engine.name, name)


def _is_time(name: str) -> bool:
    return name.endswith(("_us", "_ms"))


def _counts(case: Case, row: Row) -> bool:
    """Whether a row is fitted: not the first tokens of a server near saturation, whose queue multiplies every small error."""
    return row.statistic in FITTED and row.actual > 0 and not (case.load.kind == "server" and row.metric == "ttft_ms")
