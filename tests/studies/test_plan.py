"""Plans: equal to brute force on small spaces, the same for any number of workers, pruned, and told why."""

import math
from pathlib import Path

import pytest
import yaml

from infersim import load_scenario, plan, simulate
from infersim.studies.demand import demand
from infersim.studies.errors import StudyError
from infersim.studies.plan_search import prospect_of
from infersim.studies.plan_space import candidates
from infersim.studies.plan_trial import Run, Verdict, try_fleet
from infersim.studies.variants import resolved_with
from tests.studies.scenarios import FULL

BUSY = FULL | {"workload": FULL["workload"] | {"arrivals": {"process": "poisson", "rate_rps": 30}}}
SPACE = {"hardware": ["l40s", "h100-sxm", "mi300x"], "tensor": [1, 2], "weights": ["bf16"]}


def cheapest_by_brute_force(scenario: dict, space: dict, seeds: tuple[int, ...], most: int) -> tuple[float, str, int]:
    """Every candidate with every number of replicas."""
    resolved = resolved_with(scenario)
    asked, found = demand(resolved), []
    for candidate in candidates(resolved.scenario, space):
        prospect = prospect_of(candidate, asked)
        if prospect.candidate.resolved is None:
            continue
        busy = prospect.busy
        for replicas in range(1, most + 1):
            if try_fleet(candidate, replicas, seeds, busy).holds:
                found.append((replicas * candidate.usd_per_hour, candidate.label(), replicas))
    return min(found)


@pytest.mark.parametrize("slo", [{"ttft_p99_s": 0.5, "tpot_p99_s": 0.05}, {"ttft_p99_s": 0.25, "tpot_p99_s": 0.03}])
def test_the_plan_is_what_brute_force_finds(slo: dict[str, float]) -> None:
    scenario = BUSY | {"slo": slo}
    usd, _, replicas = cheapest_by_brute_force(scenario, SPACE, (1, 2), most=9)
    best = plan(scenario, SPACE, keep=1, replications=2).ranking.iloc[0]
    assert best["usd_per_hour"] == pytest.approx(usd)
    assert best["replicas"] == replicas
    assert best["margin"] > best["margin_confidence"] > 0


def test_the_same_plan_for_any_number_of_workers(tmp_path: Path) -> None:
    for workers in (1, 2):
        plan(BUSY, SPACE | {"tensor": [1]}, workers=workers).save(tmp_path / str(workers))
    for name in ("winner.yaml", "ranking.csv", "losers.csv", "fleets.csv", "pareto.png"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes(), name


def test_the_winner_runs_and_meets_the_slo(tmp_path: Path) -> None:
    found = plan(BUSY, SPACE, keep=2)
    winner = load_scenario(found.save(tmp_path) / "winner.yaml")
    assert winner.pools[0].replicas.initial == found.ranking["replicas"][0]
    targets = simulate(winner).summary["slo"]["targets"].values()
    assert all(target["holds"] for target in targets)
    assert found.ranking["usd_per_hour"].is_monotonic_increasing
    assert found.perfect["usd_per_hour"] <= found.ranking["usd_per_hour"][0]
    assert found.ranking["growth"][0] >= 1


def test_why_the_losers_lost() -> None:
    space = {"hardware": ["l40s", "h100-sxm", "groq-lpu"], "tensor": [1, 3, 16], "weights": ["bf16", "fp32"]}
    losers = plan(BUSY, space, keep=1).losers
    reasons = "\n".join(losers["why"])
    for words in ("cannot share 32 heads", "cannot use fp32", "to carry the load"):
        assert words in reasons
    dear = losers[losers["candidate"].str.startswith("groq") & losers["why"].str.contains("to carry the load")]
    assert len(dear) == 1
    assert not dear["simulated"].any()


def test_an_slo_that_nothing_can_meet() -> None:
    with pytest.raises(StudyError, match=r"none of the 1 candidates can meet the SLO: ttft_p99_s is at least 0.\d+ s"):
        plan(BUSY | {"slo": {"ttft_p99_s": 0.002}}, {"hardware": ["l40s"], "tensor": [1], "weights": ["bf16"]})
    with pytest.raises(StudyError, match=r"closest is l40s x1 bf16 with \d+ replicas(?s:.)*What would help"):
        plan(
            BUSY | {"slo": {"tpot_p99_s": 0.0245}, "horizon_s": 5},
            {"hardware": ["l40s"], "tensor": [1], "weights": ["bf16"]},
        )
    with pytest.raises(StudyError, match="has no SLO"):
        plan(BUSY | {"slo": {}}, SPACE)


def test_bad_spaces() -> None:
    for space, words in (
        ({"hardwear": ["l40s"]}, "did you mean hardware"),
        ({"tensor": []}, "has no values"),
        (["tensor=1..8"], "list its values"),
    ):
        with pytest.raises(StudyError, match=words):
            plan(BUSY, space)
    with pytest.raises(ValueError, match="unknown hardware"):
        plan(BUSY, {"hardware": ["l40"]})


def test_noise_near_the_edge_needs_confidence() -> None:
    """Two runs around the limit hold on average, and not with confidence; close together they do."""
    runs = [Run(strain, "ttft_p99_s", 0.1, 0.01, 500.0, 1.0, 1.0) for strain in (0.90, 1.05, 0.96, 0.98)]
    assert Verdict(tuple(runs[:2])).strain < 1
    assert not Verdict(tuple(runs[:2])).holds
    assert Verdict(tuple(runs[2:])).spread == pytest.approx(6.3138 * 0.02 / math.sqrt(2) / math.sqrt(2), rel=1e-3)
    assert not Verdict(tuple(runs[2:])).holds
    assert Verdict((runs[0],)).holds


SCALED = BUSY | {
    "pools": [
        {
            "name": "chat",
            "hardware": "l40s",
            "replicas": {"max": 10},
            "autoscaler": {"policy": "target_concurrency", "target": 20, "interval_s": 1},
        }
    ]
}


def test_the_fewest_replicas_of_an_autoscaler_are_what_brute_force_finds() -> None:
    """Its price is what was billed by the hour of traffic, so it is not proportional to the number that is looked for."""
    space = {"hardware": ["l40s"], "tensor": [1], "weights": ["bf16"], "autoscaler": ["scenario"]}
    asked = demand(resolved_with(SCALED))
    (candidate,) = candidates(resolved_with(SCALED).scenario, space)
    least = next(count for count in range(1, 11) if try_fleet(candidate, count, (1, 2), 0.0).holds)
    found = plan(SCALED, space, keep=1, replications=2)
    best = found.ranking.iloc[0]
    assert best["scaled"]
    assert best["replicas"] == least
    runs = [simulate(candidate.with_replicas(least), seed=seed).summary["cost"]["total_usd"] for seed in (1, 2)]
    assert best["usd_per_hour"] == pytest.approx(sum(runs) / 2 / asked.span_s * 3600)
    winner = yaml.safe_load(found.scenario_yaml)["pools"][0]
    assert (winner["replicas"]["min"], winner["autoscaler"]["policy"]) == (least, "target_concurrency")
    with pytest.raises(StudyError, match="pool chat has no autoscaler"):
        plan(BUSY, space)


def test_optuna_finds_the_best_of_a_small_space_and_the_same_for_any_number_of_workers() -> None:
    usd, _, replicas = cheapest_by_brute_force(BUSY, SPACE, (1, 2), most=9)
    found = [plan(BUSY, SPACE, keep=1, replications=2, trials=40, workers=workers) for workers in (1, 2)]
    assert found[0].ranking.iloc[0]["usd_per_hour"] == pytest.approx(usd)
    assert found[0].ranking.iloc[0]["replicas"] == replicas
    assert found[0].losers.equals(found[1].losers)


def test_optuna_looks_at_no_more_than_it_is_told_to() -> None:
    space = {"tensor": [1, 2, 4], "weights": ["bf16", "fp8"], "max_num_seqs": [32, 64, 128, 256], "engine": ["vllm"]}
    assert len(candidates(resolved_with(BUSY).scenario, space)) > 300
    found = plan(BUSY, space, keep=2, replications=1, trials=24)
    assert len(found.ranking) + len(found.losers) <= 24


def test_the_best_of_each_chip_are_those_of_a_plan_for_that_chip_alone() -> None:
    found = plan(BUSY, SPACE, keep=1, each_chip=True, replications=1).ranking
    assert sorted(found["hardware"]) == sorted(SPACE["hardware"])
    assert found["usd_per_hour"].is_monotonic_increasing
    for row in found.itertuples():
        alone = plan(BUSY, SPACE | {"hardware": [row.hardware]}, keep=1, replications=1).ranking.iloc[0]
        assert (alone["candidate"], alone["replicas"]) == (row.candidate, row.replicas)
