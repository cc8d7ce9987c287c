"""Processes of the user's own: any SimPy story about the datacentre. Write yours with `@process`.

    @process
    def chaos(env, datacenter, every_s=600):
        \"\"\"Now and then the fullest replica dies.\"\"\"
        pool = datacenter.pools["h100"]
        while True:
            yield env.timeout(every_s)
            if pool.ready:
                pool.fail(max(pool.replicas, key=lambda replica: replica.outstanding), "chaos")

A scenario starts it with `processes: [chaos]`, or with parameters: `processes: [{process: chaos, every_s: 60}]`.

Not here: what `datacenter` has (`infersim/controlplane/facade.py`).
"""

import inspect
import traceback
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from infersim.policies.errors import PolicyError


@dataclass(frozen=True)
class Process:
    """A function of (env, datacenter) and parameters, whose generator SimPy runs."""

    name: str
    function: Callable

    @property
    def file(self) -> str:
        """Where it is written."""
        return self.function.__code__.co_filename


PROCESSES: dict[str, Process] = {}
"""All known processes by name."""


def process(function: Callable) -> Callable:
    """Register a generator function of (env, datacenter), and parameters with defaults, under its name."""
    name = getattr(function, "__name__", repr(function))
    if not inspect.isgeneratorfunction(function):
        raise PolicyError(f"process {name} is no generator function; let it yield events, such as env.timeout(60)")
    taken = list(inspect.signature(function).parameters)
    if taken[:2] != ["env", "datacenter"]:
        raise PolicyError(f"process {name} takes ({', '.join(taken)}); its first two are env and datacenter")
    PROCESSES[name] = Process(name, function)
    return function


def what_failed(error: Exception, processes: Collection[Process], now: float) -> str | None:
    """One sentence about an error that passed through a user's process; None if it passed through none.

    SimPy raises a copy, whose cause is the original.
    """
    files = {one.file: one for one in processes}
    for found in (error.__cause__, error):
        frames = [] if found is None else traceback.extract_tb(found.__traceback__)
        for frame in reversed(frames):
            if frame.filename in files:
                where = f"{Path(frame.filename).name}:{frame.lineno}"
                kind, text = type(found).__name__, str(found) or "no further word"
                return f"process {files[frame.filename].name!r} ({where}) failed at {now:g} s: {kind}: {text}"
    return None
