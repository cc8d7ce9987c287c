"""The random cases visit the corners, and combine everything with everything.

Not here: that loop and twin agree on them (`test_twin.py`).
"""

import math
from collections import Counter
from collections.abc import Callable
from itertools import combinations, product

import numpy as np
import pytest

from infersim.dataplane.records import FINISHED, REJECTED
from tests import naive
from tests.naive_forming import Forming
from tests.naive_memory import Memory, PrefixCache
from tests.naive_replica import Replica
from tests.naive_sequence import Sequence
from tests.twin.cases import SCENARIOS, random_case
from tests.twin.choices import Choice, choices_of, kinds, never_together


def test_the_cases_visit_the_corners(monkeypatch: pytest.MonkeyPatch):
    """How many of 300 cases show each; what leaves no trace in the outcomes is noted as the twin does it."""
    seen: set[str] = set()

    def note(owner: type, method: str, name: str, happens: Callable[..., object]) -> None:
        original = getattr(owner, method)

        def noted(self, *arguments, **keywords):
            if happens(self, *arguments):
                seen.add(name)
            return original(self, *arguments, **keywords)

        monkeypatch.setattr(owner, method, noted)

    def computed_twice(memory: Memory, sequence: Sequence) -> bool:
        complete = int(sequence.computed // (memory.pool.prefix_tokens or math.inf))
        return any(memory.cache.has(name) for name in sequence.request.names[len(memory.entries[sequence]) : complete])

    note(Forming, "admit", "set aside", lambda forming, _: forming.aside)
    note(
        Forming,
        "admit",
        "passed by another model's",
        lambda forming, head: any(each.request.model != head.request.model for each in forming.aside),
    )
    note(PrefixCache, "evict_down_to", "eviction", lambda cache, most: len(cache.idle) > most)
    note(PrefixCache, "use", "sharing", lambda cache, name: name in cache.users)
    note(Memory, "name_blocks", "the same prefix computed twice", computed_twice)
    note(Replica, "preempt", "swap", lambda replica, sequence, _: replica.pool.swap and sequence.decoding())
    note(Replica, "preempt", "recomputation", lambda replica, sequence, _: not replica.pool.swap)
    note(Replica, "preempt", "sent, then computed again", lambda replica, *_: replica.pool.role == "decode")
    counts: Counter[str] = Counter()
    for seed in range(300):
        seen.clear()
        case = random_case(seed)
        run = naive.simulate(case)
        rows = run.outcomes
        chunks = sum(tally.prefill_chunks for tally in run.tallies)
        corners = {
            "preemption": (rows["preemptions"] > 0).any(),
            "preempted thrice": (rows["preemptions"] > 2).any(),
            "rejection": (rows["status"] == REJECTED).any(),
            "held": (rows["held_s"] > 0).any(),
            "one token": (rows["output_tokens"] == 1).any(),
            "burst": (np.diff(rows["arrival_s"]) == 0).any(),
            "drain": any(verb == "drain" for _, verb, _ in case.actions),
            "chunks": chunks > (rows["status"] == FINISHED).sum() + rows["preemptions"].sum(),
            "cache hit": (rows["cached_tokens"] > 0).any(),
            "sent": (rows["transfer_s"] > 0).any(),
            "rejected where it is sent": ((rows["status"] == REJECTED) & (rows["output_tokens"] == 1)).any(),
            "chain": case.sequels is not None and (case.sequels["after"] >= 0).any(),
            "never sent": len(rows) < len(case.requests),
            "user": len(rows) > len(case.requests),
            "adapter": (rows["adapter"] > 0).any(),
            "loaded anew": any(tally.adapter_loads > 6 for tally in run.tallies),
            "old signals": case.scrape_s > 0,
            "round trip": any(any(pool.network_s) for pool in case.pools),
            "choosy pool": any(not all(pool.takes) for pool in case.pools),
            "own batching": any(pool.batching == "own" for pool in case.pools),
            "switch between models": any(tally.switches for tally in run.tallies),
            "model evicted": any(tally.evictions for tally in run.tallies),
            "own order": any(pool.queue_order == "own" for pool in case.pools),
            "drafts accepted": any(len(set(times)) < len(times) for times in run.token_times),
        }
        counts.update(seen | {name for name, there in corners.items() if there})
    assert sum(naive.simulate(random_case(seed)).near_tie for seed in range(300)) < 3
    rare = {
        "swap": 5,
        "never sent": 5,
        "passed by another model's": 5,
        "set aside": 10,
        "loaded anew": 10,
        "preempted thrice": 5,
        "the same prefix computed twice": 10,
        "eviction": 10,
        "sharing": 10,
    }
    rare |= {"rejected where it is sent": 5, "sent, then computed again": 5}
    expected = dict.fromkeys(corners, 20) | {"recomputation": 20} | rare
    assert {name: counts[name] for name, least in expected.items() if counts[name] < least} == {}


def test_the_cases_combine_everything_with_everything():
    """Every pair of choices meets in at least five pools of the scenarios."""
    pairs: Counter[frozenset[Choice]] = Counter()
    for case in map(random_case, range(SCENARIOS)):
        for pool in case.pools:
            pairs.update(frozenset(pair) for pair in combinations(choices_of(case, pool), 2))
    rare = [
        pair for one, other in combinations(kinds(random_case(0)), 2) for pair in map(frozenset, product(one, other))
        if pairs[pair] < 5
    ]  # fmt: skip
    assert {pair for pair in rare if pair not in never_together()} == set()
    assert all(pairs[pair] == 0 for pair in never_together())
