"""What one chip achieves: peaks times efficiencies, in FLOP/s, B/s and seconds.

Not here: profiles (`infersim/spec/hardware.py`), operators (`operators.py`).
"""

from dataclasses import dataclass

from infersim.spec.base import Dtype
from infersim.spec.hardware import Hardware, Link

OVERLAP = 2.5
"""Sharpness of the corner of the roofline, t^p = compute^p + memory^p: where both sides take equally long a kernel
takes 32 % longer than either, for tiles and waves are quantised and the two overlap imperfectly. Fitted, with a floor
and two shares for each chip, to the GEMM tables of aiconfigurator-core 0.12.0 (4,176 shapes for each chip and engine):
2.5 to 3.4 in bf16 and 1.6 to 2.7 in fp8 on H100 and H200, 2.1 to 2.2 on L40S, 2.5 on B200, 1.6 on A100, whose profile says so (its
products do not load asynchronously past their arithmetic as Hopper's do); median error 5 to 9 % in bf16, 5 to 12 % in fp8."""


@dataclass(frozen=True)
class Chip:
    """Achieved rates of one chip."""

    hardware: Hardware

    @property
    def link(self) -> Link:
        """How it reaches the other chips of a replica."""
        return self.hardware.link

    @property
    def capacity_bytes(self) -> float:
        """Memory [B]."""
        return self.hardware.memory.capacity_gb.value * 1e9

    @property
    def peak_bytes_s(self) -> float:
        """Memory bandwidth [B/s]."""
        return self.hardware.memory.bandwidth_gb_s.value * 1e9

    @property
    def weight_bytes_s(self) -> float:
        """Streaming weights and activations [B/s]."""
        return self.peak_bytes_s * self.hardware.efficiency.matmul_memory.value

    @property
    def kv_bytes_s(self) -> float:
        """Reading keys and values [B/s]."""
        return self.peak_bytes_s * self.hardware.efficiency.attention_memory.value

    @property
    def best_bytes_s(self) -> float:
        """The fastest memory traffic that any operator reaches [B/s]."""
        return max(self.weight_bytes_s, self.kv_bytes_s)

    @property
    def floor_s(self) -> float:
        """Least time of one operator [s]."""
        return self.hardware.efficiency.op_floor_us.value * 1e-6

    @property
    def overlap(self) -> float:
        """Sharpness of the roofline's corner of its matrix products."""
        own = self.hardware.efficiency.overlap
        return OVERLAP if own is None else own.value

    @property
    def tile_tokens(self) -> float | None:
        """Tokens that its matrix products compute multiples of, if they do."""
        own = self.hardware.efficiency.tile_tokens
        return None if own is None else own.value

    @property
    def depth_s(self) -> float:
        """Time in which a tile of its matrix products goes through one row [s]."""
        own = self.hardware.efficiency.depth_us
        return 0.0 if own is None else own.value * 1e-6 / 1024.0

    @property
    def host_time(self) -> float:
        """Time of its host for what the host of a machine of H100s does in 1."""
        slower = self.hardware.efficiency.host_time
        return 1.0 if slower is None else slower.value

    @property
    def sixteen_bit(self) -> Dtype:
        """The dtype in which it computes attention, routers and LM heads."""
        return "bf16" if "bf16" in self.hardware.efficiency.matmul_compute else "fp16"

    def computes(self, stored: Dtype) -> Dtype:
        """The dtype in which products with weights stored as `stored` run; ValueError if the chip cannot use it."""
        computed = self.hardware.compute_dtype(stored)
        if computed is None:
            known = {*self.hardware.peak_tflops, *self.hardware.computes_as}
            usable = sorted(dtype for dtype in known if self.hardware.compute_dtype(dtype))
            raise ValueError(f"{self.hardware.name} cannot use {stored}; use one of {', '.join(usable)}")
        return computed

    def peak_flops(self, stored: Dtype) -> float:
        """Dense peak for weights stored as `stored` [FLOP/s]."""
        return self.hardware.peak_tflops[self.computes(stored)].value * 1e12

    def matmul_flops(self, stored: Dtype) -> float:
        """Large matrix products with weights stored as `stored` [FLOP/s]."""
        return self.peak_flops(stored) * self.hardware.efficiency.matmul_compute[self.computes(stored)].value

    @property
    def attention_flops(self) -> float:
        """Prefill attention [FLOP/s]."""
        return self.peak_flops(self.sixteen_bit) * self.hardware.efficiency.attention_compute.value

    def best_flops(self, stored: Dtype) -> float:
        """The fastest arithmetic that any operator reaches [FLOP/s]."""
        return max(self.matmul_flops(stored), self.matmul_flops(self.sixteen_bit), self.attention_flops)

    def ridge_points(self) -> dict[str, dict[str, float | None]]:
        """FLOP a byte at which memory and arithmetic take equally long, by compute dtype: `peak`, and `achieved`.

        `achieved` is None for a dtype in which products were never priced.
        """
        shares = self.hardware.efficiency.matmul_compute
        points: dict[str, dict[str, float | None]] = {}
        for dtype, tflops in self.hardware.peak_tflops.items():
            peak = tflops.value * 1e12
            achieved = peak * shares[dtype].value / self.weight_bytes_s if dtype in shares else None
            points[dtype] = {"peak": peak / self.peak_bytes_s, "achieved": achieved}
        return points
