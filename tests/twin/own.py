"""A user's queue order and batching policy that try everything; the twin calls them too.

Not here: what the loop makes of their answers (DESIGN.md, "Your own order and batching").
"""


def own_order(pool, request):
    """Neither by arrival nor by length; requests alike stand as they were routed."""
    return float((request.input_tokens * 7 + request.tenant) % 5) - 0.5 * request.priority


def own_shape(pool, state):
    """Decode alone, prompts alone, both, halves of a budget, nothing: in turn, and by all that the state shows."""
    most = state.max_num_batched_tokens
    turn = (state.steps + pool) % 6
    if turn == 0:
        return 0, 1, 0
    if turn == 1:
        return min(most, state.head_tokens + state.prefilling_tokens), 0, 2
    if turn == 2:
        return most, 1, 1
    if turn == 3:
        return most // 2, 1, 2
    if turn == 4:
        seen = state.waiting_tokens + state.context + state.kv_free * state.block_size + int(state.head_wait_s * 1000)
        return seen % (most + 1), state.waiting % 2, (state.running + state.kv_blocks) % 3
    return most, 0 if state.waiting > state.decoding else 1, 1
