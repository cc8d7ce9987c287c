"""Which price a pool pays: the user's own, or the first of the chip's profile that matches.

Not here: what the hours add up to (`infersim/results/money.py`).
"""

from infersim.spec.hardware import Hardware
from infersim.spec.scenario import PriceChoice


def choose_price(hardware: Hardware, choice: PriceChoice) -> tuple[float, str]:
    """Price [USD per chip-hour] and where it comes from; ValueError lists the known prices when none matches."""
    if choice.usd_per_chip_hour is not None:
        return choice.usd_per_chip_hour, "the scenario"
    for price in hardware.prices:
        if price.tier == choice.tier and choice.provider in (None, price.provider):
            place = f"{price.provider} {price.region}" if price.region else price.provider
            quantity = price.usd_per_chip_hour
            return quantity.value, f"{place}, {price.tier}, {price.date} ({quantity.grade}: {quantity.source})"
    wanted = f"{choice.tier} price" + (f" of {choice.provider}" if choice.provider else "")
    known = "; ".join(f"{price.tier} of {price.provider}" for price in hardware.prices)
    raise ValueError(f"{hardware.name} has no {wanted}; known: {known}; or give usd_per_chip_hour yourself")
