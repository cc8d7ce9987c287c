"""Every autoscaler on the same traffic: who takes part, what a schedule in hindsight is, and the arithmetic of regret."""

from pathlib import Path

import pandas as pd
import pytest

from infersim import shootout, simulate
from infersim.policies.autoscaling import AUTOSCALERS
from infersim.spec.load import load_scenario
from infersim.spec.pool import Replicas
from infersim.studies.contestants import fixed_sizes, in_hindsight
from infersim.studies.errors import StudyError
from infersim.studies.shootout import Shootout

SMALL = {
    "name": "crowd",
    "model": "llama-3.1-8b",
    "horizon_s": 200,
    "seed": 2,
    "workload": {
        "arrivals": {
            "process": "flash_crowd",
            "base_rps": 1,
            "peak_rps": 8,
            "start_s": 100,
            "rise_s": 10,
            "hold_s": 100,
            "decay_s": 10,
        },
        "input_tokens": {"distribution": "constant", "value": 800},
        "output_tokens": {"distribution": "constant", "value": 100},
    },
    "pools": [
        {
            "name": "chat",
            "hardware": "l40s",
            "replicas": {"initial": 1, "min": 1, "max": 3},
            "autoscaler": {"policy": "kubernetes_hpa", "target": 8, "tolerance": 0.3},
        }
    ],
    "slo": {"ttft_p99_s": 1.0, "tpot_p99_s": 0.05},
}


@pytest.fixture(scope="module")
def kept_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shootout")


@pytest.fixture(scope="module")
def found(kept_in: Path) -> Shootout:
    return shootout([SMALL], out=kept_in)


def test_everybody_takes_part(found: Shootout) -> None:
    """All that are shipped, fixed fleets of 1, 2 and 3, and the scenario's own, which differs by its tolerance."""
    names = set(found.table["contestant"])
    assert AUTOSCALERS.keys() - {"fixed"} <= names
    assert {"fixed 1", "fixed 2", "fixed 3", "kubernetes_hpa (own)", "oracle x 1.5"} <= names
    assert (found.table["status"] == "done").all(), found.failed[["contestant", "why"]]


def test_all_see_the_same_requests_and_the_same_bound(found: Shootout) -> None:
    assert found.table["requests.arrived"].nunique() == 1
    assert found.table["requests.finished"].nunique() == 1
    bound = found.table["oracle.usd"]
    assert bound.max() <= bound.min() * 1.1, "but for how long the last requests took"


def test_regret_is_the_difference_from_the_bound(found: Shootout) -> None:
    rows = found.table
    assert (rows["cost.total_usd"] - rows["oracle.usd"]).tolist() == pytest.approx(rows["oracle.usd_regret"].tolist())
    assert (rows["oracle.attainment"] - rows["slo.attainment"]).tolist() == pytest.approx(
        rows["oracle.slo_regret"].tolist()
    )
    kept = rows[rows["slo.attainment"] == 1.0]
    assert len(kept) > 0
    assert (kept["oracle.usd_regret"] >= 0).all(), "nobody keeps the SLO for less than the bound"


def test_fixed_fleets_cost_what_they_are(found: Shootout) -> None:
    """Ready from the start, billed to the end: replicas x price x time."""
    rows = found.table.set_index("contestant")
    for size in (1, 2, 3):
        row = rows.loc[f"fixed {size}"]
        price = row["pools.chat.usd_per_chip_hour"] / 3600
        assert row["cost.total_usd"] == pytest.approx(size * price * row["run.end_s"])


def test_a_run_is_that_of_simulate(found: Shootout) -> None:
    own = found.table.set_index("contestant").loc["kubernetes_hpa (own)"]
    summary = simulate(SMALL).summary
    assert own["cost.total_usd"] == summary["cost"]["total_usd"]
    assert own["slo.attainment"] == summary["slo"]["attainment"]


def test_finished_runs_are_kept(found: Shootout, kept_in: Path) -> None:
    again = shootout([SMALL], out=kept_in)
    assert (found.reused, again.reused) == (0, len(found.table))
    pd.testing.assert_frame_equal(found.table, again.table)
    pictures = []
    for one in (found, again):
        one.save(kept_in)
        pictures.append((kept_in / "shootout.png").read_bytes())
    assert pictures[0].startswith(b"\x89PNG")
    assert pictures[0] == pictures[1]


def test_a_schedule_in_hindsight() -> None:
    """Target 10, cold start 100 s. In flight 5, then 35, 35, and 12: 1, 4, 4, 2 replicas.

    The four of the second quarter (from 900 s) are ordered at 800, the two of the fourth (from 2700 s) with its beginning.
    """
    times = [450.0 * step for step in range(8)]
    timeline = pd.DataFrame(
        {"time_s": times, "held": 0, "waiting": [1, 1, 5, 5, 5, 5, 2, 2], "running": [4, 4, 30, 30, 30, 30, 10, 10]}
    )
    assert in_hindsight(timeline, 10, 100, Replicas(max=8)) == [
        {"at_s": 0.0, "replicas": 1},
        {"at_s": 800.0, "replicas": 4},
        {"at_s": 2700.0, "replicas": 2},
    ]
    assert [rule["replicas"] for rule in in_hindsight(timeline, 10, 100, Replicas(initial=2, min=2, max=3))] == [
        2,
        3,
        2,
    ]


@pytest.mark.parametrize(("limits", "sizes"), [((0, 8), [1, 2, 4, 8]), ((2, 6), [2, 4, 6]), ((3, 3), [3])])
def test_sizes_of_fixed_fleets(limits: tuple[int, int], sizes: list[int]) -> None:
    least, most = limits
    pool = SMALL["pools"][0] | {"replicas": {"initial": most, "min": least, "max": most}}
    assert fixed_sizes(load_scenario(SMALL | {"pools": [pool]}).pools[0]) == sizes


def test_an_autoscaler_of_the_users(tmp_path: Path) -> None:
    """The class of a plugin takes part under its name; a plugin's path is relative to the scenario."""
    import yaml

    (tmp_path / "mine.py").write_text(
        "from infersim import autoscaling\n\n@autoscaling\nclass AlwaysTwo:\n    def desired(self, view):\n        return 2\n"
    )
    pool = SMALL["pools"][0] | {"autoscaler": {"policy": "always_two"}}
    own = SMALL | {"pools": [pool], "plugins": ["mine.py"], "horizon_s": 60}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    found = shootout([tmp_path / "own.yaml"], target=8)
    assert found.table["contestant"].iloc[-1] == "always_two (own)"
    assert (found.table["status"] == "done").all()


@pytest.mark.parametrize(
    ("change", "target", "message"),
    [
        ({"autoscaler": None}, None, "no pool has an autoscaler"),
        ({"autoscaler": {"policy": "slo_feedback"}}, None, "--target: crowd: its autoscaler has no target"),
        ({}, 0.0, "found 0 requests in flight for each replica; give a number above 0"),
    ],
)
def test_refusals(change: dict, target: float | None, message: str) -> None:
    pools = [SMALL["pools"][0] | change]
    with pytest.raises(StudyError, match=message):
        shootout([SMALL | {"pools": pools}], target=target)


def test_two_scaled_pools_are_refused() -> None:
    pools = [SMALL["pools"][0], SMALL["pools"][0] | {"name": "other"}]
    with pytest.raises(StudyError, match="2 pools have an autoscaler"):
        shootout([SMALL | {"pools": pools}])
    with pytest.raises(StudyError, match="no scenario is given"):
        shootout([])
