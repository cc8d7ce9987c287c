"""Shipped profiles: few fitted numbers, each with a spread; engines that match their chips."""

from collections.abc import Iterator

import pytest

from infersim.spec import catalogue
from infersim.spec.base import Quantity, Spec


def quantities(spec: object) -> Iterator[Quantity]:
    """Every graded number inside."""
    if isinstance(spec, Quantity):
        yield spec
    elif isinstance(spec, Spec):
        for name in type(spec).model_fields:
            yield from quantities(getattr(spec, name))
    elif isinstance(spec, dict):
        for value in spec.values():
            yield from quantities(value)
    elif isinstance(spec, list):
        for value in spec:
            yield from quantities(value)


@pytest.mark.parametrize("name", catalogue.hardware_names())
def test_a_chip_has_at_most_eight_fitted_numbers(name: str) -> None:
    chip = catalogue.hardware(name)
    found = [*quantities(chip.efficiency), *quantities(chip.link)]
    assert sum(quantity.grade == "calibrated" for quantity in found) <= 8


@pytest.mark.parametrize("name", catalogue.engine_names())
def test_an_engine_has_at_most_six_fitted_numbers(name: str) -> None:
    assert sum(quantity.grade == "calibrated" for quantity in quantities(catalogue.engine(name))) <= 6


@pytest.mark.parametrize("name", [*catalogue.hardware_names(), *catalogue.engine_names()])
def test_what_was_fitted_or_estimated_says_how_sure_it_is(name: str) -> None:
    known = name in catalogue.hardware_names()
    spec = catalogue.hardware(name) if known else catalogue.engine(name)
    for quantity in quantities(spec):
        if quantity.grade in ("calibrated", "estimated"):
            assert quantity.spread > 0, quantity.source


@pytest.mark.parametrize("name", catalogue.hardware_names())
def test_efficiencies_only_of_known_peaks_and_links_within_reason(name: str) -> None:
    chip = catalogue.hardware(name)
    peaks = {dtype: quantity.value for dtype, quantity in chip.peak_tflops.items()}
    if {"bf16", "fp8"} <= peaks.keys() and name not in ("rubin-nvl72", "trainium3"):  # these compute more in 8 bits
        assert peaks["fp8"] <= 2.05 * peaks["bf16"]  # dense beside dense: a sparse peak would be twice that
    assert chip.power.idle_w.value < chip.power.tdp_w.value
    assert chip.efficiency.matmul_memory.value * chip.memory.bandwidth_gb_s.value <= chip.memory.bandwidth_gb_s.value
