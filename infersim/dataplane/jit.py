"""How functions of the loop are compiled: without numba's reference counting, and the busiest ones into their callers.

The loop allocates nothing and every array in it outlives it, so counting references (an atomic instruction at each
hand-over of an array) buys nothing: without it the loop is 2.7 times as fast. Handing over a dozen arrays costs more
than what a small function does with them: with the functions that every request passes inlined it is another 1.6 times
as fast (1,470 to 540 to 430 ns a request on one Zen core; 4 replicas, plain continuous batching, meanwhile with all
batching policies and the prefix cache in the code).
"""

import sys
from importlib import import_module

import numba


def _without_blas() -> None:
    """Load numba's array functions as if scipy had no BLAS: to look for one imports 0.1 s of scipy at every start.

    Nothing here multiplies matrices. What does (a user's router) still finds it: numba asks again when it compiles that.
    """
    name = "scipy.linalg.cython_blas"
    if name in sys.modules or "numba.np.arraymath" in sys.modules:
        return
    sys.modules[name] = None  # type: ignore[assignment]  # the import system's way to say that there is none
    try:
        import_module("numba.np.arraymath")
    finally:
        del sys.modules[name]


_without_blas()

compiled = numba.njit(_nrt=False)
"""Decorator of every function that the loop calls."""

inlined = numba.njit(_nrt=False, forceinline=True)
"""Decorator of those that every request passes."""
