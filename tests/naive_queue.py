"""The queue of one replica of the naive twin: who is its head.

DESIGN.md: "Queue order", "Fair share". Not here: whether the head may be admitted (`naive_forming.py`). Read
`naive_adapters.py` next.
"""

import bisect
import math
from collections import Counter
from collections.abc import Callable, Container

from infersim.dataplane.chance import uniform
from infersim.dataplane.fleet import PoolCost
from tests.naive_sequence import Request, Sequence
from tests.twin.own import own_order


def predicted_output(request: Request, sigma: float) -> float:
    """The true length with a lognormal error."""
    u, v = uniform(request.id, -1, 0), uniform(request.id, -1, 1)
    z = math.sqrt(-2 * math.log(1 - u)) * math.cos(2 * math.pi * v)
    return request.output_tokens * math.exp(sigma * z)


KEYS: dict[str, Callable[[Request, PoolCost], float]] = {
    "priority": lambda request, _: -request.priority,
    "shortest_job": lambda request, _: request.input_tokens,
    "shortest_predicted": lambda request, pool: predicted_output(request, pool.prediction_sigma),
    "earliest_deadline": lambda request, _: request.arrival_s + request.deadline_s,
    "own": lambda request, _: own_order(0, request),
}
"""What a sorted queue is sorted by."""


class Queue:
    """Requests in their order; `fair_share` keeps them as they came and picks the head by the tenants' counters."""

    def __init__(self, pool: PoolCost) -> None:
        self.pool = pool
        self.waiting: list[Sequence] = []
        self.counters: Counter[int] = Counter()
        """Weighted tokens of each tenant."""
        self.last_tenant: int | None = None
        """Whose request was the last to leave."""

    def head(self, aside: Container[Sequence] = ()) -> Sequence | None:
        """The first of all but those that are set aside."""
        there = [each for each in self.waiting if each not in aside] if aside else self.waiting
        if self.pool.queue_order != "fair_share" or not there:
            return there[0] if there else None
        tenant = min({each.request.tenant for each in there}, key=lambda each: (self.counters[each], each))
        return next(each for each in there if each.request.tenant == tenant)

    def enter(self, sequence: Sequence, now: float, preempted: bool) -> None:
        sequence.queued_at = now
        order = self.pool.queue_order
        if order == "fcfs":
            self.waiting.insert(0 if preempted else len(self.waiting), sequence)
        elif order == "fair_share":
            self.lift(sequence.request.tenant)
            mine = [place for place, each in enumerate(self.waiting) if each.request.tenant == sequence.request.tenant]
            self.waiting.insert(mine[0] if mine and preempted else len(self.waiting), sequence)
        else:
            key = KEYS[order]
            bisect.insort(self.waiting, sequence, key=lambda each: (key(each.request, self.pool), each.order))

    def leave(self, sequence: Sequence) -> None:
        self.waiting.remove(sequence)
        self.last_tenant = sequence.request.tenant

    def lift(self, tenant: int) -> None:
        """A tenant that had nobody in the queue has saved nothing up."""
        there = {each.request.tenant for each in self.waiting}
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
        self.counters[sequence.request.tenant] += weighted_tokens
