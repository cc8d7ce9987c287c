"""Batching policies of your own: what the next step of a replica may hold. Write one with `@batching`.

    @batching
    def decode_first(replica):
        prompts = 512 if replica.decoding else replica.max_num_batched_tokens
        return prompts, True, 1

The function sees the replica as its scheduler does (dataplane.records.STATE) and answers how many prompt tokens the step
may hold, whether sequences that decode have their token in it, and who may be admitted: 0 nobody, 1 anybody, their
prompts cut to what is left, 2 whole prompts only. The engine fills the step in queue order and keeps to blocks, seats and
budget; a step that would hold nothing is formed as chunked prefill would. `pools[i].batching.policy` names it. DESIGN.md
has the exact rules. Not here: the shipped policies (`infersim/dataplane/forming.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass

from infersim.spec import policies as names


@dataclass(frozen=True)
class Batching:
    """A batching policy: its name, what it does in one line, and its function."""

    name: str
    summary: str
    function: Callable


BATCHINGS: dict[str, Batching] = {}
"""Users' batching policies by name."""


def batching(function: Callable) -> Callable:
    """Register `function(replica) -> (prompt_tokens, decode, admit)` as a batching policy under its own name."""
    summary = (function.__doc__ or "").strip().split("\n")[0]
    BATCHINGS[function.__name__] = Batching(function.__name__, summary, function)
    names.BATCHINGS.add(function.__name__)
    return function
