"""Whom requests are routed to, after any sequence of openings, drainings and closings: the same as found from scratch."""

import random
from dataclasses import replace

import numba
import numpy as np
import pytest

from infersim.dataplane.agenda import rank
from infersim.dataplane.fleet import Fleet
from infersim.dataplane.groups import NOBODY, ROOT, Tree
from infersim.dataplane.layout import replay, tree_of
from infersim.dataplane.records import REQUEST
from infersim.policies.routing import ROUTERS
from infersim.simulate import pool_cost
from tests.controlplane.house import tables


def fleet() -> Fleet:
    cost = pool_cost(tables())
    return Fleet([cost, cost], [], ROUTERS["least_outstanding"].compiled)


@pytest.mark.parametrize("seed", range(4))
def test_one_at_a_time_is_as_from_scratch(seed: int) -> None:
    draw, house = random.Random(seed), fleet()
    ready: list[int] = []
    for _ in range(60):
        if ready and draw.random() < 0.45:
            gone = ready.pop(draw.randrange(len(ready)))
            assert house.drain(gone)
            house.close(gone)
        else:
            ready.append(house.open(draw.randrange(2)))
        arrays = house._arrays
        kept, loads = arrays.routing.routable.tolist(), arrays.routing.loads.entries.tolist()
        arrays.find_routable()
        assert kept == arrays.routing.routable.tolist() == sorted(ready)
        assert loads == arrays.routing.loads.entries.tolist()


@numba.njit
def _ranked(entries, leaves, replicas, keys):
    """Who is first after each change."""
    tree, found = Tree(entries, leaves), np.zeros(len(keys), np.int64)
    for k in range(len(keys)):
        rank(tree, replicas[k], keys[k])
        found[k] = entries[ROOT].replica
    return found


@pytest.mark.parametrize("count", [1, 4, 5, 64, 100])
def test_the_first_of_a_tree_is_the_lowest_of_those_with_the_least_key(count: int) -> None:
    rng = np.random.default_rng(0)
    keys = rng.integers(0, 5, count)
    tree, replayed = tree_of(keys), tree_of(keys)
    changed = rng.integers(count, size=300)
    to = rng.choice([*range(5), NOBODY], size=300)
    found = _ranked(tree.entries, tree.leaves, changed, to)
    for replica, key, first in zip(changed.tolist(), to.tolist(), found.tolist(), strict=True):
        keys[replica] = key
        assert first == np.argmin(keys)
        replay(replayed, replica, key)
        assert replayed.entries.tolist() == tree_of(keys).entries.tolist()
    assert replayed.entries.tolist() == tree.entries.tolist()


def test_draining_twice_changes_nothing() -> None:
    house = fleet()
    first, second = house.open(0), house.open(0)
    for _ in range(2):
        house.drain(first)
        assert house._arrays.routing.routable.tolist() == [second]


def test_the_emptiest_is_the_youngest_on_ties() -> None:
    house = fleet()
    house.open(0, serial=5)
    youngest, other = house.open(0, serial=9), house.open(1, serial=12)
    assert house.emptiest(0) == youngest
    assert house.emptiest(1) == other
    house.drain(other)
    with pytest.raises(ValueError, match="pool 1 has no ready replica"):
        house.emptiest(1)


def test_a_class_that_a_pool_does_not_know_is_refused() -> None:
    """Its round trip would be read beyond the pool's."""
    requests = np.zeros(2, REQUEST)
    requests["id"], requests["input_tokens"], requests["tenant"] = (0, 1), 5, (1, 2)
    cost = replace(pool_cost(tables()), network_s=(0.1, 0.2))
    house = Fleet([cost], [(requests, np.ones(2, np.int64))], ROUTERS["least_outstanding"].compiled)
    with pytest.raises(ValueError, match="request 1 is of class 2, and a pool tells 2 classes apart"):
        house.advance(1.0)
