"""`--set key=value`."""

from collections.abc import Callable
from pathlib import Path

import pytest

from infersim.spec.arrivals import Poisson
from infersim.spec.errors import SpecError
from infersim.spec.load import load_scenario
from tests.spec.conftest import SCENARIO

Write = Callable[[str], Path]


@pytest.mark.parametrize("key", ["pools.0.replicas.max", "pools[0].replicas.max", "pools.h100.replicas.max"])
def test_entries_of_lists_go_by_index_or_name(key: str, write: Write) -> None:
    assert load_scenario(write(SCENARIO), [f"{key}=4"]).pools[0].replicas.max == 4


def test_values_are_yaml_and_apply_in_order(write: Write) -> None:
    settings = ["seed=2", "workload.arrivals={process: poisson, rate_rps: 3.5e0}", "seed=3", "name='12'"]
    scenario = load_scenario(write(SCENARIO), settings)
    assert (scenario.seed, scenario.name) == (3, "12")
    assert scenario.workload.arrivals == Poisson(process="poisson", rate_rps=3.5)


def test_missing_blocks_are_made_and_optional_ones_taken_away(write: Write) -> None:
    scenario = load_scenario(write(SCENARIO), ["facility.pue=1.5", "pools.h100.autoscaler=", "slo.e2e_p99_s=10"])
    assert scenario.facility.pue == 1.5
    assert scenario.pools[0].autoscaler is None
    assert (scenario.slo.e2e_p99_s, scenario.slo.ttft_p99_s) == (10, 0.5)


def test_the_file_is_checked_only_after_them(write: Write) -> None:
    assert load_scenario(write(SCENARIO.replace("seed: 1", "seed: one")), ["seed=5"]).seed == 5


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("seed", "--set seed: is not key=value"),
        ("=4", "--set =4: is not key=value"),
        ("pools..max=4", "--set pools..max=4: pools..max is no path of keys"),
        ("pools.0.replicas.max=many", "--set pools.0.replicas.max=many: pools[0].replicas.max: found the text many; write a whole number"),
        ("pools.h100.replicas.maxx=4", "--set pools.h100.replicas.maxx=4: pools[0].replicas.maxx: unknown key; did you mean max"),
        ("pools.h10.replicas.max=4", "--set pools.h10.replicas.max=4: pools has no entry called h10; did you mean h100?"),
        ("pools.7.name=a", "--set pools.7.name=a: pools has 1 entries, counted from 0"),
        ("seed.x=1", "--set seed.x=1: seed is 1, which has no key x"),
        ("seed=[1", "--set seed=[1: is not YAML"),
        ("pools.0.hardware=h100", "--set pools.0.hardware=h100: pools[0].hardware: unknown hardware h100; did you mean h100-sxm"),
        ("pools.0.parallelism.tensor=3", "--set pools.0.parallelism.tensor=3: pools[0].parallelism.tensor: 3 chips cannot share"),
        ("router={policy: bets}", "--set router={policy: bets}: router.policy: unknown policy bets"),
        ("wrokload.arrivals.rate_rps=1", "--set wrokload.arrivals.rate_rps=1: wrokload: unknown key; did you mean workload?"),
    ],
)  # fmt: skip
def test_errors_name_the_setting(setting: str, says: str, write: Write) -> None:
    with pytest.raises(SpecError) as caught:
        load_scenario(write(SCENARIO), [setting])
    assert str(caught.value).startswith(says)


def test_lines_after_a_setting_still_count_in_the_file(write: Write) -> None:
    path = write(SCENARIO.replace("max: 12", "max: -1"))
    with pytest.raises(SpecError) as caught:
        load_scenario(path, ["pools.0.replicas.min=0"])
    assert str(caught.value).startswith(f"{path}:{SCENARIO[: SCENARIO.index('max: 12')].count(chr(10)) + 1}: ")
