"""Laws of the data plane, for every routing policy, a user's own included, and every batching policy and queue order.

They need no second simulator: what comes in goes out, time is spent once, nothing is faster than its table. What holds
when replicas fail and clients lose patience is in `test_disturbed.py`, laws of whole scenarios in `test_scenarios.py`.
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from infersim.dataplane.fleet import PoolCost
from infersim.dataplane.records import FINISHED, REJECTED
from infersim.dataplane.tally import Tally
from infersim.policies.routing import ROUTERS
from tests.laws.runs import (
    TECHNIQUES,
    USERS_OWN,
    Trial,
    cases_of,
    fleet_of,
    on_one_replica,
    serve_until,
    undisturbed,
)
from tests.laws.spans import SPANS, served_span
from tests.twin import compiled

CLOSE = 1e-9
TERMS = (
    "linear_s",
    "sequences_s",
    "decode_base_s",
    "decode_per_context_s",
    "prefill_per_pair_s",
    "prefill_per_context_s",
)


@pytest.fixture(scope="module", params=TECHNIQUES)
def trials(request: pytest.FixtureRequest) -> list[Trial]:
    """The cases of a technique, mended so that nothing goes wrong in them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ROUTERS, USERS_OWN.name, USERS_OWN)
        yield [Trial(undisturbed(case)) for case in cases_of(request.param)]


@pytest.fixture(scope="module")
def plain(trials: list[Trial]) -> list[Trial]:
    """The cases with every request served by one replica from its prompt to its end, a token at a time."""
    return [Trial(on_one_replica(trial.case)) for trial in trials]


def price_s(pool: PoolCost, tally: Tally) -> float:
    """What the counted steps cost by the tables [s]."""
    linear = tally.steps_by_tokens @ pool.linear_s + tally.steps_by_sequences @ pool.sequences_s
    decode = tally.steps_by_batch @ pool.decode_base_s + tally.context_by_batch @ pool.decode_per_context_s
    prefill = tally.prefill_chunks * pool.prefill_chunk_s + tally.prefill_compute_s + tally.prefill_memory_s
    adapters = tally.adapter_steps * pool.adapter_step_s + tally.adapter_compute_s + tally.adapter_memory_s
    return float(linear + decode + prefill + adapters)


def test_every_request_ends_exactly_once(trials: list[Trial]):
    for trial in trials:
        case, run = trial.case, trial.run
        assert run.outcomes["id"].tolist() == list(range(len(case.requests)))
        assert np.isin(run.outcomes["status"], (FINISHED, REJECTED)).all()
        assert (run.fleet.in_flight, run.fleet.held) == (0, 0)


def test_tokens_in_are_tokens_out(trials: list[Trial]):
    for trial in trials:
        case, run = trial.case, trial.run
        finished = run.outcomes["status"] == FINISHED
        # One that no decode replica can take has had its first token from a prefill replica.
        receives = np.array([pool.role == "decode" for pool in case.pools])
        refused = receives[run.outcomes["pool"]].astype(int)
        assert (run.outcomes["output_tokens"] == np.where(finished, case.outputs, refused)).all()
        assert sum(tally.output_tokens for tally in run.tallies) == run.outcomes["output_tokens"].sum()


def test_every_pool_counts_what_its_requests_were(plain: list[Trial]):
    for trial in plain:
        case, run = trial.case, trial.run
        finished = run.outcomes["status"] == FINISHED
        for pool, tally in enumerate(run.tallies):
            mine = run.outcomes[finished & (run.outcomes["pool"] == pool)]
            assert tally.output_tokens == mine["output_tokens"].sum()
            assert tally.itl_counts.sum() == (mine["output_tokens"] - 1).sum()
            recomputed = tally.prompt_tokens - (mine["input_tokens"] - mine["cached_tokens"]).sum()
            if mine["preemptions"].sum() == 0:
                assert recomputed == 0
            elif not (case.pools[pool].swap or case.pools[pool].prefix_tokens):
                assert recomputed > 0
            steps = {float(by.sum()) for by in (tally.steps_by_tokens, tally.steps_by_sequences, tally.steps_by_batch)}
            assert len(steps) == 1


def test_kv_stays_within_its_blocks_and_returns_to_zero(trials: list[Trial]):
    for trial in trials[-3:]:
        case, end = trial.case, trial.rows["finish_s"].max()
        fleet = fleet_of(case)
        for stop in [*np.linspace(0, 2 * end, 100), np.inf]:
            serve_until(fleet, float(stop))
            for pool in range(len(case.pools)):
                holds, _ = fleet.observe(pool)
                assert 0 <= holds.kv_blocks_used <= holds.kv_blocks == case.pools[pool].blocks
                assert 0 <= holds.running <= case.pools[pool].max_num_seqs
                assert holds.kv_blocks_used > 0 or holds.running == 0
        for pool in range(len(case.pools)):
            holds, _ = fleet.observe(pool)
            assert (holds.waiting, holds.running, holds.kv_blocks_used) == (0, 0, 0)
            assert holds.routed == holds.ended


def test_work_is_conserved(plain: list[Trial]):
    """A replica is busy exactly while it has requests, so busy and idle time make up the time that it is up.

    Dynamic batching may let each of them wait for company, but not for longer than it is told.
    """
    for trial in plain:
        case, run = trial.case, trial.run
        accepted = run.outcomes[run.outcomes["status"] == FINISHED]
        end = run.outcomes["finish_s"].max()
        for pool, tally in enumerate(run.tallies):
            mine = accepted[accepted["pool"] == pool]
            served = [served_span(mine[mine["replica"] == serial]) for serial in np.unique(mine["replica"])]
            if case.pools[pool].batching == "dynamic":
                patience = case.pools[pool].max_queue_delay_s * (len(mine) + mine["preemptions"].sum())
                assert sum(served) - patience - CLOSE * end <= tally.busy_s <= sum(served) + CLOSE * end
            else:
                assert np.isclose(tally.busy_s, sum(served), rtol=CLOSE, atol=CLOSE * end)


def test_time_is_what_the_tables_say(plain: list[Trial]):
    """Busy seconds are the price of the shapes that were counted; no step is under its table.

    What is swapped out is swapped in again, so that copies come in pairs.
    """
    for trial in plain:
        case, run = trial.case, trial.run
        for pool, (costs, tally) in enumerate(zip(case.pools, run.tallies, strict=True)):
            copies = (tally.busy_s - price_s(costs, tally)) / (2 * costs.swap_block_s)
            assert np.isclose(copies, round(copies), rtol=0, atol=1e-3)
            assert copies > -1e-3 if costs.swap else abs(copies) < 1e-3
            mine = run.outcomes[(run.outcomes["status"] == FINISHED) & (run.outcomes["pool"] == pool)]
            least_step = costs.linear_s[1] + costs.sequences_s[1]
            floor = least_step + costs.decode_base_s[1] + costs.decode_per_context_s[1] * (mine["input_tokens"] + 1)
            after_first = mine["finish_s"] - mine["first_token_s"]
            assert (after_first >= least_step * (mine["output_tokens"] - 1) * (1 - CLOSE)).all()
            calm = mine["preemptions"] == 0
            assert (mine["decode_s"] >= floor * (mine["output_tokens"] - 1) * (1 - CLOSE))[calm].all()
            chunks = -(-(mine["input_tokens"] - mine["cached_tokens"]) // costs.max_num_batched_tokens)
            assert (mine["prefill_s"] >= chunks * (least_step + costs.prefill_chunk_s) * (1 - CLOSE))[calm].all()
            if costs.batching in ("static", "dynamic"):  # a request waits for the batch after its last token
                assert tally.itl_sum_s <= after_first.sum() * (1 + CLOSE)
            else:
                assert np.isclose(tally.itl_sum_s, after_first.sum(), rtol=CLOSE)


def test_causes_come_before_effects(trials: list[Trial]):
    for trial in trials:
        rows = trial.rows
        end = rows["finish_s"].max()
        for span in SPANS:
            assert (rows[span] >= 0).all(), span
        latency = rows["finish_s"] - rows["arrival_s"]
        assert np.allclose(sum(rows[span] for span in SPANS), latency, rtol=0, atol=CLOSE * end)
        done = rows[rows["status"] == FINISHED]
        assert (done["first_token_s"] > done["arrival_s"] + done["held_s"] + done["handling_s"]).all()
        assert (done["finish_s"] >= done["first_token_s"]).all()
        assert (done["first_token_s"] == done["finish_s"])[done["output_tokens"] == 1].all()
        assert (done["first_token_s"] < done["finish_s"])[done["output_tokens"] > 1].all()
        assert ((rows["preempted_s"] == 0) | (rows["preemptions"] > 0)).all()


def test_one_replica_queues_then_prefills_then_decodes(plain: list[Trial]):
    for trial in plain:
        rows = trial.rows
        done = rows[rows["status"] == FINISHED]
        admitted = done["arrival_s"] + done["held_s"] + done["handling_s"] + done["queued_s"]
        assert (done["first_token_s"] > admitted).all()
        assert (rows["transfer_s"] == 0).all()
        calm = done[done["preemptions"] == 0]
        first = calm["finish_s"] - calm["decode_s"]
        assert np.allclose(first, calm["first_token_s"], rtol=0, atol=CLOSE * rows["finish_s"].max())


def test_little(trials: list[Trial]):
    """The number in flight, read off the fleet between all events and integrated, is the sum of all latencies."""
    for trial in trials[-3:]:
        case = replace(trial.case, initial=[*range(len(trial.case.pools))], actions=[])
        rows = compiled.simulate(case).outcomes
        events = np.unique(np.concatenate([rows["arrival_s"], rows["finish_s"]]))
        events = events[np.insert(np.diff(events) > CLOSE * events[-1], 0, True)]
        fleet, area = fleet_of(case), 0.0
        for begin, end in pairwise(events):
            serve_until(fleet, float(begin + end) / 2)
            area += fleet.in_flight * (end - begin)
        assert np.isclose(area, (rows["finish_s"] - rows["arrival_s"]).sum(), rtol=1e-6)


def test_only_whole_prefix_blocks_are_found(trials: list[Trial]):
    """Where one was prefilled: in the pool in which it ended, or in any if that only decodes (their blocks are alike)."""
    for trial in trials:
        case, rows = trial.case, trial.rows
        largest = max(pool.prefix_tokens for pool in case.pools)
        for pool, costs in enumerate(case.pools):
            mine, size = rows[rows["pool"] == pool], largest if costs.role == "decode" else costs.prefix_tokens
            named = case.requests["prefix_blocks"][mine["id"]] * size
            assert (mine["cached_tokens"] <= np.minimum(mine["input_tokens"] - 1, named)).all()
            assert (mine["cached_tokens"] % max(1, size) == 0).all()


def test_same_input_same_bytes(trials: list[Trial]):
    for trial in trials:
        one, two = trial.run, compiled.simulate(trial.case)
        assert one.outcomes.tobytes() == two.outcomes.tobytes()
        for a, b in zip(one.tallies, two.tallies, strict=True):
            assert all(np.array_equal(value, getattr(b, name)) for name, value in vars(a).items())


def test_faster_hardware_is_never_slower(plain: list[Trial]):
    """With all work there from the start the steps are the same, so that every request ends sooner or at once."""
    for number, trial in enumerate(plain):
        if any(pool.batching == "own" for pool in trial.case.pools):
            continue  # the users' policy looks at the clock
        term = TERMS[number % len(TERMS)]
        requests = trial.case.requests.copy()
        requests["arrival_s"] = 0
        at_once = {"request_overhead_s": 0, "token_overhead_s": 0, "network_s": ()}
        pools = [replace(pool, **at_once) for pool in trial.case.pools]
        everywhere = [*range(len(pools))]
        slow = replace(trial.case, requests=requests, pools=pools, initial=everywhere, actions=[], scrape_s=0)
        fast = replace(slow, pools=[replace(pool, **{term: getattr(pool, term) * 0.6}) for pool in pools])
        before, after = compiled.simulate(slow).outcomes, compiled.simulate(fast).outcomes
        assert (after["finish_s"] <= before["finish_s"] * (1 + CLOSE)).all(), term
        assert (after["first_token_s"] <= before["first_token_s"] * (1 + CLOSE))[after["status"] == FINISHED].all()
