"""The routers of the naive twin, and what they see of replicas: what is true, or what was at the last scrape.

DESIGN.md: "Signals"; each router is what its docstring in `infersim/policies/routing.py` says, written anew; `mixed` is the loop's. Not
here: round robin, which counts turns. Read `naive.py` next, the last.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

from infersim.dataplane.chance import mixed
from infersim.dataplane.fleet import PoolCost
from tests.naive_replica import Replica, prompt_token_s
from tests.naive_sequence import Request, Sequence


@dataclass(frozen=True)
class Signals:
    """What a router sees of a replica."""

    index: int
    serial: int
    outstanding: int
    queued_tokens: int
    kv_used: Fraction
    prompt_token_s: float
    max_num_seqs: int
    usd_per_hour: float
    model: int
    """That the last request which was routed there asked for."""
    cached_tokens: int = 0
    round_trip_s: float = 0.0
    resident: bool = True
    """Whether it has the weights of the request's model."""
    grams_per_kwh: float = 0.0
    sun: float = 0.0

    def has_place(self) -> bool:
        """Whether one more request would find a place in the batch, in time."""
        return self.outstanding < self.max_num_seqs


Router = Callable[[list[Signals], Request], Signals]


def signals_of(replica: Replica) -> Signals:
    """Everything that can be old."""
    pool = replica.pool
    return Signals(
        index=replica.index,
        serial=replica.serial,
        outstanding=replica.outstanding,
        queued_tokens=replica.queued_tokens(),
        kv_used=Fraction(replica.memory.used(), max(pool.blocks, 1)),
        prompt_token_s=prompt_token_s(pool),
        max_num_seqs=pool.max_num_seqs,
        usd_per_hour=pool.usd_per_hour,
        model=replica.asked,
    )


def of_the_moment(signals: Signals, replica: Replica, sequence: Sequence, weather: tuple[float, float]) -> Signals:
    """With what is never old: how far the request's region is, how much of its prompt is cached, whether its model is
    there, and what is known of the pool's region."""
    pool = replica.pool
    here = pool.role != "decode" and sequence.request.model == pool.model
    cached = pool.prefix_tokens * len(replica.memory.matching(sequence)) if here else 0
    resident = len(replica.zoo.costs) == 1 or sequence.request.model in replica.zoo.resident
    grams_per_kwh, sun = weather
    return replace(
        signals,
        cached_tokens=cached,
        round_trip_s=round_trip_s(pool, sequence.request),
        resident=resident,
        grams_per_kwh=grams_per_kwh,
        sun=sun,
    )


def takes(pool: PoolCost, request: Request) -> bool:
    """Whether a pool takes requests of this class with prompts of this length."""
    short = pool.min_input_tokens <= request.input_tokens <= pool.max_input_tokens
    return short and (not pool.takes or pool.takes[request.tenant])


def round_trip_s(pool: PoolCost, request: Request) -> float:
    """Between the region of the request's class and that of the pool [s]."""
    return pool.network_s[request.tenant] if pool.network_s else 0.0


def least_outstanding(ready: list[Signals], request: Request | None = None) -> Signals:
    return min(ready, key=lambda each: (each.outstanding, each.index))


def luck(key: int, salt: int, replica: Signals) -> int:
    """What a replica draws for a key: whoever draws most is chosen, so another replica more moves only what it takes."""
    return mixed(mixed((key + 7919 * salt) % 2**31) ^ mixed((replica.serial + 1) % 2**31))


def drawn(ready: list[Signals], key: int, salt: int) -> Signals:
    return max(ready, key=lambda each: luck(key, salt, each))


def with_place(worth: Callable[[Signals], float]) -> Router:
    """The one of least worth among those with a free place, the fewest outstanding of equals."""

    def chosen(ready: list[Signals], request: Request) -> Signals:
        free = [each for each in ready if each.has_place()]
        return min(free, key=lambda each: (worth(each), each.outstanding)) if free else least_outstanding(ready)

    return chosen


def not_overloaded(ready: list[Signals]) -> list[Signals]:
    least = least_outstanding(ready).outstanding
    return [each for each in ready if each.outstanding <= 8 + least + least // 2]


def power_of_two(ready: list[Signals], request: Request) -> Signals:
    one, other = drawn(ready, request.id, 1), drawn(ready, request.id, 2)
    return min(one, other, key=lambda each: each.outstanding)


def session_sticky(ready: list[Signals], request: Request) -> Signals:
    return least_outstanding(ready) if request.session < 0 else drawn(ready, request.session, 3)


def adapter_affinity(ready: list[Signals], request: Request) -> Signals:
    return drawn(not_overloaded(ready), request.adapter, 4) if request.adapter else least_outstanding(ready)


def model_affinity(ready: list[Signals], request: Request) -> Signals:
    def detour(each: Signals) -> int:
        if each.model == request.model:
            return each.outstanding
        return 2 * each.outstanding + each.max_num_seqs // 8 + (0 if each.resident else 4)

    return min(ready, key=detour)


ROUTERS: dict[str, Router] = {
    "random": lambda ready, request: drawn(ready, request.id, 1),
    "power_of_two": power_of_two,
    "session_sticky": session_sticky,
    "adapter_affinity": adapter_affinity,
    "model_affinity": model_affinity,
    "least_outstanding": least_outstanding,
    "nearest": with_place(lambda each: each.round_trip_s),
    "cheapest_first": with_place(lambda each: each.usd_per_hour),
    "greenest": with_place(lambda each: each.grams_per_kwh),
    "follow_the_sun": with_place(lambda each: -each.sun),
    "prefix_aware": lambda ready, _: min(
        not_overloaded(ready), key=lambda each: (-each.cached_tokens, each.outstanding)
    ),
    "least_kv_used": lambda ready, _: min(ready, key=lambda each: (each.kv_used, each.outstanding)),
    "least_prompt_work": lambda ready, _: min(
        ready, key=lambda each: (each.queued_tokens * each.prompt_token_s, each.outstanding)
    ),
    "fastest_weighted": lambda ready, _: min(ready, key=lambda each: (each.outstanding + 1) * each.prompt_token_s),
}
"""By name; of those that are alike the first is chosen, and they come by index. `round_robin` is one of turns."""
