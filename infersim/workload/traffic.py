"""The requests of one class: a trace's, or arrivals of a process with lengths drawn for each.

Not here: mixes of classes (`classes.py`) and the data plane's records (`generate.py`).
"""

from collections.abc import Iterator
from pathlib import Path

from infersim.spec.arrivals import ServeGen, Trace
from infersim.spec.workload import Workload
from infersim.workload.arrivals import arrival_blocks
from infersim.workload.lengths import Tokens, length_blocks, partner_blocks
from infersim.workload.replay import replay_blocks
from infersim.workload.requests import Requests, requests
from infersim.workload.streams import Feed


def traffic(
    workload: Workload, horizon_s: float | None, seed: int, directory: Path | None, name: str = ""
) -> Iterator[Requests]:
    """Requests in order of arrival, in blocks of any size; `name` begins the names of the random streams."""
    process = workload.arrivals
    assert process is not None
    if isinstance(process, Trace):
        return replay_blocks(process, horizon_s, seed, directory, f"{name}arrivals")
    if isinstance(process, ServeGen):
        from infersim.workload.servegen import client_requests

        return client_requests(process, workload, horizon_s or 0.0, seed, directory, name)
    return _drawn(workload, horizon_s or 0.0, seed, directory, name)


def _drawn(workload: Workload, horizon_s: float, seed: int, directory: Path | None, name: str) -> Iterator[Requests]:
    inputs, outputs = (Feed(blocks) for blocks in paired_lengths(workload, seed, directory, name))
    for times in arrival_blocks(workload.arrivals, horizon_s, seed, directory, f"{name}arrivals"):
        yield requests(times, inputs.take(times.size), outputs.take(times.size))


def paired_lengths(
    workload: Workload, seed: int, directory: Path | None, name: str = ""
) -> tuple[Iterator[Tokens], Iterator[Tokens]]:
    """Prompt and output lengths for ever, with the stated rank correlation."""
    assert workload.input_tokens is not None
    assert workload.output_tokens is not None
    first, second = f"{name}input_tokens", f"{name}output_tokens"
    if not workload.length_correlation:
        inputs = length_blocks(workload.input_tokens, seed, first, directory)
        return inputs, length_blocks(workload.output_tokens, seed, second, directory)
    inputs = partner_blocks(workload.input_tokens, seed, first, directory)
    correlation = workload.length_correlation
    return inputs, length_blocks(workload.output_tokens, seed, second, directory, first, correlation)
