"""Claims 7 to 11: racks, SRAM machines, and chips of which little is measured.

Not here: how they are put to the test (`settle.py`). Read `software.py` next.
"""

from typing import Any

from infersim.studies.claims.case import Case, on
from infersim.studies.claims.claim import Check, Claim, at_least, at_most
from infersim.studies.claims.reading import ratio

FREE = {"link.latency_us": 1e-9, "link.one_way_gb_s": 1e12}
"""Links that take no time."""
JOULES = "energy.j_per_output_token"


def _gb200() -> Claim:
    file, limits = "07_gb200_nvl72", (15, 30, 50, 100)
    spread = {"tensor": 16, "expert": 16, "attention_data": 16}

    def pair(limit: int) -> tuple[Case, Case]:
        keys: dict[str, Any] = {"pools__0__parallelism": spread, "slo__tpot_p99_s": limit / 1000}
        rack = on(f"gb200 {limit} ms", file, "gb200-nvl72", weights="fp4", kv="fp8", **keys)
        return rack, on(f"h100 {limit} ms", file, "h100-sxm", weights="fp8", kv="fp8", **keys)

    def thirty(limit: int) -> Check:
        return Check(
            "tokens of as many H100", lambda r: ratio(r.each(f"gb200 {limit} ms"), r.each(f"h100 {limit} ms")),
            claimed=at_least(30), when=f"throughput at TPOT {limit} ms",
        )  # fmt: skip

    def twenty_fifth(what: str, key: str, limit: int) -> Check:
        return Check(
            f"its {what} over an H100's", lambda r: ratio(r(f"gb200 {limit} ms", key), r(f"h100 {limit} ms", key)),
            claimed=at_most(1 / 25), when=f"{what} a token at TPOT {limit} ms",
        )  # fmt: skip

    usd = "cost.usd_per_million_output_tokens"
    return Claim(
        7, "GB200 NVL72 against H100", "30 times the inference throughput of the same number of H100, at 25 times less cost and energy",
        "NVIDIA, March 2024: GPT-MoE-1.8T, 32,768 tokens in and 1,024 out, 50 ms a token, 5 s to the first",
        "DeepSeek-V3 with the claim's lengths and limits on 16 GPUs: GB200 in fp4 in one NVLink domain, H100 in fp8 over two machines, experts and attention "
        "spread over all 16", "the latency: the tighter the limit, the smaller H100's batches over its slower network; at relaxed limits the ratio "
        "is that of bandwidth and of fp4 to fp8", tuple(case for limit in limits for case in pair(limit)),
        (*(thirty(limit) for limit in limits), twenty_fifth("dollars", usd, 50), twenty_fifth("joules", JOULES, 50),
         twenty_fifth("dollars", usd, 15), twenty_fifth("joules", JOULES, 15)),
        short="{1}, {2} and {3} the tokens at 30, 50 and 100 ms a token ({0} at 15 ms); at 50 ms {4} of the dollars and {5} of the joules",
    )  # fmt: skip


def _groq() -> Claim:
    file = "08_groq"
    lpu: dict[str, Any] = {"engine": "groq", "weights": "int8", "kv": "fp16"}
    lpx: dict[str, Any] = {"engine": "groq", "weights": "fp8", "kv": "fp16", "pools__0__parallelism": {"chips": 256}}
    gpu: dict[str, Any] = {"weights": "fp8", "kv": "fp8", "tensor": 8}
    loose: dict[str, Any] = {"slo__tpot_p99_s": 0.05}

    def watt(case: str) -> Check:
        return Check(
            "the new rack's tokens a joule over an H100's at TPOT 10 ms", lambda r: ratio(r("h100 fast", JOULES), r(case, JOULES)),
            claimed=at_least(35), when="tokens for the same energy, from the new racks, H100 at 100 tokens/s a user",
        )  # fmt: skip

    return Claim(
        8, "Groq", "Several times the speed of GPUs for one user; 35 times the tokens of GPUs with the new LPU racks",
        "Groq, of 2024; NVIDIA of its LPX racks, 2026, tokens a megawatt",
        "Llama 2 70B, int8 on 576 LPUs, fp8 on 256 LPUs of an LPX rack, and fp8 on 8 H100; at the SLO TPOT 5 ms (200 tokens/s a user), for H100 TPOT 50 and 10 ms",
        "how full the pipeline is: 576 chips are paid for by the hour whoever comes",
        (on("lpu alone", file, "groq-lpu", **lpu, at="alone"), on("h100 alone", file, "h100-sxm", **gpu, at="alone"),
         on("lpx alone", file, "groq-lpx", **lpx, at="alone"), on("lpu", file, "groq-lpu", **lpu), on("lpx", file, "groq-lpx", **lpx),
         on("lpu at 10 requests/s", file, "groq-lpu", **lpu, at="as it stands"), on("h100", file, "h100-sxm", **gpu, **loose),
         on("h100 fast", file, "h100-sxm", **{**gpu, "slo__tpot_p99_s": 0.01})),
        (
            Check("tokens a second of one user over an H100's", lambda r: ratio(r.user("lpu alone"), r.user("h100 alone")),
                  claimed=at_least(3), when="one user on the LPUs of 2024"),
            Check("tokens a second of one user over an H100's", lambda r: ratio(r.user("lpx alone"), r.user("h100 alone")),
                  claimed=at_least(3), when="one user on the new racks"),
            Check("tokens a second of a user over those of one on shared H100, both as full as their SLO allows",
                  lambda r: ratio(r.user("lpu"), r.user("h100")), claimed=at_least(3), when="one of many users"),
            Check("tokens a second of one user", lambda r: r.user("lpu alone"), "tokens/s"),
            Check("the pipeline's dollars a token over those of 8 H100, as full as the SLO allows", lambda r: ratio(r.usd("lpu"), r.usd("h100"))),
            Check("the pipeline's dollars a token over those of 8 H100, at 10 requests/s",
                  lambda r: ratio(r.usd("lpu at 10 requests/s"), r.usd("h100"))),
            Check("the new rack's tokens a joule over an H100's at TPOT 50 ms", lambda r: ratio(r("h100", JOULES), r("lpx", JOULES)),
                  claimed=at_least(35), when="tokens for the same energy, H100 at 20 tokens/s a user"),
            watt("lpx"),
        ),
        short="{0} the speed of a user who has eight H100 to himself, {2} that of one who shares them; {4} their dollars when full, {5} at 10 requests/s; {7} the tokens a joule on the new racks",
    )  # fmt: skip


def _cerebras() -> Claim:
    file = "09_cerebras_wafers"
    sizes = (("8B", "llama-3.1-8b", 1), ("70B", "llama-3.1-70b", 4), ("405B", "llama-3.1-405b", 20))

    def cases(name: str, model: str, wafers: int) -> tuple[Case, Case]:
        keys: dict[str, Any] = {
            "model": model,
            "pools__0__parallelism": {"chips": wafers},
            "engine": "cerebras",
            "weights": "bf16",
        }
        own = on(name, file, "cerebras-wse3", **keys, at="alone")
        return own, on(f"{name} ideal links", file, "cerebras-wse3", **keys, at="alone", pools__0__assume=FREE)

    nineteen = on("405B on 19", file, "cerebras-wse3", model="llama-3.1-405b", engine="cerebras", weights="bf16", at="alone",
                  pools__0__parallelism={"chips": 19})  # fmt: skip

    def pace(name: str) -> Check:
        return Check(f"tokens a second of a lone user of {name}", lambda r: r.user(name), "tokens/s")

    def lost(name: str, wafers: int) -> Check:
        time = "latency.tpot_s.mean"
        return Check(
            "share of a token's time spent between wafers", lambda r: 1 - ratio(r(f"{name} ideal links", time), r(name, time)),
            "share", at_most(0.01), f"{name} on {wafers} wafer{'s' if wafers > 1 else ''}",
        )  # fmt: skip

    return Claim(
        9, "Wafers without links", "No inter-chip overhead: the model lives on one wafer", "Cerebras, 2024; its launch figures of 1,800 and 450 tokens/s for 8B and 70B",
        "8B on 1, 70B on 4 and 405B on 20 WSE-3 in 16 bit (19 hold the weights, and nothing else), a lone user, with links as they are and with links that take no time",
        "the time of a hop between wafers: a token passes each wafer once, so beside its 2 to 4 ms the links are little, and grow with the wafers; "
        "what grows is the time of the layers themselves", (*(case for size in sizes for case in cases(*size)), nineteen),
        (
            Check("405B fits on 19 wafers with a KV cache", lambda r: r("405B on 19", "runs"), "yes"),
            *(lost(name, wafers) for name, _, wafers in sizes),
            *(pace(name) for name, _, _ in sizes),
        ),
        short="{2} of a token's time at four wafers, {3} at twenty; 19 hold 405B with a cache: {0}",
    )  # fmt: skip


def _trainium_with_cerebras() -> Claim:
    file = "10_trainium_with_cerebras"
    whole = {
        "name": "main", "hardware": "cerebras-wse3", "engine": "cerebras", "parallelism": {"chips": 4},
        "precision": {"weights": "bf16", "kv_cache": "bf16"},
    }  # fmt: skip
    trainium = {**whole, "hardware": "trainium2", "engine": "neuron", "parallelism": {"tensor": 16}}
    long = (
        'workload.input_tokens={"distribution": "lognormal", "mean": 6000, "p99": 8000, "max": 8192}',
        'slo.ttft_p99_s=3',
    )  # fmt: skip

    def case(name: str, *settings: str, slow: bool = False) -> Case:
        return Case(name, f"claims/{file}", (*settings, *(("slo.tpot_p99_s=0.1",) if slow else ())))

    def alone(pool: dict) -> str:
        from infersim.studies.grid import as_setting

        return as_setting("pools", [pool])

    def gain(suffix: str, when: str) -> Check:
        return Check(
            "requests of the split over those of the same wafers alone",
            lambda r: ratio(r(f"split{suffix}", "load_rps"), r(f"wafers{suffix}", "load_rps")), claimed=at_least(1.5), when=when,
        )  # fmt: skip

    def cheaper(suffix: str, when: str) -> Check:
        return Check(
            "dollars a token of the split over those of wafers alone", lambda r: ratio(r.usd(f"split{suffix}"), r.usd(f"wafers{suffix}")),
            claimed=at_most(1), when=when,
        )  # fmt: skip

    return Claim(
        10, "Trainium for prompts, wafers for tokens", "Prefill on Trainium and decode on WSE serves far more than wafers alone",
        "AWS and Cerebras, 2026; how much is what is asked", "Llama 3.1 70B in 16 bit: 8 x 16 Trainium2 and four WSE-3, against four WSE-3 alone and 16 Trainium2 "
        "alone; chat, and prompts of 6,000 tokens; TTFT 1 s (3 s), TPOT 5 ms (Trainium 100 ms)",
        "what binds the wafers: if it is the decoding, taking prompts away gains little, and the longer prompts are the more it gains",
        (case("split"), case("wafers", alone(whole)), case("trainium", alone(trainium), slow=True),
         case("split long", *long), case("wafers long", alone(whole), *long)),
        (gain("", "capacity, chat"), gain(" long", "capacity, prompts of 6,000 tokens"), cheaper("", "cost, chat"),
         cheaper(" long", "cost, prompts of 6,000 tokens"),
         Check("dollars a token of Trainium alone, at a twentieth of the speed, over those of the split", lambda r: ratio(r.usd("trainium"), r.usd("split")))),
        short="{0} the requests for chat, {1} for long prompts, at {2} and {3} the dollars a token",
    )  # fmt: skip


OTHERS = (
    # name, profile, engine, chips for 8B, chips for 70B
    ("MTIA 200", "mtia-v2", "vllm", 1, 8),
    ("Maia 100", "maia-100", "vllm", 1, 4),
    ("Maia 200", "maia-200", "vllm", 1, 2),
    ("SN40L", "sambanova-sn40l", "sambanova", 1, 8),
    ("Gaudi 3", "gaudi3", "optimum-habana", 1, 2),
    ("Cloud AI 100 Ultra", "cloud-ai-100-ultra", "vllm", 1, 4),
)


def _others() -> Claim:
    file = "11_other_chips"

    def both(name: str, chip: str, engine: str, few: int, many: int) -> tuple[Case, Case]:
        small = on(f"{name} 8B", file, chip, engine=engine, weights="bf16", tensor=few)
        return small, on(f"{name} 70B", file, chip, engine=engine, weights="bf16", tensor=many, model="llama-3.1-70b")

    def against(name: str, size: str) -> tuple[Check, Check]:
        return (
            Check(f"{name}: tokens of an H100 on {size}", lambda r: ratio(r.each(f"{name} {size}"), r.each(f"H100 {size}"))),
            Check("its dollars a token over an H100's", lambda r: ratio(r.usd(f"{name} {size}"), r.usd(f"H100 {size}")), claimed=at_most(1),
                  when=f"{name}, {size}"),
        )  # fmt: skip

    return Claim(
        11, "The other chips", "MTIA, Maia, SambaNova, Gaudi 3 and Qualcomm serve cheaper than GPUs", "their vendors; few measurements, and no list prices",
        "8B and 70B in 16 bit, chat, TTFT 2 s and TPOT 100 ms, against H100 (one, four) at AWS's price on demand",
        "prices: none of these chips but Gaudi 3 and Cloud AI 100 can be rented widely",
        (*both("H100", "h100-sxm", "vllm", 1, 4), *(case for row in OTHERS for case in both(*row))),
        tuple(check for name, *_ in OTHERS for size in ("8B", "70B") for check in against(name, size)),
        short="dollars of an H100 for 8B and 70B: MTIA 200 {1}, {3}; Maia 100 {5}, {7}; Maia 200 {9}, {11}; SN40L {13}, {15}; Gaudi 3 {17}, {19}; Cloud AI 100 {21}, {23}",
    )  # fmt: skip


RACKS = (_gb200(), _groq(), _cerebras(), _trainium_with_cerebras(), _others())
"""Claims of racks and of unusual machines."""
