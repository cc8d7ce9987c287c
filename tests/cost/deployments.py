"""Deployments that the tests of costs build: every shipped chip with models that it serves, and steps on them."""

from dataclasses import dataclass

from infersim.cost.build import build_tables
from infersim.cost.tables import CostTables
from infersim.spec import catalogue
from infersim.spec.hardware import Hardware
from infersim.spec.model import Model
from infersim.spec.pool import Parallelism


@dataclass(frozen=True)
class Case:
    """One deployment by names."""

    model: str
    hardware: str
    engine: str
    layout: tuple[tuple[str, int], ...]
    weights: str = "bf16"
    kv_cache: str = "bf16"

    @property
    def parallelism(self) -> Parallelism:
        return Parallelism(**dict(self.layout))

    def tables(
        self,
        max_num_seqs: int = 128,
        max_num_batched_tokens: int = 2048,
        hardware: Hardware | None = None,
        model: Model | None = None,
        layout: Parallelism | None = None,
        blocks: int | None = None,
        block_size: int = 16,
    ) -> CostTables:
        return build_tables(
            model or catalogue.model(self.model),
            hardware or catalogue.hardware(self.hardware),
            catalogue.engine(self.engine),
            layout or self.parallelism,
            self.weights,  # type: ignore[arg-type]
            self.kv_cache,  # type: ignore[arg-type]
            max_num_seqs,
            max_num_batched_tokens,
            block_size,
            blocks,
        )


def tensor(n: int) -> tuple[tuple[str, int], ...]:
    return (("tensor", n),)


CASES = [
    Case("llama-3.1-70b", "h100-sxm", "vllm", tensor(4), "fp8", "fp8"),
    Case("llama-3.1-70b", "h100-sxm", "vllm", (("tensor", 4), ("pipeline", 2))),
    Case("llama-3.1-8b", "h100-sxm", "sglang", tensor(1)),
    Case("mixtral-8x7b", "h100-sxm", "tensorrt-llm", tensor(2)),
    Case("qwen3-30b-a3b", "h100-sxm", "vllm", tensor(8), "fp8"),
    Case("llama-3.1-8b", "l40s", "vllm", tensor(1)),
    Case("llama-3.1-70b", "l40s", "tensorrt-llm", tensor(4), "fp8", "fp8"),
    Case("llama-3.1-70b", "mi300x", "vllm", tensor(1)),
    Case("mixtral-8x7b", "mi300x", "sglang", tensor(2), "int4"),
    Case("llama-3.1-8b", "tpu-v5e", "jetstream", tensor(8), "int8", "int8"),
    Case("llama-2-7b", "inferentia2", "neuron", tensor(12)),
    Case("llama-3.1-70b", "inferentia2", "neuron", tensor(12)),
    Case("llama-2-70b", "groq-lpu", "groq", (("chips", 576),), "int8", "fp16"),
    Case("mixtral-8x7b", "groq-lpu", "groq", (("chips", 576),), "int8", "fp16"),
    Case("llama-3.1-70b", "cerebras-wse3", "cerebras", (("chips", 4),)),
    Case("llama-3.1-8b", "cerebras-wse3", "cerebras", (("chips", 1),)),
]
"""Every shipped chip, dense models and mixtures of experts, one chip and many, native and converted dtypes."""
IDS = [f"{c.model}-{c.hardware}-{'-'.join(f'{k}{v}' for k, v in c.layout)}-{c.weights}" for c in CASES]

ROOFLINE = [case for case in CASES if case.hardware not in ("groq-lpu", "cerebras-wse3")]


def decode_step_s(tables: CostTables, batch: int, context: float) -> float:
    """Time of a step that decodes `batch` sequences of `context` attended tokens each [s]."""
    return tables.step_s(batch, batch, batch, batch * context, [])


def prefill_step_s(tables: CostTables, tokens: int, before: int = 0) -> float:
    """Time of a step that processes `tokens` prompt tokens after `before` computed ones [s]."""
    pairs = tokens * before + tokens * (tokens + 1) / 2
    return tables.step_s(tokens, 1, 0, 0.0, [(pairs, before + tokens)])
