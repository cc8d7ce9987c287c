"""The operators of a transformer: what each computes, reads and writes, on one chip of a divided layer.

Counts only, no seconds and no chip: an `Operator` says FLOPs and elements for each token and the weights that a step
reads. Not here: how long that takes (`roofline.py`, `pipeline.py`). Read `sharding.py` for what one chip holds.
"""

import math
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from infersim.cost.sharding import Shard, divide
from infersim.spec.engine import SORTING_LAUNCHES
from infersim.spec.model import INDEX_DIM, INDEX_HEADS, Experts, Model

Array = NDArray[np.float64]

ACTIVATION_BYTES = 2.0
"""Activations, messages of collectives and KV writes are 16 bit."""

SAMPLING_ELEMENTS = 12.0
"""Elements moved for each vocabulary entry and sequence: 32-bit logits are written, scaled, normalised and searched."""

FILTER_ELEMENTS = 90.0
"""Further elements where top-p or top-k sorts them: passes of a radix sort over 32-bit keys and 64-bit indices, there
and back, then softmax, cumulative sum and scatter. 59 to 123 in fits to 13 online runs with one model left out."""


INDEXER_LAUNCHES = 8
"""Kernels of the indexer of sparse attention beside its products: norm, rotary position, rotation and conversion of queries
and of the key, their store, the scores, the choice of tokens (DeepSeek V3.2's reference code)."""


POPULARITY_SPREAD = 0.65
"""Coefficient of variation of how many tokens pick an expert, over the experts of a layer: text of few kinds prefers some, so
that a step visits fewer. 0.5 to 0.75 from ITL of Llama 4 Scout at 11 to 66 sequences (3 runs of vLLM 0.15.1 on H100), where the
weights of one more of 16 experts take 1 ms; every sixth point of 1,487 of mixtures in the end-to-end sample of
aiconfigurator-core 0.12.0, which it was not found on, has TPOT off by 9.9 % with it and 12.5 without (vLLM), 7.9 and 9.2 (SGLang)."""


SHORTEST_BETA = 0.1
"""Least sum of the two parameters of that distribution: no spread is wider than all tokens or none."""


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
    shape: tuple[float, float] | None = None
    """(rows, columns) of a matrix product."""
    experts: tuple[int, int] | None = None
    """(routed experts, experts for each token) where a step reads only the experts that its tokens visit."""
    scattered: bool = False
    """Whether its activations are gathered by expert, or scattered back, row by row."""


def expected_experts(count: int, per_token: int, tokens: Array, spread: float = POPULARITY_SPREAD) -> Array:
    """Expected number of distinct experts that `tokens` tokens visit when each picks `per_token` of `count`.

    With a spread of 0 all are as popular: E (1 - (1 - k / E)^T), for each expert is missed by one token with probability
    1 - k / E. Else the share of tokens that pick an expert is drawn from the beta distribution with mean k / E and that
    coefficient of variation, and T tokens miss it with probability B(a, b + T) / B(a, b).
    """
    counts, chosen = np.asarray(tokens, dtype=np.float64), per_token / count
    both = (1.0 - chosen) / (chosen * spread**2) - 1.0 if spread > 0.0 else math.inf
    if chosen == 1.0 or both == math.inf:
        return count * (1.0 - (1.0 - chosen) ** counts)
    both = max(both, SHORTEST_BETA)
    missing = both * (1.0 - chosen)
    missed = np.exp(log_gamma(missing + counts) - log_gamma(both + counts) - math.lgamma(missing) + math.lgamma(both))
    return count * (1.0 - missed)


def busiest(experts: Experts, held: int) -> float:
    """Load of the busiest chip over the mean where each holds `held` of a layer's experts.

    Where the model does not say: the expected largest of as many normal variables as there are chips (Blom, Statistical Estimates and
    Transformed Beta Variables, 1958), whose spread is that of sums of `held` experts drawn without return from those that are not equally popular.
    """
    if held >= experts.count:
        return 1.0
    if experts.imbalance is not None:
        return experts.imbalance
    chips = experts.count / held
    spread = POPULARITY_SPREAD * math.sqrt((1.0 - held / experts.count) / held)
    return 1.0 + spread * NormalDist().inv_cdf((chips - 0.375) / (chips + 0.25))


def log_gamma(values: Array) -> Array:
    """Logarithm of the gamma function."""
    return np.vectorize(math.lgamma, otypes=[np.float64])(values)


def matmul(name: str, rows: float, columns: float, quantised: bool = True) -> Operator:
    """A (tokens x rows) by (rows x columns) product."""
    return Operator(name, 2.0 * rows * columns, rows * columns, rows + columns, 1, quantised, (rows, columns))


def expert_matmul(name: str, rows: float, columns: float, experts: Experts, held: int, visits: float) -> Operator:
    """The same product in every expert that a token visits; a chip holds `held` and gets `visits` of a token."""
    one = matmul(name, rows, columns)
    return Operator(
        name,
        one.flops * visits,
        one.weights * held,
        one.activations * visits,
        one.launches,
        shape=one.shape,
        experts=(experts.count, experts.per_token),
        scattered=True,
    )


def elementwise(name: str, elements: float, launches: int = 1) -> Operator:
    """A kernel that only moves `elements` elements for each token."""
    return Operator(name, 0.0, 0.0, elements, launches)


@dataclass(frozen=True)
class Part:
    """Layers of one kind; a tensor-parallel group adds up its results at the end of each."""

    name: str
    """attention, recurrent, mlp or experts."""
    layers: int
    """How many there are."""
    operators: list[Operator]


def layer_parts(model: Model, shard: Shard, biases: bool = False) -> list[Part]:
    """All layers of one chip but attention itself and collectives, by kind; sums over a step's T tokens.

    `biases`: the model's biases behind collectives are kernels of their own.
    """
    norm, hidden, parts = elementwise("norm", 4 * model.hidden_size), model.hidden_size, []
    bias = [Operator("bias", 0.0, hidden, 2 * hidden, 1, quantised=False)] if biases and model.biased else []
    if model.with_attention:
        parts.append(Part("attention", model.with_attention, [norm, *attention_operators(model, shard), *bias]))
    if model.recurrent:
        parts.append(Part("recurrent", model.with_state, [norm, *recurrent_operators(model, shard)]))
    if model.with_mlp:
        parts.append(
            Part("mlp", model.with_mlp, [norm, *mlp_operators(hidden, shard.intermediate, model.gated_mlp), *bias])
        )
    if model.with_experts:
        parts.append(Part("experts", model.with_experts, [norm, *expert_operators(model, shard)]))
    return parts


def layer_operators(model: Model, shard: Shard) -> list[tuple[int, Operator]]:
    """Every operator of the layers on one chip, with the number of layers that have it."""
    return [(part.layers, operator) for part in layer_parts(model, shard) for operator in part.operators]


def attention_operators(model: Model, shard: Shard) -> list[Operator]:
    """Projections of one attention layer, rotary position and writing keys and values."""
    hidden, attention, spare = model.hidden_size, model.attention, model.quantised != "all"
    if attention.latent:
        return latent_operators(model, shard)
    query, key = shard.heads * attention.head_dim, shard.kv_heads * attention.head_dim
    wide = query * (2 if attention.gate else 1) + 2 * key
    return [
        matmul("qkv", hidden, wide, not spare),
        elementwise("rope and KV write", 2 * query + 6 * key, 2 if attention.qk_norm else 1),
        *([elementwise("gate", 3 * query)] if attention.gate else []),
        matmul("output", query, hidden, not spare),
    ]


def latent_operators(model: Model, shard: Shard) -> list[Operator]:
    """Projections of one layer of multi-head latent attention; what makes the shared vector is on every chip."""
    hidden, latent = model.hidden_size, model.attention.latent
    assert latent is not None
    query = shard.heads * (latent.nope_dim + latent.rope_dim)
    cached, value = latent.kv_rank + latent.rope_dim, shard.heads * latent.value_dim
    operators = [
        matmul("query and latent down", hidden, latent.query_rank + cached)
        if latent.query_rank
        else matmul("query and latent", hidden, query + cached),
        elementwise("norm, rope and KV write", 2 * latent.query_rank + 6 * cached, 2),
        *([matmul("query up", latent.query_rank, query)] if latent.query_rank else []),
        matmul("keys and values up", latent.kv_rank, shard.heads * (latent.nope_dim + latent.value_dim)),
        matmul("output", value, hidden),
    ]
    if model.attention.top_k:
        wide = INDEX_HEADS * INDEX_DIM
        operators.append(matmul("indexer query", latent.query_rank or hidden, wide, quantised=True))
        operators.append(matmul("indexer key", hidden, INDEX_DIM + INDEX_HEADS, quantised=False))
        operators.append(elementwise("indexer", 6 * (wide + INDEX_DIM), INDEXER_LAUNCHES))
    return operators


def recurrent_operators(model: Model, shard: Shard) -> list[Operator]:
    """One layer with a fixed state: projections, convolution, and the arithmetic of the state's update."""
    hidden, recurrent = model.hidden_size, model.recurrent
    assert recurrent is not None
    keys, values = shard.recurrent_keys, shard.recurrent_values
    state = values * recurrent.key_dim
    update = Operator("state update", 8.0 * state, 0.0, 2 * keys + 3 * values, 2)
    return [
        matmul("in", hidden, 2 * keys + 2 * values + 2 * values // recurrent.value_dim),
        elementwise("convolution", recurrent.convolution * (2 * keys + values)),
        update,
        elementwise("gated norm", 3 * values, 3),
        matmul("out", values, hidden),
    ]


def mlp_operators(hidden: int, width: int, gated: bool) -> list[Operator]:
    """A dense MLP of `width`."""
    up = 2 * width if gated else width
    return [matmul("up", hidden, up), elementwise("activation", up + width), matmul("down", width, hidden)]


def expert_operators(model: Model, shard: Shard) -> list[Operator]:
    """Router, routed experts (whole ones or parts of each, as the shard says) and shared experts."""
    experts = model.experts
    assert experts is not None
    hidden, width = model.hidden_size, shard.expert_intermediate
    visits = experts.per_token * shard.experts / experts.count * busiest(experts, shard.experts)
    up = 2 * width if model.gated_mlp else width
    operators = [
        matmul("router", hidden, experts.count, quantised=False),
        elementwise("choose and sort", 4 * experts.count, SORTING_LAUNCHES),
        expert_matmul("experts up", hidden, up, experts, shard.experts, visits),
        replace(elementwise("experts activation", visits * (up + width)), scattered=True),
        expert_matmul("experts down", width, hidden, experts, shard.experts, visits),
        replace(elementwise("weighted sum", (visits + 1) * hidden), scattered=True),
    ]
    if shard.shared_intermediate:
        operators += mlp_operators(hidden, shard.shared_intermediate, model.gated_mlp)
    return operators


def head_operators(model: Model, shard: Shard, filters: bool = False) -> list[Operator]:
    """Last norm, LM head and sampling: for each sequence of a step, not for each token; `filters` sorts the logits."""
    elements = SAMPLING_ELEMENTS + (FILTER_ELEMENTS if filters and model.sampling != "plain" else 0.0)
    return [
        elementwise("norm", 4 * model.hidden_size),
        matmul("LM head", model.hidden_size, shard.vocab, quantised=False),
        elementwise("sampling", elements * model.vocab_size, 6),
    ]


LONG_WINDOW = 2048
"""Windows (and choices of sparse attention) up to this many tokens are priced as full for every sequence, longer ones
as attention to the whole context: both err on the slow side, and the step stays affine in the context."""


@dataclass(frozen=True)
class Attended:
    """What attention reads and computes: for each attended token, and for each sequence whatever its context."""

    stored: float
    """Elements of one token in one chip's KV blocks, all layers."""
    read: float
    """Elements that a decoding sequence reads for each token of its context."""
    read_fixed: float
    """Elements that it reads besides, whatever its context: windows, chosen tokens, states."""
    held_windows: float
    """Elements that it holds besides its blocks for windows, where blocks of windowed layers are not used again."""
    held_states: float
    """Elements that it holds besides its blocks for states."""
    pair_flops: float
    """Arithmetic of one query and one key in decode, all heads of all layers, whole model [FLOP]."""
    prefill_flops: float
    """The same in prefill, where latent attention works on uncompressed keys and values [FLOP]."""
    fixed_flops: float
    """Arithmetic of one query besides, on windows and chosen tokens, in decode and prefill alike [FLOP]."""


def attended(model: Model, shard: Shard) -> Attended:
    """Attention's shapes on one chip of a divided layer."""
    attention = model.attention
    decode, prefill = _pair_flops(model)
    token = kv_layer_elements(model, shard)
    short = short_windows(model)
    full = model.with_attention - short
    window = float(attention.sliding_window or 0)
    state = 2.0 * shard.recurrent_values * model.recurrent.key_dim * model.with_state if model.recurrent else 0.0
    found = Attended(
        stored=full * token,
        read=full * token,
        read_fixed=short * window * token + 2.0 * state,  # states are 32 bit, read and written
        held_windows=short * window * token,
        held_states=state,
        pair_flops=full * decode,
        prefill_flops=full * prefill,
        fixed_flops=short * window * decode,
    )
    if attention.top_k is None:
        return found
    index = 2.0 * INDEX_HEADS * INDEX_DIM  # every query scores every key with the indexer, then attends to top_k
    return replace(
        found,
        stored=full * (token + INDEX_DIM / 2.0),
        read=full * INDEX_DIM / 2.0,
        read_fixed=found.read_fixed + full * attention.top_k * token,
        pair_flops=full * index,
        prefill_flops=full * index,
        fixed_flops=found.fixed_flops + full * attention.top_k * decode,
    )


def short_windows(model: Model) -> int:
    """Layers whose window is priced as full for every sequence; where all layers have one, KV blocks hold it."""
    window = model.attention.sliding_window
    priced = window is not None and window <= LONG_WINDOW and model.with_window < model.with_attention
    return model.with_window if priced else 0


def kv_groups(model: Model) -> tuple[int, int]:
    """Full and windowed layers in the least whole numbers of their ratio: how many KV blocks of equal size hold
    the same tokens in either kind, as vLLM's hybrid allocator groups layers; (1, 0) without windows.
    """
    windowed = model.with_window
    common = math.gcd(model.with_attention - windowed, windowed)
    return ((model.with_attention - windowed) // common, windowed // common) if windowed else (1, 0)


def _pair_flops(model: Model) -> tuple[float, float]:
    """Arithmetic of one query and one key in one layer, all heads: (decode, prefill) [FLOP]."""
    attention = model.attention
    if latent := attention.latent:
        absorbed = 2.0 * attention.heads * (2 * latent.kv_rank + latent.rope_dim)
        return absorbed, 2.0 * attention.heads * (latent.nope_dim + latent.rope_dim + latent.value_dim)
    both = 4.0 * attention.heads * attention.head_dim
    return both, both


def kv_layer_elements(model: Model, shard: Shard) -> float:
    """Elements of one token in one layer's cache on one chip; a latent vector is on every chip of the group."""
    if latent := model.attention.latent:
        return float(latent.kv_rank + latent.rope_dim)
    return 2.0 * shard.kv_heads * model.attention.head_dim


def kv_elements(model: Model, shard: Shard) -> float:
    """Elements of one token that one chip holds in KV blocks, all layers."""
    return attended(model, shard).stored


def layer_parameters(model: Model, shard: Shard) -> tuple[float, float]:
    """Weights of all layers on one chip: (stored in the dtype asked for, kept in 16 bit)."""
    operators, attention = layer_operators(model, shard), model.attention
    norms = model.with_attention + model.with_state + model.with_mlp + model.with_experts
    small = float(norms * model.hidden_size)
    small += 2 * attention.head_dim * model.with_attention * attention.qk_norm
    heads = (2 if attention.gate else 1) * shard.heads + 2 * shard.kv_heads
    small += heads * attention.head_dim * model.with_attention * attention.bias
    if attention.latent:
        small += (attention.latent.query_rank + attention.latent.kv_rank) * model.with_attention
    if model.recurrent:
        mixed = model.recurrent.convolution * (2 * shard.recurrent_keys + shard.recurrent_values)
        small += (mixed + 2 * shard.recurrent_values / model.recurrent.value_dim) * model.with_state
    quantised = sum(layers * operator.weights for layers, operator in operators if operator.quantised)
    return quantised, small + sum(layers * operator.weights for layers, operator in operators if not operator.quantised)


def parameters(model: Model) -> float:
    """Parameters of the whole model, embeddings included."""
    embeddings = model.vocab_size * model.hidden_size * (1 if model.tied_embeddings else 2)
    return sum(layer_parameters(model, divide(model, 1))) + embeddings + model.hidden_size


def active_parameters(model: Model) -> float:
    """Weights that one token multiplies with: experts it visits only, the LM head, not the input embedding."""
    shard = divide(model, 1)
    layers = sum(n * operator.flops for n, operator in layer_operators(model, shard) if operator.weights)
    return (layers + sum(operator.flops for operator in head_operators(model, shard))) / 2.0
