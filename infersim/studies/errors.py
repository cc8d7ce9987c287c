"""What a study cannot do, said once and clearly.

Not here: what is wrong with one scenario (`infersim/spec/errors.py`).
"""

from infersim.spec.errors import Problem, SpecError


class StudyError(SpecError):
    """A study cannot be done as it was asked for; the message says what was found and what would be right."""

    def __init__(self, message: str, source: str = "") -> None:
        """Keep the message, and what it is about: `--grid key=1,2`, a file, an address."""
        super().__init__(Problem(message, source))
        self.message, self.source = message, source

    def __reduce__(self) -> tuple[type["StudyError"], tuple[str, str]]:  # type: ignore[override]
        """Pickle by message."""
        return type(self), (self.message, self.source)
