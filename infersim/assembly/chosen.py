"""The policies that a scenario names, found and compiled, and what an autoscaler may know beforehand.

Not here: the policies (`policies/`). Read `parts.py` next.
"""

from collections.abc import Callable, Container, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from infersim.cost.tables import CostTables
    from infersim.policies.autoscaling import Autoscaler, Facts, Registered
    from infersim.policies.batching import Batching
    from infersim.policies.ordering import Ordering
    from infersim.policies.plugins import Policies
    from infersim.policies.processes import Process
    from infersim.policies.routing import Router
    from infersim.spec.errors import KeyPath
    from infersim.spec.resolve import ResolvedPool, ResolvedScenario

Chosen = TypeVar("Chosen")


def router(resolved: "ResolvedScenario", policies: "Policies") -> "Router":
    """The router that the scenario names."""
    return chosen(resolved, ("router", "policy"), policies.routers, resolved.scenario.router.policy)


def own_order(resolved: "ResolvedScenario", policies: "Policies") -> Callable | None:
    """The compiled queue orders of the pools that have one of the user's; None if no pool does."""
    from infersim.dataplane import abi
    from infersim.policies.compiling import of_pools
    from infersim.policies.refusal import ORDER
    from infersim.spec.policies import SHIPPED_ORDERS

    found = _own(resolved, ("queue", "order"), SHIPPED_ORDERS, policies.orderings)
    return of_pools(found, ORDER, abi.ORDER_OF_POOL, abi.ORDER) if found else None


def own_batching(resolved: "ResolvedScenario", policies: "Policies") -> Callable | None:
    """The compiled batching policies of the pools that have one of the user's; None if no pool does."""
    from infersim.dataplane import abi
    from infersim.policies.compiling import of_pools
    from infersim.policies.refusal import BATCHING
    from infersim.spec.policies import SHIPPED_BATCHINGS

    found = _own(resolved, ("batching", "policy"), SHIPPED_BATCHINGS, policies.batchings)
    return of_pools(found, BATCHING, abi.SHAPE_OF_POOL, abi.SHAPE) if found else None


def _own(
    resolved: "ResolvedScenario",
    key: tuple[str, str],
    shipped: Container[str],
    known: "Mapping[str, Batching | Ordering]",
) -> dict[int, tuple[str, Callable]]:
    """Name and function of the policy of each pool that has one of the user's under `key`."""
    names = {index: getattr(getattr(pool.pool, key[0]), key[1]) for index, pool in enumerate(resolved.pools)}
    return {
        index: (name, chosen(resolved, ("pools", index, *key), known, name).function)
        for index, name in names.items()
        if name not in shipped
    }


def chosen(resolved: "ResolvedScenario", path: "KeyPath", known: Mapping[str, Chosen], name: str) -> Chosen:
    """The policy that the scenario names at `path`; SpecError with the nearest names if there is none."""
    from infersim.spec.errors import nearest

    if name not in known:
        raise resolved.error(path, f"unknown policy {name}; {nearest(name, known)}")
    return known[name]


def scalers(resolved: "ResolvedScenario", policies: "Policies") -> "list[tuple[Autoscaler, Registered] | None]":
    """Each pool's autoscaler and what it has declared, if it has one."""
    from infersim.policies.errors import PolicyError

    scalers: list[tuple[Autoscaler, Registered] | None] = []
    for number, resolved_pool in enumerate(resolved.pools):
        spec = resolved_pool.pool.autoscaler
        if spec is None:
            scalers.append(None)
            continue
        path = ("pools", number, "autoscaler", "policy")
        registered = chosen(resolved, path, policies.autoscalers, spec.policy)
        try:
            scalers.append((registered.make(**spec.parameters), registered))
        except Exception as error:
            given = ", ".join(f"{name} {value!r}" for name, value in spec.parameters.items()) or "nothing"
            raise PolicyError(f"autoscaler {spec.policy!r} cannot be made with {given}: {error}") from error
    return scalers


def processes(resolved: "ResolvedScenario", policies: "Policies") -> "list[tuple[Process, dict[str, Any]]]":
    """The user's processes that the scenario starts, with their parameters."""
    import inspect

    from infersim.policies.errors import PolicyError

    found = []
    for number, spec in enumerate(resolved.scenario.processes):
        one, given = (
            chosen(resolved, ("processes", number, "process"), policies.processes, spec.process),
            spec.model_extra or {},
        )
        try:
            inspect.signature(one.function).bind("env", "datacenter", **given)
        except TypeError as error:
            raise PolicyError(f"process {one.name!r} cannot be started with {given or 'nothing'}: {error}") from None
        found.append((one, given))
    return found


def facts(resolved: "ResolvedScenario", pool: "ResolvedPool", tables: "CostTables", cold_start_s: float) -> "Facts":
    """What an autoscaler may know of its pool beforehand; `cold_start_s` is its usual time from asked for to ready [s]."""
    import math

    from infersim.policies.autoscaling import Facts

    def strictest(key: str) -> float:
        return min((limit for slo in resolved.scenario.class_slos if (limit := getattr(slo, key))), default=math.inf)

    spec, limits = pool.pool.autoscaler, pool.pool.replicas
    return Facts(
        pool=pool.pool.name,
        fewest=limits.min,
        most=limits.max,
        interval_s=spec.interval_s if spec else math.inf,
        max_num_seqs=tables.max_num_seqs,
        cold_start_s=cold_start_s,
        ttft_s=strictest("ttft_p99_s"),
        tpot_s=strictest("tpot_p99_s"),
    )
