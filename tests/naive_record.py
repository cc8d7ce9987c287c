"""What the naive twin writes down, and what a step costs by the formula of `infersim/cost/tables.py`.

DESIGN.md: "The step's cost", "Counting shapes", "Spans". Not here: when a step is formed and what is in it. Read
`naive_ending.py` next.
"""

import math
from types import SimpleNamespace

import numpy as np

from infersim.dataplane.fleet import PoolCost
from infersim.dataplane.records import OUTCOME
from infersim.dataplane.tally import ITL_BINS, Tally, itl_edges
from tests.naive_replica import Replica
from tests.naive_sequence import Sequence
from tests.twin.case import Case, Run

ITL_EDGES = itl_edges()


class Record:
    """Grows while a case runs; `finished` says what came of it."""

    def __init__(self, case: Case) -> None:
        self.run = Run(np.zeros(len(case.requests), OUTCOME), [], [[] for _ in case.requests], [], [], {})
        self.tallies = [empty_tally(pool) for pool in case.pools]

    def finished(self) -> Run:
        self.run.tallies = [Tally(**vars(tally)) for tally in self.tallies]
        return self.run

    def step(self, replica: Replica, now: float) -> float:
        """Count the step that a replica has just formed; return when it ends."""
        end = now + count_step(self.tallies[replica.pool_index], replica)
        self.run.steps.append((replica.pool_index, now, end))
        return end

    def gap(self, sequence: Sequence, now: float) -> None:
        """Count the time since the last tokens of the sequence, in each row."""
        tally, seconds = self.tallies[sequence.replica.pool_index], now - sequence.token_times[-1]
        tally.itl_counts[np.searchsorted(ITL_EDGES, seconds, side="right")] += sequence.width
        tally.itl_sum_s += sequence.width * seconds

    def token(self, sequence: Sequence, now: float) -> None:
        """Note a token that has just left, in each row."""
        pool = sequence.replica.pool_index
        self.run.tokens[sequence.id].append((now, pool))
        self.tallies[pool].output_tokens += sequence.width

    def outcome(self, sequence: Sequence, status: int, now: float) -> None:
        """Write the row of a request that has just ended."""
        replica, times, row = sequence.replica, sequence.token_times, self.run.outcomes[sequence.id]
        for name in ("id", "arrival_s", "input_tokens", "tenant", "preemptions", "host_cached_tokens"):
            row[name] = getattr(sequence, name)
        row["forks"] = sequence.width - 1
        row["output_tokens"], row["pool"], row["replica"] = len(times), replica.pool_index, replica.serial
        row["status"], row["finish_s"], row["cached_tokens"] = status, now, sequence.cached_tokens or 0
        row["first_token_s"] = times[0] if times else math.nan
        for span, seconds in sequence.seconds.items():
            row[f"{span}_s"] = seconds


def empty_tally(pool: PoolCost) -> SimpleNamespace:
    """The fields of a Tally, all zero."""
    by_sequences = ("steps_by_sequences", "steps_by_batch", "context_by_batch")
    scalars = ("prefill_chunks", "prefill_pairs", "prefill_context", "prefill_compute_s", "prefill_memory_s")
    fields: dict = {name: np.zeros(pool.max_num_seqs + 1) for name in by_sequences}
    fields |= dict.fromkeys((*scalars, "busy_s", "itl_sum_s", "prompt_tokens"), 0.0) | {"output_tokens": 0}
    fields |= {"steps_by_tokens": np.zeros(pool.max_num_batched_tokens + 1), "itl_counts": np.zeros(ITL_BINS)}
    return SimpleNamespace(**fields)


def count_step(tally: SimpleNamespace, replica: Replica) -> float:
    """Count the step that a replica has just formed; return its duration [s]."""
    pool = replica.pool
    decoding = sum(s.width for s, _ in replica.step if s.prefilled)
    context = sum(s.width * (s.computed + 1) for s, _ in replica.step if s.prefilled)
    chunks = [(s.computed, c) for s, c in replica.step if not s.prefilled]
    tokens, sequences = sum(c for _, c in replica.step), decoding + len(chunks)
    if replica.rows:
        tokens, sequences = replica.rows * (1 + replica.drafts), replica.rows
    seconds = pool.linear_s[tokens] + pool.sequences_s[sequences] + pool.swap_block_s * replica.copied_blocks
    seconds += pool.decode_base_s[decoding] + pool.decode_per_context_s[decoding] * context
    for p, c in chunks:
        pairs, attended = c * p + c * (c + 1) / 2, p + c
        compute, memory = pool.prefill_per_pair_s * pairs, pool.prefill_per_context_s * attended
        seconds += pool.prefill_chunk_s + max(compute, memory)
        if compute >= memory:
            tally.prefill_compute_s += compute
        else:
            tally.prefill_memory_s += memory
        tally.prefill_chunks += 1
        tally.prompt_tokens += c
        tally.prefill_pairs += pairs
        tally.prefill_context += attended
    tally.steps_by_tokens[tokens] += 1
    tally.steps_by_sequences[sequences] += 1
    tally.steps_by_batch[decoding] += 1
    tally.context_by_batch[decoding] += context
    tally.busy_s += seconds
    return float(seconds)
