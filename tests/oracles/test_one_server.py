"""One slot: M/M/1, M/D/1 and M/G/1, first come, first served.

Sources: L. Kleinrock, Queueing Systems, volume 1 (1975): M/M/1 in section 3.2, Pollaczek-Khinchine in section 5.6.
"""

import numpy as np
import pytest

from tests.oracles.queues import (
    assert_theory,
    constant,
    either,
    found_by_arrivals,
    geometric,
    serve,
    server,
    sojourn_s,
    wait_s,
)

STEP_S = 0.001
ONE_SLOT = server(np.array([0, STEP_S]))


def pollaczek_khinchine(rate: float, mean: float, second_moment: float) -> float:
    """Mean wait of M/G/1 [s]."""
    return rate * second_moment / (2 * (1 - rate * mean))


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_m_m_1(load: float):
    runs = serve(load, geometric(1000), ONE_SLOT, 60_000)  # mean service 1 s
    assert_theory(load / (1 - load), [wait_s(rows).mean() for rows in runs], width=0.1)
    assert_theory(load / (1 - load), [found_by_arrivals(rows).mean() for rows in runs], width=0.1)
    for quantile in (0.1, 0.5, 0.9, 0.99):  # the sojourn is exponential with rate 1 - load
        time = -np.log(1 - quantile) / (1 - load)
        assert_theory(1 - quantile, [(sojourn_s(rows) > time).mean() for rows in runs], width=0.3)
    for number in range(4):
        share = (1 - load) * load**number
        assert_theory(share, [(found_by_arrivals(rows) == number).mean() for rows in runs])


@pytest.mark.parametrize("load", [0.5, 0.9])
def test_m_d_1(load: float):
    runs = serve(load, constant(1000), ONE_SLOT, 60_000)
    assert_theory(pollaczek_khinchine(load, 1.0, 1.0), [wait_s(rows).mean() for rows in runs], width=0.1)
    assert_theory(1 - load, [(wait_s(rows) == 0).mean() for rows in runs])


def test_m_g_1_with_two_lengths():
    runs = serve(0.7, either(100, 2000, 0.4), ONE_SLOT, 60_000)
    mean, second = 0.6 * 0.1 + 0.4 * 2, 0.6 * 0.01 + 0.4 * 4
    assert_theory(pollaczek_khinchine(0.7, mean, second), [wait_s(rows).mean() for rows in runs], width=0.1)


def test_m_g_1_with_every_term_of_the_formula():
    """Chunked prompts, growing contexts and a front end: the service time is the sum of the steps' costs."""
    pool = server(
        np.array([0, 0.001]),
        max_num_batched_tokens=8,
        linear_s=0.0005 + 0.0001 * np.arange(9.0),
        decode_base_s=np.array([0, 0.0007]),
        decode_per_context_s=np.array([0, 0.00002]),
        prefill_chunk_s=0.0003,
        prefill_per_pair_s=0.0001,
        prefill_per_context_s=0.0002,
        request_overhead_s=0.5,
        async_scheduling=True,
    )

    def service(prompt: int, output: int) -> float:
        seconds = 0.0
        for done in range(0, prompt, 8):
            chunk = min(8, prompt - done)
            compute, memory = 0.0001 * (chunk * done + chunk * (chunk + 1) / 2), 0.0002 * (done + chunk)
            seconds += 0.0005 + 0.0001 * chunk + 0.001 + 0.0003 + max(compute, memory)
        contexts = prompt + 1 + np.arange(output - 1)
        return seconds + (output - 1) * (0.0006 + 0.001 + 0.0007) + 0.00002 * contexts.sum()

    sizes = {(prompt, output): 0.5 * share for prompt in (3, 30) for output, share in ((20, 0.75), (200, 0.25))}
    mean = sum(share * service(*size) for size, share in sizes.items())
    second = sum(share * service(*size) ** 2 for size, share in sizes.items())
    load = 0.6
    runs = serve(load / mean, either(20, 200, 0.25), pool, 40_000, prompts=either(3, 30, 0.5))
    assert_theory(pollaczek_khinchine(load / mean, mean, second), [wait_s(rows).mean() for rows in runs], width=0.1)
    assert_theory(load, [(wait_s(rows) > 0).mean() for rows in runs])
