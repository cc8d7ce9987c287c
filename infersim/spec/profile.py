"""One YAML file of a chip, a model or an engine to its spec model.

Not here: where profiles lie and what they are called (`catalogue.py`).
"""

from pathlib import Path

import yaml

from infersim.spec.base import Spec
from infersim.spec.document import read_document
from infersim.spec.translate import AnySpec, check


def load_yaml_model(path: str | Path, cls: type[AnySpec]) -> AnySpec:
    """The file at `path` as a `cls`; raises SpecError with file, line, key path and advice."""
    return check(read_document(path), cls)


def profile_yaml(profile: Spec, comment: str) -> str:
    """A chip or an engine as the YAML of a profile that can be loaded again, under a line of comment."""
    data = profile.model_dump(mode="json", exclude_none=True, exclude_defaults=False)
    text = yaml.safe_dump(data, sort_keys=False, width=10_000, allow_unicode=True, default_flow_style=None)
    return f"# {comment}\n{text}"
