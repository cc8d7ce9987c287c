"""The adapters (LoRA) of one replica of the naive twin: which are loaded, and which has to go for another.

DESIGN.md: "Adapters". Not here: who is set aside for want of a slot (`naive_forming.py`), what adapters cost a step
(`naive_record.py`). Read `naive_replica.py` next.
"""

from collections.abc import Collection

NONE = 0
"""The adapter of a request without one."""


class Slots:
    """The adapters that are loaded, those that nobody uses in the order in which they became so."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.loaded: list[int] = []

    def find(self, adapter: int, in_use: Collection[int]) -> bool:
        """Whether there is a slot for an adapter, its own or one that it may take."""
        return adapter in {NONE, *self.loaded} or len(self.loaded) < self.count or not in_use >= set(self.loaded)

    def load(self, adapter: int, in_use: Collection[int]) -> bool:
        """See that an adapter is in a slot; return whether it had to be loaded."""
        if adapter in {NONE, *self.loaded}:
            return False
        if len(self.loaded) == self.count:
            self.loaded.remove(next(each for each in self.loaded if each not in in_use))
        self.loaded.append(adapter)
        return True

    def disused(self, adapter: int) -> None:
        """Nobody in the batch uses an adapter any more."""
        if adapter != NONE:
            self.loaded.remove(adapter)
            self.loaded.append(adapter)
