"""Claims 12 to 14: what software saves, what context costs, what thinking costs.

Not here: how they are put to the test (`settle.py`). Read `market.py` next.
"""

from typing import Any

from infersim.studies.claims.case import Case, on
from infersim.studies.claims.claim import Check, Claim, about, at_least, at_most, between
from infersim.studies.claims.reading import Reading, ratio

DRAFT = {"method": "draft_model", "model": "llama-3.1-8b", "tokens": 4, "acceptance": 0.75}
FP8: dict[str, Any] = {"weights": "fp8", "kv": "fp8"}

STACK: tuple[tuple[str, dict[str, Any]], ...] = (
    ("one at a time", {"engine": "eager", "pools__0__batching": {"policy": "none"}}),
    (
        "dynamic batches of 16",
        {"engine": "eager", "pools__0__batching": {"policy": "dynamic", "max_num_seqs": 16, "max_queue_delay_s": 0.5}},
    ),
    ("continuous batching", {"engine": "eager"}),
    ("compiled graphs", {}),
    ("8 bit", FP8),
    ("half the chips", {**FP8, "tensor": 2}),
)
"""The waterfall: each step keeps the ones before."""


def _stack() -> Claim:
    file = "12_optimised_stack"

    def case(name: str, at: Any = "saturation", **keys: Any) -> Case:
        return on(name, file, "h100-sxm", **{"weights": "bf16", "tensor": 4, **keys}, at=at)

    def step(name: str) -> Check:
        return Check(f"{name}: dollars for a million output tokens", lambda r: r.usd(name), "usd")

    def saves(what: str, a: str, b: str) -> Check:
        return Check(
            "dollars a token over those in 16 bit", lambda r: ratio(r.usd(a), r.usd(b)), claimed=at_most(0.5), when=what
        )

    def faster(what: str, a: str, b: str, times: float, number: str = "tokens") -> Check:
        return Check(
            f"{number} over those without", lambda r: ratio(r.speed(a), r.speed(b)), claimed=at_least(times), when=what
        )

    four = {"weights": "int4", "kv": "fp8"}
    return Claim(
        12, "The optimised stack", "8 and 4 bit cut cost by 50 to 75 %, speculation is 2 to 3 times faster, dynamic batching 3 to 5 times, continuous "
        "batching more; an optimised stack is 3 to 5 times cheaper than a naive one", "articles and vendors of engines",
        "Llama 3.1 70B on four H100, chat, at full load, step by step from one request at a time (eager kernels, 16 bit) to continuous batching, compiled "
        "graphs, fp8 and half the chips; draft tokens of an 8B model, 75 % accepted",
        "what naive means: against one request at a time anything wins by an order of magnitude; and load: drafts help a lone user, not a full batch",
        (*(case(name, **keys) for name, keys in STACK), case("static", pools__0__batching={"policy": "static", "max_num_seqs": 64}),
         case("4 bit", **four), case("8 bit slo", "slo", **FP8), case("16 bit slo", "slo"), case("4 bit on 1 chip", **{**four, "tensor": 1}),
         case("alone", "alone", **FP8), case("drafts alone", "alone", **FP8, pools__0__speculative=DRAFT),
         case("drafts", **FP8, pools__0__speculative=DRAFT), case("4 bit alone", "alone", **four), case("16 bit alone", "alone")),
        (
            *(step(name) for name, _ in STACK),
            step("4 bit"), step("4 bit on 1 chip"), step("drafts"),
            saves("8 bit, the same chips, full load", "8 bit", "compiled graphs"),
            saves("8 bit, the same chips, within the SLO", "8 bit slo", "16 bit slo"),
            saves("8 bit on half the chips, full load", "half the chips", "compiled graphs"),
            saves("4 bit, the same chips, full load", "4 bit", "compiled graphs"),
            saves("4 bit on one chip, full load", "4 bit on 1 chip", "compiled graphs"),
            Check("tokens a second of one user over those in 16 bit", lambda r: ratio(r.user("alone"), r.user("16 bit alone")), claimed=at_least(2),
                  when="8 bit, speed of a lone user"),
            Check("tokens a second of one user over those in 16 bit", lambda r: ratio(r.user("4 bit alone"), r.user("16 bit alone")), claimed=at_least(2),
                  when="4 bit, speed of a lone user"),
            Check("tokens a second of one user over those without", lambda r: ratio(r.user("drafts alone"), r.user("alone")), claimed=at_least(2),
                  when="speculation, a lone user"),
            faster("speculation, full load", "drafts", "8 bit", 2),
            faster("dynamic batching against one at a time", "dynamic batches of 16", "one at a time", 3),
            faster("continuous against static batching", "compiled graphs", "static", 2),
            Check("dollars a token of static batches in 16 bit over those of the whole stack",
                  lambda r: ratio(r.usd("static"), r.usd("half the chips")), claimed=at_least(3), when="the whole stack against static batches"),
            Check("dollars a token of one at a time over those of the whole stack",
                  lambda r: ratio(r.usd("one at a time"), r.usd("half the chips")), claimed=at_least(3), when="the whole stack against one at a time"),
        ),
        short="continuous batching {19}, the stack {20} against static batches; 8 bit costs {9} of 16 bit, {11} on half the chips; drafts: {16} for a lone user, {17} in a full batch",
    )  # fmt: skip


LENGTHS = (1000, 8000, 32000)


def _context() -> Claim:
    def trio(tokens: int) -> tuple[Case, ...]:
        keys: dict[str, Any] = {
            "tensor": 8, "weights": "fp8", "workload__input_tokens": {"distribution": "constant", "value": tokens},
        }  # fmt: skip
        grouped, without = "13_long_context", "13_long_context_without_gqa"
        return (
            on(f"gqa {tokens}", grouped, "h100-sxm", kv="bf16", **keys),
            on(f"gqa fp8 {tokens}", grouped, "h100-sxm", kv="fp8", **keys),
            on(f"mha {tokens}", without, "h100-sxm", kv="bf16", **keys),
        )

    def checks(tokens: int) -> tuple[Check, ...]:
        name = f"{tokens:,} tokens of context"
        return (
            Check("dollars a token without grouped queries over those with", lambda r: ratio(r.usd(f"mha {tokens}"), r.usd(f"gqa {tokens}")),
                  claimed=at_least(2), when=f"grouped queries, {name}"),
            Check("dollars a token with KV in 16 bit over those in 8 bit", lambda r: ratio(r.usd(f"gqa {tokens}"), r.usd(f"gqa fp8 {tokens}")),
                  claimed=at_least(1.25), when=f"KV in 8 bit, {name}"),
            Check(f"dollars a token at {name} over those at 1,000", lambda r: ratio(r.usd(f"gqa {tokens}"), r.usd("gqa 1000"))),
        )  # fmt: skip

    return Claim(
        13, "Long contexts", "Grouped queries and smaller KV caches make long contexts cheap", "papers: Ainslie et al. 2023 of GQA; articles",
        "Llama 3.1 70B in fp8 on eight H100 with 8 KV heads, and if it had 64; prompts of 1,000 to 32,000 tokens and some 1,000 out, TTFT 20 s, TPOT 200 ms",
        "what binds: KV heads save reading and room in decoding; the work of long prompts, which grows with the square of their length, they do not save",
        tuple(case for tokens in LENGTHS for case in trio(tokens)), tuple(check for tokens in LENGTHS for check in checks(tokens)),
        short="without grouped queries {0} to {6} the dollars, the more the longer; with KV in 16 instead of 8 bit {1} to {7}",
    )  # fmt: skip


LONG = {"distribution": "lognormal", "mean": 2110, "p99": 6010, "max": 20480}
SAMPLES = {
    "kind": "reasoning", "samples": 4, "block_tokens": 16,
    "thinking_tokens": {"distribution": "lognormal", "mean": 1899, "p99": 5400, "max": 18000},
}  # fmt: skip
A_QUERY = "cost.usd_per_thousand_requests"


def _reasoning() -> Claim:
    file = "14_reasoning"
    h100: dict[str, Any] = {"tensor": 4, **FP8}

    def gpu_seconds(name: str, what: str) -> Check:
        return Check(
            f"GPU seconds of a query of {what}",
            lambda r: ratio(r(name, "chips"), r(name, "load_rps")),
            "GPU s",
            between(1.6, 3.2),
            what,
        )

    def times(r: Reading, name: str, key: str, samples: int = 1) -> float:
        return samples * ratio(r(name, key), r("chat", key))

    return Claim(
        14, "Reasoning", "Thinking takes ten times the tokens, and several samples, so ten and forty times the cost; a GPT-4-class query takes 8 to 16 GPUs for 200 ms",
        "articles of 2023 to 2025", "70B in fp8 on four H100: chat; answers of ten times the length; four such samples of each question with a shared prompt. "
        "A query of 405B on H100 and of DeepSeek-V3 on H200 and GB200, all at TPOT 50 ms",
        "the prompt's share: ten times the output is less than ten times the work; how full the batch is decides GPU seconds",
        (on("chat", file, "h100-sxm", **h100), on("ten times", file, "h100-sxm", **h100, workload__output_tokens=LONG),
         on("four samples", file, "h100-sxm", **h100, workload__structure=SAMPLES, pools__0__kv_cache={"prefix_caching": True}),
         on("405b", file, "h100-sxm", model="llama-3.1-405b", tensor=8, **FP8),
         on("deepseek h200", file, "h200-sxm", model="deepseek-v3", tensor=8, weights="fp8", kv="bf16"),
         on("deepseek gb200", file, "gb200-nvl72", model="deepseek-v3", tensor=8, weights="fp4", kv="fp8")),
        (
            Check("cost of a question over a chat answer's", lambda r: times(r, "ten times", A_QUERY), claimed=about(10), when="cost of ten times the tokens"),
            Check("cost of a question over a chat answer's", lambda r: times(r, "four samples", A_QUERY, 4), claimed=about(40), when="cost of ten times the tokens and four samples"),
            Check("latency of a question over a chat answer's", lambda r: times(r, "ten times", "latency.e2e_s.p50"), claimed=about(10), when="latency of ten times the tokens"),
            Check("1,000 questions, ten times the tokens", lambda r: r("ten times", A_QUERY), "usd"),
            gpu_seconds("405b", "405B on 8 H100"), gpu_seconds("deepseek h200", "DeepSeek-V3 on 8 H200"), gpu_seconds("deepseek gb200", "DeepSeek-V3 on 8 GB200"),
        ),
        short="ten times the tokens take {2} the time and cost {0}, with four samples {1}; a query is {6} on GB200, {5} on H200, {4} for 405B on H100",
    )  # fmt: skip


SOFTWARE = (_stack(), _context(), _reasoning())
"""Claims of serving software and of what is asked of it."""
