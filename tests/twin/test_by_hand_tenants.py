"""Fair sharing between tenants and queues by predicted length in the naive twin, by hand."""

import math

import numpy as np
import pytest

from infersim.dataplane.rules import ClientRules
from tests.naive_queue import predicted_output
from tests.naive_sequence import Request
from tests.twin.by_hand import pool, run

TURNS = pool(queue_order="fair_share", max_num_seqs=1, input_weight=1, output_weight=2)
"""One request at a time, one second each."""


def test_tenants_take_turns():
    result = run([(0.0, 1, 1)] * 4, TURNS, tenant=[0, 0, 0, 1])
    # Each request counts 1 + 2. After the first of tenant 0 it is 3 to 0, then 3 to 3, and the lower index goes on.
    assert result.outcomes["finish_s"].tolist() == [1, 3, 4, 2]


def test_a_late_tenant_has_saved_nothing_up():
    rows = [(0.0, 4, 1), (0.0, 1, 1), (0.0, 1, 1), (1.5, 1, 1), (1.5, 1, 1)]
    result = run(rows, TURNS, tenant=[0, 0, 0, 1, 1])
    # At 1.5 tenant 0 has 4 + 2 + 1, and somebody waiting: tenant 1 begins with 7. At 2: 9 to 7. At 3: 9 to 10. At 4: 12 to 10.
    assert result.outcomes["finish_s"].tolist() == [1, 2, 4, 3, 5]


def test_a_late_tenant_at_an_empty_queue_follows_the_last_to_leave_it():
    rows = [(0.0, 8, 1), (0.5, 1, 1), (0.5, 1, 1), (0.625, 1, 1)]
    result = run(rows, TURNS, tenant=[0, 1, 1, 0])
    # At 0.5 the queue is empty, tenant 0 has 8 by its prompt: so has tenant 1. At 1: 10 to 8. At 2: 10 to 11.
    assert result.outcomes["finish_s"].tolist() == [1, 2, 4, 3]


def test_nobody_is_lowered_to_the_last_to_leave_the_queue():
    """Six seats: three requests of tenant 1, two of 0, one of 2, which is the last to leave the queue and ends at 6."""
    costs = pool(queue_order="fair_share", max_num_seqs=6, max_num_batched_tokens=16, input_weight=0, output_weight=1)
    rows = [(0.0, 1, 30)] * 5 + [(0.0, 1, 6), (5.25, 1, 1), (5.5, 1, 1)]
    result = run(rows, costs, tenant=[1, 1, 1, 0, 0, 2, 1, 0], clients=(ClientRules(),) * 3)
    # At 5.25 tenant 1 has 15 and the last to leave 5: it keeps 15, and lifts tenant 0 from 10. At 6 they have 18 and 17.
    assert result.outcomes["finish_s"][5:].tolist() == [6, 8, 7]


def test_found_prefixes_are_not_charged_and_rows_are():
    costs = pool(queue_order="fair_share", max_num_seqs=2, prefix_tokens=4, input_weight=4, output_weight=1)
    rows = [(0.0, 5, 1), (0.0, 1, 1), (0.0, 5, 1), (0.0, 6, 1), (0.0, 1, 1), (0.0, 1, 1)]
    names = [[7], [], [7], [], [], []]
    result = run(rows, costs, tenant=[0, 1, 0, 1, 0, 1], forks=[1] * 6, names=names)
    # Two rows each, so one request at a time. 0-1: tenant 0 has 20 + 2. 1-3: tenant 1 has 4 + 2, then 24 + 2 more. 3-4: the
    # third finds four of five tokens: tenant 0 has 4 + 2 more, 28 to 32, and goes on.
    assert result.outcomes["finish_s"].tolist() == [1, 2, 4, 3, 5, 6]
    assert result.outcomes["cached_tokens"].tolist() == [0, 0, 4, 0, 0, 0]


def test_the_preempted_is_the_first_of_its_tenant():
    costs = pool(queue_order="fair_share", block_size=2, blocks=4, max_num_seqs=2, input_weight=0, output_weight=1)
    result = run([(0.0, 2, 4), (0.0, 2, 4), (0.0, 1, 1)], costs, tenant=[0, 1, 1])
    # Two blocks each from 1 on. At 3 both need a third: the second goes, before the third request, its tenant's too. At 4
    # the first has finished; the second has 2 + 3 tokens in three blocks and the third one block.
    assert result.token_times == [[1, 2, 3, 4], [1, 2, 3, 5], [5]]


def test_shortest_predicted_output_first():
    rows = [(0.0, 1, 1), (0.25, 1, 5), (0.25, 9, 2)]
    result = run(rows, pool(queue_order="shortest_predicted", max_num_seqs=1))
    # The second prompt takes two steps of eight tokens.
    assert result.outcomes["finish_s"].tolist() == [1, 9, 4]


def test_predictions_have_the_error_that_they_are_told_to_have():
    errors = [math.log(predicted_output(Request(id, 0.0, 1, 50), 0.5) / 50) for id in range(10_000)]
    assert np.mean(errors) == pytest.approx(0, abs=4 * 0.5 / 100)
    assert np.std(errors) == pytest.approx(0.5, rel=4 / math.sqrt(20_000))
    within = np.mean(np.abs(errors) < 0.5)
    assert within == pytest.approx(0.6827, abs=4 * math.sqrt(0.6827 * 0.3173 / 10_000))
