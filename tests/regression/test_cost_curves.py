"""The cost curves of the shipped scenarios are those that are committed here; `make` them anew, and say why, with

    infersim check --baseline tests/regression --update

A few scenarios are checked in every run, the rest is slow.
"""

from pathlib import Path

import pytest

from infersim import check
from infersim.studies.gate_report import as_text

CURVES = sorted(Path(__file__).parent.glob("*.csv"))
QUICK = ("chat_burst", "h100_llama70b", "groq_llama70b")


def marked(path: Path):
    return pytest.param(path.stem, marks=() if path.stem in QUICK else pytest.mark.slow)


@pytest.mark.parametrize("name", [marked(path) for path in CURVES])
def test_the_cost_curve_is_the_committed_one(name: str) -> None:
    report = check([name], baseline=Path(__file__).parent)
    assert report.passed, as_text(report)


def test_the_quick_ones_are_there() -> None:
    assert set(QUICK) <= {path.stem for path in CURVES}
