"""A model's architecture: enough to count its parameters, FLOPs, bytes and KV cache.

Not here: what that costs on a chip (`infersim/cost/operators.py`). Read `engine.py` next.
"""

from pydantic import Field

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
