"""Techniques against each other on the same traffic: the direction that the literature reports, and why.

Llama-3.1-8B on one H100 (two where pools are split), or a shipped scenario. The figures depend on chip and traffic, the
directions do not.
"""

from pathlib import Path

import pandas as pd
import pytest

from infersim import Result, load_scenario, simulate

SCENARIOS = Path(__file__).parents[2] / "scenarios"


def pool(name: str = "h100", replicas: int = 1, **changes: object) -> dict:
    return {"name": name, "hardware": "h100-sxm", "engine": "vllm", "replicas": {"initial": replicas}, **changes}


def serve(workload: dict, *pools: dict, horizon_s: float = 120) -> Result:
    """One workload, the requests the same whatever serves them."""
    scenario = {"name": "literature", "model": "llama-3.1-8b", "horizon_s": horizon_s, "seed": 1}
    return simulate(scenario | {"workload": workload, "pools": list(pools)})


def poisson(rate_rps: float) -> dict:
    return {"process": "poisson", "rate_rps": rate_rps}


def percentile_s(result: Result, metric: str, name: str) -> float:
    return result.summary["latency"][metric][name]


@pytest.mark.parametrize("static", [{"policy": "static"}, {"policy": "dynamic", "max_queue_delay_s": 0.1}])
def test_continuous_batching_is_several_times_the_throughput_of_static(static: dict):
    """Orca (Yu et al., OSDI 2022, section 6) and "23x LLM inference throughput" (Anyscale, 2023): 2 to 20 times and more.

    A decode step costs about the same however many are in it, since it reads all weights. A static batch takes as many
    steps as its longest answer has tokens, while the seats of those that are done produce nothing: with lengths as
    skewed as these the longest of 64 is several times the mean. Continuous batching fills a seat at the next step.
    """
    skewed = {
        "arrivals": poisson(200),  # far beyond saturation, so that there is always somebody to fill a seat
        "input_tokens": {"distribution": "constant", "value": 64},
        "output_tokens": {"distribution": "lognormal", "mean": 150, "p99": 1000, "max": 2000},
    }
    seats = {"max_num_seqs": 64}
    rate = {}
    for batching in ({"policy": "chunked_prefill"}, static, {"policy": "none"}):
        batching = batching | (seats if batching["policy"] != "none" else {})
        result = serve(skewed, pool(batching=batching), horizon_s=10)
        rate[batching["policy"]] = result.summary["throughput"]["output_tokens_per_s"]
    assert 2 < rate["chunked_prefill"] / rate[static["policy"]] < 20
    outputs = result.requests["output_tokens"].to_numpy()
    batches = outputs[: len(outputs) // 64 * 64].reshape(-1, 64)
    idle_seats = batches.max(axis=1).mean() / outputs.mean()  # steps of a batch over steps that its seats are used
    assert rate["chunked_prefill"] / rate[static["policy"]] < 1.3 * idle_seats
    # Alone, each request pays for reading all weights at every token.
    assert rate[static["policy"]] > 5 * rate["none"]


def test_chunked_prefill_lowers_the_itl_p99_and_raises_ttft():
    """Sarathi-Serve (Agrawal et al., OSDI 2024, sections 3 and 5): no more stalls of decoding by prompts.

    Prefill-first lets everybody who decodes wait while whole prompts are processed: the gap between two tokens becomes
    as long as thousands of prompt tokens take. In chunks of 512 a prompt shares its steps with those who decode, which
    bounds every gap by a short step; but a prompt takes more steps, each of which reads all weights and carries the
    decoding tokens too, so that its first token comes later.
    """
    long_prompts = {
        "arrivals": poisson(6),
        "input_tokens": {"distribution": "lognormal", "mean": 3000, "p99": 12000, "max": 16000},
        "output_tokens": {"distribution": "lognormal", "mean": 200, "p99": 800, "max": 2000},
    }
    first = serve(long_prompts, pool(batching={"policy": "prefill_first", "max_num_batched_tokens": 16384}))
    chunked = serve(long_prompts, pool(batching={"policy": "chunked_prefill", "max_num_batched_tokens": 512}))
    assert first.summary["requests"]["finished"] == chunked.summary["requests"]["finished"]
    assert percentile_s(chunked, "itl_s", "p99") < 0.5 * percentile_s(first, "itl_s", "p99")
    assert percentile_s(chunked, "ttft_s", "p50") > percentile_s(first, "ttft_s", "p50")
    assert percentile_s(chunked, "ttft_s", "mean") > percentile_s(first, "ttft_s", "mean")


def test_prefix_caching_lowers_the_mean_ttft_of_prompts_that_begin_alike():
    """SGLang (Zheng et al., NeurIPS 2024, section 6), Mooncake (Qin et al., FAST 2025): what is known is not computed.

    Nine tenths of each prompt are one of twenty system prompts. Found in the cache, they cost no step, so that the own
    prompt is shorter and those before it in the queue are too. Decoding is not made slower by it.
    """
    alike = {
        "arrivals": poisson(8),
        "input_tokens": {"distribution": "lognormal", "mean": 200, "p99": 800, "max": 2000},
        "output_tokens": {"distribution": "lognormal", "mean": 150, "p99": 600, "max": 2000},
        "structure": {
            "kind": "shared_prompt",
            "prompts": 20,
            "prompt_tokens": {"distribution": "constant", "value": 2000},
        },
    }
    without, with_cache = (serve(alike, pool(kv_cache={"prefix_caching": caching})) for caching in (False, True))
    found = with_cache.requests["cached_tokens"].sum() / with_cache.requests["input_tokens"].sum()
    assert found > 0.8
    assert (without.requests["cached_tokens"] == 0).all()
    pd.testing.assert_series_equal(with_cache.requests["input_tokens"], without.requests["input_tokens"])
    assert percentile_s(with_cache, "ttft_s", "mean") < 0.7 * percentile_s(without, "ttft_s", "mean")
    assert percentile_s(with_cache, "itl_s", "mean") <= percentile_s(without, "itl_s", "mean")


@pytest.mark.parametrize("together", ["chunked_prefill", "prefill_first"])
def test_disaggregation_lowers_the_tpot_p99_and_leaves_fewer_chips_for_prompts(together: str):
    """Splitwise (Patel et al., ISCA 2024), DistServe (Zhong et al., OSDI 2024): no interference of prompts with decoding.

    Where prompts and decoding share chips, tokens of a step with prompt chunks come late, and the unlucky get many such
    steps. Where they do not, every decode step is short. But half of the chips process all prompts, and the queue for
    them is longer than it would be for twice as many.
    """
    workload = {
        "arrivals": poisson(12),
        "input_tokens": {"distribution": "lognormal", "mean": 2000, "p99": 8000, "max": 16000},
        "output_tokens": {"distribution": "lognormal", "mean": 200, "p99": 800, "max": 2000},
    }
    link = {"gb_s": 50, "latency_ms": 0.1}  # 400 Gb/s InfiniBand
    shared = serve(workload, pool(replicas=2, batching={"policy": together}))
    split = serve(workload, pool("prefill", role="prefill", kv_transfer=link), pool("decode", role="decode"))
    assert percentile_s(split, "tpot_s", "p99") < 0.8 * percentile_s(shared, "tpot_s", "p99")
    assert percentile_s(split, "itl_s", "p99") < 0.5 * percentile_s(shared, "itl_s", "p99")
    assert percentile_s(split, "ttft_s", "mean") > percentile_s(shared, "ttft_s", "mean")


def test_the_shipped_split_lowers_the_tpot_p99_of_the_same_chips():
    """As above, with 70B on 16 chips: the scenario's two and two replicas against four that do everything."""
    split = load_scenario(SCENARIOS / "h100_prefill_decode.yaml").model_dump(mode="json") | {"horizon_s": 200}
    mixed = split["pools"][0] | {"role": "both", "kv_transfer": None, "replicas": {"initial": 4}}
    apart, together = simulate(split), simulate(split | {"pools": [mixed]})
    assert percentile_s(apart, "tpot_s", "p99") < 0.8 * percentile_s(together, "tpot_s", "p99")
    assert percentile_s(apart, "itl_s", "p99") < 0.3 * percentile_s(together, "itl_s", "p99")
    assert percentile_s(apart, "ttft_s", "p99") > percentile_s(together, "ttft_s", "p99")


def h100_llama70b(rate_rps: float, horizon_s: float, **changes: object) -> Result:
    """The shipped scenario under another load, its pool changed."""
    scenario = load_scenario(SCENARIOS / "h100_llama70b.yaml").model_dump(mode="json") | {"horizon_s": horizon_s}
    scenario["workload"]["arrivals"] = poisson(rate_rps)
    scenario["pools"][0] |= changes
    return simulate(scenario)


DRAFTS, ACCEPTED = 3, 0.7
DRAFT_MODEL = {"method": "draft_model", "model": "llama-3.1-8b", "tokens": DRAFTS, "acceptance": ACCEPTED}


def test_speculation_helps_one_and_hurts_many():
    """Leviathan et al. (ICML 2023) for one sequence; SmartSpec (Liu et al., 2024) for many.

    One sequence waits for the weights, which are read once however many tokens are verified, so the few tokens that
    are accepted come for little more than one. A large batch reads the weights once for all as it is and is bound by
    arithmetic: then the refused drafts, and the draft model, take time from others. The gain falls with the load.
    """

    def tokens_per_s(rate_rps: float, horizon_s: float, **changes: object) -> tuple[float, float]:
        """For one user (the inverse of the mean TPOT), and of the whole replica."""
        summary = h100_llama70b(rate_rps, horizon_s, batching={"max_num_seqs": 256}, **changes).summary
        return 1 / summary["latency"]["tpot_s"]["mean"], summary["throughput"]["output_tokens_per_s"]

    loads = ((0.1, 600), (4, 100), (8, 100), (40, 40))
    gains = []
    for load in loads:
        (plain_user, plain_all), (user, everyone) = tokens_per_s(*load), tokens_per_s(*load, speculative=DRAFT_MODEL)
        gains.append((user / plain_user, everyone / plain_all))
    users = [user for user, _ in gains]
    assert users[0] > 1.2
    assert users[:3] == sorted(users[:3], reverse=True)
    # At 40 requests a second the queue never empties without drafts either, so that the batch is full both ways:
    # the ratio for one user need not fall further, and what counts is what the replica gets done.
    assert users[-1] < 0.95
    assert gains[-1][1] < 0.95


@pytest.mark.parametrize("chance", [0.5, 0.9])
def test_speculation_gains_no_more_than_the_tokens_that_are_accepted(chance: float):
    """Leviathan et al. 2023, equation 1: (1 - a^(k+1)) / (1 - a) tokens a step; drafts from a look-up cost nothing.

    For one sequence verifying is nearly free, so the gain is nearly that, and never more. A few answers' last drafts
    are cut off by their length.
    """
    lookup = {"method": "ngram", "tokens": DRAFTS, "acceptance": chance}
    plain, drafted = (h100_llama70b(0.02, 5000, **changes) for changes in ({}, {"speculative": lookup}))
    most = (1 - chance ** (DRAFTS + 1)) / (1 - chance)
    gain = percentile_s(plain, "tpot_s", "p50") / percentile_s(drafted, "tpot_s", "p50")
    assert 0.9 * most < gain < 1.02 * most


def test_old_news_make_a_herd_of_the_least_loaded():
    """Mitzenmacher, "How useful is old information?" (2000): who was least loaded when last asked is overrun by all.

    With fresh signals the least loaded replica is as good as any choice. With old ones random choice is better, and so
    is the better of two random ones, which spreads what one would attract.
    """
    workload = {
        "arrivals": poisson(60),
        "input_tokens": {"distribution": "lognormal", "mean": 500, "p99": 2000},
        "output_tokens": {"distribution": "lognormal", "mean": 200, "p99": 800},
    }
    pools = [pool(replicas=16) | {"hardware": "l40s"}]

    def ttft_p99_s(policy: str, age_s: float) -> float:
        scenario = {"name": "herd", "model": "llama-3.1-8b", "horizon_s": 200, "seed": 1, "workload": workload}
        router = {"policy": policy, "scrape_interval_s": age_s}
        return percentile_s(simulate(scenario | {"pools": pools, "router": router}), "ttft_s", "p99")

    random, fresh = ttft_p99_s("random", 0), ttft_p99_s("least_outstanding", 0)
    assert fresh < 1.02 * random
    assert ttft_p99_s("least_outstanding", 5) > 5 * random
    assert ttft_p99_s("power_of_two", 5) < 1.5 * random
    assert ttft_p99_s("least_outstanding", 20) > ttft_p99_s("least_outstanding", 5)


def test_four_beams_cost_less_than_four_requests():
    """MLPerf inference asks GPT-J for the best of four beams (rules of v3.1): the price of a beam search.

    Four beams share one prompt, so its work is done once, and a decode step that reads all weights carries all of them; but
    each beam has its own keys and values, and its seat in the batch. So a saturated chip answers fewer than the requests of
    one beam, and more than a quarter of them.
    """
    summaries = {  # the lengths of CNN/DailyMail
        "arrivals": poisson(300),
        "input_tokens": {"distribution": "lognormal", "mean": 780, "p99": 1700, "max": 1900},
        "output_tokens": {"distribution": "constant", "value": 70},
    }
    answered = {}
    for beams in (1, 4):
        scenario = {"name": "beams", "model": "gpt-j-6b", "horizon_s": 10, "seed": 1, "pools": [pool()]}
        summary = simulate(scenario | {"workload": summaries | {"beams": beams}}).summary
        answered[beams] = summary["throughput"]["requests_per_s"]
    assert 0.25 * answered[1] < answered[4] < 0.9 * answered[1]
