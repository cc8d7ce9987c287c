"""Autoscalers that cannot do what they are asked: every message says where, what was found, and what would be right."""

import pytest

from infersim.spec.errors import SpecError
from infersim.spec.load import load_scenario
from infersim.spec.resolve import resolve

POOL = {"name": "chat", "hardware": "l40s", "replicas": {"initial": 1, "min": 1, "max": 4}}
SCENARIO = {
    "name": "bad", "model": "llama-3.1-8b", "horizon_s": 10,
    "workload": {
        "arrivals": {"process": "constant", "rate_rps": 1},
        "input_tokens": {"distribution": "constant", "value": 8},
        "output_tokens": {"distribution": "constant", "value": 8},
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("autoscaler", "expected"),
    [
        ({"policy": "fixed", "replicas": 9}, "replicas.*found 9, which replicas.min 1 and replicas.max 4 never allow"),
        ({"policy": "schedule", "rules": [{"at_s": 5, "replicas": 0}]}, r"rules\[0\].*found 0, which replicas.min 1"),
        ({"policy": "schedule", "rules": [{"replicas": 2}]}, "give either at_s, a second of the run, or cron"),
        ({"policy": "schedule", "rules": [{"cron": "8 o'clock", "replicas": 2}]}, "write minute hour day-of-month"),
        ({"policy": "kubernetes_hpa", "metric": "utilisation", "target": 80}, "never exceeds 1: write 0.8 for 80 %"),
        ({"policy": "kubernetes_hpa", "metric": "load", "target": 8}, "metric"),
        ({"policy": "knative_kpa", "target": 8, "stable_window": 60}, "unknown key; did you mean stable_window_s"),
        ({"policy": "slo_feedback"}, "goes by the SLO, which has neither ttft_p99_s nor tpot_p99_s"),
        ({"policy": "queueing"}, "goes by the SLO"),
        (
            {"policy": "target_concurency", "target": 8},
            "unknown policy target_concurency; did you mean target_concurrency",
        ),
        ({"policy": "target_concurrency"}, "target: is missing"),
        ({"policy": []}, r"pools\[0\].autoscaler.policy: found a list of 0; write text"),
    ],
)
def test_told_where_and_what(autoscaler: dict, expected: str) -> None:
    with pytest.raises(SpecError, match=expected):
        resolve(load_scenario(SCENARIO | {"pools": [POOL | {"autoscaler": autoscaler}]}))


def test_an_oracle_of_one_pool_in_two() -> None:
    pools = [POOL | {"autoscaler": {"policy": "oracle"}}, POOL | {"name": "other"}]
    with pytest.raises(SpecError, match="use it with a single pool"):
        resolve(load_scenario(SCENARIO | {"pools": pools}))
