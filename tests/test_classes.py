"""Classes of requests in a whole run: each is judged by its own SLO, and its TTFT limit is its deadline."""

import numpy as np
import pytest

import infersim

CLASSES = """
name: two-classes
model: llama-3.1-8b
horizon_s: 120
seed: 3
workload:
  arrivals: {process: poisson, rate_rps: 14}
  input_tokens: {distribution: constant, value: 2000}
  output_tokens: {distribution: constant, value: 20}
  classes:
    - {name: patient, share: 0.5, slo: {ttft_p99_s: 30}}
    - {name: hurried, share: 0.5, slo: {ttft_p99_s: 0.2}}
pools:
  - {name: l40s, hardware: l40s, precision: {weights: fp8}, queue: fcfs}
slo: {tpot_p99_s: 1.0}
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, infersim.Result]:
    path = tmp_path_factory.mktemp("classes") / "two.yaml"
    path.write_text(CLASSES)
    orders = ("fcfs", "earliest_deadline")
    return {order: infersim.simulate(infersim.load_scenario(path, [f"pools.0.queue={order}"])) for order in orders}


def test_each_class_is_judged_by_its_own_limits(runs: dict[str, infersim.Result]) -> None:
    requests = runs["fcfs"].requests
    limit = np.where(requests["tenant"] == "hurried", 0.2, 30.0)
    assert (requests["slo_met"] == (requests["ttft_s"] <= limit)).all()
    classes = runs["fcfs"].summary["slo"]["classes"]
    for name in ("patient", "hurried"):
        own = requests[requests["tenant"] == name]
        assert classes[name]["requests"] == len(own)
        assert classes[name]["attainment"] == pytest.approx(
            (own["ttft_s"] <= (0.2 if name == "hurried" else 30)).mean()
        )


def test_a_class_with_a_shorter_limit_goes_first_by_deadline(runs: dict[str, infersim.Result]) -> None:
    # Overloaded, so that there is a queue: by deadline the hurried pass the patient, who have 29.8 s more.
    wait = {order: runs[order].requests.groupby("tenant", observed=True)["queued_s"].mean() for order in runs}
    assert wait["fcfs"]["hurried"] == pytest.approx(wait["fcfs"]["patient"], rel=0.1)
    assert wait["earliest_deadline"]["hurried"] < 0.5 * wait["earliest_deadline"]["patient"]
