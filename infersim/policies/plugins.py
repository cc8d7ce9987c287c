"""The policies of one run: all that are registered, and those of the plugin files that its scenario names.

A plugin file is ordinary Python that registers policies with `@routing`, `@ordering`, `@batching`, `@autoscaling` and `@process`. Its policies belong to the
run that named it: another run in the same process does not see them. Not here: what a policy looks like (`routing.py`,
`ordering.py`, `batching.py`, `autoscaling/`, `processes.py`).
"""

import importlib.util
import sys
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infersim.policies import autoscaling, batching, ordering, processes, routing
from infersim.policies.errors import PolicyError
from infersim.spec import policies as names


@dataclass(frozen=True)
class Policies:
    """What a run may choose from, by name."""

    routers: dict[str, routing.Router]
    autoscalers: dict[str, autoscaling.Registered]
    orderings: dict[str, ordering.Ordering]
    batchings: dict[str, batching.Batching]
    processes: dict[str, processes.Process]


def load_policies(files: Iterable[Path]) -> Policies:
    """Everything registered and what `files` register. Raises PolicyError with file and line of what went wrong."""
    own = (routing.ROUTERS, autoscaling.AUTOSCALERS, ordering.ORDERINGS, batching.BATCHINGS, processes.PROCESSES)
    registries: tuple[Any, ...] = (*own, names.ROUTERS, names.AUTOSCALERS, names.QUEUE_ORDERS, names.BATCHINGS)
    before = [registry.copy() for registry in registries]
    try:
        for file in files:
            _load(file.resolve())
        return Policies(*(dict(registry) for registry in own))  # type: ignore[arg-type]
    finally:
        for registry, kept in zip(registries, before, strict=True):
            registry.clear()
            registry.update(kept)


def _load(file: Path) -> None:
    """Run a file, so that it registers its policies."""
    name = f"infersim_plugin_{zlib.crc32(str(file).encode()):08x}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise PolicyError(f"plugin {file} is not a Python file (.py)")
    sys.modules[name] = module = importlib.util.module_from_spec(spec)  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        message = error.msg if isinstance(error, SyntaxError) else error
        raise PolicyError(
            f"plugin {file}{_line(error, file)} failed to load: {type(error).__name__}: {message}"
        ) from error


def _line(error: BaseException, file: Path) -> str:
    """`:12`, the last line of `file` that the error passed through."""
    line, trace = None, error.__traceback__
    if isinstance(error, SyntaxError) and error.filename == str(file):
        line = error.lineno
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(file):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f":{line}" if line else ""
