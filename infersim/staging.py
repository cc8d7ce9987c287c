"""What surrounds the pools of a run: where machines come from at which price, regions, faults, phases, routers' signals.

Not here: what serves (`assembly/`). Read `simulate.py` for the order in which it is put together.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infersim.controlplane.datacenter import Datacenter
    from infersim.controlplane.pool import Pool, Terms
    from infersim.cost.price import Tariff
    from infersim.cost.series import StepFunction
    from infersim.cost.tables import CostTables
    from infersim.spec.errors import KeyPath
    from infersim.spec.pool import Pool as PoolSpec
    from infersim.spec.purchase import PriceChoice
    from infersim.spec.resolve import ResolvedPool, ResolvedScenario


def tariffs(resolved: "ResolvedScenario", index: int, span_s: float) -> "tuple[Tariff, ...]":
    """What each source of a pool's machines asks during a run of `span_s` [s]; TraceError for a series with gaps."""
    from infersim.cost.price import tariff
    from infersim.workload.recorded import series

    found, pool, pue = [], resolved.pools[index], resolved.scenario.facility.pue
    for path, choice in sources_of(pool, index):
        prices = None
        if choice.series is not None:
            prices = series(choice.series, span_s, resolved.directory_of((*path, "series", "file")))
        found.append(tariff(pool.hardware, choice, prices, pue))
    return tuple(found)


def sources_of(pool: "ResolvedPool", index: int) -> "list[tuple[KeyPath, PriceChoice]]":
    """A pool's price and its fallbacks, with where they are written."""
    others = [(("pools", index, "fallbacks", k), choice) for k, choice in enumerate(pool.pool.fallbacks)]
    return [(("pools", index, "price"), pool.pool.price), *others]


def terms(resolved: "ResolvedScenario", index: int, tables: "CostTables") -> "Terms":
    """What a pool is made of, for the control plane."""
    from infersim.controlplane.market import Source
    from infersim.controlplane.places import Places
    from infersim.controlplane.pool import Terms
    from infersim.cost.cold_start import phases
    from infersim.spec.provisioning import finding_s
    from infersim.workload.recorded import capacity
    from infersim.workload.streams import stream

    pool = resolved.pools[index]
    spec, seed, cell = pool.pool, resolved.scenario.seed, named_cell(resolved)
    profile_s = pool.hardware.provision_s.value
    sources = []
    for number, (path, choice) in enumerate(sources_of(pool, index)):
        room = None
        if choice.capacity is not None:
            room = _share(capacity(choice.capacity, resolved.directory_of((*path, "capacity", "file"))), resolved.cell)
        name = f"pools.{spec.name}.sources.{number}"
        finding = finding_s(spec.cold_start, profile_s, choice.tier, choice.provider)
        sources.append(Source(number, choice, finding, stream(seed, name + cell), stream(seed, f"{name}.stock"), room))
    return Terms(
        name=spec.name,
        tables=tables,
        phases=phases(spec.cold_start, pool.hardware, pool.engine, tables),
        sources=sources,
        places=Places(spec.placement, tables.chips),
        warm=spec.cold_start.warm,
        draining=spec.draining,
        billing=spec.billing,
        replays=resolved.scenario.failures.replays,
        region=spec.region,
    )


def named_cell(resolved: "ResolvedScenario") -> str:
    """What sets the chance of one of several cells apart from that of the others."""
    cell, cells = resolved.cell
    return f".cell{cell}" if cells > 1 else ""


def _share(machines: "StepFunction", cell: tuple[int, int]) -> "StepFunction":
    """What one cell gets of machines that all cells share, the first cells one more where it does not divide."""
    number, cells = cell
    return replace(machines, values=(machines.values + cells - 1 - number) // cells) if cells > 1 else machines


@dataclass(frozen=True)
class Surroundings:
    """What a pool's region means to it."""

    electricity: "StepFunction | None" = None
    """Price [USD/kWh]."""
    carbon: "StepFunction | None" = None
    """Intensity [gCO2eq/kWh]."""
    network_s: tuple[float, ...] = ()
    """Round trip to the requests of each class [s]."""
    egress_usd_per_gb: tuple[tuple[float, float], ...] = ()
    """For the prompts and the answers of each class [USD/GB]."""
    utc_offset_h: float = 0.0


def surroundings(resolved: "ResolvedScenario", index: int, span_s: float) -> Surroundings:
    """What the region of a pool means to it; TraceError for series with gaps."""
    from infersim.cost.series import constant
    from infersim.spec.regions import round_trip_ms
    from infersim.workload.recorded import series

    scenario, pool = resolved.scenario, resolved.scenario.pools[index]
    owned = [one.owned.electricity_usd_per_kwh for one in (pool.price, *pool.fallbacks) if one.owned]
    own = next((constant(usd) for usd in owned if usd is not None), None)
    if not scenario.regions:
        return Surroundings(electricity=own)
    number = [region.name for region in scenario.regions].index(str(pool.region))
    region = scenario.regions[number]

    def over_time(key: str, fixed: float | None) -> "StepFunction | None":
        spec = getattr(region, key)
        if spec is None:
            return None if fixed is None else constant(fixed)
        return series(spec, span_s, resolved.directory_of(("regions", number, key, "file")))

    workload = scenario.workload
    origins = [tenant.region or workload.region for tenant in workload.classes or []] or [workload.region]
    homes = [origins[lane.tenant] for lane in workload.lanes]
    trips = [round_trip_ms(scenario.regions, str(home), region.name) for home in homes]
    egress = {one.name: one.egress_usd_per_gb for one in scenario.regions}
    return Surroundings(
        electricity=own or over_time("electricity", region.electricity_usd_per_kwh),
        carbon=over_time("carbon", region.grid_g_per_kwh),
        network_s=tuple((trip or 0.0) / 1000 for trip in trips),
        egress_usd_per_gb=tuple(
            (0.0, 0.0) if home == region.name else (egress[str(home)], egress[region.name]) for home in homes
        ),
        utc_offset_h=region.utc_offset_h,
    )


def tell_routers(
    datacenter: "Datacenter",
    resolved: "ResolvedScenario",
    tariffs: "list[tuple[Tariff, ...]]",
    around: "list[Surroundings]",
) -> None:
    """Keep what routers know of prices, carbon and the sun up to date: prices of a pool's first source."""
    from infersim.controlplane.signals import follow, follow_sun
    from infersim.cost.series import constant

    env = datacenter.env
    for pool, (first, *_), here in zip(datacenter.pools, tariffs, around, strict=True):
        env.process(follow(env, pool, "usd_per_hour", first.usd_per_chip_hour, pool.tables.chips))
        if resolved.scenario.regions:
            env.process(follow(env, pool, "grams_per_kwh", here.carbon or constant(0.0)))
            env.process(follow_sun(env, pool, (12 - here.utc_offset_h - resolved.scenario.start_utc_h) * 3600))


def disturb(datacenter: "Datacenter", resolved: "ResolvedScenario", span_s: float) -> None:
    """Let happen what the scenario says: faults at random and as recorded, outages, power caps, upgrades."""
    from infersim.controlplane import faults, phases
    from infersim.spec.phases import Outage, PowerCap
    from infersim.workload.faults import recorded_faults
    from infersim.workload.streams import stream

    scenario, env = resolved.scenario, datacenter.env
    failures, seed = scenario.failures, scenario.seed

    def named(names: "list[str] | None") -> "list[Pool]":
        return [pool for pool in datacenter.pools if names is None or pool.name in names]

    most = {pool.name: _most_places(pool) for pool in scenario.pools}
    for number, fault in enumerate(failures.faults):
        for pool in named(fault.pools):
            faults.break_at_random(env, pool, fault, number, seed, most[pool.name], named_cell(resolved))
    if failures.trace is not None:
        directory = resolved.directory_of(("failures", "trace", "file"))
        found = recorded_faults(failures.trace, stream(seed, "faults.trace"), directory)
        found = [one for one in found if one.begin_s < span_s]
        begin = 0
        for pool in named(failures.trace.pools):
            begin += faults.replay(env, pool, found, begin, most[pool.name], resolved.cell)
    for phase in scenario.phases:
        pools = named(phase.pools)
        if isinstance(phase, Outage):
            concerned = [pool for pool in pools if phase.region in (None, pool.terms.region)]
            concerned = [pool for pool in concerned if phase.zone in (None, *pool.terms.places.placement.zones)]
            env.process(phases.outage(env, concerned, phase, datacenter.periods.append))
        elif isinstance(phase, PowerCap):
            env.process(phases.power_cap(env, pools, phase, datacenter.periods.append))
        else:
            for pool in pools:
                env.process(phases.rolling_upgrade(env, pool, phase, datacenter.periods.append))


def _most_places(pool: "PoolSpec") -> int:
    """Places that a pool's replicas may stand on, some to spare for broken ones."""
    warm = pool.cold_start.warm.machines if pool.cold_start.warm else 0
    most = 2 * ((pool.replicas.max if pool.autoscaler else pool.replicas.initial) + warm) + 2
    return most if pool.placement.places is None else min(most, pool.placement.places)
