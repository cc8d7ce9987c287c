"""Something that changes with time as steps: a price, a carbon intensity, how many machines are to be had.

Not here: reading the files (`infersim/workload/recorded.py`), and what follows from them.
"""

from typing import Annotated, Self

from pydantic import Field, model_validator

from infersim.spec.base import NonNegative, Positive, Spec, wrong_at

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Steps(Spec):
    """Times with what holds from each on: written out, or in a file."""

    at_s: list[NonNegative] | None = Field(default=None, min_length=1)
    """When each value begins to hold [s]; the first at 0, rising."""
    file: str | None = None
    """A recorded series instead, relative to the scenario or in $INFERSIM_TRACES."""

    def _check(self, values: list | None, key: str) -> None:
        """Either a file, or as many values as times."""
        if self.file is not None:
            for name, given in (("at_s", self.at_s), (key, values)):
                if given is not None:
                    raise wrong_at((name,), "found beside a file; give one of the two")
            return
        if self.at_s is None or values is None:
            missing = "at_s" if self.at_s is None else key
            raise wrong_at((missing,), f"is missing; give at_s and {key}, or a file")
        if len(self.at_s) != len(values):
            raise wrong_at((key,), f"has {len(values)} values for {len(self.at_s)} times in at_s; give one for each")
        if self.at_s[0] != 0:
            raise wrong_at(("at_s", 0), f"found {self.at_s[0]:g}; the first value must hold from 0 on, without a gap")
        for index, (before, after) in enumerate(zip(self.at_s, self.at_s[1:], strict=False)):
            if after <= before:
                raise wrong_at(("at_s", index + 1), f"found {after:g} after {before:g}; times must rise")


class Series(Steps):
    """A quantity over time."""

    values: list[Finite] | None = None
    """What holds from each time on, in the unit of the key."""
    column: str | None = None
    """The file's column; its last when absent."""
    start: str | None = None
    """Time in the file at which the run begins, as it is written there; its first when absent."""
    scale: Positive = 1.0
    """What the file's values are multiplied by: 0.001 for USD/MWh where USD/kWh are wanted."""
    repeat: bool = False
    """Whether the series begins again at its end; else it must last as long as the run."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        self._check(self.values, "values")
        for key, default in (("column", None), ("start", None), ("scale", 1.0), ("repeat", False)):
            if self.file is None and getattr(self, key) != default:
                raise wrong_at((key,), "is for a file, and there is none; remove it")
        return self


class Capacity(Steps):
    """How many replicas a seller has machines for, over time."""

    replicas: list[Annotated[int, Field(ge=0)]] | None = None
    """From each time on."""
    nodes_per_replica: Positive = 1.0
    """Nodes of the file that one replica takes."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        self._check(self.replicas, "replicas")
        return self
