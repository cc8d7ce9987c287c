"""The search of a plan: bounds, the fewest replicas of a candidate, and confirmation of the best by replications.

Branch and bound in waves. The state is a `Search`; a wave holds the candidates with the cheapest bounds that are below
the best fleets known. A candidate that found nothing within that limit comes back if the limit rises.

Not here: what is asked and reported (`plan.py`), the candidates (`plan_space.py`), a run's verdict (`plan_trial.py`).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from infersim.cost.memory import DoesNotFit
from infersim.studies.bounds import bound
from infersim.studies.demand import Demand
from infersim.studies.errors import StudyError
from infersim.studies.plan_space import Candidate
from infersim.studies.plan_trial import Verdict, try_fleet
from infersim.studies.tasks import Failed, Machines, in_order

WAVE = 8
"""Candidates searched at a time; fixed, so that the plan does not depend on the number of workers."""
MOST_SPARE = 16
"""A fleet this many times as large as the load needs at least, and that still misses the SLO, never meets it."""
QUANTILES = {"ttft_p99_s": "ttft_s", "tpot_p99_s": "tpot_s", "e2e_p99_s": "e2e_s"}
"""Key of the SLO -> the bound that it limits."""

Progress = Callable[[float, float], None]


@dataclass(frozen=True)
class Prospect:
    """A candidate and what is known of it without simulation."""

    candidate: Candidate
    busy: float = 0.0
    """Replicas that the load keeps busy at least."""
    span_s: float = 0.0
    """For how long requests arrive [s]."""
    why: str = ""
    """Why it is out already; empty while it is not."""

    @property
    def needed(self) -> int:
        """Fewest replicas that carry the mean load."""
        return max(1, math.ceil(self.busy - 1e-9))

    @property
    def least(self) -> int:
        """Fewest replicas that could do; a scaled pool may have one at times."""
        return 1 if self.candidate.scaled else self.needed

    @property
    def most(self) -> int:
        """So many that still miss the SLO mean that no number meets it."""
        return self.candidate.pool.replicas.max if self.candidate.scaled else self.needed * MOST_SPARE

    def cost(self, replicas: int) -> float:
        """Price of so many replicas [USD/h]; of a scaled pool that has at least so many, the least that it may cost."""
        return max(replicas, self.busy if self.candidate.scaled else 0) * self.candidate.usd_per_hour


@dataclass(frozen=True)
class Fleet:
    """A fleet that meets the SLO."""

    prospect: Prospect
    replicas: int
    """How many; of a scaled one, how many at least."""
    verdict: Verdict

    @property
    def usd_per_hour(self) -> float:
        """Its price [USD/h]; of a scaled one, all that was billed by the hour of traffic."""
        scaled = self.prospect.candidate.scaled
        return self.verdict.mean("usd") / self.prospect.span_s * 3600 if scaled else self.prospect.cost(self.replicas)

    @property
    def order(self) -> tuple[float, int]:
        """Cheapest first; equals by their place in the list."""
        return self.usd_per_hour, self.prospect.candidate.number


@dataclass(frozen=True)
class Missed:
    """A search that found no fleet within its limit."""

    strain: float
    """Of the largest fleet tried."""
    replicas: int
    """Its replicas."""
    worst: str
    hopeless: bool
    """Whether more replicas would not help, as opposed to cost too much."""


NEVER = Missed(math.inf, 0, "", hopeless=False)
"""Of a candidate that was not searched."""


@dataclass
class Search:
    """What is known so far."""

    seeds: tuple[int, ...]
    keep: int
    machines: Machines
    each_chip: bool = False
    """Whether the best of every chip are wanted, instead of the best of all."""
    found: list[Fleet] = field(default_factory=list)
    """Fleets that a single run found enough, or replications confirmed."""
    missed: dict[int, Missed] = field(default_factory=dict)
    simulated: int = 0

    def limit(self, prospect: Prospect) -> float:
        """What a fleet of this candidate may cost to be among the best [USD/h]."""
        costs = sorted(fleet.usd_per_hour for fleet in self.found if self.rivals(fleet.prospect, prospect))
        return costs[self.keep - 1] if len(costs) >= self.keep else math.inf

    def best(self) -> list[Fleet]:
        """The best fleets known, cheapest first."""
        ranked = sorted(self.found, key=lambda fleet: fleet.order)
        return [
            fleet
            for place, fleet in enumerate(ranked)
            if sum(self.rivals(fleet.prospect, other.prospect) for other in ranked[:place]) < self.keep
        ]

    def rivals(self, one: Prospect, other: Prospect) -> bool:
        """Whether two candidates compete for a place."""
        return not self.each_chip or one.candidate.pool.hardware == other.candidate.pool.hardware


def prospect_of(candidate: Candidate, asked: Demand) -> Prospect:
    """A candidate with its bounds; out when it cannot run or a latency's bound exceeds the SLO."""
    if candidate.resolved is None:
        return Prospect(candidate, why=f"cannot run: {candidate.why}")
    try:
        limit = bound(candidate.resolved, 0, asked)
    except DoesNotFit as error:
        return Prospect(replace(candidate, resolved=None), why=f"cannot run: {str(error).rpartition('pools[0]: ')[2]}")
    if limit is None or limit.served < 0.99:
        share = 0.0 if limit is None else limit.served
        return Prospect(candidate, why=f"holds only {share:.1%} of the requests; the rest is longer than its KV cache")
    busy = asked.rate_rps * limit.served * limit.request_s
    for key, name in QUANTILES.items():
        wanted, bounds = getattr(candidate.resolved.scenario.slo, key), getattr(limit, name)
        if wanted is not None and len(bounds) and (least := float(np.percentile(bounds, 99))) > wanted:
            return Prospect(candidate, busy, asked.span_s, f"{key} is at least {least:.3g} s on any number of replicas")
    return Prospect(candidate, busy, asked.span_s)


def waiting_list(search: Search, prospects: Sequence[Prospect]) -> list[Prospect]:
    """Candidates that may still be among the best and were not searched, cheapest bound first."""
    done = {fleet.prospect.candidate.number for fleet in search.found}

    def next_cost(prospect: Prospect) -> float:
        missed = search.missed.get(prospect.candidate.number)
        return prospect.cost(missed.replicas + 1 if missed else prospect.least)

    waiting = [
        prospect
        for prospect in prospects
        if not prospect.why
        and prospect.candidate.number not in done
        and not (search.missed.get(prospect.candidate.number, NEVER).hopeless)
        and next_cost(prospect) < search.limit(prospect)
    ]
    return sorted(waiting, key=lambda prospect: (next_cost(prospect), prospect.candidate.number))


def look_for_fleets(search: Search, prospects: Sequence[Prospect], progress: Progress | None) -> None:
    """Search candidates in waves until every bound exceeds the best fleets known."""
    while waiting := waiting_list(search, prospects):
        search_wave(search, _wave(search, waiting))
        if progress is not None:
            progress(len(prospects) - len(waiting_list(search, prospects)), len(prospects))


def _wave(search: Search, waiting: Sequence[Prospect]) -> list[Prospect]:
    """The next to search, cheapest bounds first: as many of rivals as are kept while nothing prunes them yet."""
    wave: list[Prospect] = []
    for prospect in waiting:
        rivals = sum(search.rivals(prospect, other) for other in wave)
        if math.isfinite(search.limit(prospect)) or rivals < search.keep:
            wave.append(prospect)
    return wave[:WAVE]


def search_wave(search: Search, wave: Sequence[Prospect]) -> None:
    """Look for the fewest replicas of each of these within the present limit, and remember what was found."""
    tasks = [
        (
            prospect,
            search.missed.get(prospect.candidate.number, NEVER).replicas + 1,
            search.limit(prospect),
            search.seeds[:1],
        )
        for prospect in wave
    ]
    for prospect, answer in zip(wave, in_order(_fewest, tasks, search.machines), strict=True):
        number = prospect.candidate.number
        if isinstance(answer, Failed):
            search.missed[number] = Missed(math.inf, 0, f"fails: {answer.why}", hopeless=True)
            continue
        outcome, runs = answer
        search.simulated += runs
        if isinstance(outcome, Missed):
            search.missed[number] = outcome
        else:
            search.found.append(Fleet(prospect, *outcome))


def _fewest(task: tuple[Prospect, int, float, tuple[int, ...]]) -> tuple[Missed | tuple[int, Verdict], int]:
    """The fewest replicas, from `low` up, that meet the SLO and cost less than the limit; and how many runs it took."""
    prospect, low, limit, seeds = task
    low = max(low, prospect.least)
    most = max(prospect.most, low)
    if math.isfinite(limit):
        most = min(most, max(low, math.ceil(limit / prospect.candidate.usd_per_hour) - 1))
    tried: dict[int, Verdict] = {}

    def holds(replicas: int) -> bool:
        tried[replicas] = try_fleet(prospect.candidate, replicas, seeds, prospect.busy)
        return tried[replicas].holds

    high = low if holds(low) else _gallop(low, most, holds)
    if high is None:
        last = tried[max(tried)]
        hopeless = max(tried) >= prospect.most
        return Missed(last.strain, max(tried), last.runs[0].worst, hopeless), len(tried) * len(seeds)
    under = max((count for count in tried if count < high and not tried[count].holds), default=low - 1)
    while high - under > 1:
        middle = (under + high) // 2
        under, high = (under, middle) if holds(middle) else (middle, high)
    return (high, tried[high]), len(tried) * len(seeds)


def _gallop(low: int, most: int, holds: Callable[[int], bool]) -> int | None:
    """A number above `low` that holds, in growing steps up to `most`; None when none of them does."""
    step, at = max(1, low // 4), low
    while at < most:
        at = min(at + step, most)
        if holds(at):
            return at
        step *= 2
    return None


def confirm_best(search: Search, prospects: Sequence[Prospect], progress: Progress | None) -> list[Fleet]:
    """The cheapest fleets, each with as many runs as there are seeds; looks again for others if that made them dearer."""
    confirmed: dict[int, Fleet] = {}
    while True:
        ranked = search.best()
        open_ones = [fleet for fleet in ranked if fleet.prospect.candidate.number not in confirmed]
        if not open_ones:
            if not waiting_list(search, prospects):
                return ranked
            look_for_fleets(search, prospects, progress)
            continue
        answers = in_order(_confirmed, [(fleet, search.seeds) for fleet in open_ones], search.machines)
        for fleet, answer in zip(open_ones, answers, strict=True):
            if isinstance(answer, Failed):
                raise StudyError(f"{fleet.prospect.candidate.label()} fails on another seed: {answer.why}")
            sure, runs = answer
            search.simulated += runs
            search.found.remove(fleet)
            number = fleet.prospect.candidate.number
            if isinstance(sure, Missed):
                search.missed[number] = sure
            else:
                confirmed[number] = sure
                search.found.append(sure)


def _confirmed(task: tuple[Fleet, tuple[int, ...]]) -> tuple[Fleet | Missed, int]:
    """The fewest replicas that meet the SLO with confidence, near those that a single run found."""
    fleet, seeds = task
    prospect, count = fleet.prospect, fleet.replicas
    verdicts = {count: try_fleet(prospect.candidate, count, seeds, prospect.busy)}
    step = -1 if verdicts[count].holds else 1
    while prospect.least <= count + step <= prospect.most:
        count += step
        verdicts[count] = try_fleet(prospect.candidate, count, seeds, prospect.busy)
        if verdicts[count].holds == (step > 0):
            break
    runs = len(verdicts) * len(seeds)
    holding = [replicas for replicas, verdict in verdicts.items() if verdict.holds]
    if holding:
        return Fleet(prospect, min(holding), verdicts[min(holding)]), runs
    last = verdicts[max(verdicts)]
    return Missed(last.strain, max(verdicts), last.runs[0].worst, hopeless=True), runs
