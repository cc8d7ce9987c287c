"""Speed, measured by pytest-benchmark: `make bench`. In `make test` each benchmark runs once, small and unmeasured.

Nothing here asserts seconds: a shared machine has good days and bad ones. `test_yardstick.py` measures the machine, so
that figures can be quoted as ratios.
"""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture


@pytest.fixture
def requests_to_serve(benchmark: BenchmarkFixture) -> int:
    """A hundred thousand requests when it is measured, a few when it only has to work."""
    return 100_000 if benchmark.enabled else 200


@pytest.fixture
def only_measured(request: pytest.FixtureRequest) -> None:
    """For what takes long even when it is small."""
    if not request.config.getoption("benchmark_enable"):
        pytest.skip("takes half a minute; make bench")
