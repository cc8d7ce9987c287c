"""Compiled shapes of contexts and caches, cores that take whole heads, and weights that are unpacked: against hand-worked figures."""

import numpy as np
import pytest

from infersim.cost.build import build_tables
from infersim.cost.sharding import divide
from infersim.cost.tables import CostTables
from infersim.cost.work import padding
from infersim.spec import catalogue
from infersim.spec.base import Ratio
from infersim.spec.engine import Engine
from infersim.spec.hardware import Hardware
from infersim.spec.pool import Parallelism


def tables(chip: Hardware, engine: Engine, weights: str = "bf16", model: str = "llama-2-7b") -> CostTables:
    return build_tables(
        catalogue.model(model), chip, engine, Parallelism(), weights, "bf16", 8, 512, 16, None,  # type: ignore[arg-type]
    )  # fmt: skip


def test_powers_of_two_pad_a_context_by_a_third() -> None:
    """Contexts evenly spread up to 8: half are padded to 8, a quarter to 4, an eighth to 2, an eighth to 1; their mean is 4."""
    assert padding([1, 2, 4, 8]) == pytest.approx((8 * 4 + 4 * 2 + 2 * 1 + 1 * 1) / 8 / 4)
    assert padding([2**k for k in range(7, 18)]) == pytest.approx(4 / 3, rel=1e-4)
    assert padding([1000]) == 2.0
    assert padding([]) == 1.0


def test_padded_contexts_slow_decode_attention_and_nothing_else() -> None:
    chip, engine = catalogue.hardware("inferentia2"), catalogue.engine("neuron")
    free = tables(chip, engine.model_copy(update={"context_buckets": []}))
    compiled = tables(chip, engine.model_copy(update={"context_buckets": [1000]}))
    np.testing.assert_allclose(compiled.decode_per_context.seconds[1:], 2 * free.decode_per_context.seconds[1:])
    np.testing.assert_array_equal(compiled.linear.seconds, free.linear.seconds)
    np.testing.assert_array_equal(compiled.decode_per_context.flops, free.decode_per_context.flops)


def test_caches_of_slots_are_read_whole_whatever_is_in_them() -> None:
    """A step of 8 slots of 512 tokens costs what 8 x 512 tokens of context cost, also with none; nobody is longer than a slot."""
    chip, engine = catalogue.hardware("tpu-v5e"), catalogue.engine("jetstream")
    chip = chip.model_copy(update={"memory": catalogue.hardware("tpu-v5p").memory})
    engine = engine.model_copy(update={"sequence_buckets": [8]})
    used, whole = tables(chip, engine), tables(chip, engine.model_copy(update={"slot_tokens": 512}))
    for decoding in (1, 8):
        assert whole.step_s(8, 8, decoding, 0.0, []) == pytest.approx(
            used.step_s(8, 8, decoding, decoding * 512.0, []), rel=1e-9
        )
        assert whole.step_s(8, 8, decoding, 100.0, []) == whole.step_s(8, 8, decoding, 0.0, [])
    assert whole.max_context == 512
    assert used.max_context == 4096


def test_a_core_takes_whole_heads_with_keys_and_values_of_their_own() -> None:
    """Llama 3 70B, 64 heads and 8 KV heads, on 12 chips of two cores: 24 cores take 3 heads each, and copies for each."""
    shard = divide(catalogue.model("llama-3-70b"), 12, pad_heads=True, cores=2)
    assert (shard.heads, shard.kv_heads) == (6, 6)
    alone = divide(catalogue.model("llama-3-70b"), 2, pad_heads=True, cores=2)
    assert (alone.heads, alone.kv_heads) == (32, 4)  # four cores share eight KV heads: no copies
    assert divide(catalogue.model("llama-3-70b"), 16).kv_heads == 1


def test_weights_that_are_unpacked_keep_part_of_what_their_size_saves() -> None:
    """Weights of 8 bits on a chip that computes in 16: at a share of 0.5 they stream as fast as 12 bits would."""
    chip, engine = catalogue.hardware("inferentia2"), catalogue.engine("static")

    def streamed(weights: str, share: float | None) -> float:
        keep = None if share is None else Ratio(value=share, grade="estimated", source="this test", spread=0.1)
        efficiency = chip.efficiency.model_copy(update={"unpacking": keep})
        return float(tables(chip.model_copy(update={"efficiency": efficiency}), engine, weights).linear.memory_s[1])

    full, bare = streamed("bf16", 0.5), streamed("int8", None)
    assert streamed("bf16", None) == full
    assert streamed("int8", 0.5) == pytest.approx((full + bare) / 2, rel=0.01)
    assert bare == pytest.approx(full / 2, rel=0.03)
