"""Fair sharing and predicted lengths: schedules worked out by hand, chance, and the bound of the paper."""

import math

import numpy as np
import pytest
from scipy import stats

from infersim.dataplane.chance import normal, uniform
from tests.dataplane.one_replica import by_finish, fleet, served
from tests.twin.by_hand import pool

ALONE = {"max_num_seqs": 1, "block_size": 1}

# ---------------------------------------------------------------- fair share


def test_tenants_take_turns_whatever_they_have_queued() -> None:
    """Each request takes a second and is worth 1 + 2. On ties the lower tenant: 0, 1, 0, 1, 0."""
    rows = [(0.0, 1, 1)] * 5
    fair = served(rows, pool(queue_order="fair_share", **ALONE), tenant=[0, 0, 0, 1, 1])
    assert fair["finish_s"].tolist() == [1, 3, 5, 2, 4]
    assert served(rows, pool(**ALONE), tenant=[0, 0, 0, 1, 1])["finish_s"].tolist() == [1, 2, 3, 4, 5]


def test_a_tenant_that_was_away_has_saved_nothing() -> None:
    """At 2.5 tenant 0 has had 2 x 3 and a prompt, 7, and tenant 1 is lifted to that; then they take turns.

    Counters when a request is admitted: at 3 it is 9 : 7, then 9 : 10, 12 : 10, 12 : 13, 15 : 13, 15 : 16.
    """
    rows = [(0.0, 1, 1)] * 6 + [(2.5, 1, 1)] * 3
    ended = served(rows, pool(queue_order="fair_share", **ALONE), tenant=[0] * 6 + [1] * 3)["finish_s"]
    assert ended.tolist() == [1, 2, 3, 5, 7, 9, 4, 6, 8]


def test_a_tenant_that_comes_to_an_empty_queue_is_lifted_to_who_left_it_last() -> None:
    """Tenant 0 is served alone until 3 (counter 9). At 3.5 tenant 1 comes to an empty queue behind a running request of
    tenant 0, whose prompt makes it 10: lifted to 10. The other two requests of tenant 0 come at 3.75: its counter is 12
    at 4, so that tenant 1 is first, then has 13, and both of tenant 0 (12, 15) surround its second (13).
    """
    rows = [(0.0, 1, 1)] * 3 + [(3.25, 1, 1), (3.5, 1, 1), (3.75, 1, 1), (3.75, 1, 1), (3.75, 1, 1)]
    ended = served(rows, pool(queue_order="fair_share", **ALONE), tenant=[0, 0, 0, 0, 1, 0, 0, 1])["finish_s"]
    assert ended.tolist() == [1, 2, 3, 4.25, 5.25, 6.25, 8.25, 7.25]


@pytest.mark.parametrize(("weights", "order"), [((1, 2), [0, 2, 1, 3]), ((8, 1), [0, 2, 3, 1])])
def test_what_tokens_count(weights: tuple[int, int], order: list[int]) -> None:
    """Tenant 0 sends prompts of 2 with 1 out, tenant 1 prompts of 1 with 3 out: 4 : 7 after one each, or 17 : 11."""
    rows = [(0.0, 2, 1), (0.0, 2, 1), (0.0, 1, 3), (0.0, 1, 3)]
    costs = pool(queue_order="fair_share", input_weight=weights[0], output_weight=weights[1], **ALONE)
    assert by_finish(served(rows, costs, tenant=[0, 0, 1, 1])) == order


def test_tokens_of_a_running_leap_count_when_somebody_comes() -> None:
    """Tenant 0 decodes from 1 on, 100 tokens; at 10.5 it has 1 + 2 x 10 out. Tenant 1 comes to an empty queue and is
    lifted to 21, tenant 2 to the same; tenant 0 has 201 when its next one comes at 100.5. Seats: two.
    """
    rows = [(0.0, 1, 100), (10.5, 1, 60), (10.5, 1, 1), (10.75, 1, 1), (10.75, 1, 1)]
    costs = pool(queue_order="fair_share", max_num_seqs=2, block_size=1, blocks=1000)
    made = fleet(rows, costs, tenant=[0, 1, 2, 2, 1])
    made.advance(10.6)
    # Tenant 1 was the first to come: lifted to the last that left, tenant 0. Tenant 2: to the least that waits.
    assert made._arrays.engines.shares[0].counter.tolist()[:3] == [21, 21, 21]


def test_backlogged_tenants_have_had_the_same_service_within_the_bound() -> None:
    """Sheng et al. 2024, lemma 4.3: counters of waiting tenants differ by at most max(w_p L_input, w_q M).

    L_input is the longest prompt, M the most tokens that the batch can hold.
    """
    rng = np.random.default_rng(1)
    count = 600
    rows = [(0.0, int(i), int(o)) for i, o in zip(rng.integers(1, 60, count), rng.integers(1, 90, count), strict=True)]
    tenant = rng.choice(3, count, p=[0.6, 0.3, 0.1])
    costs = pool(
        queue_order="fair_share", max_num_seqs=6, max_num_batched_tokens=40, block_size=4, blocks=100, max_context=1000
    )
    made = fleet(sorted(rows), costs, tenant=tenant.tolist())
    most, seen = 0, 0
    while made.advance(made.now + 3.5) and made.in_flight:
        shares = made._arrays.engines.shares[0]
        waiting = shares.counter[shares.queued > 0]
        if len(waiting) > 1:
            seen, most = seen + 1, max(most, int(waiting.max() - waiting.min()))
    assert seen > 100
    assert 0 < most <= max(1 * 60, 2 * 400)


# ---------------------------------------------------------------- predicted lengths


def test_without_an_error_the_shortest_answer_is_first() -> None:
    rows = [(0.0, 1, 1), (0.0, 9, 5), (0.0, 2, 3), (0.0, 3, 1), (0.0, 1, 3)]
    costs = pool(queue_order="shortest_predicted", max_num_batched_tokens=16, **ALONE)
    assert by_finish(served(rows, costs)) == [0, 3, 2, 4, 1]


@pytest.mark.parametrize("sigma", [0.3, 2.0])
def test_an_error_shuffles_as_it_says(sigma: float) -> None:
    outputs = np.random.default_rng(2).integers(1, 20, 40)
    costs = pool(queue_order="shortest_predicted", prediction_sigma=sigma, **ALONE)
    ended = by_finish(served([(0.0, 1, int(tokens)) for tokens in outputs], costs))

    def predicted(request: int) -> float:
        u, v = uniform(request, -1, 0), uniform(request, -1, 1)
        return outputs[request] * math.exp(sigma * math.sqrt(-2 * math.log(1 - u)) * math.cos(2 * math.pi * v))

    assert ended == sorted(range(40), key=predicted)
    assert ended != sorted(range(40), key=lambda request: outputs[request])


def test_errors_are_standard_normal_and_independent_of_the_order_of_requests() -> None:
    drawn = np.array([normal(request, -1) for request in range(20_000)])
    assert stats.kstest(drawn, "norm").pvalue > 0.01
    assert abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 0.03
