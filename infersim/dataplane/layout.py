"""How pools lie in the flat arrays of the loop: `PoolCost` says what is known of each, laid end to end and cut out again.

Not here: who owns the arrays (`fleet.py`), what the fields of the records mean (`records.py`).
"""

import math
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from infersim.dataplane.groups import NOBODY, ROOT, Tree, above
from infersim.dataplane.internal import KEYED
from infersim.dataplane.pools import TABLE
from infersim.dataplane.records import BATCHINGS, EVICTIONS, LINE, NONE, QUEUE_ORDERS, ROLES
from infersim.dataplane.tally import ADAPTER_COUNTS, ITL_BINS, Tally


@dataclass(frozen=True)
class PoolCost:
    """What the loop must know of a pool: times of step shapes (see DESIGN.md and cost/tables.py) and limits."""

    linear_s: NDArray[np.float64]
    """By tokens of the step, 0 to max_num_batched_tokens."""
    sequences_s: NDArray[np.float64]
    """By sequences of the step, 0 to max_num_seqs."""
    decode_base_s: NDArray[np.float64]
    """By decoding sequences, 0 to max_num_seqs."""
    decode_per_context_s: NDArray[np.float64]
    """By decoding sequences, for each token of attended context."""
    prefill_chunk_s: float
    prefill_per_pair_s: float
    prefill_per_context_s: float
    request_overhead_s: float
    token_overhead_s: float
    block_size: int
    blocks: int
    max_num_seqs: int
    max_num_batched_tokens: int
    max_context: int
    async_scheduling: bool
    batching: str = "chunked_prefill"
    max_queue_delay_s: float = 0.0
    queue_order: str = "fcfs"
    prediction_sigma: float = 0.0
    """Standard deviation of log(predicted / true output tokens), for shortest_predicted."""
    input_weight: int = 1
    """What a prompt token counts in fair sharing."""
    output_weight: int = 2
    """And an output token."""
    watermark_blocks: int = 0
    promises: bool = False
    """Whether a request is admitted only if all that it and the batch may come to need fits, so that nobody is preempted."""
    acceptance: tuple[float, ...] = ()
    """Speculative decoding: the chance of each draft token to be accepted if those before it were; none without."""
    role: str = "both"
    transfer_token_s: float = 0.0
    transfer_latency_s: float = 0.0
    swap: bool = False
    swap_block_s: float = 0.0
    prefix_tokens: int = 0
    """Tokens of a prefix block; 0 switches the prefix cache off."""
    host_entries: int = 0
    """Prefix blocks that host memory holds, as a second level of the cache."""
    full_blocks: int = 1
    """KV blocks that block_size tokens take in layers that keep all tokens."""
    window_blocks: int = 0
    """The same in layers that keep the last `window_tokens` only."""
    window_tokens: int = 0
    prompts_s: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """By prompt tokens of the step, 0 to max_num_batched_tokens: what they cost beside linear_s; empty for nothing."""
    mixed_s: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """By tokens of a step that holds prompt tokens, 0 to max_num_batched_tokens: what that costs beside linear_s; empty
    for nothing."""
    adapter_slots: int = 0
    """Adapters that a replica holds; with none, requests with an adapter are rejected."""
    adapter_rank_s: float = 0.0
    """Time to load an adapter, for each of its ranks."""
    adapter_step_s: float = 0.0
    """What a step with adapters takes besides, and for each adapter in it, or for each token of sequences that have one,"""
    adapter_read_s: float = 0.0
    adapter_token_s: float = 0.0
    """whichever of the two is more."""
    max_queued: int | None = None
    """Most requests in a replica's front end and queue; more are turned away."""
    max_queued_work_s: float = math.inf
    """Most prompt work in a replica's queue before requests are turned away [s]."""
    network_s: tuple[float, ...] = ()
    """By class, the round trip between its requests and the pool; none when empty."""
    takes: tuple[bool, ...] = ()
    """By class, whether the pool takes its requests; all when empty."""
    min_input_tokens: int = 1
    max_input_tokens: int = 2**62
    """Shortest and longest prompt that it takes."""
    usd_per_hour: float = 0.0
    """Price of a replica, for routers that look at it."""
    model: int = 0
    """Number of the model that it serves."""
    others: tuple["PoolCost", ...] = ()
    """The same pool with further models, which its replicas switch to."""
    weight_bytes: int = 1
    """Of the model."""
    load_s: float = 0.0
    """Loading the model's weights."""
    switch_s: float = 0.0
    """What every switch takes."""
    turn_s: float = 0.0
    """How long requests for the active model may pass one for another."""
    model_bytes: int = 1
    """Memory for the weights of resident models."""
    eviction: str = "lru"
    """Or cost_aware."""

    def _check_others(self) -> None:
        """Raise ValueError unless the models differ in nothing but what is theirs, and go with the rest."""
        models = [self, *self.others]
        if len({each.model for each in models}) < len(models):
            raise ValueError("two of the models of a pool have the same number")
        for other in self.others:
            for name in (each.name for each in fields(self) if each.name not in OF_MODELS):
                if getattr(other, name) != getattr(self, name):
                    raise ValueError(f"{name} belongs to the pool; it must be the same for all of its models")
        if max(each.weight_bytes for each in models) > self.model_bytes:
            raise ValueError(f"model_bytes {self.model_bytes} are too few for the largest of the models")
        if self.role != "both" or self.acceptance or self.adapter_slots or self.queue_order == "fair_share":
            raise ValueError(
                "several models need role both, no draft tokens, no adapters and another order than fair_share"
            )

    def __post_init__(self) -> None:
        """Check lengths and signs; raise ValueError."""
        if self.max_num_seqs > self.max_num_batched_tokens:
            raise ValueError(
                f"max_num_seqs {self.max_num_seqs} exceeds max_num_batched_tokens {self.max_num_batched_tokens}"
            )
        if self.max_num_seqs * (1 + len(self.acceptance)) > self.max_num_batched_tokens:
            raise ValueError(
                f"{self.max_num_seqs} sequences with {len(self.acceptance)} draft tokens each exceed "
                f"max_num_batched_tokens {self.max_num_batched_tokens}"
            )
        if self.prefix_tokens % self.block_size:
            raise ValueError(
                f"prefix_tokens {self.prefix_tokens} is not a multiple of the block size {self.block_size}"
            )
        if self.window_blocks and (self.window_tokens < 1 or self.prefix_tokens or self.role != "both"):
            raise ValueError("sliding windows need window_tokens of at least 1, no prefix cache, and role both")
        if self.adapter_slots and self.queue_order == "fair_share":
            raise ValueError("fair_share has no order among requests that wait for an adapter; use another queue order")
        if self.others:
            self._check_others()
        if self.host_entries and not self.prefix_tokens:
            raise ValueError("host_entries extend a prefix cache; give prefix_tokens")
        if self.role == "prefill" and self.transfer_token_s + self.transfer_latency_s <= 0:
            raise ValueError("a prefill pool needs transfer_token_s or transfer_latency_s above 0: sending takes time")
        if self.role == "decode" and self.batching != "chunked_prefill":
            raise ValueError(f"decode pools need chunked_prefill, found batching {self.batching}")
        if self.swap and self.batching != "chunked_prefill":
            raise ValueError(f"preemption by swap needs chunked_prefill, found batching {self.batching}")
        for name, last in (
            *((name, self.max_num_batched_tokens) for name in ("prompts_s", "mixed_s") if len(getattr(self, name))),
            ("linear_s", self.max_num_batched_tokens),
            ("sequences_s", self.max_num_seqs),
            ("decode_base_s", self.max_num_seqs),
            ("decode_per_context_s", self.max_num_seqs),
        ):
            table = np.asarray(getattr(self, name))
            if table.shape != (last + 1,):
                raise ValueError(f"{name} must have {last + 1} entries (0 to {last}), found shape {table.shape}")
            if not (np.isfinite(table).all() and (table >= 0).all()):
                raise ValueError(f"{name} must be finite and not negative")


OF_MODELS = (
    "linear_s", "sequences_s", "decode_base_s", "decode_per_context_s", "prefill_chunk_s", "prefill_per_pair_s",
    "prefill_per_context_s", "request_overhead_s", "token_overhead_s", "blocks", "max_context", "watermark_blocks",
    "swap_block_s", "host_entries", "full_blocks", "window_blocks", "window_tokens", "prompts_s", "mixed_s", "model", "others",
    "weight_bytes", "load_s",
)  # fmt: skip
"""What the models of a pool have each of their own."""


def zeros_of(shape: tuple[int, ...], dtype: np.dtype) -> NDArray:
    """Zeros that begin on a cache line."""
    size = math.prod(shape) * dtype.itemsize
    room = np.zeros(size + LINE, np.uint8)
    start = -room.ctypes.data % LINE
    return room[start : start + size].view(dtype).reshape(shape)


def records_of(rows: int, dtype: np.dtype) -> np.recarray:
    """Zeroed records whose fields are attributes, compiled or not."""
    return zeros_of((rows,), dtype).view(np.recarray)


def tree_of(keys: NDArray[np.int64]) -> Tree:
    """A tree over these keys."""
    size = 4
    while size < len(keys):
        size *= 4
    levels = [(np.append(keys, np.full(size - len(keys), NOBODY)), np.arange(size))]
    while size > 1:
        size //= 4
        below, replicas = (part.reshape(size, 4) for part in levels[0])
        first, rows = below.argmin(axis=1), np.arange(size)
        levels.insert(0, (below[rows, first], replicas[rows, first]))
    entries = records_of(ROOT + sum(len(level) for level, _ in levels), KEYED)
    entries.key[ROOT:], entries.replica[ROOT:] = map(np.concatenate, zip(*levels, strict=True))
    return Tree(entries, len(entries) - len(levels[-1][0]))


def replay(tree: Tree, replica: int, key: int) -> None:
    """Set a key, and find who is first above it."""
    place, entries = tree.leaves + replica, tree.entries
    entries["key"][place] = key
    while place > ROOT:
        line, place = place & ~3, above(place)
        entries[place] = entries[line + entries["key"][line : line + 4].argmin()]


def tally_of(table: np.record, counts: NDArray[np.float64]) -> Tally:
    """The counts of one pool, cut out of the flat array."""
    seqs, tokens = int(table.max_num_seqs) + 1, int(table.max_num_batched_tokens) + 1
    return Tally(
        steps_by_tokens=counts[table.by_tokens :][:tokens],
        steps_by_sequences=counts[table.by_sequences :][:seqs],
        steps_by_batch=counts[table.by_batch :][:seqs],
        context_by_batch=counts[table.context_by_batch :][:seqs],
        itl_counts=counts[table.itl :][:ITL_BINS],
        prefill_chunks=float(table.prefill_chunks),
        prefill_pairs=float(table.prefill_pairs),
        prefill_context=float(table.prefill_context),
        prefill_compute_s=float(table.prefill_compute_s),
        prefill_memory_s=float(table.prefill_memory_s),
        busy_s=float(table.busy_s),
        itl_sum_s=float(table.itl_sum_s),
        slowed_s=float(table.slowed_s),
        wasted_tokens=int(table.wasted_tokens),
        output_tokens=int(table.output_tokens),
        prompt_tokens=float(table.prompt_tokens),
        **{name: float(getattr(table, name)) for name in ADAPTER_COUNTS},
        switches=int(table.switches),
        loads=int(table.loads),
        evictions=int(table.evictions),
        switching_s=float(table.switching_s),
        steps_by_prompt_tokens=counts[table.by_prompt_tokens :][: tokens if table.prompts != NONE else 0],
        mixed_steps_by_tokens=counts[table.mixed_by_tokens :][: tokens if table.mixed != NONE else 0],
    )


def flattened(pools: list[PoolCost]) -> tuple[np.recarray, NDArray[np.float64], NDArray[np.float64]]:
    """Lay the pools' tables end to end: records that say where each starts, the times, and zeroed counts."""
    others = [other for pool in pools for other in pool.others]
    tables = records_of(len(pools) + len(others), TABLE)
    values: list[NDArray] = []
    filled, counted = 0, 0
    _number(tables, pools)
    for table, pool in zip(tables, [*pools, *others], strict=True):
        for name in ("linear", "sequences", "decode_base", "decode_per_context"):
            setattr(table, name, filled)
            values.append(np.asarray(getattr(pool, f"{name}_s"), np.float64))
            filled += len(values[-1])
        for name, length in (
            ("by_tokens", pool.max_num_batched_tokens + 1),
            ("by_sequences", pool.max_num_seqs + 1),
            ("by_batch", pool.max_num_seqs + 1),
            ("context_by_batch", pool.max_num_seqs + 1),
            ("itl", ITL_BINS),
            ("by_prompt_tokens", len(pool.prompts_s)),
            ("mixed_by_tokens", len(pool.mixed_s)),
        ):
            setattr(table, name, counted)
            counted += length
        for name in (
            "prefill_chunk_s", "prefill_per_pair_s", "prefill_per_context_s", "request_overhead_s", "token_overhead_s",
            "block_size", "blocks", "max_num_seqs", "max_num_batched_tokens", "max_context", "async_scheduling",
            "max_queue_delay_s", "prediction_sigma", "input_weight", "output_weight", "watermark_blocks", "promises", "transfer_token_s", "transfer_latency_s", "swap",
            "swap_block_s", "prefix_tokens", "host_entries", "full_blocks", "window_blocks",
            "adapter_slots", "adapter_rank_s", "adapter_step_s", "adapter_read_s", "adapter_token_s",
            "model", "weight_bytes", "load_s", "switch_s", "turn_s", "model_bytes",
        ):  # fmt: skip
            setattr(table, name, getattr(pool, name))
        table.usd_per_hour = pool.usd_per_hour
        table.classes = max(len(pool.network_s), len(pool.takes))
        table.network, table.takes = filled, filled + table.classes
        values.append(np.asarray(pool.network_s or (0.0,) * int(table.classes), np.float64))
        values.append(np.asarray(pool.takes or (True,) * int(table.classes), np.float64))
        filled += 2 * int(table.classes)
        table.min_input, table.max_input = pool.min_input_tokens, pool.max_input_tokens
        table.max_queued = np.iinfo(np.int64).max if pool.max_queued is None else pool.max_queued
        table.max_queued_work_s = pool.max_queued_work_s
        table.prompt_token_s = pool.linear_s[-1] / pool.max_num_batched_tokens
        table.batching = BATCHINGS.index(pool.batching)
        table.eviction = EVICTIONS.index(pool.eviction)
        size = pool.block_size
        table.block_shift = size.bit_length() - 1 if size & (size - 1) == 0 else NONE
        table.draft_blocks = (pool.full_blocks + pool.window_blocks) * -(-len(pool.acceptance) // size)
        table.draft_tokens, table.acceptance = len(pool.acceptance), filled
        values.append(np.asarray(pool.acceptance, np.float64))
        filled += len(pool.acceptance)
        for name, more in (("prompts", pool.prompts_s), ("mixed", pool.mixed_s)):
            setattr(table, name, filled if len(more) else NONE)
            values.append(np.asarray(more, np.float64))
            filled += len(more)
        table.plain_blocks = pool.full_blocks == 1 and pool.window_blocks == 0
        table.window_limit = -(-(pool.window_tokens - 1) // pool.block_size) + 1
        table.window_peak = table.window_limit - (-pool.max_num_batched_tokens // pool.block_size)
        table.role = ROLES.index(pool.role)
        table.queue_order = QUEUE_ORDERS.index(pool.queue_order)
        table.entry_blocks = pool.prefix_tokens // pool.block_size
    return tables, np.concatenate(values), np.zeros(counted)


def _number(tables: np.recarray, pools: list[PoolCost]) -> None:
    """Say of each of the tables which pool it is of, and where those of the pool's other models stand."""
    begin = len(pools)
    for index, pool in enumerate(pools):
        tables[index].pool, tables[index].others, tables[index].models = index, begin, 1 + len(pool.others)
        for place in range(1, 1 + len(pool.others)):
            own = tables[begin + place - 1]
            own.pool, own.place, own.others, own.models = index, place, begin, 1 + len(pool.others)
        begin += len(pool.others)
