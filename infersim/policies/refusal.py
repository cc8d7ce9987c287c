"""Why a router does not compile, in a sentence or two that say what would.

Not here: compiling it (`routing.py`).
"""

import dis
import re
from collections.abc import Callable
from pathlib import Path


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
    line = None
    for instruction in dis.get_instructions(function):
        line = instruction.starts_line or line
        if instruction.argval == name:
            return line
    return None


def place(function: Callable, line: int | None = None) -> str:
    """file.py:12, as far as it is known."""
    code = function.__code__
    return f"{Path(code.co_filename).name}:{line or code.co_firstlineno}"
