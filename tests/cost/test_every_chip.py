"""Every shipped chip serves a model, every shipped model is priced, and no step of either is faster than its roofline."""

import pytest

from infersim.cost.build import build_tables
from infersim.cost.operators import active_parameters, layer_operators, parameters
from infersim.cost.sharding import divide
from infersim.cost.tables import CostTables
from infersim.spec import catalogue
from infersim.spec.base import BYTES_PER_ELEMENT
from infersim.spec.model import count_parameters
from infersim.spec.pool import Parallelism
from tests.cost.deployments import decode_step_s, prefill_step_s

ENGINES = {"Google": "jetstream", "AWS": "neuron", "Groq": "groq", "Cerebras": "cerebras", "SambaNova": "sambanova"}
SRAM_CHIPS = {"groq-lpu": 400, "groq-lpx": 64}
"""Chips of a replica that hold two thousand million weights in 16 bit, and their programs."""


def weights_of(name: str) -> str:
    chip = catalogue.hardware(name)
    return next(d for d in ("bf16", "fp16") if chip.compute_dtype(d))  # type: ignore[arg-type]


def tables_of(name: str, model: str = "gemma-2b") -> CostTables:
    chip = catalogue.hardware(name)
    pipelined = chip.execution == "pipeline"
    engine = "groq" if name == "groq-lpx" else ENGINES.get(chip.vendor, "static")
    layout = Parallelism(chips=SRAM_CHIPS.get(name, 1)) if pipelined else Parallelism()
    dtype = weights_of(name)
    return build_tables(
        catalogue.model(model),
        chip,
        catalogue.engine(engine),
        layout,
        dtype,
        dtype,
        8,
        512,
        16,
        None,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("name", catalogue.hardware_names())
def test_every_chip_serves_and_stays_under_its_roofline(name: str) -> None:
    tables, model = tables_of(name), catalogue.model("gemma-2b")
    active = active_parameters(model)
    for batch in (1, 8):
        compute = 2 * active * batch / tables.peak_flops
        memory = active * BYTES_PER_ELEMENT[weights_of(name)] / tables.peak_bytes_s
        assert decode_step_s(tables, batch, 500) >= max(compute, memory)
    assert prefill_step_s(tables, 512) >= 2 * (active - model.hidden_size * model.vocab_size) * 512 / tables.peak_flops
    assert tables.idle_w < tables.tdp_w
    assert tables.memory.blocks > 100


@pytest.mark.parametrize("name", catalogue.model_names())
def test_every_model_is_priced_and_its_weights_counted_twice_alike(name: str) -> None:
    """The operators' weights and the architecture's count agree; 64 chips of B200 memory hold any of them."""
    model = catalogue.model(name)
    assert parameters(model) == pytest.approx(count_parameters(model), rel=0.003)
    chip = catalogue.hardware("gb200-nvl72")
    tensor = next(n for n in (64, 32, 16, 8, 4, 2, 1) if model.attention.heads % n == 0)
    tables = build_tables(
        model, chip, catalogue.engine("vllm"), Parallelism(tensor=tensor, pipeline=4 if model.layers > 40 else 1),
        "fp8", "fp8", 16, 1024, 16, None,
    )  # fmt: skip
    assert decode_step_s(tables, 16, 1000) > decode_step_s(tables, 1, 1000) > 0


@pytest.mark.parametrize("expert", [1, 4, 8])
def test_attention_in_groups_holds_each_request_once_and_every_weight_of_attention_everywhere(expert: int) -> None:
    model = catalogue.model("deepseek-v3")
    shard = divide(model, 8, expert=expert, attention_data=8)
    assert shard.heads == model.attention.heads
    assert shard.experts * expert == 256
    assert shard.experts * shard.expert_intermediate * 8 == 256 * 2048
    names = [operator.name for _, operator in layer_operators(model, shard)]
    assert "experts up" in names
    with pytest.raises(ValueError, match="must divide"):
        divide(model, 8, expert=3)


def test_data_parallel_attention_stores_more_tokens_of_latent_attention() -> None:
    """A latent vector cannot be divided over heads: eight chips keep eight copies, unless each serves its own requests."""
    model, chip, engine = catalogue.model("deepseek-v3"), catalogue.hardware("h200-sxm"), catalogue.engine("sglang")
    together = build_tables(model, chip, engine, Parallelism(tensor=8), "fp8", "bf16", 64, 2048, 16, None)
    apart = build_tables(
        model, chip, engine, Parallelism(tensor=8, expert=8, attention_data=8), "fp8", "bf16", 64, 2048, 16, None
    )
    assert together.memory.kv_bytes_per_token == 8 * apart.memory.kv_bytes_per_token
    assert apart.memory.blocks > 5 * together.memory.blocks


def test_a_state_that_does_not_grow_costs_the_same_at_any_context() -> None:
    """Qwen3.5: a quarter of the layers attends; so a token of context costs a quarter of what all layers would."""
    model, chip, engine = catalogue.model("qwen3.5-27b"), catalogue.hardware("h200-sxm"), catalogue.engine("vllm")
    tables = build_tables(model, chip, engine, Parallelism(), "bf16", "bf16", 16, 2048, 16, None)
    assert tables.memory.kv_bytes_per_token == 16 * 2 * 4 * 256 * 2
    full = model.model_copy(update={"recurrent": None})
    attending = build_tables(full, chip, engine, Parallelism(), "bf16", "bf16", 16, 2048, 16, None)
    ratio = attending.decode_per_context.seconds[1] / tables.decode_per_context.seconds[1]
    assert ratio == pytest.approx(4.0)
