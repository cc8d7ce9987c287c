"""What the control plane writes down: leases (a replica's life, for the bill), samples (the timeline) and events.

Not here: money (`infersim/results/money.py`). Read `pool.py` for who writes.
"""

import numpy as np

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
