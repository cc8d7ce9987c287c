"""What laws of the data plane are tried on: for every technique random cases of its own, each of them run once.

A technique is a router (a user's own included) that serves mixed pools, or a batching policy with a queue order in all
pools. No two techniques share a seed. Not here: the laws (`test_dataplane.py`, `test_disturbed.py`).
"""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np

from infersim.dataplane.fleet import Fleet, PoolCost, Why
from infersim.dataplane.records import BATCHINGS, QUEUE_ORDERS
from infersim.dataplane.rules import ClientRules
from infersim.policies.routing import ROUTERS, Router
from tests.twin import compiled
from tests.twin.case import Case
from tests.twin.cases import TENANTS, busy_case, random_case

RANDOM_CASES = 10
"""Of each technique, and one of the size of a real engine."""


def long_prompts_last(request, replicas, routable, memory):
    """A user's router: what it is asked of, what it remembers and what it sees of replicas all decide."""
    memory[3] += 1
    if request.input_tokens > 10 or memory[3] % 3 == 0:
        return routable[-1]
    return routable[replicas[routable[0]].running % routable.shape[0]]


USERS_OWN = Router("users_own", "", long_prompts_last)
PAIRS = [*product(BATCHINGS[:4], QUEUE_ORDERS[:4]), *product(("chunked_prefill", "dynamic"), QUEUE_ORDERS[4:6])]
TECHNIQUES = [*ROUTERS, USERS_OWN.name, *("-".join(pair) for pair in PAIRS)]


@dataclass(frozen=True)
class Trial:
    """A case and what the loop makes of it."""

    case: Case

    @cached_property
    def run(self) -> compiled.LoopRun:
        return compiled.simulate(self.case)

    @property
    def rows(self) -> np.ndarray:
        return self.run.outcomes


def cases_of(technique: str) -> list[Case]:
    """Random cases that are served by a technique, with all that may happen to requests."""
    first = TECHNIQUES.index(technique) * RANDOM_CASES
    cases = [of_one_model(random_case(seed)) for seed in range(first, first + RANDOM_CASES)]
    cases.append(busy_case(TECHNIQUES.index(technique)))
    if "-" in technique:
        return [served_as(case, *technique.split("-")) for case in cases]
    return [replace(case, router=technique) for case in cases]


def of_one_model(case: Case) -> Case:
    """The case without models that take turns; `test_models.py` has their laws."""

    def plain(requests: np.ndarray) -> np.ndarray:
        rows = requests.copy()
        rows["model"] = 0
        return rows

    sources = [replace(source, requests=plain(source.requests)) for source in case.sources]
    pools = [replace(pool, model=0, others=()) for pool in case.pools]
    return replace(case, pools=pools, requests=plain(case.requests), sources=sources)


def served_as(case: Case, batching: str, queue_order: str) -> Case:
    """The case with one batching policy and queue order in all pools; those that decode only keep chunked prefill."""

    def changed(pool: PoolCost) -> PoolCost:
        if pool.role == "decode":
            return replace(pool, queue_order=queue_order)
        swap = pool.swap and batching == "chunked_prefill"
        return replace(pool, batching=batching, queue_order=queue_order, swap=swap)

    requests = case.requests.copy()
    requests["tenant"] = requests["id"] % TENANTS
    if queue_order == "fair_share":  # has no adapters
        requests["adapter"] = 0
        case = replace(case, pools=[replace(pool, adapter_slots=0) for pool in case.pools])
    return replace(case, pools=[changed(pool) for pool in case.pools], requests=requests)


def undisturbed(case: Case) -> Case:
    """The case without failures, impatient clients, refusals, chains, requests of several rows or none, host tiers,
    and time to load adapters."""
    requests = case.requests.copy()
    requests["forks"] = 0
    patient = {
        "full_blocks": 1, "window_blocks": 0, "host_entries": 0, "prompts_s": (), "mixed_s": (), "max_queued": None,
        "max_queued_work_s": np.inf, "adapter_rank_s": 0.0,
    }  # fmt: skip
    return replace(
        case,
        pools=[replace(pool, **patient) for pool in case.pools],
        requests=requests,
        outputs=np.maximum(case.outputs, 1),
        actions=[action for action in case.actions if action[1] in ("open", "drain")],
        clients=[ClientRules() for _ in case.clients],
        max_queued=None,
        max_wait_s=np.inf,
        sequels=None,
        sources=[],
    )


def on_one_replica(case: Case) -> Case:
    """The case with every request served by one replica from its prompt to its end, a token at a time."""
    return replace(case, pools=[replace(pool, role="both", acceptance=()) for pool in case.pools])


def fleet_of(case: Case) -> Fleet:
    """One replica of each pool, ready to serve the case."""
    fleet = compiled.new_fleet(case)
    compiled.set_weather(fleet, case, 0)
    for pool in range(len(case.pools)):
        fleet.open(pool)
    return fleet


def serve_until(fleet: Fleet, time: float) -> None:
    """Advance the fleet, whatever it has to report on the way."""
    while fleet.advance(time).why not in (Why.ON_TIME, Why.FINISHED):
        pass
