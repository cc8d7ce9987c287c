"""One YAML file of a chip, a model or an engine to its spec model.

Not here: where profiles lie and what they are called (`catalogue.py`).
"""

from pathlib import Path

from infersim.spec.document import read_document
from infersim.spec.translate import AnySpec, check


def load_yaml_model(path: str | Path, cls: type[AnySpec]) -> AnySpec:
    """The file at `path` as a `cls`; raises SpecError with file, line, key path and advice."""
    return check(read_document(path), cls)
