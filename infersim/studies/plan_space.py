"""What a plan chooses from: every combination of chip, layout, precision, engine, batching and price, as one pool each.

Combinations that cannot run stay in the list with the reason. Not here: which is best (`plan.py`), what a run says
(`plan_trial.py`).
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from infersim.cost.memory import DoesNotFit
from infersim.cost.price import choose_price
from infersim.simulate import cost_tables
from infersim.spec import catalogue
from infersim.spec.errors import SpecError, nearest
from infersim.spec.hardware import Hardware
from infersim.spec.pool import Pool, Replicas
from infersim.spec.resolve import ResolvedPool, ResolvedScenario, resolve
from infersim.spec.scenario import Scenario
from infersim.studies.errors import StudyError
from infersim.studies.grid import Range, parse_grid

KEYS = (
    "hardware",
    "tensor",
    "chips",
    "pipeline",
    "weights",
    "kv_cache",
    "engine",
    "batching",
    "max_num_seqs",
    "max_num_batched_tokens",
    "tier",
    "autoscaler",
)
"""What can be chosen. `tensor` is of chips that stream weights, `chips` of SRAM machines; `batching` is a policy's name;
`autoscaler` is `none`, or `scenario` for that of the first pool, whose fewest replicas are then what is looked for."""
TENSOR = (1, 2, 4, 8)
SERIES = tuple(dict.fromkeys(round(1.25**k) for k in range(40)))
"""Numbers of SRAM chips that are tried until the model fits: each a quarter more than the one before."""

Space = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Candidate:
    """One kind of replica."""

    number: int
    """Place in the list; decides between equals."""
    pool: Pool
    resolved: ResolvedScenario | None
    """The scenario served by this pool alone; None when it cannot be."""
    why: str = ""
    """Why it cannot."""
    shown: frozenset[str] = frozenset()
    """Keys that tell it apart from others, beside chip, layout and weights."""

    @property
    def one(self) -> ResolvedPool:
        """The pool, resolved."""
        assert self.resolved is not None
        return self.resolved.pools[0]

    @property
    def usd_per_hour(self) -> float:
        """Price of a replica [USD/h]."""
        return choose_price(self.one.hardware, self.one.pool.price)[0] * self.one.chips

    @property
    def scaled(self) -> bool:
        """Whether an autoscaler decides how many there are."""
        return self.one.pool.autoscaler is not None

    def with_replicas(self, count: int) -> ResolvedScenario:
        """The scenario served by so many of them; by at least so many when they are scaled."""
        assert self.resolved is not None
        limits = Replicas(initial=count, min=count if self.scaled else 0, max=max(count, self.pool.replicas.max))
        pool = self.one.pool.model_copy(update={"replicas": limits})
        scenario = self.resolved.scenario.model_copy(update={"pools": [pool]})
        return replace(self.resolved, scenario=scenario, pools=(replace(self.one, pool=pool),))

    def label(self) -> str:
        """What it is, in one line."""
        pool, layout = self.pool, self.pool.parallelism
        more = {
            "engine": pool.engine,
            "kv_cache": f"kv {pool.precision.kv_cache}",
            "max_num_seqs": f"seqs {pool.batching.max_num_seqs}",
            "max_num_batched_tokens": f"tokens {pool.batching.max_num_batched_tokens}",
            "pipeline": f"pp{layout.pipeline}",
            "batching": pool.batching.policy or "the engine's batching",
            "tier": pool.price.tier,
            "autoscaler": f"scaled by {pool.autoscaler.policy}" if pool.autoscaler else "fixed",
        }
        words = [pool.hardware, f"x{layout.chips or layout.tensor}", pool.precision.weights or "as it comes"]
        return " ".join([*words, *(word for key, word in more.items() if key in self.shown)])


def parse_space(texts: Sequence[str]) -> dict[str, list[Any]]:
    """`key=v1,v2` texts as a space. Raises StudyError for bad syntax and ranges."""
    space: dict[str, list[Any]] = {}
    for key, values in parse_grid(texts).items():
        if isinstance(values, Range):
            raise StudyError(f"{key} is a range; list its values", "--space")
        space[key] = list(values)
    return space


def candidates(scenario: Scenario, space: Space) -> list[Candidate]:
    """Every combination. What the space leaves out: all chips with a published price of the tier, tensor parallelism of 1 to 8,
    the model's own dtype and fp8; the first pool's batching, tier, and engine (all that drive the chip, if it does not).

    Raises StudyError for unknown keys, unknown chips, engines, and empty lists.
    """
    check_space(scenario, space)
    choices = [
        (name, dict(zip(axes, choice, strict=True)))
        for name in chips_of(space)
        for axes in [axes_of(scenario, space, name)]
        for choice in itertools.product(*axes.values())
    ]
    return [candidate_of(scenario, space, number, *choice) for number, choice in enumerate(choices)]


def candidate_of(scenario: Scenario, space: Space, number: int, hardware: str, choice: Mapping[str, Any]) -> Candidate:
    """The candidate of one value for each of the chip's axes."""
    pool = _pool(scenario.pools[0], hardware, choice)
    shown = {key for key in KEYS if len(space.get(key, ())) > 1}
    shown |= {"engine"} if pool.engine != scenario.pools[0].engine else set()
    return replace(_candidate(scenario, number, pool), shown=frozenset(shown))


def chips_of(space: Space) -> Sequence[str]:
    """Chips to choose from."""
    return space.get("hardware", catalogue.hardware_names())


def axes_of(scenario: Scenario, space: Space, hardware: str) -> dict[str, Sequence[Any]]:
    """What there is to choose on one chip: key -> values. A tier without a published price is left out
    unless the chip was asked for."""
    template, chip = scenario.pools[0], catalogue.hardware(hardware)
    pipeline = chip.execution == "pipeline"
    tiers = space.get("tier", [template.price.tier])
    return {
        "chips" if pipeline else "tensor": space.get("chips", [None]) if pipeline else space.get("tensor", TENSOR),
        "pipeline": [1] if pipeline else space.get("pipeline", [template.parallelism.pipeline]),
        "weights": space.get("weights", [None, "fp8"]),
        "kv_cache": space.get("kv_cache", [None]),
        "engine": space.get("engine", _engines(template.engine, hardware)),
        "batching": space.get("batching", [template.batching.policy]),
        "max_num_seqs": space.get("max_num_seqs", [template.batching.max_num_seqs]),
        "max_num_batched_tokens": space.get("max_num_batched_tokens", [template.batching.max_num_batched_tokens]),
        "tier": [tier for tier in tiers if "hardware" in space or _published(chip, tier)],
        "autoscaler": space.get("autoscaler", ["none"]),
    }


def _engines(preferred: str, hardware: str) -> list[str]:
    """The scenario's engine where it drives the chip, else all that do."""
    driving = [engine for engine in catalogue.engine_names() if _drives(engine, hardware)]
    return [preferred] if preferred in driving else driving


def _published(chip: Hardware, tier: str) -> bool:
    """Whether somebody sells it at a known price; what a profile estimates nobody can rent."""
    return any(price.tier == tier and price.usd_per_chip_hour.grade != "estimated" for price in chip.prices)


def check_space(scenario: Scenario, space: Space) -> None:
    """Raise StudyError for unknown keys, chips, engines and choices."""
    for key, values in space.items():
        if key not in KEYS:
            raise StudyError(f"unknown key {key}; {nearest(key, KEYS)}", "--space")
        if isinstance(values, str) or len(values) == 0:
            raise StudyError(f"{key} has no values; give a list of them", "--space")
    for name in space.get("hardware", ()):
        catalogue.hardware(name)
    for name in space.get("engine", ()):
        catalogue.engine(name)
    for choice in space.get("autoscaler", ()):
        if choice not in ("none", "scenario"):
            raise StudyError(f"autoscaler={choice}; choose none or scenario", "--space")
        if choice == "scenario" and scenario.pools[0].autoscaler is None:
            raise StudyError(f"autoscaler=scenario, but pool {scenario.pools[0].name} has no autoscaler", "--space")


@lru_cache(maxsize=4096)
def _drives(engine: str, hardware: str) -> bool:
    """Whether an engine runs on a chip."""
    drives, chip = catalogue.engine(engine), catalogue.hardware(hardware)
    vendors = [vendor.lower() for vendor in drives.vendors]
    return chip.execution in drives.execution and (not vendors or chip.vendor.lower() in vendors)


def _pool(template: Pool, hardware: str, choice: Mapping[str, Any]) -> Pool:
    """One combination; what the template says of KV blocks, speculation and so on stays."""
    layout = {key: choice[key] for key in ("tensor", "chips", "pipeline") if choice.get(key) is not None}
    if "tensor" in choice:
        layout |= template.parallelism.model_dump(include={"expert", "attention_data"})
    batching = {"max_num_seqs": choice["max_num_seqs"], "max_num_batched_tokens": choice["max_num_batched_tokens"]}
    changed: dict[str, Any] = {
        "name": hardware,
        "hardware": hardware,
        "engine": choice["engine"],
        "parallelism": layout,
        "precision": {"weights": choice["weights"], "kv_cache": choice["kv_cache"]},
        "batching": template.batching.model_dump() | batching | _batching(template, choice["batching"]),
        "price": {"tier": choice["tier"]},
        "autoscaler": None if choice["autoscaler"] == "none" else template.autoscaler,
    }
    return Pool.model_validate(template.model_dump(exclude=set(changed)) | changed)


def _batching(template: Pool, policy: str) -> dict[str, Any]:
    """A batching policy; `dynamic` waits as long as the template does, or 50 ms."""
    delay_s = (template.batching.max_queue_delay_s or 0.05) if policy == "dynamic" else None
    return {"policy": policy, "max_queue_delay_s": delay_s}


def _candidate(scenario: Scenario, number: int, pool: Pool) -> Candidate:
    """A combination whose parts fit together, or why they do not; whether the model fits is found with its bounds."""
    chip = catalogue.hardware(pool.hardware)
    if chip.execution == "pipeline" and pool.parallelism.chips is None:
        return _least_chips(scenario, number, pool)
    try:
        resolved = resolve(scenario.model_copy(update={"pools": [pool]}))
    except SpecError as error:
        return Candidate(number, pool, None, error.problems[0].message)
    return Candidate(number, resolved.pools[0].pool, resolved)


def _least_chips(scenario: Scenario, number: int, pool: Pool) -> Candidate:
    """An SRAM machine of the fewest chips, in steps of a quarter, that hold the model."""
    found = Candidate(number, pool, None, "no number of chips holds the model")
    for chips in SERIES:
        spread = pool.parallelism.model_copy(update={"chips": chips})
        found = _candidate(scenario, number, pool.model_copy(update={"parallelism": spread}))
        if found.resolved is None or fits(found.resolved):
            break
    return found


def fits(resolved: ResolvedScenario) -> bool:
    """Whether the model fits its chips."""
    try:
        cost_tables(resolved, 0)
    except DoesNotFit:
        return False
    return True
