"""Switches from one model of a pool to another, as events beside those of the control plane.

Not here: what they come down to (`summary.py`, `why_models.py`). Read `record.py` for where events are kept.
"""

from collections.abc import Sequence

from numpy.typing import NDArray

from infersim.results.record import Happening, PoolRecord
from infersim.results.units import seconds

SWITCH = "switch"
"""Kind of these events."""


def with_switches(events: list[Happening], switches: NDArray, pools: Sequence[PoolRecord]) -> list[Happening]:
    """All events by time, those of the data plane first at equal times; `switches` are SWITCH records in their order."""
    if not len(switches):
        return events
    names = [{model.number: model.name for model in pool.tables.models} for pool in pools]
    found = [
        (
            time_s,
            SWITCH,
            pools[pool].name,
            replica,
            _told(names[pool][before], names[pool][model], took_s, loaded, evicted),
        )
        for time_s, took_s, pool, replica, before, model, evicted, loaded in switches.tolist()
    ]
    return sorted([*found, *events], key=lambda event: event[0])


def _told(before: str, model: str, took_s: float, loaded: bool, evicted: int) -> str:
    """From which model to which, and what that took."""
    others = f", {evicted} evicted" if evicted else ""
    return f"{before} to {model}: {seconds(took_s)}" + (f", weights loaded{others}" if loaded else "")
