"""The prefix cache against an ordered dictionary, and against the published reuse of a real trace.

Who may use what is found in it is held to the twin (`tests/twin`).
"""

import json
import os
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from numpy.typing import NDArray

from infersim.dataplane.prefix import evict_down_to, find_entry, insert_entry, release_entry, use_entry
from infersim.dataplane.records import NONE
from tests.dataplane.driven import Cache

SHARED = Path(os.environ.get("INFERSIM_SHARED", Path(__file__).parents[3] / "shared"))
TRACE = SHARED / "traces" / "mooncake" / "conversation_trace.jsonl"
CURVE = {
    1_000: 0.0445,
    5_000: 0.1104,
    10_000: 0.2112,
    20_000: 0.2875,
    30_000: 0.3257,
    50_000: 0.3546,
    100_000: 0.3637,
    200_000: 0.3664,  # more than the 182,790 distinct blocks: nothing is ever evicted
}
"""Blocks that fit: share of the conversation trace's blocks that are found, from `shared/traces/README.md`."""


@pytest.fixture(scope="module")
def conversation() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Names of all blocks, and how many each request has."""
    if not TRACE.exists():
        pytest.skip(f"needs {TRACE.name} of the shared traces (set INFERSIM_SHARED)")
    rows = [json.loads(line)["hash_ids"] for line in TRACE.read_text().splitlines()]
    return np.concatenate(rows).astype(np.int64), np.array([len(row) for row in rows])


@pytest.mark.parametrize("capacity", CURVE)
def test_hits_of_the_mooncake_conversations(conversation: tuple[NDArray[np.int64], NDArray[np.int64]], capacity: int):
    names, blocks = conversation
    known = Cache(capacity + int(blocks.max())).serve(names, blocks, capacity)
    assert round(known.sum() / len(names), 4) == CURVE[capacity]


@pytest.mark.parametrize("capacity", CURVE)
def test_host_memory_makes_one_cache_of_two(conversation: tuple[NDArray[np.int64], NDArray[np.int64]], capacity: int):
    """A quarter of the blocks on the chip, the others in host memory: what the chip evicts is newer than all there."""
    names, blocks = conversation
    chip = capacity // 4
    cache = Cache(capacity + int(blocks.max()), host=capacity - chip)
    known = cache.serve(names, blocks, chip)
    assert round(known.sum() / len(names), 4) == CURVE[capacity]
    assert cache.state[0].hosted == min(capacity, len(np.unique(names))) - chip


def least_recently_used(requests: list[list[int]], capacity: int) -> tuple[list[int], list[int]]:
    """Known blocks of each request and the names left, from an ordered dictionary."""
    cache: OrderedDict[int, None] = OrderedDict()
    known = []
    for names in requests:
        known.append(next((i for i, name in enumerate(names) if name not in cache), len(names)))
        for name in names:
            cache[name] = None
            cache.move_to_end(name)
        while len(cache) > capacity:
            cache.popitem(last=False)
    return known, list(cache)


@given(
    st.lists(st.lists(st.integers(0, 12), max_size=5, unique=True), max_size=40),
    st.integers(0, 12),
    st.integers(-(2**63), 2**63 - 13),
)
@settings(max_examples=200, deadline=None)
def test_it_is_least_recently_used(requests: list[list[int]], capacity: int, first_name: int):
    """Whatever the names are: any integer may be one."""
    requests = [[first_name + name for name in names] for names in requests]
    cache = Cache(capacity + 5)
    flat = np.array([name for names in requests for name in names], np.int64)
    known = cache.serve(flat, np.array([len(names) for names in requests], np.int64), capacity)
    assert (known.tolist(), cache.idle()) == least_recently_used(requests, capacity)


class CacheInUse(RuleBasedStateMachine):
    """Entries in use never go, idle ones go by age, and room that is given back is used again."""

    ROOM = 7
    NAMES = st.integers(0, 20).map(lambda number: number * 0x9E3779B97F4A7C15 % 2**63)

    def __init__(self) -> None:
        super().__init__()
        self.cache = Cache(self.ROOM)
        self.users: dict[int, int] = {}
        self.idle: OrderedDict[int, None] = OrderedDict()

    def entry(self, name: int) -> int:
        return find_entry(self.cache.entries, self.cache.table, name)

    @rule(name=NAMES)
    def use(self, name: int) -> None:
        state, entry = self.cache.state[0], self.entry(name)
        if entry == NONE:
            if len(self.users) + len(self.idle) == self.ROOM:
                return
            insert_entry(state, self.cache.entries, self.cache.table, name, NONE)
        else:
            assert use_entry(state, self.cache.entries, entry) == (name in self.idle)
        self.idle.pop(name, None)
        self.users[name] = self.users.get(name, 0) + 1

    @precondition(lambda self: self.users)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.users)))
        self.users[name] -= 1
        is_idle = release_entry(self.cache.state[0], self.cache.entries, self.entry(name))
        assert is_idle == (self.users[name] == 0)
        if is_idle:
            del self.users[name]
            self.idle[name] = None

    @rule(most=st.integers(0, ROOM))
    def evict(self, most: int) -> None:
        evict_down_to(self.cache.state[0], self.cache.entries, self.cache.table, most)
        while len(self.idle) > most:
            self.idle.popitem(last=False)

    @invariant()
    def it_holds_what_it_should(self) -> None:
        assert self.cache.idle() == list(self.idle)
        assert self.cache.state[0].idle == len(self.idle)
        assert np.count_nonzero(self.cache.table) == len(self.users) + len(self.idle)
        for name, users in self.users.items():
            assert self.cache.entries[self.entry(name)].users == users


TestCacheInUse = CacheInUse.TestCase
TestCacheInUse.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
