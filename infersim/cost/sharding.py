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
    """Chips that share each MLP and expert layer: all those of a stage."""
    attention_tensor: int
    """Chips that share each attention layer: fewer where attention is data parallel."""
    dense_tensor: int
    """Chips that share each dense MLP, the shared experts, the embedding and the LM head."""
    heads: int
    """Query heads of one chip."""
    kv_heads: int
    """Key-value heads of one chip, at least one."""
    recurrent_keys: int
    """Width of the keys of a recurrent layer on one chip."""
    recurrent_values: int
    """Width of its values."""
    intermediate: int
    """Width of the dense MLP on one chip."""
    experts: int
    """Routed experts that one chip holds, whole or in part."""
    expert_intermediate: int
    """Width of the part of each that it holds."""
    shared_intermediate: int
    """Width of the shared experts on one chip."""
    vocab: int
    """Rows of the embedding and columns of the LM head on one chip."""


def divide(
    model: Model, tensor: int, pad_heads: bool = False, expert: int = 1, attention_data: int = 1, cores: int = 1,
    dense_data: bool = False,
) -> Shard:  # fmt: skip
    """Divide a model's layers over `tensor` chips; ValueError if the query heads do not divide and are not padded.

    Each of a chip's `cores` takes whole heads. Where there are more cores than KV heads, each keeps a copy for every one of its
    query heads, as Neuron's replicated heads do (its decode attention takes as long for grouped queries as without).

    `expert` groups hold different experts, and divide each over tensor / expert chips. `attention_data` groups serve
    different requests, with the attention of all heads divided over tensor / attention_data chips, and with `dense_data`
    everything else that is not an expert.
    """
    for name, groups in (("expert", expert), ("attention_data", attention_data)):
        if tensor % groups:
            raise ValueError(f"{name} {groups} must divide the {tensor} chips of tensor parallelism")
    experts, sharing = model.experts, tensor // attention_data
    if experts is None and expert > 1:
        raise ValueError(f"{model.name} has no experts; expert parallelism must be 1, found {expert}")
    heads, kv_heads = model.attention.heads, model.attention.kv_heads
    if heads % sharing and not pad_heads:
        fits = [n for n in range(1, heads + 1) if heads % n == 0]
        raise ValueError(
            f"tensor parallelism {sharing} does not divide the {heads} attention heads of {model.name}; "
            f"use one of {', '.join(map(str, fits))}"
        )
    ways, dense = sharing * cores, sharing if dense_data else tensor
    of_core = -(-heads // ways)
    copies = of_core if cores > 1 and ways > kv_heads else -(-kv_heads // ways)
    recurrent = model.recurrent
    return Shard(
        tensor=tensor,
        attention_tensor=sharing,
        dense_tensor=dense,
        heads=cores * of_core,
        kv_heads=cores * copies,
        recurrent_keys=-(-recurrent.key_heads // sharing) * recurrent.key_dim if recurrent else 0,
        recurrent_values=-(-recurrent.value_heads // sharing) * recurrent.value_dim if recurrent else 0,
        intermediate=-(-model.intermediate_size // dense),
        experts=-(-experts.count // expert) if experts else 0,
        expert_intermediate=-(-experts.intermediate_size // (tensor // expert)) if experts else 0,
        shared_intermediate=-(-experts.shared_intermediate_size // dense) if experts else 0,
        vocab=-(-model.vocab_size // dense),
    )
