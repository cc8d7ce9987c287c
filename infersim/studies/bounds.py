"""What no schedule can beat: the least replica time of a request, the shortest latencies, from cost tables alone.

A step of T tokens takes at least what any line below the tables says, f + g T <= linear[T] with f >= 0, and likewise
for its sequences. Summed over the steps of a run, of which there are at least

    n = max(decoded tokens / max_num_seqs, all tokens / max_num_batched_tokens, attended context / KV tokens)

for each request, this bounds the replica's busy time from below whatever the batches look like. The KV term is what
makes the bound close: a step attends at most the tokens that the cache holds.

Where tokens are drafted a step may emit several, where prefixes are cached a prompt may be one token long, and a pool
of one role does its part. Requests that the replica would reject are left out. Not here: simulation, which is always slower. Read `curve.py` next.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infersim.cost.least import least_tpot, least_ttft
from infersim.cost.tables import CostTables
from infersim.simulate import cost_tables
from infersim.spec.resolve import ResolvedScenario
from infersim.studies.demand import Demand

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Bound:
    """Bounds of one replica under one demand."""

    request_s: float
    """Least busy time of a replica for a mean request [s]."""
    ttft_s: Array
    """Least time to first token of each request [s]."""
    tpot_s: Array
    """Least time for each output token after the first, of each request that has one [s]."""
    e2e_s: Array
    """Least latency of each request [s]."""
    served: float
    """Share of the requests that are not rejected."""

    @property
    def capacity_rps(self) -> float:
        """Most requests that one replica can serve [requests/s]."""
        return 1.0 / self.request_s


def bound(resolved: ResolvedScenario, index: int, demand: Demand) -> Bound | None:
    """Bounds of a replica of one of the scenario's pools; None when it would reject every request."""
    pool, tables = resolved.pools[index].pool, cost_tables(resolved, index)
    fits = _fitting(tables, demand)
    if not fits.any():
        return None
    prompt, output = demand.input_tokens[fits], demand.output_tokens[fits]
    if pool.kv_cache.prefix_caching:
        prompt = np.ones_like(prompt)
    emitted = 1 + (pool.speculative.tokens if pool.speculative else 0)
    ttft, tpot = least_ttft(tables, prompt), least_tpot(tables, prompt, output) / emitted
    return Bound(
        request_s=_request_s(
            tables,
            prompt if pool.role != "decode" else np.zeros_like(prompt),
            np.ceil((output - 1) / emitted) if pool.role != "prefill" else np.zeros_like(output),
            0 if pool.role == "decode" else 1,
        ),
        ttft_s=ttft,
        tpot_s=tpot[output > 1],
        e2e_s=ttft + tpot * (output - 1),
        served=float(fits.mean()),
    )


def _fitting(tables: CostTables, demand: Demand) -> NDArray[np.bool_]:
    """Requests that fit the model's context and the KV cache."""
    tokens = demand.input_tokens + demand.output_tokens
    return (tokens <= tables.max_context) & (tokens - 1 <= tables.memory.longest_tokens)


def _request_s(tables: CostTables, prompt: Array, decodes: Array, chunks: int) -> float:
    """Least busy time for a mean request of so many prompt tokens, decode steps and prompt chunks [s]."""
    context = decodes * prompt + decodes * (decodes + 1) / 2
    tokens, decoding, attended = (float(x.mean()) for x in (prompt + decodes, decodes, context))
    pairs, seats = float((prompt * (prompt + 1)).mean()) / 2, decoding + chunks
    cache = tables.memory.longest_tokens
    decode_steps = max(decoding / tables.max_num_seqs, attended / cache)
    steps = max(decode_steps, tokens / tables.max_num_batched_tokens, seats / tables.max_num_seqs)
    return (
        _least(tables.linear.seconds, tokens, steps)
        + _least(tables.sequences.seconds, seats, steps)
        + _least(tables.decode_base.seconds, decoding, decode_steps)
        + attended * float(tables.decode_per_context.seconds[1:].min())
        + chunks * float(tables.prefill_chunk.seconds)
        + pairs * float(tables.prefill_pair.seconds)
    )


def _least(seconds: Array, units: float, steps: float) -> float:
    """Least total of seconds[count] over at least `steps` steps whose counts sum to `units`: the best line below."""
    counts = np.arange(1, len(seconds), dtype=np.float64)
    values = seconds[1:]
    marks = np.unique(np.minimum(2 ** np.arange(int(counts[-1]).bit_length()), len(values))) - 1
    slopes = np.diff(values[marks]) / np.diff(counts[marks]) if len(marks) > 1 else np.zeros(1)
    slopes = np.append(np.maximum(slopes, 0.0), [0.0, float((values / counts).min())])
    floors = (values[None, :] - slopes[:, None] * counts[None, :]).min(axis=1)
    totals = floors * steps + slopes * units
    return float(totals[floors >= -1e-15].max())
