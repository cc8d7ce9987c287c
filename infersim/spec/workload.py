"""What arrives: when (`arrivals.py`) and how long (`lengths.py`), put together.

Not here: drawing it (`infersim/workload/generate.py`).
"""

from typing import Annotated

from pydantic import Field, model_validator

from infersim.spec.arrivals import Arrivals
from infersim.spec.base import Spec, wrong_at
from infersim.spec.lengths import Lengths


class Workload(Spec):
    """What arrives."""

    arrivals: Arrivals
    """When requests come."""
    input_tokens: Lengths | None = None
    """Prompt lengths; a trace brings its own."""
    output_tokens: Lengths | None = None
    """Output lengths; a trace brings its own."""
    length_correlation: Annotated[float, Field(ge=-1, le=1)] = 0.0
    """Rank correlation (Spearman) of prompt and output length, by a Gaussian copula."""

    @model_validator(mode="after")
    def _lengths_known(self) -> "Workload":
        traced = self.arrivals.process == "trace"
        for key in ("input_tokens", "output_tokens"):
            given = getattr(self, key) is not None
            if traced and given:
                raise wrong_at((key,), f"a trace brings its own lengths; remove {key}")
            if not traced and not given:
                raise wrong_at((key,), "is missing; say how long requests are")
        if traced and self.length_correlation:
            raise wrong_at(("length_correlation",), "a trace brings its own lengths; remove length_correlation")
        return self

    @property
    def ends(self) -> bool:
        """Whether the arrivals end by themselves, so that a scenario needs no horizon."""
        return self.arrivals.process == "trace" and not self.arrivals.loop
