"""Queueing theory: the fewest replicas that hold the SLO, from service times that are measured as it runs.

A replica with n requests is a state-dependent M/M/1 queue: its tokens come every a + b n seconds, so that it ends

    mu(n) = min(n, N) / (O (a + b min(n, N)))      requests a second,

with N the largest batch (max_num_seqs, or what the KV cache holds) and O the mean output length; a prompt's share of the steps is in b. By birth and death the
stationary probabilities are p(n) ~ prod lambda / mu(i), i = 1 .. n. TPOT holds while a + b n <= limit; where all of N
do, TTFT holds while the wait for a place, (n - N) / mu(N), is within its limit. The most load of a replica is the largest
lambda for which more requests than that are there for at most 1 - objective of the time, and

    desired = ceil(arrival rate / most load of a replica),

the rate being the larger of those over the window and over its last quarter.

Measured: a request's seconds a token by Little's law as requests in batches / tokens a second; a and b by least squares over past
windows that are forgotten with a half-life of 15 minutes, drawn to "half of it grows with the batch" until batches have
varied. The model is that of llm-d's Workload Variant Autoscaler (github.com/llm-d-incubation/workload-variant-autoscaler,
queueing analysis: state-dependent M/M/1, ITL = alpha + beta x batch); replicas are taken as fed at random, which is
careful where a router balances.

Not here: feedback without a model (`feedback.py`).
"""

import math
from collections import deque

import numpy as np

from infersim.policies.autoscaling.registry import autoscaling
from infersim.policies.autoscaling.view import View

HALF_LIFE_S = 900.0
VARIED = 0.1
"""Relative spread of the batch from which on the slope is believed more than the guess."""
GRID = 17


@autoscaling
class Queueing:
    """The fewest replicas that hold TTFT and TPOT by a state-dependent queue with measured service times."""

    def __init__(self, objective: float, window_s: float, down_after_s: float) -> None:
        """`objective` is the share of the time within the SLO."""
        self.objective, self.window_s, self.down_after_s = objective, window_s, down_after_s
        self._sums = np.zeros(7)  # weight, b, b^2, tau, b tau, tokens, endings
        self._last_s = 0.0
        self._wanted: deque[tuple[float, int]] = deque()

    def desired(self, view: View) -> float:
        """Replicas after this decision; what there is until a request has ended."""
        self._learn(view)
        weight, _, _, _, _, tokens, endings = self._sums
        if weight == 0 or endings == 0:
            return max(view.current, 1 if view.in_flight else 0)
        rate = max(view.arrival_rate(self.window_s), view.arrival_rate(self.window_s / 4))
        base_s, slope_s = self._step()
        most = most_load(
            base_s, slope_s, tokens / endings, self._places(view), view.facts.ttft_s, view.facts.tpot_s,
            1 - self.objective,
        )  # fmt: skip
        wanted = max(math.ceil(rate / most * (1 - 1e-9)), 1 if view.in_flight else 0)
        while self._wanted and (self._wanted[-1][1] <= wanted):
            self._wanted.pop()
        while self._wanted and self._wanted[0][0] <= view.time_s - self.down_after_s:
            self._wanted.popleft()
        self._wanted.append((view.time_s, wanted))
        return self._wanted[0][1]

    def _learn(self, view: View) -> None:
        """Add the last window: the batch of a busy replica, and the seconds that a token takes a request."""
        running, tokens_s = view.mean("running", self.window_s), view.rate("output_tokens", self.window_s)
        busy, endings_s = view.rate("busy_s", self.window_s), view.rate("ended", self.window_s)
        if running <= 0 or tokens_s <= 0 or busy <= 0:
            return
        self._sums *= 0.5 ** ((view.newest.time_s - self._last_s) / HALF_LIFE_S)
        self._last_s = view.newest.time_s
        batch, tau_s = running / busy, running / tokens_s
        self._sums += (1.0, batch, batch * batch, tau_s, batch * tau_s, tokens_s, endings_s)

    def _places(self, view: View) -> int:
        """The largest batch: what the engine takes, or what the KV cache holds of requests such as these."""
        running, share = view.mean("running", self.window_s), view.mean("kv_cache", self.window_s)
        ready = view.mean("ready", self.window_s)
        cached = running / ready / share if share > 0 and ready > 0 else math.inf
        return max(1, int(min(view.facts.max_num_seqs, cached)))

    def _step(self) -> tuple[float, float]:
        """Seconds a token, and what each request of the batch adds [s]."""
        weight, batch, squares, tau_s, products, _, _ = self._sums
        batch, squares, tau_s, products = batch / weight, squares / weight, tau_s / weight, products / weight
        guess, trust = tau_s / (2 * batch), (VARIED * batch) ** 2
        fitted_s = (products - batch * tau_s + trust * guess) / (squares - batch * batch + trust)
        slope_s = float(min(max(fitted_s, 0.0), tau_s / batch))
        return float(tau_s - slope_s * batch), slope_s


def most_load(
    base_s: float, slope_s: float, output_tokens: float, max_num_seqs: int, ttft_s: float, tpot_s: float, missed: float
) -> float:
    """The most load [requests/s] under which a replica has more requests than the SLO allows for `missed` of the time."""
    batch = np.arange(1, max_num_seqs + 1)
    log_mu = np.log(batch / (output_tokens * (base_s + slope_s * batch)))
    fastest = math.exp(log_mu[-1])
    within = (tpot_s - base_s) / slope_s if slope_s > 0 else math.inf
    allowed = int(min(max_num_seqs, max(1.0, within)))
    beyond = ttft_s * fastest if allowed == max_num_seqs else 0.0
    low, high = 0.0, 1.0
    for _ in range(2):
        shares = np.linspace(low, high, GRID + 1)[1:-1] if high == 1.0 else np.linspace(low, high, GRID + 1)[1:]
        fits = _missed(shares, log_mu, fastest, allowed, beyond) <= missed
        best = int(fits.sum())  # the share missed grows with the load
        low, high = (float(shares[best - 1]) if best else low), float(shares[best] if best < len(shares) else high)
    return max(low, 1e-3) * fastest


def _missed(shares: np.ndarray, log_mu: np.ndarray, fastest: float, allowed: int, beyond: float) -> np.ndarray:
    """Share of the time with more than `allowed` (+ `beyond` waiting) requests, at loads of `shares` x `fastest`."""
    logs = np.log(shares * fastest)[:, None] * np.arange(1, len(log_mu) + 1) - np.cumsum(log_mu)
    peak = np.maximum(logs.max(axis=1), 0.0)[:, None]
    weights = np.exp(logs - peak)
    empty, queue = np.exp(-peak[:, 0]), weights[:, -1] * shares / (1 - shares)
    late = weights[:, allowed:].sum(axis=1) + queue * shares**beyond
    return late / (empty + weights.sum(axis=1) + queue)
