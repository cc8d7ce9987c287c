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
        ("status", np.int64),  # one of STATUSES; only ready ones are routable
        ("outstanding", np.int64),  # requests routed to it and not ended
        ("waiting", np.int64),  # of those, in its queue
        ("running", np.int64),  # of those, admitted to the batch
        ("queued_tokens", np.int64),  # prompt tokens in its queue
        ("max_num_seqs", np.int64),  # most sequences in its batch
    ],
    align=True,
)
"""What a router may know of a replica; exact at the time of the decision."""

STATUSES = ("closed", "ready", "draining")
CLOSED, READY, DRAINING = range(3)

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
    ],
    align=True,
)
"""What befell a request; the six spans sum to finish_s - arrival_s."""

ENDINGS = ("finished", "rejected")
FINISHED, REJECTED = range(2)

# ---------------------------------------------------------------- the engine's own state

FLIGHT = np.dtype(
    [
        ("output_tokens", np.int64),  # tokens it will generate; nobody but the engine knows
        ("replica", np.int64),  # index of its replica, NONE while held
        ("state", np.int64),  # one of STATES
        ("since_s", np.float64),  # when it entered that state
        ("computed", np.int64),  # tokens in KV; for a decoding sequence, when it joined
        ("generated", np.int64),  # output tokens so far; likewise
        ("joined_at", np.int64),  # its replica's decode counter when it joined
        ("target", np.int64),  # tokens to process before it decodes: prompt, after a preemption also its output
        ("chunk", np.int64),  # of those, in the step that runs now
        ("next", np.int64),  # next in its list: held, queue or batch
        ("previous", np.int64),  # previous in the batch
        ("last_token_s", np.float64),  # when it was preempted after its last token, NaN otherwise
        ("first_token_s", np.float64),
        ("held_s", np.float64),
        ("handling_s", np.float64),
        ("queued_s", np.float64),
        ("prefill_s", np.float64),
        ("decode_s", np.float64),
        ("preempted_s", np.float64),
        ("preemptions", np.int64),
    ],
    align=True,
)
"""A request in flight, in a slot that is used again when it has ended."""

STATES = ("held", "handling", "queued", "prefill", "decode", "preempted")
HELD, HANDLING, QUEUED, PREFILL, DECODE, PREEMPTED = range(6)

SERVER = np.dtype(
    [
        ("serial", np.int64),  # number of this replica's life; an index serves several lives
        ("start_s", np.float64),  # start of the step or leap that runs
        ("last_start_s", np.float64),  # start of the step that ended last, inf if the replica was idle
        ("steps", np.int64),  # steps in the leap that runs, 0 if none runs
        ("mixed", np.bool_),  # whether that step holds prompt chunks
        ("base_s", np.float64),  # decode step time is base_s + slope_s * context
        ("slope_s", np.float64),
        ("decoded", np.int64),  # decode steps so far: the clock of finishes and block claims
        ("batch", np.int64),  # decoding sequences
        ("context", np.int64),  # attended context of the next decode step, summed over them
        ("kv_free", np.int64),  # free KV blocks
        ("batch_head", np.int64),  # the batch in order of admission: first ...
        ("batch_tail", np.int64),  # ... and last
        ("prefilling", np.int64),  # first sequence of the batch whose prompt is not yet processed
        ("queue_head", np.int64),
        ("queue_tail", np.int64),
        ("busy_s", np.float64),
        ("total_steps", np.int64),
        ("requests", np.int64),  # ended here
        ("output_tokens", np.int64),  # generated here
    ],
    align=True,
)
"""What the engine keeps of a replica, beside the signals in REPLICA."""

TABLE = np.dtype(
    [
        ("linear", np.int64),  # where each table of the pool starts in the flat arrays of times ...
        ("sequences", np.int64),
        ("decode_base", np.int64),
        ("decode_per_context", np.int64),
        ("by_tokens", np.int64),  # ... and each histogram in the flat array of counts
        ("by_sequences", np.int64),
        ("by_batch", np.int64),
        ("context_by_batch", np.int64),
        ("itl", np.int64),
        ("prefill_chunk_s", np.float64),
        ("prefill_per_pair_s", np.float64),
        ("prefill_per_context_s", np.float64),
        ("request_overhead_s", np.float64),
        ("token_overhead_s", np.float64),
        ("block_size", np.int64),
        ("blocks", np.int64),
        ("max_num_seqs", np.int64),
        ("max_num_batched_tokens", np.int64),
        ("max_context", np.int64),
        ("async_scheduling", np.bool_),
        ("prefill_chunks", np.float64),  # counts of the whole pool from here on
        ("prefill_pairs", np.float64),
        ("prefill_context", np.float64),
        ("prefill_compute_s", np.float64),
        ("prefill_memory_s", np.float64),
        ("busy_s", np.float64),
        ("itl_sum_s", np.float64),
        ("routed", np.int64),
        ("ended", np.int64),
        ("output_tokens", np.int64),
    ],
    align=True,
)
"""Cost and counts of a pool."""

CLOCK = np.dtype(
    [
        ("now_s", np.float64),
        ("cursor", np.int64),  # next request of the chunk
        ("last_chunk", np.bool_),  # whether no chunk follows
        ("in_flight", np.int64),
        ("free_slots", np.int64),  # top of the stack of free slots
        ("held", np.int64),
        ("held_head", np.int64),
        ("held_tail", np.int64),
        ("pending", np.int64),  # requests in front ends
        ("routed", np.int64),  # requests routed so far
        ("outcomes", np.int64),  # rows filled in the buffer
        ("culprit", np.int64),  # replica or request that a wake is about
        ("finished", np.bool_),  # whether FINISHED has been reported
    ],
    align=True,
)
"""The loop's own state."""
