"""What the naive twin writes down, and what a step costs by the formula of `infersim/cost/tables.py`.

DESIGN.md: "The step's cost", "Counting shapes", "Adapters" (their cost), "Spans", "Slow replicas", what a broken-off step counts. Not here: when a
step is formed and what is in it. Read `naive_ending.py` next.
"""

import math
from dataclasses import replace
from functools import reduce
from operator import add as add_up
from types import SimpleNamespace

import numpy as np

from infersim.dataplane.fleet import PoolCost
from infersim.dataplane.records import ENDINGS, OUTCOME
from infersim.dataplane.tally import ITL_BINS, Tally, itl_edges
from tests.naive_adapters import NONE
from tests.naive_replica import Replica
from tests.naive_sequence import Sequence
from tests.twin.case import Case, Run

ITL_EDGES = itl_edges()
ANY = -1
"""Stands for the model of a pool with a single one."""
Shape = dict[str | tuple[str, int], float]
"""What a step adds to a tally: to each field, or to one bin of a field."""


class Record:
    """Grows while a case runs; `finished` says what came of it."""

    def __init__(self, case: Case) -> None:
        count = len(case.all_requests()[0])
        self.run = Run(np.zeros(count, OUTCOME), [], [[] for _ in range(count)], [], [], {})
        self.run.outcomes["id"] = -1
        self.tallies = [
            {each.model: empty_tally(each) for each in (pool, *pool.others)}
            if pool.others
            else {ANY: empty_tally(pool)}
            for pool in case.pools
        ]
        """Of each pool, by model."""

    def finished(self) -> Run:
        """What was never sent has no outcome."""
        fields = Tally.__dataclass_fields__
        for tallies in self.tallies:
            parts = tuple(Tally(**{name: getattr(tally, name) for name in fields}) for tally in tallies.values())
            self.run.tallies.append(parts[0] if len(parts) == 1 else replace(reduce(add_up, parts), by_model=parts))
        self.run.outcomes = self.run.outcomes[self.run.outcomes["id"] >= 0]
        return self.run

    def tally(self, pool: int, model: int) -> SimpleNamespace:
        return self.tallies[pool].get(model) or self.tallies[pool][ANY]

    def step(self, replica: Replica, now: float) -> float:
        """Count the step that a replica has just formed; return when it ends."""
        replica.shape = shape_of_step(replica)
        add(self.tally(replica.pool_index, replica.pool.model), replica.adapters_admitted, 1.0)
        return self.count(replica, now, self.run.steps)

    def switch(self, replica: Replica, now: float, seconds: float, evicted: list[int], loads: bool) -> float:
        """Count the switch that a replica begins to its active model; return when it ends."""
        add(self.tally(replica.pool_index, replica.pool.model), {"switches": 1, "loads": loads}, 1)
        for model in evicted:
            self.tally(replica.pool_index, model).evictions += 1
        self.run.noted.append((now, replica.pool_index, replica.pool.model, len(evicted), loads, seconds))
        replica.shape = {"busy_s": seconds, "switching_s": seconds}
        return self.count(replica, now, self.run.switches)

    def count(self, replica: Replica, now: float, written: list[list[float]]) -> float:
        add(self.tally(replica.pool_index, replica.pool.model), replica.shape, 1.0)
        end = now + replica.shape["busy_s"]
        written.append([replica.pool_index, now, end, end])
        replica.written = written[-1]
        return end

    def break_off(self, replica: Replica, now: float) -> None:
        """Of the step that runs only the share that has passed counts."""
        rest = (replica.step_end - now) / (replica.step_end - replica.step_start)
        add(self.tally(replica.pool_index, replica.pool.model), replica.shape, -rest)
        replica.written[2] = now

    def gap(self, sequence: Sequence, now: float) -> None:
        """Count the time since the last tokens of the sequence, in each row."""
        tally = self.tally(sequence.replica.pool_index, sequence.request.model)
        seconds = now - sequence.token_times[-1]
        tally.itl_counts[np.searchsorted(ITL_EDGES, seconds, side="right")] += sequence.request.width
        tally.itl_sum_s += sequence.request.width * seconds

    def token(self, sequence: Sequence, now: float) -> None:
        """Note a token that has just left, in each row."""
        pool = sequence.replica.pool_index
        self.run.tokens[sequence.request.id].append((now, pool, sequence.life))
        self.tally(pool, sequence.request.model).output_tokens += sequence.request.width

    def processed(self, sequence: Sequence, tokens: int) -> None:
        """Note tokens that a step has processed for a sequence, in vain if it is nobody's already."""
        sequence.processed_in[sequence.replica.pool_index] += tokens
        if sequence.over:
            self.waste(sequence)

    def waste(self, sequence: Sequence) -> None:
        """All that was processed for a sequence was in vain."""
        for pool, tokens in sequence.processed_in.items():
            self.tally(pool, sequence.request.model).wasted_tokens += tokens
        sequence.request.wasted_tokens += sequence.processed_in.total()
        self.run.outcomes[sequence.request.id]["wasted_tokens"] = sequence.request.wasted_tokens
        sequence.processed_in.clear()

    def outcome(self, sequence: Sequence, status: str, now: float) -> None:
        """Write the row of a request that has just ended for good."""
        request, replica, times = sequence.request, sequence.replica, sequence.token_times
        row = self.run.outcomes[request.id]
        for name in ("id", "arrival_s", "input_tokens", "tenant", "preemptions", "adapter"):
            row[name] = getattr(request, name)
        row["output_tokens"] = len(times)
        row["pool"], row["replica"] = (replica.pool_index, replica.serial) if replica else (-1, -1)
        row["cached_tokens"] = sequence.cached_tokens or 0
        row["forks"], row["host_cached_tokens"] = request.width - 1, sequence.host_cached_tokens
        row["retries"], row["wasted_tokens"] = request.attempts - 1, request.wasted_tokens
        row["status"], row["finish_s"] = ENDINGS.index(status), now
        row["first_token_s"] = times[0] if times else math.nan
        for span, seconds in request.seconds.items():
            row[f"{span}_s"] = seconds


def empty_tally(pool: PoolCost) -> SimpleNamespace:
    """The fields of a Tally, all zero."""
    lengths = {
        "steps_by_tokens": pool.max_num_batched_tokens + 1,
        "steps_by_prompt_tokens": len(pool.prompts_s),
        "mixed_steps_by_tokens": len(pool.mixed_s),
        "steps_by_sequences": pool.max_num_seqs + 1,
        "steps_by_batch": pool.max_num_seqs + 1,
        "context_by_batch": pool.max_num_seqs + 1,
        "itl_counts": ITL_BINS,
    }
    scalars = dict.fromkeys(set(Tally.__dataclass_fields__) - {"by_model"} - set(lengths), 0)
    return SimpleNamespace(by_model=(), **scalars, **{name: np.zeros(length) for name, length in lengths.items()})


def add(tally: SimpleNamespace, shape: Shape, share: float) -> None:
    for field, amount in shape.items():
        if isinstance(field, tuple):
            getattr(tally, field[0])[field[1]] += share * amount
        else:
            setattr(tally, field, getattr(tally, field) + share * amount)


def shape_of_step(replica: Replica) -> Shape:
    """What the step that a replica has just formed adds to the tally of its pool, busy_s being its duration [s]."""
    pool = replica.pool
    decoding = sum(s.request.width for s, _ in replica.step if s.prefilled)
    context = sum(s.request.width * (s.computed + 1) for s, _ in replica.step if s.prefilled)
    chunks = [(s.computed, c) for s, c in replica.step if not s.prefilled]
    tokens, sequences = sum(c for _, c in replica.step), decoding + len(chunks)
    if replica.rows:
        tokens, sequences = replica.rows * (1 + replica.drafts), replica.rows
    shape: Shape = {
        ("steps_by_tokens", tokens): 1,
        ("steps_by_sequences", sequences): 1,
        ("steps_by_batch", decoding): 1,
        ("context_by_batch", decoding): context,
        "prefill_chunks": len(chunks),
        "prefill_compute_s": 0.0,
        "prefill_memory_s": 0.0,
        "prefill_pairs": sum(c * p + c * (c + 1) / 2 for p, c in chunks),
        "prefill_context": sum(p + c for p, c in chunks),
        "prompt_tokens": sum(c for _, c in chunks),
    }
    seconds = pool.linear_s[tokens] + pool.sequences_s[sequences] + pool.swap_block_s * replica.copied_blocks
    seconds += pool.adapter_rank_s * replica.loaded_ranks
    seconds += pool.decode_base_s[decoding] + pool.decode_per_context_s[decoding] * context
    for p, c in chunks:
        compute, memory = pool.prefill_per_pair_s * (c * p + c * (c + 1) / 2), pool.prefill_per_context_s * (p + c)
        seconds += pool.prefill_chunk_s + max(compute, memory)
        shape["prefill_compute_s" if compute >= memory else "prefill_memory_s"] += max(compute, memory)
    if chunks and len(pool.prompts_s):
        seconds += pool.prompts_s[shape["prompt_tokens"]]
        shape["steps_by_prompt_tokens", shape["prompt_tokens"]] = 1
    if chunks and len(pool.mixed_s):
        seconds += pool.mixed_s[tokens]
        shape["mixed_steps_by_tokens", tokens] = 1
    tuned = [(s.request.adapter, tokens) for s, tokens in replica.step if s.request.adapter != NONE]
    if tuned:
        reads, tokens = len({adapter for adapter, _ in tuned}), sum(tokens for _, tokens in tuned)
        memory, compute = reads * pool.adapter_read_s, tokens * pool.adapter_token_s
        seconds += pool.adapter_step_s + max(memory, compute)
        shape |= {"adapter_steps": 1, "adapter_reads": reads, "adapter_tokens": tokens}
        shape["adapter_compute_s" if compute >= memory else "adapter_memory_s"] = max(compute, memory)
    shape["busy_s"] = float(seconds) * replica.slowdown
    shape["slowed_s"] = float(seconds) * (replica.slowdown - 1)
    return shape
