"""What one run of the data plane is made of and what comes of it, for the twin and the compiled loop alike.

Not here: how it runs (`tests/naive.py`, and `compiled.py` for the loop), nor random cases (`cases.py`).
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from infersim.dataplane.tally import Tally


@dataclass(frozen=True)
class Pool:
    """Costs and limits of one pool's replicas; the fields of the loop's PoolCost."""

    linear_s: NDArray[np.float64]
    sequences_s: NDArray[np.float64]
    decode_base_s: NDArray[np.float64]
    decode_per_context_s: NDArray[np.float64]
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
    watermark_blocks: int = 0
    swap: bool = False
    swap_block_s: float = 0.0
    prefix_tokens: int = 0

    def blocks_for(self, tokens: int) -> int:
        return -(-tokens // self.block_size)


@dataclass(frozen=True)
class Case:
    """Everything that one run is made of."""

    pools: list[Pool]
    requests: NDArray[np.void]
    """REQUEST records by arrival."""
    outputs: NDArray[np.int64]
    """Output tokens of each request."""
    router: str
    """round_robin or least_outstanding."""
    initial: list[int]
    """Pools of the replicas that are ready before anything happens."""
    actions: list[tuple[float, str, int]] = field(default_factory=list)
    """(time, "open", pool), (time, "drain", serial number of a replica) or (time, "look", pool), by time."""
    names: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Names of prefix blocks; each request says where its own begin and how many they are."""


@dataclass
class Run:
    """What came of a case."""

    outcomes: NDArray[np.void]
    """OUTCOME records by id."""
    tallies: list[Tally]
    """By pool."""
    token_times: list[list[float]]
    """When each request's output tokens left, by id [s]."""
    steps: list[tuple[int, float, float]]
    """(pool, start, end) of each step [s]."""
    looks: list[tuple[int, int, int, int, int]]
    """Ready and draining replicas, requests waiting (or in front ends) and running, KV blocks in use."""
