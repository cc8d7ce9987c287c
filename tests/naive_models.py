"""The models that one replica of the naive twin has in memory: which is active, and which has to go for another.

DESIGN.md: "Models". Not here: when a replica switches (`naive.py`), whom requests for other models let pass
(`naive_forming.py`), who is held because nobody serves his model (`naive.py`). Read `naive_replica.py` next.
"""

from dataclasses import dataclass

from infersim.dataplane.fleet import PoolCost


@dataclass
class Resident:
    """A model whose weights are in memory."""

    cost: PoolCost
    switches: int
    worth: float


class Zoo:
    """The resident models of a replica, in the order in which they were switched to last; the active one is the last."""

    def __init__(self, pool: PoolCost) -> None:
        self.pool = pool
        self.costs = {each.model: each for each in (pool, *pool.others)}
        self.bound = 0.0
        """L of GreedyDual-Size."""
        self.resident: dict[int, Resident] = {}
        if len(self.costs) > 1:
            self.resident[pool.model] = Resident(pool, 1, pool.load_s / pool.weight_bytes)

    def serves(self, model: int) -> bool:
        return model in self.costs

    def switch(self, model: int) -> tuple[float, list[int], bool]:
        """Make a model the active one; return what it takes [s], who was evicted, and whether it had to be loaded."""
        cost, evicted, loads = self.costs[model], [], model not in self.resident
        if loads:
            while self.used() + cost.weight_bytes > self.pool.model_bytes:
                evicted.append(self.victim())
                gone = self.resident.pop(evicted[-1])
                self.bound = gone.worth if self.pool.eviction == "cost_aware" else self.bound
            self.resident[model] = Resident(cost, 0, 0.0)
        mine = self.resident.pop(model)
        mine.switches += 1
        mine.worth = self.bound + mine.switches * cost.load_s / cost.weight_bytes
        self.resident[model] = mine
        return self.pool.switch_s + (cost.load_s if loads else 0.0), evicted, loads

    def used(self) -> int:
        return sum(each.cost.weight_bytes for each in self.resident.values())

    def victim(self) -> int:
        """The first of the order is the one that was switched to longest ago."""
        if self.pool.eviction == "lru":
            return next(iter(self.resident))
        return min(self.resident, key=lambda model: self.resident[model].worth)
