"""Adapters under the laws of the data plane, on random requests: for nothing they change nothing, nobody starves, slots hold.

Not here: schedules by hand (`test_adapters.py`).
"""

import math

import numpy as np
import pytest

from infersim.dataplane.fleet import Fleet
from infersim.dataplane.records import FINISHED, REQUEST
from infersim.policies.routing import ROUTERS
from tests.twin.by_hand import pool

ORDERS = ("fcfs", "priority", "shortest_job", "earliest_deadline")
BATCHINGS = ("chunked_prefill", "prefill_first", "static", "dynamic")


def made(seed: int, adapters: int, **changes: object) -> Fleet:
    """60 requests within 30 s on one replica with too few blocks."""
    rng = np.random.default_rng(seed)
    requests = np.zeros(60, REQUEST)
    requests["id"] = np.arange(60)
    requests["arrival_s"] = np.sort(rng.uniform(0, 30, 60))
    requests["input_tokens"] = rng.integers(1, 20, 60)
    requests["priority"] = rng.integers(0, 3, 60)
    requests["deadline_s"] = rng.uniform(1, 9, 60)
    outputs = rng.integers(1, 25, 60)
    requests["adapter"] = rng.integers(0, adapters + 1, 60)
    requests["adapter_rank"] = 8
    costs: dict = {
        "linear_s": 0.05 + 0.01 * np.arange(17), "decode_base_s": 0.01 * np.arange(7), "decode_per_context_s": np.full(7, 1e-4),
        "prefill_per_pair_s": 1e-4, "max_num_seqs": 6, "max_num_batched_tokens": 16, "blocks": 14, "async_scheduling": seed % 2 == 1,
    }  # fmt: skip
    if changes.get("batching") == "dynamic":
        changes = {"max_queue_delay_s": 0.5} | changes
    fleet = Fleet([pool(**(costs | changes))], [(requests, outputs)], ROUTERS["round_robin"].compiled)
    fleet.open(0)
    return fleet


@pytest.mark.parametrize("batching", BATCHINGS)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("seed", range(2))
def test_for_nothing_and_with_room_for_all_they_change_nothing(seed: int, order: str, batching: str) -> None:
    tuned = made(seed, 5, adapter_slots=5, queue_order=order, batching=batching)
    plain = made(seed, 0, queue_order=order, batching=batching)
    for fleet in (tuned, plain):
        fleet.advance(math.inf)
    for name in ("finish_s", "first_token_s", "queued_s", "preemptions"):
        np.testing.assert_allclose(tuned.outcomes()[name], plain.outcomes()[name], rtol=1e-12, equal_nan=True)
    assert tuned.tally(0).adapter_loads <= 5


@pytest.mark.parametrize("batching", BATCHINGS)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("slots", [1, 3])
def test_nobody_starves_and_slots_hold(slots: int, order: str, batching: str) -> None:
    costs = {"adapter_rank_s": 0.01, "adapter_step_s": 0.02, "adapter_read_s": 0.03, "adapter_token_s": 0.01}
    whole, watched = (
        made(slots, 9, adapter_slots=slots, queue_order=order, batching=batching, **costs) for _ in range(2)
    )
    whole.advance(math.inf)
    time = 0.0
    while watched.advance(time := time + 0.37).time < 300:
        held = watched._arrays.engines.slots[0]
        assert 0 <= held["users"].sum() <= 6
        assert len(set(held["adapter"][held["adapter"] > 0])) == (held["adapter"] > 0).sum()
        watched.observe(0)  # reading changes nothing
    outcomes = whole.outcomes()
    assert (outcomes["status"] == FINISHED).all()
    np.testing.assert_array_equal(outcomes, watched.outcomes())
    assert whole.server(0).kv_free == 14
    assert whole._arrays.engines.slots[0]["users"].sum() == 0
    tally = whole.tally(0)
    named = int((outcomes["adapter"] > 0).sum())
    assert tally.adapter_admissions == named + outcomes["preemptions"][outcomes["adapter"] > 0].sum()
    assert tally.adapter_reads <= slots * tally.adapter_steps
    seconds = 0.02 * tally.adapter_steps + tally.adapter_memory_s + tally.adapter_compute_s + 0.08 * tally.adapter_loads
    free = made(slots, 9, adapter_slots=slots, queue_order=order, batching=batching)
    free.advance(math.inf)
    assert tally.busy_s > seconds
    assert tally.busy_s - seconds < 1.5 * free.tally(0).busy_s
