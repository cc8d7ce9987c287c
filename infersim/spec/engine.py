"""A serving engine as a profile: overheads, memory fraction, scheduler defaults, and the version they describe.

Not here: the scheduler itself (`infersim/dataplane/engine.py`). Read `serving.py` next.
"""

from typing import Annotated, Literal

from pydantic import Field

from infersim.spec.base import Count, Quantity, Ratio, Spec
from infersim.spec.hardware import Hardware

SORTING_LAUNCHES = 4
"""Kernels that choose experts and sort tokens by them (top k, count, align, permute) where an engine does not say: with
products, activation and sum 19 to 39 us a layer at any size, in fits to 80,000 points of fused experts in
aiconfigurator-core 0.12.0."""


class LargeChips(Spec):
    """Scheduler defaults that an engine takes on chips with much memory."""

    memory_gb: Annotated[float, Field(gt=0.0)]
    """Least memory of a chip [GB]."""
    except_for: list[str] = Field(default_factory=list)
    """How the names of chips begin that keep the other defaults all the same."""
    max_num_seqs: Count
    """Limit of sequences in a step there."""
    max_num_batched_tokens: Count
    """Limit of tokens in a step there."""


class Engine(Spec):
    """One serving engine."""

    name: str
    """The name by which scenarios call it."""
    title: str
    """What it is."""
    version: str
    """The version that the numbers describe."""
    execution: list[Literal["roofline", "pipeline"]] = Field(min_length=1)
    """Which kinds of chip it drives."""
    vendors: list[str] = Field(default_factory=list)
    """Vendors whose chips it drives; empty means any."""
    step_overhead_us: Quantity
    """Host time added to every step [us]."""
    sequence_overhead_us: Quantity
    """Host time added for each sequence in a step [us]."""
    filter_overhead_us: Quantity | None = None
    """Host time that a step takes more when the sampler filters (top-p, top-k), and again when it penalises repetition
    [us]; none where requests ask for greedy decoding or the filters are fused."""
    launch_us: Quantity | None = None
    """Host time to launch one kernel where no CUDA graph is replayed [us]; none with compiled programs."""
    graphed_seqs: Annotated[int, Field(ge=0)] | None = None
    """Steps that only decode replay CUDA graphs, so that nobody waits for `launch_us`, if they have up to this many tokens, one for each
    sequence without drafts, in a group of data-parallel attention; 0 where no graph is captured, any number when absent."""
    mixed_graph_tokens: Annotated[int, Field(ge=0)] = 0
    """Steps with prompts, and larger ones without, replay (piecewise) CUDA graphs too if they have up to this many tokens."""
    latent_graph_tokens: Annotated[int, Field(ge=0)] | None = None
    """The same of models with latent attention; as others when absent."""
    gap_us: Quantity | None = None
    """What a kernel takes longer than the chip's floor [us]: gaps between the nodes of a graph that a slow runtime replays, or
    kernels that others fuse; none where kernels follow each other as fast as the chip can."""
    passes: Annotated[float, Field(ge=1.0)] = 1.0
    """How often an element-wise operator (norm, rotary position, activation) moves its activations: once where it is one fused kernel, several
    times where it is a chain of PyTorch's."""
    query_reads: Quantity | None = None
    """Rate, in bandwidths of the chip's memory, at which query heads read keys and values of 16 bits from its cache where each head of
    a group reads them by itself; none where a group reads them together."""
    small_kv_share: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the bandwidth that its decode attention keeps when keys and values have fewer than 16 bits; 0.87 when absent."""
    expert_kernels: Literal["triton", "cutlass"] = "triton"
    """Which kernels multiply with experts in 8 and 16 bits (`cost/grouped.py`): Triton's, which gather tokens as they read them, or
    CUTLASS's, for which tokens are copied expert by expert."""
    expert_flow: list[Literal["fp4", "block"]] = Field(default=["fp4"])
    """Which experts run as one flow of few kernels on chips whose tensor cores have a memory of their own: those computed in fp4, those in
    fp8 with scales for each block."""
    dense_data: bool = False
    """Whether groups of data-parallel attention keep dense MLPs, shared experts, embedding and LM head to themselves, for
    their own tokens, where others divide these over all chips."""
    fused: bool = False
    """Whether norms after a collective, rotary position, the conversion of inputs to fp8 with static scales are
    parts of other kernels rather than kernels of their own."""
    sorting_launches: Count = SORTING_LAUNCHES
    """Kernels that choose experts and sort tokens by them."""
    all_experts: bool = False
    """Whether every token goes through every expert, chosen or not, since a compiled program cannot branch on data (Neuron)."""
    spread: Literal["layers", "operators"] = "layers"
    """What an SRAM machine is divided among: its layers, each with its own part, so that as many sequences are on the way; or the
    cores' parts of one operator after the other, all of the machine at work on each."""
    own_all_reduce_mb: list[Annotated[float, Field(ge=0)]] = Field(default_factory=list)
    """Largest message that its own kernels add up over 2, 4, 8 and more chips behind an NVSwitch, longer ones being left to NCCL [MB];
    the last entry holds for more chips, and messages of any size are its own when empty."""
    graph_multiple: Count = 1
    """Captured batch sizes: small batches are padded to a multiple of this, and padding visits experts too."""
    request_overhead_ms: Quantity
    """Front-end time before a request reaches the scheduler [ms]: HTTP, tokenisation, hand-over."""
    token_overhead_us: Quantity
    """Front-end time for each prompt token [us]."""
    unexplained: Quantity | None = None
    """Standard deviation of the logarithm of measured over predicted time that no spread explains; 0.2 where nobody compared."""
    memory_fraction: Ratio
    """Share of chip memory that the engine may fill with weights, activations and KV."""
    watermark: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of KV blocks that admissions leave free while the batch is not empty, where a scenario does not say; none when absent."""
    batching: Literal["static", "prefill_first", "chunked_prefill"] = "chunked_prefill"
    """How it forms steps where a scenario does not say (`batching.policy`): prompt chunks beside decoding sequences,
    prompts before decoding sequences, or one batch after the other."""
    admission: Literal["as_needed", "promised"] = "as_needed"
    """Whether a request is admitted where its prompt finds KV blocks, and preempted if its answer later does not, or only where all
    blocks to its end, and to that of everybody in the batch, are there (`kv_cache.admission`)."""
    async_scheduling: bool
    """Whether step n+1 is scheduled while step n runs, so that an arrival waits one step more."""
    block_size: Count
    """Tokens in a KV block."""
    max_num_seqs: Count
    """Default limit of sequences in a step."""
    max_num_batched_tokens: Count
    """Default limit of tokens in a step."""
    on_large_chips: LargeChips | None = None
    """The same limits on chips with much memory, where they are others."""
    token_buckets: list[Count] = Field(default_factory=list)
    """Compiled step sizes that token counts are padded to (XLA, Neuron); empty when shapes are free."""
    sequence_buckets: list[Count] = Field(default_factory=list)
    """Compiled batch sizes that decode is padded to; empty when shapes are free."""
    context_buckets: list[Count] = Field(default_factory=list)
    """Compiled context lengths that decode attention is padded to; empty when it reads what is there."""
    slot_tokens: Count | None = None
    """Tokens that each decode slot's cache has, where every step reads the caches of all compiled slots whole, and the longest
    request then; none where attention reads what is there."""
    pads_heads: bool = False
    """Whether heads that tensor parallelism does not divide are padded with idle ones (Neuron); else refused."""
    initialise_s: Quantity
    """Time from weights in memory to ready, compiled programs being found in a cache: graph capture [s]."""
    compile_s: Quantity | None = None
    """What compiling takes on top where no cache holds the programs [s]; none where nothing is compiled."""

    def on(self, chip: Hardware) -> "Engine":
        """The engine with the scheduler defaults that it takes on a chip."""
        large = self.on_large_chips
        if (
            large is None
            or chip.memory.capacity_gb.value < large.memory_gb
            or chip.name.startswith(tuple(large.except_for))
        ):
            return self
        limits = {"max_num_seqs": large.max_num_seqs, "max_num_batched_tokens": large.max_num_batched_tokens}
        return self.model_copy(update={**limits, "on_large_chips": None})
