"""Paged KV blocks, counted and not placed: how many a sequence holds and how many the next steps claim.

A decoding sequence claims a block in each step in which its computed tokens are a multiple of the block size. Measured
in the replica's decode counter that happens at one fixed phase, so a histogram of phases tells what any number of steps
will claim. Not here: who is preempted when they run out (`forming.py`). Read `agenda.py` next.
"""

from infersim.dataplane.jit import compiled


@compiled
def blocks_for(tokens, block_size):
    """KV blocks that hold `tokens` tokens."""
    return (tokens + block_size - 1) // block_size


@compiled
def blocks_to_grow(tokens, more, block_size):
    """KV blocks that a sequence of `tokens` tokens needs beyond its own to hold `more` more."""
    return blocks_for(tokens + more, block_size) - blocks_for(tokens, block_size)


@compiled
def claimed(phases, decoded, batch, block_size, steps):
    """Blocks that `batch` decoding sequences claim in the next `steps` decode steps."""
    blocks = (steps // block_size) * batch
    for step in range(decoded, decoded + steps % block_size):
        blocks += phases[step % block_size]
    return blocks


@compiled
def affordable_steps(phases, decoded, batch, block_size, free, most):
    """Decode steps, at most `most`, that `free` blocks suffice for."""
    if (most // block_size + 1) * batch <= free:
        return most
    cycles = free // batch
    rest = free - cycles * batch
    steps = cycles * block_size
    while steps < most:
        rest -= phases[(decoded + steps) % block_size]
        if rest < 0:
            break
        steps += 1
    return min(steps, most)
