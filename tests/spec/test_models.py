"""Parameter counts against published ones, and Hugging Face configs against the shipped models."""

import json
from pathlib import Path
from typing import Any

import pytest

from infersim.spec import catalogue
from infersim.spec.errors import SpecError
from infersim.spec.huggingface import load_huggingface
from infersim.spec.model import Attention, Experts, Model, active_parameters, count_parameters, prediction_layer

# totals and active parameters [1e9] of the model cards
PUBLISHED = {
    "llama-2-7b": (6.74, 6.74),
    "llama-2-13b": (13.02, 13.02),
    "llama-2-70b": (68.98, 68.98),
    "llama-3.1-8b": (8.03, 8.03),
    "llama-3.1-70b": (70.55, 70.55),
    "llama-3.1-405b": (405.85, 405.85),
    "mistral-7b-v0.3": (7.25, 7.25),
    "mixtral-8x7b": (46.7, 12.9),
    "mixtral-8x22b": (140.6, 39.1),
    "qwen2.5-7b": (7.62, 7.62),
    "qwen2.5-32b": (32.76, 32.76),
    "qwen2.5-72b": (72.71, 72.71),
    "qwen3-8b": (8.19, 8.19),
    "qwen3-14b": (14.8, 14.8),
    "qwen3-32b": (32.76, 32.76),
    "qwen3-30b-a3b": (30.5, 3.3),
    "qwen3-235b-a22b": (235.0, 22.0),
    "phi-4": (14.66, 14.66),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_agree_with_published_totals(name: str) -> None:
    model = catalogue.model(name)
    total, active = PUBLISHED[name]
    assert count_parameters(model) / 1e9 == pytest.approx(total, rel=0.015)
    assert active_parameters(model) / 1e9 == pytest.approx(active, rel=0.02)  # cards print two digits


CHECKPOINTS = {
    "llama-3.2-1b": 1_235_814_400, "llama-3.2-3b": 3_212_749_824, "qwen2.5-0.5b": 494_032_768, "qwen2.5-1.5b": 1_543_714_304,
    "qwen2.5-3b": 3_085_938_688, "qwen2.5-14b": 14_770_033_664, "qwen3-1.7b": 1_720_574_976, "qwen3-4b": 4_022_468_096,
    "mistral-small-24b": 23_572_403_200, "mistral-large-123b": 122_610_069_504, "phi-3-medium": 13_960_238_080,
    "yi-6b": 6_061_035_520, "granite-3.1-8b": 8_170_848_256, "llama-30b": 32_528_943_616, "llama-65b": 65_285_660_672,
    "codellama-7b": 6_738_546_688, "codellama-13b": 13_016_028_160, "codellama-70b": 68_976_910_336, "mpt-7b": 6_649_286_656,
    "gemma-7b": 8_537_680_896, "qwen1.5-7b": 7_721_324_544, "qwen1.5-72b": 72_287_920_128, "qwen3-0.6b": 596_049_920,
    "qwen3-coder-480b-a35b": 480_154_875_392, "deepseek-v2": 235_741_434_880, "deepseek-v2-lite": 15_706_484_224,
    "glm-4-9b": 9_399_951_360, "chatglm3-6b": 6_243_584_000, "internlm2-20b": 19_861_149_696,
    "internlm2.5-7b": 7_737_708_544, "baichuan2-13b": 13_896_668_160, "tinyllama-1.1b": 1_100_048_384,
    "solar-10.7b": 10_731_524_096, "dbrx": 131_596_523_520,
}  # fmt: skip
"""Parameters as the safetensors of these checkpoints count them."""


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_parameters_are_those_of_the_checkpoint(name: str) -> None:
    assert count_parameters(catalogue.model(name)) == CHECKPOINTS[name]


def test_every_shipped_model_states_a_total_and_keeps_to_it() -> None:
    for name in catalogue.model_names():
        model = catalogue.model(name)
        if name == "kimi-k3":  # its config is public, its total is not
            continue
        assert model.published_parameters_b is not None, name
        assert count_parameters(model) / 1e9 == pytest.approx(model.published_parameters_b, rel=0.015), name


def test_parameters_of_a_model_small_enough_to_count_by_hand() -> None:
    attention = Attention(heads=2, kv_heads=1, head_dim=3, bias=True, qk_norm=True)
    dense = Model(
        name="tiny", title="Tiny", source="this test", layers=2, hidden_size=4, attention=attention,
        intermediate_size=5, vocab_size=7, max_context=16,
    )  # fmt: skip
    # a layer: Q 4x6, K 4x3, V 4x3, their biases 6+3+3, O 6x4, q and k norms 3+3, MLP 3x(4x5), two norms 4+4
    layer = 24 + 12 + 12 + 12 + 24 + 6 + 60 + 8
    assert count_parameters(dense) == 7 * 4 + 2 * layer + 4 + 4 * 7  # embedding, layers, last norm, LM head
    tied = dense.model_copy(update={"tied_embeddings": True, "gated_mlp": False})
    assert count_parameters(tied) == 7 * 4 + 2 * (layer - 20) + 4
    experts = Experts(count=8, per_token=2, intermediate_size=5, shared_intermediate_size=1)
    sparse = dense.model_copy(update={"intermediate_size": 0, "experts": experts})
    # router 4x8, eight experts of 60, a shared one of 3x(4x1)
    assert count_parameters(sparse) == 28 + 2 * (layer - 60 + 32 + 480 + 12) + 4 + 28
    assert active_parameters(sparse) == 28 + 2 * (layer - 60 + 32 + 120 + 12) + 4 + 28


LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "max_position_embeddings": 131072,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "rope_scaling": {"factor": 8.0, "rope_type": "llama3"},
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "vocab_size": 128256,
}
MIXTRAL: dict[str, Any] = {
    **LLAMA, "architectures": ["MixtralForCausalLM"], "max_position_embeddings": 32768, "num_local_experts": 8,
    "num_experts_per_tok": 2, "sliding_window": None, "vocab_size": 32000,
}  # fmt: skip
QWEN25: dict[str, Any] = {
    **LLAMA, "architectures": ["Qwen2ForCausalLM"], "hidden_size": 3584, "intermediate_size": 18944,
    "num_attention_heads": 28, "num_hidden_layers": 28, "num_key_value_heads": 4, "sliding_window": 131072,
    "use_sliding_window": False, "max_window_layers": 28, "vocab_size": 152064,
}  # fmt: skip
del QWEN25["attention_bias"]  # Qwen2 has biases without a key for them
QWEN3_MOE: dict[str, Any] = {
    **LLAMA, "architectures": ["Qwen3MoeForCausalLM"], "hidden_size": 2048, "intermediate_size": 6144,
    "max_position_embeddings": 40960, "num_hidden_layers": 48, "num_key_value_heads": 4, "head_dim": 128,
    "num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768,
    "decoder_sparse_step": 1, "mlp_only_layers": [], "vocab_size": 151936,
}  # fmt: skip
GPT_NEOX: dict[str, Any] = {
    "architectures": ["GPTNeoXForCausalLM"], "hidden_size": 6144, "intermediate_size": 24576,
    "max_position_embeddings": 2048, "num_attention_heads": 64, "num_hidden_layers": 44,
    "torch_dtype": "float16", "vocab_size": 50432,
}  # fmt: skip
GEMMA: dict[str, Any] = {
    "architectures": ["GemmaForCausalLM"], "head_dim": 256, "hidden_size": 2048, "intermediate_size": 16384,
    "max_position_embeddings": 8192, "num_attention_heads": 8, "num_hidden_layers": 18, "num_key_value_heads": 1,
    "torch_dtype": "bfloat16", "vocab_size": 256000,
}  # fmt: skip


def put(config: dict[str, Any], folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    return folder / "config.json"


@pytest.mark.parametrize(
    ("name", "config"),
    [("llama-3.1-8b", LLAMA), ("mixtral-8x7b", MIXTRAL), ("qwen2.5-7b", QWEN25), ("qwen3-30b-a3b", QWEN3_MOE)],
)
def test_configs_give_what_is_shipped(name: str, config: dict[str, Any], tmp_path: Path) -> None:
    read = load_huggingface(put(config, tmp_path / name))
    # sampling is in generation_config.json, block_scales in the config of another checkpoint
    own_words = {"title", "source", "published_parameters_b", "sampling", "block_scales"}
    assert read.model_dump(exclude=own_words) == catalogue.model(name).model_dump(exclude=own_words)


@pytest.mark.parametrize(("config", "billions"), [(GPT_NEOX, 20.55), (GEMMA, 2.51)])
def test_configs_of_models_that_are_not_shipped(config: dict[str, Any], billions: float, tmp_path: Path) -> None:
    model = catalogue.model(str(put(config, tmp_path / "other")))
    assert count_parameters(model) / 1e9 == pytest.approx(billions, rel=0.015)
    assert model.name == "other"


@pytest.mark.parametrize(
    ("wanted", "sampling"),
    [
        ({"do_sample": True}, "plain"),
        ({"temperature": 0.6, "top_p": 0.9}, "filtered"),
        ({"top_p": 0.8, "top_k": 20, "repetition_penalty": 1.05}, "penalised"),
    ],
)
def test_the_sampler_is_that_of_the_generation_config(wanted: dict[str, Any], sampling: str, tmp_path: Path) -> None:
    path = put(LLAMA, tmp_path / "mine")
    (Path(path).parent if Path(path).is_file() else Path(path)).joinpath("generation_config.json").write_text(
        json.dumps(wanted)
    )
    assert load_huggingface(path).sampling == sampling


def test_a_folder_stands_for_its_config(tmp_path: Path) -> None:
    put(LLAMA, tmp_path / "mine")
    assert catalogue.model("mine/", tmp_path).layers == 32
    assert catalogue.model("./mine/config.json", tmp_path).name == "mine"


@pytest.mark.parametrize(
    ("change", "dtype"),
    [
        ({"torch_dtype": "float16"}, "fp16"),
        ({"torch_dtype": None, "dtype": "bfloat16"}, "bf16"),
        ({"quantization_config": {"quant_method": "fp8", "activation_scheme": "dynamic"}}, "fp8"),
        ({"quantization_config": {"quant_method": "awq", "bits": 4}}, "int4"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 8}}, "int8"),
    ],
)
def test_dtype_of_the_published_weights(change: dict[str, Any], dtype: str, tmp_path: Path) -> None:
    assert load_huggingface(put({**LLAMA, **change}, tmp_path / "m")).native_dtype == dtype


def test_sliding_windows_count_where_they_are_in_force(tmp_path: Path) -> None:
    mistral = {**LLAMA, "architectures": ["MistralForCausalLM"], "sliding_window": 4096}
    assert load_huggingface(put(mistral, tmp_path / "m")).attention.sliding_window == 4096
    everywhere = {**QWEN25, "use_sliding_window": True, "max_window_layers": 0}
    assert load_huggingface(put(everywhere, tmp_path / "m")).attention.sliding_window == 131072
    nowhere = {**QWEN25, "use_sliding_window": True}  # from layer 28 on, of 28
    assert load_huggingface(put(nowhere, tmp_path / "m")).attention.sliding_window is None


@pytest.mark.parametrize(
    ("config", "key", "says"),
    [
        ({**LLAMA, "kv_lora_rank": 512}, "kv_lora_rank", "multi-head latent attention"),
        ({**LLAMA, "mamba_d_state": 16}, "mamba_d_state", "state-space"),
        ({**LLAMA, "architectures": ["BertModel"]}, "architectures", "found BertModel, .* LlamaForCausalLM"),
        ({**LLAMA, "architectures": None}, "architectures", "is missing"),
        ({**LLAMA, "layer_types": ["full_attention", "sliding_attention"]}, "layer_types", "must be alike"),
        ({**QWEN25, "use_sliding_window": True, "max_window_layers": 14}, "max_window_layers", "must be alike"),
        ({**QWEN3_MOE, "mlp_only_layers": [0]}, "mlp_only_layers", "must be alike"),
        ({**QWEN3_MOE, "decoder_sparse_step": 2}, "decoder_sparse_step", "must be alike"),
        ({**LLAMA, "num_hidden_layers": "32"}, "num_hidden_layers", "found '32'; must be a whole number"),
        ({**LLAMA, "num_hidden_layers": 0}, "num_hidden_layers", "at least 1"),
        ({k: v for k, v in LLAMA.items() if k != "vocab_size"}, "vocab_size", "is missing"),
        ({**LLAMA, "num_attention_heads": 33, "num_key_value_heads": 3}, "num_attention_heads", "33 heads do not"),
        ({**LLAMA, "num_key_value_heads": 5}, "attention", "must divide heads 32"),
        ({**LLAMA, "torch_dtype": "float8"}, "torch_dtype", "found 'float8'; known"),
        ({**LLAMA, "quantization_config": {"quant_method": "hqq"}}, "quantization_config.quant_method", "found hqq"),
        ({**LLAMA, "tie_word_embeddings": "no"}, "tie_word_embeddings", "must be true or false"),
        ([1, 2], "", "a mapping is wanted"),
    ],
)  # fmt: skip
def test_what_cannot_be_expressed_is_said(config: Any, key: str, says: str, tmp_path: Path) -> None:
    path = put(config, tmp_path / "m")
    with pytest.raises(SpecError, match=says) as caught:
        load_huggingface(path)
    assert str(caught.value).startswith(f"{path}: {key}")


@pytest.mark.parametrize("name", catalogue.model_names())
def test_the_layer_that_drafts_is_one_layer_of_every_model(name: str) -> None:
    """Attention to the whole context, one MLP or one set of experts, and not one parameter below zero."""
    model = catalogue.model(name)
    layer = prediction_layer(model)
    assert (layer.with_attention, layer.with_state, layer.with_window) == (1, 0, 0)
    assert (layer.with_mlp, layer.with_experts) == ((0, 1) if model.experts else (1, 0))
    embeddings = model.vocab_size * model.hidden_size * (1 if model.tied_embeddings else 2)
    assert 0 < count_parameters(layer) - embeddings <= count_parameters(model) - embeddings


def test_the_layer_that_drafts_of_deepseek_v3_has_its_published_size() -> None:
    """11.5 bn parameters of its own beside the shared embedding and head of 0.9 bn each (README_WEIGHTS of the model)."""
    layer = prediction_layer(catalogue.model("deepseek-v3"))
    assert count_parameters(layer) == pytest.approx(11.5e9 + 2 * 0.93e9, rel=0.02)
