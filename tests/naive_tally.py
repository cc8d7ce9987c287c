"""What the naive twin counts and what a step costs, from DESIGN.md and the formula of `infersim/cost/tables.py`.

Not here: when a step is formed and what is in it (`naive_replica.py`).
"""

import numpy as np

from infersim.dataplane.tally import ITL_BINS, itl_edges
from tests.naive_replica import Replica
from tests.twin.case import Pool

ITL_EDGES = itl_edges()


def empty_tally(pool: Pool) -> dict:
    """The fields of a Tally, all zero."""
    by_sequences = ("steps_by_sequences", "steps_by_batch", "context_by_batch")
    scalars = ("prefill_chunks", "prefill_pairs", "prefill_context", "prefill_compute_s", "prefill_memory_s")
    tally: dict = {name: np.zeros(pool.max_num_seqs + 1) for name in by_sequences}
    tally |= dict.fromkeys((*scalars, "busy_s", "itl_sum_s", "prompt_tokens"), 0.0) | {"output_tokens": 0}
    return tally | {"steps_by_tokens": np.zeros(pool.max_num_batched_tokens + 1), "itl_counts": np.zeros(ITL_BINS)}


def count_step(tally: dict, replica: Replica) -> float:
    """Count the step that a replica has just formed; return its duration [s]."""
    pool = replica.pool
    contexts = [s.computed + 1 for s, _ in replica.step if s.decoding()]
    chunks = [(s.computed, c) for s, c in replica.step if not s.decoding()]
    tokens, sequences, decoding = sum(c for _, c in replica.step), len(replica.step), len(contexts)
    if replica.rows:
        tokens, sequences = replica.rows * pool.width, replica.rows
    seconds = pool.linear_s[tokens] + pool.sequences_s[sequences]
    seconds += pool.swap_block_s * replica.copied_blocks
    seconds += pool.decode_base_s[decoding] + pool.decode_per_context_s[decoding] * sum(contexts)
    for p, c in chunks:
        pairs, attended = c * p + c * (c + 1) / 2, p + c
        compute, memory = pool.prefill_per_pair_s * pairs, pool.prefill_per_context_s * attended
        seconds += pool.prefill_chunk_s + max(compute, memory)
        tally["prefill_compute_s" if compute >= memory else "prefill_memory_s"] += max(compute, memory)
        tally["prefill_chunks"] += 1
        tally["prompt_tokens"] += c
        tally["prefill_pairs"] += pairs
        tally["prefill_context"] += attended
    tally["steps_by_tokens"][tokens] += 1
    tally["steps_by_sequences"][sequences] += 1
    tally["steps_by_batch"][decoding] += 1
    tally["context_by_batch"][decoding] += sum(contexts)
    tally["busy_s"] += seconds
    return float(seconds)


def count_gap(tally: dict, seconds: float) -> None:
    """Count the time between two tokens of a request."""
    tally["itl_counts"][np.searchsorted(ITL_EDGES, seconds, side="right")] += 1
    tally["itl_sum_s"] += seconds
