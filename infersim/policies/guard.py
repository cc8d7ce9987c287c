"""A user's policy that loops for ever must not hang the run: its loops are counted, and end in an error.

Compiled code cannot be interrupted from outside, so a counter is written into each loop of the function, and of the
compiled functions that it calls. Counting turns, not seconds, gives the same result on every machine. Not here:
compiling it (`compiling.py`).
"""

import ast
import dis
import inspect
import textwrap
from collections.abc import Callable

import numba

from infersim.policies.errors import PolicyError

MOST_TURNS = 10_000_000
"""Turns of all loops of one function in one call: ten milliseconds of compiled code, and a mistake in any policy."""
_COUNTER = "_turns_of_loops"


def guarded(function: Callable, above: tuple[Callable, ...] = ()) -> Callable:
    """The same function, with its loops and those of compiled functions it calls counted.

    Raises PolicyError if one of them calls itself, or has loops and no source that can be read.
    """
    names = dict(function.__globals__)
    if function.__closure__:
        names |= dict(
            zip(function.__code__.co_freevars, (cell.cell_contents for cell in function.__closure__), strict=True)
        )
    called = {
        name: names[name] for name in _called(function) if isinstance(names.get(name), numba.core.dispatcher.Dispatcher)
    }
    watched = {}
    for name, inner in called.items():
        if inner.py_func.__module__.startswith("infersim."):
            continue
        if inner.py_func in (*above, function):
            raise PolicyError(f"{inner.py_func.__name__} calls itself; a policy may loop, but not call itself")
        again = guarded(inner.py_func, (*above, function))
        if again is not inner.py_func:
            watched[name] = numba.njit(boundscheck=True)(again)
    loops = any("BACKWARD" in step.opname or step.opname == "FOR_ITER" for step in dis.get_instructions(function))
    if not loops and not watched:
        return function
    return _with_counters(function, names | watched) if loops else _in(function, names | watched, _tree(function))


def _called(function: Callable) -> set[str]:
    return set(function.__code__.co_names) | set(function.__code__.co_freevars)


def _tree(function: Callable) -> ast.Module:
    """The function's source, without decorators, its lines numbered as in the file."""
    try:
        lines, first = inspect.getsourcelines(function)
    except OSError as error:
        what = f"the source of {function.__name__} cannot be read, so its loops cannot be watched"
        raise PolicyError(f"{what}; write it into a file, or into a notebook's cell") from error
    tree = ast.parse(textwrap.dedent("".join(lines)))
    ast.increment_lineno(tree, first - 1)
    definition = tree.body[0]
    if not isinstance(definition, ast.FunctionDef):
        raise PolicyError(f"{function.__name__} is not a function that begins with def")
    definition.decorator_list = []
    return tree


class _Counting(ast.NodeTransformer):
    """Puts a counter at the beginning of each loop."""

    def visit_While(self, node: ast.While) -> ast.AST:
        return self._count(node)

    def visit_For(self, node: ast.For) -> ast.AST:
        return self._count(node)

    def _count(self, loop: ast.While | ast.For) -> ast.AST:
        self.generic_visit(loop)
        much = f"went round its loops more than {MOST_TURNS:,} times; does one of them never end?"
        text = f"{_COUNTER} += 1\nif {_COUNTER} > {MOST_TURNS}:\n    raise RuntimeError({much!r})"
        loop.body[:0] = _at(loop.lineno, text)
        return loop


def _at(line: int, text: str) -> list[ast.stmt]:
    """Statements as if they stood on one line of the policy's file."""
    statements = ast.parse(text).body
    for statement in statements:
        for node in ast.walk(statement):
            if isinstance(node, ast.stmt | ast.expr):
                node.lineno = node.end_lineno = line
    return statements


def _with_counters(function: Callable, names: dict) -> Callable:
    tree = _Counting().visit(_tree(function))
    definition = tree.body[0]
    definition.body[:0] = _at(definition.lineno, f"{_COUNTER} = 0")
    return _in(function, names, tree)


def _in(function: Callable, names: dict, tree: ast.Module) -> Callable:
    """The function that the tree defines, with these names around it."""
    exec(compile(tree, function.__code__.co_filename, "exec"), names)
    made = names[function.__name__]
    made.__module__ = function.__module__
    return made
