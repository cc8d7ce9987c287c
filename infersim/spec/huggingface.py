"""A Hugging Face `config.json` as a Model, for the architectures that a Model can express.

What it cannot express (latent attention, state-space layers, layers that differ) is an error that says so, never a
near miss. Defaults are those of the config classes of transformers 4.57, for keys that a file leaves out.
Not here: weights; only the shape is read. Read `catalogue.py` next.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infersim.spec.document import Document, read_document
from infersim.spec.errors import KeyPath, Problem, SpecError
from infersim.spec.model import Model
from infersim.spec.translate import check


@dataclass(frozen=True)
class _Family:
    """How one architecture differs from Llama."""

    bias: bool = False
    """QKV biases, where the config has no key for them."""
    qk_norm: bool = False
    tied: bool = False
    """Tied embeddings, where the config has no key for them."""
    gated: bool = True
    experts: dict[str, str] = field(default_factory=dict)
    """Config keys of Experts' fields."""
    windowed: bool = True
    """Whether `sliding_window` is in force; Qwen's waits for `use_sliding_window`."""
    kv_heads: bool = True
    """Whether there is grouped-query attention at all."""


_MIXTRAL = {"count": "num_local_experts", "per_token": "num_experts_per_tok", "intermediate_size": "intermediate_size"}
_QWEN_MOE = {"count": "num_experts", "per_token": "num_experts_per_tok", "intermediate_size": "moe_intermediate_size"}

FAMILIES = {
    "LlamaForCausalLM": _Family(),
    "MistralForCausalLM": _Family(),
    "MixtralForCausalLM": _Family(experts=_MIXTRAL),
    "Qwen2ForCausalLM": _Family(bias=True, windowed=False),
    "Qwen2MoeForCausalLM": _Family(
        bias=True, windowed=False, experts={**_QWEN_MOE, "shared_intermediate_size": "shared_expert_intermediate_size"}
    ),
    "Qwen3ForCausalLM": _Family(qk_norm=True, windowed=False),
    "Qwen3MoeForCausalLM": _Family(qk_norm=True, windowed=False, experts=_QWEN_MOE),
    "Phi3ForCausalLM": _Family(),
    "GemmaForCausalLM": _Family(tied=True),
    "GPTNeoXForCausalLM": _Family(bias=True, gated=False, kv_heads=False),
}
"""Architectures that are read; the name stands under `architectures` in the file."""

_BEYOND = {
    "kv_lora_rank": "multi-head latent attention (a compressed KV cache)",
    "ssm_state_size": "state-space layers",
    "mamba_d_state": "state-space layers",
    "state_size": "state-space layers",
    "hybrid_override_pattern": "layers of several kinds",
    "linear_num_key_heads": "linear-attention layers",
    "attention_chunk_size": "chunked local attention in some layers",
    "index_topk": "sparse attention",
}
"""Keys that betray what a Model cannot express."""

_DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
_QUANTISED = {
    ("fp8", "None"): "fp8",
    ("fbgemm_fp8", "None"): "fp8",
    ("mxfp4", "None"): "fp4",
    ("gptq", "4"): "int4",
    ("gptq", "8"): "int8",
    ("awq", "4"): "int4",
}
"""Dtype of the weights by quant_method and bits."""


def load_huggingface(path: str | Path) -> Model:
    """The model that a config.json describes; its name is that of the folder that holds it.

    Raises SpecError for a file that is no such config, and for an architecture that a Model cannot express.
    """
    path = Path(path)
    config = _Config(read_document(path))
    family = config.family()
    config.refuse_unlike_layers(family)
    name = path.resolve().parent.name if path.name == "config.json" else path.stem
    experts = {ours: config.number(theirs) for ours, theirs in family.experts.items()} or None
    heads, hidden = config.number("num_attention_heads"), config.number("hidden_size")
    head_dim = config.data.get("head_dim") or _divide(config, hidden, heads)
    model = {
        "name": name,
        "title": name,
        "source": f"Hugging Face {path.name}",
        "layers": config.number("num_hidden_layers"),
        "hidden_size": hidden,
        "attention": {
            "heads": heads,
            "kv_heads": config.number("num_key_value_heads", heads) if family.kv_heads else heads,
            "head_dim": head_dim,
            "bias": config.flag("attention_bias", family.bias),
            "qk_norm": family.qk_norm,
            "sliding_window": config.window(family),
        },
        "intermediate_size": 0 if experts else config.number("intermediate_size"),
        "gated_mlp": family.gated,
        "experts": experts,
        "vocab_size": config.number("vocab_size"),
        "tied_embeddings": config.flag("tie_word_embeddings", family.tied),
        "max_context": config.number("max_position_embeddings"),
        "native_dtype": config.dtype(),
        "sampling": _sampling(path.with_name("generation_config.json")),
    }
    return check(Document(model, str(path), path.parent), Model)


@dataclass(frozen=True)
class _Config:
    """A config.json with what is asked of it."""

    document: Document

    @property
    def data(self) -> dict[str, Any]:
        if not isinstance(self.document.data, dict):
            raise self.wrong((), "is no Hugging Face config: a mapping is wanted")
        return self.document.data

    def wrong(self, path: KeyPath, message: str) -> SpecError:
        return SpecError(Problem(message, self.document.source, path=path))

    def family(self) -> _Family:
        """What is known of the architecture."""
        for key, what in _BEYOND.items():
            if self.data.get(key) is not None:
                raise self.wrong((key,), f"is {what}, which infersim's model cannot express yet")
        names = self.data.get("architectures")
        if not isinstance(names, list) or not names:
            raise self.wrong(("architectures",), "is missing; this is no config.json of a causal language model")
        if not isinstance(names[0], str) or names[0] not in FAMILIES:
            known = ", ".join(FAMILIES)
            raise self.wrong(("architectures",), f"found {names[0]}, which is not among those that are read: {known}")
        return FAMILIES[names[0]]

    def refuse_unlike_layers(self, family: _Family) -> None:
        """Raise for layers that are not all of one kind."""
        kinds = self.data.get("layer_types")
        if isinstance(kinds, list) and len({str(kind) for kind in kinds}) > 1:
            raise self.wrong(
                ("layer_types",), f"has {', '.join(sorted({str(k) for k in kinds}))}: all layers must be alike"
            )
        if family.experts and self.data.get("mlp_only_layers"):
            raise self.wrong(
                ("mlp_only_layers",), "some layers are dense and some are mixtures; all layers must be alike"
            )
        if family.experts and self.data.get("decoder_sparse_step", 1) != 1:
            raise self.wrong(("decoder_sparse_step",), "only each n-th layer is a mixture; all layers must be alike")

    def number(self, key: str, default: int | None = None) -> int:
        """A whole number above 0."""
        value = self.data.get(key)
        if value is None and default is not None:
            return default
        if value is None:
            raise self.wrong((key,), "is missing")
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.wrong((key,), f"found {value!r}; must be a whole number of at least 1")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self.data.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.wrong((key,), f"found {value!r}; must be true or false")
        return default if value is None else value

    def window(self, family: _Family) -> int | None:
        """The sliding window that every layer has, if any."""
        kinds = self.data.get("layer_types")
        if self.data.get("sliding_window") is None or (isinstance(kinds, list) and "full_attention" in kinds):
            return None
        if not family.windowed and not self.flag("use_sliding_window", False):
            return None
        first, layers = self.data.get("max_window_layers"), self.number("num_hidden_layers")
        if family.windowed or first == 0:
            return self.number("sliding_window")
        if isinstance(first, int) and first >= layers:  # the window starts at a layer that does not exist
            return None
        raise self.wrong(("max_window_layers",), "some layers have a sliding window and some not; all must be alike")

    def dtype(self) -> str:
        """Dtype of the published weights: that of the quantisation, or the 16-bit one."""
        quantisation = self.data.get("quantization_config")
        if isinstance(quantisation, dict):
            method, bits = str(quantisation.get("quant_method")), str(quantisation.get("bits"))
            found = _QUANTISED.get((method, bits)) or _QUANTISED.get((method, "None"))
            if found is None:
                known = ", ".join(sorted({name for name, _ in _QUANTISED}))
                what = f"found {method} with {bits} bits; known: {known}"
                advice = "remove quantization_config and set precision.weights in the scenario"
                raise self.wrong(("quantization_config", "quant_method"), f"{what}; or {advice}")
            return found
        key = "dtype" if self.data.get("dtype") is not None else "torch_dtype"
        value = self.data.get(key) or "bfloat16"
        if not isinstance(value, str) or value not in _DTYPES:
            raise self.wrong((key,), f"found {value!r}; known: {', '.join(_DTYPES)}")
        return _DTYPES[value]


def _sampling(path: Path) -> str:
    """What a generation_config.json beside the config asks of the sampler; plain when there is none."""
    if not path.is_file():
        return "plain"
    wanted = read_document(path).data
    if not isinstance(wanted, dict):
        raise SpecError(Problem("is no generation config: a mapping is wanted", str(path)))
    if wanted.get("repetition_penalty") not in (None, 1, 1.0):
        return "penalised"
    filtered = wanted.get("top_p") not in (None, 1, 1.0) or wanted.get("top_k") not in (None, 0, -1)
    return "filtered" if filtered else "plain"


def _divide(config: _Config, hidden: int, heads: int) -> int:
    """Width of a head where the config does not say it."""
    if hidden % heads:
        raise config.wrong(
            ("num_attention_heads",), f"{heads} heads do not divide hidden_size {hidden}, and head_dim is missing"
        )
    return hidden // heads
