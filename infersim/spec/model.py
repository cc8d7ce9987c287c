"""A model's architecture: enough to count its parameters, FLOPs, bytes and KV cache.

Not here: what that costs on a chip (`infersim/cost/operators.py`). Read `engine.py` next.
"""

from pydantic import Field, model_validator

from infersim.spec.base import Count, Dtype, Positive, Spec


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
    sliding_window: Count | None = None
    """Most tokens that a layer attends to, if limited."""

    @model_validator(mode="after")
    def _grouped(self) -> "Attention":
        if self.heads % self.kv_heads:
            raise ValueError(
                f"kv_heads {self.kv_heads} must divide heads {self.heads}: each serves a group of equal size"
            )
        return self


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
    """Self-attention of every layer."""
    intermediate_size: int = Field(ge=0)
    """Width of the dense MLP (0 when every layer is a mixture of experts)."""
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
    published_parameters_b: Positive | None = None
    """Published total [1e9], to check the count derived from the architecture."""

    @model_validator(mode="after")
    def _one_feed_forward(self) -> "Model":
        if (self.experts is None) == (self.intermediate_size == 0):
            raise ValueError(
                "a layer has either a dense MLP (intermediate_size above 0) or experts (and intermediate_size 0)"
            )
        return self


def count_parameters(model: Model) -> float:
    """Parameters of the whole model: what its weights hold, embeddings, norms and biases included."""
    experts = model.experts.count if model.experts else 0
    return _parameters(model, experts)


def active_parameters(model: Model) -> float:
    """Parameters that one token visits: as `count_parameters`, with only the experts that it is routed to."""
    experts = model.experts.per_token if model.experts else 0
    return _parameters(model, experts)


def _parameters(model: Model, experts: int) -> float:
    """Parameters with `experts` routed experts in each layer."""
    width, attention = model.hidden_size, model.attention
    matrices = 3 if model.gated_mlp else 2
    qkv_width = (attention.heads + 2 * attention.kv_heads) * attention.head_dim
    layer = width * qkv_width + attention.heads * attention.head_dim * width
    layer += qkv_width * attention.bias + 2 * attention.head_dim * attention.qk_norm
    layer += matrices * width * model.intermediate_size + 2 * width
    if model.experts:
        layer += width * model.experts.count  # the router scores every expert
        layer += matrices * width * (experts * model.experts.intermediate_size + model.experts.shared_intermediate_size)
    embeddings = model.vocab_size * width * (1 if model.tied_embeddings else 2)
    return float(embeddings + model.layers * layer + width)
