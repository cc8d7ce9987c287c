"""What one chip achieves: peaks times efficiencies, in FLOP/s, B/s and seconds.

Not here: profiles (`infersim/spec/hardware.py`), operators (`operators.py`).
"""

from dataclasses import dataclass

from infersim.spec.base import Dtype
from infersim.spec.hardware import Hardware, Link


@dataclass(frozen=True)
class Chip:
    """Achieved rates of one chip."""

    hardware: Hardware

    @property
    def link(self) -> Link:
        """How it reaches the other chips of a replica."""
        return self.hardware.link

    @property
    def sixteen_bit(self) -> Dtype:
        """The dtype in which it computes attention, routers and LM heads."""
        return "bf16" if "bf16" in self.hardware.peak_tflops else "fp16"

    @property
    def weight_bytes_s(self) -> float:
        """Streaming weights and activations [B/s]."""
        return self.peak_bytes_s * self.hardware.efficiency.matmul_memory.value

    @property
    def kv_bytes_s(self) -> float:
        """Reading keys and values [B/s]."""
        return self.peak_bytes_s * self.hardware.efficiency.attention_memory.value

    @property
    def peak_bytes_s(self) -> float:
        """Memory bandwidth [B/s]."""
        return self.hardware.memory.bandwidth_gb_s.value * 1e9

    @property
    def attention_flops(self) -> float:
        """Prefill attention [FLOP/s]."""
        return (
            self.hardware.peak_tflops[self.sixteen_bit].value * 1e12 * self.hardware.efficiency.attention_compute.value
        )

    @property
    def floor_s(self) -> float:
        """Least time of one operator [s]."""
        return self.hardware.efficiency.op_floor_us.value * 1e-6

    def computes(self, storage: Dtype) -> Dtype:
        """The dtype in which products with weights stored as `storage` run; ValueError if the chip knows no way."""
        if storage in self.hardware.peak_tflops:
            return storage
        if storage in self.hardware.computes_as:
            return self.hardware.computes_as[storage]
        known = sorted({*self.hardware.peak_tflops, *self.hardware.computes_as})
        raise ValueError(f"{self.hardware.name} has no way to compute {storage} weights; use one of {', '.join(known)}")

    def peak_flops(self, storage: Dtype) -> float:
        """Dense peak for weights stored as `storage` [FLOP/s]."""
        return self.hardware.peak_tflops[self.computes(storage)].value * 1e12

    def matmul_flops(self, storage: Dtype) -> float:
        """Large matrix products with weights stored as `storage` [FLOP/s]; ValueError without an efficiency for them."""
        dtype, known = self.computes(storage), self.hardware.efficiency.matmul_compute
        if dtype not in known:
            raise ValueError(
                f"{self.hardware.name} has no efficiency for {dtype} products, only for {', '.join(known)}"
            )
        return self.peak_flops(storage) * known[dtype].value

    def best_flops(self, storage: Dtype) -> float:
        """The fastest arithmetic that any operator reaches [FLOP/s]."""
        return max(self.matmul_flops(storage), self.matmul_flops(self.sixteen_bit), self.attention_flops)

    @property
    def best_bytes_s(self) -> float:
        """The fastest memory traffic that any operator reaches [B/s]."""
        return max(self.weight_bytes_s, self.kv_bytes_s)
