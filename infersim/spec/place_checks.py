"""Whether regions, failures and phases name pools, zones and regions that are there, and can reach each other.

Each check yields (key path, what was found and what would be right). Read `resolve.py` for who asks.
"""

from collections.abc import Iterable, Iterator, Sequence

from infersim.spec.checks import Finding
from infersim.spec.errors import KeyPath, nearest
from infersim.spec.hardware import Hardware
from infersim.spec.phases import Outage, PowerCap
from infersim.spec.pool import Pool, Takes
from infersim.spec.regions import Region, round_trip_ms
from infersim.spec.scenario import Scenario
from infersim.spec.zoo import asked_for, plain, served

GEOGRAPHIC = {"nearest", "greenest", "follow_the_sun"}
"""Routers that go by regions."""


def check_regions(scenario: Scenario) -> Iterator[Finding]:
    """Every region is used, every pool stands in one and can be reached from every origin, if there are any."""
    regions, names = scenario.regions, [region.name for region in scenario.regions]
    origins = list(_origins(scenario))
    homes = [(("pools", index, "region"), pool.region) for index, pool in enumerate(scenario.pools)]
    for path, name in origins + homes:
        if name is not None and name not in names:
            yield path, f"unknown region {name}; {nearest(name, names) if names else 'the scenario has no regions'}"
        if name is None and names:
            yield path, f"is missing; the scenario has regions: {', '.join(names)}"
    if scenario.router.policy in GEOGRAPHIC and not names:
        yield ("router", "policy"), f"{scenario.router.policy} goes by regions, and there are none; add regions"
    used = {name for _, name in origins + homes}
    for index, region in enumerate(regions):
        here: KeyPath = ("regions", index)
        if region.name in names[:index]:
            yield (*here, "name"), f"two regions are called {region.name}; give each its own name"
        if region.name not in used:
            yield (*here, "name"), f"{region.name} has neither a pool nor requests; give it one, or remove it"
        for other in region.round_trip_ms:
            if other not in names:
                yield (*here, "round_trip_ms", other), f"unknown region {other}; {nearest(other, names)}"
    yield from _unreachable(regions, {name for _, name in origins}, homes)


def _unreachable(
    regions: list[Region], origins: set[str | None], homes: Sequence[tuple[KeyPath, str | None]]
) -> Iterator[Finding]:
    names = {region.name for region in regions}
    for path, home in homes:
        for origin in sorted(names & origins):
            if home in names and home is not None and round_trip_ms(regions, origin, home) is None:
                yield path, f"no route from {origin} to {home}; give round_trip_ms between the two regions"


def _origins(scenario: Scenario) -> Iterator[tuple[KeyPath, str | None]]:
    """Where requests come from, and where that is written."""
    workload = scenario.workload
    if workload.classes is None:
        yield ("workload", "region"), workload.region
    for index, tenant in enumerate(workload.classes or []):
        yield ("workload", "classes", index, "region"), tenant.region or workload.region


def check_targets(scenario: Scenario) -> Iterator[Finding]:
    """Failures and phases concern pools, zones and regions that are there."""
    pools = [pool.name for pool in scenario.pools]
    zones = sorted({zone for pool in scenario.pools for zone in pool.placement.zones})
    for index, fault in enumerate(scenario.failures.faults):
        yield from _unknown(fault.pools, pools, ("failures", "faults", index, "pools"), "pool")
    if scenario.failures.trace is not None:
        yield from _unknown(scenario.failures.trace.pools, pools, ("failures", "trace", "pools"), "pool")
    for index, phase in enumerate(scenario.phases):
        path = ("phases", index)
        yield from _unknown(phase.pools, pools, (*path, "pools"), "pool")
        if isinstance(phase, Outage):
            yield from _unknown([phase.zone] if phase.zone else None, zones, (*path, "zone"), "zone")
            homes = sorted({pool.region for pool in scenario.pools if pool.region})
            yield from _unknown(
                [phase.region] if phase.region else None, homes, (*path, "region"), "region with a pool"
            )


def check_takes(scenario: Scenario) -> Iterator[Finding]:
    """Pools take classes that are there, and some pool takes each request."""
    classes = [tenant.name for tenant in scenario.workload.classes or []]
    serving = [pool for pool in scenario.pools if pool.role != "decode"]
    for index, pool in enumerate(scenario.pools):
        path = ("pools", index, "takes")
        if pool.role == "decode" and pool.takes != Takes():
            yield path, "is for pools that requests are routed to, and this one has role decode; remove it"
        yield from _unknown(pool.takes.classes, classes, (*path, "classes"), "class")
    yield from _check_cascades(scenario)
    for name, (_, model) in zip(classes or [""], asked_for(scenario), strict=True):
        able = [pool for pool in serving if plain(model) in {plain(one) for _, one in served(pool, scenario)}]
        spans = sorted(
            (pool.takes.min_input_tokens, pool.takes.max_input_tokens or 2**62)
            for pool in able
            if pool.takes.classes is None or name in pool.takes.classes
        )
        reached = 0
        for first, last in spans:
            if first <= reached + 1:
                reached = max(reached, last)
        if able and reached < 2**62:
            whose = f" of class {name}" if name else ""
            yield ("pools",), f"no pool takes prompts{whose} of {reached + 1} tokens; widen takes of one of them"


def _check_cascades(scenario: Scenario) -> Iterator[Finding]:
    """The models of a cascade stand in pools that are there and take every prompt of its class."""
    workload, pools = scenario.workload, {pool.name: pool for pool in scenario.pools}
    asked = {step.pool for part in workload.parts for step in part.cascade or []}
    for index, name in enumerate(pools if all(part.cascade for part in workload.parts) else ()):
        if name not in asked:
            yield (
                ("pools", index, "name"),
                f"no cascade asks {name}, and every class has one; name it in one, or remove it",
            )
    for index, part in enumerate(workload.parts):
        tenant = workload.classes[index] if workload.classes else None
        own = tenant is not None and tenant.cascade is not None
        for number, step in enumerate(part.cascade or []):
            path = ("workload", *(("classes", index) if own else ()), "cascade", number, "pool")
            if (pool := pools.get(step.pool)) is None:
                yield path, f"unknown pool {step.pool}; {nearest(step.pool, pools)}"
                continue
            if pool.role != "both":
                yield path, f"{step.pool} has role {pool.role}, and a step of a cascade is one pool; use role both"
            if (pool.takes.min_input_tokens, pool.takes.max_input_tokens) != (1, None):
                yield (
                    path,
                    f"{step.pool} takes prompts of some lengths only; remove min_input_tokens and max_input_tokens",
                )
            if tenant is not None and tenant.name not in (pool.takes.classes or [tenant.name]):
                yield path, f"{step.pool} does not take class {tenant.name}; add it to its takes.classes"


def check_caps(scenario: Scenario, pool: Pool, hardware: Hardware) -> Iterator[Finding]:
    """Power caps leave the pool's chips something to work with."""
    for index, phase in enumerate(scenario.phases):
        concerned = isinstance(phase, PowerCap) and (phase.pools is None or pool.name in phase.pools)
        if isinstance(phase, PowerCap) and concerned:
            idle, limit = hardware.power.idle_w.value, hardware.power.tdp_w.value
            if phase.share * limit <= idle:
                what = f"found {phase.share:g}, {phase.share * limit:g} W for a {hardware.name}, which draws {idle:g} W idle"
                yield ("phases", index, "share"), f"{what}; give more than {idle / limit:.2g}"


def _unknown(given: list[str] | None, known: Iterable[str], path: KeyPath, kind: str) -> Iterator[Finding]:
    for name in given or []:
        if name not in known:
            yield path, f"unknown {kind} {name}; {nearest(name, known)}"
