"""The control plane: microseconds of one event over a fleet of a thousand replicas, and its share of a day.

Budgets of the design: 100 us an event, a fifth of the day. Times are of the process (other processes do not count).
"""

import time
from collections.abc import Generator

import pytest
import simpy
from pytest_benchmark.fixture import BenchmarkFixture

from infersim import simulate
from infersim.controlplane.datacenter import Datacenter
from infersim.controlplane.meter import Meter
from infersim.dataplane.fleet import Fleet
from infersim.policies.autoscaling import Facts
from infersim.spec.load import load_scenario
from tests.controlplane.house import datacenter

TICK_S = 15.0
pytestmark = pytest.mark.benchmark(timer=time.process_time)


@pytest.fixture
def replicas(benchmark: BenchmarkFixture) -> int:
    return 1000 if benchmark.enabled else 8


@pytest.fixture
def house(replicas: int) -> Datacenter:
    """Idle replicas; a request in the far future keeps them waiting."""
    made = datacenter((1e9, 1))
    for _ in range(replicas):
        made.pools[0].open(ready=True)
    made.env.run(until=1)
    return made


def each(benchmark: BenchmarkFixture, events: int) -> None:
    if benchmark.enabled:
        benchmark.extra_info["us_each"] = round(1e6 * benchmark.stats.stats.median / events, 1)


def test_an_event(benchmark: BenchmarkFixture, house: Datacenter) -> None:
    """SimPy's own work, and the fleet advanced to its time."""
    events = 1000 if benchmark.enabled else 10

    def wait() -> Generator[simpy.Event, object, None]:
        while True:
            yield house.env.timeout(1.0)

    house.env.process(wait())
    benchmark.pedantic(lambda: house.env.run(until=house.env.now + events), rounds=5 if benchmark.enabled else 1)
    each(benchmark, events)


def test_a_reading(benchmark: BenchmarkFixture, house: Datacenter) -> None:
    """What an autoscaler sees at a tick."""
    meter = Meter(house.pools[0], Facts(), 0.0, None)
    benchmark(meter.view)
    each(benchmark, 1)


def test_a_life(benchmark: BenchmarkFixture, house: Datacenter) -> None:
    """A replica more and one fewer; its events are those that it writes down, from requested to closed."""
    pool, env = house.pools[0], house.env
    lives = 20 if benchmark.enabled else 1

    def live() -> None:
        for _ in range(lives):
            pool.open()
        env.run(until=env.now + 20)
        for _ in range(lives):
            pool.drain()
        env.run(until=env.now + 1)

    before, rounds = len(house.log), 5 if benchmark.enabled else 1
    benchmark.pedantic(live, rounds=rounds)
    each(benchmark, (len(house.log) - before) // rounds)


def test_a_day(benchmark: BenchmarkFixture, replicas: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand replicas, four requests/s each, ticks every 15 s and 400 samples a day: twenty minutes of it.

    The share is all that is neither the compiled loop nor drawing and keeping requests.
    """
    spent = {"loop": 0.0, "requests": 0.0, "run": 0.0}

    def timed(owner: type, name: str, key: str) -> None:
        function = getattr(owner, name)

        def call(*arguments: object) -> object:
            begun = time.process_time()
            try:
                return function(*arguments)
            finally:
                spent[key] += time.process_time() - begun

        monkeypatch.setattr(owner, name, call)

    timed(Fleet, "_call", "loop")
    timed(Fleet, "_feed", "requests")
    timed(Fleet, "_retire", "requests")
    timed(Datacenter, "run", "run")
    horizon_s = 1200.0 if benchmark.enabled else 30.0
    wave = {"process": "diurnal", "rate_rps": 4.0 * replicas, "harmonics": [{"period_h": 0.5, "cos": -0.3, "sin": 0.0}]}
    scenario = load_scenario(
        "h100_llama70b",
        [
            f"horizon_s={horizon_s}", f"workload.arrivals={wave}", "keep_requests=100000", "sample_interval_s=216",
            f"pools.0.replicas={{initial: {replicas}, min: 1, max: {2 * replicas}}}",
            f"pools.0.autoscaler={{policy: kubernetes_hpa, target: 24, interval_s: {TICK_S}}}",
        ],
    )  # fmt: skip
    benchmark.pedantic(lambda: simulate(scenario), rounds=1)
    control_s = spent["run"] - spent["loop"] - spent["requests"]
    assert control_s > 0
    if benchmark.enabled:
        benchmark.extra_info["share_of_the_run"] = round(control_s / spent["run"], 4)
        benchmark.extra_info["us_a_tick"] = round(1e6 * control_s / (horizon_s / TICK_S))
