"""Batching, swap, speculation and roles that cannot be: each says where, what was found and what would be right."""

from collections.abc import Callable
from pathlib import Path

import pytest

from infersim.spec.errors import SpecError
from infersim.spec.load import load_scenario
from infersim.spec.resolve import resolve
from tests.spec.conftest import CHIP, SCENARIO, line_of

POOL = SCENARIO[SCENARIO.index("  - name: h100\n") : SCENARIO.index("slo:")]
WITHOUT = "    batching: {max_num_seqs: 64}\n"


def with_line(line: str) -> str:
    """The scenario with one line more in its pool."""
    return SCENARIO.replace(WITHOUT, f"{WITHOUT}    {line}\n")


def with_pools(*changes: tuple[str, ...]) -> str:
    """The scenario with a pool for each of these, which are lines beside those of the first."""
    pools = [
        POOL.replace("name: h100", f"name: pool{index}") + "".join(f"    {line}\n" for line in lines)
        for index, lines in enumerate(changes)
    ]
    return SCENARIO.replace(POOL, "".join(pools))


LINK = "kv_transfer: {gb_s: 50}"
PREFILL, DECODE = ("role: prefill", LINK), ("role: decode",)

# the scenario, a fragment on the line that is wrong, key path, what was found, what would be right
CASES = {
    "one chance too few": (
        with_line("speculative: {method: ngram, tokens: 3, acceptance: [0.8, 0.7]}"),
        "speculative", "pools[0].speculative.acceptance", "2 chances for 3 tokens", "one for each token"),
    "no chance": (
        with_line("speculative: {method: ngram, tokens: 3}"),
        "speculative", "pools[0].speculative.acceptance", "is missing", "Chance that a draft token is accepted"),
    "more than certain": (
        with_line("speculative: {method: ngram, tokens: 1, acceptance: 1.5}"),
        "speculative", "pools[0].speculative.acceptance", "found 1.5", "at most 1"),
    "a chance below nothing": (
        with_line("speculative: {method: ngram, tokens: 2, acceptance: [0.5, -0.1]}"),
        "speculative", "pools[0].speculative.acceptance", "found -0.1", "at least 0"),
    "no draft model": (
        with_line("speculative: {method: draft_model, tokens: 3, acceptance: 0.8}"),
        "speculative", "pools[0].speculative.model", "is missing", "name the draft model"),
    "a draft model for nothing": (
        with_line("speculative: {method: ngram, model: llama-3.1-8b, tokens: 3, acceptance: 0.8}"),
        "speculative", "pools[0].speculative.model", "is not used by ngram", "remove it"),
    "unknown draft model": (
        with_line("speculative: {method: draft_model, model: lama-3.1-8b, tokens: 3, acceptance: 0.8}"),
        "speculative", "pools[0].speculative.model", "unknown model lama-3.1-8b", "llama-3.1-8b"),
    "a draft model of other tokens": (
        with_line("speculative: {method: draft_model, model: qwen2.5-7b, tokens: 3, acceptance: 0.8}"),
        "speculative", "pools[0].speculative.model", "152064 tokens and llama-3.1-70b 128256", "same tokenizer"),
    "unknown method": (
        with_line("speculative: {method: medusa, tokens: 3, acceptance: 0.8}"),
        "speculative", "pools[0].speculative.method", "medusa", "known: draft_model, mtp, ngram"),
    "no tokens": (
        with_line("speculative: {method: ngram, tokens: 0, acceptance: 0.8}"),
        "speculative", "pools[0].speculative.tokens", "found 0", "at least 1"),
    "more drafts than a step holds": (
        with_line("speculative: {method: ngram, tokens: 4, acceptance: 0.8}").replace(
            "{max_num_seqs: 64}", "{max_num_seqs: 64, max_num_batched_tokens: 256}"),
        "speculative", "pools[0].speculative.tokens",
        "64 sequences with 5 tokens each exceed max_num_batched_tokens 256", "use at most 3, or fewer max_num_seqs"),
    "swap without chunked prefill": (
        with_line("kv_cache: {preemption: swap}").replace("{max_num_seqs: 64}", "{policy: prefill_first}"),
        "kv_cache: {pre", "pools[0].kv_cache.preemption", "chunked_prefill, found prefill_first", "use recompute"),
    "swap to a host that nobody knows": (
        with_line("kv_cache: {preemption: swap}"),
        "kv_cache: {pre", "pools[0].kv_cache.preemption", "testchip has no host_gb_s", "use recompute"),
    "dynamic that waits for ever": (
        SCENARIO.replace("{max_num_seqs: 64}", "{policy: dynamic}"),
        "policy: dynamic", "pools[0].batching", "max_queue_delay_s", "dynamic needs it"),
    "a delay that nobody waits for": (
        SCENARIO.replace("{max_num_seqs: 64}", "{policy: static, max_queue_delay_s: 0.1}"),
        "policy: static", "pools[0].batching", "max_queue_delay_s", "belongs to policy dynamic"),
    "prefill without decode": (
        with_pools(PREFILL, ()), "role: prefill", "pools[0].role", "prefill needs a decode pool", "add one, or use role both"),
    "decode without prefill": (
        with_pools((), DECODE), "role: decode", "pools[1].role", "decode needs a prefill pool", "add one, or use role both"),
    "prefill without a link": (
        with_pools(PREFILL[:1], DECODE), "name: pool0", "pools[0].kv_transfer", "is missing", "give kv_transfer: {gb_s: ...}"),
    "a link of a pool that sends nothing": (
        with_pools(PREFILL, (*DECODE, "kv_transfer: {gb_s: 51}")),
        "gb_s: 51", "pools[1].kv_transfer", "is for prefill pools, and this one has role decode", "remove it"),
    "a link that sends nothing": (
        with_pools(("role: prefill", "kv_transfer: {gb_s: 0}"), DECODE),
        "gb_s: 0", "pools[0].kv_transfer.gb_s", "found 0", "more than 0"),
    "KV that the other does not read": (
        with_pools(PREFILL, DECODE).replace("kv_cache: fp8", "kv_cache: bf16", 1),
        "pools:", "pools", "must store KV alike, found bf16, fp8", "the same precision.kv_cache"),
    "decode in static batches": (
        with_pools(DECODE, PREFILL).replace("{max_num_seqs: 64}", "{policy: static}", 1),
        "policy: static", "pools[0].batching.policy", "needs batching policy chunked_prefill, found static", "role both"),
    "unknown role": (
        with_line("role: decoding"), "role: decoding", "pools[0].role", "found the text decoding", "did you mean decode?"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_message_says_where_what_and_how(case: str, write: Callable[[str], Path]) -> None:
    text, fragment, key, found, advice = CASES[case]
    path = write(text)
    with pytest.raises(SpecError) as caught:
        load_scenario(path)
    first = str(caught.value).splitlines()[0]
    assert first.startswith(f"{path}:{line_of(text, fragment)}: {key}: "), first
    assert found in first
    assert advice in first


def test_speculation_on_a_pipeline(write: Callable[[str], Path]) -> None:
    text = (
        with_line("speculative: {method: ngram, tokens: 3, acceptance: 0.8}")
        .replace("chip.yaml", "groq-lpu")
        .replace("engine.yaml", "groq")
        .replace("{tensor: 4}", "{chips: 576}")
        .replace("weights: fp8, kv_cache: fp8", "weights: int8, kv_cache: fp16")
        .replace("    batching: {max_num_seqs: 64}\n", "")
        .replace("price: {tier: on_demand}", "price: {usd_per_chip_hour: 1}")
    )
    path = write(text)
    with pytest.raises(SpecError) as caught:
        load_scenario(path)
    place = f"{path}:{line_of(text, 'speculative')}: pools[0].speculative: "
    assert (
        str(caught.value)
        .splitlines()[0]
        .startswith(f"{place}speculation is modelled on roofline chips, and groq-lpu is a pipeline; remove it")
    )
    assert load_scenario(write(text.replace(text[text.index("    speculative") :].split("\n")[0] + "\n", "")))


@pytest.mark.parametrize(
    "text",
    [
        with_line("speculative: {method: ngram, tokens: 3, acceptance: 0.8}").replace(
            "{max_num_seqs: 64}", "{max_num_seqs: 64, max_num_batched_tokens: 256}"
        ),
        with_line("speculative: {method: mtp, tokens: 2, acceptance: [0.8, 0.6]}"),
        with_line("speculative: {method: draft_model, model: llama-3.1-8b, tokens: 3, acceptance: 0.8}"),
        SCENARIO.replace("{max_num_seqs: 64}", "{policy: dynamic, max_queue_delay_s: 0.1}"),
        with_pools(PREFILL, DECODE),
        with_pools(DECODE, PREFILL, ()),
        with_pools(PREFILL, DECODE).replace("{max_num_seqs: 64}", "{policy: static}", 1),
    ],
)
def test_what_is_right_next_to_it(text: str, write: Callable[[str], Path]) -> None:
    resolve(load_scenario(write(text)))


def test_swap_where_the_host_is_known(folder: Path, write: Callable[[str], Path]) -> None:
    rate = "host_gb_s: {value: 55, grade: estimated, source: a made-up page}\n"
    (folder / "chip.yaml").write_text(CHIP + rate)
    assert resolve(load_scenario(write(with_line("kv_cache: {preemption: swap}")))).pools[0].hardware.host_gb_s
