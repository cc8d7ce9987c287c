"""A chip as its YAML describes it: facts, efficiencies, prices, each graded; peaks dense, links one-directional.

Not here: what an operator costs on it (`infersim/cost/`). Read `model.py` next.
"""

from typing import Literal

from pydantic import Field, model_validator

from infersim.spec.base import Count, Dtype, Quantity, Ratio, Spec, wrong_at

Topology = Literal["nvswitch", "pcie", "mesh", "torus", "ring", "point_to_point", "ethernet", "none"]


class Memory(Spec):
    """Where weights and KV cache live: HBM, GDDR, or on-chip SRAM for the machines that have nothing else."""

    kind: str
    """HBM3, GDDR6, SRAM ..."""
    capacity_gb: Quantity
    """Usable bytes / 1e9 of one chip [GB]."""
    bandwidth_gb_s: Quantity
    """Peak read bandwidth of one chip [GB/s]."""


class Link(Spec):
    """How chips of one replica reach each other."""

    topology: Topology
    """The shape of the scale-up network; decides the all-reduce algorithm and its steps."""
    one_way_gb_s: Quantity
    """Peak bandwidth out of one chip, all its links together, one direction [GB/s]."""
    domain_chips: Count
    """How many chips one scale-up domain joins."""
    peer_to_peer: bool = True
    """Whether cards behind one PCIe host write into each other's memory; else all messages are copied through the host's."""
    latency_us: Quantity
    """Time of the smallest all-reduce of two neighbours (roofline) or of one chip-to-chip hop (pipelines) [us]."""
    efficiency: Ratio
    """Achieved share of the peak for large messages."""
    adds_up: bool = False
    """Whether its switch adds up what chips send (NVLink SHARP, NVSwitch of Hopper and later), so that each sends once."""


class ScaleOut(Spec):
    """The network between machines, as one chip sees it."""

    one_way_gb_s: Quantity
    """Achieved bandwidth out of one chip, one direction [GB/s]."""
    latency_us: Quantity
    """Time of the smallest message between two machines [us]."""


class Power(Spec):
    """Electrical power of one chip."""

    tdp_w: Quantity
    """Sustained limit of one chip with its share of the board [W]."""
    idle_w: Quantity
    """Drawn with a model loaded and nothing to do [W]."""


class Efficiency(Spec):
    """The at most eight fitted numbers of a chip; each is a share of a peak or a floor, never a model's own."""

    matmul_compute: dict[Dtype, Ratio] = Field(min_length=1)
    """Share of the dense peak that a large matrix product reaches, by compute dtype."""
    matmul_memory: Ratio
    """Share of memory bandwidth that streaming weights reaches."""
    attention_compute: Ratio
    """Share of the 16-bit peak that prefill attention reaches."""
    attention_memory: Ratio
    """Share of memory bandwidth that reading KV in decode attention reaches at large batch."""
    unpacking: Ratio | None = None
    """Share of the time saved by weights stored in fewer bits than the chip computes in that is left after unpacking them; all
    of it when absent."""
    op_floor_us: Quantity
    """Least time of one operator (launch, synchronisation, or pipeline stage overhead) [us]."""
    overlap: Quantity | None = None
    """Sharpness of the roofline's corner of matrix products: how well arithmetic hides memory where both take equally long; 2.5 when absent."""
    tile_tokens: Quantity | None = None
    """Tokens that a tile of a matrix product holds, where all are computed however few are asked for: products of T tokens take what the next
    multiple takes to compute. None where kernels choose among tiles so that little is lost."""
    depth_us: Quantity | None = None
    """Time in which one tile of a matrix product goes through 1,024 rows of weights, block after block: narrow products of few tokens wait
    for it, for other tiles cannot help [us]. None where it was not measured."""
    host_time: Quantity | None = None
    """Time that the hosts of its usual machines take for what the host of a machine of H100s does in 1: scheduling, launching kernels,
    front end. As long when absent."""


class Price(Spec):
    """What one chip-hour costs, where and when that was true."""

    tier: Literal["on_demand", "spot", "reserved", "neocloud", "owned"]
    """How the chip is bought."""
    usd_per_chip_hour: Quantity
    """Price [USD per chip-hour]."""
    provider: str
    """Who sells it."""
    region: str | None = None
    """Where the price holds; none when it holds in all of the provider's regions."""
    date: str
    """When the price was read, ISO, as exact as known."""


class Hardware(Spec):
    """One chip."""

    name: str
    """The name by which scenarios call it."""
    title: str
    """The name on the box."""
    vendor: str
    """Who makes it."""
    year: int
    """First year of general availability."""
    execution: Literal["roofline", "pipeline"]
    """roofline: a chip runs all layers, weights stream from memory; pipeline: weights stay in SRAM over many chips."""
    memory: Memory
    """Where weights and KV cache live."""
    cores: Count = 1
    """Cores of one chip that each take whole heads of an attention layer, with keys and values of their own (NeuronCores);
    1 where heads are divided no further than over chips."""
    on_chip_sram_mb: Quantity | None = None
    """Cache or scratchpad beside the memory [MB]; a fact, not a weight store."""
    peak_tflops: dict[Dtype, Quantity] = Field(min_length=1)
    """Dense peak by compute dtype [TFLOP/s or TOP/s]."""
    computes_as: dict[Dtype, Dtype] = Field(default_factory=dict)
    """For a storage dtype without native units: the dtype it is converted to and computed in."""
    link: Link
    """How chips of one replica reach each other."""
    scale_out: ScaleOut | None = None
    """The network that joins machines of this chip, where a replica may span several."""
    load_gb_s: Quantity
    """Rate at which weights reach one chip's memory at a cold start [GB/s]."""
    host_gb_s: Quantity | None = None
    """Rate between host memory and one chip's memory, one way [GB/s]; needed where KV blocks are swapped."""
    provision_s: Quantity
    """Time until a machine with this chip is found and booted [s]."""
    power: Power
    """Electrical power."""
    embodied_kg: Quantity | None = None
    """Carbon of making one chip with its board and memory, cradle to gate, without the host [kgCO2eq]."""
    efficiency: Efficiency
    """Fitted shares of the peaks."""
    prices: list[Price] = Field(min_length=1)
    """Known prices, preferred first within a tier."""

    @model_validator(mode="after")
    def _consistent(self) -> "Hardware":
        peaks = ", ".join(self.peak_tflops)
        for dtype in self.efficiency.matmul_compute:
            if dtype not in self.peak_tflops:
                path = ("efficiency", "matmul_compute", dtype)
                raise wrong_at(path, f"is a share of a peak that is not given; peak_tflops has {peaks}")
        for stored, computed in self.computes_as.items():
            if stored in self.peak_tflops:
                raise wrong_at(("computes_as", stored), f"{stored} has a peak of its own; remove one of the two")
            if computed not in self.peak_tflops:
                raise wrong_at(("computes_as", stored), f"found {computed}, which has no peak; peak_tflops has {peaks}")
        if not self.efficiency.matmul_compute.keys() & {"bf16", "fp16"}:
            raise wrong_at(("efficiency", "matmul_compute"), "needs bf16 or fp16: attention and LM head run in 16 bit")
        return self

    def compute_dtype(self, stored: Dtype) -> Dtype | None:
        """The dtype in which products with weights stored as `stored` run; None if the chip cannot use it."""
        computed = stored if stored in self.peak_tflops else self.computes_as.get(stored)
        return computed if computed in self.efficiency.matmul_compute else None
