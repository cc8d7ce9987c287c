"""Regions: where requests come from and pools stand, how far they lie apart, and what electricity costs and emits there.

Not here: who is sent where (`infersim/policies/routing.py`).
"""

from typing import Annotated

from pydantic import Field, model_validator

from infersim.spec.base import NonNegative, Spec, wrong_at
from infersim.spec.errors import nearest
from infersim.spec.facility import GRIDS
from infersim.spec.series import Series


class Region(Spec):
    """A place with users, pools, or both."""

    name: str = Field(min_length=1)
    """Unique in the scenario."""
    round_trip_ms: dict[str, NonNegative] = Field(default_factory=dict)
    """Round trips to other regions, one way of writing being enough, and to itself (1 ms when absent) [ms]."""
    utc_offset_h: Annotated[float, Field(ge=-14, le=14)] = 0.0
    """Hours by which its sun is ahead of UTC: longitude / 15."""
    electricity_usd_per_kwh: NonNegative | None = None
    """Price of electricity [USD/kWh]."""
    electricity: Series | None = None
    """A price that changes [USD/kWh]; may be negative."""
    grid: str | None = None
    """A Google Cloud region whose mean carbon intensity of 2024 holds (us-central1, europe-west4)."""
    carbon_g_per_kwh: NonNegative | None = None
    """Your own figure [gCO2eq/kWh]."""
    carbon: Series | None = None
    """A carbon intensity that changes [gCO2eq/kWh]."""
    egress_usd_per_gb: NonNegative = 0.0
    """What its clouds ask for data that leaves it for another region [USD/GB]; 0.02 between regions of AWS, 0.09 out."""

    @model_validator(mode="after")
    def _consistent(self) -> "Region":
        for keys in (("electricity_usd_per_kwh", "electricity"), ("grid", "carbon_g_per_kwh", "carbon")):
            given = [key for key in keys if getattr(self, key) is not None]
            if len(given) > 1:
                raise wrong_at((given[1],), f"found beside {given[0]}; give one of the two")
        if self.grid is not None and self.grid not in GRIDS:
            raise wrong_at(
                ("grid",), f"unknown grid {self.grid}; {nearest(self.grid, GRIDS)}; or give carbon_g_per_kwh"
            )
        return self

    @property
    def grid_g_per_kwh(self) -> float | None:
        """A carbon intensity that does not change [gCO2eq/kWh]; None when the scenario gives none."""
        return GRIDS[self.grid] if self.grid is not None else self.carbon_g_per_kwh


LOCAL_MS = 1.0
"""Round trip inside a region where none is given [ms]."""


def round_trip_ms(regions: list[Region], one: str, other: str) -> float | None:
    """Round trip between two regions [ms]; None if nobody gives it."""
    found = {region.name: region.round_trip_ms for region in regions}
    given = found[one].get(other, found[other].get(one))
    return LOCAL_MS if given is None and one == other else given
