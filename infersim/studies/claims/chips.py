"""Claims 1 to 6: one chip against another.

Not here: how they are put to the test (`settle.py`). Read `racks.py` next.
"""

from typing import Any

from infersim.studies.claims.case import Case, on
from infersim.studies.claims.claim import Check, Claim, about, at_least, at_most
from infersim.studies.claims.reading import ratio

PRICE = "pools.main.usd_per_chip_hour"
TIGHT: dict[str, Any] = {"slo__ttft_p99_s": 0.5, "slo__tpot_p99_s": 0.025}
"""A limit that people notice: 40 tokens a second."""


def _l40s() -> Claim:
    file = "01_l40s_against_h100"
    small: dict[str, Any] = {"weights": "fp8", "kv": "fp8"}
    large = {**small, "model": "llama-3.1-70b"}

    def pair(suffix: str, **keys: Any) -> tuple[Case, Case]:
        l40s = {**keys, "tensor": 4} if "model" in keys else keys
        h100: dict[str, Any] = {**keys, "tensor": 2} if "model" in keys else keys
        return on(f"l40s {suffix}", file, "l40s", **l40s), on(f"h100 {suffix}", file, "h100-sxm", **h100)

    def cheaper(when: str, suffix: str) -> Check:
        return Check(
            "its dollars a token over an H100's",
            lambda r: ratio(r.usd(f"l40s {suffix}"), r.usd(f"h100 {suffix}")),
            claimed=at_most(1), when=when,
        )  # fmt: skip

    neocloud: dict[str, Any] = {"pools__0__price": {"tier": "neocloud"}}
    one_token = {"distribution": "constant", "value": 1}
    prompts: dict[str, Any] = {
        "workload__input_tokens": {"distribution": "constant", "value": 2000},
        "workload__output_tokens": one_token,
    }
    return Claim(
        1, "L40S against H100", "An L40S has a third of an H100's performance at a fifth of its price, so tokens are cheaper",
        "articles; no test behind it is named", "Llama 3.1 8B on one chip and 70B (four L40S, two H100) in fp8, chat",
        "which price an H100 has (on demand at AWS, or a neocloud's), and the limit on TPOT: GDDR6 streams weights four times slower",
        (*pair("8B", **small), *pair("8B tight", **small, **TIGHT), *pair("70B", **large),
         *pair("8B full", **small, at="saturation"),
         *pair("prompts", weights="bf16", at="saturation", **prompts),
         on("h100 8B neocloud", file, "h100-sxm", weights="fp8", kv="fp8", **neocloud)),
        (
            Check("performance of an H100", lambda r: ratio(r.speed("l40s 8B full"), r.speed("h100 8B full")),
                  claimed=about(1 / 3), when="performance is throughput of 8B at full load"),
            Check("performance of an H100", lambda r: ratio(r.speed("l40s prompts"), r.speed("h100 prompts")),
                  claimed=about(1 / 3), when="performance is that of prompts alone, in 16 bit"),
            Check("its dollars a prompt over an H100's", lambda r: ratio(r.usd("l40s prompts"), r.usd("h100 prompts")),
                  claimed=at_most(1), when="prompts alone, in 16 bit"),
            Check("price of an H100", lambda r: ratio(r("l40s 8B", PRICE), r("h100 8B", PRICE)),
                  claimed=about(1 / 5), when="price is AWS on demand"),
            cheaper("8B, TTFT 2 s, TPOT 100 ms", "8B"),
            cheaper("8B, TTFT 0.5 s, TPOT 25 ms", "8B tight"),
            cheaper("70B, TTFT 2 s, TPOT 100 ms", "70B"),
            Check("its dollars a token over those of a neocloud's H100",
                  lambda r: ratio(r.usd("l40s 8B"), r.usd("h100 8B neocloud")), claimed=at_most(1),
                  when="8B against a neocloud's H100"),
        ),
        short="{0} of an H100 in tokens, {1} in prompts; its dollars: {2} of an H100's for prompts alone, {4} for chat at AWS's prices, {5} for tight limits, {6} for 70B, {7} against a neocloud's H100",
    )  # fmt: skip


def _inferentia2() -> Claim:
    file = "02_inferentia2_against_a10g"
    on_inf, on_a10g, on_h100 = (("inferentia2", "neuron"), ("a10g", "vllm"), ("h100-sxm", "vllm"))

    def case(name: str, chip: tuple[str, str], **keys: Any) -> Case:
        return on(name, file, chip[0], engine=chip[1], weights="bf16", **keys)

    small: dict[str, Any] = {"model": "phi-2"}
    return Claim(
        2, "Inferentia2 against A10G", "2.6 times the throughput, 8 times lower latency, 70 % lower cost per inference; 50 to 70 % "
        "saved against GPUs", "AWS, of its customers' models", "Llama 3.1 8B and Phi-2 in 16 bit on one chip, short chat",
        "the engine more than the chip: Neuron compiles static shapes for 32 sequences; its bandwidth is 1.4 times an A10G's, which no "
        "latency of a lone user can leave behind eight times",
        (case("inf2", on_inf), case("a10g", on_a10g), case("h100", on_h100), case("inf2 alone", on_inf, at="alone"),
         case("a10g alone", on_a10g, at="alone"), case("inf2 full", on_inf, at="saturation"), case("a10g full", on_a10g, at="saturation"),
         case("inf2 phi-2", on_inf, **small), case("a10g phi-2", on_a10g, **small)),
        (
            Check("throughput over an A10G's", lambda r: ratio(r.speed("inf2 full"), r.speed("a10g full")), claimed=at_least(2.6),
                  when="throughput of 8B at full load"),
            Check("latency of an A10G over its own", lambda r: ratio(r("a10g alone", "latency.e2e_s.mean"), r("inf2 alone", "latency.e2e_s.mean")),
                  claimed=at_least(8), when="latency of a lone user"),
            Check("its dollars a token over an A10G's", lambda r: ratio(r.usd("inf2"), r.usd("a10g")), claimed=at_most(0.3),
                  when="cost of 8B"),
            Check("its dollars a token over an A10G's", lambda r: ratio(r.usd("inf2 phi-2"), r.usd("a10g phi-2")), claimed=at_most(0.3),
                  when="cost of Phi-2"),
            Check("its dollars a token over an H100's", lambda r: ratio(r.usd("inf2"), r.usd("h100")), claimed=at_most(0.5),
                  when="cost of 8B against an H100"),
        ),
        short="on 8B {0} an A10G's throughput, {1} its speed for one user, {2} its cost; the figures are of other models and older stacks",
    )  # fmt: skip


def _gpt3() -> Claim:
    file = "03_gpt3_on_inferentia2"
    inf2: dict[str, Any] = {"tensor": 12, "weights": "bf16", "engine": "neuron"}
    h100: dict[str, Any] = {"tensor": 8, "weights": "bf16"}
    return Claim(
        3, "GPT-3 on twelve Inferentia2", "A whole model of 175B runs on one machine of 12 Inferentia2 chips (384 GB), at low cost",
        "AWS, of inf2.48xlarge", "GPT-3 175B in 16 bit on 12 Inferentia2 and on 8 H100, short chat, TTFT 10 s, TPOT 300 ms",
        "what is fast enough: the machine holds the model but reads 350 GB for each token; with 96 KV heads few sequences share that",
        (on("inf2", file, "inferentia2", **inf2), on("inf2 alone", file, "inferentia2", **inf2, at="alone"),
         on("h100", file, "h100-sxm", **h100)),
        (
            Check("it fits", lambda r: r("inf2 alone", "runs"), "yes", at_least(1), "memory is what counts"),
            Check("tokens a second for a lone user", lambda r: r.user("inf2 alone"), "tokens/s", at_least(10),
                  "10 tokens/s for a lone user are enough, as fast as people read"),
            Check("requests a second within the SLO", lambda r: r("inf2", "load_rps"), "1/s"),
            Check("dollars for a million output tokens", lambda r: r.usd("inf2"), "usd"),
            Check("its dollars a token over 8 H100's", lambda r: ratio(r.usd("inf2"), r.usd("h100")), claimed=at_most(1),
                  when="cost against 8 H100"),
        ),
        short="it fits: {0}; one user gets {1}; a token costs {4} what it costs on eight H100",
    )  # fmt: skip


IMAGE = "cost.usd_per_thousand_requests"


def _tpu_v5e() -> Claim:
    file = "04_tpu_v5e_per_dollar"

    def pair(size: str, slices: int, gpus: int, **keys: Any) -> tuple[Case, Case]:
        tpu = on(f"v5e {size}", file, "tpu-v5e", tensor=slices, weights="int8", kv="int8", engine="jetstream", **keys)
        return tpu, on(f"h100 {size}", file, "h100-sxm", tensor=gpus, weights="fp8", kv="fp8", **keys)

    def cheaper(size: str) -> Check:
        return Check(
            "its dollars a token over an H100's", lambda r: ratio(r.usd(f"v5e {size}"), r.usd(f"h100 {size}")),
            claimed=at_most(1), when=f"{size}, prices on demand",
        )  # fmt: skip

    large: dict[str, Any] = {
        "model": "gpt-3-175b",
        "workload__input_tokens": {"distribution": "lognormal", "mean": 500, "p99": 1000, "max": 1200},
        "workload__output_tokens": {"distribution": "lognormal", "mean": 150, "p99": 500, "max": 800},
    }
    neocloud = on(
        "h100 8B neocloud", file, "h100-sxm", weights="fp8", kv="fp8", tensor=1, pools__0__price={"tier": "neocloud"}
    )
    return Claim(
        4, "TPU v5e per dollar", "Better performance per dollar than H100 for models up to 200B; 1,000 images for 10 cents",
        "Google Cloud, at the launch of v5e", "8B on 4 chips, 70B on 8 and GPT-3 175B on 16, int8, against H100 in fp8, chat, TTFT 2 s, "
        "TPOT 100 ms; images of Stable Diffusion XL, 1,024 pixels wide, in 20 steps and in the 4 or the one of distilled models, at full load",
        "the price of an H100 (on demand, or a neocloud's), and how many steps an image takes",
        (*pair("8B", 4, 1), *pair("70B", 8, 2, model="llama-3.1-70b"), *pair("175B", 16, 4, **large), neocloud,
         on("images", "04_images", "tpu-v5e", engine="diffusers", at="saturation"),
         *(on(f"images of {name}", "04_images", "tpu-v5e", engine="diffusers", at="saturation", workload__steps=n)
           for n, name in ((1, "one step"), (4, "4 steps")))),
        (
            cheaper("8B"), cheaper("70B"), cheaper("175B"),
            Check("its dollars a token over a neocloud's H100's", lambda r: ratio(r.usd("v5e 8B"), r.usd("h100 8B neocloud")),
                  claimed=at_most(1), when="8B against a neocloud's H100"),
            Check("1,000 images of a model of one step", lambda r: r("images of one step", IMAGE), "usd", at_most(0.10), "images of one step"),
            Check("1,000 images of a distilled model", lambda r: r("images of 4 steps", IMAGE), "usd", at_most(0.10), "images of 4 steps"),
            Check("1,000 images", lambda r: r("images", IMAGE), "usd", at_most(0.10), "images of 20 steps"),
        ),
        short="1,000 images for {4} in one step, {5} in 4, {6} in 20; tokens cost {0} those of an H100 on demand",
    )  # fmt: skip


def _mi300x() -> Claim:
    file = "05_mi300x_one_card"
    owned: dict[str, Any] = {"pools__0__price": {"tier": "owned"}}

    def trio(suffix: str, **keys: Any) -> tuple[Case, ...]:
        return (
            on(f"mi300x {suffix}", file, "mi300x", weights="bf16", tensor=1, **keys),
            on(f"2 h100 {suffix}", file, "h100-sxm", weights="fp8", kv="fp8", tensor=2, **keys),
            on(f"4 h100 {suffix}", file, "h100-sxm", weights="bf16", tensor=4, **keys),
        )

    def cheaper(rival: str, suffix: str, when: str) -> Check:
        return Check(
            f"its dollars a token over those of {rival}", lambda r: ratio(r.usd(f"mi300x {suffix}"), r.usd(f"{rival} {suffix}")),
            claimed=at_most(1), when=when,
        )  # fmt: skip

    return Claim(
        5, "MI300X: 70B on one card", "192 GB hold 70B on one card, a drop-in for H100, at a lower cost of ownership than two to four H100",
        "AMD; capacity is a datasheet's", "Llama 3.1 70B in 16 bit on one MI300X, in fp8 on two H100, in 16 bit on four, chat",
        "bits and latency: at the same 16 bit one card replaces four, but H100 in fp8 needs two; a lone card reads 141 GB a token",
        (*trio("rented"), *trio("owned", **owned), on("mi300x tight", file, "mi300x", weights="bf16", tensor=1, **TIGHT),
         on("mi300x fp8", file, "mi300x", weights="fp8", kv="fp8", tensor=1)),
        (
            Check("it serves within TTFT 2 s and TPOT 100 ms", lambda r: float(r("mi300x rented", "load_rps") > 0), "yes", at_least(1),
                  "TPOT 100 ms on one card in 16 bit"),
            Check("it serves within TTFT 0.5 s and TPOT 25 ms", lambda r: float(r("mi300x tight", "load_rps") > 0), "yes", at_least(1),
                  "TPOT 25 ms on one card in 16 bit"),
            cheaper("4 h100", "rented", "rented, against four H100 in 16 bit"),
            cheaper("2 h100", "rented", "rented, against two H100 in fp8"),
            cheaper("4 h100", "owned", "owned, against four H100 in 16 bit"),
            cheaper("2 h100", "owned", "owned, against two H100 in fp8"),
            Check("rented, in fp8 itself: its dollars a token over those of 2 h100", lambda r: ratio(r.usd("mi300x fp8"), r.usd("2 h100 rented")),
                  claimed=at_most(1), when="rented, both in fp8"),
        ),
        short="one card does it at 100 ms a token: {0}, at 25 ms: {1}; the dollars of four H100 {2} rented, {4} owned; of two in fp8 {3} and {5}",
    )  # fmt: skip


def _ascend() -> Claim:
    file = "06_ascend_910c"

    def pair(name: str, model: str, tensor: int, weights: str) -> tuple[Case, Case]:
        stored = {"bf16": "bf16", "fp8": "fp8"}[weights]
        keys: dict[str, Any] = {"model": model, "tensor": tensor, "at": "saturation"}
        ascend = on(
            f"910c {name}", file, "ascend-910c", weights="int8" if weights == "fp8" else "bf16", kv="bf16", **keys
        )
        return ascend, on(f"h100 {name}", file, "h100-sxm", weights=weights, kv=stored, **keys)

    def reaches(name: str, when: str) -> Check:
        return Check(
            "its tokens a second over an H100's", lambda r: ratio(r.each(f"910c {name}"), r.each(f"h100 {name}")),
            claimed=at_least(0.6), when=when,
        )  # fmt: skip

    return Claim(
        6, "Ascend 910C against H100", "The Ascend 910C reaches 60 % of an H100 at inference", "press, of tests by DeepSeek; no table is published",
        "8B on one chip, 70B on four, at full load: both in 16 bit; int8 against fp8", "the dtype, for 910C has no fp8, and how well its kernels are written",
        (*pair("8B bf16", "llama-3.1-8b", 1, "bf16"), *pair("70B bf16", "llama-3.1-70b", 4, "bf16"), *pair("70B 8 bit", "llama-3.1-70b", 4, "fp8")),
        (reaches("8B bf16", "8B in 16 bit"), reaches("70B bf16", "70B in 16 bit"), reaches("70B 8 bit", "70B, int8 against fp8")),
        short="{0} of an H100 on 8B, {1} on 70B, {2} against fp8",
    )  # fmt: skip


CHIPS = (_l40s(), _inferentia2(), _gpt3(), _tpu_v5e(), _mi300x(), _ascend())
"""Claims of single chips."""
