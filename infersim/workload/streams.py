"""Named random streams, and reading an endless stream in pieces of any size.

Each thing that is drawn (arrival times, prompt lengths, output lengths) has a stream of its own, made from the
scenario's seed and a name. So a change to one never shifts another: a run with longer outputs sees the same arrivals.
Not here: what is drawn. Read `arrivals.py` next.
"""

import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 14
"""Values drawn at a time. Everything is drawn in whole blocks and cut afterwards, so that how a reader cuts cannot
change a value (vectorised exp and log may differ in the last bit between the middle and the tail of an array)."""


def stream(seed: int, name: str) -> np.random.Generator:
    """The random stream called `name` of a seed: the same in every process, independent of all other names.

    The name enters through its CRC-32 (Python's own `hash` differs from process to process) as the spawn key of a
    `SeedSequence`, which is NumPy's way to independent streams.
    """
    return np.random.Generator(
        np.random.PCG64DXSM(np.random.SeedSequence(seed, spawn_key=(zlib.crc32(name.encode()),)))
    )


class Feed:
    """Blocks of any sizes, read in pieces of the reader's size; holds no more than one piece and one block."""

    def __init__(self, blocks: Iterable[NDArray[Any]]) -> None:
        """Read from `blocks`, each drawn from the iterator only when it is needed."""
        self._blocks: Iterator[NDArray[Any]] = iter(blocks)
        self._rest: NDArray[Any] = np.empty(0)

    def take(self, count: int) -> NDArray[Any]:
        """The next `count` values; fewer only where the blocks end, none after that."""
        pieces, missing = [self._rest[:count]], count - self._rest[:count].size
        self._rest = self._rest[count:]
        while missing and (block := next(self._blocks, None)) is not None:
            pieces.append(block[:missing])
            self._rest = block[missing:]
            missing -= pieces[-1].size
        filled = [piece for piece in pieces if piece.size] or pieces[-1:]
        return filled[0] if len(filled) == 1 else np.concatenate(filled)
