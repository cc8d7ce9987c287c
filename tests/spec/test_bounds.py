"""Scenarios that would run without end, and keys that belong together; messages say what would be right."""

import copy

import pytest

from infersim.spec.errors import SpecError
from infersim.spec.load import load_scenario
from infersim.spec.resolve import resolve

PLAIN = {
    "name": "plain",
    "model": "llama-3.1-8b",
    "horizon_s": 10.0,
    "workload": {
        "arrivals": {"process": "poisson", "rate_rps": 4.0},
        "input_tokens": {"distribution": "constant", "value": 40},
        "output_tokens": {"distribution": "constant", "value": 4},
    },
    "pools": [{"name": "a", "hardware": "h100-sxm"}],
}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"horizon_s": 1e300}, "horizon_s.*at most 1"),
        ({"sample_interval_s": 1e-9}, "sample_interval_s.*more than 1,000,000 samples in 10 s; use at least 1e-05"),
        ({"pools": [{"name": "a", "hardware": "h100-sxm", "kv_cache": {"host_gb": 10.0}}]}, "host_gb.*prefix_caching"),
    ],
)
def test_it_is_refused(changes: dict, words: str) -> None:
    data = copy.deepcopy(PLAIN) | changes
    with pytest.raises(SpecError, match=words):
        resolve(load_scenario(data))
