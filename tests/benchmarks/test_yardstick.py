"""What this machine does with well-known work, for ratios."""

import simpy
from pytest_benchmark.fixture import BenchmarkFixture


def test_a_hundred_thousand_bare_simpy_events(benchmark: BenchmarkFixture) -> None:
    """One process that waits, again and again: the least that one event for each step would cost."""
    events = 100_000 if benchmark.enabled else 100

    def wait(env: simpy.Environment):  # type: ignore[no-untyped-def]
        for _ in range(events):
            yield env.timeout(1)

    def run() -> float:
        env = simpy.Environment()
        env.process(wait(env))
        env.run()
        return env.now

    assert benchmark(run) == events
