"""Requests and models of other kinds, worked out by hand: no output, several samples, sliding windows, a host tier.

A step takes one second whatever is in it, and 1/4 s for each block that is copied. Not here: all combinations (the twin).
"""

import math

import numpy as np
import pytest

from infersim.dataplane.fleet import Fleet, PoolCost, Why
from infersim.dataplane.records import FINISHED, REJECTED, REQUEST
from infersim.policies.routing import ROUTERS


def pool(**changes) -> PoolCost:  # type: ignore[no-untyped-def]
    """One-second steps, blocks of 4 tokens."""
    limits = {"max_num_seqs": 8, "max_num_batched_tokens": 64} | changes
    seqs, tokens = limits["max_num_seqs"] + 1, limits["max_num_batched_tokens"] + 1
    plain = {
        "linear_s": np.ones(tokens), "sequences_s": np.zeros(seqs), "decode_base_s": np.zeros(seqs),
        "decode_per_context_s": np.zeros(seqs), "prefill_chunk_s": 0.0, "prefill_per_pair_s": 0.0,
        "prefill_per_context_s": 0.0, "request_overhead_s": 0.0, "token_overhead_s": 0.0, "block_size": 4, "blocks": 100,
        "max_context": 1000, "async_scheduling": False,
    }  # fmt: skip
    return PoolCost(**plain | limits)


def serve(cost: PoolCost, rows: list[tuple], names: list[list[int]] | None = None) -> tuple[np.ndarray, Fleet]:
    """Outcomes of requests (arrival, input tokens, output tokens, forks) on one replica."""
    requests = np.zeros(len(rows), REQUEST)
    requests["id"] = np.arange(len(rows))
    for name, column in zip(("arrival_s", "input_tokens"), list(zip(*rows, strict=True))[:2], strict=True):
        requests[name] = column
    requests["forks"] = [row[3] for row in rows]
    outputs = np.array([row[2] for row in rows])
    chunk: tuple = (requests, outputs)
    if names:
        requests["prefix_blocks"] = [len(each) for each in names]
        requests["prefix_start"] = np.cumsum(requests["prefix_blocks"]) - requests["prefix_blocks"]
        chunk = (requests, outputs, np.array([name for each in names for name in each], np.int64))
    fleet = Fleet([cost], [chunk], ROUTERS["round_robin"].compiled)
    fleet.open(0)
    assert fleet.advance(math.inf).why is Why.FINISHED
    assert fleet.server(0).kv_free == cost.blocks
    return fleet.outcomes(), fleet


def test_no_output_ends_with_the_prompt() -> None:
    outcomes, fleet = serve(pool(), [(0.0, 10, 0, 0), (0.0, 100, 0, 0), (0.0, 5, 2, 0)])
    assert outcomes["finish_s"].tolist() == [1.0, 2.0, 3.0]  # 10 + 54, then 46 + 5, then a decode step
    assert np.isnan(outcomes["first_token_s"][:2]).all()
    assert outcomes["output_tokens"].tolist() == [0, 0, 2]
    assert fleet.tally(0).output_tokens == 2


def test_no_output_needs_the_blocks_of_its_prompt() -> None:
    outcomes, _ = serve(pool(blocks=2), [(0.0, 8, 0, 0), (0.0, 9, 0, 0)])
    assert outcomes["status"].tolist() == [FINISHED, REJECTED]


def test_samples_share_their_prompt() -> None:
    """Prompt of 6 tokens in blocks of 4: one is shared, the second is there once for each of 3 samples: 4 blocks.

    With the 9th token of a row each row claims a block: 7 in all. A fourth sample would take 9.
    """
    assert serve(pool(blocks=7), [(0.0, 6, 4, 2)])[0]["finish_s"].tolist() == [4.0]
    assert serve(pool(blocks=6), [(0.0, 6, 4, 2)])[0]["status"].tolist() == [REJECTED]
    assert serve(pool(blocks=6), [(0.0, 6, 3, 2)])[0]["status"].tolist() == [FINISHED]
    assert serve(pool(), [(0.0, 6, 4, 8)])[0]["status"].tolist() == [REJECTED]  # nine rows, eight are allowed


def test_samples_are_rows() -> None:
    outcomes, fleet = serve(pool(max_num_seqs=4), [(0.0, 6, 3, 2), (0.0, 5, 2, 1)])
    assert outcomes["finish_s"].tolist() == [3.0, 5.0]  # 3 + 2 rows are more than 4: one after the other
    tally = fleet.tally(0)
    assert tally.steps_by_batch[[0, 2, 3]].tolist() == [2, 1, 2]
    assert tally.context_by_batch[[2, 3]].tolist() == [2 * 6, 3 * (7 + 8)]
    assert tally.output_tokens == 3 * 3 + 2 * 2
    assert outcomes["forks"].tolist() == [2, 1]


@pytest.mark.parametrize("swap", [False, True])
def test_samples_are_preempted_together(swap: bool) -> None:
    """9 blocks: 4 for the first (7 from its 4th second on), 3 for the second; at 4 s the second makes way."""
    outcomes, _ = serve(pool(blocks=9, swap=swap, swap_block_s=0.25), [(0.0, 6, 6, 2), (0.0, 6, 6, 1)])
    assert outcomes["preemptions"].tolist() == [0, 1]
    assert outcomes["output_tokens"].tolist() == [6, 6]


def test_windows_stop_growing() -> None:
    """A window of 5 tokens touches at most 2 blocks of 4, so 40 tokens take 10 + 2 x 2 blocks with G = 2."""
    cost = pool(window_blocks=2, window_tokens=5, max_num_batched_tokens=8, max_num_seqs=2)
    assert serve(cost, [(0.0, 8, 33, 0)])[0]["finish_s"].tolist() == [33.0]
    # While a chunk of 8 is processed the windows hold it whole: 10 + 2 x (2 + 2) blocks.
    for blocks, status in ((18, FINISHED), (17, REJECTED)):
        tight = pool(window_blocks=2, window_tokens=5, max_num_batched_tokens=8, max_num_seqs=2, blocks=blocks)
        assert serve(tight, [(0.0, 8, 33, 0)])[0]["status"].tolist() == [status]


def test_two_windows_fit_where_two_full_ones_do_not() -> None:
    rows = [(0.0, 4, 37, 0), (0.0, 4, 37, 0)]
    windowed = pool(full_blocks=0, window_blocks=1, window_tokens=5, max_num_batched_tokens=8, blocks=4)
    outcomes, _ = serve(windowed, rows)
    assert outcomes["finish_s"].tolist() == [37.0, 37.0]
    assert outcomes["preemptions"].sum() == 0
    outcomes, _ = serve(pool(max_num_batched_tokens=8, blocks=10), rows)
    assert outcomes["preemptions"].sum() > 0


def test_the_host_keeps_what_was_evicted() -> None:
    """Room for 2 entries of one block beside a request, 2 on the host. A (1, 2) is evicted by B (3, 4) and comes back."""
    cost = pool(blocks=3, prefix_tokens=4, host_entries=2, swap_block_s=0.25)
    rows = [(0.0, 9, 1, 0), (10.0, 9, 1, 0), (20.0, 9, 1, 0)]
    outcomes, _ = serve(cost, rows, [[1, 2], [3, 4], [1, 2]])
    assert outcomes["cached_tokens"].tolist() == [0, 0, 8]
    assert outcomes["host_cached_tokens"].tolist() == [0, 0, 8]
    assert outcomes["finish_s"].tolist() == [1.0, 11.0, 21.5]  # two blocks are copied
    outcomes, _ = serve(pool(blocks=3, prefix_tokens=4), rows, [[1, 2], [3, 4], [1, 2]])
    assert outcomes["cached_tokens"].sum() == 0


def test_steps_with_prompts_that_cost_more() -> None:
    """Two prompts of 16 in one step of 1 s and half a second more, then a step of the one that goes on decoding."""
    cost = pool(mixed_s=np.arange(65) / 64)
    outcomes, fleet = serve(cost, [(0.0, 16, 2, 0), (0.0, 16, 1, 0)])
    assert outcomes["finish_s"].tolist() == [2.5, 1.5]
    assert fleet.tally(0).mixed_steps_by_tokens[32] == 1
    assert fleet.tally(0).mixed_steps_by_tokens.sum() == 1


def test_prompts_of_a_draft_model() -> None:
    cost = pool(prompts_s=np.arange(65) / 64)
    outcomes, fleet = serve(cost, [(0.0, 16, 2, 0), (0.0, 16, 1, 0)])
    assert outcomes["finish_s"].tolist() == [2.5, 1.5]
    assert fleet.tally(0).steps_by_prompt_tokens[32] == 1
