"""The corners of the roofline are queues of the textbook, and the same requests tell them apart.

One slot: M/G/1, first come, first served. Compute bound (a step takes as long as its tokens): M/G/1 processor sharing.
Latency bound (a step takes the same however many share it): M/G/infinity.
Source: L. Kleinrock, Queueing Systems, volume 2 (1976), section 4.4 (processor sharing); volume 1, section 3.4.
"""

import math

import numpy as np
import pytest

from tests.oracles.queues import Lengths, assert_theory, either, found_by_arrivals, geometric, serve, server, sojourn_s

STEP_S = 0.001
RATE = 0.7
SLOTS = 256

LENGTHS = {"geometric": (geometric(1000), 2.0), "two_lengths": (either(400, 4000, 1 / 6), 5 / 6 * 0.16 + 1 / 6 * 16)}
"""Lengths of mean 1000 steps, 1 s, and the second moment of their service time [s^2]."""


@pytest.fixture(params=LENGTHS)
def sizes(request: pytest.FixtureRequest) -> tuple[Lengths, float]:
    return LENGTHS[request.param]


def test_one_slot_is_first_come_first_served(sizes: tuple[Lengths, float]):
    lengths, second = sizes
    runs = serve(RATE, lengths, server(np.array([0, STEP_S])), 60_000)
    assert_theory(1 + RATE * second / (2 * (1 - RATE)), [sojourn_s(rows).mean() for rows in runs], width=0.1)


def test_compute_bound_is_processor_sharing(sizes: tuple[Lengths, float]):
    """The mean depends on the mean length only, and a request's time is proportional to its length.

    An arrival waits for the end of a step, which is as long as the batch is large: the slack.
    """
    lengths, _ = sizes
    runs = serve(RATE, lengths, server(STEP_S * np.arange(SLOTS + 1.0)), 60_000)
    stretch = 1 / (1 - RATE)
    slack = STEP_S * stretch**2
    assert_theory(stretch, [sojourn_s(rows).mean() for rows in runs], slack, width=0.1)
    for low, high in ((1, 600), (600, 5000)):
        ratios = []
        for rows in runs:
            those = rows[(rows["output_tokens"] >= low) & (rows["output_tokens"] < high)]
            ratios.append(sojourn_s(those).mean() / (STEP_S * those["output_tokens"].mean()))
        assert_theory(stretch, ratios, slack * 3, width=0.1)
    for number in range(4):
        share = (1 - RATE) * RATE**number
        assert_theory(share, [(found_by_arrivals(rows) == number).mean() for rows in runs])


def test_latency_bound_is_infinitely_many_servers(sizes: tuple[Lengths, float]):
    """Nobody waits for more than a step, and the number in the system is Poisson whatever the lengths."""
    lengths, _ = sizes
    rate = 30.0
    runs = serve(rate, lengths, server(np.full(SLOTS + 1, STEP_S)), 60_000)
    for rows in runs:
        extra = sojourn_s(rows) - STEP_S * rows["output_tokens"]
        assert extra.min() > -1e-9 * rows["finish_s"].max()
        assert extra.max() <= STEP_S * (1 + 1e-6)
    found = [found_by_arrivals(rows) for rows in runs]
    assert_theory(rate, [numbers.mean() for numbers in found], slack=rate * STEP_S)
    assert_theory(rate, [numbers.var() for numbers in found], slack=rate * STEP_S, width=0.1)
    share = math.exp(-rate) * rate**30 / math.factorial(30)
    assert_theory(share, [(numbers == 30).mean() for numbers in found], width=0.1)
