"""JSON Schemas of the files that users write, for editors and other programs.

Not here: checks across files (`resolve.py`), which a schema cannot say.
"""

from typing import Any

from infersim.spec.base import Spec
from infersim.spec.engine import Engine
from infersim.spec.errors import Problem, SpecError, nearest
from infersim.spec.hardware import Hardware
from infersim.spec.model import Model
from infersim.spec.scenario import Scenario

KINDS: dict[str, type[Spec]] = {"scenario": Scenario, "hardware": Hardware, "model": Model, "engine": Engine}
"""Kinds of files."""


def schema(kind: str) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a scenario, hardware, model or engine file; raises SpecError for another kind."""
    if kind not in KINDS:
        raise SpecError(Problem(f"unknown kind of file {kind}; {nearest(kind, KINDS)}", source=""))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **KINDS[kind].model_json_schema()}
