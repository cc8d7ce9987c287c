"""Which price a pool pays."""

import pytest

from infersim.cost.price import choose_price
from infersim.spec import catalogue
from infersim.spec.purchase import PriceChoice


def test_your_own_price_wins() -> None:
    assert choose_price(catalogue.hardware("h100-sxm"), PriceChoice(usd_per_chip_hour=1.25)) == (1.25, "the scenario")


def test_first_of_the_tier_with_its_source() -> None:
    usd, source = choose_price(catalogue.hardware("h100-sxm"), PriceChoice(tier="on_demand"))
    assert usd == 6.88  # AWS p5.48xlarge, 55.04 USD/h for 8 chips
    assert "aws us-east-1, on_demand, 2025-06" in source


def test_of_a_provider() -> None:
    assert choose_price(catalogue.hardware("h100-sxm"), PriceChoice(provider="oci"))[0] == 10.0


def test_an_unknown_price_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"tpu-v5e has no reserved price; known: on_demand of gcp.*usd_per_chip_hour"):
        choose_price(catalogue.hardware("tpu-v5e"), PriceChoice(tier="reserved"))


@pytest.mark.parametrize("name", catalogue.hardware_names())
def test_every_chip_has_an_on_demand_price(name: str) -> None:
    usd, source = choose_price(catalogue.hardware(name), PriceChoice())
    assert usd > 0
    assert source
