"""The queue of one replica of the naive twin: who is its head.

DESIGN.md: "Queue order", "Fair share". Not here: whether the head may be admitted (`naive_forming.py`). Read
`naive_replica.py` next.
"""

import bisect
import math
from collections import Counter
from collections.abc import Callable, Container

from infersim.dataplane.chance import uniform
from infersim.dataplane.fleet import PoolCost
from tests.naive_sequence import Sequence


def predicted_output(sequence: Sequence, sigma: float) -> float:
    """The true length with a lognormal error."""
    u, v = uniform(sequence.id, -1, 0), uniform(sequence.id, -1, 1)
    z = math.sqrt(-2 * math.log(1 - u)) * math.cos(2 * math.pi * v)
    return sequence.output_tokens * math.exp(sigma * z)


KEYS: dict[str, Callable[[Sequence, PoolCost], float]] = {
    "priority": lambda each, _: -each.priority,
    "shortest_job": lambda each, _: each.input_tokens,
    "shortest_predicted": lambda each, pool: predicted_output(each, pool.prediction_sigma),
    "earliest_deadline": lambda each, _: each.arrival_s + each.deadline_s,
}
"""What a sorted queue is sorted by."""


class Queue:
    """Requests in their order; `fair_share` keeps them as they came and picks the head by the tenants' counters."""

    def __init__(self, pool: PoolCost) -> None:
        self.pool = pool
        self.requests: list[Sequence] = []
        self.counters: Counter[int] = Counter()
        """Weighted tokens of each tenant."""
        self.last_tenant: int | None = None
        """Whose request was the last to leave."""

    def head(self, aside: Container[Sequence] = ()) -> Sequence | None:
        """The first of all but those that are set aside."""
        there = [each for each in self.requests if each not in aside] if aside else self.requests
        if self.pool.queue_order != "fair_share" or not there:
            return there[0] if there else None
        tenant = min({each.tenant for each in there}, key=lambda each: (self.counters[each], each))
        return next(each for each in there if each.tenant == tenant)

    def enter(self, sequence: Sequence, now: float, preempted: bool) -> None:
        sequence.queued_at = now
        order = self.pool.queue_order
        if order == "fcfs":
            self.requests.insert(0 if preempted else len(self.requests), sequence)
        elif order == "fair_share":
            self.lift(sequence.tenant)
            mine = [place for place, each in enumerate(self.requests) if each.tenant == sequence.tenant]
            self.requests.insert(mine[0] if mine and preempted else len(self.requests), sequence)
        else:
            key = KEYS[order]
            bisect.insort(self.requests, sequence, key=lambda each: (key(each, self.pool), each.order))

    def leave(self, sequence: Sequence) -> None:
        self.requests.remove(sequence)
        self.last_tenant = sequence.tenant

    def lift(self, tenant: int) -> None:
        """A tenant that had nobody in the queue has saved nothing up."""
        there = {each.tenant for each in self.requests}
        if tenant in there:
            return
        if there:
            least = min(self.counters[each] for each in there)
        elif self.last_tenant is not None:
            least = self.counters[self.last_tenant]
        else:
            return
        self.counters[tenant] = max(self.counters[tenant], least)

    def charge(self, sequence: Sequence, weighted_tokens: int) -> None:
        self.counters[sequence.tenant] += weighted_tokens
