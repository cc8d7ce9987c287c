"""The error of a policy, shipped or a user's, and where it happened."""

import traceback
from pathlib import Path


class PolicyError(ValueError):
    """A policy is unknown, cannot be loaded, raised, or answered nonsense; the message says what would be right."""


def where(error: BaseException) -> str:
    """The file and line that raised, as ` (file.py:12)`."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f" ({Path(frame.filename).name}:{frame.lineno})"
