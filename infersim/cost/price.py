"""Which price a source of machines asks: the user's own, a series, what owned chips cost, or the profile's.

Not here: what the hours add up to (`infersim/results/money.py`).
"""

from dataclasses import dataclass

from infersim.cost.series import StepFunction, constant
from infersim.spec.hardware import Hardware
from infersim.spec.purchase import PriceChoice

PUE = 1.2
"""Taken for the space of owned chips where no building is given."""


@dataclass(frozen=True)
class Tariff:
    """What one source of a pool's machines asks."""

    tier: str
    provider: str
    """`scenario` where that gives the price itself."""
    usd_per_chip_hour: StepFunction
    """Over the run [USD per chip-hour]."""
    source: str
    """Where the price comes from."""
    metered: bool = False
    """Whether electricity is paid on top, by the kWh."""


def choose_price(hardware: Hardware, choice: PriceChoice, pue: float = PUE) -> tuple[float, str]:
    """Price [USD per chip-hour] and where it comes from; that of a series is its first.

    ValueError lists the known prices when none matches, and says so of a series in a file, which has no single price.
    """
    if choice.usd_per_chip_hour is not None:
        return choice.usd_per_chip_hour, "the scenario"
    if choice.owned is not None:
        return choice.owned.usd_per_chip_hour(hardware.power.tdp_w.value, pue), "the scenario: owned, less electricity"
    if choice.series is not None:
        if choice.series.values is None:
            raise ValueError(f"the prices of {choice.series.file} change; give usd_per_chip_hour for a single one")
        return choice.series.values[0], "the scenario: a series"
    for price in hardware.prices:
        if price.tier == choice.tier and choice.provider in (None, price.provider):
            place = f"{price.provider} {price.region}" if price.region else price.provider
            quantity = price.usd_per_chip_hour
            return quantity.value, f"{place}, {price.tier}, {price.date} ({quantity.grade}: {quantity.source})"
    wanted = f"{choice.tier} price" + (f" of {choice.provider}" if choice.provider else "")
    known = "; ".join(f"{price.tier} of {price.provider}" for price in hardware.prices)
    raise ValueError(f"{hardware.name} has no {wanted}; known: {known}; or give usd_per_chip_hour yourself")


def tariff(hardware: Hardware, choice: PriceChoice, prices: StepFunction | None, pue: float) -> Tariff:
    """What a source asks; `prices` are those of its series, where it has one."""
    own = choice.usd_per_chip_hour is not None or choice.series is not None or choice.owned is not None
    provider = "scenario" if own else choice.provider or "unknown"
    if prices is not None:
        assert choice.series is not None
        where = choice.series.file or "the scenario"
        return Tariff(choice.tier, provider, prices, f"a series: {where}")
    usd, source = choose_price(hardware, choice, pue)
    return Tariff(choice.tier, provider, constant(usd), source, choice.owned is not None)
