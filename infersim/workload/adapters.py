"""Which adapter each request names: drawn by the hash of its session, or else of its id, so that nobody's depends on others.

Not here: what adapters are (`infersim/spec/adapters.py`).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from infersim.dataplane.chance import scattered
from infersim.spec.adapters import Adapters
from infersim.workload.lengths import table_law
from infersim.workload.prompts import content_id

POPULARITY, SHARE = 2, 3
"""Salts: which adapter, and whether any."""


class AdapterChoice:
    """The adapters of all classes, numbered through from 1."""

    def __init__(self, classes: Sequence[Adapters | None], seed: int) -> None:
        """`classes` by number; None names no adapters."""
        self._classes, self._seed = classes, seed
        counts = [0 if each is None else each.count for each in classes]
        self._first = np.cumsum([1, *counts])
        self._laws = [
            None
            if each is None
            else table_law(np.arange(each.count), np.arange(1.0, each.count + 1) ** -each.zipf_exponent)
            for each in classes
        ]

    def name(self, records: NDArray, prefixes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Fill in `adapter` and `adapter_rank` of REQUEST records; return the names of their prefix blocks.

        Keys and values depend on the adapter, so prompts that are alike under different ones share no block.
        """
        key = np.where(records["session"] < 0, records["id"], records["session"])
        chance, asked = (_uniform(key, self._seed, salt) for salt in (POPULARITY, SHARE))
        for number, (spec, law) in enumerate(zip(self._classes, self._laws, strict=True)):
            if spec is None or law is None:
                continue
            mine = np.flatnonzero((records["tenant"] == number) & (asked < spec.share))
            index = law.tokens(chance[mine])
            records["adapter"][mine] = self._first[number] + index
            records["adapter_rank"][mine] = np.array(spec.ranks)[index % len(spec.ranks)]
        owner = np.repeat(records["adapter"], records["prefix_blocks"])
        return np.where(owner > 0, content_id(owner, prefixes), prefixes) if prefixes.size else prefixes


def _uniform(key: NDArray[np.int64], seed: int, salt: int) -> NDArray[np.float64]:
    """A number in [0, 1) for each key."""
    return (scattered(key, 4 * seed + salt) >> np.uint64(11)).astype(np.float64) * 2.0**-53
