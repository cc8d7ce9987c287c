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
from infersim.spec.resolve import ResolvedPool, ResolvedScenario, resolve
from infersim.spec.scenario import Pool, Replicas, Scenario
from infersim.studies.errors import StudyError
from infersim.studies.grid import Range, parse_grid

KEYS = (
    "hardware",
    "tensor",
    "chips",
    "weights",
    "kv_cache",
    "engine",
    "max_num_seqs",
    "max_num_batched_tokens",
    "tier",
)
"""What can be chosen. `tensor` is of chips that stream weights, `chips` of SRAM machines."""
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
    shown: tuple[str, ...] = ()
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

    def with_replicas(self, count: int) -> ResolvedScenario:
        """The scenario served by so many of them."""
        assert self.resolved is not None
        pool = self.one.pool.model_copy(update={"replicas": Replicas(initial=count, min=0, max=max(count, 64))})
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
            "tier": pool.price.tier,
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
    """Every combination. What the space leaves out: all chips that have a price of the tier, tensor parallelism of 1 to 8,
    the model's own dtype and fp8; the first pool's batching, tier, and engine (all that drive the chip, if it does not).

    Raises StudyError for unknown keys, unknown chips, engines, and empty lists.
    """
    _check(space)
    template = scenario.pools[0]
    tiers = space.get("tier", [template.price.tier])
    found: list[Pool] = []
    for name in space.get("hardware", catalogue.hardware_names()):
        chip = catalogue.hardware(name)
        pipeline = chip.execution == "pipeline"
        priced = [tier for tier in tiers if "hardware" in space or any(price.tier == tier for price in chip.prices)]
        layouts = space.get("chips", [None]) if pipeline else space.get("tensor", TENSOR)
        engines = space.get("engine", _engines(template.engine, name))
        for layout, stored, kv, engine, seqs, tokens, tier in itertools.product(
            layouts,
            space.get("weights", [None, "fp8"]),
            space.get("kv_cache", [None]),
            engines,
            space.get("max_num_seqs", [template.batching.max_num_seqs]),
            space.get("max_num_batched_tokens", [template.batching.max_num_batched_tokens]),
            priced,
        ):
            spread = {"chips": layout} if pipeline else {"tensor": layout}
            found.append(_pool(template, name, spread, stored, kv, engine, seqs, tokens, tier))
    shown = tuple(key for key in KEYS if len(space.get(key, ())) > 1) + (() if "engine" in space else ("engine",))
    return [replace(_candidate(scenario, number, pool), shown=shown) for number, pool in enumerate(found)]


def _engines(preferred: str, hardware: str) -> list[str]:
    """The scenario's engine where it drives the chip, else all that do."""
    driving = [engine for engine in catalogue.engine_names() if _drives(engine, hardware)]
    return [preferred] if preferred in driving else driving


def _check(space: Space) -> None:
    for key, values in space.items():
        if key not in KEYS:
            raise StudyError(f"unknown key {key}; {nearest(key, KEYS)}", "--space")
        if isinstance(values, str) or len(values) == 0:
            raise StudyError(f"{key} has no values; give a list of them", "--space")
    for name in space.get("hardware", ()):
        catalogue.hardware(name)
    for name in space.get("engine", ()):
        catalogue.engine(name)


@lru_cache(maxsize=4096)
def _drives(engine: str, hardware: str) -> bool:
    """Whether an engine runs on a chip."""
    drives, chip = catalogue.engine(engine), catalogue.hardware(hardware)
    vendors = [vendor.lower() for vendor in drives.vendors]
    return chip.execution in drives.execution and (not vendors or chip.vendor.lower() in vendors)


def _pool(
    template: Pool, hardware: str, layout: dict[str, Any], stored: Any, kv: Any, engine: str, seqs: Any, tokens: Any,
    tier: str,
) -> Pool:  # fmt: skip
    """One combination; what the template says of KV blocks, speculation and so on stays, its autoscaler goes."""
    batching = template.batching.model_dump() | {"max_num_seqs": seqs, "max_num_batched_tokens": tokens}
    return Pool.model_validate(
        template.model_dump(exclude={"autoscaler", "replicas", "price", "precision", "parallelism", "batching"})
        | {
            "name": hardware,
            "hardware": hardware,
            "engine": engine,
            "parallelism": {key: value for key, value in layout.items() if value is not None},
            "precision": {"weights": stored, "kv_cache": kv},
            "batching": batching,
            "price": {"tier": tier},
        }
    )


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
