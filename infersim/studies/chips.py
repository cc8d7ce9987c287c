"""Chips side by side: facts, efficiencies, ridge points, prices and what they come to; their rooflines on one plot.

    infersim.compare_hardware("h100", "mi300x").table        pandas: a row a quantity, a column a chip

Peaks are dense, links one-directional, all of one chip. Not here: one chip alone (`infersim hardware show`), what a model
costs on a chip (`infersim plan`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from infersim.cost.chip import Chip
from infersim.spec import catalogue
from infersim.spec.base import BYTES_PER_ELEMENT, Quantity, leaves
from infersim.spec.hardware import Hardware
from infersim.studies.errors import StudyError

if TYPE_CHECKING:
    import pandas as pd

FACTS = (
    "vendor", "year", "memory", "on_chip_sram_mb", "peak_tflops", "link", "scale_out", "load_gb_s", "host_gb_s", "power",
    "embodied_kg", "efficiency",
)  # fmt: skip
ESTIMATED = "~ estimated: no public figure; `infersim hardware show NAME` says how"
SUFFIXES = (".png", ".svg", ".pdf")
UNDATED = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
"""What keeps the date out of a picture, so that the same chips give the same bytes."""
INTENSITIES = np.geomspace(0.25, 8192, 200)
"""Where a roofline is drawn [FLOP/B]."""


@dataclass(frozen=True)
class Comparison:
    """Some chips and what stands side by side."""

    chips: list[Hardware]

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """One for each quantity: its name, the value by chip (None where it has none), and the chips that estimate it."""
        columns = {chip.name: dict(quantities(chip)) for chip in self.chips}
        rows = []
        for name in _in_order([list(column) for column in columns.values()]):
            found = {chip: column.get(name) for chip, column in columns.items()}
            rows.append(
                {
                    "quantity": name,
                    **{chip: value.value if isinstance(value, Quantity) else value for chip, value in found.items()},
                    "estimated": [c for c, v in found.items() if isinstance(v, Quantity) and v.grade == "estimated"],
                }
            )
        return rows

    @property
    def table(self) -> "pd.DataFrame":
        """A row a quantity, a column a chip."""
        import pandas as pd

        return pd.DataFrame(self.rows).drop(columns="estimated").set_index("quantity")

    def plot(self, path: str | Path) -> None:
        """Draw the rooflines; the suffix of `path` says how. StudyError for a suffix that is no picture's."""
        path = Path(path)
        if path.suffix.lower() not in SUFFIXES:
            raise StudyError(f"a plot's name ends in {', '.join(SUFFIXES)}", str(path))
        draw(self.chips, path)


def compare_hardware(*names: str | Path) -> Comparison:
    """Put chips side by side, by name, beginning of a name, or path; StudyError for fewer than two."""
    chips = [catalogue.hardware(name, prefix=True) for name in names]
    chips = list({chip.name: chip for chip in chips}.values())
    if len(chips) < 2:
        raise StudyError(f"needs two chips or more to compare, found {len(chips)}", "hardware compare")
    return Comparison(chips)


def quantities(hardware: Hardware) -> Iterator[tuple[str, Any]]:
    """(name, value) of everything that is compared; names end in their units."""
    for key in FACTS:
        for path, value in leaves(getattr(hardware, key), key):
            yield path, str(value) if key == "year" else value
    chip = Chip(hardware)
    for dtype, point in chip.ridge_points().items():
        for which, flops_a_byte in point.items():
            if flops_a_byte is not None:
                yield f"ridge.{dtype}.{which} [FLOP/B]", round(flops_a_byte, 1)
    cheapest: dict[str, Quantity] = {}
    for price in hardware.prices:
        cheapest.setdefault(price.tier, price.usd_per_chip_hour)
    for tier, usd in cheapest.items():
        yield f"price.{tier} [USD/h]", usd
    usd_hour = hardware.prices[0].usd_per_chip_hour.value
    tflops, watts = chip.peak_flops(chip.sixteen_bit) / 1e12, hardware.power.tdp_w.value
    yield "16-bit peak TFLOP/s per USD/h", round(tflops / usd_hour, 1)
    yield "peak memory GB/s per USD/h", round(chip.peak_bytes_s / 1e9 / usd_hour, 1)
    yield "16-bit peak TFLOP/s per W", round(tflops / watts, 3)
    yield "peak memory GB/s per W", round(chip.peak_bytes_s / 1e9 / watts, 3)


def _in_order(columns: list[list[str]]) -> list[str]:
    """All names once; a name that the first chip lacks stands behind the one that it follows elsewhere."""
    names = list(columns[0])
    for column in columns[1:]:
        for place, name in enumerate(column):
            if name not in names:
                names.insert(names.index(column[place - 1]) + 1 if place else 0, name)
    return names


def attainable_tflops(hardware: Hardware, dtype: str, intensity: np.ndarray, achieved: bool) -> np.ndarray:
    """min(arithmetic, bytes x FLOP/B) for weights stored as `dtype`, at the peaks or as achieved [TFLOP/s]."""
    chip = Chip(hardware)
    flops = chip.matmul_flops(dtype) if achieved else chip.peak_flops(dtype)  # type: ignore[arg-type]
    return np.minimum(flops, intensity * (chip.weight_bytes_s if achieved else chip.peak_bytes_s)) / 1e12


def draw(chips: list[Hardware], path: Path) -> None:
    """Rooflines of products with 16-bit and with 8-bit weights: achieved solid, at the peaks dashed."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from infersim.results.plots import STYLE
    from infersim.studies.curve_plot import COLOURS

    with rc_context({**STYLE, "svg.hashsalt": "infersim"}):
        figure = Figure(figsize=(11, 5), layout="constrained")
        FigureCanvasAgg(figure)
        for axis, bits in zip(figure.subplots(1, 2, sharey=True), (16, 8), strict=True):
            for number, hardware in enumerate(chips):
                dtype, colour = _stored(hardware, bits), COLOURS[number % len(COLOURS)]
                if dtype is None:
                    continue
                solid, dashed = (attainable_tflops(hardware, dtype, INTENSITIES, a) for a in (True, False))
                axis.plot(INTENSITIES, solid, color=colour, label=f"{hardware.title} ({dtype})")
                axis.plot(INTENSITIES, dashed, color=colour, lw=0.8, ls="--")
            axis.set(xscale="log", yscale="log", xlabel="FLOP per byte of weights")
            axis.set_title(f"{bits}-bit weights: achieved, dashed at the peaks")
            width = BYTES_PER_ELEMENT["bf16" if bits == 16 else "fp8"]
            above = axis.secondary_xaxis("top", functions=(_tokens(width), _flops_a_byte(width)))
            above.set_xlabel("tokens in the step", fontsize=8)
            axis.title.set_position((0, 1.1))
            axis.legend(loc="lower right")
        figure.axes[0].set_ylabel("TFLOP/s of one chip")
        figure.savefig(path, metadata=UNDATED.get(path.suffix.lower()))


def _stored(hardware: Hardware, bits: int) -> str | None:
    """A dtype of so many bits that the chip can use: one that it computes in before one that it converts."""
    names = ("bf16", "fp16") if bits == 16 else ("fp8", "int8")
    native = [name for name in names if hardware.compute_dtype(name) == name]  # type: ignore[arg-type]
    usable = [name for name in names if hardware.compute_dtype(name)]  # type: ignore[arg-type]
    return next(iter(native + usable), None)


def _tokens(width: float):  # type: ignore[no-untyped-def]
    """Tokens at which a product with weights of `width` bytes has so many FLOP a byte: two for each weight and token."""
    return lambda intensity: intensity * width / 2.0


def _flops_a_byte(width: float):  # type: ignore[no-untyped-def]
    return lambda tokens: tokens * 2.0 / width
