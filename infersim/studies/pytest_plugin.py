"""A pytest fixture that keeps cost curves as they are; `infersim check` inside a test suite.

    def test_cost_of_chat(cost_curve_regression):
        cost_curve_regression("scenarios/chat.yaml")

The baseline lies where pytest-regressions keeps its files (a folder named like the test's module, a CSV named like the
test); a missing one is made and the test fails once, `--force-regen` makes it anew. Needs pytest-regressions.

Not here: baselines and tolerances (`baseline.py`), comparing (`regression.py`).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

CheckCurve = Callable[..., None]


@pytest.fixture
def cost_curve_regression(datadir: Any, original_datadir: Path, request: pytest.FixtureRequest) -> CheckCurve:
    """A function of (scenario, settings=(), basename=None) that fails when the scenario's cost curve moved."""
    from pytest_regressions.common import perform_regression_check

    def check_curve(scenario: Any, settings: Sequence[str] = (), basename: str | None = None) -> None:
        from infersim.studies.baseline import new_baseline, read, write
        from infersim.studies.gate_report import as_text
        from infersim.studies.regression import Report, check_scenario, compare_with
        from infersim.studies.variants import resolved_with

        __tracebackhide__ = True
        resolved = resolved_with(scenario, settings)
        regenerate = request.config.getoption("force_regen") or request.config.getoption("regen_all")

        def dump(path: Path) -> None:
            """The baseline; what is obtained besides one needs no tolerances and is told by the failure."""
            if ".obtained" in path.name:
                path.touch()
            else:
                write(new_baseline(resolved, resolved.scenario.name), path)

        def compare(_: Path, expected: Path) -> None:
            kept = read(expected)
            if not regenerate:
                check_scenario(kept, resolved, expected)
            report = Report([compare_with(kept, resolved)], [], [])
            if not report.passed:
                raise AssertionError(as_text(report))

        perform_regression_check(
            datadir=datadir, original_datadir=original_datadir, request=request, check_fn=compare, dump_fn=dump,
            extension=".csv", basename=basename,
        )  # fmt: skip

    return check_curve
