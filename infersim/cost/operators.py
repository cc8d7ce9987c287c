"""The operators of a transformer: what each computes, reads and writes, on one chip of a divided layer.

Counts only, no seconds and no chip: an `Operator` says FLOPs and elements for each token and the weights that a step
reads. Not here: how long that takes (`roofline.py`, `pipeline.py`). Read `sharding.py` for what one chip holds.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infersim.cost.sharding import Shard, divide
from infersim.spec.model import Experts, Model

Array = NDArray[np.float64]


SAMPLING_ELEMENTS = 12.0
"""Elements moved for each vocabulary entry and sequence: 32-bit logits are written, scaled, normalised and searched."""


@dataclass(frozen=True)
class Operator:
    """One kernel of a layer, on one chip."""

    name: str
    flops: float
    """Arithmetic for each token [FLOP]."""
    weights: float
    """Weight elements; for experts those of all of them."""
    activations: float
    """Activation elements read and written for each token."""
    launches: int
    """Kernels that it takes."""
    quantised: bool = True
    """Whether its weights are stored in the dtype asked for (else 16 bit, as engines keep routers and LM heads)."""
    experts: tuple[int, int] | None = None
    """(routed experts, experts for each token) where a step reads only the experts that its tokens visit."""


def expected_experts(count: int, per_token: int, tokens: Array) -> Array:
    """Expected number of distinct experts that `tokens` tokens visit when each picks `per_token` of `count` evenly.

    E (1 - (1 - k / E)^T): each expert is missed by one token with probability 1 - k / E.
    """
    return count * (1.0 - (1.0 - per_token / count) ** np.asarray(tokens, dtype=np.float64))


def matmul(name: str, rows: float, columns: float, quantised: bool = True) -> Operator:
    """A (tokens x rows) by (rows x columns) product."""
    return Operator(name, 2.0 * rows * columns, rows * columns, rows + columns, 1, quantised)


def expert_matmul(name: str, rows: float, columns: float, experts: Experts) -> Operator:
    """The same product in every expert that a token visits; all experts' weights lie in memory."""
    one, visits = matmul(name, rows, columns), experts.per_token
    return Operator(
        name,
        one.flops * visits,
        one.weights * experts.count,
        one.activations * visits,
        one.launches,
        experts=(experts.count, visits),
    )


def elementwise(name: str, elements: float, launches: int = 1) -> Operator:
    """A kernel that only moves `elements` elements for each token."""
    return Operator(name, 0.0, 0.0, elements, launches)


def layer_operators(model: Model, shard: Shard) -> list[Operator]:
    """Everything in one layer but attention itself and collectives; sums over a step's T tokens."""
    hidden, attention = model.hidden_size, model.attention
    query, key = shard.heads * attention.head_dim, shard.kv_heads * attention.head_dim
    operators = [
        elementwise("norm", 4 * hidden),
        matmul("qkv", hidden, query + 2 * key),
        elementwise("rope and KV write", 2 * query + 6 * key, 2 if attention.qk_norm else 1),
        matmul("output", query, hidden),
        elementwise("norm", 4 * hidden),
    ]
    if shard.intermediate:
        operators += mlp_operators(hidden, shard.intermediate, model.gated_mlp)
    if model.experts:
        operators += expert_operators(model, shard)
    return operators


def mlp_operators(hidden: int, width: int, gated: bool) -> list[Operator]:
    """A dense MLP of `width`."""
    up = 2 * width if gated else width
    return [matmul("up", hidden, up), elementwise("activation", up + width), matmul("down", width, hidden)]


def expert_operators(model: Model, shard: Shard) -> list[Operator]:
    """Router, routed experts (every expert divided over all chips) and shared experts."""
    experts = model.experts
    assert experts is not None
    hidden, width, visits = model.hidden_size, shard.expert_intermediate, experts.per_token
    up = 2 * width if model.gated_mlp else width
    operators = [
        matmul("router", hidden, experts.count, quantised=False),
        elementwise("choose and sort", 4 * experts.count, 2),
        expert_matmul("experts up", hidden, up, experts),
        elementwise("activation", visits * (up + width)),
        expert_matmul("experts down", width, hidden, experts),
        elementwise("weighted sum", (visits + 1) * hidden),
    ]
    if shard.shared_intermediate:
        operators += mlp_operators(hidden, shard.shared_intermediate, model.gated_mlp)
    return operators


def head_operators(model: Model, shard: Shard) -> list[Operator]:
    """Last norm, LM head and sampling: for each sequence of a step, not for each token."""
    return [
        elementwise("norm", 4 * model.hidden_size),
        matmul("LM head", model.hidden_size, shard.vocab, quantised=False),
        elementwise("sampling", SAMPLING_ELEMENTS * model.vocab_size, 6),
    ]


def attention_flops(model: Model) -> float:
    """Arithmetic of one query token that attends one key, all heads of all layers: QK and PV [FLOP]."""
    return 4.0 * model.layers * model.attention.heads * model.attention.head_dim


def kv_elements(model: Model, shard: Shard) -> float:
    """Key and value elements of one token that one chip holds, all layers."""
    return 2.0 * model.layers * shard.kv_heads * model.attention.head_dim


def layer_parameters(model: Model, shard: Shard) -> tuple[float, float]:
    """Weights of one layer on one chip: (stored in the dtype asked for, kept in 16 bit)."""
    operators = layer_operators(model, shard)
    attention = model.attention
    small = 2.0 * model.hidden_size + (2 * attention.head_dim if attention.qk_norm else 0)
    small += (shard.heads + 2 * shard.kv_heads) * attention.head_dim if attention.bias else 0
    quantised = sum(operator.weights for operator in operators if operator.quantised)
    return quantised, small + sum(operator.weights for operator in operators if not operator.quantised)


def parameters(model: Model) -> float:
    """Parameters of the whole model, embeddings included."""
    embeddings = model.vocab_size * model.hidden_size * (1 if model.tied_embeddings else 2)
    return model.layers * sum(layer_parameters(model, divide(model, 1))) + embeddings + model.hidden_size


def active_parameters(model: Model) -> float:
    """Weights that one token multiplies with: experts it visits only, the LM head, not the input embedding."""
    shard = divide(model, 1)
    layer = sum(operator.flops for operator in layer_operators(model, shard))
    return (model.layers * layer + sum(operator.flops for operator in head_operators(model, shard))) / 2.0
