"""From timings of kernels to a chip's efficiencies: shares of its peaks and floors, graded `measured`.

The same formulas as in the cost model, solved for what they leave open: a product takes its floor plus the rounded corner
of arithmetic and bytes (`OVERLAP`), prefill attention its arithmetic, decode attention its bytes, an all-reduce a latency
and a bandwidth. No share comes out above 1. Not here: taking the times (`gpu.py`).
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from infersim.cost.chip import OVERLAP
from infersim.cost.collectives import all_reduce_s
from infersim.cost.roofline import DECODE_LAUNCHES
from infersim.spec.base import BYTES_PER_ELEMENT, Quantity, Ratio
from infersim.spec.hardware import Efficiency, Hardware, Link
from infersim.studies.errors import StudyError

LEAST_SHARE = 0.01
LARGE = 0.5
"""A share of attention is read off its longest runs: those of at least this share of the most work."""
SIXTEEN = 2.0
"""Bytes of keys, values and activations."""


@dataclass(frozen=True)
class Product:
    """(m x k) by (k x n), weights stored and multiplied in `dtype`."""

    dtype: str
    m: int
    n: int
    k: int
    seconds: float


@dataclass(frozen=True)
class Attention:
    """One layer: `batch` sequences, each with `queries` queries (causal where more than one) of `context` tokens."""

    batch: int
    queries: int
    context: int
    heads: int
    kv_heads: int
    head_dim: int
    seconds: float


@dataclass(frozen=True)
class Timings:
    """What was timed on one chip, or with all-reduces on several."""

    device: str
    """What its driver calls it."""
    products: list[Product]
    prefill: list[Attention]
    decode: list[Attention]
    stream_bytes_s: float
    """Bytes read and written a second by a large copy [B/s]."""
    floor_s: float
    """An empty kernel in a replayed graph [s]."""
    all_reduce: list[tuple[int, int, float]] = field(default_factory=list)
    """(chips, bytes, seconds)."""


def measured_profile(hardware: Hardware, timings: Timings) -> Hardware:
    """The profile with what was measured in the place of its efficiencies; StudyError where the times beat the peaks."""
    update: dict[str, object] = {"efficiency": fit_efficiency(hardware, timings)}
    if timings.all_reduce:
        update["link"] = fit_link(hardware, timings)
    return hardware.model_copy(update=update)


def fit_efficiency(hardware: Hardware, timings: Timings) -> Efficiency:
    """Shares of the peaks and the floor of an operator; dtypes that were not timed keep their shares."""
    from scipy.optimize import least_squares

    source = f"infersim measure on {timings.device}"
    if timings.stream_bytes_s > hardware.memory.bandwidth_gb_s.value * 1e9:
        found = f"a copy moves {timings.stream_bytes_s / 1e9:,.0f} GB/s"
        raise StudyError(f"{found}, more than the peak of {hardware.name}; is it this chip? Give --hardware", source)
    dtypes = sorted({product.dtype for product in timings.products})
    m, n, k, seconds = (
        np.array([getattr(p, key) for p in timings.products], float) for key in ("m", "n", "k", "seconds")
    )
    which = np.array([dtypes.index(product.dtype) for product in timings.products])
    width = np.array([BYTES_PER_ELEMENT[product.dtype] for product in timings.products])
    peaks = np.array([hardware.peak_tflops[dtype].value * 1e12 for dtype in dtypes])  # type: ignore[index]
    least_compute = 2.0 * m * n * k / peaks[which]
    least_memory = (n * k * width + SIXTEEN * m * (n + k)) / (hardware.memory.bandwidth_gb_s.value * 1e9)

    def predicted(knobs: NDArray[np.float64]) -> NDArray[np.float64]:
        compute, memory = least_compute / knobs[2:][which], least_memory / knobs[0]
        return knobs[1] * 1e-6 + (compute**OVERLAP + memory**OVERLAP) ** (1.0 / OVERLAP)

    start = np.array([0.8, max(0.1, timings.floor_s * 1e6), *[0.6] * len(dtypes)])
    lower = np.array([LEAST_SHARE, 0.01, *[LEAST_SHARE] * len(dtypes)])
    upper = np.array([1.0, 100.0, *[1.0] * len(dtypes)])
    fit = least_squares(
        lambda knobs: np.log(predicted(knobs) / seconds), start, bounds=(lower, upper), x_scale=start, loss="soft_l1",
        f_scale=0.1,
    )  # fmt: skip
    spread = _spread(np.log(predicted(fit.x) / seconds))
    memory, floor_us, *compute = fit.x
    old = hardware.efficiency
    return Efficiency(
        matmul_compute={
            **old.matmul_compute,
            **{dtype: _ratio(c, spread, source) for dtype, c in zip(dtypes, compute, strict=True)},  # type: ignore[misc]
        },
        matmul_memory=_ratio(memory, spread, source),
        attention_compute=_attention(hardware, timings, timings.prefill, floor_us, source) or old.attention_compute,
        attention_memory=_attention(hardware, timings, timings.decode, floor_us, source) or old.attention_memory,
        op_floor_us=Quantity(value=round(float(floor_us), 3), grade="measured", source=source, spread=spread),
    )


def _attention(
    hardware: Hardware, timings: Timings, runs: list[Attention], floor_us: float, source: str
) -> Ratio | None:
    """Share of the peak that the largest runs reach: of bandwidth with one query each, else of arithmetic."""
    if not runs:
        return None
    shares, work = [], []
    sixteen = "bf16" if "bf16" in hardware.efficiency.matmul_compute else "fp16"
    for run in runs:
        if run.queries == 1:
            amount = 2.0 * SIXTEEN * run.batch * run.context * run.kv_heads * run.head_dim
            least, floor = amount / (hardware.memory.bandwidth_gb_s.value * 1e9), DECODE_LAUNCHES * floor_us
        else:
            amount = 4.0 * run.batch * run.heads * run.head_dim * run.queries * (run.queries + 1) / 2.0
            least, floor = amount / (hardware.peak_tflops[sixteen].value * 1e12), floor_us  # type: ignore[index]
        work.append(amount)
        shares.append(least / max(least, run.seconds - floor * 1e-6))
    large = np.array(shares)[np.array(work) >= LARGE * max(work)]
    return _ratio(float(np.median(large)), _spread(np.log(large / np.median(large))), source)


def fit_link(hardware: Hardware, timings: Timings) -> Link:
    """Latency and achieved share of the link's bandwidth, from all-reduces of several sizes."""
    from scipy.optimize import least_squares

    source = f"infersim measure on {timings.device}, all-reduce"
    chips, message, seconds = (np.array(column, float) for column in zip(*timings.all_reduce, strict=True))

    def link(latency_us: float, share: float) -> Link:
        update = {
            "latency_us": Quantity(value=float(latency_us), grade="measured", source=source),
            "efficiency": Ratio(value=float(share), grade="measured", source=source),
        }
        return hardware.link.model_copy(update=update)

    def errors(knobs: NDArray[np.float64]) -> NDArray[np.float64]:
        tried = link(*knobs)
        return np.array(
            [
                math.log(float(all_reduce_s(tried, int(n), np.array(size), hardware.scale_out)) / s)
                for n, size, s in zip(chips, message, seconds, strict=True)
            ]
        )

    fit = least_squares(errors, [10.0, 0.6], bounds=([0.1, LEAST_SHARE], [1000.0, 1.0]), x_scale=[10.0, 0.6])
    found, spread = link(*fit.x), _spread(errors(fit.x))
    return found.model_copy(
        update={key: getattr(found, key).model_copy(update={"spread": spread}) for key in ("latency_us", "efficiency")}
    )


def _ratio(value: float, spread: float, source: str) -> Ratio:
    return Ratio(value=round(min(1.0, float(value)), 4), grade="measured", source=source, spread=spread)


def _spread(residuals: NDArray[np.float64]) -> float:
    """Half-width that holds two thirds of the residuals, at most 0.9."""
    return round(min(0.9, float(np.percentile(np.abs(residuals), 68))), 3)
