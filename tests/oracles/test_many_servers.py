"""Several servers: one shared queue (M/M/c), requests dealt in turn (E_c/M/1), and the shorter of two queues.

Sources: L. Kleinrock, Queueing Systems, volume 1 (1975), sections 3.5 (Erlang C) and 6.4 (G/M/1).
"""

import math

import numpy as np
import pytest
from scipy import optimize, sparse
from scipy.sparse.linalg import spsolve

from tests.oracles.queues import assert_theory, geometric, serve, server, sojourn_s, wait_s

STEP_S = 0.001
ONE_SLOT = server(np.array([0, STEP_S]))


def erlang_c(servers: int, offered: float) -> float:
    """Share of M/M/c's requests that wait."""
    terms = [offered**k / math.factorial(k) for k in range(servers)]
    last = offered**servers / math.factorial(servers) / (1 - offered / servers)
    return last / (sum(terms) + last)


@pytest.mark.parametrize(("slots", "load"), [(2, 0.7), (5, 0.8), (20, 0.9)])
def test_m_m_c(slots: int, load: float):
    """Slots whose steps take the same time however many are taken are servers with one queue.

    A request that arrives during a step waits for its end: at most one step more than in M/M/c.
    """
    pool = server(np.full(slots + 1, STEP_S))
    runs = serve(load * slots, geometric(1000), pool, 60_000)
    mean = erlang_c(slots, load * slots) / (slots * (1 - load))
    assert_theory(mean, [wait_s(rows).mean() for rows in runs], slack=STEP_S, width=0.15)
    waited = [
        (wait_s(rows) > STEP_S).mean() for rows in runs
    ]  # a little fewer than in theory: those that wait for less
    assert_theory(
        erlang_c(slots, load * slots) * math.exp(-slots * (1 - load) * STEP_S), waited, slack=STEP_S, width=0.1
    )


@pytest.mark.parametrize("replicas", [2, 5])
def test_round_robin_makes_erlang_arrivals(replicas: int):
    """Every c-th request goes to a replica: the time between its arrivals is Erlang-c, and G/M/1 gives the wait."""
    load = 0.8

    def root(sigma: float) -> float:
        return (replicas * load / (replicas * load + 1 - sigma)) ** replicas - sigma

    sigma = optimize.brentq(root, 0, 1 - 1e-9)
    runs = serve(load * replicas, geometric(1000), ONE_SLOT, 60_000, replicas, "round_robin")
    assert_theory(sigma / (1 - sigma), [wait_s(rows).mean() for rows in runs], width=0.1)
    assert_theory(1 - sigma, [(wait_s(rows) == 0).mean() for rows in runs])


def test_least_outstanding_joins_the_shorter_queue():
    """Two queues, the shorter one taken: the mean number in the system from the Markov chain, cut off at 60 each."""
    rate, size = 1.6, 60
    state = np.arange(size * size)
    a, b = state // size, state % size
    to_a = (a <= b) & (a < size - 1)
    to_b = (b < a) & (b < size - 1)
    moves = [(to_a, size, rate), (to_b, 1, rate), (a > 0, -size, 1.0), (b > 0, -1, 1.0)]
    flow = sum(
        sparse.coo_matrix((np.full(open_.sum(), speed), (state[open_] + step, state[open_])), (size**2, size**2))
        for open_, step, speed in moves
    )
    balance = (flow - sparse.diags(np.asarray(flow.sum(axis=0)).ravel())).tolil()
    balance[0, :] = 1.0  # one equation is redundant; the shares sum to one
    shares = spsolve(balance.tocsr(), np.eye(1, size**2).ravel())
    runs = serve(rate, geometric(1000), ONE_SLOT, 60_000, 2, "least_outstanding")
    assert_theory(shares @ (a + b) / rate, [sojourn_s(rows).mean() for rows in runs], width=0.1)
