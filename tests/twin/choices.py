"""What the pools of random cases are made of: every choice that there is, and which of them a pool has made.

Not here: that each meets each other (`test_cases.py`), and the choices themselves (`cases.py`).
"""

from collections.abc import Sequence
from itertools import product

from infersim.dataplane.fleet import PoolCost
from infersim.dataplane.records import BATCHINGS, QUEUE_ORDERS, ROLES
from tests.naive_routing import ROUTERS
from tests.twin.case import Case

Choice = tuple[str, object]

NAMED: dict[str, Sequence[str]] = {
    "router": ("round_robin", *ROUTERS),
    "batching": BATCHINGS,
    "queue order": QUEUE_ORDERS,
    "role": ROLES,
}


def switches_of(case: Case, pool: PoolCost) -> dict[str, bool]:
    """What is there or not."""
    return {
        "watermark": pool.watermark_blocks > 0,
        "promises": pool.promises,
        "swap": pool.swap,
        "prefix cache": pool.prefix_tokens > 0,
        "host tier": pool.host_entries > 0,
        "windows": pool.window_blocks > 0,
        "prompts cost more": len(pool.prompts_s) > 0,
        "async": pool.async_scheduling,
        "front end": pool.request_overhead_s > 0,
        "speculation": len(pool.acceptance) > 0,
        "adapters": pool.adapter_slots > 0,
        "models": len(pool.others) > 0,
        "regions": any(pool.network_s),
        "choosy": not all(pool.takes) or pool.min_input_tokens > 1,
        "full queues": pool.max_queued is not None,
        "old signals": case.scrape_s > 0,
        "rows": bool((case.requests["forks"] > 0).any()),
        "no output": bool((case.outputs == 0).any()),
        "followers": case.sequels is not None,
        "impatience": any(client.timeout_s < 1e9 for client in case.clients),
        "failure": any(verb in ("fail", "lose") for _, verb, _ in case.actions),
    }


def choices_of(case: Case, pool: PoolCost) -> list[Choice]:
    """All that a pool of a case has chosen."""
    named = (case.router, pool.batching, pool.queue_order, pool.role)
    return [*zip(NAMED, named, strict=True), *switches_of(case, pool).items()]


def kinds(case: Case) -> list[list[Choice]]:
    """By kind, what there is to choose from."""
    switches = switches_of(case, case.pools[0])
    return [[(kind, each) for each in NAMED[kind]] for kind in NAMED] + [[(n, False), (n, True)] for n in switches]


def on(*names: str) -> list[Choice]:
    return [(name, True) for name in names]


def never_together() -> set[frozenset[Choice]]:
    """Pairs that the data plane does not know."""
    decode, windows, rows = ("role", "decode"), ("windows", True), ("rows", True)
    pairs = list(product([("batching", each) for each in BATCHINGS[1:]], [decode, ("swap", True)]))
    pairs += [(decode, ("choosy", True)), (("queue order", "fair_share"), ("adapters", True))]
    pairs += product([windows], [decode, ("role", "prefill"), *on("prefix cache", "host tier")])
    pairs += [(("host tier", True), ("prefix cache", False))]
    pairs += [(rows, ("speculation", True))]
    others = [decode, ("role", "prefill"), ("queue order", "fair_share"), *on("adapters", "speculation")]
    pairs += product(on("models"), others)
    return {frozenset(pair) for pair in pairs}
