"""The building around the chips: its power and water usage, the carbon of its electricity, how long chips are kept.

Not here: what they come to (`infersim/results/power.py`).
"""

from typing import Annotated

from pydantic import Field, model_validator

from infersim.spec.base import NonNegative, Positive, Spec, wrong_at
from infersim.spec.errors import nearest

GRIDS = {
    "asia-east1": 439.29, "asia-northeast1": 452.85, "asia-northeast3": 356.57, "asia-south1": 678.76,
    "asia-southeast1": 366.85, "australia-southeast1": 497.5, "europe-central2": 642.88, "europe-north1": 39.32,
    "europe-north2": 2.73, "europe-west1": 103.37, "europe-west2": 105.94, "europe-west3": 275.82,
    "europe-west4": 208.81, "europe-west9": 16.3, "me-central2": 382.23, "northamerica-northeast1": 5.48,
    "southamerica-east1": 67.32, "us-central1": 412.72, "us-east4": 323.05, "us-east5": 323.05,
    "us-south1": 302.95, "us-west1": 79.23, "us-west2": 169.28, "us-west4": 357.3,
}  # fmt: skip
"""Carbon intensity of the local grid by Google Cloud region [gCO2eq/kWh], location based, mean of 2024. Source:
github.com/GoogleCloudPlatform/region-carbon-info, data/yearly/2024.csv @49f3f26."""


class Facility(Spec):
    """The building around the chips."""

    pue: Annotated[float, Field(ge=1, le=3)] = 1.2
    """Power of the building over power of the chips."""
    region: str | None = None
    """Whose grid it draws from, a Google Cloud region (us-central1, europe-west4): decides the carbon of a kWh."""
    carbon_g_per_kwh: NonNegative | None = None
    """Your own figure for the electricity [gCO2eq/kWh]; wins over the region's."""

    water_l_per_kwh: NonNegative | None = None
    """Water that cooling takes for each kWh of the chips [L/kWh], as WUE of The Green Grid counts it on site. Published
    means of 2023 and 2024: Microsoft 0.30, AWS 0.18."""
    chip_lifetime_years: Positive = 4.0
    """How long chips are kept [years of 8,766 h]; the carbon of making them is spread over it."""

    @model_validator(mode="after")
    def _known(self) -> "Facility":
        if self.region is not None and self.region not in GRIDS:
            message = f"unknown region {self.region}; {nearest(self.region, GRIDS)}; or give carbon_g_per_kwh yourself"
            raise wrong_at(("region",), message)
        return self

    @property
    def grid_g_per_kwh(self) -> float | None:
        """Carbon of its electricity [gCO2eq/kWh]; None when the scenario does not say."""
        if self.carbon_g_per_kwh is not None:
            return self.carbon_g_per_kwh
        return None if self.region is None else GRIDS[self.region]
