"""How a pool gets its machines and what it pays for them: tiers, price series, spot reclaims, stock-outs, owned chips.

Not here: the chips' known prices (`hardware.py`), and the billing period (`life.py`).
"""

from typing import Literal

from pydantic import model_validator

from infersim.spec.base import Count, NonNegative, Positive, Spec, wrong_at
from infersim.spec.series import Capacity, Series

Tier = Literal["on_demand", "spot", "reserved", "neocloud", "owned"]


class Spot(Spec):
    """Machines that the seller may take back."""

    notice_s: NonNegative = 120.0
    """Time from the notice to the end [s]: 120 at AWS, 30 at Google Cloud and Azure."""
    reclaims_per_hour: NonNegative = 0.0
    """Hazard that a machine is taken back, beside what the source's capacity forces [1/h]."""


class StockOuts(Spec):
    """Times at which no machine is to be had, at random; machines that are held already stay."""

    mean_between_s: Positive
    """Mean time from the end of one to the next [s], exponential."""
    mean_s: Positive
    """Mean length [s], exponential."""


class Owned(Spec):
    """What a chip of one's own costs; electricity is paid by the kWh that it draws."""

    purchase_usd_per_chip: Positive
    """A chip with its share of server, network and installation [USD]."""
    years: Positive = 4.0
    """Written off over so many years."""
    interest: NonNegative = 0.0
    """Cost of capital a year; the purchase is paid back as an annuity."""
    staff_usd_per_chip_year: NonNegative = 0.0
    """People and maintenance [USD]."""
    space_usd_per_kw_month: NonNegative = 0.0
    """The building with its cooling plant, by the chip's power limit x PUE [USD]."""
    electricity_usd_per_kwh: NonNegative | None = None
    """Price of electricity [USD/kWh]; the region's when absent."""

    def usd_per_chip_hour(self, tdp_w: float, pue: float) -> float:
        """Everything but electricity [USD per chip-hour], used or not."""
        rate, years = self.interest, self.years
        yearly = self.purchase_usd_per_chip * (rate / (1 - (1 + rate) ** -years) if rate else 1 / years)
        space = 12 * self.space_usd_per_kw_month * tdp_w * pue / 1000
        return (yearly + self.staff_usd_per_chip_year + space) / 8760


class PriceChoice(Spec):
    """One way to get machines, and its price."""

    tier: Tier = "on_demand"
    """Tier to look up in the chip's profile."""
    provider: str | None = None
    """Provider to look up; the profile's first of the tier when absent."""
    usd_per_chip_hour: NonNegative | None = None
    """Your own price [USD per chip-hour]; wins over the profile."""
    series: Series | None = None
    """A price that changes [USD per chip-hour]; wins over the profile."""
    owned: Owned | None = None
    """What your own chips cost; wins over the profile. Only for tier owned."""
    limit: Count | None = None
    """Quota: most replicas at once from this source."""
    patience_s: NonNegative = 0.0
    """How long a replica waits for this source before it asks the next of the pool's fallbacks too [s]."""
    capacity: Capacity | None = None
    """How many replicas the seller has machines for; spot machines beyond it are taken back."""
    stock_outs: StockOuts | None = None
    """When the seller has none left."""
    spot: Spot | None = None
    """How machines are taken back. Only for tier spot; never, with notice_s 120, when absent."""

    @model_validator(mode="after")
    def _of_its_tier(self) -> "PriceChoice":
        for key in ("spot", "owned"):
            if getattr(self, key) is not None and self.tier != key:
                raise wrong_at((key,), f"is for tier {key}, found tier {self.tier}; remove it or change the tier")
        own = [key for key in ("usd_per_chip_hour", "series", "owned") if getattr(self, key) is not None]
        if len(own) > 1:
            raise wrong_at((own[1],), f"found beside {own[0]}; give one price")
        if self.series and self.series.values and min(self.series.values) < 0:
            raise wrong_at(("series", "values"), f"found {min(self.series.values):g}; a price must not be negative")
        return self
