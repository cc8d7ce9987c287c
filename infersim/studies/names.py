"""What published tables call chips, engines, models and dtypes, and what the catalogue calls them.

Not here: what the names stand for (`infersim/spec/catalogue.py`). Read `measurements.py` next.
"""

import re

from infersim.spec import catalogue

CHIPS = {
    "h100": "h100-sxm", "h200": "h200-sxm", "b200": "b200-sxm", "b300": "b300-sxm", "a100": "a100-sxm-80gb",
    "gh200": "gh200", "gb200": "gb200-nvl72", "gb300": "gb300-nvl72", "a100-80gb": "a100-sxm-80gb",
    "a100-pcie-80gb": "a100-pcie-80gb", "groq-lpu": "groq-lpu", "cerebras-wse-2": "cerebras-wse2",
    "cerebras-wse-3": "cerebras-wse3", "xeon-gnr-2s": "xeon-6980p", "rtx-pro-6000": "rtx-pro-6000",
    "rtx-pro-6000-server": "rtx-pro-6000", "trn1": "trainium1", "trn2": "trainium2", "inf2": "inferentia2",
    "h800": "h800-sxm", "sn40l": "sambanova-sn40l",
}  # fmt: skip
"""Names that are not those of a profile already."""

ENGINES = (
    (r"neuron", "neuron"),
    (r"jetstream|tpu|xla", "jetstream"),
    (r"sglang v?0\.5\.[1-9]\d", "sglang-0.5.10"),
    (r"sglang", "sglang"),
    (r"vllm .*\+mlperf", "vllm"),
    (r"vllm (\(?202[34]|v?0\.[2-7]\.)", "vllm-v0"),
    (r"vllm", "vllm"),
    (r"groq", "groq"),
    (r"waferllm", "waferllm"),
    (r"cerebras|wafer", "cerebras"),
    (r"samba", "sambanova"),
    (r"vendor api", "cerebras"),
    (r"habana", "optimum-habana"),
    (r"llama\.cpp|mlc|exllama|awq|gpt-fast", "local"),
    (r"unstated", "eager"),
    (r"deepspeed|fastertransformer|lmdeploy", "static"),
    (r"\bnim\b", "tensorrt-llm-0"),
    (r"(trtllm|tensorrt-llm) 1\.[1-9]", "tensorrt-llm-1.2"),
    (r"trtllm|tensorrt-llm(?! (0\.1?\d\b|\())", "tensorrt-llm"),
    (r"tensorrt|cuda", "tensorrt-llm-0"),
    (r"deepseek", "sglang"),
    (r"pytorch", "vllm"),
)
"""Pattern, engine; the first that is found counts. AMD's builds for MLPerf are ahead of the releases that they name: 53,334 tokens/s
of Mixtral under that of 0.6.5 and 53,017 under 0.9.0 on the same machine."""

ON_CHIPS_OF = {
    "AMD": {"vllm-v0": "vllm-rocm-0", "sglang-0.5.10": "sglang"}, "Intel": {"static": "optimum-habana"},
}  # fmt: skip
"""Engines whose software for a vendor's chips is a profile of its own; DeepSpeed is a part of Habana's software on Gaudi, and SGLang's piecewise
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
}

_SUFFIXES = (
    r"-(instruct|chat|hf|it|base|fp8|fp8-dynamic|dynamic|bf16|w8a8|w4a16|quantized|awq|gptq|nvfp4|2407|2409|2501|2503)$"
)
"""What fine-tuning and quantisation add to a name."""


def chip_name(text: str) -> str | None:
    """The profile of a chip; None if there is none."""
    return _named(text, CHIPS, catalogue.hardware_names())


def model_name(text: str) -> str | None:
    """The profile of a model, whatever organisation and suffixes of fine-tuning and quantisation stand around it."""
    organised = re.match(r"^[\w.-]+/[\w.-]+$", text) and text.lower() not in MODELS
    name = text.split("/", 1)[1] if organised else text
    name = re.sub(r"^meta-llama-", "llama-", name.strip().lower().replace(" ", "-").replace("_", "-"))
    name = re.sub(r"-\((?!r1|105).*\)$", "", name)
    while True:
        found = _named(name, MODELS, catalogue.model_names())
        shorter = re.sub(_SUFFIXES, "", name)
        if found or shorter == name:
            return found
        name = shorter


def engine_name(text: str, vendor: str = "") -> str | None:
    """The profile of an engine, on the chips of a vendor; None if it is not known."""
    lower = text.lower()
    found = next((name for pattern, name in ENGINES if re.search(pattern, lower)), None)
    return ON_CHIPS_OF.get(vendor, {}).get(found or "", found)


def dtype_of(text: str, sixteen: str = "bf16") -> str:
    """A dtype; `unknown` and the like are 16 bit."""
    lower = text.lower()
    for pattern, dtype in (
        (r"fp4|mxfp4", "fp4"), (r"fp8", "fp8"), (r"int8", "int8"), (r"int4|awq|gptq|q4", "int4"), (r"fp32", "fp32"),
    ):  # fmt: skip
        if re.search(pattern, lower):
            return dtype
    return "fp16" if lower.startswith("fp16") and sixteen == "fp16" else sixteen


def _named(text: str, aliases: dict[str, str], names: list[str]) -> str | None:
    plain = text.strip().lower().replace("_", "-").replace(" ", "-")
    wanted = aliases.get(plain, plain)
    return wanted if wanted in names else None
