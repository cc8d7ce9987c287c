"""Attention to chosen tokens, and experts that are unevenly loaded: against hand-worked figures."""

import numpy as np
import pytest

from infersim.cost.build import build_tables
from infersim.cost.chip import Chip
from infersim.cost.deployment import Deployment
from infersim.cost.operators import POPULARITY_SPREAD, attended, busiest, expert_operators, layer_parameters
from infersim.cost.roofline import linear_work
from infersim.cost.sharding import divide
from infersim.cost.tables import CostTables
from infersim.spec import catalogue
from infersim.spec.model import Experts, Model
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
    even, uneven = (
        model.model_copy(update={"experts": model.experts.model_copy(update={"imbalance": load})})
        for load in (1.0, 1.5)
    )

    def arithmetic(of: Model, expert: int) -> float:
        shard = divide(of, 8, expert=expert)
        return sum(o.flops for o in expert_operators(of, shard) if o.experts)

    assert arithmetic(uneven, 8) == pytest.approx(1.5 * arithmetic(even, 8))
    assert arithmetic(uneven, 1) == arithmetic(model, 1)
    assert tables(uneven).linear.seconds[2048] > tables(even).linear.seconds[2048]


def test_the_busiest_chip_is_that_of_random_layers() -> None:
    """Experts of drawn popularities dealt to eight chips, 4,000 times: the busiest chip has 1.17 times the mean of 32 experts each, 1.24 of 16."""
    rng = np.random.default_rng(1)
    for count, per_token in ((256, 8), (128, 8)):
        experts = Experts(count=count, per_token=per_token, intermediate_size=1)
        picked = rng.gamma(POPULARITY_SPREAD**-2, POPULARITY_SPREAD**2, (4000, 8, count // 8))
        loads = picked.sum(axis=2) / picked.sum(axis=(1, 2))[:, None] * 8
        assert busiest(experts, count // 8) == pytest.approx(loads.max(axis=1).mean(), rel=0.03)
        assert busiest(experts, count) == 1.0


def test_ranks_that_keep_dense_layers_hold_them_whole() -> None:
    """DeepSeek V3 on eight ranks: shared experts of 2,048 and dense MLPs of 18,432 on each chip under vLLM, an eighth under SGLang; as much work."""
    model = catalogue.model("deepseek-v3")
    whole, divided = (divide(model, 8, expert=8, attention_data=8, dense_data=own) for own in (True, False))
    assert (whole.shared_intermediate, divided.shared_intermediate) == (2048, 256)
    assert (whole.intermediate, divided.intermediate) == (18432, 2304)
    held = [sum(layer_parameters(model, shard)) for shard in (whole, divided)]
    more = 3 * 7168 * (58 * 2048 + 3 * 18432) * 7 / 8  # three matrices of each width, in 58 and 3 layers
    assert held[0] - held[1] == pytest.approx(more)
    chip = Chip(catalogue.hardware("h200-sxm"))
    engine = catalogue.engine("vllm")
    works = [
        linear_work(
            Deployment(
                model,
                chip,
                engine.model_copy(update={"dense_data": own}),
                8,
                8,
                8,
                1,
                8,
                "fp8",
                "bf16",
                64,
                8192,
                16,
                None,
            )
        )
        for own in (True, False)
    ]
    assert works[0].flops[8192] == works[1].flops[8192]
    assert works[0].memory_bytes[64] > works[1].memory_bytes[64]  # eight copies are read
    assert works[0].network_bytes[8192] < works[1].network_bytes[8192]  # and nothing is added up after dense layers
