"""The oracle's bound: against every schedule there is, by hand, and below what any run that keeps its limits pays."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from infersim import Result, simulate
from infersim.controlplane.ledger import LEASE
from infersim.cost.price import Tariff
from infersim.cost.series import StepFunction, constant
from infersim.cost.tables import ModelCost
from infersim.dataplane.records import FINISHED, OUTCOME
from infersim.results.record import RunRecord
from infersim.results.regret import fewest_replicas, interval_lengths, regret
from infersim.spec.scenario import Pool, Slo
from infersim.spec.workload import Tenant
from tests.results.run_records import cost_tables, pool_record, rows, scenario, work

CHAT = {
    "name": "regret",
    "model": "llama-3.1-8b",
    "horizon_s": 120,
    "seed": 2,
    "workload": {
        "arrivals": {"process": "poisson", "rate_rps": 4},
        "input_tokens": {"distribution": "constant", "value": 800},
        "output_tokens": {"distribution": "constant", "value": 100},
    },
    "pools": [
        {
            "name": "chat",
            "hardware": "l40s",
            "replicas": {"initial": 1, "min": 0, "max": 4},
            "autoscaler": {"policy": "fixed", "replicas": 2},
        }
    ],
    "slo": {"ttft_p99_s": 2.0, "tpot_p99_s": 0.1},
}


def feasible(replicas: tuple[int, ...], pieces: list[tuple[int, int, float]]) -> bool:
    """Whether work in units of (first interval, last interval, amount) can be done, by its due dates (Jackson's rule)."""
    left = [list(piece) for piece in pieces]
    for interval, count in enumerate(replicas):
        capacity = float(count)
        for piece in sorted((p for p in left if p[0] <= interval and p[2] > 0), key=lambda p: p[1]):
            done = min(capacity, piece[2])
            piece[2] -= done
            capacity -= done
        if any(piece[2] > 1e-9 and piece[1] <= interval for piece in left):
            return False
    return True


@pytest.mark.parametrize("seed", range(20))
def test_no_schedule_buys_fewer(seed: int) -> None:
    """All schedules of up to five replicas in five intervals, tried one after the other."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 5, 6)
    last = np.minimum(first + rng.integers(0, 3, 6), 4)
    amounts = rng.choice([0.25, 0.5, 0.75, 1.0], 6)
    pieces = list(zip(first.tolist(), last.tolist(), amounts.tolist(), strict=True))
    able = [schedule for schedule in itertools.product(range(6), repeat=5) if feasible(schedule, pieces)]
    found = fewest_replicas(first * 10.0, last * 10.0 + 5, amounts * 10, 50.0, 10.0)
    assert found.sum() == min(map(sum, able))
    assert feasible(tuple(int(count) for count in found), pieces)
    assert (np.cumsum(found) <= np.cumsum(able, axis=1)).all(), "nobody has bought fewer by the end of any interval"


def test_by_hand() -> None:
    """Half an interval's work due at once, and as much that can wait for the next interval's three quarters.

    Interval 0: 0.5 is due, one replica, and its other half does what can wait. 1: 0.75 is due: one. 2: nothing. 3: 2.5: three.
    """
    found = fewest_replicas(
        np.array([0.0, 1.0, 11.0, 30.0]), np.array([5.0, 15.0, 19.0, 39.0]), np.array([5.0, 5.0, 7.5, 25.0]), 40.0, 10.0
    )
    assert found.tolist() == [1, 1, 0, 3]


def test_without_limits_all_is_done_at_the_end() -> None:
    found = fewest_replicas(np.array([0.0, 20.0]), np.full(2, np.inf), np.array([3.0, 4.0]), 40.0, 10.0)
    assert found.tolist() == [0, 0, 0, 1]


def test_the_last_interval_ends_with_the_run() -> None:
    """Four of its five seconds are work: so much of a replica, as one of a fleet that is there until the end would give."""
    found = fewest_replicas(np.array([0.0, 31.0]), np.array([5.0, 60.0]), np.array([5.0, 4.0]), 35.0, 10.0)
    assert found.tolist() == [1, 0, 0, 0.8]
    assert interval_lengths(35.0, 10.0).tolist() == [10, 10, 10, 5]


def test_a_run_reports_its_regret() -> None:
    """Two replicas, one found later, over 120 s against the oracle's; the ratio and the differences are of the summary."""
    result = simulate(CHAT)
    oracle, cost, slo = (result.summary[key] for key in ("oracle", "cost", "slo"))
    assert oracle["usd_regret"] == pytest.approx(cost["total_usd"] - oracle["usd"])
    assert oracle["usd_ratio"] == pytest.approx(cost["total_usd"] / oracle["usd"])
    assert oracle["slo_regret"] == pytest.approx(oracle["attainment"] - slo["attainment"])
    assert oracle["attainment"] == 1.0
    price = result.summary["pools"]["chat"]["usd_per_chip_hour"] / 3600
    assert oracle["usd"] == pytest.approx(oracle["replicas_mean"] * result.summary["run"]["end_s"] * price)
    assert oracle["replicas_mean"] <= 1, "one replica serves 4 requests/s of this"


def test_less_work_than_was_done() -> None:
    """The oracle's work is a lower bound of the busy time that it replaces."""
    result = simulate(CHAT)
    run, tables = result.record, result.record.pools[0].tables
    from infersim.cost.least import least_work

    prompt, rest = least_work(tables, run.outcomes["input_tokens"], run.outcomes["output_tokens"])
    assert 0 < (prompt + rest).sum() < run.leases["busy_s"].sum()


def test_limits_that_nobody_can_keep() -> None:
    """A prompt takes longer than that on an idle replica: the oracle misses all of them too."""
    slo = {"ttft_p99_s": 0.001, "tpot_p99_s": 0.1}
    oracle = simulate(CHAT | {"slo": slo}).summary["oracle"]
    assert oracle["attainment"] == 0
    assert oracle["slo_regret"] == 0


def test_without_an_slo_the_bill_alone_is_compared() -> None:
    oracle = simulate(CHAT | {"slo": {}}).summary["oracle"]
    assert math.isnan(oracle["attainment"])
    assert math.isnan(oracle["slo_regret"])
    assert oracle["usd_regret"] > 0


def by_hand(entries: list[dict], pools: list, asked: list[Pool], end_s: float = 60.0, **changes: object) -> RunRecord:
    """A run of these requests on pools whose first replica is there all the time."""
    made = scenario(["p"], Slo(ttft_p99_s=1.0, tpot_p99_s=0.1)).model_copy(update={"pools": asked} | changes)
    leases = [{"replica": k, "pool": k, "closed_s": end_s, "draining_s": math.nan} for k in range(len(pools))]
    given = {"replica": 0, "status": FINISHED}
    outcomes = rows(OUTCOME, [given | {"id": k} | entry for k, entry in enumerate(entries)])
    return RunRecord(made, pools, outcomes, rows(LEASE, leases), np.zeros(0), [], end_s, [])


def asked(name: str, **changes: object) -> Pool:
    return Pool(name=name, hardware="imaginary", **changes)


FAST = {"linear": work(11, memory_s=0.001), "sequences": work(5), "request_overhead_s": 0.0}
"""A step of up to ten tokens and four sequences takes a millisecond."""


def test_prompts_and_answers_of_pools_of_roles() -> None:
    """By hand: a step is 1 ms for up to 10 tokens (so a prompt token 0.1 ms at least) and up to 4 who decode.

    200 requests at 1 s with 1,000 prompt tokens: 20 s of prompts, due at 2 s: two prefill replicas in the first interval.
    Their 100 further tokens are 0.25 ms each: 5 s of decoding, due at 12 s: one decode replica. At 31 s one more, of 2,500
    prompt tokens (0.25 s) and 1,000 further tokens, due at 132 s, which is beyond the end: it is done in the last interval.
    """
    pools = [pool_record("p", tables=cost_tables(**FAST)), pool_record("d", tables=cost_tables(**FAST))]
    link = {"gb_s": 50, "latency_ms": 0}
    spec = [asked("p", role="prefill", kv_transfer=link), asked("d", role="decode")]
    entries = [{"arrival_s": 1.0, "input_tokens": 1000, "output_tokens": 101, "pool": 1}] * 200
    entries.append({"arrival_s": 31.0, "input_tokens": 2500, "output_tokens": 1001, "pool": 1})
    found = regret(by_hand(entries, pools, spec), 1.0)
    assert found is not None
    assert found["usd"] == pytest.approx((3 + 1 + 1) * 15 * 0.001)
    assert found["work_usd"] == pytest.approx((20.25 + 5.25) * 0.001)
    assert found["replicas_peak"] == 3
    assert found["replicas_mean"] == pytest.approx(5 / 4)
    assert found["usd_regret"] == pytest.approx(2 * 60 * 0.001 - found["usd"])


def test_several_prefill_pools_are_the_best_of_them() -> None:
    """One is twice as fast and three times as dear: its speed and the other's price count, and one replica is enough."""
    quick, slow = cost_tables(**FAST), cost_tables(**FAST | {"linear": work(11, memory_s=0.002)})
    pools = [
        pool_record("quick", tables=quick, usd_per_chip_hour=5.4),
        pool_record("slow", tables=slow),
        pool_record("d", tables=quick),
    ]
    link = {"gb_s": 50, "latency_ms": 0}
    spec = [asked("quick", role="prefill", kv_transfer=link), asked("slow", role="prefill", kv_transfer=link)]
    entries = [{"arrival_s": 1.0, "input_tokens": 1000, "output_tokens": 2, "pool": 2}] * 100
    found = regret(by_hand(entries, pools, [*spec, asked("d", role="decode")]), 1.0)
    assert found is not None
    assert found["usd"] == pytest.approx((1 + 1) * 15 * 0.001)
    assert found["work_usd"] == pytest.approx((10.0 + 100 * 0.00025) * 0.001)


def test_each_request_is_work_of_its_own_model() -> None:
    """100 prompts of 1,000 tokens for a model of 0.1 ms a token, and as many for one of 0.2 ms: 30 s, two replicas."""
    quick, slow = cost_tables(**FAST), cost_tables(**FAST | {"linear": work(11, memory_s=0.002)})
    both = replace(quick, models=(ModelCost(0, "a", quick, 1.0), ModelCost(1, "b", slow, 1.0)))
    changes = {"classes": [Tenant(name="x", share=0.5, model="a"), Tenant(name="y", share=0.5, model="b")]}
    workload = scenario(["m"]).workload.model_copy(update=changes)
    entries = [{"arrival_s": 1.0, "input_tokens": 1000, "output_tokens": 1, "tenant": k % 2} for k in range(200)]
    given = {"model": "a", "workload": workload}
    found = regret(by_hand(entries, [pool_record("m", tables=both)], [asked("m", models=["a", "b"])], **given), 1.0)
    assert found is not None
    assert found["work_usd"] == pytest.approx(30 * 0.001)
    assert found["usd"] == pytest.approx(2 * 15 * 0.001)


def test_prices_that_change_and_several_sources() -> None:
    """Work of one replica in each of the intervals 0, 2 and 3 at prices of 2, 1, 4 and 1 (a source) and 3 (another): 2 + 1 + 1."""
    series = StepFunction(np.array([0.0, 15.0, 30.0, 45.0]), np.array([3.6, 1.8, 7.2, 1.8]))
    tariffs = (Tariff("spot", "x", series, ""), Tariff("on_demand", "x", constant(5.4), ""))
    pool = pool_record("p", tables=cost_tables(**FAST), purchases=tariffs)
    entries = [
        {"arrival_s": s, "input_tokens": 1000, "output_tokens": 1} for s in (1.0, 31.0, 46.0) for _ in range(100)
    ]
    found = regret(by_hand(entries, [pool], [asked("p")]), 1.0)
    assert found is not None
    assert found["usd"] == pytest.approx((2 + 1 + 1) * 15 * 0.001)
    assert found["work_usd"] == pytest.approx(30 * 0.001)


def test_samples_of_rows_say_that_they_estimate() -> None:
    entries = [{"arrival_s": 1.0, "input_tokens": 1000, "output_tokens": 1}] * 100
    run = by_hand(entries, [pool_record("p", tables=cost_tables(**FAST))], [asked("p")])
    whole, sample = regret(run, 1.0), regret(replace(run, halvings=2), 1.0)
    assert whole is not None
    assert sample is not None
    assert "rows_share" not in whole
    assert sample["rows_share"] == 0.25
    assert sample["work_usd"] == pytest.approx(4 * whole["work_usd"])


PAIR = [
    {"name": "p", "hardware": "l40s", "role": "prefill", "kv_transfer": {"gb_s": 25}},
    {"name": "d", "hardware": "l40s", "role": "decode"},
]
ZOO = {"name": "m", "hardware": "h100-sxm", "models": ["llama-3.1-8b", "qwen3-8b"]}
BOTH = [{"name": "a", "share": 0.7}, {"name": "b", "share": 0.3, "model": "qwen3-8b"}]
ANY = {"name": "any", "hardware": "l40s"}
SCALED = {"replicas": {"initial": 0, "min": 0, "max": 3}, "autoscaler": {"policy": "knative_kpa", "target": 4}}
LAWFUL = {
    "one replica": {"pools": [ANY]},
    "too many": {"pools": [ANY | {"replicas": {"initial": 4}}]},
    "two pools": {"pools": [ANY, ANY | {"name": "other", "hardware": "h100-sxm"}]},
    "static": {"pools": [ANY | {"batching": {"policy": "static", "max_num_seqs": 64}}]},
    "roles": {"pools": PAIR},
    "two of each role": {"pools": [*PAIR, PAIR[0] | {"name": "q", "hardware": "h100-sxm"}, PAIR[1] | {"name": "e"}]},
    "several models": {"pools": [ZOO], "classes": BOTH},
    "samples": {"pools": [ANY], "samples": 4},
    "drafts": {"pools": [ANY | {"speculative": {"method": "ngram", "tokens": 3, "acceptance": 0.6}}]},
    "scaled from zero": {"pools": [ANY | SCALED]},
    "roles that scale": {"pools": [PAIR[0], PAIR[1] | SCALED]},
}


@pytest.fixture(scope="module", params=LAWFUL)
def lawful(request: pytest.FixtureRequest) -> Result:
    """A short run of bursts and lulls, and no limits."""
    changes = dict(LAWFUL[request.param])
    workload = CHAT["workload"] | {"arrivals": {"process": "mmpp", "rates_rps": [0.2, 8], "mean_sojourn_s": [30, 30]}}
    workload |= {key: changes.pop(key) for key in ("classes", "samples") if key in changes}
    return simulate(CHAT | {"workload": workload, "slo": {}, "horizon_s": 200} | changes)


def kept(result: Result) -> RunRecord:
    """The run with the tightest limits that it keeps, which are its own worst latencies."""
    worst = {name: float(result.requests[f"{name}_s"].max()) for name in ("ttft", "tpot", "e2e")}
    slo = Slo(**{f"{name}_p99_s": limit * (1 + 1e-9) for name, limit in worst.items()})
    return replace(result.record, scenario=result.record.scenario.model_copy(update={"slo": slo}))


def test_no_run_that_keeps_its_limits_pays_less(lawful: Result) -> None:
    """Of fleets that are there all the time the bill is no less than the bound; of others, the bill with leases rounded outwards."""
    assert lawful.summary["requests"]["finished"] == lawful.summary["requests"]["arrived"] > 300
    record, oracle = lawful.record, regret(kept(lawful), 1.0)
    assert oracle is not None
    assert oracle["attainment"] == 1.0
    assert oracle["slo_regret"] == 0.0
    edges = 15.0 * np.array([np.floor(record.leases["billed_from_s"] / 15), np.ceil(record.leases["closed_s"] / 15)])
    price = np.array([pool.chips * pool.usd_per_chip_hour / 3600 for pool in record.pools])[record.leases["pool"]]
    rounded = ((np.minimum(edges[1], record.end_s) - edges[0]) * price).sum()
    paid = lawful.summary["cost"]["total_usd"]
    fixed = all(pool.autoscaler is None for pool in record.scenario.pools)
    assert 0 < oracle["usd"] <= (paid if fixed else rounded) * (1 + 1e-9)
    assert 0 < oracle["work_usd"] <= min(oracle["usd"], lawful.summary["cost"]["busy_usd"]) * (1 + 1e-9)
    assert oracle["replicas_mean"] >= 0


def test_the_simulated_oracle_pays_more() -> None:
    """It has perfect foresight of arrivals, a little head room, and real batches."""
    pool = CHAT["pools"][0] | {"autoscaler": {"policy": "oracle", "headroom": 1.5}}
    found = simulate(CHAT | {"pools": [pool], "slo": {}, "horizon_s": 300})
    oracle = regret(kept(found), 1.0)
    assert oracle is not None
    assert found.summary["cost"]["total_usd"] >= oracle["usd"]
