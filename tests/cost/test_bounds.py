"""No step beats physics, and costs move the way that causes do; FLOPs and bytes are counted here from the shapes."""

from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infersim.cost.tables import CostTables
from infersim.spec import catalogue
from infersim.spec.base import BYTES_PER_ELEMENT
from infersim.spec.hardware import Hardware
from infersim.spec.model import Model
from tests.cost.deployments import CASES, IDS, ROOFLINE, Case, decode_step_s, prefill_step_s

cases = st.sampled_from(CASES)


@cache
def built(case: Case) -> CostTables:
    return case.tables()


def matrices(model: Model, all_experts: bool) -> tuple[float, float]:
    """(weights of the products that one token passes through, or of all of them; of the LM head), from the shapes."""
    a, h = model.attention, model.hidden_size
    layer = h * a.head_dim * (a.heads + 2 * a.kv_heads) + a.heads * a.head_dim * h
    gate = 3 if model.gated_mlp else 2
    if model.experts:
        e = model.experts
        layer += gate * h * e.intermediate_size * (e.count if all_experts else e.per_token)
        layer += gate * h * e.shared_intermediate_size + h * e.count
    else:
        layer += gate * h * model.intermediate_size
    return model.layers * layer, model.vocab_size * h


@settings(max_examples=300, deadline=None)
@given(
    case=cases,
    decoding=st.integers(0, 128),
    context=st.integers(1, 8192),
    chunk=st.integers(0, 1900),
    before=st.integers(0, 4096),
)
def test_no_step_is_under_its_roofline(case: Case, decoding: int, context: int, chunk: int, before: int) -> None:
    if decoding + (chunk > 0) == 0 or decoding + (chunk > 0) > 128:
        return
    tables, model, chip = built(case), catalogue.model(case.model), catalogue.hardware(case.hardware)
    tokens, sequences = decoding + chunk, decoding + (chunk > 0)
    pairs = chunk * before + chunk * (chunk + 1) / 2
    chunks = [(pairs, float(before + chunk))] if chunk else []
    seconds = tables.step_s(tokens, sequences, decoding, float(decoding * context), chunks)

    body, head = matrices(model, all_experts=False)
    attended = 4.0 * model.layers * model.attention.heads * model.attention.head_dim
    flops = 2 * body * tokens + 2 * head * sequences + attended * (decoding * context + pairs)
    peak = max(q.value for q in chip.peak_tflops.values()) * 1e12
    assert seconds >= flops / (tables.chips * peak)

    kv = 2 * model.layers * model.attention.kv_heads * model.attention.head_dim * BYTES_PER_ELEMENT[case.kv_cache]
    read = BYTES_PER_ELEMENT[case.weights] * (body + head) + kv * (
        decoding * context + (before + chunk if chunk else 0)
    )
    bandwidth = chip.memory.bandwidth_gb_s.value * 1e9
    # a chunk's attention may overlap its arithmetic with its reading, so only decode adds to the weights
    read_surely = BYTES_PER_ELEMENT[case.weights] * (body + head) + kv * decoding * context
    assert seconds >= read_surely / (tables.chips * bandwidth)
    assert tables.memory.weight_bytes <= tables.memory.capacity_bytes
    assert read >= read_surely


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_counted_work_is_the_useful_work(case: Case) -> None:
    """FLOPs for a token are twice its active weights, and the model's parts agree with a count from the shapes."""
    tables, model = built(case), catalogue.model(case.model)
    body, head = matrices(model, all_experts=False)
    assert tables.linear.flops[100] == pytest.approx(2 * body * 100)
    assert tables.sequences.flops[7] == pytest.approx(2 * head * 7)
    everything, _ = matrices(model, all_experts=True)
    least = BYTES_PER_ELEMENT[case.weights] * everything
    assert tables.linear.memory_bytes[2000] >= least * 0.99


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_time_grows_with_tokens_sequences_and_contexts(case: Case) -> None:
    tables = built(case)
    decode = [[decode_step_s(tables, batch, context) for context in (1, 100, 4000)] for batch in (1, 2, 17, 64, 128)]
    for row in decode:
        assert row == sorted(row)
    for column in zip(*decode, strict=True):
        assert list(column) == sorted(column)
    prefill = [prefill_step_s(tables, tokens) for tokens in (1, 10, 100, 500, 1000, 2048)]
    assert prefill == sorted(prefill)
    assert (tables.linear.seconds[1:] - tables.linear.seconds[:-1]).min() >= -1e-12
    assert (tables.sequences.seconds[1:] - tables.sequences.seconds[:-1]).min() >= -1e-12


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_nothing_costs_nothing(case: Case) -> None:
    assert built(case).step_s(0, 0, 0, 0.0, []) == 0.0


def with_bandwidth(chip: Hardware, factor: float) -> Hardware:
    quantity = chip.memory.bandwidth_gb_s
    faster = quantity.model_copy(update={"value": quantity.value * factor})
    return chip.model_copy(update={"memory": chip.memory.model_copy(update={"bandwidth_gb_s": faster})})


@settings(max_examples=60, deadline=None)
@given(case=cases, factor=st.floats(1, 8), batch=st.integers(1, 128), context=st.integers(1, 8000))
def test_more_bandwidth_is_never_slower(case: Case, factor: float, batch: int, context: int) -> None:
    faster = case.tables(hardware=with_bandwidth(catalogue.hardware(case.hardware), factor))
    assert decode_step_s(faster, batch, context) <= decode_step_s(built(case), batch, context) * (1 + 1e-9)
    assert prefill_step_s(faster, 1000) <= prefill_step_s(built(case), 1000) * (1 + 1e-9)


@pytest.mark.parametrize("case", ROOFLINE, ids=[IDS[CASES.index(c)] for c in ROOFLINE])
def test_doubling_tensor_parallelism_never_adds_arithmetic(case: Case) -> None:
    layout = case.parallelism
    reach = catalogue.hardware(case.hardware).link.domain_chips
    if 2 * layout.tensor > min(reach, catalogue.model(case.model).attention.heads):
        pytest.skip("no links for twice as many chips")
    wider = case.tables(layout=layout.model_copy(update={"tensor": 2 * layout.tensor}))
    narrow = built(case)
    for tokens in (1, 64, 512, 2048):
        assert wider.linear.compute_s[tokens] <= narrow.linear.compute_s[tokens] * (1 + 1e-9)


def test_shapes_are_padded_to_compiled_sizes() -> None:
    case = next(c for c in CASES if c.engine == "jetstream")
    tables, engine = built(case), catalogue.engine("jetstream")
    sizes = sorted(engine.token_buckets)
    for low, high in pairwise(sizes):
        if high <= 2048:
            assert tables.linear.seconds[low + 1] == tables.linear.seconds[high]
            assert tables.linear.flops[low + 1] < tables.linear.flops[high]


def test_pipeline_stages_divide_the_work_but_not_the_latency_of_one_token() -> None:
    case = Case("llama-3.1-8b", "h100-sxm", "static", (("tensor", 2),))  # compiled: nobody waits for launches
    flat = case.tables()
    staged = case.tables(layout=case.parallelism.model_copy(update={"pipeline": 2}))
    assert staged.chips == 2 * flat.chips
    assert decode_step_s(staged, 1, 1000) == pytest.approx(decode_step_s(flat, 1, 1000), rel=0.01)
    assert decode_step_s(staged, 128, 4000) < decode_step_s(flat, 128, 4000)
    assert prefill_step_s(staged, 2048) == pytest.approx(prefill_step_s(flat, 2048) / 2, rel=0.1)
