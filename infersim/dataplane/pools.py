"""The record of a pool: where its tables of times and its counts lie, its limits, and what it has counted.

Not here: how pools are laid out in the flat arrays (`layout.py`), and the other records of the engine (`internal.py`).
"""

import numpy as np

TABLE = np.dtype(
    [
        ("pool", np.int64),  # that it is of; tables of first models come first, in the order of pools
        ("model", np.int64),  # number of its model,
        ("place", np.int64),  # which stands there in its pool's list,
        ("models", np.int64),  # of so many;
        ("others", np.int64),  # the table of the second, behind which the others stand
        ("weight_bytes", np.int64),  # of the model,
        ("load_s", np.float64),  # and how long loading it takes
        ("switch_s", np.float64),  # what every switch takes
        ("turn_s", np.float64),  # from when on nobody passes a request for another model
        ("model_bytes", np.int64),  # memory for weights of resident models
        ("eviction", np.int64),  # one of EVICTIONS
        ("linear", np.int64),  # where each table of the pool starts in the flat arrays of times ...
        ("sequences", np.int64),
        ("decode_base", np.int64),
        ("decode_per_context", np.int64),
        ("by_tokens", np.int64),  # ... and each histogram in the flat array of counts
        ("by_sequences", np.int64),
        ("by_batch", np.int64),
        ("context_by_batch", np.int64),
        ("itl", np.int64),
        ("by_prompt_tokens", np.int64),
        ("prompts", np.int64),  # where the table by prompt tokens starts, NONE without one
        ("mixed_by_tokens", np.int64),
        ("mixed", np.int64),  # where the table of steps with prompts by all tokens starts, NONE without one
        ("prefill_chunk_s", np.float64),
        ("prefill_per_pair_s", np.float64),
        ("prefill_per_context_s", np.float64),
        ("request_overhead_s", np.float64),
        ("token_overhead_s", np.float64),
        ("block_size", np.int64),
        ("block_shift", np.int64),  # its logarithm to base 2, NONE if it is no power of two
        ("blocks", np.int64),
        ("plain_blocks", np.bool_),  # whether each is that of one row and no windows, as everywhere by default
        ("full_blocks", np.int64),  # KV blocks of block_size tokens in layers that keep all,
        ("window_blocks", np.int64),  # and in those that keep a window,
        ("window_limit", np.int64),  # which keep so many times that at most,
        ("window_peak", np.int64),  # and so many while a chunk is processed
        ("max_num_seqs", np.int64),
        ("max_num_batched_tokens", np.int64),
        ("max_context", np.int64),
        ("async_scheduling", np.bool_),
        ("batching", np.int64),  # one of BATCHINGS
        ("max_queue_delay_s", np.float64),
        ("queue_order", np.int64),  # one of QUEUE_ORDERS
        ("prediction_sigma", np.float64),  # standard deviation of log(predicted / true output tokens)
        ("input_weight", np.int64),  # what a prompt token counts in fair sharing,
        ("output_weight", np.int64),  # and an output token
        ("watermark_blocks", np.int64),
        ("promises", np.bool_),  # whether an admission promises all blocks that a sequence may need
        ("draft_tokens", np.int64),  # drafted for each sequence and step, 0 without speculation
        ("draft_blocks", np.int64),  # KV blocks that these may need
        ("acceptance", np.int64),  # where the chances of each to be accepted start in the flat array
        ("role", np.int64),  # one of ROLES
        ("transfer_token_s", np.float64),  # time on its link to decode replicas, for each token
        ("transfer_latency_s", np.float64),  # and for each sequence
        ("swap", np.bool_),  # whether preempted sequences are swapped to the host instead of recomputed
        ("swap_block_s", np.float64),
        ("max_queued", np.int64),  # most requests in a replica's front end and queue
        ("max_queued_work_s", np.float64),  # most prompt work in its queue
        ("usd_per_hour", np.float64),  # signals for routers
        ("grams_per_kwh", np.float64),
        ("sun", np.float64),
        ("classes", np.int64),  # classes of requests that it tells apart, 0 if all are alike to it
        ("network", np.int64),  # where their round trips start in the flat array of times,
        ("takes", np.int64),  # and whether it takes them (1 or 0)
        ("min_input", np.int64),  # shortest and
        ("max_input", np.int64),  # longest prompt that it takes
        ("prompt_token_s", np.float64),
        ("prefix_tokens", np.int64),  # tokens of a prefix block, 0 without a prefix cache
        ("entry_blocks", np.int64),  # KV blocks of a prefix block
        ("host_entries", np.int64),  # prefix blocks that fit into host memory
        ("adapter_slots", np.int64),  # adapters that a replica holds
        ("adapter_rank_s", np.float64),  # time to load one, for each of its ranks
        ("adapter_step_s", np.float64),  # what a step with adapters takes besides:
        ("adapter_read_s", np.float64),  # for each adapter in it,
        ("adapter_token_s", np.float64),  # and for each token of a sequence that has one
        ("prefill_chunks", np.float64),  # counts of the whole pool from here on
        ("adapter_steps", np.float64),  # steps with adapters,
        ("adapter_reads", np.float64),  # adapters in them,
        ("adapter_tokens", np.float64),  # their tokens
        ("adapter_compute_s", np.float64),
        ("adapter_memory_s", np.float64),
        ("adapter_admissions", np.int64),  # of sequences with an adapter,
        ("adapter_loads", np.int64),  # and those of them that had to wait for it
        ("prefill_pairs", np.float64),
        ("prefill_context", np.float64),
        ("prefill_compute_s", np.float64),
        ("prefill_memory_s", np.float64),
        ("busy_s", np.float64),
        ("itl_sum_s", np.float64),
        ("slowed_s", np.float64),  # by how much slow replicas' steps were longer
        ("switches", np.int64),  # to the model,
        ("loads", np.int64),  # those of them with which it was loaded,
        ("evictions", np.int64),  # of the model,
        ("switching_s", np.float64),  # and the seconds of these switches
        ("held", np.int64),  # held requests that the pool would serve; only where there are several models
        ("wasted_tokens", np.int64),  # processed for attempts that did not finish
        ("routed", np.int64),
        ("ended", np.int64),
        ("output_tokens", np.int64),
        ("prompt_tokens", np.float64),
    ],
    align=True,
)
"""Cost and counts of a pool, or of one of several models of a pool."""
