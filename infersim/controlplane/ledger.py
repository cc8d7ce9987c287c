"""What the control plane writes down: leases (a replica's life, for the bill), samples (the timeline) and events.

Not here: money (`infersim/results/money.py`). Read `pool.py` for who writes.
"""

from typing import TYPE_CHECKING

import numpy as np

from infersim.controlplane.replica import Replica
from infersim.cost.energy import usage

if TYPE_CHECKING:
    from infersim.controlplane.pool import Pool

LEASE = np.dtype(
    [
        ("replica", np.int64),  # serial number, from 0 in order of request
        ("pool", np.int64),
        ("requested_s", np.float64),  # asked for
        ("billed_from_s", np.float64),  # the machine is ours: billing starts
        ("ready_s", np.float64),  # serves; NaN if it never did
        ("draining_s", np.float64),  # takes no more requests; NaN if it never drained
        ("closed_s", np.float64),  # billing ends (the end of the run at the latest)
        ("rounding_s", np.float64),  # billed beyond that: minimum period, whole steps
        ("source", np.int64),  # which of the pool's sources it came from
        ("busy_s", np.float64),  # seconds in steps
        ("steps", np.int64),
        ("requests", np.int64),  # requests that ended here
        ("output_tokens", np.int64),  # tokens generated here
    ],
    align=True,
)
"""One replica's life. A replica that was ready at the start has requested_s = billed_from_s = ready_s = 0."""

SAMPLE = np.dtype(
    [
        ("time_s", np.float64),
        ("pool", np.int64),
        ("starting", np.int64),  # replicas that are paid for or on their way, not ready
        ("ready", np.int64),
        ("draining", np.int64),
        ("held", np.int64),  # requests without a replica of the pool's role; the whole service, repeated for each pool
        ("waiting", np.int64),  # requests in replicas' queues or front ends
        ("running", np.int64),  # requests in batches
        ("kv_blocks_used", np.int64),
        ("kv_blocks", np.int64),  # of ready and draining replicas
        ("arrived", np.int64),  # requests routed to this pool so far
        ("ended", np.int64),  # requests ended in this pool so far
        ("busy_s", np.float64),  # so far
        ("up_s", np.float64),  # replica-seconds ready or draining so far
        ("billed_s", np.float64),  # replica-seconds billed so far
        ("output_tokens", np.float64),  # so far
        ("prompt_tokens", np.float64),  # so far, as processed
        ("joules", np.float64),  # chips' energy so far, before PUE
        ("flops", np.float64),  # arithmetic so far
        ("memory_bytes", np.float64),  # memory traffic so far
        ("compute_s", np.float64),  # busy seconds so far by what bounded them; the six sum to busy_s
        ("memory_s", np.float64),
        ("network_s", np.float64),
        ("launch_s", np.float64),
        ("slowed_s", np.float64),
        ("switching_s", np.float64),
    ],
    align=True,
)
"""The state of one pool at one moment; counters run from the start."""

EVENT_COLUMNS = ("time_s", "kind", "pool", "replica", "detail")
"""kind is one of: scale (detail says from, to and why), limited (detail says what was wanted, and what the most is); of
a replica's life, with the seconds that it took: requested, refused (who had no machine, and why), provisioned, image,
loaded, initialised, warm, taken, awake, ready, paced, draining, reclaimed, failed, closed; outage, power_cap, upgrade."""


def lease_row(pool: "Pool", replica: Replica) -> np.void:
    """A replica's row for the bill, up to now if it has not been given back."""
    if replica.index is not None:
        pool.count_work(replica)
    row = np.zeros(1, LEASE)[0]
    row["replica"], row["pool"] = replica.serial, pool.number
    row["source"] = 0 if replica.source is None else replica.source.number
    for name, value in replica.lease.items():
        row[name] = value
    for name in ("billed_from_s", "closed_s"):
        if np.isnan(row[name]):
            row[name] = pool.env.now
    return row


def sample_row(pool: "Pool") -> np.void:
    """The pool's row for the timeline."""
    fleet, now = pool.env.fleet, pool.env.now
    held, tally = fleet.observe(pool.number)
    live = [replica.seconds(now) for replica in (*pool.starting, *pool.serving, *pool.leaving, *pool.warm)]
    billed_s = pool.past_billed_s + sum(billed for billed, _ in live)
    up_s = pool.past_up_s + sum(up for _, up in live)
    row = np.zeros(1, SAMPLE)[0]
    row["time_s"], row["pool"] = now, pool.number
    row["starting"] = len(pool.starting) + len(pool.warm)
    row["ready"], row["draining"] = held.ready, held.draining
    row["held"], row["waiting"], row["running"] = fleet.held_for(pool.number), held.waiting, held.running
    row["kv_blocks_used"], row["kv_blocks"] = held.kv_blocks_used, held.kv_blocks
    row["arrived"], row["ended"] = held.routed, held.ended
    row["busy_s"], row["up_s"], row["billed_s"] = tally.busy_s, up_s, billed_s
    row["output_tokens"], row["prompt_tokens"] = tally.output_tokens, tally.prompt_tokens
    used = usage(pool.tables, tally)
    row["joules"] = used.dynamic_j - pool.saved_j(used.dynamic_j) + pool.tables.idle_w * billed_s
    for name in (
        "flops",
        "memory_bytes",
        "compute_s",
        "memory_s",
        "network_s",
        "launch_s",
        "slowed_s",
        "switching_s",
    ):
        row[name] = getattr(used, name)
    return row
