"""What each chip holds when tensor parallelism divides a layer: heads, widths and vocabulary of one chip.

KV heads are replicated when there are fewer of them than chips; widths that do not divide are rounded up, so that the
slowest chip decides; so are query heads where the engine pads them.
Not here: the traffic that dividing causes (`collectives.py`). Read `operators.py` next.
"""

from dataclasses import dataclass

from infersim.spec.model import Model


@dataclass(frozen=True)
class Shard:
    """One chip's part of every layer."""

    tensor: int
    """Chips that share each layer."""
    heads: int
    """Query heads of one chip."""
    kv_heads: int
    """Key-value heads of one chip, at least one."""
    intermediate: int
    """Width of the dense MLP on one chip."""
    expert_intermediate: int
    """Width of each routed expert on one chip: every expert is divided over all chips."""
    shared_intermediate: int
    """Width of the shared experts on one chip."""
    vocab: int
    """Rows of the embedding and columns of the LM head on one chip."""


def divide(model: Model, tensor: int, pad_heads: bool = False) -> Shard:
    """Divide a model's layers over `tensor` chips; ValueError if the query heads do not divide and are not padded."""
    heads, kv_heads = model.attention.heads, model.attention.kv_heads
    if heads % tensor and not pad_heads:
        fits = [n for n in range(1, heads + 1) if heads % n == 0]
        raise ValueError(
            f"tensor parallelism {tensor} does not divide the {heads} attention heads of {model.name}; "
            f"use one of {', '.join(map(str, fits))}"
        )
    experts = model.experts
    return Shard(
        tensor=tensor,
        heads=-(-heads // tensor),
        kv_heads=-(-kv_heads // tensor),
        intermediate=-(-model.intermediate_size // tensor),
        expert_intermediate=-(-experts.intermediate_size // tensor) if experts else 0,
        shared_intermediate=-(-experts.shared_intermediate_size // tensor) if experts else 0,
        vocab=-(-model.vocab_size // tensor),
    )
