"""Users in a closed loop at one processor-sharing replica: exact mean value analysis, for one class and for two.

A replica whose step with N sequences takes N times as long shares its processor equally; product form then holds
whatever the distribution of the work. Sources: M. Reiser and S. Lavenberg, Mean-value analysis of closed multichain
queuing networks, J. ACM 27 (1980); for one class it is the machine repairman's model (Kleinrock 1975, section 3.8).
"""

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest

from infersim.dataplane.fleet import Fleet, Why
from infersim.dataplane.records import FINISHED
from infersim.dataplane.rules import ServiceRules
from infersim.policies.routing import ROUTERS
from infersim.spec.workload import Workload
from infersim.workload.generate import Offered
from tests.oracles.queues import assert_theory, server

STEP_S = 0.001
MOST = 12
HORIZON_S, WARM_S = 12_000.0, 500.0
SEEDS = 8


def mean_value_analysis(users: Sequence[int], think_s: Sequence[float], work_s: Sequence[float]) -> list[float]:
    """Requests per second of each class at one shared station, by recursion over all smaller populations."""
    queue = {tuple(0 for _ in users): 0.0}
    rates: list[float] = []
    for crowd in sorted(product(*(range(count + 1) for count in users)), key=sum):
        if sum(crowd) == 0:
            continue
        rates, spans = [], []
        for k, count in enumerate(crowd):
            fewer = tuple(n - (j == k) for j, n in enumerate(crowd))
            spans.append(work_s[k] * (1 + queue[fewer]) if count else 0.0)
            rates.append(count / (think_s[k] + spans[-1]) if count else 0.0)
        queue[crowd] = sum(rate * span for rate, span in zip(rates, spans, strict=True))
    return rates


def repairman(users: int, think_s: float, work_s: float) -> float:
    """Requests per second of the machine repairman's model."""
    weights = [math.factorial(users) / math.factorial(users - k) * (work_s / think_s) ** k for k in range(users + 1)]
    return (1 - weights[0] / sum(weights)) / work_s


def served(classes: list[dict], seed: int) -> np.ndarray:
    """What becomes of the users' requests at one replica that shares its processor."""
    workload = Workload.model_validate({"classes": classes})
    sent = Offered(workload, HORIZON_S, seed)
    pool = server(STEP_S * np.arange(MOST + 1.0))
    rules = ServiceRules(last_arrival_s=HORIZON_S)
    router = ROUTERS["round_robin"].compiled
    fleet = Fleet([pool], sent.chunks(), router, rules=rules, sources=sent.sources())
    fleet.open(0)
    while fleet.advance(math.inf).why != Why.FINISHED:
        pass
    rows = fleet.outcomes()
    assert (rows["status"] == FINISHED).all()
    return rows


def users(name: str, count: int, think: dict, tokens: dict) -> dict:
    loop = {"process": "closed_loop", "users": count, "think_s": think}
    one = {"distribution": "constant", "value": 1}
    return {"name": name, "arrivals": loop, "input_tokens": one, "output_tokens": tokens}


def rates(rows: np.ndarray, tenant: int) -> float:
    ends = rows["finish_s"][rows["tenant"] == tenant]
    return float(((ends > WARM_S) & (ends <= HORIZON_S)).sum() / (HORIZON_S - WARM_S))


@pytest.mark.parametrize(("count", "think_s", "tokens"), [
    (1, 3.0, {"distribution": "constant", "value": 2000}),
    (6, 10.0, {"distribution": "uniform", "min": 100, "max": 3900}),
    (12, 8.0, {"distribution": "constant", "value": 1000}),
])  # fmt: skip
def test_machine_repairman(count: int, think_s: float, tokens: dict) -> None:
    work_s = STEP_S * tokens.get("value", 2000)
    one = users("all", count, {"distribution": "exponential", "mean_s": think_s}, tokens)
    found = [rates(served([one], seed), 0) for seed in range(SEEDS)]
    theory = repairman(count, think_s, work_s)
    assert mean_value_analysis([count], [think_s], [work_s])[0] == pytest.approx(theory)
    assert_theory(theory, found, slack=0.002 * theory, width=0.03)


def test_two_classes() -> None:
    """Five who ask for little and think long, with lognormal pauses, and three who ask for much and hardly think."""
    spread = math.log(3.0) / 1.2815515655446004
    mean_s = 10.0 * math.exp(spread**2 / 2)
    light = users("light", 5, {"distribution": "lognormal", "p50_s": 10.0, "p90_s": 30.0},
                  {"distribution": "constant", "value": 1000})  # fmt: skip
    heavy = users("heavy", 3, {"distribution": "constant", "value_s": 2.0},
                  {"distribution": "uniform", "min": 1000, "max": 5000})  # fmt: skip
    runs = [served([light, heavy], seed) for seed in range(SEEDS)]
    for tenant, theory in enumerate(mean_value_analysis([5, 3], [mean_s, 2.0], [1.0, 3.0])):
        assert_theory(theory, [rates(rows, tenant) for rows in runs], slack=0.003 * theory, width=0.04)
    for rows in runs:  # nobody has two requests at a time
        for tenant, most in ((0, 5), (1, 3)):
            own = rows[rows["tenant"] == tenant]
            begins, ends = np.sort(own["arrival_s"]), np.sort(own["finish_s"])
            assert (np.arange(1, len(own) + 1) - np.searchsorted(ends, begins, side="right")).max() <= most
