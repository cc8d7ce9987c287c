"""Time of steps and of leaps over many of them, and the histogram of inter-token latencies.

Not here: which sequences are in a step (`forming.py`). Read `kvcache.py` next.
"""

import math

from infersim.dataplane.jit import compiled, inlined
from infersim.dataplane.tally import ITL_BINS, ITL_FLOOR_S, ITL_GROWTH

_LOG_GROWTH = math.log(ITL_GROWTH)
NEAR = 8
"""Bins that are compared before a logarithm is taken."""


@inlined
def leap_end(start_s, base_s, slope_s, context, batch, steps):
    """When the `steps`-th step of a leap ends [s]: step j (from 0) takes base + slope * (context + j * batch)."""
    return start_s + (steps * base_s + slope_s * (steps * context + batch * (steps * (steps - 1) // 2)))


@compiled
def steps_until(start_s, base_s, slope_s, context, batch, most, when_s):
    """Fewest steps, 1 to `most`, after which a leap has reached `when_s`; `most` if it never does."""
    curve = 0.5 * slope_s * batch
    linear = base_s + slope_s * context - curve
    span = when_s - start_s
    root = linear + math.sqrt(linear * linear + 4.0 * curve * max(span, 0.0))
    steps = most
    if root > 0.0 and 2.0 * span < most * root:
        steps = max(1, math.ceil(2.0 * span / root))
    while steps > 1 and leap_end(start_s, base_s, slope_s, context, batch, steps - 1) >= when_s:
        steps -= 1
    while steps < most and leap_end(start_s, base_s, slope_s, context, batch, steps) < when_s:
        steps += 1
    return steps


@compiled
def itl_bin(latency_s, edges):
    """Bin of an inter-token latency: the number of `edges` at or below it."""
    if latency_s < ITL_FLOOR_S:
        return 0
    k = min(ITL_BINS - 1, 1 + int(math.log(latency_s / ITL_FLOOR_S) / _LOG_GROWTH))
    while k > 0 and edges[k - 1] > latency_s:
        k -= 1
    return _bin_above(k, latency_s, edges)


@inlined
def _bin_above(k, latency_s, edges):
    """Bin of a latency that is in bin `k` or above."""
    while k < ITL_BINS - 1 and edges[k] <= latency_s:
        k += 1
    return k


@inlined
def _bin_near(k, latency_s, edges):
    """Bin of a latency that is likely to be near bin `k`; a logarithm takes longer than a few comparisons."""
    low = max(k - NEAR, 0)
    if (low > 0 and latency_s < edges[low]) or latency_s >= edges[min(k + NEAR, ITL_BINS - 2)]:
        return itl_bin(latency_s, edges)
    while k > 0 and edges[k - 1] > latency_s:
        k -= 1
    return _bin_above(k, latency_s, edges)


@inlined
def count_itl(counts, offset, edges, near, first_s, growth_s, steps, batch):
    """Add `batch` latencies for each of `steps` steps; they take first_s, first_s + growth_s and so on.

    Returns the bin of the first, which is likely to be near bin `near`.
    """
    low = _bin_near(near, first_s, edges)
    last_s = first_s + growth_s * (steps - 1)
    if steps == 1 or last_s < edges[min(low, ITL_BINS - 2)]:
        counts[offset + low] += steps * batch
    else:
        _count_over_bins(counts, offset, edges, low, first_s, last_s, growth_s, steps, batch)
    return low


@compiled
def _count_over_bins(counts, offset, edges, low, first_s, last_s, growth_s, steps, batch):
    """Add latencies that grow over the bins from `low` on."""
    high = _bin_above(low, last_s, edges)
    below = 0
    for k in range(low, high):
        upto = min(steps, max(below, math.ceil((edges[k] - first_s) / growth_s)))
        counts[offset + k] += (upto - below) * batch
        below = upto
    counts[offset + high] += (steps - below) * batch
