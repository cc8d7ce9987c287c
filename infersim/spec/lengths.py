"""How long requests are: every distribution of token counts that a scenario can name.

Not here: drawing them (`infersim/workload/lengths.py`). Read `arrivals.py` next.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from infersim.spec.base import Count, NonNegative, Positive, Spec, wrong_at


class Constant(Spec):
    """Every request the same."""

    distribution: Literal["constant"]
    """One value."""
    value: Count
    """Tokens."""


class Uniform(Spec):
    """Every whole number from min to max equally often."""

    distribution: Literal["uniform"]
    """Uniform."""
    min: Count = 1
    """Fewest tokens."""
    max: Count
    """Most tokens."""

    @model_validator(mode="after")
    def _ordered(self) -> "Uniform":
        if self.max < self.min:
            raise wrong_at(("max",), f"found {self.max}, must be at least min {self.min}")
        return self


class Lognormal(Spec):
    """Lognormal token counts given by mean and 99th percentile, rounded, at least 1."""

    distribution: Literal["lognormal"]
    """Lognormal."""
    mean: Positive
    """Mean [tokens]."""
    p99: Positive
    """99th percentile [tokens]; above the mean."""
    max: Count | None = None
    """Longest allowed; longer draws are cut to it."""

    @model_validator(mode="after")
    def _skewed(self) -> "Lognormal":
        if self.p99 <= self.mean:
            found = f"found {self.p99:g}, must exceed the mean {self.mean:g}"
            raise wrong_at(("p99",), f"{found} (a lognormal is skewed to the right)")
        if self.p99 > 14.9 * self.mean:
            found = f"found {self.p99:g}, but no lognormal with a mean of {self.mean:g} has such a p99"
            raise wrong_at(("p99",), f"{found}: it is at most 14.9 x the mean")
        return self


class Pareto(Spec):
    """Pareto token counts: the share above x is (min/x)^exponent; rounded."""

    distribution: Literal["pareto"]
    """A power-law tail."""
    min: Positive
    """Where the tail begins [tokens]."""
    exponent: Positive
    """Tail exponent; the mean before cutting is min * exponent / (exponent - 1), without end at 1 and below."""
    max: Count | None = None
    """Longest allowed; longer draws are cut to it. Needed where the mean is without end."""

    @model_validator(mode="after")
    def _finite(self) -> "Pareto":
        if self.exponent <= 1 and self.max is None:
            raise wrong_at(("max",), f"is missing; with the exponent {self.exponent:g} the mean has no end without it")
        if self.max is not None and self.max < self.min:
            raise wrong_at(("max",), f"found {self.max}, must be at least min {self.min:g}")
        return self


class Zipf(Spec):
    """Zipf token counts: k tokens have probability proportional to k^-exponent, for k from 1 to max."""

    distribution: Literal["zipf"]
    """A discrete power law; BurstGPT's generator has exponent 1.1."""
    exponent: NonNegative
    """Exponent; 0 is uniform."""
    max: Annotated[int, Field(ge=1, le=10_000_000)]
    """Most tokens."""


class Empirical(Spec):
    """Token counts drawn with replacement from values, with optional weights; or from a column of a trace or table."""

    distribution: Literal["empirical"]
    """A table."""
    values: list[Count] | None = Field(default=None, min_length=1)
    """Tokens."""
    weights: list[NonNegative] | None = None
    """Relative frequency of each value; equal when absent."""
    file: str | None = None
    """A trace or a table of lengths in any known format, instead of values; sought like a trace. Zeros are left out."""
    column: Literal["input_tokens", "output_tokens"] | None = None
    """Which column of the file."""

    @model_validator(mode="after")
    def _matching(self) -> "Empirical":
        if (self.values is None) == (self.file is None):
            found = "found both values and file" if self.file else "is missing"
            raise wrong_at(("values",), f"{found}; give values, or a file and its column")
        if (self.column is None) != (self.file is None):
            right = "say input_tokens or output_tokens" if self.file else "goes with file only; remove it"
            raise wrong_at(("column",), right)
        if self.weights is not None and self.values is None:
            raise wrong_at(("weights",), "go with values only; remove them")
        if self.weights is not None and (len(self.weights) != len(self.values or ()) or sum(self.weights) <= 0):
            found = f"found {len(self.weights)} weights with a sum of {sum(self.weights):g}"
            raise wrong_at(
                ("weights",), f"{found} for {len(self.values or ())} values; give one for each value and a positive sum"
            )
        return self


_Plain = Constant | Uniform | Lognormal | Pareto | Zipf | Empirical


class Component(Spec):
    """One part of a mixture."""

    weight: Positive
    """Relative share."""
    tokens: Annotated[_Plain, Field(discriminator="distribution")]
    """Its distribution."""


class Mixture(Spec):
    """Token counts from one of several distributions each time."""

    distribution: Literal["mixture"]
    """A weighted sum."""
    components: list[Component] = Field(min_length=1, max_length=100)
    """The parts."""
    max: Count | None = None
    """Longest allowed; longer draws are cut to it."""


Lengths = Annotated[_Plain | Mixture, Field(discriminator="distribution")]
