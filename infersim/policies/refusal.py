"""Why a router is refused, in a sentence or two that say what would be right.

Not here: compiling it (`routing.py`).
"""

import dis
import inspect
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

PARAMETERS = ("request", "replicas", "routable", "memory")
DECLARED = {"kv_blocks_used": "kv", "cached_tokens": "prefix"}
"""Fields that only a router that declares them sees up to date."""


def fault_at_sight(name: str, function: Callable, reads: Collection[str]) -> str | None:
    """What is wrong with a router's parameters, with what it writes, or reads without saying so; None if nothing."""
    found = tuple(inspect.signature(function).parameters)
    if len(found) != len(PARAMETERS):
        takes = f"takes ({', '.join(found)}); a router takes ({', '.join(PARAMETERS)})"
        return f"router {name!r} ({place(function)}) {takes}"
    for instruction, line in _instructions(function):
        where = f"router {name!r} ({place(function, line)})"
        if instruction.opname == "STORE_ATTR":
            return f"{where} writes .{instruction.argval}; a router writes nothing but memory[i]"
        signal = DECLARED.get(instruction.argval) if instruction.opname == "LOAD_ATTR" else None
        if signal and signal not in reads:
            how = f"@routing(reads={{{signal!r}}})"
            return f"{where} reads .{instruction.argval}, which is kept for routers that say so: {how}"
    return None


def why_refused(name: str, function: Callable, error: Exception) -> str:
    """What numba's error about the router called `name` means, with its file and line, and what a router may read."""
    from infersim.dataplane.records import REPLICA, REQUEST

    unknown = _unknown_field(error)
    line = _line_of(function, unknown) if unknown else _numba_line(error)
    what = f"reads .{unknown}, which it cannot know" if unknown else _first_line(error)
    return (
        f"router {name!r} ({place(function, line)}) does not compile: {what}. "
        f"A router may read, of the request: {', '.join(REQUEST.names or ())}; of replicas[i]: "
        f"{', '.join(REPLICA.names or ())}; routable (indexes of ready replicas) and memory (8 integers of its own); "
        "and it returns one of routable"
    )


def _unknown_field(error: Exception) -> str | None:
    """The field that numba did not find in a record, if that is what the error is about."""
    if isinstance(error, KeyError):
        return str(error.args[0])
    found = re.search(r"[Uu]nknown attribute '(\w+)'", str(error))
    return found[1] if found else None


def _numba_line(error: Exception) -> int | None:
    """The line that numba complains about."""
    found = re.search(r", line (\d+):", str(error)) or re.search(r" \((\d+)\)$", str(error))
    return int(found[1]) if found else getattr(getattr(error, "loc", None), "line", None)


def _first_line(error: Exception) -> str:
    """The line of numba's long message that says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Failed in nopython", "During:", "File "))]
    return (told or lines or [type(error).__name__])[0].split(" Raised from ")[0].removesuffix(".")


def _line_of(function: Callable, name: str) -> int | None:
    """The first line on which a function reads an attribute or key of this name."""
    return next((line for instruction, line in _instructions(function) if instruction.argval == name), None)


def _instructions(function: Callable) -> Iterator[tuple[dis.Instruction, int | None]]:
    """A function's instructions and their lines."""
    for instruction in dis.get_instructions(function):
        line = instruction.positions.lineno if instruction.positions else None
        yield instruction, line


def place(function: Callable, line: int | None = None) -> str:
    """file.py:12, as far as it is known."""
    code = function.__code__
    return f"{Path(code.co_filename).name}:{line or code.co_firstlineno}"
