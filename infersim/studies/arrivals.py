"""The requests of a case: when they come, how long they are, what they share.

Offline all come at time 0, at a server by a Poisson process, in a closed loop from users who begin together; an online run's are nearly evenly
spaced at each stage's rate, its conversations taking turns, with their prompts as prefixes; single requests as they came. Not here: serving them
(`resimulation.py`), users of a closed loop after their first request (`users.py`).
"""

import math

import numpy as np
from numpy.typing import NDArray

from infersim.cost.tables import CostTables
from infersim.dataplane.records import NONE, REQUEST
from infersim.studies.cases import CannotSay, Case, Load

Floats = NDArray[np.float64]
_NO_NAMES = np.zeros(0, np.int64)
Arrivals = tuple[NDArray, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
LOOPS = ("closed_loop", "single_stream")
STAGE_GAP_S = 10.0
"""Pause between the stages of an online run [s]."""
SENDING_S = 1e-3
"""Time between the first requests of a closed loop's users: a client sends one after the other [s]."""
MOST_REQUESTS = 20_000
SERVED_S = 3600.0
"""How long a server is served where a source does not say [s]: MLPerf's lose 0.3 to 3 % of their rate to the answers, of half a minute in the
mean, that end after the last arrival, so they ran for half an hour to two; close to saturation it takes many minutes to fill."""
MOST_ARRIVALS = 400_000
"""Most requests of that."""
ROUNDS = 6
"""How often the seats of a replica are taken in a run whose number of requests is not stated."""
MOST_HELD = 10_000_000
"""Requests of a case that are held in memory at most: no published run has a hundredth of them."""
JITTER = 0.5
"""Coefficient of variation of the gaps between an online run's requests, which workers send a little early or late: 1
would be Poisson, 0 a metronome. E2E p90 and p99 of 13 runs lie between the two; means hardly depend on it."""


def arrivals(case: Case, tables: CostTables) -> Arrivals:
    """(requests, output lengths, names of prefix blocks, stage of each request); CannotSay for more than can be held."""
    load = case.load
    many = max(load.users, len(load.trace), sum(rate * seconds for _, rate, seconds in load.stages))
    if max(many, load.systems * load.conversations * load.prompt / tables.memory.block_size) > MOST_HELD:
        raise CannotSay(f"more than {MOST_HELD:,} requests, users or prefix blocks")
    if load.kind == "online":
        return _online_requests(load, tables.memory.block_size)
    if load.kind == "requests":
        times, prompts, outputs = (np.array(column) for column in zip(*load.trace, strict=True))
        return _requests(times.astype(float), prompts), outputs.astype(np.int64), _NO_NAMES, np.zeros(len(times), int)
    count = _how_many(case, tables)
    prompts, outputs = lengths(load, count)
    times = np.zeros(count)
    if load.kind == "server":
        times = np.cumsum(np.random.default_rng(1).exponential(1.0 / load.rate_rps, count))
    if load.kind in LOOPS:
        times = first_come(case, tables, prompts)
    requests = _requests(times, prompts)
    requests["forks"] = load.beams - 1
    return requests, outputs, _NO_NAMES, np.zeros(count, np.int64)


def first_come(case: Case, tables: CostTables, prompts: NDArray[np.int64]) -> Floats:
    """When the front end begins with the first requests of a closed loop [s]: its users all send at the beginning, and it
    takes one request after the other. Later ones come when a user is free."""
    sent = sending(case, len(prompts))
    if case.prefill_replicas:
        return sent
    handled = tables.request_overhead_s + tables.token_overhead_s * prompts
    users = max(1, case.load.users)
    queued = np.maximum(np.cumsum(handled[:users]) / case.replicas, sent[:users] + handled[:users])
    first = np.maximum.accumulate(np.maximum(queued, case.load.cold_s) - handled[:users])
    return np.append(first, sent[users:])


def sending(case: Case, count: int) -> Floats:
    """When the users of a closed loop send their first requests [s], of which `count` are wanted."""
    return np.minimum(np.arange(count), case.load.users) * SENDING_S


def _how_many(case: Case, tables: CostTables) -> int:
    """Enough requests for a steady state, or as many as the source used."""
    load = case.load
    if load.kind in ("fixed_batch", "single_stream"):
        return max(1, load.users) if load.kind == "fixed_batch" else 4
    if load.kind == "server":
        return load.requests or int(np.clip(load.rate_rps * SERVED_S, 1000, MOST_ARRIVALS))
    if load.kind == "closed_loop":
        return min(load.requests or max(20, 6 * load.users), max(MOST_REQUESTS, 2 * load.users))
    few = served_replicas(case, tables)
    if load.requests:
        return min(math.ceil(load.requests * few / case.replicas), MOST_REQUESTS)
    return int(np.clip(rounds(case, tables) * few, 1000, MOST_REQUESTS))


def rounds(case: Case, tables: CostTables) -> float:
    """Requests that fill one replica often enough for a steady state, the end being a small part."""
    room = tables.memory.blocks * tables.memory.block_size / (case.load.prompt + case.load.output)
    return ROUNDS * min(tables.max_num_seqs, room)


def served_replicas(case: Case, tables: CostTables) -> int:
    """Replicas to serve: where all requests are there at once each is as good as any other, and as many as can be filled do."""
    if case.load.kind != "offline_throughput":
        return case.replicas
    each = case.load.requests / case.replicas or rounds(case, tables)
    return int(np.clip(MOST_REQUESTS // each, 1, case.replicas))


def lengths(load: Load, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Prompts and outputs: fixed, or lognormal of the given mean and variation in a shuffled order."""
    if load.varied == 0.0 or load.kind in ("fixed_batch", "single_stream"):
        return np.full(count, max(1, round(load.prompt))), np.full(count, max(1, round(load.output)))
    rng, sigma = np.random.default_rng(0), math.sqrt(math.log1p(load.varied**2))
    drawn = []
    for mean, most in ((load.prompt, 0), (load.output, load.longest)):
        values = np.exp(sigma * rng.standard_normal(count))
        for _ in range(20 if most else 1):  # what the limit cuts off raises the rest until the mean is right
            values *= mean / values.mean()
            values = np.minimum(values, most) if most else values
        drawn.append(np.maximum(1, np.rint(values)).astype(np.int64))
    return drawn[0], drawn[1]


def _requests(times: Floats, prompts: NDArray[np.int64]) -> NDArray:
    requests = np.zeros(len(times), REQUEST)
    requests["id"] = np.arange(len(times))
    requests["arrival_s"], requests["input_tokens"], requests["session"] = times, prompts, NONE
    return requests


def _online_requests(load: Load, block: int) -> Arrivals:
    """Requests at nearly even distances, conversations taking turns; each repeats its own prompt."""
    rng = np.random.default_rng(0)
    times, stage, start = [], [], 0.0
    for index, (_, rate, seconds) in enumerate(load.stages):
        count = round(rate * seconds)
        gaps = rng.gamma(JITTER**-2, JITTER**2 / rate, count)
        times.append(start + np.cumsum(gaps))
        stage.append(np.full(count, index))
        start = max(start + seconds, float(times[-1][-1])) + STAGE_GAP_S
    arrival = np.concatenate(times)
    prompts = load.systems * load.conversations
    blocks, shared = int(load.prompt) // block, load.system_tokens // block
    names = np.arange(prompts * blocks, dtype=np.int64).reshape(prompts, blocks) + prompts * blocks
    names[:, :shared] = (np.arange(prompts) % load.systems)[:, None] * shared + np.arange(shared)
    requests = _requests(arrival, np.full(len(arrival), int(load.prompt)))
    requests["prefix_start"] = (np.arange(len(arrival)) % prompts) * blocks
    requests["prefix_blocks"] = blocks
    return requests, np.full(len(arrival), int(load.output)), names.ravel(), np.concatenate(stage)
