"""Power stays under the TDP, idle sums, and counts price to the same seconds that the loop added up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infersim.cost.energy import idle_joules, usage
from infersim.cost.tables import CostTables
from infersim.dataplane.tally import ITL_BINS, Tally
from tests.cost.deployments import CASES, IDS, Case, tensor
from tests.cost.test_bounds import built


def tally_of(
    tables: CostTables, tokens: int, sequences: int, decoding: int, context: float, chunks: list[tuple[float, float]]
) -> Tally:
    """What the loop would count for one step of this shape."""

    def once(length: int, index: int, amount: float = 1.0) -> np.ndarray:
        counts = np.zeros(length)
        counts[index] = amount
        return counts

    n, compute_s, memory_s = tables.max_num_seqs + 1, 0.0, 0.0
    for pairs, attended in chunks:
        compute, memory = tables.prefill_pair.seconds * pairs, tables.prefill_context.seconds * attended
        compute_s, memory_s = (compute_s + compute, memory_s) if compute >= memory else (compute_s, memory_s + memory)
    return Tally(
        steps_by_tokens=once(tables.max_num_batched_tokens + 1, tokens),
        steps_by_sequences=once(n, sequences),
        steps_by_batch=once(n, decoding),
        context_by_batch=once(n, decoding, context),
        prefill_chunks=float(len(chunks)),
        prefill_pairs=sum(pairs for pairs, _ in chunks),
        prefill_context=sum(attended for _, attended in chunks),
        prefill_compute_s=float(compute_s),
        prefill_memory_s=float(memory_s),
        output_tokens=decoding,
        busy_s=tables.step_s(tokens, sequences, decoding, context, chunks),
        itl_counts=np.zeros(ITL_BINS),
        itl_sum_s=0.0,
        mixed_steps_by_tokens=once(tables.max_num_batched_tokens + 1, tokens, float(bool(chunks))),
        steps_by_prompt_tokens=once(tables.max_num_batched_tokens + 1, tokens - decoding),
    )


@settings(max_examples=200, deadline=None)
@given(
    case=st.sampled_from(CASES),
    decoding=st.integers(0, 127),
    context=st.integers(1, 8000),
    chunk=st.integers(1, 1900),
    before=st.integers(0, 4000),
)
def test_power_never_exceeds_the_limit(case: Case, decoding: int, context: int, chunk: int, before: int) -> None:
    tables = built(case)
    chunks = [(chunk * before + chunk * (chunk + 1) / 2, float(before + chunk))]
    tally = tally_of(tables, decoding + chunk, decoding + 1, decoding, float(decoding * context), chunks)
    used = usage(tables, tally)
    assert used.busy_s == pytest.approx(tally.busy_s, rel=1e-9)
    power = tables.idle_w + used.dynamic_j / used.busy_s
    assert tables.idle_w < power <= tables.tdp_w


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_idle_power_sums_over_chips_and_seconds(case: Case) -> None:
    tables = built(case)
    chips = dict(case.layout).get("chips") or np.prod([v for _, v in case.layout])
    assert idle_joules(tables, 3600.0) == pytest.approx(3600 * tables.idle_w)
    assert tables.chips == chips


def test_h100_draws_what_was_measured_in_serving() -> None:
    """267 to 680 W: eight models, batch 1 to 128, vLLM (api.serialalice.pt alice-benchmark, 2026-06)."""
    tables = Case("llama-3.1-8b", "h100-sxm", "vllm", tensor(1)).tables()
    watts = []
    for batch in (1, 8, 32, 128):
        used = usage(tables, tally_of(tables, batch, batch, batch, 1000.0 * batch, []))
        watts.append(tables.idle_w + used.dynamic_j / used.busy_s)
    chunk = usage(tables, tally_of(tables, 2048, 1, 0, 0.0, [(2048 * 2049 / 2, 2048.0)]))
    watts.append(tables.idle_w + chunk.dynamic_j / chunk.busy_s)
    assert min(watts) >= 250
    assert max(watts) <= 680
    assert watts[:4] == sorted(watts[:4])
