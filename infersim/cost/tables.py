"""What one step costs on one replica: the contract between the cost models and everything after them.

A step has T tokens in all, N sequences, B of them decoding with attended contexts that sum to S, and prefill chunks
c with pairs_c (query-key pairs) and context_c (keys read). It takes

    linear_s[T] + sequences_s[N] + decode_base_s[B] + decode_per_context_s[B] * S
      + sum over chunks of (prefill_chunk_s + max(prefill_per_pair_s * pairs_c, prefill_per_context_s * context_c))
      + prompts_s[P], P being the prompt tokens of all chunks: floor and traffic of their attention, and a draft model that reads them
      + mixed_s[T] in a step with chunks, where the host launches the kernels of such steps one by one

The compiled loop reads only these times and counts the shapes that it ran; FLOPs, bytes, joules and the binding roof
are priced afterwards from the counts (`infersim/cost/energy.py`). Read `roofline.py` next.
"""

from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Work:
    """FLOPs, bytes and seconds by cause of a table's entries: arrays of its length, or scalars as 0-d arrays."""

    flops: Array
    """Useful arithmetic of the whole replica [FLOP]."""
    memory_bytes: Array
    """Bytes moved between memory and the compute units, all chips together [B]."""
    network_bytes: Array
    """Bytes that leave each chip over the scale-up links, summed over chips [B]."""
    compute_s: Array
    """Share of the time that compute bounds [s]."""
    memory_s: Array
    """Share of the time that memory bandwidth bounds [s]."""
    network_s: Array
    """Share of the time that links bound [s]."""
    launch_s: Array
    """Share of the time that launch floors and host overheads bound [s]."""

    @property
    def seconds(self) -> Array:
        """Total time: the four causes together [s]."""
        return self.compute_s + self.memory_s + self.network_s + self.launch_s

    def __add__(self, other: "Work") -> "Work":
        """Both, one after the other."""
        return Work(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Work)))

    def __mul__(self, factor: Array | float) -> "Work":
        """The same work, `factor` times."""
        return Work(*(getattr(self, f.name) * factor for f in fields(Work)))


@dataclass(frozen=True)
class MemoryPlan:
    """Where the memory of one replica goes."""

    chips: int
    """Chips of the replica."""
    capacity_bytes: float
    """All chips' memory [B]."""
    usable_bytes: float
    """What the engine may fill [B]."""
    weight_bytes: float
    """Weights with replicated parts counted on every chip [B]."""
    reserve_bytes: float
    """Activations and buffers [B]."""
    kv_bytes_per_token: float
    """Keys and values of one token, whole replica, replicated heads counted on every chip [B]."""
    block_size: int
    """Tokens in a KV block."""
    blocks: int
    """KV blocks of the replica."""
    full_blocks: int = 1
    """Of these, what block_size tokens take in the layers that keep all tokens,"""
    window_blocks: int = 0
    """and in those that keep a window; 0 where there are none, or a window is held in the reserve or kept whole."""
    window_tokens: int = 0
    """That window."""

    @property
    def block_bytes(self) -> float:
        """Bytes of a KV block [B]."""
        return self.kv_bytes_per_token * self.block_size / max(self.full_blocks + self.window_blocks, 1)

    @property
    def longest_tokens(self) -> float:
        """No sequence, and no batch, has more tokens in the KV cache than this; inf where no layer keeps all tokens."""
        return self.blocks * self.block_size / self.full_blocks if self.full_blocks else float("inf")


@dataclass(frozen=True)
class AdapterCost:
    """What adapters take: a step with A of them and U tokens of theirs step + max(A read, U token) more."""

    slots: int
    """Adapters that a replica holds."""
    rank_s: float
    """Loading one, for each of its ranks [s]."""
    step: Work
    """Launches."""
    read: Work
    """Reading one."""
    token: Work
    """A token's products with one."""


@dataclass(frozen=True)
class ModelCost:
    """One of several models that the replicas of a pool serve."""

    number: int
    """As requests ask for it."""
    name: str
    tables: "CostTables"
    load_s: float
    """Loading its weights into a replica that serves already [s]."""


@dataclass(frozen=True)
class CostTables:
    """Everything that the rest of infersim knows of one (model, chip, engine, parallelism, precision)."""

    linear: Work
    """By tokens T of the step, 0 to max_num_batched_tokens: projections, MLP or experts, norms, collectives, floors."""
    sequences: Work
    """By sequences N of the step, 0 to max_num_seqs: engine overhead, LM head and sampling."""
    decode_base: Work
    """By decoding sequences B, 0 to max_num_seqs: decode attention's floor."""
    decode_per_context: Work
    """By decoding sequences B: reading one attended token of KV."""
    prefill_chunk: Work
    """Scalar: one prefill chunk, however long: tiles that its queries do not fill."""
    prefill_pair: Work
    """Scalar: one query-key pair of prefill attention, compute side."""
    prefill_context: Work
    """Scalar: one attended token of KV read by a prefill chunk, memory side."""
    memory: MemoryPlan
    request_overhead_s: float
    """Front-end time of a request [s]."""
    token_overhead_s: float
    """Front-end time of one prompt token [s]."""
    async_scheduling: bool
    """An arrival waits one step more (see spec.engine)."""
    max_num_seqs: int
    max_num_batched_tokens: int
    chips: int
    peak_flops: float
    """Dense peak of the replica in the compute dtype of the weights [FLOP/s]."""
    peak_bytes_s: float
    """Memory bandwidth of the replica [B/s]."""
    idle_w: float
    """Power of the replica with nothing to do [W]."""
    tdp_w: float
    """Sustained power limit of the replica [W]."""
    joules_per_flop: float
    """Dynamic energy of arithmetic [J/FLOP]."""
    joules_per_byte: float
    """Dynamic energy of memory traffic [J/B]."""
    load_s: float
    """Time to load the weights [s]."""
    provision_s: float
    initialise_s: float
    max_context: int
    """Longest context the model serves [tokens]."""
    prompts: Work | None = None
    """By prompt tokens P of the step, 0 to max_num_batched_tokens: what they cost beside `linear`, if anything: floor and traffic
    of their attention, and a draft model."""
    mixed: Work | None = None
    """By tokens T of a step that holds prompt tokens: what that costs beside `linear`, if anything."""
    adapters: AdapterCost | None = None
    """Adapters, if replicas have slots for them."""
    models: tuple[ModelCost, ...] = ()
    """All models, where there are several; the tables above are those of the first."""
    room_bytes: int = 0
    """Memory of a replica for the weights of several models [B]."""
    notes: list[str] = field(default_factory=list)
    """What a reader should know: conversions between dtypes, padding, estimates that matter."""

    def step_s(
        self,
        tokens: int,
        sequences: int,
        decoding: int,
        context: float,
        chunks: list[tuple[float, float]],
        prompt_tokens: int | None = None,
    ) -> float:
        """Time of one step [s]; `chunks` holds (pairs, context) of each prefill chunk. The loop's formula.

        `prompt_tokens` of all chunks together: the tokens of no decoding sequence, where sequences decode one each.
        """
        seconds = self.linear.seconds[tokens] + self.sequences.seconds[sequences]
        seconds += self.decode_base.seconds[decoding] + self.decode_per_context.seconds[decoding] * context
        for pairs, attended in chunks:
            compute, memory = self.prefill_pair.seconds * pairs, self.prefill_context.seconds * attended
            seconds += self.prefill_chunk.seconds + max(compute, memory)
        if self.prompts is not None and chunks:
            seconds += self.prompts.seconds[tokens - decoding if prompt_tokens is None else prompt_tokens]
        if self.mixed is not None and chunks:
            seconds += self.mixed.seconds[tokens]
        return float(seconds)
