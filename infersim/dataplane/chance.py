"""Chance without a generator: a uniform number that depends only on what it is asked for.

So the luck of one request never depends on what happens to another. Routers use it too.
"""

import math

import numpy as np
from numpy.typing import NDArray

from infersim.dataplane.jit import called

_MASK = 0x7FFFFFFF


@called
def mixed(x):
    """A hash of 31 bits of an x below 2^31 (multipliers by C. Wellons, hash prospector)."""
    x = ((x >> 16) ^ x) * 0x21F0AAAD & _MASK
    x = ((x >> 15) ^ x) * 0x735A2D97 & _MASK
    return (x >> 15) ^ x


def scattered(numbers: NDArray[np.int64], salt: int = 0) -> NDArray[np.uint64]:
    """A hash of 64 bits of each number; other salts give independent ones.

    The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
    """
    x = numbers.astype(np.uint64) + np.uint64((salt + 1) * 0x9E3779B97F4A7C15 % 2**64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@called
def uniform(first, second, third):
    """A number in [0, 1) for three integers."""
    x = mixed(first & _MASK)
    x = mixed((x ^ second) & _MASK)
    return mixed((x + 0x3C6EF372 + third) & _MASK) / 2147483648.0


@called
def accepted_drafts(request, generated, most, table, values):
    """How many of `most` draft tokens are accepted behind the first `generated` output tokens of a request."""
    accepted = 0
    while accepted < most and uniform(request, generated, accepted) < values[table.acceptance + accepted]:
        accepted += 1
    return accepted


@called
def normal(first, second):
    """A standard normal number for two integers (Box and Muller 1958)."""
    radius = math.sqrt(-2.0 * math.log(1.0 - uniform(first, second, 0)))
    return radius * math.cos(2.0 * math.pi * uniform(first, second, 1))
