"""The records that the engine keeps for itself: requests in flight, clients, replicas, steps, and the clock.

Not here: pools (`pools.py`), what others see of them (`records.py`), and how they change (`sequences.py`). Read `groups.py` next.
"""

import numpy as np

from infersim.dataplane.records import in_lines

ENTRY = np.dtype(
    [
        ("name", np.int64),  # of the prefix block
        ("parent", np.int64),  # entry of the block before it, NONE for the first
        ("users", np.int64),  # sequences in the batch that refer to it, ON_HOST if it is in host memory
        ("older", np.int64),  # idle entries by age, and those on the host by theirs
        ("newer", np.int64),  # (among unused entries: the next one)
    ],
    align=True,
)
"""A prefix block in a replica's cache."""

ON_HOST = -1
"""Instead of users: the entry is in host memory."""

KEYED = np.dtype([("key", np.int64), ("replica", np.int64)], align=True)
"""An entry of a tree over replicas."""

FLIGHT = in_lines(
    [
        # a line that every event of it touches:
        ("output_tokens", np.int64),  # tokens it will generate; nobody but the engine knows
        ("since_s", np.float64),  # when it entered that state
        ("computed", np.int64),  # tokens in KV; for a decoding sequence, when it joined
        ("generated", np.int64),  # output tokens so far; likewise
        ("joined_at", np.int64),  # its replica's decode counter when it joined
        ("target", np.int64),  # tokens to process before it decodes: prompt, after a preemption also its output
        ("next", np.int64),  # next in its list: held, queue or batch; in a sorted queue the right child
        ("state", np.int8),  # one of STATES
        ("growing", np.bool_),  # whether it is to claim blocks of windowed layers, while it decodes
        ("ghost", np.bool_),  # whether its client has given it up while it is in the batch
        ("watched", np.bool_),  # whether there is a CALL that must hear of its end
        ("rows", np.int32),  # rows that it has: one while its prompt is processed, then one for each sample or beam
        # one while it is admitted and its prompt processed:
        ("previous", np.int64),  # previous in the batch; in a sorted queue the left child
        ("queued_s", np.float64),
        ("prefill_s", np.float64),
        ("first_token_s", np.float64),
        ("last_token_s", np.float64),  # when it was preempted after its last token, NaN otherwise
        ("worked", np.int64),  # tokens processed for this attempt, at this replica
        ("admission", np.int64),  # number of its admission at its replica
        ("chunk", np.int32),  # of those, in the step that runs now
        ("cached_tokens", np.int32),  # found in the prefix cache at its first admission, -1 before
        # one at its end:
        ("held_s", np.float64),
        ("handling_s", np.float64),
        ("decode_s", np.float64),
        ("preempted_s", np.float64),
        ("transfer_s", np.float64),
        ("away_s", np.float64),
        ("wasted_tokens", np.int64),  # processed for earlier attempts
        ("preemptions", np.int32),
        ("retries", np.int32),
        # one when it comes:
        ("replica", np.int64),  # index of its replica, NONE while held
        ("key", np.float64),  # place in a sorted queue: smaller first,
        ("order", np.int64),  # then by routing number
        ("source", np.int64),  # the prefill replica that sends it
        ("worked_before", np.int64),  # and at the prefill replica that it came from
        ("entry", np.int32),  # its last prefix cache entry in use, NONE if none
        ("entries", np.int32),  # prefix cache entries in use
        ("place", np.int32),  # of its model among those of its pool
        ("adapter", np.int32),  # slot of its adapter while it is in the batch, NONE if it has none
        ("replays", np.int32),  # how often it was handed back by a replica that failed
        ("begun", np.bool_),  # whether it was admitted, in this attempt, at a replica that failed
        ("swapped", np.bool_),  # whether its computed tokens are in host memory
        ("status", np.int8),  # how it has ended
        # and what is seldom asked for:
        ("above", np.int64),  # in a sorted queue the parent
        ("pool_before", np.int64),  # the pool of that one
        ("host_cached_tokens", np.int32),  # those of them that were in host memory
    ]
)
"""A request in flight, in a slot that is used again when it has ended."""

STATES = (
    "held", "handling", "queued", "prefill", "decode", "preempted", "done", "leaving", "sending", "away", "ahead",
)  # fmt: skip
HELD, HANDLING, QUEUED, PREFILL, DECODE, PREEMPTED, DONE, LEAVING, SENDING, AWAY, AHEAD = range(11)

CALL = np.dtype(
    [
        ("sent_s", np.float64),  # when this attempt began, NaN if it has not arrived yet
        ("alarm_s", np.float64),  # when it comes (again), or loses patience
        ("place", np.int64),  # in the heap of alarms, NONE if not there
        ("wait_s", np.float64),  # its client's last pause before trying again, without jitter
        ("gap_s", np.float64),  # how long after those that it follows it arrives
        ("awaited", np.int64),  # of those, how many have not ended
        ("unless", np.int64),  # bits of the endings of any of them for which it is not sent
        ("late", np.bool_),  # whether it is sent after the last arrival, too
        ("broken", np.bool_),  # whether it will not be sent
        ("heir", np.int64),  # first of those that follow it alone,
        ("sibling", np.int64),  # next of those that follow the same
        ("join", np.int64),  # the one that follows it and others
        ("source", np.int64),  # the source whose user sent it, NONE if none
    ],
    align=True,
)
"""What a client has to do with a request in flight, by slot; kept only where clients are watched."""

CLIENT = np.dtype(
    [
        ("timeout_s", np.float64),  # from the beginning of an attempt to its end
        ("ttft_timeout_s", np.float64),  # and to its first token
        ("max_attempts", np.int64),
        ("backoff_s", np.float64),  # pause after the first attempt
        ("multiplier", np.float64),  # growth of the pause
        ("max_backoff_s", np.float64),
        ("jitter", np.float64),  # share of the pause that chance takes away
        ("tokens_per_s", np.float64),  # rate limit, inf without one
        ("burst_tokens", np.float64),
        ("level_tokens", np.float64),  # of the bucket,
        ("looked_s", np.float64),  # when it was last looked at
    ],
    align=True,
)
"""What the clients of a class put up with, and their rate limit."""

SOURCE = np.dtype(
    [
        ("cursor", np.int64),  # next of its requests, a row of the array of all sources
        ("end", np.int64),
        ("last", np.bool_),  # whether no more follow these
        ("free", np.int64),  # users who are to take a request now
    ],
    align=True,
)
"""Requests that users in a closed loop send one after the other."""

SHARE = np.dtype(
    [
        ("counter", np.int64),  # service that the tenant has had, in weighted tokens
        ("head", np.int64),  # first
        ("tail", np.int64),  # and last of its requests in the queue,
        ("queued", np.int64),  # and how many they are
    ],
    align=True,
)
"""What a replica whose queue is shared fairly keeps of a tenant."""


ADAPTER = np.dtype(
    [
        ("adapter", np.int64),  # number of the adapter that it holds, 0 if none
        ("users", np.int64),  # sequences in the batch that use it
        ("unused_since", np.int64),  # adapter clock of when nobody did any more
        ("seen_at", np.int64),  # adapter clock of the last step that used it
    ],
    align=True,
)
"""A slot of a replica for an adapter."""

MODEL = np.dtype(
    [
        ("queued", np.int64),  # requests in the queue that ask for it
        ("resident", np.bool_),  # whether its weights are in memory
        ("uses", np.int64),  # switches to it since they are
        ("used_at", np.int64),  # model clock of the last of them
        ("worth", np.float64),  # what it costs to lose it (GreedyDual-Size with frequency)
    ],
    align=True,
)
"""A model that a replica may switch to."""


SERVER = in_lines(
    [
        # a line that every step and most arrivals touch:
        ("start_s", np.float64),  # start of the step or leap that runs
        ("base_s", np.float64),  # decode step time is base_s + slope_s * context
        ("slope_s", np.float64),
        ("context", np.int64),  # attended context of the next decode step, summed over the rows
        ("decoded", np.int64),  # decode steps so far: the clock of finishes and block claims
        ("batch", np.int64),  # rows of decoding sequences
        ("steps", np.int64),  # steps in the leap that runs, 0 if none runs
        ("table", np.int32),  # of its pool and active model
        ("switching", np.bool_),  # whether what runs is no step, but a switch to that
        ("mixed", np.bool_),  # whether that step holds prompt chunks
        ("decodes", np.bool_),  # whether decoding sequences are in it
        ("stalled", np.bool_),  # whether decoding sequences sat out the step before
        # one of every step:
        ("last_start_s", np.float64),  # start of the step that ended last, inf if the replica was idle
        ("last_decode_s", np.float64),  # end of the last step with decoding sequences
        ("crossing", np.int64),  # decode count at which the first of them has filled its windows
        ("kv_free", np.int64),  # free KV blocks
        ("decoding", np.int64),  # decoding sequences
        ("prefilling", np.int64),  # first sequence of the batch whose prompt is not yet processed
        ("queue_head", np.int64),
        ("batch_head", np.int64),  # the batch in order of admission: first ...
        # and one more:
        ("busy_s", np.float64),
        ("total_steps", np.int64),
        ("output_tokens", np.int64),  # generated here
        ("slowdown", np.float64),  # factor on the time of its steps,
        ("pace", np.float64),  # and on that of the step that runs
        ("batch_tail", np.int64),  # ... and last
        ("rows", np.int32),  # rows of a static batch that decodes, 0 otherwise
        ("ghosts", np.int32),  # sequences in the batch whose clients have given them up
        ("queued", np.int32),  # rows that the requests in the queue will have
        ("itl_bin", np.int32),  # of the ITL histogram: where the step that ended last began; the next is near it
        # one of arrivals, admissions and ends:
        ("queue_tail", np.int64),  # last of an unsorted queue
        ("coming_tokens", np.int64),  # prompt tokens in its front end alone
        ("admissions", np.int64),  # sequences admitted so far
        ("requests", np.int64),  # ended here
        ("growing", np.int64),  # of those rows, those whose windows are not full
        ("promised", np.int64),  # and those that the batch may come to need, where admissions promise them
        ("forks", np.int64),  # rows that all sequences of the batch have or will have beyond one each
        ("lowest", np.int64),  # a priority that no sequence of the batch is below; kept where the queue goes by it
        # what few pools use:
        ("reported", np.bool_),  # whether it has been said that it is drained
        ("model_clock", np.int64),  # counts switches
        ("inflation", np.float64),  # worth of the model that was evicted last
        ("link_free_s", np.float64),  # when its link to decode replicas is free
        ("last_tenant", np.int64),  # whose request left a fairly shared queue last,
        ("adapter_clock", np.int64),  # counts uses of adapters and their ends
        ("adapters", np.int64),  # adapters in the step that runs,
        ("adapter_tokens", np.int64),  # and tokens of sequences that have one
        ("charged_steps", np.int64),  # and steps of the running leap whose tokens are in the counters
        ("spare", np.int64),  # prefix cache: first of the unused entries,
        ("oldest", np.int64),  # least and
        ("newest", np.int64),  # most recently used idle entry,
        ("idle", np.int64),  # and how many are idle
        ("host_room", np.int64),  # entries that fit into host memory,
        ("hosted", np.int64),  # that are there,
        ("host_oldest", np.int64),  # least
        ("host_newest", np.int64),  # and most recently used of them
    ]
)
"""What the engine keeps of a replica, beside the signals in REPLICA."""

STEP = np.dtype(
    [
        ("free", np.int64),  # KV blocks that are left
        ("reserve", np.int64),  # KV blocks kept for draft tokens that may be accepted
        ("budget", np.int64),  # tokens that are left
        ("sequences", np.int64),  # that have a token in it
        ("attention_s", np.float64),  # of its prompt chunks
        ("copied_blocks", np.int64),  # between chip and host
        ("load_s", np.float64),  # of adapters that it has to load
        ("preemptions", np.int64),
        ("refused", np.bool_),  # whether the batching policy's answer was out of range:
        ("prompt_tokens", np.int64),  # that answer
        ("decode", np.int64),
        ("admit", np.int64),
        ("retry", np.bool_),  # whether the head of the queue may be admitted to the very next step
    ],
    align=True,
)
"""The step that is being formed."""

CLOCK = np.dtype(
    [
        ("now_s", np.float64),
        ("passed", np.int64),  # replicas up to this index have had their turn at that time
        ("cursor", np.int64),  # next request of the chunk
        ("last_chunk", np.bool_),  # whether no chunk follows
        ("in_flight", np.int64),
        ("free_slots", np.int64),  # top of the stack of free slots
        ("held", np.int64),
        ("held_head", np.int64),
        ("held_next", np.int64),  # held request to be looked at next, NONE if all that are left have been
        ("held_tail", np.int64),
        ("leaving_head", np.int64),  # sequences whose prompt is processed and that need a decode replica
        ("leaving_tail", np.int64),
        ("leaving", np.int64),
        ("pending", np.int64),  # requests in front ends and on links
        ("forming", np.int64),  # replica to form a step once those that leave it are sent, or NONE
        ("routed", np.int64),  # requests routed so far
        ("by_load", np.bool_),  # whether the router is least_outstanding, kept as a tree
        ("reads_kv", np.bool_),  # whether the router reads kv_blocks_used
        ("reads_prefix", np.bool_),  # whether the router reads cached_tokens
        ("reads_network", np.bool_),  # whether the router reads network_s
        ("reads_models", np.bool_),  # whether the router reads resident
        ("selective", np.bool_),  # whether some pool takes only some requests
        ("models", np.bool_),  # whether there are several models
        ("scrape_s", np.float64),  # how often the router's signals are read off the replicas, 0 for always
        ("scraped", np.int64),  # how often they have been
        ("outcomes", np.int64),  # rows filled in the buffer
        ("switches", np.int64),  # and in that of switches
        ("culprit", np.int64),  # replica or request that a wake is about
        ("finished", np.bool_),  # whether FINISHED has been reported
        ("asking", np.int64),  # which policy was asked last, one of ASKED,
        ("raised", np.bool_),  # and whether it raised
        ("watching", np.bool_),  # whether clients are watched: patience, retries, rate limits, followers, users
        ("last_arrival_s", np.float64),  # from when on no follower or user sends anything
        ("max_wait_s", np.float64),  # longest that a request waits for its first admission
        ("max_queued", np.int64),  # most requests that wait in the whole service
        ("alarms", np.int64),  # entries in the heap of alarms
        ("ended_head", np.int64),  # requests that have just ended and whose CALL has not heard of it, by id
        ("free_users", np.int64),  # users of all sources who are to take a request now
        ("never_sent", np.int64),  # followers that were not sent
        ("verb", np.int64),  # what the control plane wants done to replica `culprit`
        ("replays", np.int64),  # how often a request may be handed back
        ("recheck", np.bool_),  # whether a draining replica may have become empty
        ("held_anew", np.bool_),  # whether requests have been handed back
        ("ahead", np.bool_),  # whether there are so many replicas that it pays to look ahead
        ("errands", np.bool_),  # whether one of these has to be seen to: verb, ended, users, recheck, held_anew
    ],
    align=True,
)
"""The loop's own state."""
