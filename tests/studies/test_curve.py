"""Cost curves: a single slot is an M/D/1 queue, whose capacity, latency and knee are known; bounds; variants."""

from pathlib import Path

import numpy as np
import pytest

from infersim import curve
from infersim.simulate import cost_tables
from infersim.studies.bounds import bound
from infersim.studies.demand import at_load, demand
from infersim.studies.errors import StudyError
from infersim.studies.load import fleet, probe, saturation_rps
from infersim.studies.variants import resolved_with
from tests.studies.scenarios import SMALL, single_slot


def service_s() -> float:
    """By hand: one prompt step of 200 tokens, then 19 steps of one token at contexts 201 to 219."""
    tables = cost_tables(resolved_with(single_slot(10)), 0)
    prompt = tables.step_s(200, 1, 0, 0.0, [(200 * 201 / 2, 200)])
    return prompt + sum(tables.step_s(1, 1, 1, 200 + k, []) for k in range(1, 20))


@pytest.fixture(scope="module")
def md1():
    """The curve of the single slot."""
    return curve(single_slot(6000))


def test_saturation_of_a_single_slot_is_its_service_rate(md1) -> None:
    assert md1.marks["saturation_rps"][0] == pytest.approx(1 / service_s(), rel=0.005)
    assert md1.marks["bound_rps"][0] >= 1 / service_s() * 0.99999


def test_the_knee_of_a_single_slot_is_that_of_md1(md1) -> None:
    """Power is greatest where load / latency is; latency by Pollaczek and Khinchine, and the front end before it."""
    tables, s = cost_tables(resolved_with(single_slot(10)), 0), service_s()
    front = tables.request_overhead_s + 200 * tables.token_overhead_s
    rho = np.linspace(0.01, 0.99, 9801)
    latency = front + s + rho * s / (2 * (1 - rho))
    assert md1.marks["knee_rps"][0] == pytest.approx(rho[np.argmax(rho / latency)] / s, rel=0.05)
    for share in (0.3, 0.6):
        row = md1.table.iloc[(md1.table["share"] - share).abs().argmin()]
        used = row["load_rps"] * s
        theory = front + s + used * s / (2 * (1 - used))
        assert row["latency.e2e_s.mean"] == pytest.approx(theory, rel=0.02)


def test_two_replicas_saturate_at_twice_the_rate(md1) -> None:
    two = single_slot(3000)
    two["pools"] = [two["pools"][0] | {"replicas": {"initial": 2}}]
    assert saturation_rps(fleet(resolved_with(two))) == pytest.approx(2 / service_s(), rel=0.01)


def test_no_point_beats_its_bound(md1) -> None:
    for table in (md1.table, curve("h100_llama70b", settings=["horizon_s=120"]).table):
        cost = table["cost.usd_per_million_output_tokens"].astype(float)
        least = table["least_usd_per_million_output_tokens"].astype(float)
        assert (least > 0).all()
        assert (cost >= least * (1 - 1e-9)).all()


@pytest.mark.parametrize("name", ["h100_llama70b", "groq_llama70b", "tpu_v5e_llama8b", "inferentia2_llama8b"])
def test_latencies_are_never_below_their_bounds(name: str) -> None:
    """Request by request, as sorted samples: the k-th shortest latency is at least the k-th shortest bound."""
    resolved = resolved_with(name, ["horizon_s=60"])
    limit = bound(resolved, 0, demand(resolved))
    from infersim import simulate

    requests = simulate(resolved).requests.query("status == 'finished'")
    for column, least in (("ttft_s", limit.ttft_s), ("tpot_s", limit.tpot_s), ("e2e_s", limit.e2e_s)):
        measured = np.sort(requests[column].dropna())
        assert (measured >= np.sort(least) * (1 - 1e-9)).all(), column
    busy = simulate(resolved).replicas["busy_s"].sum()
    assert busy >= limit.request_s * len(requests) * (1 - 1e-9)


def test_load_multiplies_every_rate_and_nothing_else() -> None:
    resolved = resolved_with("chat_burst")
    doubled = at_load(resolved, 2.0).scenario.workload
    assert doubled.arrivals.rates_rps == [4, 32]
    assert doubled.arrivals.mean_sojourn_s == resolved.scenario.workload.arrivals.mean_sojourn_s
    assert doubled.input_tokens == resolved.scenario.workload.input_tokens


def test_probes_see_overload() -> None:
    given = fleet(resolved_with(single_slot(500)))
    assert probe(given, 0.8 / service_s()).keeps_up
    assert not probe(given, 1.2 / service_s()).keeps_up


def test_probes_are_not_deceived_by_clients_who_leave() -> None:
    """Those that stay are served in time at any load, so only those that left tell that there were too many."""
    hasty = single_slot(500)
    hasty["workload"] = hasty["workload"] | {"patience": {"ttft_timeout_s": 5 * service_s()}}
    given = fleet(resolved_with(hasty))
    assert probe(given, 0.5 / service_s()).keeps_up
    assert not probe(given, 1.5 / service_s()).keeps_up


def test_several_variants_on_one_plot(tmp_path: Path) -> None:
    vary = {"pools.0.hardware": ["h100-sxm", "l40s"], "pools.0.price": [{"usd_per_chip_hour": 2.0}]}
    found = curve(SMALL, vary=vary, loads_rps=[1, 4])
    assert list(found.table["variant"]) == ["h100-sxm 2.0"] * 2 + ["l40s 2.0"] * 2
    assert found.marks["saturation_rps"][0] > found.marks["saturation_rps"][1]
    assert (found.table["usd_per_hour"].round(6) == 2.0).all()
    first = found.save(tmp_path / "a")
    assert sorted(path.name for path in first.iterdir()) == ["curve.parquet", "curve.png", "marks.csv"]
    again = curve(SMALL, vary=vary, loads_rps=[1, 4], workers=2).save(tmp_path / "b")
    for name in ("curve.parquet", "curve.png", "marks.csv"):
        assert (first / name).read_bytes() == (again / name).read_bytes()


def test_bad_loads_and_variants() -> None:
    with pytest.raises(StudyError, match="all above 0"):
        curve(SMALL, loads_rps=[0.0, 1.0])
    with pytest.raises(StudyError, match="did you mean h100-sxm"):
        curve(SMALL, vary={"pools.0.hardware": ["h100"]})
