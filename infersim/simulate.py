"""simulate(scenario) -> Result: where everything is put together. Read this first.

scenario ──spec──> chips, models, engines ──cost──> step tables ──dataplane──> fleet
                                                                     │ served by
workload ──────────────── requests ──────────────────────────────────┤
policies ──────────────── router, autoscalers ───────────────────────┤
                                                         controlplane (SimPy) ──results──> Result
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infersim.assembly.costs import cost_tables, pool_cost

if TYPE_CHECKING:
    from infersim.controlplane.datacenter import Datacenter
    from infersim.cost.price import Tariff
    from infersim.cost.tables import CostTables
    from infersim.dataplane.fleet import Fleet
    from infersim.policies.autoscaling import Autoscaler, Registered
    from infersim.policies.processes import Process
    from infersim.results.gathering import Gathering
    from infersim.results.record import RunRecord
    from infersim.results.result import Result
    from infersim.spec.resolve import ResolvedScenario
    from infersim.spec.scenario import Scenario
    from infersim.staging import Surroundings

__all__ = ["check_runnable", "cost_tables", "pool_cost", "simulate"]

Progress = Callable[[float, float], None]
"""Called now and then with simulated seconds done and to do."""


def simulate(
    scenario: "Scenario | ResolvedScenario | str | Path | Mapping[str, Any]",
    *,
    seed: int | None = None,
    progress: Progress | None = None,
    workers: int = 1,
) -> "Result":
    """Run a scenario (or the file, or mapping, that describes one) to its last request and return what happened.

    A ResolvedScenario is run as it stands, so that a study can change what is in its profiles.

    `seed` replaces the scenario's. The cells of a scenario that has several run in `workers` processes at a time; what
    comes out does not depend on how many. Raises SpecError (the scenario is wrong), TraceError (its trace is), DoesNotFit (the
    model does not fit its chips), PolicyError (a policy failed) and Standstill (nothing can be served any more).
    """
    from infersim.results.result import Result
    from infersim.spec.load import load_scenario
    from infersim.spec.resolve import ResolvedScenario, resolve
    from infersim.spec.scenario import Scenario

    if not isinstance(scenario, Scenario | ResolvedScenario):
        scenario = load_scenario(scenario)
    resolved = scenario if isinstance(scenario, ResolvedScenario) else resolve(scenario)
    if seed is not None:
        resolved = replace(resolved, scenario=resolved.scenario.model_copy(update={"seed": seed}))
    return Result(_with_warnings(_run(resolved, progress, workers)))


def check_runnable(resolved: "ResolvedScenario") -> None:
    """Raise what `simulate` would raise before its first request: of policies, memory, and the trace."""
    from infersim.assembly import chosen, parts
    from infersim.policies.plugins import load_policies

    policies = load_policies(resolved.plugin_files)
    chosen.router(resolved, policies)
    chosen.own_order(resolved, policies)
    chosen.own_batching(resolved, policies)
    chosen.scalers(resolved, policies)
    chosen.processes(resolved, policies)
    for index in range(len(resolved.pools)):
        cost_tables(resolved, index)
    requests = parts.offered(resolved)
    parts.check_prefixes(resolved, requests.prefix_tokens)
    if resolved.scenario.workload.ends:
        requests.check()


def _run(resolved: "ResolvedScenario", progress: Progress | None, workers: int) -> "RunRecord":
    """All cells of a scenario, as one run."""
    from infersim.assembly import parts

    cells = resolved.scenario.cells
    if cells == 1:
        return _run_cell(resolved, progress)
    import joblib

    from infersim.results.merging import merged

    split = [parts.cell_of(resolved, cell) for cell in range(cells)]
    if workers == 1:
        return merged(resolved.scenario, [_run_cell(part, _of_several(progress, part.cell)) for part in split])
    records, horizon_s = [], resolved.scenario.horizon_s or 1.0
    with joblib.parallel_config("loky"):
        for record in joblib.Parallel(n_jobs=workers, return_as="generator")(
            joblib.delayed(_run_cell)(part, None) for part in split
        ):
            records.append(record)
            if progress is not None:
                progress(len(records) * horizon_s, cells * horizon_s)
    return merged(resolved.scenario, records)


def _of_several(progress: Progress | None, cell: tuple[int, int]) -> Progress | None:
    """The progress of all cells, one after the other, from that of one."""
    number, cells = cell
    return None if progress is None else lambda done_s, end_s: progress(number * end_s + done_s, cells * end_s)


def _run_cell(resolved: "ResolvedScenario", progress: Progress | None) -> "RunRecord":
    """One cell of a scenario, or the whole where it has only one."""
    from infersim import staging
    from infersim.assembly import chosen, parts
    from infersim.controlplane.datacenter import Datacenter
    from infersim.policies.plugins import load_policies
    from infersim.results.gathering import Gathering
    from infersim.spec.resolve import sample_interval_s

    scenario = resolved.scenario
    policies = load_policies(resolved.plugin_files)
    scalers, processes = chosen.scalers(resolved, policies), chosen.processes(resolved, policies)
    tables = [cost_tables(resolved, index) for index in range(len(resolved.pools))]
    requests = parts.offered(resolved)
    gathering = Gathering(scenario)
    tariffs = [staging.tariffs(resolved, index, requests.span_s) for index in range(len(tables))]
    around = [staging.surroundings(resolved, index, requests.span_s) for index in range(len(tables))]
    fleet = parts.fleet(resolved, tables, policies, requests, gathering, around)
    datacenter = Datacenter(fleet, [staging.terms(resolved, index, costs) for index, costs in enumerate(tables)])
    staging.tell_routers(datacenter, resolved, tariffs, around)
    _open_pools(datacenter, resolved, tables, scalers)
    staging.disturb(datacenter, resolved, requests.span_s)
    _start(processes, datacenter, resolved, tables)
    with _blaming(resolved, [process for process, _ in processes], datacenter):
        datacenter.run(requests.span_s, sample_interval_s(scenario, requests.span_s), progress)
    fleet.flush()
    return _record(resolved, tables, tariffs, around, fleet, datacenter, gathering)


@contextmanager
def _blaming(resolved: "ResolvedScenario", processes: "list[Process]", datacenter: "Datacenter") -> Iterator[None]:
    """Say which policy or process failed, where and when, and what would be right."""
    from infersim.dataplane.fleet import PolicyFault
    from infersim.policies import processes as own
    from infersim.policies.blame import what_failed
    from infersim.policies.errors import PolicyError

    try:
        yield
    except PolicyFault as fault:
        raise PolicyError(what_failed(fault, resolved.scenario)) from fault.__cause__
    except Exception as error:
        told = None if isinstance(error, PolicyError) else own.what_failed(error, processes, datacenter.env.now)
        if told is None:
            raise
        raise PolicyError(told) from error


def _start(
    processes: "list[tuple[Process, dict[str, Any]]]",
    datacenter: "Datacenter",
    resolved: "ResolvedScenario",
    tables: "list[CostTables]",
) -> None:
    """Start the user's processes."""
    if not processes:
        return
    from infersim.assembly import chosen
    from infersim.controlplane.facade import DatacenterFacade, followed

    env = datacenter.env
    known = [
        chosen.facts(resolved, asked, costs, pool.terms.cold_start_s)
        for pool, asked, costs in zip(datacenter.pools, resolved.pools, tables, strict=True)
    ]
    facade = DatacenterFacade(datacenter, known)
    for process, parameters in processes:
        env.process(followed(process.function(env, facade, **parameters)))


def _open_pools(
    datacenter: "Datacenter",
    resolved: "ResolvedScenario",
    tables: "list[CostTables]",
    scalers: "list[tuple[Autoscaler, Registered] | None]",
) -> None:
    """Open the replicas that are ready at the start, and let each pool's autoscaler begin."""
    from infersim.assembly import chosen, parts
    from infersim.controlplane.meter import Judge, Meter
    from infersim.controlplane.scaler import autoscale

    env, slos, judge = datacenter.env, resolved.scenario.class_slos, None
    for pool, asked, costs, scaler in zip(datacenter.pools, resolved.pools, tables, scalers, strict=True):
        limits, spec = asked.pool.replicas, asked.pool.autoscaler
        pool.most = limits.max
        for _ in range(limits.initial):
            pool.open(ready=True)
        pool.keep_warm()
        if scaler is None or spec is None:
            continue
        policy, registered = scaler
        if "attainment" in registered.reads:
            lanes, tenants = resolved.scenario.workload.lanes, resolved.scenario.workload.parts
            whole = [tenants[lane.tenant].answers == 0 for lane in lanes]
            judge = judge or Judge(env.fleet, [slos[lane.tenant] for lane in lanes], len(tables), whole)
        if "future" in registered.reads:
            policy.future = parts.future(resolved, costs)  # type: ignore[attr-defined]
        facts = chosen.facts(resolved, asked, costs, pool.terms.cold_start_s)
        meter = Meter(pool, facts, spec.scrape_lag_s, judge if "attainment" in registered.reads else None)
        if spec.scrape_lag_s > 0:
            env.process(meter.scrape(spec.interval_s))
        env.process(autoscale(pool, meter, policy, registered, spec, limits))


def _record(
    resolved: "ResolvedScenario",
    tables: list["CostTables"],
    tariffs: list[tuple["Tariff", ...]],
    around: list["Surroundings"],
    fleet: "Fleet",
    datacenter: "Datacenter",
    gathering: "Gathering",
) -> "RunRecord":
    from infersim.cost.energy import usage
    from infersim.results.provenance import pool_sources, switching_sources
    from infersim.results.record import PoolRecord, RunRecord
    from infersim.results.switching import with_switches

    pools = []
    for number, (pool, costs) in enumerate(zip(resolved.pools, tables, strict=True)):
        first, here, tally = tariffs[number][0], around[number], fleet.tally(number)
        pools.append(
            PoolRecord(
                name=pool.pool.name,
                hardware=pool.hardware.name,
                engine=pool.engine.name,
                chips=costs.chips,
                usd_per_chip_hour=first.usd_per_chip_hour.mean(datacenter.env.now),
                price_source=first.source,
                purchases=tariffs[number],
                electricity=here.electricity,
                carbon=here.carbon,
                network_s=here.network_s,
                egress_usd_per_gb=here.egress_usd_per_gb,
                region=pool.pool.region,
                saved_j=datacenter.pools[number].saved_j(usage(costs, tally).dynamic_j),
                tables=costs,
                tally=tally,
                embodied_kg=pool.hardware.embodied_kg.value if pool.hardware.embodied_kg else None,
                sources=pool_sources(pool.hardware, pool.engine, pool.pool.price) + switching_sources(pool.pool),
            )
        )
    return RunRecord(
        scenario=resolved.scenario,
        pools=pools,
        outcomes=gathering.rows(),
        leases=datacenter.leases(),
        samples=datacenter.samples(),
        events=with_switches(datacenter.log, fleet.switches(), pools),
        periods=tuple(datacenter.periods),
        end_s=datacenter.env.now,
        warnings=[],
        halvings=gathering.halvings,
        streamed=gathering.totals,
        questions=gathering.calls,
    )


def _with_warnings(run: "RunRecord") -> "RunRecord":
    """The run with what a reader of its numbers should know."""
    from infersim.dataplane.records import REJECTED

    sums = run.totals.of()
    rejected = int(sums.endings[REJECTED])
    warnings = [f"{pool.name}: {note}" for pool in run.pools for note in pool.tables.notes]
    if rejected:
        warnings.append(f"{rejected} of {sums.arrived} requests were rejected: longer than the context or the KV cache")
    return replace(run, warnings=[*warnings, *_out_of_reach(run), *run.warnings])


def _out_of_reach(run: "RunRecord") -> "Iterator[str]":
    """Limits of SLOs that no replica of any pool can keep, were it alone with the shortest prompt."""
    import numpy as np

    from infersim.cost.least import least_tpot, least_ttft

    shortest, two = np.ones(1), np.full(1, 2.0)
    asked = zip(run.pools, run.scenario.pools, strict=True)
    emitted = [(pool.tables, 1 + (spec.speculative.tokens if spec.speculative else 0)) for pool, spec in asked]
    floors = {
        "ttft_p99_s": lambda: min(least_ttft(tables, shortest)[0] for tables, _ in emitted),
        "tpot_p99_s": lambda: min(least_tpot(tables, shortest, two)[0] / tokens for tables, tokens in emitted),
    }
    for key, least in floors.items():
        limits = [value for slo in run.scenario.class_slos if (value := getattr(slo, key)) is not None]
        if limits and (limit := min(limits)) < (floor_s := float(least())):
            yield f"no replica can keep slo.{key} {limit:g}: it takes {floor_s:.3g} s at least, alone and with the shortest prompt"
