"""What several models on one replica cost: the memory that they share, and the seconds of going from one to the next.

Weights of the resident models and the KV cache of the active one lie beside each other, as in Clockwork (OSDI 2020):

    room for weights = the `resident` largest models, or, where KV blocks are given, what these leave
    KV blocks of a model = what the engine may fill less that room and the model's activations

A load copies a model's weights over the slowest part of their way, as a cold start does (`cold_start.py`): from host
memory over PCIe (vLLM's sleep mode at level 1, llama-swap; 0.6 s for 8B in 16 bit), or from storage (ServerlessLLM).
Evicted weights are not written back, since their copy stays where they came from. Not here: when a replica switches
(`infersim/dataplane/switching.py`).
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from infersim.cost.memory import DoesNotFit, in_gb
from infersim.cost.tables import CostTables, MemoryPlan, ModelCost


def taking_turns(models: Sequence[ModelCost], resident: int | None, blocks: int | None) -> CostTables:
    """The tables of a pool with several models: those of the first, with all of them in `models`.

    `resident` models fit beside each other; as many as `blocks` KV blocks leave room for, or one, when absent. Raises
    DoesNotFit if too little is left for KV.
    """
    sizes = sorted((math.ceil(model.tables.memory.weight_bytes) for model in models), reverse=True)
    room = sum(sizes[: resident or 1])
    if resident is None and blocks is not None:
        room = max(room, math.floor(min(_beside(model.tables.memory) for model in models)))
    placed = [replace(model, tables=replace(model.tables, memory=_planned(model, room, blocks))) for model in models]
    names = ", ".join(model.name for model in models)
    first = placed[0].tables
    notes = list(dict.fromkeys(f"{model.name}: {note}" for model in placed for note in model.tables.notes))
    held = f"{room / 1e9:.1f} GB of each replica are for weights of {names}"
    return replace(first, models=tuple(placed), room_bytes=room, notes=[held, *notes])


def _beside(plan: MemoryPlan) -> float:
    """What an explicit number of KV blocks leaves for weights [B]."""
    return plan.usable_bytes - plan.reserve_bytes - plan.blocks * plan.block_bytes


def _planned(model: ModelCost, room: int, blocks: int | None) -> MemoryPlan:
    """The memory of one model beside the room for weights."""
    plan = model.tables.memory
    if plan.block_bytes == 0:
        return plan
    left = plan.usable_bytes - plan.reserve_bytes - room
    if blocks is not None:  # they win over the engine's share, as with one model
        left = plan.capacity_bytes - room
    fitting = math.floor(left / plan.block_bytes)
    wanted = plan.full_blocks + plan.window_blocks if blocks is None else plan.blocks
    if fitting < wanted:
        limit = plan.usable_bytes if blocks is None else plan.capacity_bytes
        rest = f" and activations {in_gb(plan.reserve_bytes)}" if blocks is None else ""
        what = f"weights of resident models {in_gb(room)}{rest} leave {in_gb(max(left, 0.0))} of {in_gb(limit)} for KV"
        needed = in_gb(wanted * plan.block_bytes)
        raise DoesNotFit(
            f"{what}, and {model.name} needs {needed} at least; use fewer switching.resident or more chips"
        )
    return plan if blocks is not None else replace(plan, blocks=fitting)
