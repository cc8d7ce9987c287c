"""What checks read: numbers of measured cases, with a note of everything that was looked at.

A case that cannot run, or that keeps its SLO at no load, serves nothing at any price: its dollars are infinite, its
load and throughput 0, all else NaN. Not here: how cases are measured (`measure.py`).
"""

import math
from collections.abc import Mapping

from infersim.studies.claims.measure import Measured
from infersim.studies.errors import StudyError

USD = "cost.usd_per_million_output_tokens"
NOTHING = {"load_rps": 0.0, "runs": 0.0, "throughput.output_tokens_per_s": 0.0}
"""Numbers of a case that serves nobody."""


class Reading:
    """The measured cases of one claim, by name."""

    def __init__(self, measured: Mapping[str, Measured]) -> None:
        """Hold the cases; nothing is looked at yet."""
        self._measured = measured
        self.seen: set[tuple[str, str]] = set()
        """(case, key) of every number that was looked at."""

    def __call__(self, case: str, key: str) -> float:
        """A headline number of a case under its dotted key of the summary; StudyError when there is none."""
        self.seen.add((case, key))
        found = self._measured[case]
        if found.row is None or (found.row["load_rps"] == 0 and key != "runs"):
            if key == "runs":
                return 0.0
            return math.inf if key.startswith(("cost.", "energy.", "carbon.")) else NOTHING.get(key, math.nan)
        if key not in found.row:
            raise StudyError(f"case {case} has no number {key}")
        value = found.row[key]
        return math.nan if value is None else float(value)

    def usd(self, case: str) -> float:
        """Dollars for a million output tokens [USD]."""
        return self(case, USD)

    def speed(self, case: str) -> float:
        """Output tokens a second of the whole fleet."""
        return self(case, "throughput.output_tokens_per_s")

    def each(self, case: str) -> float:
        """Output tokens a second of each chip."""
        return self.speed(case) / self(case, "chips") if self.speed(case) else 0.0

    def user(self, case: str) -> float:
        """Output tokens a second that one user sees, after the first."""
        return ratio(1.0, self(case, "latency.tpot_s.mean"))


def ratio(a: float, b: float) -> float:
    """a / b; NaN for nothing over nothing, infinite for something over nothing."""
    if b == 0:
        return math.nan if a == 0 else math.inf
    return a / b
