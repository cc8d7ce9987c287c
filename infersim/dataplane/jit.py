"""How functions of the loop are compiled: without numba's reference counting, and the busiest ones into their callers.

The loop allocates nothing and every array in it outlives it, so counting references (an atomic instruction at each
hand-over of an array) buys nothing: without it the loop is 2.7 times as fast. Handing over a dozen arrays costs more
than what a small function does with them: with the functions that every request passes inlined it is another 1.6 times
as fast (1,470 to 540 to 430 ns a request on one Zen core; 4 replicas, plain continuous batching, meanwhile with all
batching policies and the prefix cache in the code).
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numba
from numba.core import types
from numba.core.registry import CPUDispatcher
from numba.extending import intrinsic


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


class _Inside(CPUDispatcher):
    """A compiled function without the wrapper that would unpack what Python hands it: a sixth of the compilation."""

    def __call__(self, *_: object) -> object:
        """Say so: without this the process would crash."""
        raise TypeError(
            f"{self.__name__} is for compiled code only; decorate it with jit.called to call it from Python"
        )


def _inside(**options: object) -> Callable[[Callable], Callable]:
    def decorated(function: Callable) -> Callable:
        made = numba.njit(_nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)(function)
        if isinstance(made, CPUDispatcher):  # not under NUMBA_DISABLE_JIT
            made.__class__ = _Inside
        return made

    return decorated


compiled = _inside()
"""Decorator of every function that the loop calls."""

inlined = _inside(forceinline=True)
"""Decorator of those that every request passes."""

pasted = _inside(inline="always")
"""Decorator of those that make a group of records, which a function cannot return."""

called = numba.njit(_nrt=False)
"""Decorator of those that Python calls as well."""


@intrinsic
def _pick(_: Any, which: Any, one: Any, other: Any) -> Any:
    """A move that asks the comparison, which LLVM must not turn into a jump."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        chosen = builder.select(*arguments)
        chosen.set_metadata("unpredictable", builder.module.add_metadata([]))
        return chosen

    return one(types.boolean, one, one), generate


def _pick_in_python(which: bool, one: Any, other: Any) -> Any:
    return one if which else other


pick = _pick_in_python if numba.config.DISABLE_JIT else _pick
"""One of two values, without a branch: for comparisons of random times, where processors would guess and be wrong."""


@contextmanager
def counting_forwards() -> Iterator[None]:
    """While this is open, what is compiled takes no index for one from the end: none of the loop's is below 0.

    numba looks at the sign of each index, two or three instructions every time.
    """
    arrays = import_module("numba.np.arrayobj")
    usual = arrays.fix_integer_index

    def as_it_is(context: Any, builder: Any, kind: Any, index: Any, size: Any) -> Any:
        return context.cast(builder, index, kind, types.intp if kind.signed else types.uintp)

    arrays.fix_integer_index = as_it_is
    try:
        yield
    finally:
        arrays.fix_integer_index = usual
