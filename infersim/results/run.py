"""What every question about a run can ask: a `Result` fresh from the simulation or a `SavedRun` read back.

Not here: either of the two (`result.py`, `directory.py`). Read `explain.py` for the first who asks.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pandas as pd


class Run(Protocol):
    """One run: its summary, its four frames and its scenario."""

    @property
    def summary(self) -> Mapping[str, Any]:
        """The headline numbers; one that does not exist is NaN in a Result and None in a SavedRun."""

    @property
    def requests(self) -> "pd.DataFrame":
        """As `frames.requests_frame`."""

    @property
    def replicas(self) -> "pd.DataFrame":
        """As `frames.replicas_frame`."""

    @property
    def timeline(self) -> "pd.DataFrame":
        """As `frames.timeline_frame`."""

    @property
    def events(self) -> "pd.DataFrame":
        """As `frames.events_frame`."""

    @property
    def scenario_yaml(self) -> str:
        """The scenario as it ran."""


def rows_share(summary: Mapping[str, Any]) -> float:
    """The share of all requests that have a row in the requests frame: 1, but in long runs (`gathering.py`)."""
    return float(summary["requests"].get("rows_share", 1.0))
