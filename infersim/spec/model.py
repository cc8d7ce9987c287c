"""A model's architecture: enough to count its parameters, FLOPs, bytes and KV cache.

Not here: what that costs on a chip (`infersim/cost/operators.py`). Read `engine.py` next.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from infersim.spec.base import Count, Dtype, Positive, Spec

INDEX_HEADS, INDEX_DIM = 64, 128
"""Heads and width of the indexer that picks tokens in sparse attention, as in DeepSeek V3.2."""


class Latent(Spec):
    """Multi-head latent attention: keys and values of all heads are projections of one short vector that is cached."""

    query_rank: int = Field(ge=0)
    """Width that queries are compressed to; 0 when they are not."""
    kv_rank: Count
    """Width of the cached vector."""
    nope_dim: Count
    """Width of a head's query and key without rotary position."""
    rope_dim: Count
    """Width of the rotary key, which all heads share and which is cached beside the vector."""
    value_dim: Count
    """Width of a head's value."""


class Attention(Spec):
    """Self-attention with H query heads over K key-value heads (MHA: K = H; GQA: K < H; MQA: K = 1)."""

    heads: Count
    """Query heads."""
    kv_heads: Count
    """Key-value heads."""
    head_dim: Count
    """Width of one head."""
    bias: bool = False
    """Whether the QKV projections carry biases."""
    qk_norm: bool = False
    """Whether queries and keys are normalised by head (Qwen3)."""
    gate: bool = False
    """Whether a gate as wide as the queries scales what attention returns (Qwen3.5)."""
    sliding_window: Count | None = None
    """Most tokens that a windowed layer attends to, if any is."""
    windowed_layers: Count | None = None
    """Layers that have the window; all of them when absent."""
    latent: Latent | None = None
    """Multi-head latent attention; then kv_heads is that of the uncompressed form and head_dim is not used."""
    top_k: Count | None = None
    """Tokens that sparse attention picks with its indexer (DeepSeek V3.2), if it does."""

    @model_validator(mode="after")
    def _grouped(self) -> "Attention":
        if self.heads % self.kv_heads:
            raise ValueError(
                f"kv_heads {self.kv_heads} must divide heads {self.heads}: each serves a group of equal size"
            )
        return self


class Recurrent(Spec):
    """Layers with a state of fixed size in place of attention: gated delta rule (Qwen3.5) or Mamba 2 (Nemotron)."""

    layers: Count
    """How many layers are of this kind."""
    key_heads: Count
    """Heads of the key, and of the query (groups, in Mamba)."""
    key_dim: Count
    """Width of a key head (the state size, in Mamba)."""
    value_heads: Count
    """Heads of the value; each has a state of key_dim x value_dim."""
    value_dim: Count
    """Width of a value head."""
    convolution: Count = 4
    """Width of the short convolution before the state."""


class Experts(Spec):
    """A mixture of experts in place of the MLP."""

    count: Count
    """Routed experts in a layer."""
    per_token: Count
    """Experts that one token visits."""
    intermediate_size: Count
    """Width of one expert."""
    shared_intermediate_size: int = Field(default=0, ge=0)
    """Total width of the experts that every token visits."""
    imbalance: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None
    """Load of the busiest chip over the mean where chips hold different experts; 1 is even, as uneven popularity makes it when absent."""

    @model_validator(mode="after")
    def _enough(self) -> "Experts":
        if self.per_token > self.count:
            raise ValueError(f"a token cannot visit {self.per_token} of {self.count} experts")
        return self


class Model(Spec):
    """One decoder-only transformer."""

    name: str
    """The name by which scenarios call it."""
    title: str
    """The name on the card."""
    source: str
    """Where the architecture was read."""
    layers: Count
    """Transformer layers."""
    hidden_size: Count
    """Width of the residual stream."""
    attention: Attention
    """Self-attention, in every layer unless `recurrent` or `attention_layers` say otherwise."""
    attention_layers: Count | None = None
    """Layers with attention; all that are not recurrent when absent."""
    recurrent: Recurrent | None = None
    """Layers with a fixed state in place of attention, if any."""
    intermediate_size: int = Field(ge=0)
    """Width of the dense MLP (0 when every feed-forward layer is a mixture of experts)."""
    dense_layers: Count | None = None
    """Layers whose feed-forward is dense, in a model that has experts in the others."""
    feed_forward_layers: Count | None = None
    """Layers with a feed-forward; all when absent (Nemotron alternates mixers and feed-forwards)."""
    gated_mlp: bool = True
    """Gate, up and down projections (SwiGLU) instead of two matrices."""
    experts: Experts | None = None
    """Mixture of experts, if any."""
    vocab_size: Count
    """Rows of the embedding."""
    tied_embeddings: bool = False
    """Whether the LM head shares the embedding's weights."""
    max_context: Count
    """Longest context the model was made for [tokens]."""
    native_dtype: Dtype = "bf16"
    """Dtype of the published weights."""
    quantised: Literal["all", "mlp", "experts"] = "all"
    """What a weight dtype below 16 bits concerns: all but embeddings and routers, or feed-forward layers only (dense ones, or
    experts)."""
    block_scales: bool = False
    """Whether its makers' fp8 checkpoint has a scale for each 128 by 128 weights and tokens' 128 inputs, not one for each matrix (those
    of models trained in fp8 have)."""
    sampling: Literal["plain", "filtered", "penalised"] = "plain"
    """What the published generation_config asks of the sampler: nothing, top-p or top-k, or also a penalty."""
    published_parameters_b: Positive | None = None
    """Published total [1e9], to check the count derived from the architecture."""

    @model_validator(mode="after")
    def _layers_add_up(self) -> "Model":
        if self.experts is None and (self.intermediate_size == 0 or self.dense_layers is not None):
            raise ValueError("a model without experts needs intermediate_size above 0, and no dense_layers")
        if self.experts and (self.intermediate_size == 0) != (self.dense_layers is None):
            raise ValueError(
                "a layer has either a dense MLP or experts: intermediate_size above 0 and dense_layers go together"
            )
        if (self.dense_layers or 0) > (self.feed_forward_layers or self.layers):
            raise ValueError(f"{self.dense_layers} dense layers exceed the feed-forward layers")
        if self.with_attention < 1 or self.with_attention + self.with_state > self.layers:
            raise ValueError(
                f"{self.with_attention} layers with attention and {self.with_state} recurrent ones must be at least 1 "
                f"and 0, and at most {self.layers} together"
            )
        if (self.attention.windowed_layers or 0) > self.with_attention:
            raise ValueError(f"{self.attention.windowed_layers} windowed layers exceed {self.with_attention}")
        return self

    @property
    def biased(self) -> bool:
        """Whether the products that end attention and MLP add a bias too, as in GPT-2's line (GPT-3, OPT, BLOOM, Megatron, Phi)."""
        return self.attention.bias and not self.gated_mlp

    @property
    def with_state(self) -> int:
        """Recurrent layers."""
        return self.recurrent.layers if self.recurrent else 0

    @property
    def with_attention(self) -> int:
        """Layers that attend to keys and values."""
        return self.layers - self.with_state if self.attention_layers is None else self.attention_layers

    @property
    def with_window(self) -> int:
        """Of those, layers that attend to a window only."""
        if self.attention.sliding_window is None:
            return 0
        windowed = self.attention.windowed_layers
        return self.with_attention if windowed is None else windowed

    @property
    def with_mlp(self) -> int:
        """Layers with a dense MLP."""
        if self.experts:
            return self.dense_layers or 0
        return self.feed_forward_layers or self.layers

    @property
    def with_experts(self) -> int:
        """Layers with experts."""
        return (self.feed_forward_layers or self.layers) - self.with_mlp if self.experts else 0


def prediction_layer(model: Model) -> Model:
    """The layer that a model brings along to draft tokens (multi-token prediction), as a model of its own.

    Attention to the whole context and the model's own experts, or its MLP where it has none: DeepSeek-V3 (arXiv 2412.19437,
    section 2.2) and the heads of Qwen3.5 and GLM after it.
    """
    attention = model.attention.model_copy(update={"sliding_window": None, "windowed_layers": None})
    only = {"layers": 1, "attention_layers": None, "feed_forward_layers": None, "recurrent": None}
    dense = None if model.dense_layers is None else 0
    return model.model_copy(update={**only, "dense_layers": dense, "attention": attention})


def count_parameters(model: Model) -> float:
    """Parameters of the whole model: what its weights hold, embeddings, norms and biases included."""
    experts = model.experts.count if model.experts else 0
    return _parameters(model, experts)


def active_parameters(model: Model) -> float:
    """Parameters that one token visits: as `count_parameters`, with only the experts that it is routed to."""
    experts = model.experts.per_token if model.experts else 0
    return _parameters(model, experts)


def _parameters(model: Model, experts: int) -> float:
    """Parameters with `experts` routed experts in each layer that has some."""
    width = model.hidden_size
    matrices = 3 if model.gated_mlp else 2
    total = model.with_attention * _attention_parameters(model.attention, width)
    total += model.with_state * _recurrent_parameters(model.recurrent, width) if model.recurrent else 0
    total += model.with_mlp * matrices * width * model.intermediate_size
    if model.experts:
        router = width * model.experts.count  # the router scores every expert
        wide = experts * model.experts.intermediate_size + model.experts.shared_intermediate_size
        total += model.with_experts * (router + matrices * width * wide)
    norms = model.with_attention + model.with_state + model.with_mlp + model.with_experts + 1
    embeddings = model.vocab_size * width * (1 if model.tied_embeddings else 2)
    return float(embeddings + total + norms * width)


def _attention_parameters(attention: Attention, width: int) -> int:
    """Parameters of one attention layer."""
    if latent := attention.latent:
        query = attention.heads * (latent.nope_dim + latent.rope_dim)
        count = latent.query_rank * (width + query) if latent.query_rank else width * query
        count += width * (latent.kv_rank + latent.rope_dim) + latent.query_rank + latent.kv_rank
        count += latent.kv_rank * attention.heads * (latent.nope_dim + latent.value_dim)
        count += attention.heads * latent.value_dim * width
        if attention.top_k:
            count += (latent.query_rank or width) * INDEX_HEADS * INDEX_DIM + width * (INDEX_DIM + INDEX_HEADS)
        return count
    heads = attention.heads * (2 if attention.gate else 1) + 2 * attention.kv_heads
    count = width * heads * attention.head_dim + attention.heads * attention.head_dim * width
    return count + heads * attention.head_dim * attention.bias + 2 * attention.head_dim * attention.qk_norm


def _recurrent_parameters(recurrent: Recurrent, width: int) -> int:
    """Parameters of one recurrent layer: projections in and out, convolution, decay and step of each value head."""
    keys, values = recurrent.key_heads * recurrent.key_dim, recurrent.value_heads * recurrent.value_dim
    into = 2 * keys + 2 * values + 2 * recurrent.value_heads
    return width * into + values * width + recurrent.convolution * (2 * keys + values) + 2 * recurrent.value_heads
