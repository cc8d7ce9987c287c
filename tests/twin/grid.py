"""A case whose times are all whole multiples of a power of two, so that sums of them are exact and a great deal happens at one instant.

Random floats meet only where replicas run in lockstep. Here steps end where requests arrive, where clients give up, and where other steps
end, so the order of events at equal times, and what a leap is cut at, is compared too. Not here: what must hold (`test_twin.py`).
"""

import math
from dataclasses import replace

import numpy as np

from infersim.dataplane.fleet import PoolCost
from infersim.dataplane.rules import ClientRules
from tests.twin.case import Case

QUANTUM_S = 2.0**-7
"""Of times [s]; most steps take one or two."""
FINE_S = 2.0**-12
"""Of times for each token or block of tokens, rounded down, so that many are 0."""
COARSE = (
    "linear_s", "sequences_s", "decode_base_s", "prefill_chunk_s", "request_overhead_s", "transfer_latency_s", "transfer_token_s",
    "max_queue_delay_s", "adapter_rank_s", "adapter_step_s", "prompts_s", "mixed_s", "load_s", "switch_s", "turn_s",
    "max_queued_work_s",
)  # fmt: skip
FINE = (
    "decode_per_context_s", "prefill_per_pair_s", "prefill_per_context_s", "token_overhead_s", "swap_block_s",
    "adapter_read_s", "adapter_token_s",
)  # fmt: skip


def on_grid(case: Case) -> Case:
    """The case with its times rounded up to the grid."""
    requests, last_s = case.requests.copy(), case.last_arrival_s
    for name in ("arrival_s", "deadline_s"):
        requests[name] = rounded(requests[name])
    sequels = case.sequels
    if sequels is not None:
        sequels = sequels.copy()
        sequels["gap_s"] = rounded(sequels["gap_s"])
    return replace(
        case,
        pools=[pool_on_grid(pool) for pool in case.pools],
        requests=requests,
        actions=[(float(rounded(time)), verb, what) for time, verb, what in case.actions],
        clients=[client_on_grid(client) for client in case.clients],
        max_wait_s=float(rounded(case.max_wait_s)),
        sequels=sequels,
        sources=[replace(source, gaps=rounded(source.gaps)) for source in case.sources],
        scrape_s=float(rounded(case.scrape_s)),
        last_arrival_s=float(rounded(last_s)),
    )


def rounded(times: object, quantum_s: float = QUANTUM_S) -> np.ndarray:
    """Up to a multiple of the quantum; inf stays."""
    return np.ceil(np.asarray(times, np.float64) / quantum_s) * quantum_s


def pool_on_grid(pool: PoolCost) -> PoolCost:
    """The pool, and its other models, with times of the grid."""
    changes: dict = {name: rounded(getattr(pool, name)) for name in COARSE}
    changes |= {name: np.floor(np.asarray(getattr(pool, name)) / QUANTUM_S * 2) * FINE_S for name in FINE}
    changes = {name: float(value) if value.ndim == 0 else value for name, value in changes.items()}
    others = tuple(pool_on_grid(other) for other in pool.others)
    return replace(pool, network_s=tuple(rounded(pool.network_s).tolist()), others=others, **changes)


def client_on_grid(client: ClientRules) -> ClientRules:
    """The client with whole pauses, a rate of whole tokens a quantum, and no jitter."""
    names = ("timeout_s", "ttft_timeout_s", "backoff_s", "max_backoff_s")
    times = {name: float(rounded(getattr(client, name))) for name in names}
    limited = math.isfinite(client.tokens_per_s)
    return replace(
        client,
        **times,
        jitter=0.0,
        tokens_per_s=math.ceil(client.tokens_per_s) if limited else math.inf,
        burst_tokens=math.ceil(client.burst_tokens) if limited else client.burst_tokens,
    )
