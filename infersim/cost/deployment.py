"""What is priced: one model on chips of one kind, driven by one engine, laid out and stored in one way.

Not here: prices of its steps (`roofline.py`, `pipeline.py`). Read `build.py` for how one is made.
"""

import math
from dataclasses import dataclass

from infersim.cost.chip import Chip
from infersim.cost.measured import Measured
from infersim.cost.sharding import Shard, divide
from infersim.spec.adapters import AdapterSlots
from infersim.spec.base import BYTES_PER_ELEMENT, Dtype
from infersim.spec.engine import Engine
from infersim.spec.model import Model


@dataclass(frozen=True)
class Deployment:
    """One replica with nothing left open."""

    model: Model
    chip: Chip
    engine: Engine
    tensor: int
    """Chips that share each layer; 1 on SRAM machines."""
    expert: int
    """Groups of those chips that hold different experts."""
    attention_data: int
    """Groups of those chips that serve different requests in attention."""
    stages: int
    """Groups of chips that hold consecutive layers; 1 on SRAM machines, whose stages follow from the chips."""
    chips: int
    """Chips of the replica."""
    weights: Dtype
    kv_cache: Dtype
    max_num_seqs: int
    max_num_batched_tokens: int
    block_size: int
    blocks: int | None
    """KV blocks asked for; the memory plan decides when absent."""
    windows: bool = False
    """Whether KV blocks that a window has left are used again; else short windows are held in the reserve, for each
    sequence, and long ones whole."""
    adapters: AdapterSlots | None = None
    """Room for adapters."""
    measured: Measured | None = None
    """Tables that take the place of analytic times."""

    @property
    def whole(self) -> Shard:
        """The undivided layer: useful work is counted on it."""
        return divide(self.model, 1)

    @property
    def shard(self) -> Shard:
        """One chip's part of a layer."""
        return self.divided(self.tensor)

    def divided(self, tensor: int) -> Shard:
        """One chip's part if `tensor` chips shared each layer."""
        expert = self.expert if tensor == self.tensor else 1
        data = self.attention_data if tensor == self.tensor else 1
        pads, dense_data = self.engine.pads_heads, self.engine.dense_data
        return divide(self.model, tensor, pads, expert, data, self.chip.hardware.cores, dense_data)

    @property
    def stored_bytes(self) -> float:
        """Bytes of an element of the large matrices."""
        return BYTES_PER_ELEMENT[self.weights]

    @property
    def streamed_bytes(self) -> float:
        """Bytes that reading an element of the large matrices takes as long as: more than it has where it is unpacked."""
        share, computed = self.chip.hardware.efficiency.unpacking, BYTES_PER_ELEMENT[self.chip.computes(self.weights)]
        lost = 0.0 if share is None else 1.0 - share.value
        return self.stored_bytes + lost * max(0.0, computed - self.stored_bytes)

    @property
    def floor_s(self) -> float:
        """Least time of one operator under this engine [s]."""
        return self.chip.floor_s + (self.engine.gap_us.value * 1e-6 if self.engine.gap_us else 0.0)

    def own_message_bytes(self, chips: int) -> float:
        """Largest message that the engine's own kernels add up over so many chips [B]."""
        known = self.engine.own_all_reduce_mb
        return 1e6 * known[min(max(chips // 2, 1).bit_length(), len(known)) - 1] if known else math.inf

    @property
    def kept_bytes(self) -> float:
        """Bytes of an element of what engines keep in 16 bit: embeddings, LM head, routers, norms."""
        return max(self.stored_bytes, 2.0)

    @property
    def kv_bytes(self) -> float:
        """Bytes of an element of keys and values."""
        return BYTES_PER_ELEMENT[self.kv_cache]
