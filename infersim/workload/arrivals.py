"""When requests arrive: from the process that a scenario names to blocks of sorted times.

Each process is a generator and needs memory for a block, however long the horizon. Not here: the processes themselves
(`renewal.py`, `modulated.py`, `merging.py`, `clients.py`), recorded traffic (`formats/`). Read `generate.py` next.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from infersim.spec.arrivals import (
    Batches,
    Clients,
    Diurnal,
    FlashCrowd,
    Gamma,
    Mmpp,
    Poisson,
    Ramp,
    RateSeries,
    Regular,
    Step,
    Superposition,
    Weibull,
)
from infersim.workload import modulated, renewal
from infersim.workload.clients import client_pool
from infersim.workload.lengths import length_blocks
from infersim.workload.merging import batched, merged
from infersim.workload.renewal import Times
from infersim.workload.series import RateTable, rate_table
from infersim.workload.streams import BLOCK, stream

Process = (
    Regular | Poisson | Gamma | Weibull | Mmpp | RateSeries | Diurnal | FlashCrowd | Ramp | Step | Clients
    | Batches | Superposition
)  # fmt: skip
"""A process that arrivals alone make up; a trace and ServeGen's clients bring more (`replay.py`, `servegen.py`)."""


def arrival_blocks(
    process: Process, horizon_s: float, seed: int, directory: Path | None = None, name: str = "arrivals"
) -> Iterator[Times]:
    """Sorted arrival times of a process in [0, horizon_s) [s], block after block (a block may be empty).

    `directory` is where a file of rates is sought first; `name` names the random streams.
    """
    gaps = stream(seed, name)
    match process:
        case Regular():
            return renewal.constant(process.rate_rps, horizon_s)
        case Poisson():
            return renewal.poisson(process.rate_rps, horizon_s, gaps)
        case Gamma():
            return renewal.gamma(process.rate_rps, process.cv, horizon_s, gaps)
        case Weibull():
            return renewal.weibull(process.rate_rps, process.cv, horizon_s, gaps)
        case Clients():
            return client_pool(process, horizon_s, seed, name)
        case Superposition():
            return _superposed(process, horizon_s, seed, directory, name)
        case Batches():
            starts = arrival_blocks(process.batches, horizon_s, seed, directory, f"{name}.batches")
            sizes = length_blocks(process.size, seed, f"{name}.sizes", directory)
            return batched(starts, sizes, process.spread_s, horizon_s, gaps)
        case Mmpp():
            states = stream(seed, f"{name}.states")
            return modulated.mmpp(
                process.rates_rps, process.mean_sojourn_s, horizon_s, gaps, states, process.transitions
            )
        case _:
            return modulated.at_rates(rate_path(process, horizon_s, directory), horizon_s, gaps)


def rate_path(
    process: Diurnal | FlashCrowd | Ramp | Step | RateSeries, horizon_s: float, directory: Path | None = None
) -> modulated.Path:
    """Pieces of constant rate in [0, horizon_s) of a process whose rate is known beforehand."""
    match process:
        case Diurnal():
            return modulated.diurnal(process, horizon_s)
        case FlashCrowd():
            return modulated.flash_crowd(process, horizon_s)
        case Ramp():
            return modulated.ramp(process, horizon_s)
        case Step():
            table = RateTable(np.array([0.0, *process.at_s]), np.asarray(process.rates_rps), None)
            return modulated.steps(table.starts_s, table.rates_rps, None, horizon_s)
        case RateSeries():
            table = rate_table(process, directory)
            return modulated.steps(table.starts_s, table.rates_rps, table.end_s, horizon_s, process.loop)


def _superposed(
    process: Superposition, horizon_s: float, seed: int, directory: Path | None, name: str
) -> Iterator[Times]:
    """All processes of the list, each with streams of its own."""
    parts = [
        arrival_blocks(part, horizon_s, seed, directory, f"{name}.{index}") for index, part in enumerate(process.of)
    ]
    return (times for times, _ in merged(parts, BLOCK / sum(top_rate_rps(part, directory) for part in process.of)))


def top_rate_rps(process: Process, directory: Path | None = None) -> float:
    """About the highest rate of a process [requests/s], to size pieces of work; never 0."""
    match process:
        case Regular() | Poisson() | Gamma() | Weibull() | Clients() | Diurnal():
            return process.rate_rps
        case Mmpp() | Step():
            return max(process.rates_rps)
        case FlashCrowd():
            return process.peak_rps
        case Ramp():
            return max(process.from_rps, process.to_rps)
        case RateSeries():
            return float(rate_table(process, directory).rates_rps.max())
        case Batches():
            return top_rate_rps(process.batches, directory)
        case Superposition():
            return sum(top_rate_rps(part, directory) for part in process.of)
