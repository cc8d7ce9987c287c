"""Laws of the data plane that hold whatever happens: replicas fail and slow down, clients give up and come again.

Also requests of several rows or without output, windows, host memory, refusals, chains and users in closed loops. The
cases are random, each technique has its own (`runs.py`). Not here: laws of what nothing disturbs (`test_dataplane.py`).
"""

import numpy as np
import pytest

from infersim.dataplane.chance import uniform
from infersim.dataplane.clients import SALT
from infersim.dataplane.fleet import PoolCost
from infersim.dataplane.records import FINISHED, LOST, OVERLOADED, REJECTED, TIMED_OUT
from infersim.dataplane.rules import ClientRules
from infersim.dataplane.tally import Tally
from infersim.policies.routing import ROUTERS
from tests.laws.runs import TECHNIQUES, USERS_OWN, Trial, cases_of
from tests.laws.spans import SPANS

CLOSE = 1e-9


@pytest.fixture(scope="module", params=TECHNIQUES)
def trials(request: pytest.FixtureRequest) -> list[Trial]:
    """The cases of a technique, with all that may befall them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ROUTERS, USERS_OWN.name, USERS_OWN)
        yield [Trial(case) for case in cases_of(request.param)]


def verbs_of(trial: Trial) -> set[str]:
    """What the control plane does in a case."""
    return {verb for _, verb, _ in trial.case.actions}


def lives_of(trial: Trial) -> dict[int, tuple[int, float, float, float]]:
    """(pool, opened, routable until, gone at) of each replica by serial number [s]."""
    lives = {serial: [pool, 0.0, np.inf, np.inf] for serial, pool in enumerate(trial.case.initial)}
    for time, verb, what in trial.case.actions:
        if verb == "open":
            lives[len(lives)] = [what, time, np.inf, np.inf]
        elif verb in ("drain", "migrate"):
            lives[what][2] = time
            lives[what][3] = trial.run.drained.get(what, np.inf)
        elif verb in ("fail", "lose"):
            lives[what][2] = lives[what][3] = time
    return {serial: tuple(life) for serial, life in lives.items()}


def pauses_s(client: ClientRules, request: int, attempts: int) -> float:
    """How long a client is away in all, if it makes so many attempts [s]."""
    total, pause = 0.0, client.backoff_s
    for attempt in range(1, attempts):
        total += pause * (1 - client.jitter * uniform(request, attempt, SALT))
        pause = min(pause * client.multiplier, client.max_backoff_s)
    return total


def price_s(pool: PoolCost, tally: Tally) -> float:
    """What the counted steps cost by the tables, copies and loading adapters aside [s]."""
    linear = tally.steps_by_tokens @ pool.linear_s + tally.steps_by_sequences @ pool.sequences_s
    decode = tally.steps_by_batch @ pool.decode_base_s + tally.context_by_batch @ pool.decode_per_context_s
    prefill = tally.prefill_chunks * pool.prefill_chunk_s + tally.prefill_compute_s + tally.prefill_memory_s
    prompts = tally.steps_by_prompt_tokens @ pool.prompts_s if len(pool.prompts_s) else 0.0
    adapters = tally.adapter_steps * pool.adapter_step_s + tally.adapter_compute_s + tally.adapter_memory_s
    mixed = tally.mixed_steps_by_tokens @ pool.mixed_s if len(pool.mixed_s) else 0.0
    return float(linear + decode + prefill + prompts + mixed + adapters)


def test_every_request_ends_once_or_is_never_sent(trials: list[Trial]):
    for trial in trials:
        case, rows, fleet = trial.case, trial.rows, trial.run.fleet
        assert len(np.unique(rows["id"])) == len(rows)
        assert (fleet.in_flight, fleet.held) == (0, 0)
        every = np.arange(len(case.requests))
        if case.sequels is not None:
            every = np.flatnonzero(case.sequels["after"] < 0)  # others wait for something that may not come
        assert np.isin(every, rows["id"]).all()


def test_clients_come_again_exactly_as_told(trials: list[Trial]):
    """Until an attempt finishes or can never be served, or their attempts are used up; away for the pauses, no longer."""
    for trial in trials:
        for row in trial.rows:
            client = trial.case.clients[row["tenant"]]
            assert 0 <= row["retries"] < client.max_attempts
            if row["status"] not in (FINISHED, REJECTED):
                assert row["retries"] == client.max_attempts - 1
            away_s = pauses_s(client, int(row["id"]), int(row["retries"]) + 1)
            assert np.isclose(row["away_s"], away_s, rtol=CLOSE, atol=CLOSE)


def test_nobody_waits_longer_than_they_say(trials: list[Trial]):
    for trial in trials:
        case, handed_back = trial.case, "fail" in verbs_of(trial)
        for row in trial.rows[trial.rows["retries"] == 0]:
            client, waited_s = case.clients[row["tenant"]], row["finish_s"] - row["arrival_s"]
            assert waited_s <= client.timeout_s * (1 + CLOSE)
            if row["status"] == TIMED_OUT:
                told = (client.timeout_s, client.ttft_timeout_s)
                assert np.isclose(waited_s, told, rtol=CLOSE, atol=CLOSE).any()
            elif row["status"] == OVERLOADED:  # on arrival, or when it has waited too long
                assert waited_s <= case.max_wait_s * (1 + CLOSE)
            if not (np.isnan(row["first_token_s"]) or handed_back):  # which forgets a first token that was in time
                assert row["first_token_s"] - row["arrival_s"] <= client.ttft_timeout_s * (1 + CLOSE)


def test_eight_spans_sum_to_the_latency(trials: list[Trial]):
    for trial in trials:
        rows, end = trial.rows, trial.rows["finish_s"].max()
        assert all((rows[span] >= -CLOSE * end).all() for span in SPANS)
        latency_s = rows["finish_s"] - rows["arrival_s"]
        assert np.allclose(sum(rows[span] for span in SPANS), latency_s, rtol=0, atol=CLOSE * end)


def test_what_is_processed_serves_somebody_or_is_wasted(trials: list[Trial]):
    """Prompt tokens and rows of decode steps, as counted, are those of requests that finished or those wasted.

    Preempted requests may be processed twice. Not looked at: draft tokens, which are not counted by step, and failures,
    which let a share of a step count.
    """
    for trial in trials:
        case, rows, tallies = trial.case, trial.rows, trial.run.tallies
        wasted = sum(tally.wasted_tokens for tally in tallies)
        assert wasted == rows["wasted_tokens"].sum()
        done = rows[rows["status"] == FINISHED]
        assert "fail" in verbs_of(trial) or (done["wasted_tokens"][done["retries"] == 0] == 0).all()
        if any(pool.acceptance for pool in case.pools) or {"fail", "lose"} & verbs_of(trial):
            continue
        decoded = (1 + done["forks"]) * np.maximum(done["output_tokens"] - 1, 0)
        served = (done["input_tokens"] - done["cached_tokens"] + decoded).sum()
        rows_decoded = sum(np.arange(len(tally.steps_by_batch)) @ tally.steps_by_batch for tally in tallies)
        processed = sum(tally.prompt_tokens for tally in tallies) + rows_decoded
        if rows["preemptions"].sum() == 0:
            assert processed == served + wasted
        elif not any(pool.prefix_tokens for pool in case.pools):  # what is cached meanwhile is not processed again
            assert processed >= served + wasted


def test_memory_and_queues_are_empty_in_the_end(trials: list[Trial]):
    for trial in trials:
        fleet = trial.run.fleet
        for pool in range(len(trial.case.pools)):
            holds, _ = fleet.observe(pool)
            assert (holds.waiting, holds.running, holds.kv_blocks_used) == (0, 0, 0)
            assert holds.routed == holds.ended


def test_only_replicas_that_are_there_serve(trials: list[Trial]):
    """A request is routed to a replica while that is ready, and has ended before it is gone."""
    for trial in trials:
        lives, rows = lives_of(trial), trial.rows
        failing = {"fail", "lose", "migrate"} & verbs_of(trial)
        for row in rows[rows["replica"] >= 0]:
            pool, opened, routable_until, gone = lives[int(row["replica"])]
            assert row["pool"] == pool
            assert opened <= row["finish_s"] <= gone * (1 + CLOSE)
            if row["status"] == LOST:
                assert row["finish_s"] == gone
            if row["retries"] == 0 and not failing and trial.case.pools[pool].role != "decode":
                routed = row["arrival_s"] + row["held_s"]
                assert opened - CLOSE <= routed <= routable_until + CLOSE


def test_time_is_what_the_tables_say(trials: list[Trial]):
    """Of slow replicas and broken off steps too; what is copied between chip and host comes on top."""
    for trial in trials:
        for pool, tally in zip(trial.case.pools, trial.run.tallies, strict=True):
            rest_s = tally.busy_s - tally.slowed_s - price_s(pool, tally)
            close = CLOSE * max(tally.busy_s, 1.0)
            assert rest_s >= -close
            if not (pool.swap or pool.host_entries or tally.adapter_loads * pool.adapter_rank_s):
                assert rest_s <= close
