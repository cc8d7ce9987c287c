"""The requests of one class: a trace's, or arrivals of a process with lengths drawn for each.

Not here: mixes of classes (`classes.py`) and the data plane's records (`generate.py`).
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from infersim.spec.arrivals import ServeGen, Trace
from infersim.spec.closed import ClosedLoop
from infersim.spec.structure import Agents, Sessions
from infersim.spec.workload import Workload
from infersim.workload.agents import agent_requests
from infersim.workload.arrivals import arrival_blocks
from infersim.workload.closed import first_of_users, think_times
from infersim.workload.lengths import Tokens
from infersim.workload.pairs import paired_lengths
from infersim.workload.renewal import Times
from infersim.workload.replay import replay_blocks
from infersim.workload.requests import Requests, requests
from infersim.workload.servegen import client_requests
from infersim.workload.sessions import session_requests
from infersim.workload.streams import Feed
from infersim.workload.structure import structured


def traffic(
    workload: Workload,
    horizon_s: float | None,
    seed: int,
    directory: Path | None,
    name: str = "",
    times: Iterator[Times] | None = None,
) -> Iterator[Requests]:
    """Requests in order of arrival, in blocks of any size; `name` begins the names of the random streams.

    `times` are arrivals to use instead of the workload's own process: a class's share of a common one.
    """
    blocks = _traffic(workload, horizon_s, seed, directory, name, times)
    return blocks if workload.is_kind != "embedding" else map(_without_output, blocks)


def _without_output(block: Requests) -> Requests:
    return block.with_columns(output_tokens=np.zeros(len(block), np.int64))


def _traffic(
    workload: Workload,
    horizon_s: float | None,
    seed: int,
    directory: Path | None,
    name: str,
    times: Iterator[Times] | None,
) -> Iterator[Requests]:
    """The same with the output that a recording may have."""
    process = workload.arrivals
    assert process is not None
    if isinstance(process, Trace):
        return replay_blocks(process, horizon_s, seed, directory, f"{name}arrivals")
    until = horizon_s or 0.0
    if isinstance(process, ServeGen):
        return client_requests(process, workload, until, seed, directory, name)
    if isinstance(process, ClosedLoop):
        return first_of_users(process, listed(workload, seed, directory, name))
    if times is None:
        times = arrival_blocks(process, until, seed, directory, f"{name}arrivals")
    lengths = paired_lengths(workload, seed, directory, name)
    if isinstance(workload.structure, Sessions):
        most = workload.max_context_tokens
        return session_requests(workload.structure, times, lengths, until, most, seed, directory, name)
    if isinstance(workload.structure, Agents):
        most = workload.max_context_tokens
        return agent_requests(workload.structure, times, lengths, most, seed, directory, name)
    blocks = _drawn(times, *lengths)
    return blocks if workload.structure is None else structured(workload.structure, blocks, seed, directory, name)


def listed(workload: Workload, seed: int, directory: Path | None, name: str = "") -> Iterator[Requests]:
    """What the users of a closed loop send, one after the other and without end; arrival_s is the time to think."""
    assert isinstance(workload.arrivals, ClosedLoop)
    thoughts = think_times(workload.arrivals.think_s, seed, f"{name}think")
    blocks = _drawn(thoughts, *paired_lengths(workload, seed, directory, name))
    if workload.structure is None:
        return blocks
    assert not isinstance(workload.structure, Sessions | Agents)  # the workload has checked it
    return structured(workload.structure, blocks, seed, directory, name)


def _drawn(times: Iterator[Times], inputs: Iterator[Tokens], outputs: Iterator[Tokens]) -> Iterator[Requests]:
    """Arrivals with lengths drawn for each."""
    prompts, answers = Feed(inputs), Feed(outputs)
    for block in times:
        yield requests(block, prompts.take(block.size), answers.take(block.size))
