"""What happens in the naive twin when a step ends.

DESIGN.md: "When the step ends", "Speculative decoding", static batches, the hand-over of a prefill pool. `naive.py`, which
calls `end_step` and goes on to form the next step, is the last file to read.
"""

from typing import TYPE_CHECKING

from infersim.dataplane.chance import uniform
from infersim.dataplane.records import FINISHED
from tests.naive_replica import Replica
from tests.naive_sequence import Sequence

if TYPE_CHECKING:
    from tests.naive import World


def end_step(world: "World", replica: Replica, now: float) -> None:
    """Tokens leave, memory is freed, some finish."""
    replica.memory.reserve = 0
    decoded = [sequence for sequence, _ in replica.step if sequence.prefilled]
    chunks = [(sequence, tokens) for sequence, tokens in replica.step if not sequence.prefilled]
    for sequence in decoded:
        sequence.computed += 1
        emit(world, sequence, now)
        accept_drafts(world, sequence, now)
    for sequence in sorted(decoded, key=lambda each: each.order):
        if sequence.complete():
            finish(world, sequence, now)
    for sequence, tokens in chunks:
        end_chunk(world, sequence, tokens, now)
    if replica.rows and not replica.decoding():
        replica.rows = 0
        for sequence in replica.batch:
            world.end(sequence, FINISHED, now)
        replica.batch.clear()


def end_chunk(world: "World", sequence: Sequence, tokens: int, now: float) -> None:
    """Windowed layers forget what has left the window; with the last chunk each row has its own blocks and first token."""
    replica, memory = sequence.replica, sequence.replica.memory
    sequence.computed += tokens
    memory.name_blocks(sequence)
    if sequence.computed < sequence.prompt:
        memory.hold(sequence, memory.blocks_of_prompt(sequence.computed))
        return
    sequence.processed()
    memory.hold(sequence, memory.blocks_of_rows(sequence, sequence.computed))
    if not sequence.complete():
        emit(world, sequence, now)
    if sequence.complete():
        finish(world, sequence, now)
    elif replica.pool.role == "prefill":
        hand_over(world, sequence, now)


def emit(world: "World", sequence: Sequence, now: float) -> None:
    """The one sure token of a step."""
    if sequence.token_times:
        world.record.gap(sequence, now)
    produce(world, sequence, now)
    if sequence.span == "prefill":
        sequence.enter("decode", now)


def accept_drafts(world: "World", sequence: Sequence, now: float) -> None:
    """Draft tokens, until one is refused."""
    tokens = len(sequence.token_times)
    for place, chance in enumerate(sequence.replica.pool.acceptance):
        if sequence.complete() or uniform(sequence.id, tokens, place) >= chance:
            break
        sequence.computed += 1
        produce(world, sequence, now)
    memory = sequence.replica.memory
    assert memory.hold(sequence, memory.blocks_of_rows(sequence, sequence.computed)), "drafts have a reserve"


def produce(world: "World", sequence: Sequence, now: float) -> None:
    """One token in each row."""
    sequence.token_times.append(now)
    queue = sequence.replica.queue
    queue.charge(sequence, queue.pool.output_weight * sequence.width)
    world.record.token(sequence, now)


def finish(world: "World", sequence: Sequence, now: float) -> None:
    """The last token: its memory is free, and it has ended unless its static batch decodes on."""
    replica = sequence.replica
    replica.memory.release(sequence)
    if not replica.rows:
        replica.batch.remove(sequence)
        world.end(sequence, FINISHED, now)


def hand_over(world: "World", sequence: Sequence, now: float) -> None:
    """Its prompt is processed; it leaves for a decode pool."""
    replica = sequence.replica
    sequence.enter("transfer", now)
    sequence.source = replica
    replica.batch.remove(sequence)
    replica.leaving.append(sequence)
    world.leaving.append(sequence)
