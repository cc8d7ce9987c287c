"""The compiled loop alone: requests a second on four replicas of Llama 3.1 70B on H100 under chat traffic.

Lengths are about those of the Azure 2023 conversations, four requests a second for each replica.
"""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from infersim.cost.build import build_tables
from infersim.dataplane.fleet import Chunk, Fleet, Why
from infersim.policies.routing import ROUTERS
from infersim.simulate import pool_cost
from infersim.spec import catalogue
from infersim.spec.load import load_scenario
from infersim.spec.pool import Parallelism
from infersim.workload.generate import request_chunks

REPLICAS = 4
RPS = 16.0


@cache
def chunks(requests: int) -> list[Chunk]:
    """At least this many requests, as the shipped scenario sends them."""
    settings = [f"workload.arrivals.rate_rps={RPS}", f"horizon_s={1.05 * requests / RPS + 10}"]
    scenario = load_scenario("h100_llama70b", settings)
    return list(request_chunks(scenario.workload, scenario.horizon_s, scenario.seed))


@pytest.mark.parametrize(
    ("engine", "router"), [("plain", "least_outstanding"), ("plain", "round_robin"), ("async", "least_outstanding")]
)
def test_continuous_batching(benchmark: BenchmarkFixture, requests_to_serve: int, engine: str, router: str) -> None:
    """plain: a synchronous engine without a front end; async: vLLM as it is, an API server in front."""
    tables = build_tables(
        catalogue.model("llama-3.1-70b"), catalogue.hardware("h100-sxm"), catalogue.engine("vllm"),
        Parallelism(tensor=4), "fp8", "fp8", 256, 8192, 16, None,
    )  # fmt: skip
    cost = pool_cost(tables)
    if engine == "plain":
        cost = replace(cost, request_overhead_s=0.0, token_overhead_s=0.0, async_scheduling=False)
    sent = chunks(requests_to_serve)
    count = sum(len(chunk[0]) for chunk in sent)

    def fleet() -> tuple[tuple[Fleet], dict[str, object]]:
        made = Fleet([cost], sent, ROUTERS[router].compiled)
        for _ in range(REPLICAS):
            made.open(0)
        made.advance(0.0)  # loads the compiled loop
        return (made,), {}

    def serve(made: Fleet) -> Fleet:
        assert made.advance(np.inf).why is Why.FINISHED
        return made

    served = benchmark.pedantic(serve, setup=fleet, rounds=5 if benchmark.enabled else 1)
    assert len(served.outcomes()) == count
    if benchmark.enabled:
        benchmark.extra_info["requests"] = count
        benchmark.extra_info["requests_per_s"] = round(count / benchmark.stats.stats.median)
