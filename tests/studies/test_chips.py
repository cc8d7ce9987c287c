"""Chips side by side, against numbers worked out by hand from datasheets."""

from pathlib import Path

import numpy as np
import pytest

import infersim
from infersim.spec import catalogue
from infersim.studies.chips import attainable_tflops
from infersim.studies.errors import StudyError


def test_datasheets_side_by_side() -> None:
    """989.4 TFLOP/s over 3.35 TB/s is 295.3 FLOP/B and over 700 W 1.413 TFLOP/s a watt; 1307.4 over 5.3 TB/s is 246.7."""
    table = infersim.compare_hardware("h100", "mi300x").table
    assert table.loc["memory.bandwidth_gb_s"].tolist() == [3350, 5300]
    assert table.loc["ridge.bf16.peak [FLOP/B]"].tolist() == [295.3, 246.7]
    assert table.loc["16-bit peak TFLOP/s per W", "h100-sxm"] == pytest.approx(989.4 / 700, abs=1e-3)
    assert table.loc["price.on_demand [USD/h]", "mi300x"] == 6


def test_what_one_chip_lacks_is_empty_and_estimates_are_marked() -> None:
    rows = {row["quantity"]: row for row in infersim.compare_hardware("h100-sxm", "groq-lpu").rows}
    assert rows["peak_tflops.fp8"]["groq-lpu"] is None
    assert rows["power.idle_w"]["estimated"] == ["h100-sxm", "groq-lpu"]
    assert rows["memory.bandwidth_gb_s"]["estimated"] == []
    assert [row for row in rows if row.startswith("peak_tflops")][:2] == ["peak_tflops.tf32", "peak_tflops.bf16"]


def test_the_corner_of_the_roofline() -> None:
    """At 100 FLOP/B an H100 is at 335 TFLOP/s at the most, from 295.3 FLOP/B on at 989.4; achieved is never more."""
    intensity = np.array([100.0, 1000.0])
    chip = catalogue.hardware("h100-sxm")
    peak = attainable_tflops(chip, "bf16", intensity, achieved=False)
    assert peak == pytest.approx([335.0, 989.4])
    assert (attainable_tflops(chip, "bf16", intensity, achieved=True) < peak).all()


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_plot_is_drawn_the_same_each_time(suffix: str, tmp_path: Path) -> None:
    found = infersim.compare_hardware("h100-sxm", "tpu-v5e", "groq-lpu")
    for name in ("a", "b"):
        found.plot(tmp_path / f"{name}.{suffix}")
    first = (tmp_path / f"a.{suffix}").read_bytes()
    assert len(first) > 5000
    assert first == (tmp_path / f"b.{suffix}").read_bytes()


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="two chips or more to compare, found 1"):
        infersim.compare_hardware("h100", "h100-sxm")
    with pytest.raises(StudyError, match=r"\.png, \.svg, \.pdf"):
        infersim.compare_hardware("h100", "l40s").plot(tmp_path / "plot.txt")
