"""What drafting and verifying cost: never under the roofline of the wider step, never less for more drafts, and the
draft model's weights and KV out of the target's KV blocks. FLOPs and bytes are counted here from the shapes.
"""

from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infersim.cost.memory import DoesNotFit
from infersim.cost.speculation import speculative
from infersim.cost.tables import CostTables
from infersim.spec import catalogue
from infersim.spec.base import BYTES_PER_ELEMENT
from tests.cost.deployments import CASES, Case, tensor
from tests.cost.test_bounds import matrices

TARGETS = [
    Case("llama-3.1-70b", "h100-sxm", "vllm", tensor(4), "fp8", "fp8"),
    Case("llama-3.1-8b", "l40s", "vllm", tensor(1)),
    Case("mixtral-8x7b", "mi300x", "sglang", tensor(2)),
]
DRAFTED = [
    (TARGETS[0], "llama-3.1-8b"),
    (Case("llama-3.1-70b", "mi300x", "vllm", tensor(1)), "llama-3.1-8b"),
]
SEQUENCES = 64
assert all(case.hardware in {known.hardware for known in CASES} for case, _ in DRAFTED)


@cache
def target(case: Case) -> CostTables:
    return case.tables(SEQUENCES)


@cache
def draft(case: Case, model: str) -> CostTables:
    return case.tables(SEQUENCES, model=catalogue.model(model), blocks=1)


@cache
def verifying(case: Case, tokens: int, model: str | None = None) -> CostTables:
    wide = case.tables(SEQUENCES * (1 + tokens), blocks=1)
    return speculative(target(case), wide, draft(case, model) if model else None, tokens)


def step_s(tables: CostTables, batch: int, context: int, tokens: int) -> float:
    """A step in which `batch` sequences verify `tokens` drafts each [s]."""
    return tables.step_s(batch * (1 + tokens), batch, batch, float(batch * context), [])


@settings(max_examples=200, deadline=None)
@given(
    case=st.sampled_from(TARGETS),
    batch=st.integers(1, SEQUENCES),
    context=st.integers(1, 8192),
    tokens=st.integers(1, 8),
)
def test_no_verification_is_under_its_roofline(case: Case, batch: int, context: int, tokens: int) -> None:
    """All 1 + k tokens of each sequence are multiplied, sampled and attended to; weights and KV are read once."""
    tables, model, chip = verifying(case, tokens), catalogue.model(case.model), catalogue.hardware(case.hardware)
    seconds = step_s(tables, batch, context, tokens)
    body, head = matrices(model, all_experts=False)
    attended = 4.0 * model.layers * model.attention.heads * model.attention.head_dim
    flops = (1 + tokens) * batch * (2 * body + 2 * head + attended * context)
    peak = max(q.value for q in chip.peak_tflops.values()) * 1e12
    assert seconds >= flops / (tables.chips * peak)
    kv = 2 * model.layers * model.attention.kv_heads * model.attention.head_dim * BYTES_PER_ELEMENT[case.kv_cache]
    read = BYTES_PER_ELEMENT[case.weights] * (body + head) + kv * batch * context
    assert seconds >= read / (tables.chips * chip.memory.bandwidth_gb_s.value * 1e9)


@pytest.mark.parametrize("case", TARGETS, ids=lambda case: f"{case.model}-{case.hardware}")
def test_counted_work_is_that_of_all_drafts(case: Case) -> None:
    tokens, batch, context = 3, 16, 1000
    model, tables = catalogue.model(case.model), verifying(case, tokens)
    _, head = matrices(model, all_experts=False)
    attended = 4.0 * model.layers * model.attention.heads * model.attention.head_dim
    assert tables.sequences.flops[batch] == pytest.approx(2 * head * batch * (1 + tokens))
    assert tables.decode_per_context.flops[batch] == pytest.approx(attended * (1 + tokens))
    # The KV is read once for all of them.
    plain = target(case).decode_per_context.memory_bytes[batch] * context
    assert tables.decode_per_context.memory_bytes[batch] * context == pytest.approx(plain)


@pytest.mark.parametrize(("case", "model"), [*((case, None) for case in TARGETS), *DRAFTED])
@pytest.mark.parametrize("batch", [1, 7, SEQUENCES])
def test_more_drafts_never_cost_less(case: Case, model: str | None, batch: int) -> None:
    for context in (1, 1000, 100_000):
        plain = target(case).step_s(batch, batch, batch, float(batch * context), [])
        times = [plain, *(step_s(verifying(case, tokens, model), batch, context, tokens) for tokens in range(1, 9))]
        assert all(fewer <= more for fewer, more in pairwise(times))


@pytest.mark.parametrize(("case", "model"), DRAFTED)
@pytest.mark.parametrize("tokens", [1, 5])
def test_each_draft_is_a_step_of_the_draft_model(case: Case, model: str, tokens: int) -> None:
    """Beside what verifying alone costs, which is what drafts from an n-gram look-up cost."""
    for batch, context in ((1, 10), (SEQUENCES, 2000)):
        drafting = step_s(verifying(case, tokens, model), batch, context, tokens) - step_s(
            verifying(case, tokens), batch, context, tokens
        )
        each = draft(case, model).step_s(batch, batch, batch, float(batch * context), [])
        assert drafting == pytest.approx(tokens * each, rel=1e-9)


def test_verifying_is_nearly_free_for_one_and_dear_for_many() -> None:
    """One sequence waits for the weights, which are read once for all its tokens; at 64 sequences the arithmetic shows."""
    case = TARGETS[0]

    def ratio(batch: int) -> float:
        return step_s(verifying(case, 7), batch, 1000, 7) / target(case).step_s(batch, batch, batch, batch * 1000.0, [])

    assert ratio(1) < 1.15
    assert ratio(SEQUENCES) > 1.5


def test_prompts_cost_what_they_did() -> None:
    tables, plain = verifying(TARGETS[0], 4), target(TARGETS[0])
    assert np.array_equal(tables.linear.seconds, plain.linear.seconds)
    assert tables.prefill_pair.seconds == plain.prefill_pair.seconds
    assert tables.memory == plain.memory


@pytest.mark.parametrize(("case", "model"), DRAFTED)
def test_the_draft_takes_of_the_kv_blocks(case: Case, model: str) -> None:
    small, large = catalogue.model(model), catalogue.model(case.model)
    before, after = target(case).memory, verifying(case, 3, model).memory
    body, head = matrices(small, all_experts=False)
    bytes_per = BYTES_PER_ELEMENT[case.weights]
    # Its matrices once, and the embeddings; some layers may be stored in more bits than asked for.
    weights = after.weight_bytes - before.weight_bytes
    assert bytes_per * (body + head) <= weights <= bytes_per * (body + head) + 2 * 2 * head * case.parallelism.tensor

    def kv(of) -> float:  # type: ignore[no-untyped-def]
        return 2 * of.layers * of.attention.kv_heads * of.attention.head_dim * BYTES_PER_ELEMENT[case.kv_cache]

    assert after.kv_bytes_per_token == pytest.approx(kv(large) + kv(small))
    left = before.usable_bytes - before.weight_bytes - before.reserve_bytes - weights
    # Rounded down twice: for the target alone, then for both.
    assert after.blocks == pytest.approx(left / (16 * (kv(large) + kv(small))), abs=2)
    assert after.weight_bytes + after.reserve_bytes + after.blocks * 16 * after.kv_bytes_per_token <= after.usable_bytes


def test_a_draft_that_leaves_no_room() -> None:
    case, model = DRAFTED[0]
    full = case.tables(SEQUENCES)
    crowded = replace(full, memory=replace(full.memory, reserve_bytes=full.memory.usable_bytes))
    with pytest.raises(DoesNotFit, match=r"9.08 GB do not fit .* and one KV block .* smaller draft model, more chips"):
        speculative(crowded, case.tables(2 * SEQUENCES, blocks=1), draft(case, model), 1)


def test_an_explicit_block_count_wins_beside_a_draft() -> None:
    case, model = DRAFTED[0]
    asked = case.tables(SEQUENCES, blocks=2000)
    wide = case.tables(2 * SEQUENCES, blocks=1)
    assert speculative(asked, wide, draft(case, model), 1, 2000).memory.blocks == 2000
    plan = target(case).memory
    per_block = 16 * (plan.kv_bytes_per_token + draft(case, model).memory.kv_bytes_per_token)
    many = int((plan.capacity_bytes - plan.weight_bytes) // per_block)  # as if the draft weighed nothing
    with pytest.raises(DoesNotFit, match=f"{many} KV blocks of both: .* or fewer KV blocks"):
        speculative(case.tables(SEQUENCES, blocks=many), wide, draft(case, model), 1, many)


@settings(max_examples=100, deadline=None)
@given(case=st.sampled_from(DRAFTED), prompt=st.integers(1, 2000), batch=st.integers(0, 16))
def test_prompts_pass_through_the_draft_too(case: tuple[Case, str], prompt: int, batch: int) -> None:
    """A step with a prompt is above the arithmetic of both models over the peak, and above reading both."""
    deployment, name = case
    tables, chip = verifying(deployment, 2, name), catalogue.hardware(deployment.hardware)
    pairs = prompt * (prompt + 1) / 2
    seconds = tables.step_s(
        prompt + 3 * batch, 1 + batch, batch, 100.0 * batch, [(pairs, float(prompt))], prompt_tokens=prompt
    )
    flops = read = 0.0
    for model in (catalogue.model(deployment.model), catalogue.model(name)):
        body, _ = matrices(model, all_experts=False)
        attended = 4.0 * model.layers * model.attention.heads * model.attention.head_dim
        flops += 2 * body * prompt + attended * pairs
        read += BYTES_PER_ELEMENT[deployment.weights] * body
    assert seconds >= flops / (tables.chips * max(q.value for q in chip.peak_tflops.values()) * 1e12)
    assert seconds >= read / (tables.chips * chip.memory.bandwidth_gb_s.value * 1e9)
