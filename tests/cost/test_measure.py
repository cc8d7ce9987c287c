"""The fit of `infersim measure` against timings made from known efficiencies; what it says without a GPU.

The kernels themselves need a GPU and are not run here.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from infersim.cli.measure import chip_of
from infersim.spec import catalogue
from infersim.studies import gpu
from infersim.studies.errors import StudyError
from infersim.studies.measure import Attention, Product, Timings, measured_profile
from tests.cli.conftest import infersim as infersim  # the fixture

H100 = catalogue.hardware("h100-sxm")
SHAPES = ((4096, 6144), (4096, 4096), (4096, 28672), (14336, 4096))
TOKENS = (1, 16, 64, 256, 1024, 4096, 8192)
BYTES_S, BF16, FP8 = 3.35e12, 989.4e12, 1978.9e12


def product_s(m: int, k: int, n: int, peak: float, width: float) -> float:
    """80 % of bandwidth, 70 % of arithmetic, 3 us: with both sides equally long 2^(1/2.5) times one of them."""
    compute, memory = 2 * m * n * k / (0.7 * peak), (n * k * width + 2 * m * (n + k)) / (0.8 * BYTES_S)
    return 3e-6 + (compute**2.5 + memory**2.5) ** (1 / 2.5)


def timings(noise: float = 0.0, **changed: Any) -> Timings:
    rng = np.random.default_rng(3)

    def blurred(seconds: float) -> float:
        return seconds * float(np.exp(noise * rng.standard_normal()))

    products = [
        Product(dtype, m, n, k, blurred(product_s(m, k, n, peak, width)))
        for dtype, peak, width in (("bf16", BF16, 2.0), ("fp8", FP8, 1.0))
        for k, n in SHAPES
        for m in TOKENS
    ]
    prefill = [
        Attention(1, t, t, 32, 8, 128, blurred(3e-6 + 4 * 32 * 128 * t * (t + 1) / 2 / (0.55 * BF16)))
        for t in (1024, 4096, 16384)
    ]
    decode = [
        Attention(b, 1, c, 32, 8, 128, blurred(9e-6 + 2 * 2 * b * c * 8 * 128 / (0.85 * BYTES_S)))
        for b, c in ((1, 8192), (64, 4096), (128, 4096))
    ]
    reduces = [
        (4, size, 6e-6 + min(3 * size / (0.6 * 450e9), 0.75 * 6e-6 + 1.5 * size / (0.6 * 450e9)))
        for size in (8192, 65536, 1 << 20, 1 << 24, 1 << 27)
    ]
    return Timings(**{
        "device": "test", "products": products, "prefill": prefill, "decode": decode, "stream_bytes_s": 2.9e12,
        "floor_s": 2.5e-6, "all_reduce": reduces, **changed,
    })  # fmt: skip


@pytest.mark.parametrize(("noise", "within"), [(0.0, 0.01), (0.03, 0.05)])
def test_known_efficiencies_are_found_again(noise: float, within: float) -> None:
    profile = measured_profile(H100, timings(noise))
    found = profile.efficiency
    assert found.matmul_compute["bf16"].value == pytest.approx(0.7, rel=within)
    assert found.matmul_compute["fp8"].value == pytest.approx(0.7, rel=within)
    assert found.matmul_memory.value == pytest.approx(0.8, rel=within)
    assert found.attention_compute.value == pytest.approx(0.55, rel=within)
    assert found.attention_memory.value == pytest.approx(0.85, rel=within)
    assert found.op_floor_us.value == pytest.approx(3.0, rel=max(within, 4 * noise))
    assert profile.link.latency_us.value == pytest.approx(6.0, rel=within)
    assert profile.link.efficiency.value == pytest.approx(0.6, rel=within)
    for quantity in (*(found.matmul_compute[d] for d in ("bf16", "fp8")), found.op_floor_us, found.attention_memory):
        assert quantity.grade == "measured"
        assert quantity.spread <= max(0.01, 2 * noise)


def test_what_was_not_timed_keeps_its_numbers() -> None:
    profile = measured_profile(H100, timings(prefill=[], decode=[], all_reduce=[]))
    assert profile.efficiency.attention_compute == H100.efficiency.attention_compute
    assert profile.efficiency.matmul_compute["int8"] == H100.efficiency.matmul_compute["int8"]
    assert profile.link == H100.link


def test_no_share_is_above_one() -> None:
    """Times that beat the peaks are those of another chip: refused by the copy, else shares end at 1."""
    fast = [Product("bf16", 4096, 4096, 4096, 1e-6)]
    assert measured_profile(H100, timings(products=fast)).efficiency.matmul_compute["bf16"].value == 1.0
    with pytest.raises(StudyError, match="more than the peak of h100-sxm"):
        measured_profile(H100, timings(stream_bytes_s=4e12))


def test_without_pytorch_or_a_gpu(infersim: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(gpu, "import_module", missing)
    done = infersim("measure")
    assert (done.code, done.out) == (2, "")
    assert "pip install 'infersim[measure]'" in done.err
    blind = SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: False))
    monkeypatch.setattr(gpu, "import_module", lambda name: blind)
    done = infersim("measure")
    assert (done.code, done.out) == (2, "")
    assert "needs a GPU, and PyTorch sees none" in done.err


@pytest.mark.parametrize(("device", "chip"), [
    ("NVIDIA H100 80GB HBM3", "h100-sxm"), ("NVIDIA H100 PCIe", "h100-pcie"), ("NVIDIA H100 NVL", "h100-nvl"),
    ("NVIDIA H200", "h200-sxm"), ("NVIDIA L40S", "l40s"), ("NVIDIA A100-SXM4-80GB", "a100-sxm-80gb"),
])  # fmt: skip
def test_a_drivers_name_is_a_chip_of_the_catalogue(device: str, chip: str) -> None:
    assert chip_of(device).name == chip


def test_an_unknown_device_asks_for_the_chip() -> None:
    with pytest.raises(StudyError, match="give --hardware NAME"):
        chip_of("Somebody's Accelerator 9000")


def test_shapes_are_those_of_the_model() -> None:
    """Llama 3.1 8B: QKV 4096 x 6144, output 4096 x 4096, gate and up 4096 x 28672, down 14336 x 4096."""
    assert gpu.product_shapes(catalogue.model("llama-3.1-8b")) == [
        (4096, 6144),
        (4096, 4096),
        (4096, 28672),
        (14336, 4096),
    ]
