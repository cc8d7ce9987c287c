"""What cells share of machines and mishaps: quotas, capacities and places are shared out, zones and phases are those of all."""

import pytest

from infersim import staging
from infersim.assembly import costs, parts
from infersim.results.result import Result
from infersim.simulate import simulate
from infersim.spec.load import load_scenario
from infersim.spec.resolve import resolve
from infersim.spec.scenario import Scenario

CELLS = 3
POOL = """
{name: h100, hardware: h100-sxm, engine: vllm, parallelism: {tensor: 4}, precision: {weights: fp8},
 replicas: {initial: 7, max: 12}, placement: {zones: [a, b], places: 20},
 price: {tier: spot, limit: 5, capacity: {at_s: [0, 200], replicas: [10, 4]}, spot: {notice_s: 30}},
 fallbacks: [{tier: on_demand}],
 cold_start: {provision_s: 10, initialise_s: 5, warm: {machines: 4}}}
"""
FAILURES = "{faults: [{what: zone, mtbf_hours: 0.02, repair: {mean_s: 60}}, {what: node, mtbf_hours: 0.1, repair: {mean_s: 60}}]}"


def mishaps() -> Scenario:
    """Chat on seven replicas in three cells while zones and nodes break, spot machines are taken back, and power is capped."""
    phases = "[{kind: power_cap, at_s: 30, for_s: 60, share: 0.7}]"
    settings = [
        f"cells={CELLS}",
        "horizon_s=300",
        "seed=3",
        f"pools=[{POOL}]",
        f"failures={FAILURES}",
        f"phases={phases}",
    ]
    return load_scenario("chat_burst", settings)


@pytest.fixture(scope="module")
def result() -> Result:
    return simulate(mishaps())


def test_the_parts_of_quota_capacity_places_and_warm_machines_sum_to_the_whole() -> None:
    split = [parts.cell_of(resolve(mishaps()), cell) for cell in range(CELLS)]
    pools = [part.pools[0].pool for part in split]
    assert [pool.price.limit for pool in pools] == [2, 2, 1]
    assert [pool.placement.places for pool in pools] == [7, 7, 6]
    assert [pool.cold_start.warm.machines for pool in pools if pool.cold_start.warm] == [2, 1, 1]
    sources = [staging.terms(part, 0, costs.cost_tables(part, 0)).sources[0] for part in split]
    rooms = [source.capacity.values.tolist() for source in sources if source.capacity]
    assert rooms == [[4, 2], [3, 1], [3, 1]]
    draws = [source.draws.random() for source in sources]
    assert len(set(draws)) == CELLS
    assert len({source.stock.random() for source in sources}) == 1


def test_a_zone_breaks_in_all_cells_at_once_and_a_node_in_one(result: Result) -> None:
    lost = result.events[result.events["kind"] == "failed"]
    zones, nodes = (lost[lost["detail"].str.startswith(what)] for what in ("zone", "node"))
    assert zones.groupby("time_s")["replica"].count().max() >= CELLS
    assert len(nodes) > 3
    assert nodes.groupby("time_s")["replica"].count().max() <= 2  # a node of eight chips carries two replicas


def test_the_whole_has_each_period_once_and_pays_for_every_lease(result: Result) -> None:
    summary = result.summary
    assert [entry["kind"] for entry in summary["phases"]] == ["power cap of 70%", "otherwise"]
    assert sum(entry["requests"] for entry in summary["phases"]) == len(result.requests)
    assert result.replicas["cost_usd"].sum() == pytest.approx(summary["cost"]["total_usd"])
    last = result.timeline[result.timeline["time_s"] == result.timeline["time_s"].max()]
    causes = [f"{cause}_s" for cause in ("compute", "memory", "network", "launch", "slowed", "switching")]
    assert last[causes].to_numpy().sum() == pytest.approx(last["busy_s"].sum())
    assert last["slowed_s"].sum() > 0


def test_the_workers_change_no_byte(result: Result) -> None:
    two = simulate(mishaps(), workers=2)
    for name in ("requests", "replicas", "timeline", "events"):
        assert getattr(two, name).equals(getattr(result, name)), name
