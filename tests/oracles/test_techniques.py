"""The rows of README's tables against each other: the direction that the literature reports, and why.

Further directions, each with its paper, are in `test_literature.py`. The figures depend on chip and traffic, the directions
do not.
"""

import pytest

from infersim.results.result import Result
from tests import techniques
from tests.techniques import GROUPS, ZOO, served, shared, zoo


def ways(title: str) -> list[Result]:
    """The results of a group, in its order."""
    return [served(title, way) for way in GROUPS[title][3]]


def rate(result: Result) -> float:
    return result.summary["throughput"]["output_tokens_per_s"]


def latency(result: Result, metric: str, name: str = "p99") -> float:
    return result.summary["latency"][f"{metric}_s"][name]


def test_continuous_batching_is_2_to_20_times_static_on_skewed_lengths():
    """A static batch runs as long as its longest answer, with seats empty that continuous batching fills at the next step."""
    alone, static, dynamic, continuous = ways("Lengths are skewed, and more comes than anybody serves")
    assert 2 < rate(continuous) / rate(static) < 20
    assert rate(static) > 5 * rate(alone)  # who is served alone pays for reading all weights at every token
    # Where there is always somebody to fill a batch, waiting for one is for nothing.
    assert rate(dynamic) == pytest.approx(rate(static), rel=0.1)


def test_chunks_lower_the_itl_and_raise_the_ttft():
    """A whole prompt holds up all who decode; in chunks it holds nobody up for long, but takes more steps, shared with them."""
    whole, chunks = ways("Long prompts")
    assert latency(chunks, "itl") < 0.5 * latency(whole, "itl")
    assert latency(chunks, "ttft", "mean") > latency(whole, "ttft", "mean")
    assert rate(chunks) == pytest.approx(rate(whole), rel=0.02)  # both keep up


def test_pools_of_their_own_lower_the_tpot_and_raise_the_ttft():
    """No prompt is ever in a decode step; but all prompts queue for half of the chips."""
    together, apart = ways("Long prompts, two chips")
    assert latency(apart, "tpot") < 0.8 * latency(together, "tpot")
    assert latency(apart, "itl") < 0.5 * latency(together, "itl")
    assert latency(apart, "ttft", "mean") > latency(together, "ttft", "mean")


def test_a_prefix_cache_lowers_the_ttft_and_host_memory_does_once_more():
    """What is known is not computed. The chip has room for fewer beginnings than there are, the host for all of them, and to
    copy 2,000 tokens from it takes a fraction of the time of computing them."""
    without, chip, host = ways("200 system prompts, a KV cache of 32,000 tokens")
    assert latency(host, "ttft", "mean") < latency(chip, "ttft", "mean") < latency(without, "ttft", "mean")
    assert rate(host) > rate(chip) > rate(without)
    found = [result.requests["cached_tokens"].sum() for result in (without, chip, host)]
    assert 0 == found[0] < found[1] < found[2]


@pytest.mark.skipif(not techniques.has_trace(), reason="needs conversation_trace.jsonl (INFERSIM_TRACES)")
def test_a_prefix_cache_lowers_the_mean_ttft_on_mooncake():
    """Turns of a conversation resend what went before: a third of the trace's blocks can be found (traces/README.md)."""
    without, with_cache = techniques.mooncake(False), techniques.mooncake(True)
    assert latency(with_cache, "ttft", "mean") < 0.9 * latency(without, "ttft", "mean")
    assert 0.25 < with_cache.summary["requests"]["prefix_hit_ratio"] < 0.3664 + 0.01


def test_drafts_help_one_and_hurt_many():
    """Alone a sequence waits for the weights, which verify four tokens as fast as one; in a full batch arithmetic is scarce."""
    plain, drafted = ways("70B on four chips, one user at a time")
    assert latency(drafted, "tpot", "mean") < 0.85 * latency(plain, "tpot", "mean")
    full, full_drafted = ways("70B on four chips, saturated")
    assert rate(full_drafted) < 0.95 * rate(full)
    assert latency(full_drafted, "tpot") > latency(full, "tpot")


def test_swapping_beats_computing_again_over_a_fast_link():
    """1,300 tokens of 8B are 170 MB, 3 ms over PCIe 5, and 22 TFLOP, 30 ms of an H100 (vLLM's paper, section 7.3: swapping wins
    with large blocks)."""
    again, swapped = ways("Too little KV cache")
    assert min(result.summary["requests"]["preemptions"] for result in (again, swapped)) > 10
    assert rate(swapped) > rate(again)
    assert latency(swapped, "ttft", "mean") < latency(again, "ttft", "mean")


def test_more_adapter_slots_fill_batches():
    """A batch holds no more adapters than there are slots, so with few of them seats stay empty while requests wait."""
    few, many = ways("400 adapters")
    assert latency(many, "ttft", "mean") < 0.2 * latency(few, "ttft", "mean")
    hits = [result.summary["pools"]["h100"]["adapters"]["hit_ratio"] for result in (few, many)]
    assert hits[1] > hits[0]


@pytest.mark.parametrize("way", ["the light tenant has priority", "fair share"])
def test_a_light_tenant_is_kept_from_the_bursts_of_another(way: str):
    """VTC (Sheng et al., OSDI 2024): who has had little service is next. First come, first served makes all wait for a burst.

    The work is the same, so that the heavy tenant pays with little.
    """
    first = shared("first come, first served").summary["slo"]["classes"]
    kept = shared(way).summary["slo"]["classes"]
    assert kept["light"]["ttft_p99_s"] < 0.2 * first["light"]["ttft_p99_s"]
    assert kept["heavy"]["ttft_p99_s"] < 1.2 * first["heavy"]["ttft_p99_s"]


def test_readme_shows_these_tables():
    readme = (techniques.ROOT / "README.md").read_text(encoding="utf-8")
    missing = [line for line in techniques.tables().splitlines() if line and line not in readme]
    assert not missing, "make readme"


def test_models_that_are_asked_for_now_and_then_share_gpus():
    """Aegaeon (SOSP 2025) serves up to seven models on a GPU, ServerlessLLM (OSDI 2024) keeps them near: at low and skewed load most
    GPUs of their own would idle. The price is the first token of a model that has to wait for its turn."""
    apart, three, two = map(zoo, list(ZOO)[:3])
    dollars = [result.summary["cost"]["total_usd"] for result in (apart, three, two)]
    assert dollars[1] < 0.6 * dollars[0]
    assert dollars[2] < 0.4 * dollars[0]
    waits = [latency(result, "ttft") for result in (apart, three, two)]
    assert waits[0] < 0.3 < waits[1] < waits[2]
    assert latency(three, "tpot") < 1.5 * latency(apart, "tpot")  # who has his turn has the GPU for himself


def test_models_that_are_all_busy_do_not_share_gpus():
    """A batch is of one model: on as many GPUs each settles on its own, after a few turns; with one fewer, two have to take turns
    all the time, and batches that run empty for each other serve neither."""
    apart, six, five = map(zoo, list(ZOO)[3:])
    assert latency(six, "ttft") > 3 * latency(apart, "ttft")
    assert latency(apart, "e2e", "mean") < latency(six, "e2e", "mean") < 1.1 * latency(apart, "e2e", "mean")
    assert latency(five, "ttft") > 100 * latency(six, "ttft")
