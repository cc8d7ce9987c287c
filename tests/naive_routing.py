"""The routers of the naive twin, and what they see of replicas: what is true, or what was at the last scrape.

DESIGN.md: "Signals"; each router is what its docstring in `infersim/policies/routing.py` says, written anew. Not here: those that
draw by chance. Read `naive.py` next, the last.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

from infersim.dataplane.fleet import PoolCost
from tests.naive_replica import Replica, prompt_token_s
from tests.naive_sequence import Request, Sequence


@dataclass(frozen=True)
class Signals:
    """What a router sees of a replica."""

    index: int
    outstanding: int
    queued_tokens: int
    kv_used: Fraction
    prompt_token_s: float
    max_num_seqs: int
    usd_per_hour: float
    model: int
    """The active one."""
    cached_tokens: int = 0
    round_trip_s: float = 0.0

    def has_place(self) -> bool:
        """Whether one more request would find a place in the batch, in time."""
        return self.outstanding < self.max_num_seqs


Router = Callable[[list[Signals]], Signals]


def signals_of(replica: Replica) -> Signals:
    """Everything that can be old."""
    pool = replica.pool
    return Signals(
        index=replica.index,
        outstanding=replica.outstanding,
        queued_tokens=replica.queued_tokens(),
        kv_used=Fraction(replica.memory.used(), max(pool.blocks, 1)),
        prompt_token_s=prompt_token_s(pool),
        max_num_seqs=pool.max_num_seqs,
        usd_per_hour=pool.usd_per_hour,
        model=pool.model,
    )


def of_the_moment(signals: Signals, replica: Replica, sequence: Sequence) -> Signals:
    """With what is never old: how far the request's region is, and how much of its prompt is cached."""
    pool = replica.pool
    here = pool.role != "decode" and sequence.request.model == pool.model
    cached = pool.prefix_tokens * len(replica.memory.matching(sequence)) if here else 0
    return replace(signals, cached_tokens=cached, round_trip_s=round_trip_s(pool, sequence.request))


def takes(pool: PoolCost, request: Request) -> bool:
    """Whether a pool takes requests of this class with prompts of this length."""
    short = pool.min_input_tokens <= request.input_tokens <= pool.max_input_tokens
    return short and (not pool.takes or pool.takes[request.tenant])


def round_trip_s(pool: PoolCost, request: Request) -> float:
    """Between the region of the request's class and that of the pool [s]."""
    return pool.network_s[request.tenant] if pool.network_s else 0.0


def least_outstanding(ready: list[Signals]) -> Signals:
    return min(ready, key=lambda each: (each.outstanding, each.index))


def nearest(ready: list[Signals]) -> Signals:
    free = [each for each in ready if each.has_place()]
    return min(free, key=lambda each: (each.round_trip_s, each.outstanding)) if free else least_outstanding(ready)


def cheapest_first(ready: list[Signals]) -> Signals:
    free = [each for each in ready if each.has_place()]
    return min(free, key=lambda each: (each.usd_per_hour, each.outstanding)) if free else least_outstanding(ready)


def prefix_aware(ready: list[Signals]) -> Signals:
    least = least_outstanding(ready).outstanding
    fit = [each for each in ready if each.outstanding <= 8 + least + least // 2]
    return min(fit, key=lambda each: (-each.cached_tokens, each.outstanding))


ROUTERS: dict[str, Router] = {
    "least_outstanding": least_outstanding,
    "nearest": nearest,
    "cheapest_first": cheapest_first,
    "prefix_aware": prefix_aware,
    "least_kv_used": lambda ready: min(ready, key=lambda each: (each.kv_used, each.outstanding)),
    "least_prompt_work": lambda ready: min(
        ready, key=lambda each: (each.queued_tokens * each.prompt_token_s, each.outstanding)
    ),
    "fastest_weighted": lambda ready: min(ready, key=lambda each: (each.outstanding + 1) * each.prompt_token_s),
}
"""By name; of those that are alike the first is chosen, and they come by index. `round_robin` is one of turns."""
