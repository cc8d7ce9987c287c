"""How the time of the loop grows with requests and with replicas: exponents fitted by least squares over logarithms.

    make scaling

Seconds of this process on the processor, the least of a few runs, so that a busy machine disturbs little. They are drawn once and
repeated, which takes some 20 ns each and is counted. Not here: what is measured as pytest benchmarks (`test_loop.py`, `test_techniques.py`).
"""

import time
from collections.abc import Sequence

import numpy as np

from infersim.dataplane.fleet import Fleet, Why
from infersim.policies.routing import ROUTERS
from tests.benchmarks.traffic import chat, llama8b

REQUESTS = (10_000, 100_000, 1_000_000, 10_000_000)
REPLICAS = (1, 4, 16, 64, 256, 1024, 4096)
SERVED = 3_000_000
"""Requests of each number of replicas: of the most, each replica then serves some forty batches."""
RPS = 12.0
"""Requests each second for each replica, about half of what it can do."""


def seconds(requests: int, replicas: int, runs: int) -> float:
    """Least time that the loop takes for these, of some runs [s]."""
    return min(_serve(requests, replicas) for _ in range(runs))


def _serve(requests: int, replicas: int) -> float:
    router, sent = ROUTERS["least_outstanding"], chat(requests, RPS * replicas)
    fleet = Fleet([llama8b()], sent, router.compiled, lambda ended: None, by_load=router.by_load)
    for _ in range(replicas):
        fleet.open(0)
    fleet.advance(0.0)  # loads the compiled loop
    begun = time.process_time()
    assert fleet.advance(np.inf).why is Why.FINISHED
    return time.process_time() - begun


def exponent(sizes: Sequence[int], times: Sequence[float]) -> float:
    """b of time = a * size ** b."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def forms(sizes: Sequence[int], times: Sequence[float]) -> list[str]:
    """Times as a logarithm of the size and as a power of it, each by least squares, and how far from them they are."""
    slope, start = np.polyfit(np.log2(sizes), times, 1)
    power, first = np.polyfit(np.log(sizes), np.log(times), 1)
    lines = [
        (f"{start:.0f} + {slope:.0f} log2 n", start + slope * np.log2(sizes)),
        (f"{np.exp(first):.0f} n^{power:.3f}", np.exp(first) * np.asarray(sizes) ** power),
    ]
    return [
        f"{name}: off by {np.sqrt(np.mean((fitted - times) ** 2)):.0f} ns (root mean square), {np.abs(fitted - times).max():.0f} at most"
        for name, fitted in lines
    ]


def main() -> None:
    """Measure and print."""
    seconds(1_000, 1, 1)
    times = [seconds(count, 4, 3 if count < 10_000_000 else 1) for count in REQUESTS]
    for count, took in zip(REQUESTS, times, strict=True):
        print(f"{count:>10,} requests, 4 replicas  {took:9.4f} s  {1e9 * took / count:6.0f} ns a request")
    print(f"exponent in requests: {exponent(REQUESTS, times):.3f}")
    times = [seconds(SERVED, count, 3) for count in REPLICAS]
    for count, took in zip(REPLICAS, times, strict=True):
        print(f"{count:>10,} replicas, {SERVED:,} requests  {1e9 * took / SERVED:6.0f} ns a request")
    print("exponent in replicas:", f"{exponent(REPLICAS, times):.3f}")
    for line in forms(REPLICAS, 1e9 * np.array(times) / SERVED):
        print("as", line)


if __name__ == "__main__":
    main()
