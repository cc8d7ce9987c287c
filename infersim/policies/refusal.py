"""Why a policy is refused, in a sentence or two that say what would be right.

Not here: compiling it (`compiling.py`).
"""

import dis
import inspect
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Kind:
    """A kind of policy that is a compiled function."""

    noun: str
    """As records.ASKED has it."""
    parameters: tuple[str, ...]
    writes: str
    """What it may write."""
    reads: str
    """What it may read; {request}, {replica} and {state} stand for fields of records."""
    returns: str
    """What is right as an answer."""


ROUTER = Kind(
    "router",
    ("request", "replicas", "routable", "memory"),
    "nothing but memory[i]",
    "of the request: {request}; of replicas[i]: {replica}; routable (indexes of ready replicas) and memory (8 integers "
    "of its own)",
    "one of routable",
)
ORDER = Kind("queue order", ("request",), "nothing", "of the request: {request}", "a number, smaller first")
BATCHING = Kind(
    "batching policy",
    ("replica",),
    "nothing",
    "of the replica: {state}",
    "(prompt_tokens, decode, admit): 0 to max_num_batched_tokens prompt tokens, whether to decode, and 0 (admit nobody), "
    "1 (anybody) or 2 (whole prompts only)",
)

DECLARED = {"kv_blocks_used": "kv", "cached_tokens": "prefix", "network_s": "network", "resident": "models"}
"""Fields that only a router that declares them sees up to date."""


def fault_at_sight(name: str, function: Callable, kind: Kind, reads: Collection[str]) -> str | None:
    """What is wrong with a policy's parameters, with what it writes, or reads without saying so; None if nothing."""
    found = tuple(inspect.signature(function).parameters)
    article = f"a {kind.noun}"
    if len(found) != len(kind.parameters):
        takes = f"takes ({', '.join(found)}); {article} takes ({', '.join(kind.parameters)})"
        return f"{kind.noun} {name!r} ({place(function)}) {takes}"
    before = None
    for instruction, line in _instructions(function):
        where = f"{kind.noun} {name!r} ({place(function, line)})"
        if instruction.opname == "STORE_ATTR":
            return f"{where} writes .{instruction.argval}; {article} writes {kind.writes}"
        by_name = before is not None and before.opname == "LOAD_CONST" and isinstance(before.argval, str)
        if instruction.opname == "STORE_SUBSCR" and before is not None and by_name:
            return f"{where} writes [{before.argval!r}]; {article} writes {kind.writes}"
        signal = DECLARED.get(instruction.argval) if instruction.opname == "LOAD_ATTR" else None
        if signal and signal not in reads and kind is ROUTER:
            how = f"@routing(reads={{{signal!r}}})"
            return f"{where} reads .{instruction.argval}, which is kept for routers that say so: {how}"
        before = instruction
    return None


def why_refused(name: str, function: Callable, kind: Kind, error: Exception) -> str:
    """What numba's error about a policy means, with its file and line, and what it may read and return."""
    unknown = _unknown_field(error)
    line = _line_of(function, unknown) if unknown else _numba_line(error)
    if unknown:
        what = f"reads .{unknown}, which it cannot know"
    elif "setitem(readonly array" in str(error):
        what = f"writes what it may only read; a {kind.noun} writes {kind.writes}"
    else:
        what = _first_line(error)
    return (
        f"{kind.noun} {name!r} ({place(function, line)}) does not compile: {what}. "
        f"A {kind.noun} may read, {_readable(kind)}; and it returns {kind.returns}"
    )


def _readable(kind: Kind) -> str:
    """What a policy may read, field by field."""
    from infersim.dataplane.records import REPLICA, REQUEST, STATE

    fields = {"request": REQUEST, "replica": REPLICA, "state": STATE}
    return kind.reads.format(**{key: ", ".join(record.names or ()) for key, record in fields.items()})


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
