"""What the schedules worked out by hand are made of: pools whose steps take round times, requests in a row each.

Not here: the schedules (`test_by_hand*.py`).
"""

import math

import numpy as np

from infersim.dataplane.fleet import PoolCost
from infersim.dataplane.records import REQUEST, SEQUEL
from infersim.dataplane.rules import ClientRules
from tests import naive
from tests.naive_sequence import SPANS
from tests.twin import compiled
from tests.twin.agreement import differences
from tests.twin.case import Case, Run, Source


def pool(step_s: float = 1.0, **changes: object) -> PoolCost:
    """Every step takes step_s, whatever is in it; room for everything, no front end."""
    limits = {"max_num_seqs": 4, "max_num_batched_tokens": 8} | {
        k: v for k, v in changes.items() if k in ("max_num_seqs", "max_num_batched_tokens")
    }
    by_sequences = limits["max_num_seqs"] + 1
    fields: dict = {
        "linear_s": np.full(limits["max_num_batched_tokens"] + 1, step_s),
        "sequences_s": np.zeros(by_sequences),
        "decode_base_s": np.zeros(by_sequences),
        "decode_per_context_s": np.zeros(by_sequences),
        "prefill_chunk_s": 0.0,
        "prefill_per_pair_s": 0.0,
        "prefill_per_context_s": 0.0,
        "request_overhead_s": 0.0,
        "token_overhead_s": 0.0,
        "block_size": 4,
        "blocks": 100,
        "max_context": 1000,
        "async_scheduling": False,
    }
    return PoolCost(**(fields | limits | changes))


def run(
    rows: list[tuple[float, int, int]],
    *pools: PoolCost,
    router: str = "round_robin",
    initial=(0,),
    actions=(),
    names: list[list[int]] | None = None,
    clients: tuple[ClientRules, ...] = (ClientRules(), ClientRules()),
    max_queued: int | None = None,
    max_wait_s: float = math.inf,
    sequels: list[tuple[int, int, int, float, int] | tuple[int, int, int, float, int, bool]] | None = None,
    sources: tuple[list[tuple[float, int, int]], ...] = (),
    last_arrival_s: float = math.inf,
    scrape_s: float = 0.0,
    **fields: list[float],
) -> Run:
    """What the twin makes of a schedule, and the loop too: that they agree is asserted here, on ties of round times as well.

    Rows are (arrival, input tokens, output tokens); names of prefix blocks and other fields are by request.

    Sequels are (after, joins, unless, gap, source) and, if they are late, True; rows of sources are (gap, input tokens, output tokens).
    """
    requests = np.zeros(len(rows), REQUEST)
    requests["id"], requests["arrival_s"] = np.arange(len(rows)), [row[0] for row in rows]
    requests["input_tokens"] = [row[1] for row in rows]
    for name, values in fields.items():
        requests[name] = values
    flat: list[int] = []
    for request, own in zip(requests, names or [[]] * len(rows), strict=True):
        request["prefix_start"], request["prefix_blocks"] = len(flat), len(own)
        flat += own
    outputs = np.array([row[2] for row in rows])
    prefixes = np.array(flat, np.int64)
    service = (list(clients), max_queued, max_wait_s)
    follow = None if sequels is None else np.array([(*each, False)[:6] for each in sequels], SEQUEL)
    users = [source_of(own, len(rows) + sum(map(len, sources[:number]))) for number, own in enumerate(sources)]
    service += (follow, users, scrape_s, last_arrival_s)
    case = Case(list(pools), requests, outputs, router, list(initial), list(actions), prefixes, *service)
    twin = naive.simulate(case)
    assert not differences(case, twin, compiled.simulate(case))
    return twin


def source_of(rows: list[tuple[float, int, int]], first: int) -> Source:
    """What users send, their ids from `first` on."""
    requests = np.zeros(len(rows), REQUEST)
    requests["id"], requests["input_tokens"] = first + np.arange(len(rows)), [row[1] for row in rows]
    return Source(requests, np.array([row[2] for row in rows]), np.array([row[0] for row in rows], float))


def spans(row: np.void) -> tuple[float, ...]:
    """The spans of an outcome that ran on one replica at once [s], in the order in which they are passed."""
    return tuple(float(row[f"{name}_s"]) for name in SPANS if name not in ("transfer", "away"))
