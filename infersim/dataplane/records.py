"""The records that the compiled loop works on: one dtype is the loop's struct and the data frame's columns.

What a client sent (REQUEST) and what befell it (OUTCOME) are different dtypes, so a router that peeks at the output
length does not compile. Not here: how they change (`engine.py`). Read `abi.py` next.
"""

import numpy as np

NONE = -1
"""No slot, no replica."""

REQUEST = np.dtype(
    [
        ("id", np.int64),  # position in the workload, from 0
        ("arrival_s", np.float64),  # when the client sent it [s]
        ("input_tokens", np.int64),  # prompt length [tokens]
    ],
    align=True,
)
"""What a client sent; all that a router may know of a request."""

REPLICA = np.dtype(
    [
        ("pool", np.int64),  # index of its pool
        ("status", np.int64),  # one of STATUSES
        ("outstanding", np.int64),  # requests routed to it and not ended
        ("waiting", np.int64),  # of those, in its queue
        ("running", np.int64),  # of those, admitted to the batch
        ("queued_tokens", np.int64),  # prompt tokens in its queue
        ("max_num_seqs", np.int64),  # most sequences in its batch
    ],
    align=True,
)
"""What a router may know of a replica; exact at the time of the decision."""

STATUSES = ("closed", "starting", "ready", "draining", "failed")
CLOSED, STARTING, READY, DRAINING, FAILED = range(5)

OUTCOME = np.dtype(
    [
        ("id", np.int64),
        ("arrival_s", np.float64),
        ("input_tokens", np.int64),
        ("output_tokens", np.int64),  # tokens generated
        ("pool", np.int64),  # -1 if it was never routed
        ("replica", np.int64),  # serial number of the replica that ended it, -1 if none
        ("status", np.int64),  # one of ENDINGS
        ("first_token_s", np.float64),  # when the first output token left, NaN if none
        ("finish_s", np.float64),  # when it ended [s]
        ("held_s", np.float64),  # waiting for a ready replica
        ("handling_s", np.float64),  # in the engine's front end
        ("queued_s", np.float64),  # in the replica's queue until first admitted
        ("prefill_s", np.float64),  # admitted, prompt not yet processed (again, after a preemption)
        ("decode_s", np.float64),  # producing tokens
        ("preempted_s", np.float64),  # out of the batch again after a preemption
        ("preemptions", np.int64),
        ("retries", np.int64),
    ],
    align=True,
)
"""What befell a request; the six spans sum to finish_s - arrival_s."""

ENDINGS = ("finished", "rejected", "lost")
FINISHED, REJECTED, LOST = range(3)
