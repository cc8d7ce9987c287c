"""The loop with what costs it most: prefix caches, priorities and preemption all on, and a real trace with long prompts."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from infersim import staging
from infersim.assembly import parts
from infersim.dataplane.fleet import Fleet, Why
from infersim.policies.plugins import load_policies
from infersim.policies.routing import ROUTERS
from infersim.simulate import cost_tables
from infersim.spec.load import load_scenario
from infersim.spec.resolve import resolve
from tests.benchmarks.traffic import chat, llama8b, with_prefixes

SHARED = Path(os.environ.get("INFERSIM_SHARED", Path(__file__).parents[3] / "shared"))
CONVERSATIONS = SHARED / "traces" / "mooncake" / "conversation_trace.jsonl"
REPLICAS = 4
RPS = 20.0
"""For each replica; more than its blocks hold for long, so that sequences are preempted."""


def served(benchmark: BenchmarkFixture, made: Callable[[], Fleet], replicas: int) -> Fleet:
    """The fleet after it has served everything, measured from the first event to the last."""

    def ready() -> tuple[tuple[Fleet], dict[str, object]]:
        fleet = made()
        for _ in range(replicas):
            fleet.open(0)
        fleet.advance(0.0)  # loads the compiled loop
        return (fleet,), {}

    def serve(fleet: Fleet) -> Fleet:
        assert fleet.advance(np.inf).why is Why.FINISHED
        return fleet

    return benchmark.pedantic(serve, setup=ready, rounds=5 if benchmark.enabled else 1)


def test_prefixes_priorities_and_preemption(benchmark: BenchmarkFixture, requests_to_serve: int) -> None:
    """Budget of the design: 300,000 requests a second."""
    cost = replace(llama8b(), blocks=2_500, prefix_tokens=256, queue_order="priority")
    sent = [with_prefixes(*chunk, cost.prefix_tokens) for chunk in chat(requests_to_serve, RPS * REPLICAS)]
    router = ROUTERS["least_outstanding"]
    ended = served(benchmark, lambda: Fleet([cost], sent, router.compiled, by_load=router.by_load), REPLICAS).outcomes()
    assert len(ended) == requests_to_serve
    assert ended["cached_tokens"].sum() > 0.1 * ended["input_tokens"].sum()
    if benchmark.enabled:
        assert ended["preemptions"].sum() > 0.1 * requests_to_serve
        benchmark.extra_info["requests_per_s"] = round(requests_to_serve / benchmark.stats.stats.median)


def test_the_mooncake_conversations(benchmark: BenchmarkFixture) -> None:
    """12,031 requests, 145 million prompt tokens, on 8 replicas of Llama 3.1 8B. Budget of the design: 0.2 s."""
    if not CONVERSATIONS.exists():
        pytest.skip(f"needs {CONVERSATIONS.name} of the shared traces (set INFERSIM_SHARED)")
    resolved = resolve(
        load_scenario("mooncake_prefix_cache", [f"workload.arrivals.file={json.dumps(str(CONVERSATIONS))}"])
    )
    tables, policies, offered = [cost_tables(resolved, 0)], load_policies([]), parts.offered(resolved)
    around, ended = [staging.surroundings(resolved, 0, offered.span_s)], []

    def made() -> Fleet:
        ended.clear()
        return parts.fleet(resolved, tables, policies, offered, lambda part: ended.append(len(part)), around)

    fleet = served(benchmark, made, 8)
    fleet.flush()
    assert sum(ended) == 12_031
