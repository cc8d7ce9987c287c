"""Paged KV blocks, counted and not placed: how many a sequence holds and how many the next steps claim.

A decoding sequence claims blocks in each step in which its computed tokens are a multiple of the block size. Measured
in the replica's decode counter that happens at one fixed phase, so a histogram of phases tells what any number of steps
will claim. How many it claims changes once: when its windows are full. Not here: who is preempted when they run out (`ousting.py`). Read `agenda.py` next.
"""

from infersim.dataplane.jit import compiled, inlined
from infersim.dataplane.records import PREFILL_ONLY


@inlined
def whole_blocks(tokens, table):
    """Full KV blocks that `tokens` tokens make; a shift where the block size is a power of two, for divisions are slow."""
    if table.block_shift >= 0:
        return tokens >> table.block_shift
    return tokens // table.block_size


@inlined
def phase_of(count, table):
    """Remainder of a decode count, which may be below 0, divided by the block size."""
    if table.block_shift >= 0:
        return count & (table.block_size - 1)
    return count % table.block_size


@inlined
def blocks_for(tokens, table):
    """KV blocks that hold `tokens` tokens."""
    return whole_blocks(tokens + table.block_size - 1, table)


@inlined
def blocks_held(tokens, rows, prompt, table):
    """KV blocks of a sequence whose `rows` rows have `tokens` tokens each and share the full blocks of its prompt.

    Each row keeps its own windows.
    """
    if table.plain_blocks:
        return blocks_for(tokens, table)
    return _blocks_of_rows(tokens, rows, prompt, table)


@compiled
def _blocks_of_rows(tokens, rows, prompt, table):
    count = blocks_for(tokens, table)
    own = count - whole_blocks(prompt, table) if rows > 1 else 0
    return table.full_blocks * (count + (rows - 1) * own) + table.window_blocks * rows * min(count, table.window_limit)


@inlined
def blocks_to_process(flight, request, computed, chunk, table):
    """KV blocks of a sequence in a step that processes `chunk` tokens of its prompt.

    Windows hold the chunk whole, and the last chunk makes room for all rows.
    """
    if table.plain_blocks:
        return blocks_for(computed + chunk, table)
    return _blocks_of_chunk(flight, request, computed, chunk, table)


@compiled
def _blocks_of_chunk(flight, request, computed, chunk, table):
    before, count = blocks_for(computed, table), blocks_for(computed + chunk, table)
    blocks = table.full_blocks * count
    blocks += table.window_blocks * (min(before, table.window_limit) + count - before)
    if request.forks > 0 and computed + chunk == flight.target and table.role != PREFILL_ONLY:
        tokens = request.input_tokens + flight.generated
        blocks = max(blocks, blocks_held(tokens, 1 + request.forks, request.input_tokens, table))
    return blocks


@compiled
def most_blocks(request, output_tokens, table):
    """KV blocks that a request may need before it ends, whatever befalls it."""
    last = max(output_tokens, 1) - 1
    if table.plain_blocks:
        return blocks_for(request.input_tokens + last, table) + table.draft_blocks
    rows = 1 + request.forks
    count = blocks_for(request.input_tokens + rows * last, table)
    blocks = table.full_blocks * count + table.window_blocks * min(count, table.window_peak)
    return max(blocks, blocks_held(request.input_tokens + last, rows, request.input_tokens, table)) + table.draft_blocks


@inlined
def promised_blocks(request, flight, table):
    """KV blocks that an admission promises to a sequence where nobody is to be preempted later."""
    return most_blocks(request, 1 if table.role == PREFILL_ONLY else flight.output_tokens, table)


@compiled
def fits(request, output_tokens, table):
    """Whether a replica can ever hold a request."""
    if request.adapter > 0 and table.adapter_slots == 0:
        return False
    if not table.plain_blocks and 1 + request.forks > table.max_num_seqs:
        return False
    return (
        request.input_tokens + output_tokens <= table.max_context
        and most_blocks(request, output_tokens, table) <= table.blocks
    )


@inlined
def growth_of(flight, table):
    """KV blocks that a decoding sequence claims at a time."""
    if table.plain_blocks:
        return 1
    return (table.full_blocks + (table.window_blocks if flight.growing else 0)) * flight.rows


@inlined
def growth(server, table):
    """KV blocks that all decoding sequences claim in as many steps as a block has tokens."""
    if table.window_blocks == 0:
        return table.full_blocks * server.batch
    return table.full_blocks * server.batch + table.window_blocks * server.growing


@inlined
def filled_at(flight, table):
    """Decode count at which a decoding sequence, whose counts are as of `joined_at`, has filled its windows."""
    return flight.joined_at + (table.window_limit - 1) * table.block_size + 1 - flight.computed


@compiled
def claimed(phases, decoded, growth, steps, table):
    """Blocks that decoding sequences claim in the next `steps` decode steps, `growth` of them in block_size steps."""
    blocks = whole_blocks(steps, table) * growth
    phase = phase_of(decoded, table)
    for _ in range(phase_of(steps, table)):
        blocks += phases[phase]
        phase += 1
        if phase == table.block_size:
            phase = 0
    return blocks


@compiled
def affordable_steps(phases, decoded, growth, free, most, table):
    """Decode steps, at most `most`, that `free` blocks suffice for."""
    if (whole_blocks(most, table) + 1) * growth <= free:
        return most
    cycles = free // growth
    rest = free - cycles * growth
    steps = cycles * table.block_size
    while steps < most:
        rest -= phases[phase_of(decoded + steps, table)]
        if rest < 0:
            break
        steps += 1
    return min(steps, most)
