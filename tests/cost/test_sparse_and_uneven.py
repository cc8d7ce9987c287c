"""Attention to chosen tokens, and experts that are unevenly loaded: against hand-worked figures."""

import pytest

from infersim.cost.build import build_tables
from infersim.cost.operators import attended, expert_operators
from infersim.cost.sharding import divide
from infersim.cost.tables import CostTables
from infersim.spec import catalogue
from infersim.spec.model import Model
from infersim.spec.pool import Parallelism


def tables(model: Model) -> CostTables:
    chip, engine, layout = catalogue.hardware("h200-sxm"), catalogue.engine("sglang"), Parallelism(tensor=8, expert=8)
    return build_tables(model, chip, engine, layout, "fp8", "bf16", 16, 2048, 16, None)


def test_sparse_attention_reads_an_index_of_all_tokens_and_2048_of_them() -> None:
    """DeepSeek-V3.2: 61 layers; 128 bytes of index for each token, and 2,048 chosen vectors of 512 + 64 elements."""
    model = catalogue.model("deepseek-v3.2")
    shapes = attended(model, divide(model, 1))
    assert shapes.read == 61 * 128 / 2  # elements of 16 bit
    assert shapes.read_fixed == 61 * 2048 * 576
    assert shapes.stored == 61 * (576 + 64)
    dense = catalogue.model("deepseek-v3")
    assert attended(dense, divide(dense, 1)).read == 61 * 576


def test_sparse_attention_is_cheaper_at_long_contexts_and_not_at_short_ones() -> None:
    sparse, dense = tables(catalogue.model("deepseek-v3.2")), tables(catalogue.model("deepseek-v3"))

    def attention(found: CostTables, context: float) -> float:
        return float(found.decode_base.seconds[8] + 8 * context * found.decode_per_context.seconds[8])

    assert attention(sparse, 128_000) < 0.5 * attention(dense, 128_000)
    assert attention(sparse, 100) > attention(dense, 100)


def test_an_uneven_load_slows_the_busiest_of_several_groups_and_nobody_alone() -> None:
    """With an imbalance of 1.5 the chip with the most visits does half as much again; a chip with all experts no more."""
    model = catalogue.model("deepseek-v3")
    assert model.experts is not None
    uneven = model.model_copy(update={"experts": model.experts.model_copy(update={"imbalance": 1.5})})

    def arithmetic(of: Model, expert: int) -> float:
        shard = divide(of, 8, expert=expert)
        return sum(o.flops for o in expert_operators(of, shard) if o.experts)

    assert arithmetic(uneven, 8) == pytest.approx(1.5 * arithmetic(model, 8))
    assert arithmetic(uneven, 1) == arithmetic(model, 1)
    assert tables(uneven).linear.seconds[2048] > tables(model).linear.seconds[2048]
