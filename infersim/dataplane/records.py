"""The records that the compiled loop works on: one dtype is the loop's struct and the data frame's columns.

What a client sent (REQUEST) and what befell it (OUTCOME) are different dtypes, so a router that peeks at the output
length does not compile. Not here: how they change (`sequences.py`). Read `abi.py` next.
"""

import numpy as np

NONE = -1
"""No slot, no replica."""

ALL = 1 << 62
"""An index that no replica has."""

LINE = 64
"""Bytes that the processor's caches keep together."""


def in_lines(fields: list[tuple[str, type]]) -> np.dtype:
    """A record of whole cache lines, so that fields that are used together can be fetched together."""
    own = np.dtype(fields, align=True)
    kinds, places = zip(*(own.fields[name][:2] for name in own.names), strict=True)
    size = -(-own.itemsize // LINE) * LINE
    return np.dtype({"names": own.names, "formats": kinds, "offsets": places, "itemsize": size}, align=True)


REQUEST = np.dtype(
    [
        ("id", np.int64),  # position in the workload, from 0
        ("arrival_s", np.float64),  # when the client sent it [s]
        ("input_tokens", np.int64),  # prompt length [tokens]
        ("tenant", np.int64),  # index of its class
        ("forks", np.int64),  # further samples or beams that share its prompt, 0 for most
        ("adapter", np.int64),  # number of its adapter, 0 for none
        ("model", np.int64),  # number of the model that it asks for, 0 where there is one
        ("priority", np.int64),  # higher is served first where the queue order is priority
        ("deadline_s", np.float64),  # time after arrival by which it should have begun [s]
        ("session", np.int64),  # requests of one conversation share it; -1 for none
        ("prefix_start", np.int64),  # where the names of its prefix blocks begin in the chunk's `prefixes`
        ("prefix_blocks", np.int64),  # how many of its prompt blocks have names
        ("adapter_rank", np.int64),  # and its rank
    ],
    align=True,
)
"""What a client sent; all that a router may know of a request."""

REPLICA = in_lines(
    [
        ("pool", np.int64),  # index of its pool
        ("status", np.int64),  # one of STATUSES; only ready ones are routable
        ("outstanding", np.int64),  # requests routed to it and not ended
        ("waiting", np.int64),  # of those, in its front end or queue
        ("running", np.int64),  # of those, admitted to the batch
        ("queued_tokens", np.int64),  # prompt tokens in its front end and queue
        ("serial", np.int64),  # number of its life; unlike its index, which serves several lives, never used again
        ("asked", np.int64),  # number of the model that its last request asked for; its first before any
        ("max_num_seqs", np.int64),  # most sequences in its batch
        ("prompt_token_s", np.float64),  # least time that a prompt token takes it [s]
        ("usd_per_hour", np.float64),  # its price
        ("grams_per_kwh", np.float64),  # carbon intensity of its region's electricity now
        ("sun", np.float64),  # height of the sun over its region now: cosine of the hour angle, 1 at noon
        ("network_s", np.float64),  # round trip from this request's region; only for `network`
        ("kv_blocks", np.int64),  # KV blocks that it has
        ("kv_blocks_used", np.int64),  # and uses; kept only for routers that declare `kv`
        ("cached_tokens", np.int64),  # prompt tokens of this request in its prefix cache; only for `prefix`
        ("model", np.int64),  # number of its active model
        ("resident", np.int64),  # 1 if it has the weights of this request's model, else 0; only for `models`
    ]
)
"""What a router may know of a replica; exact at the time of the decision, unless the scenario makes it older."""

STATUSES = ("closed", "ready", "draining")
CLOSED, READY, DRAINING = range(3)

OUTCOME = np.dtype(
    [
        ("id", np.int64),
        ("arrival_s", np.float64),
        ("input_tokens", np.int64),
        ("output_tokens", np.int64),  # tokens generated, of one sample where there are several
        ("forks", np.int64),  # further samples or beams
        ("adapter", np.int64),  # number of its adapter, 0 for none
        ("tenant", np.int64),  # index of its class
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
        ("transfer_s", np.float64),  # after its prompt, on the way to a decode replica
        ("preemptions", np.int64),
        ("cached_tokens", np.int64),  # prompt tokens found in the prefix cache when it was first admitted
        ("host_cached_tokens", np.int64),  # those of them that were in host memory
        ("away_s", np.float64),  # its client waiting to try again
        ("retries", np.int64),  # attempts beyond the first
        ("wasted_tokens", np.int64),  # processed for attempts that did not finish
        ("step", np.int64),  # of a cascade: the model that it ended at, from 0;
        ("cascade_s", np.float64),  # time with those before it,
        ("discarded_tokens", np.int64),  # tokens of their prompts and answers; all 0 until questions are put together
    ],
    align=True,
)
"""What befell a request; the nine spans sum to finish_s - arrival_s."""

ENDINGS = (
    "finished", "rejected", "lost", "timed_out", "queue_full", "service_full", "rate_limited", "overloaded",
)  # fmt: skip
FINISHED, REJECTED, LOST, TIMED_OUT, QUEUE_FULL, SERVICE_FULL, RATE_LIMITED, OVERLOADED = range(8)
"""How an attempt ends: served, too long ever to be served, with its replica, given up, or turned away (four reasons)."""
UNANSWERED = (1 << len(ENDINGS)) - 1 - (1 << FINISHED)
"""Bits of all endings but the first."""

BATCHINGS = ("chunked_prefill", "prefill_first", "static", "dynamic", "own")
CHUNKED_PREFILL, PREFILL_FIRST, STATIC, DYNAMIC, OWN_BATCHING = range(5)

ADMISSIONS = ("nobody", "anybody", "whole prompts")
NOBODY, ANYBODY, WHOLE = range(3)

ASKED = ("router", "queue order", "batching policy")
ROUTER, QUEUE_ORDER, BATCHING = range(3)
"""Who is asked by the loop, and may fail."""

QUEUE_ORDERS = ("fcfs", "priority", "shortest_job", "earliest_deadline", "shortest_predicted", "fair_share", "own")
FCFS, PRIORITY, SHORTEST_JOB, EARLIEST_DEADLINE, SHORTEST_PREDICTED, FAIR_SHARE, OWN_ORDER = range(7)

EVICTIONS = ("lru", "cost_aware")
LRU, COST_AWARE = range(2)

SWITCH = np.dtype(
    [
        ("time_s", np.float64),  # when it began [s]
        ("seconds", np.float64),  # how long it was to take [s]
        ("pool", np.int64),  # index of its pool
        ("replica", np.int64),  # serial number of the replica
        ("before", np.int64),  # number of the model that was active,
        ("model", np.int64),  # and of the one that it leads to
        ("evicted", np.int64),  # how many models made room for its weights
        ("loaded", np.bool_),  # whether these had to be loaded
    ],
    align=True,
)
"""One replica's switch from one of its models to another."""

ROLES = ("both", "prefill", "decode")
BOTH, PREFILL_ONLY, DECODE_ONLY = range(3)

SEQUEL = np.dtype(
    [
        ("after", np.int64),  # id of the first request that it follows, NONE if none; in the loop, where they stand
        ("joins", np.int64),  # how many it follows
        ("unless", np.int64),  # bits of the endings of any of them for which it is not sent, by number in ENDINGS
        ("gap_s", np.float64),  # how long after the last of them has ended it arrives [s]
        ("source", np.int64),  # the source whose user sent it, NONE if none
        ("late", np.bool_),  # whether it is sent after the last arrival, too
    ],
    align=True,
)
"""What a request follows, and whose it is."""

STATE = np.dtype(
    [
        ("pool", np.int64),  # index of its pool
        ("now_s", np.float64),  # the time at which the step is formed [s]
        ("steps", np.int64),  # steps that it has run
        ("waiting", np.int64),  # rows in its queue: one for each request, and one for each further sample or beam
        ("waiting_tokens", np.int64),  # prompt tokens in its queue
        ("head_tokens", np.int64),  # of those, the first request's; 0 without one
        ("head_wait_s", np.float64),  # for how long that has been queued [s]
        ("running", np.int64),  # rows in its batch, those that prompts will have included
        ("decoding", np.int64),  # of those, rows that decode
        ("context", np.int64),  # attended context of their next step, summed
        ("prefilling_tokens", np.int64),  # prompt tokens that are left of the partly processed prompt
        ("kv_free", np.int64),  # KV blocks that nobody uses, idle prefixes among them
        ("kv_blocks", np.int64),  # KV blocks that it has
        ("block_size", np.int64),  # tokens in a KV block
        ("max_num_seqs", np.int64),  # most rows in its batch
        ("max_num_batched_tokens", np.int64),  # most tokens in a step
    ],
    align=True,
)
"""What a batching policy knows of a replica: what its scheduler sees, and nothing of what is to come."""
