"""Which candidates of a space too large to list are looked at: Optuna's tree of Parzen estimators chooses them.

Each trial picks one value for every axis of the chip that it picked. What it costs is told back: what the fewest replicas that
meet the SLO cost; its bound, where that exceeds the best fleets known; nothing (a failed trial) where it can never meet
the SLO. Trials are asked for in waves of a fixed number and answered in order, so that the same seed gives the same
candidates however many workers there are.

Source: Bergstra et al., Algorithms for hyper-parameter optimization, NeurIPS 2011; Akiba et al., Optuna, KDD 2019.
Not here: the search for replicas (`plan_search.py`), what a space is (`plan_space.py`).
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from infersim.spec.scenario import Scenario
from infersim.studies.demand import Demand
from infersim.studies.errors import StudyError
from infersim.studies.plan_search import WAVE, Progress, Prospect, Search, prospect_of, search_wave
from infersim.studies.plan_space import Space, axes_of, candidate_of, check_space, chips_of

if TYPE_CHECKING:
    from optuna.trial import Trial


def sample(
    search: Search, scenario: Scenario, space: Space, asked: Demand, trials: int, progress: Progress | None = None
) -> list[Prospect]:
    """So many trials' candidates, each once; `search` knows their fleets afterwards.

    Raises StudyError for a bad space, and where Optuna (extra `optuna`) is not installed.
    """
    check_space(scenario, space)
    axes = {name: axes_of(scenario, space, name) for name in chips_of(space)}
    axes = {name: choices for name, choices in axes.items() if all(choices.values())}
    if not axes:
        raise StudyError("no chip of the space has a price of the tier", "--space")
    study = _study(scenario.seed)
    known: dict[Hashable, Prospect] = {}

    def picked_by(trial: "Trial") -> Prospect:
        hardware, choice = _pick(trial, axes)
        name = (hardware, *choice.values())
        if name not in known:
            known[name] = prospect_of(candidate_of(scenario, space, len(known), hardware, choice), asked)
        return known[name]

    for start in range(0, trials, WAVE):
        wave = [study.ask() for _ in range(min(WAVE, trials - start))]
        picked = [picked_by(trial) for trial in wave]
        to_run = {prospect.candidate.number: prospect for prospect in picked if _is_open(search, prospect)}
        search_wave(search, list(to_run.values()))
        for trial, prospect in zip(wave, picked, strict=True):
            _tell(study, trial, _cost(search, prospect))
        if progress is not None:
            progress(start + len(wave), trials)
    return list(known.values())


def _study(seed: int) -> Any:
    """A study that minimises, silently."""
    try:
        import optuna
    except ImportError:
        raise StudyError("--trials needs Optuna; install it: pip install 'infersim[optuna]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed % 2**32)
    return optuna.create_study(direction="minimize", sampler=sampler)


def _pick(trial: "Trial", axes: Mapping[str, Mapping[str, Sequence[Any]]]) -> tuple[str, dict[str, Any]]:
    """A chip, and one value for each of its axes, which are named with the chip since each has its own."""
    hardware = trial.suggest_categorical("hardware", list(axes))
    places = {key: range(len(values)) for key, values in axes[hardware].items()}
    picked = {key: trial.suggest_categorical(f"{hardware} {key}", list(places[key])) for key in places}
    return hardware, {key: values[picked[key]] for key, values in axes[hardware].items()}


def _is_open(search: Search, prospect: Prospect) -> bool:
    """Whether a candidate was not searched yet and may still be among the best."""
    number = prospect.candidate.number
    searched = number in search.missed or any(fleet.prospect.candidate.number == number for fleet in search.found)
    return not prospect.why and not searched and prospect.cost(prospect.least) < search.limit(prospect)


def _cost(search: Search, prospect: Prospect) -> float | None:
    """What a candidate costs, or costs at least [USD/h]; None when it can never meet the SLO."""
    number = prospect.candidate.number
    for fleet in search.found:
        if fleet.prospect.candidate.number == number:
            return fleet.usd_per_hour
    missed = search.missed.get(number)
    if prospect.why or (missed is not None and missed.hopeless):
        return None
    return prospect.cost(missed.replicas + 1 if missed else prospect.least)


def _tell(study: Any, trial: "Trial", cost: float | None) -> None:
    """Answer a trial."""
    from optuna.trial import TrialState

    if cost is None:
        study.tell(trial, state=TrialState.FAIL)
    else:
        study.tell(trial, cost)
