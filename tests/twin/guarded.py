"""The loop as plain Python with every index checked: under NUMBA_DISABLE_JIT=1, no array is read or written out of its bounds.

Compiled code checks nothing, and NONE (-1) as an index is the last entry to Python. Run as a program, `python -m tests.twin.guarded
FIRST LAST` writes the outcomes of the random cases from FIRST up to LAST to stdout. Not here: who compares them (`test_plain.py`).
"""

import sys
from collections.abc import Callable

import numpy as np

from infersim.dataplane import abi
from tests.twin import compiled
from tests.twin.cases import random_case


class Checked:
    """Arrays that know no negative index; numpy itself refuses those that are too large."""

    def __getitem__(self, key: object) -> object:
        return super().__getitem__(_checked(key))

    def __setitem__(self, key: object, value: object) -> None:
        super().__setitem__(_checked(key), value)


def _checked(key: object) -> object:
    for each in key if isinstance(key, tuple) else (key,):
        if isinstance(each, int | np.integer) and each < 0:
            raise IndexError(f"index {each} is below 0")
    return key


class Numbers(Checked, np.ndarray):
    """Of one type."""


class Records(Checked, np.recarray):
    """With fields."""


def guarded(function: Callable) -> Callable:
    """A function of the loop whose arrays are checked."""

    def called(*arguments: object) -> object:
        return function(*map(guard, arguments))

    return called


def guard(value: object) -> object:
    """An array, or a tuple of them, checked; anything else as it is."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(guard, value))
    if isinstance(value, np.ndarray):
        return value.view(Records if value.dtype.names else Numbers)
    return value


def main(first: int, last: int) -> None:
    assert not abi.JIT, "set NUMBA_DISABLE_JIT=1"
    abi._compiled = lambda function, _: guarded(function)
    for seed in range(first, last):
        sys.stdout.buffer.write(compiled.simulate(random_case(seed)).outcomes.tobytes())


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
