"""What published tables call chips, engines, models and dtypes, and what the catalogue calls them.

Not here: what the names stand for (`infersim/spec/catalogue.py`). Read `measurements.py` next.
"""

import re

from infersim.spec import catalogue

CHIPS = (
    (r"gb300", "gb300-nvl72"), (r"gb200", "gb200-nvl72"), (r"gh200.*144", "gh200-144gb"), (r"gh200", "gh200"),
    (r"b300", "b300-sxm"), (r"b200", "b200-sxm"), (r"rubin", "rubin-nvl72"),
    (r"h200.*nvl", "h200-nvl"), (r"h200", "h200-sxm"), (r"h800", "h800-sxm"), (r"h20\b", "h20"),
    (r"h100.*nvl", "h100-nvl"), (r"h100.*pcie", "h100-pcie"), (r"h100", "h100-sxm"),
    (r"a100(?!.*40gb).*pcie", "a100-pcie-80gb"), (r"a100(?!.*pcie).*40gb", "a100-sxm-40gb"), (r"a100(?!.*40gb)", "a100-sxm-80gb"),
    (r"l40s", "l40s"), (r"\bl4\b", "l4"), (r"a10g", "a10g"), (r"rtx-pro-6000", "rtx-pro-6000"), (r"4090", "rtx-4090"),
    (r"mi250", "mi250"), (r"mi300x", "mi300x"), (r"mi325x", "mi325x"), (r"mi350x", "mi350x"), (r"mi355x", "mi355x"),
    (r"v5e|v5-?lite", "tpu-v5e"), (r"tpu.*v5p", "tpu-v5p"), (r"v6e|trillium", "tpu-v6e"), (r"tpu.*v7|ironwood", "tpu-v7"),
    (r"tpu.*v4", "tpu-v4"), (r"(trainium-?|trn)3", "trainium3"), (r"(trainium-?|trn)2", "trainium2"),
    (r"(trainium|trn)-?1?\b", "trainium1"), (r"(inferentia-?|inf)2", "inferentia2"), (r"(inferentia|inf)-?1?\b", "inferentia1"),
    (r"gaudi-?3|hl-3\d\d", "gaudi3"), (r"gaudi-?2|hl-2\d\d", "gaudi2"), (r"lpx", "groq-lpx"), (r"groq", "groq-lpu"),
    (r"wse-?3|cs-3", "cerebras-wse3"), (r"wse-?2|cs-2", "cerebras-wse2"), (r"sn40l", "sambanova-sn40l"),
    (r"910b", "ascend-910b"), (r"910c", "ascend-910c"), (r"xeon-(gnr|69)", "xeon-6980p"),
)  # fmt: skip
"""Pattern, profile; the first that is found counts: what tables, drivers and clouds call a chip (NVIDIA A100-SXM4-80GB)."""

ENGINES = (
    (r"neuron", "neuron"),
    (r"jetstream|maxtext|saxml|tpu|xla", "jetstream"),
    (r"sglang v?0\.5\.[1-9]\d", "sglang-0.5.10"),
    (r"sglang", "sglang"),
    (r"vllm .*\+mlperf", "vllm"),
    (r"vllm (\(?202[34]|v?0\.[2-7]\.|v0\b(?!\.))", "vllm-v0"),
    (r"vllm v?0\.([89]|1[0-3])\b(?!\S*dev)", "vllm-0.13"),
    (r"vllm", "vllm"),
    (r"groq", "groq"),
    (r"waferllm", "waferllm"),
    (r"cerebras|wafer", "cerebras"),
    (r"samba", "sambanova"),
    (r"vendor api", "cerebras"),
    (r"habana|gaudi", "optimum-habana"),
    (r"llama\.cpp|ollama|mlc|mlx|exllama|awq|gpt-fast", "local"),
    (r"unstated", "eager"),
    (r"\btgi\b|text-generation-inference", "vllm-v0"),
    (r"deepspeed|fastertransformer|lmdeploy|megatron|transformers", "static"),
    (r"\bnim\b", "tensorrt-llm-0"),
    (r"(trtllm|tensorrt-llm) v?1\.[1-9]", "tensorrt-llm-1.2"),
    (r"trtllm|tensorrt-llm(?! (v?0\.1?\d\b|\())", "tensorrt-llm"),
    (r"tensorrt 10\.1[3-9]", "tensorrt-llm-1.2"),
    (r"tensorrt 10\.1[12]", "tensorrt-llm"),
    (r"tensorrt|cuda", "tensorrt-llm-0"),
    (r"deepseek", "sglang"),
    (r"pytorch", "vllm"),
)
"""Pattern, engine; the first that is found counts. TensorRT 10.11 came with TensorRT-LLM 1.0, 10.13 with 1.1 (their release notes), both of
which serve by the PyTorch back end unless told otherwise, with its scheduler a step ahead: first tokens of MLPerf's servers take 1.7 to 1.9
steps with it, 1.5 with 10.1 and 10.2. AMD's builds for MLPerf are ahead of the releases that they name: 53,334 tokens/s
of Mixtral under that of 0.6.5 and 53,017 under 0.9.0 on the same machine."""

ON_CHIPS = (
    (r"^mi\d", {"vllm-v0": "vllm-rocm-0", "vllm-0.13": "vllm", "sglang-0.5.10": "sglang"}), (r"^gaudi", {"static": "optimum-habana"}),
)  # fmt: skip
"""Engines whose software for some chips is a profile of its own; AMD's images are builds ahead of vLLM's releases, and leave no room for half a
millisecond between steps; DeepSpeed is a part of Habana's software on Gaudi, and SGLang's piecewise
graphs are CUDA's alone."""

MODELS = {
    "llama-3-70b-(r1-distill)": "llama-3.1-70b",
    "deepseek-r1": "deepseek-v3",
    "deepseek-v3.1": "deepseek-v3",
    "minimax-m2.5": "minimax-m2.7",
    "glm-5": "glm-5.1",
    "deepseek-v3/r1": "deepseek-v3",
    "megatron-530b-(105-layers,-20480-hidden)": "megatron-530b",
    "mistral-7b": "mistral-7b-v0.3",
    "mistral-nemo": "mistral-nemo",
    "llama-4-scout-17b-16e": "llama-4-scout",
    "llama-4-maverick-17b-128e": "llama-4-maverick",
    "llama-3.1-nemotron-70b": "llama-3.1-70b",
    "deepseek-r1-distill-llama-8b": "llama-3.1-8b",
    "deepseek-r1-distill-llama-70b": "llama-3.3-70b",
    "deepseek-r1-distill-qwen-14b": "qwen2.5-14b",
    "deepseek-r1-distill-qwen-32b": "qwen2.5-32b",
    "qwq-32b": "qwen2.5-32b",
    "mistral-large": "mistral-large-123b",
    "phi-3-mini-4k": "phi-3-mini",
    "phi-3-mini-128k": "phi-3-mini",
    "phi-3-medium-4k": "phi-3-medium",
    "phi-3-medium-128k": "phi-3-medium",
    "glm-4.6": "glm-4.5",
    "glm-4.7": "glm-4.5",
    "minimax-m2": "minimax-m2.7",
    "minimax-m2.1": "minimax-m2.7",
    "llama-7b": "llama-2-7b",
    "llama-1-7b": "llama-2-7b",
    "llama-13b": "llama-2-13b",
    "vicuna-7b": "llama-2-7b",
    "vicuna-13b": "llama-2-13b",
    "vicuna-33b": "llama-30b",
    "llama-33b": "llama-30b",
    "qwen2-0.5b": "qwen2.5-0.5b",
    "qwen2-1.5b": "qwen2.5-1.5b",
    "qwen2-7b": "qwen2.5-7b",
    "qwen2-72b": "qwen2.5-72b",
    "qwen-7b": "qwen1.5-7b",
    "qwen-72b": "qwen1.5-72b",
    "qwen3-480b-a35b": "qwen3-coder-480b-a35b",
    "qwen3guard-gen-8b": "qwen3-8b",
    "zephyr-7b-beta": "mistral-7b-v0.1",
    "zephyr-7b": "mistral-7b-v0.1",
    "mistral-large-2": "mistral-large-123b",
    "mistral-nemo-12b": "mistral-nemo",
    "phi-3.5-mini": "phi-3-mini",
    "deepseek-v2.5": "deepseek-v2",
    "chatglm2-6b": "chatglm3-6b",
    "starcoder": "starcoder-15b",
    "c4ai-command-r": "command-r",
    "c4ai-command-r-v01": "command-r",
    "c4ai-command-r-plus": "command-r-plus",
    "command-r+": "command-r-plus",
    "gpt3-175b": "gpt-3-175b",
    "mt-nlg-530b": "megatron-530b",
}

_TUNED = r"-(instruct|chat|coder|thinking|it)(?=-|$)"
"""What fine-tuning adds to a name, anywhere in it: Mixtral-8x7B-Instruct-v0.1."""
_SUFFIXES = (
    r"-(hf|base|fp8|fp8-dynamic|fp8-kv|dynamic|bf16|w8a8|w4a16|quantized|awq|gptq|int4|int8|fp4|nvfp4|mxfp4|preview"
    r"|2[45]\d\d|0[1-9][0-3]\d|v\d(\.\d)?)$"
)
"""What quantisation and releases add to it."""


def chip_name(text: str) -> str | None:
    """The profile of a chip; None if there is none."""
    plain, names = _plain(text), catalogue.hardware_names()
    return plain if plain in names else _first(CHIPS, plain)


def model_name(text: str) -> str | None:
    """The profile of a model, whatever organisation and suffixes of fine-tuning and quantisation stand around it."""
    organised = re.match(r"^[\w.-]+/[\w.-]+$", text) and text.lower() not in MODELS
    name = text.split("/", 1)[1] if organised else text
    name = re.sub(r"^meta-llama-", "llama-", _plain(name))
    name = re.sub(r"-\((?!r1|105).*\)$", "", name)
    name = re.sub(_TUNED, "", name)
    while True:
        known = MODELS.get(name, name)
        shorter = re.sub(_SUFFIXES, "", name)
        if known in catalogue.model_names():
            return known
        if shorter == name:
            return None
        name = shorter


def engine_name(text: str, chip: str = "") -> str | None:
    """The profile of an engine, as it is on a chip's profile; None if it is not known."""
    lower = re.sub(r"\b(vllm|sglang|tensorrt-llm)-(?=v?\d)", r"\1 ", text.lower().replace("trt-llm", "tensorrt-llm"))
    found = _first(ENGINES, lower)
    own = next((engines for pattern, engines in ON_CHIPS if re.search(pattern, chip)), {})
    return own.get(found or "", found)


def dtype_of(text: str, sixteen: str = "bf16") -> str:
    """A dtype; `unknown` and the like are 16 bit."""
    lower = text.lower()
    for pattern, dtype in (
        (r"fp4|mxfp4", "fp4"), (r"fp8", "fp8"), (r"int8", "int8"), (r"int4|awq|gptq|q4", "int4"), (r"fp32", "fp32"),
    ):  # fmt: skip
        if re.search(pattern, lower):
            return dtype
    return "fp16" if lower.startswith("fp16") and sixteen == "fp16" else sixteen


def _plain(text: str) -> str:
    return text.strip().lower().replace("_", "-").replace(" ", "-")


def _first(patterns: tuple[tuple[str, str], ...], text: str) -> str | None:
    return next((name for pattern, name in patterns if re.search(pattern, text)), None)
