"""Recorded sessions without absolute times, put on the clock: sessions begin as a Poisson process, in the file's order.

Not here: sessions that are drawn (`sessions.py`).
"""

from collections.abc import Iterator

import numpy as np

from infersim.workload.requests import Requests, joined


def started(blocks: Iterator[Requests], rate_rps: float, rng: np.random.Generator) -> Iterator[Requests]:
    """Calls of all sessions in order of time. The pace inside a session is the recorded one. Holds the whole file."""
    whole = joined(blocks)
    names, which = np.unique(whole.session, return_inverse=True)
    starts = np.cumsum(rng.standard_exponential(names.size)) / rate_rps
    times = whole.arrival_s + starts[which]
    yield whole.with_columns(arrival_s=times).at(np.argsort(times, kind="stable"))
