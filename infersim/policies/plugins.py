"""Policies of users' own: Python files named in a scenario, and policies looked up by name.

A plugin file is ordinary Python that registers policies with `@routing` and `@autoscaling`. It is loaded once for each
run. Not here: what a policy looks like (`routing.py`, `autoscaling.py`).
"""

import importlib.util
import zlib
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from infersim.policies.errors import PolicyError

Policy = TypeVar("Policy")


def load_plugins(files: Iterable[Path]) -> None:
    """Run each file, so that it registers its policies. Raises PolicyError with file and line of what went wrong."""
    for file in files:
        name = f"infersim_plugin_{zlib.crc32(str(file.resolve()).encode()):08x}"
        spec = importlib.util.spec_from_file_location(name, file)
        if spec is None or spec.loader is None:
            raise PolicyError(f"plugin {file} is not a Python file (.py)")
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            raise PolicyError(
                f"plugin {file}{_line(error, file)} failed to load: {type(error).__name__}: {error}"
            ) from error


def _line(error: Exception, file: Path) -> str:
    """`:12`, the last line of `file` in the error's traceback."""
    line, trace = getattr(error, "lineno", None), error.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename) == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return f":{line}" if line else ""


def policy(kind: str, known: dict[str, Policy], name: str) -> Policy:
    """The policy called `name`; PolicyError with the nearest names if there is none."""
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=3)
    advice = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(sorted(known))}"
    raise PolicyError(f"unknown {kind} policy {name!r}; {advice}")
