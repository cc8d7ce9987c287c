"""Files to spec models: `load_scenario` for scenarios, `load_yaml_model` for a chip, a model or an engine.

Not here: YAML itself (`document.py`), messages (`translate.py`), names and what fits together (`resolve.py`).
Read `catalogue.py` next.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infersim.spec.catalogue import scenario_path
from infersim.spec.document import document_of, read_document
from infersim.spec.overrides import override
from infersim.spec.profile import load_yaml_model
from infersim.spec.resolve import resolve_pools
from infersim.spec.scenario import Scenario
from infersim.spec.translate import check

__all__ = ["load_scenario", "load_yaml_model"]


def load_scenario(source: str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> Scenario:
    """A checked scenario from a file, from the name of a shipped one (chat_burst), or from a mapping.

    `overrides` are `key=value` as of `--set` (see `overrides.py`), applied before anything is checked. Names of chips,
    models, engines, dtypes and policies are checked against the catalogue, and that they fit together; whether the
    files of a trace and of plugins are there is found out by `resolve`.

    Raises SpecError with every problem: file, line, key path, what was found and what would be right.
    """
    document = document_of(source) if isinstance(source, Mapping) else read_document(scenario_path(source))
    document = override(document, overrides)
    scenario = check(document, Scenario).read_from(document)
    resolve_pools(scenario)
    return scenario
