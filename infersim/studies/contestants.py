"""Who takes part in a shootout: every shipped autoscaler with the parameters that one target gives it, and fixed fleets.

`target` is how many requests in flight a replica should have. Everything else is the default of what an autoscaler
mirrors, but for

    fixed               1, 2, 4 ... replicas and the most, ready from the start
    schedule            in hindsight: what holds the target for 95 % of each quarter of an hour, ordered a cold start ahead
    queue_depth         an eighth of the target, for it counts requests that wait
    keda_queue_length   counts requests in flight
    oracle              buys the least work that arrives, and 1.5 times as much: nobody can have it

and the scenario's own autoscaler as it stands, where it is none of these. Not here: the runs (`shootout.py`).
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from infersim.spec.pool import Pool, Replicas
from infersim.studies.grid import Settings

QUARTER_S = 900.0
"""What a schedule is written for [s]."""
PLAN_HEADROOM = 1.5
"""The second oracle's, about what real batches take above the least work."""

TARGETED = ("target_concurrency", "kubernetes_hpa", "knative_kpa", "seasonal", "holt_winters")
"""Those that take the target as it is."""


def contestants(pool: int, asked: Pool, target: float, rules: list[dict[str, float]]) -> Iterator[tuple[str, Settings]]:
    """(name, settings) of everybody, in the order of the table; `rules` are the schedule's."""
    key = f"pools.{pool}.autoscaler"
    for replicas in fixed_sizes(asked):
        yield f"fixed {replicas}", fixed(pool, replicas)
    shipped: dict[str, dict[str, Any]] = {
        "schedule": {"policy": "schedule", "rules": rules},
        "target_concurrency": {},
        "queue_depth": {"policy": "queue_depth", "target": target / 8},
        "kubernetes_hpa": {},
        "keda_queue_length": {"policy": "keda_queue_length", "queue_length": target, "counts": "in_flight"},
        "knative_kpa": {},
        "slo_feedback": {"policy": "slo_feedback"},
        "queueing": {"policy": "queueing"},
        "seasonal": {},
        "holt_winters": {},
        "oracle": {"policy": "oracle"},
        f"oracle x {PLAN_HEADROOM:g}": {"policy": "oracle", "headroom": PLAN_HEADROOM},
    }
    for name, spec in shipped.items():
        yield name, {key: spec or {"policy": name, "target": target}}
    same = [spec or {"policy": name, "target": target} for name, spec in shipped.items()]
    if all(asked.autoscaler != _parsed(spec) for spec in same):
        assert asked.autoscaler is not None
        yield f"{asked.autoscaler.policy} (own)", {}


def _parsed(spec: dict[str, Any]) -> Any:
    return Pool.model_validate({"name": "any", "hardware": "any", "autoscaler": spec}).autoscaler


def fixed_sizes(asked: Pool) -> list[int]:
    """1, 2, 4 ... replicas within the pool's limits, and the most."""
    most = asked.replicas.max
    powers = [1 << power for power in range(most.bit_length())]
    return sorted({size for size in powers if asked.replicas.min <= size <= most} | {most})


def fixed(pool: int, replicas: int) -> Settings:
    """So many replicas, there from the start."""
    return {
        f"pools.{pool}.autoscaler": {"policy": "fixed", "replicas": replicas},
        f"pools.{pool}.replicas.initial": replicas,
    }


def in_hindsight(
    timeline: pd.DataFrame, target: float, cold_start_s: float, limits: Replicas
) -> list[dict[str, float]]:
    """A schedule of quarters of an hour, from the timeline of the same traffic on the largest fleet.

    What grows is ordered a cold start before its quarter, what shrinks goes with the end of its own.
    """
    in_flight = timeline[["held", "waiting", "running"]].sum(axis=1)
    usual = in_flight.groupby(timeline["time_s"] // QUARTER_S).quantile(0.95)
    quarters = np.ceil(usual / target).clip(max(1, limits.min), limits.max)
    rules: list[dict[str, float]] = []
    before = math.inf
    for quarter, replicas in quarters.items():
        starts_s = float(quarter) * QUARTER_S
        if replicas != before:
            at_s = starts_s - cold_start_s if replicas > before else starts_s
            rules.append({"at_s": max(0.0, at_s), "replicas": int(replicas)})
        before = replicas
    return rules
