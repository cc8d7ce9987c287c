"""Clients that give up and come again, and services that turn them away, in the naive twin, by hand."""

import math

from infersim.dataplane.records import ENDINGS
from infersim.dataplane.rules import ClientRules
from tests.twin.by_hand import pool, run

ONE_SEAT = pool(max_num_seqs=1)
PATIENT = ClientRules()


def endings(result) -> list[str]:
    return [ENDINGS[status] for status in result.outcomes["status"]]


# --- patience


def test_given_up_in_the_queue():
    result = run(
        [(0.0, 1, 5), (0.0, 1, 1), (0.0, 1, 1)],
        ONE_SEAT,
        clients=(PATIENT, ClientRules(timeout_s=2.5)),
        tenant=[0, 1, 0],
    )
    assert endings(result) == ["finished", "timed_out", "finished"]
    assert result.outcomes["finish_s"].tolist() == [5, 2.5, 6]
    assert (result.outcomes["queued_s"][1], result.outcomes["wasted_tokens"][1]) == (2.5, 0)


def test_given_up_in_a_step_it_stays_until_the_step_ends():
    looks = [(time, "look", 0) for time in (2.75, 3.25)]
    rows = [(0.0, 1, 5), (0.25, 1, 1)]
    result = run(rows, ONE_SEAT, clients=(ClientRules(timeout_s=2.5), PATIENT), tenant=[0, 1], actions=looks)
    # Two tokens are out at 2.5; the third comes at 3, for nobody. Only then has the second a seat.
    assert result.outcomes["output_tokens"].tolist() == [2, 1]
    assert result.outcomes["finish_s"].tolist() == [2.5, 4]
    assert [look[3] for look in result.looks] == [1, 1]
    assert [look[6] for look in result.looks] == [0, 1]
    # A prompt token and two steps of decoding were in vain.
    assert result.outcomes["wasted_tokens"].tolist() == [3, 0]
    assert (result.tallies[0].output_tokens, result.tallies[0].wasted_tokens) == (4, 3)


def test_a_first_token_at_the_very_time_is_in_time():
    result = run([(0.0, 1, 3), (0.0, 1, 1)], ONE_SEAT, clients=(ClientRules(ttft_timeout_s=1.0),))
    assert endings(result) == ["finished", "timed_out"]
    assert result.outcomes["finish_s"].tolist() == [3, 1]
    assert math.isnan(result.outcomes["first_token_s"][1])


def test_the_service_turns_away_who_waits_too_long():
    result = run([(0.0, 1, 3), (0.25, 1, 1)], ONE_SEAT, max_wait_s=1.0)
    assert endings(result) == ["finished", "overloaded"]
    assert result.outcomes["finish_s"].tolist() == [3, 1.25]
    both = run([(0.0, 1, 3), (0.25, 1, 1)], ONE_SEAT, max_wait_s=1.0, clients=(ClientRules(timeout_s=1.0),))
    assert endings(both) == ["timed_out", "timed_out"]


def test_given_up_on_the_link():
    costs = pool(role="prefill", transfer_latency_s=2.5, blocks=2)
    rows = [(0.0, 1, 2), (0.0, 1, 2), (1.5, 1, 1)]
    clients = (ClientRules(timeout_s=2.0), PATIENT)
    result = run(rows, costs, pool(role="decode"), initial=(0, 1), clients=clients, tenant=[0, 1, 1])
    # The link is taken from 1 to 3.5 all the same, then by the second until 6. The block of the first is free at 2.
    assert result.token_times == [[1], [1, 7], [3]]
    assert result.outcomes["finish_s"].tolist() == [2, 7, 3]
    assert (result.outcomes["transfer_s"][0], result.outcomes["wasted_tokens"][0]) == (1, 1)


def test_given_up_in_a_static_batch_its_row_stays():
    costs = pool(batching="static", linear_s=[0, 1, 2, 3, 4, 5, 6, 7, 8])
    result = run([(0.0, 1, 3), (0.0, 1, 2)], costs, clients=(ClientRules(timeout_s=3.5), PATIENT), tenant=[0, 1])
    # 0-2: both prompts. 2-4: both decode, and the first is nobody's from 3.5 on. The second is done at 4, and so is the batch.
    assert endings(result) == ["timed_out", "finished"]
    assert result.outcomes["finish_s"].tolist() == [3.5, 4]
    longer = run([(0.0, 1, 2), (0.0, 1, 3)], costs, clients=(ClientRules(timeout_s=3.5), PATIENT), tenant=[0, 1])
    # Two rows are paid for until 6.
    assert longer.outcomes["finish_s"].tolist() == [3.5, 6]


# --- coming again


def test_the_second_attempt():
    again = ClientRules(timeout_s=2.5, max_attempts=2, backoff_s=1.0)
    result = run([(0.0, 1, 5), (0.0, 1, 1)], ONE_SEAT, clients=(PATIENT, again), tenant=[0, 1])
    # Away from 2.5 to 3.5, in the queue until 5, and ready at 6, when patience would have ended again.
    row = result.outcomes[1]
    assert endings(result) == ["finished", "finished"]
    assert (row["finish_s"], row["queued_s"], row["away_s"], row["prefill_s"]) == (6, 4, 1, 1)
    assert (row["retries"], row["arrival_s"]) == (1, 0)


def test_the_whiles_between_attempts_grow():
    client = ClientRules(timeout_s=1.0, max_attempts=4, backoff_s=1.0, multiplier=3.0, max_backoff_s=4.0)
    result = run([(0.0, 1, 1)], pool(), initial=(), clients=(client,))
    # 0-1, away for 1; 2-3, away for 3; 6-7, away for 4 and not 9; 11-12.
    row = result.outcomes[0]
    assert (row["finish_s"], row["held_s"], row["away_s"], row["retries"]) == (12, 4, 8, 3)
    assert (row["pool"], row["replica"], endings(result)) == (-1, -1, ["timed_out"])


def test_tokens_of_a_given_up_attempt_are_wasted():
    again = ClientRules(ttft_timeout_s=1.5, max_attempts=3, backoff_s=0.25)
    result = run([(0.0, 12, 2)], pool(), clients=(again,), actions=[(1.75, "slow", 0)])
    # 0-1: eight tokens. The other four are for nobody, from 1.5 on. It comes again at 1.75, is admitted at 2 for eight slow
    # seconds, gives up at 3.25, comes at 3.5 and gives up at 5.
    row = result.outcomes[0]
    assert (row["retries"], row["finish_s"], row["wasted_tokens"]) == (2, 5, 12 + 8)
    assert (row["prefill_s"], row["queued_s"], row["away_s"]) == (1.5 + 1.25, 0.25 + 1.5, 0.5)
    assert row["output_tokens"] == 0


# --- admission


def test_queues_that_are_full():
    rows = [(0.0, 1, 3), (0.25, 1, 1), (0.5, 1, 1), (1.25, 1, 1)]
    result = run(rows, pool(max_num_seqs=1, max_queued=1))
    assert endings(result) == ["finished", "finished", "queue_full", "queue_full"]
    held = run([(0.0, 1, 1), (0.25, 1, 1)], pool(), initial=(), actions=[(1.0, "open", 0)], max_queued=1)
    assert endings(held) == ["finished", "service_full"]
    assert held.outcomes["finish_s"].tolist() == [2, 0.25]


def test_work_that_is_queued():
    # A prompt token takes 1/8 s: at most four of them may be in the queue before another is let in.
    rows = [(0.0, 1, 3), (0.25, 4, 1), (0.5, 1, 1), (0.75, 1, 1)]
    result = run(rows, pool(max_num_seqs=1, max_queued_work_s=0.5))
    assert endings(result) == ["finished", "finished", "finished", "overloaded"]


def test_a_bucket_of_tokens():
    rows = [(0.0, 5, 1), (1.5, 1, 1), (2.5, 1, 1), (2.5, 1, 1)]
    result = run(rows, pool(), clients=(ClientRules(tokens_per_s=1.0, burst_tokens=4),))
    # 4 - 5, + 1 by the end of the first, - 1. At 1.5 it is -0.5; at 2.5 it is 0.5, for one of them.
    assert endings(result) == ["finished", "rate_limited", "finished", "rate_limited"]
    assert result.outcomes["pool"].tolist() == [0, -1, 0, -1]
