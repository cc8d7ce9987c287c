"""Which models pools serve and classes ask for, and how a replica serves several of them one after the other.

    pools:
      - name: shared
        models: [llama-3.1-8b, qwen3-8b, mistral-7b]
        switching: {resident: 2, weights_from: host, eviction: cost_aware}

Not here: what a switch costs (`infersim/cost/zoo.py`), when it happens (`infersim/dataplane/switching.py`).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from infersim.spec.base import Count, NonNegative, Spec
from infersim.spec.cascade import Lane
from infersim.spec.errors import KeyPath, nearest

if TYPE_CHECKING:
    from infersim.spec.pool import Pool
    from infersim.spec.scenario import Scenario

Finding = tuple[KeyPath, str]


class Switching(Spec):
    """How the replicas of a pool with several models go from one to the next. A batch is of one model."""

    resident: Count | None = None
    """Models whose weights fit into a replica's memory beside its KV cache, however large they are; when absent as many
    as kv_cache.blocks leaves room for, or one."""
    weights_from: Literal["host", "storage"] = "host"
    """host: copied from host memory over PCIe (sleep mode of vLLM); storage: loaded as at a cold start
    (cold_start.weights)."""
    eviction: Literal["lru", "cost_aware"] = "lru"
    """Whose weights go when others need their room. lru: the least recently used; cost_aware: those with the least
    loading time per byte and use (GreedyDual-Size, Cao & Irani 1997, with frequency)."""
    switch_s: NonNegative = 0.1
    """What each switch takes beside copying weights [s]: the host's work of putting one engine to sleep and waking another. Estimated, to a
    factor of some ten: published wake-up times of sleep modes have the copy in them."""
    turn_s: NonNegative = 1.0
    """How long requests for the active model may be admitted past one for another model that waits [s]; then the batch
    runs empty. 0: in the order of the queue. A choice, like a cool-down, and no measured fact: a longer turn switches less, and lets
    others wait longer."""


SWITCH_GRADE, SWITCH_SPREAD = "estimated", 0.9
"""Of `switch_s`, where the scenario has none."""


def plain(name: str) -> str:
    """A model's name as names are compared."""
    return name if "/" in name or "\\" in name else name.strip().lower().replace("_", "-")


def served(pool: "Pool", scenario: "Scenario") -> list[tuple[KeyPath, str]]:
    """The models that a pool serves, and where that is written (below the pool)."""
    found: list[tuple[KeyPath, str]] = [] if pool.model is None else [(("model",), pool.model)]
    found += [(("models", k), name) for k, name in enumerate(pool.models or [])]
    return found or [((), scenario.model)]


def asked_for(scenario: "Scenario") -> list[tuple[KeyPath, str]]:
    """The model that each class asks for first, and where that is written; one without classes."""
    return [_asked(scenario, Lane(index, 0)) for index in range(len(scenario.workload.parts))]


def asked_by_lane(scenario: "Scenario") -> list[int]:
    """The number of the model that the requests of each lane ask for."""
    known = numbers(scenario)
    return [known[plain(_asked(scenario, lane)[1])] for lane in scenario.workload.lanes]


def _asked(scenario: "Scenario", lane: Lane) -> tuple[KeyPath, str]:
    """The model of a class, or of the pool that a step of a cascade names."""
    workload = scenario.workload
    tenant = workload.classes[lane.tenant] if workload.classes else None
    if cascade := workload.parts[lane.tenant].cascade:
        for pool in scenario.pools:
            if pool.name == cascade[lane.step].pool:
                return ("workload", "cascade"), served(pool, scenario)[0][1]
    if tenant is not None and tenant.model is not None:
        return ("workload", "classes", lane.tenant, "model"), tenant.model
    return ("model",), scenario.model


def all_models(scenario: "Scenario") -> list[tuple[KeyPath, str]]:
    """Every model of a scenario once, with where it is named first: the scenario's, then those of pools and classes."""
    found: dict[str, tuple[KeyPath, str]] = {plain(scenario.model): (("model",), scenario.model)}
    for index, pool in enumerate(scenario.pools):
        for path, name in served(pool, scenario):
            found.setdefault(plain(name), (("pools", index, *path), name))
    for path, name in asked_for(scenario):
        found.setdefault(plain(name), (path, name))
    return list(found.values())


def numbers(scenario: "Scenario") -> dict[str, int]:
    """The number of each model, by plain name."""
    return {plain(name): number for number, (_, name) in enumerate(all_models(scenario))}


def asked_names(scenario: "Scenario") -> list[str | None]:
    """The model of each class, spelled as where it is named first; None for one with a cascade, which asks several."""
    names, known = [name for _, name in all_models(scenario)], numbers(scenario)
    return [
        None if part.cascade else names[known[plain(name)]]
        for part, (_, name) in zip(scenario.workload.parts, asked_for(scenario), strict=True)
    ]


def check_models(scenario: "Scenario") -> Iterator[Finding]:
    """Some pool serves the model of each class, and what goes with one model only is not asked of several."""
    for index, pool in enumerate(scenario.pools):
        yield from ((("pools", index, *path), message) for path, message in _check_pool(pool, scenario))
    several = len(all_models(scenario)) > 1
    for index, pool in enumerate(scenario.pools):
        if several and pool.role != "both":
            what = "prefill and decode pools are modelled for one model, which all pools serve and all requests ask for"
            yield ("pools", index, "role"), f"{what}; use role both, or a scenario for each model"
    yield from _check_cascades(scenario)
    names = {plain(name): name for pool in scenario.pools for _, name in served(pool, scenario)}
    for path, name in dict(asked_for(scenario)).items():
        if plain(name) not in names:
            yield path, f"no pool serves {name}; {nearest(name, names.values())}"


def _check_cascades(scenario: "Scenario") -> Iterator[Finding]:
    """A cascade asks the models of its pools, which have one each."""
    for index, tenant in enumerate(scenario.workload.classes or []):
        if tenant.model is not None and scenario.workload.parts[index].cascade:
            what = "a cascade asks the models of its pools"
            yield ("workload", "classes", index, "model"), f"{what}; remove model, and give pools theirs"
    steps = {step.pool for part in scenario.workload.parts for step in part.cascade or []}
    for index, pool in enumerate(scenario.pools):
        if pool.name in steps and len(served(pool, scenario)) > 1:
            what = f"a cascade asks {pool.name}, and a step of it is one model"
            yield ("pools", index, "models"), f"{what}; give each model a pool"


def _check_pool(pool: "Pool", scenario: "Scenario") -> Iterator[Finding]:
    """The models of one pool are different ones, and nothing in it stands for one of them alone."""
    models = served(pool, scenario)
    names = [plain(name) for _, name in models]
    for k, (path, name) in enumerate(models):
        if names[k] in names[:k]:
            yield path, f"{name} is there already; remove it"
    if len(models) == 1:
        if pool.switching is not None:
            yield ("switching",), "is for pools with several models; name them in models, or remove it"
        return
    alone = {
        "speculative": "drafts are of one model",
        "lora": "adapters are of one model",
    }
    for key, why in alone.items():
        if getattr(pool, key) is not None:
            yield (key,), f"{why}, and this pool serves {len(models)}; remove it, or give each model a pool"
    if pool.queue.order == "fair_share":
        what = "fair_share has no order among requests that wait for a model"
        yield ("queue", "order"), f"{what}; use another, or give each model a pool"
    if pool.cost.source != "analytic":
        what = "measurements are of one model"
        yield ("cost", "source"), f"{what}, and this pool serves {len(models)}; remove it, or give each model a pool"
    if pool.autoscaler is not None and pool.autoscaler.policy == "oracle":
        what = "the oracle knows the work of one model"
        yield ("autoscaler", "policy"), f"{what}, and this pool serves {len(models)}; use another policy"
