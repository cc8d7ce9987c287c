"""What happens in the naive twin when a step ends.

DESIGN.md: "When the step ends", "Speculative decoding", static batches, "Patience" (nobody's sequences), the hand-over of a
prefill pool. Read `naive_clients.py` next; `naive.py`, the last, calls `end_step` and goes on to form the next step.
"""

from typing import TYPE_CHECKING

from infersim.dataplane.chance import uniform
from tests.naive_replica import Replica
from tests.naive_sequence import Sequence

if TYPE_CHECKING:
    from tests.naive import World


def end_step(world: "World", replica: Replica, now: float) -> None:
    """Tokens leave, memory is freed, some finish, nobody's sequences are gone."""
    replica.memory.reserve = 0
    replica.steps += 1
    decoded = [sequence for sequence, _ in replica.step if sequence.prefilled]
    chunks = [(sequence, tokens) for sequence, tokens in replica.step if not sequence.prefilled]
    for sequence in decoded:
        sequence.computed += 1
        emit(world, sequence, now)
        world.record.processed(sequence, sequence.request.width)
        accept_drafts(world, sequence, now)
    processed = [sequence for sequence, _ in chunks]
    for sequence in [each for each in replica.batch if each.over and each not in processed]:
        leave_batch(world, sequence, now)
    for sequence in decoded:
        if not sequence.over:
            end_if_complete(world, sequence, now)
    for sequence, tokens in chunks:
        end_chunk(world, sequence, tokens, now)
        if sequence.over and sequence in replica.batch:
            leave_batch(world, sequence, now)
    if replica.rows and not replica.decoding():
        replica.rows = 0
        for sequence in list(replica.batch):
            leave_batch(world, sequence, now)


def end_chunk(world: "World", sequence: Sequence, tokens: int, now: float) -> None:
    """Windowed layers forget what has left the window; with the last chunk each row has its own blocks and first token."""
    replica, memory = sequence.replica, sequence.replica.memory
    world.record.processed(sequence, tokens)
    sequence.computed += tokens
    memory.name_blocks(sequence)
    if sequence.computed < sequence.prompt:
        memory.hold(sequence, memory.blocks_of_prompt(sequence.computed))
        return
    sequence.end_prompt()
    forks = replica.pool.role != "prefill"
    memory.hold(
        sequence,
        memory.blocks_of_rows(sequence, sequence.computed) if forks else memory.blocks_of_prompt(sequence.computed),
    )
    if not sequence.complete():
        emit(world, sequence, now)
    end_if_complete(world, sequence, now)
    if replica.pool.role == "prefill" and sequence in replica.batch:
        sequence.request.enter("transfer", now)
        sequence.source = replica
        replica.leave_batch(sequence)
        replica.leaving.append(sequence)
        world.leaving.append(sequence)


def emit(world: "World", sequence: Sequence, now: float) -> None:
    """The one sure token of a step."""
    if sequence.token_times:
        world.record.gap(sequence, now)
    produce(world, sequence, now)
    if sequence.request.span == "prefill" and not sequence.over:
        sequence.request.enter("decode", now)


def accepted_drafts(sequence: Sequence, tokens: int) -> int:
    """How many draft tokens are accepted behind so many output tokens."""
    request, accepted = sequence.request, 0
    for place, chance in enumerate(sequence.replica.pool.acceptance):
        if tokens + accepted >= request.output_tokens or uniform(request.id, tokens, place) >= chance:
            break
        accepted += 1
    return accepted


def accept_drafts(world: "World", sequence: Sequence, now: float) -> None:
    """Draft tokens, until one is refused."""
    tokens = len(sequence.token_times)
    for place, chance in enumerate(sequence.replica.pool.acceptance):
        if sequence.complete() or uniform(sequence.request.id, tokens, place) >= chance:
            break
        sequence.computed += 1
        produce(world, sequence, now)
        world.record.processed(sequence, 1)
    memory = sequence.replica.memory
    assert memory.hold(sequence, memory.blocks_of_rows(sequence, sequence.computed)), "drafts have a reserve"


def produce(world: "World", sequence: Sequence, now: float) -> None:
    """One token in each row."""
    sequence.token_times.append(now)
    queue = sequence.replica.queue
    queue.charge(sequence, queue.pool.output_weight * sequence.request.width)
    world.record.token(sequence, now)


def end_if_complete(world: "World", sequence: Sequence, now: float) -> None:
    """The last token: its memory is free, and it has ended unless its static batch decodes on."""
    if sequence.complete():
        sequence.replica.memory.release(sequence)
    if sequence.over or (sequence.complete() and not sequence.replica.rows):
        leave_batch(world, sequence, now)


def leave_batch(world: "World", sequence: Sequence, now: float) -> None:
    """It has ended now, or its client gave it up while the step ran."""
    sequence.replica.memory.release(sequence)
    sequence.replica.leave_batch(sequence)
    world.leave(sequence.replica, now)
    if not sequence.over:
        world.end(sequence, "finished", now)
