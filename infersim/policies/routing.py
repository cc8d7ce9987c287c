"""Routers: which replica a request goes to. A router is a compiled function; write your own with `@routing`.

    @routing
    def longest_prompts_first_replica(request, replicas, routable, memory):
        return routable[0] if request.input_tokens > 4000 else routable[-1]

A router sees the request (dataplane.records.REQUEST: never its output length), the signals of all replicas
(REPLICA), the indexes of those that are ready (`routable`, ascending, never empty) and eight integers of `memory` that
are its own, 0 at the start. It returns one of `routable`.

Not here: how it is called (`infersim/dataplane/loop.py`). Read `plugins.py` for routers in files of their own.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property

import numba

from infersim.dataplane.chance import mixed
from infersim.policies.compiling import first_class
from infersim.policies.errors import PolicyError
from infersim.policies.refusal import DECLARED, ROUTER
from infersim.spec import policies as names


@dataclass(frozen=True)
class Router:
    """A routing policy: its name, what it does in one line, and its function."""

    name: str
    summary: str
    function: Callable
    reads: frozenset[str] = frozenset()
    """Signals beyond the counts that it reads."""
    by_load: bool = False
    """Whether its answer is always that of `least_outstanding`, which the loop keeps as a tree over the replicas."""

    @cached_property
    def compiled(self) -> Callable:
        """The function as the loop takes it; compiled on first use, cached on disk.

        Raises PolicyError if it does not compile: it says where, and what a router may read.
        """
        from infersim.dataplane import abi

        return first_class(self.name, self.function, ROUTER, abi.ROUTE, self.reads)


ROUTERS: dict[str, Router] = {}
"""All known routers by name."""


def routing(function: Callable | None = None, *, reads: Collection[str] = (), by_load: bool = False) -> Callable:
    """Register `function(request, replicas, routable, memory) -> index` as a router under its own name.

    `reads` declares signals that cost time to keep: "kv" for kv_blocks_used, "prefix" for cached_tokens, "network" for
    network_s, "models" for resident. `by_load` is
    for `least_outstanding` itself: time then grows with the logarithm of the replicas.
    """
    if function is None:
        return lambda given: routing(given, reads=reads, by_load=by_load)
    if unknown := set(reads) - set(DECLARED.values()):
        found, known = ", ".join(sorted(unknown)), ", ".join(sorted(DECLARED.values()))
        raise PolicyError(f"router {function.__name__!r} declares that it reads {found}; known: {known}")
    summary = (function.__doc__ or "").strip().split("\n")[0]
    ROUTERS[function.__name__] = Router(function.__name__, summary, function, frozenset(reads), by_load)
    names.ROUTERS.add(function.__name__)
    return function


@numba.njit
def _draw(key, salt, replicas, routable):
    """A ready replica drawn by rendezvous hashing of a key and the replicas' lives (Thaler and Ravishankar 1998)."""
    best, most = routable[0], -1
    for r in routable:
        weight = mixed(mixed((key + 7919 * salt) & 0x7FFFFFFF) ^ mixed((replicas[r].serial + 1) & 0x7FFFFFFF))
        if weight > most:
            best, most = r, weight
    return best


@numba.njit
def _least_outstanding(replicas, routable):
    best = routable[0]
    for r in routable:
        if replicas[r].outstanding < replicas[best].outstanding:
            best = r
    return best


@numba.njit
def _goes_before(more, one, other):
    """Whether a replica that has `more` of what there should be little of than another is to be preferred to it."""
    return more < 0 or (more == 0 and one.outstanding < other.outstanding)


@routing
def round_robin(request, replicas, routable, memory):
    """Each ready replica in turn, in order of index."""
    turn = memory[0]
    memory[0] = turn + 1
    return routable[turn % routable.shape[0]]


@routing
def random(request, replicas, routable, memory):
    """A ready replica at random, by a hash of request and replica: another replica more moves only what it takes."""
    return _draw(request.id, 1, replicas, routable)


@routing(by_load=True)
def least_outstanding(request, replicas, routable, memory):
    """The ready replica with the fewest requests routed to it and not ended; the lowest index on ties."""
    return _least_outstanding(replicas, routable)


@routing
def power_of_two(request, replicas, routable, memory):
    """Of two ready replicas drawn at random the one with fewer requests outstanding (Mitzenmacher 2001)."""
    first, second = _draw(request.id, 1, replicas, routable), _draw(request.id, 2, replicas, routable)
    return second if replicas[second].outstanding < replicas[first].outstanding else first


@routing
def least_prompt_work(request, replicas, routable, memory):
    """The ready replica with the least prompt work ahead, in seconds of its chip; fewest outstanding on ties."""
    best, best_s = routable[0], replicas[routable[0]].queued_tokens * replicas[routable[0]].prompt_token_s
    for r in routable:
        work_s = replicas[r].queued_tokens * replicas[r].prompt_token_s
        if work_s < best_s or (work_s == best_s and replicas[r].outstanding < replicas[best].outstanding):
            best, best_s = r, work_s
    return best


@routing(reads={"kv"})
def least_kv_used(request, replicas, routable, memory):
    """The ready replica with the smallest share of its KV blocks in use; fewest outstanding on ties."""
    best = routable[0]
    for r in routable:
        here = replicas[r].kv_blocks_used * max(replicas[best].kv_blocks, 1)  # those without blocks use none
        there = replicas[best].kv_blocks_used * max(replicas[r].kv_blocks, 1)
        if here < there or (here == there and replicas[r].outstanding < replicas[best].outstanding):
            best = r
    return best


@routing
def fastest_weighted(request, replicas, routable, memory):
    """The ready replica with the fewest requests outstanding for its speed (prompt tokens a second)."""
    best = routable[0]
    for r in routable:
        here = (replicas[r].outstanding + 1) * replicas[r].prompt_token_s
        if here < (replicas[best].outstanding + 1) * replicas[best].prompt_token_s:
            best = r
    return best


@routing
def session_sticky(request, replicas, routable, memory):
    """All requests of a session to one replica, chosen by hash; requests without a session as `least_outstanding`."""
    if request.session < 0:
        return _least_outstanding(replicas, routable)
    return _draw(request.session, 3, replicas, routable)


@routing
def adapter_affinity(request, replicas, routable, memory):
    """An adapter's requests to one replica, chosen by hash, or to the next if it is overloaded; others as `least_outstanding`.

    Overloaded as for `prefix_aware`. A replica then needs slots for its share of the adapters, not for all of them.
    """
    if request.adapter == 0:
        return _least_outstanding(replicas, routable)
    least = replicas[_least_outstanding(replicas, routable)].outstanding
    best, most = routable[0], -1
    for r in routable:
        weight = mixed(mixed((request.adapter + 7919 * 4) & 0x7FFFFFFF) ^ mixed((replicas[r].serial + 1) & 0x7FFFFFFF))
        if weight > most and replicas[r].outstanding <= 8 + least + least // 2:
            best, most = r, weight
    return best


@routing(reads={"models"})
def model_affinity(request, replicas, routable, memory):
    """The fewest outstanding, which count twice, and an eighth of its seats more, where the last request was for another model; 4 more if the weights have to be loaded.

    So each model settles on replicas of its own while there are enough, and goes to others when its batches are well filled. Which
    model is active now does not matter: a queue that ends with another one will have left it.
    """
    best, fewest = -1, 0
    for r in routable:
        count = replicas[r].outstanding
        if replicas[r].asked != request.model:
            count = 2 * count + replicas[r].max_num_seqs // 8 + (0 if replicas[r].resident else 4)
        if best < 0 or count < fewest:
            best, fewest = r, count
    return best


@routing(reads={"prefix"})
def prefix_aware(request, replicas, routable, memory):
    """The ready replica that has cached most of the prompt, unless it is overloaded; fewest outstanding on ties.

    Overloaded is more than 8 requests and half as many again as the least loaded replica has, after SGLang's
    cache-aware router, which falls back on the shortest queue when the load is out of balance.
    """
    least = replicas[_least_outstanding(replicas, routable)].outstanding
    best = -1
    for r in routable:
        if replicas[r].outstanding > 8 + least + least // 2:
            continue
        gain = replicas[r].cached_tokens - replicas[best].cached_tokens if best >= 0 else 1
        if gain > 0 or (gain == 0 and replicas[r].outstanding < replicas[best].outstanding):
            best = r
    return best


@routing
def cheapest_first(request, replicas, routable, memory):
    """The cheapest replica now with a free place in its batch, the fewest outstanding of equals; if none is free, of all."""
    best = -1
    for r in routable:
        if replicas[r].outstanding < replicas[r].max_num_seqs and (
            best < 0
            or _goes_before(replicas[r].usd_per_hour - replicas[best].usd_per_hour, replicas[r], replicas[best])
        ):
            best = r
    return best if best >= 0 else _least_outstanding(replicas, routable)


@routing(reads={"network"})
def nearest(request, replicas, routable, memory):
    """The nearest region with a free place in a batch; the fewest outstanding in it; if none is free, of all."""
    best = -1
    for r in routable:
        if replicas[r].outstanding < replicas[r].max_num_seqs and (
            best < 0 or _goes_before(replicas[r].network_s - replicas[best].network_s, replicas[r], replicas[best])
        ):
            best = r
    return best if best >= 0 else _least_outstanding(replicas, routable)


@routing
def greenest(request, replicas, routable, memory):
    """As `nearest`, but the region whose electricity emits least now."""
    best = -1
    for r in routable:
        if replicas[r].outstanding < replicas[r].max_num_seqs and (
            best < 0
            or _goes_before(replicas[r].grams_per_kwh - replicas[best].grams_per_kwh, replicas[r], replicas[best])
        ):
            best = r
    return best if best >= 0 else _least_outstanding(replicas, routable)


@routing
def follow_the_sun(request, replicas, routable, memory):
    """As `nearest`, but the region over which the sun stands highest now."""
    best = -1
    for r in routable:
        if replicas[r].outstanding < replicas[r].max_num_seqs and (
            best < 0 or _goes_before(replicas[best].sun - replicas[r].sun, replicas[r], replicas[best])
        ):
            best = r
    return best if best >= 0 else _least_outstanding(replicas, routable)
