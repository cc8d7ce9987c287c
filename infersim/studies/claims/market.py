"""Claims 15 to 20: load, prices, whole fleets, small models, the edge, energy.

Not here: how they are put to the test (`settle.py`).
"""

from itertools import pairwise
from typing import Any

from infersim.spec.facility import GRIDS
from infersim.studies.claims.case import Case, on
from infersim.studies.claims.claim import Check, Claim, about, at_least, at_most, between
from infersim.studies.claims.reading import Reading, ratio
from infersim.studies.grid import as_setting

FP8: dict[str, Any] = {"weights": "fp8", "kv": "fp8"}
ATTAINED, TOTAL = "slo.attainment", "cost.total_usd"


def _day() -> Claim:
    file, spike = "15_day_and_night", "15_viral_spike"
    seconds = {"provision_s": 5.0, "initialise_s": 5.0, "load_gb_s": 4.0}
    minutes = {"provision_s": 300.0, "initialise_s": 120.0}
    zero: dict[str, Any] = {"pools__0__replicas": {"initial": 0, "min": 0, "max": 40},
            "pools__0__autoscaler": {"policy": "knative_kpa", "target": 16, "scale_down_delay_s": 300}}  # fmt: skip
    peak: dict[str, Any] = {"pools__0__replicas": {"initial": 16, "max": 40}, "pools__0__autoscaler": None}

    def case(name: str, scenario: str, **keys: Any) -> Case:
        return on(name, scenario, "l40s", **FP8, **keys, at="as it stands", spread=scenario == spike)

    def kept(name: str, what: str) -> Check:
        return Check("share of the requests within the SLO", lambda r: r(name, ATTAINED), "share", at_least(0.95), what)

    def costs(name: str, what: str) -> Check:
        return Check(
            "dollars over those of the fixed peak fleet",
            lambda r: ratio(r(name, TOTAL), r("peak", TOTAL)),
            claimed=at_most(0.7),
            when=what,
        )

    return Claim(
        15, "Day, night and a spike", "10 requests a second at 3 am, 10,000 at noon: autoscaling and scale to zero save most of a fleet for the peak; a viral "
        "spike is absorbed", "articles; no trace is named", "8B on L40S for a day at a two-hundredth of that load: 16 replicas all day; target concurrency; Knative "
        "to zero. A spike of ten times within 30 s: cold starts as they are, of seconds, of minutes",
        "how long cold starts take, and how much is kept in reserve; scale to zero pays where nights are empty, not merely quiet",
        (case("peak", file, **peak), case("scaled", file), case("to zero", file, **zero), case("spike", spike),
         case("spike seconds", spike, pools__0__assume=seconds), case("spike minutes", spike, pools__0__assume=minutes)),
        (
            costs("scaled", "cost of autoscaling"), kept("scaled", "SLO under autoscaling"),
            costs("to zero", "cost of scale to zero"), kept("to zero", "SLO under scale to zero"),
            Check("share of the requests within the SLO, fixed peak fleet", lambda r: r("peak", ATTAINED), "share"),
            Check("dollars of the day, fixed peak fleet", lambda r: r("peak", TOTAL), "usd"),
            kept("spike", "a spike, cold starts as they are"), kept("spike seconds", "a spike, cold starts of seconds"),
            kept("spike minutes", "a spike, cold starts of seven minutes"),
            Check("TTFT p99 in the hour of the spike", lambda r: r("spike", "latency.ttft_s.p99"), "s"),
        ),
        short="{0} of the bill of a day, with {1} within the SLO; of a spike {6} in time, {7} with cold starts of seconds, {8} of minutes",
    )  # fmt: skip


GENERATIONS: tuple[tuple[str, int, dict[str, Any]], ...] = (
    # name, year, chips, weights
    ("a100", 2020, {"hardware": "a100-sxm-80gb", "tensor": 8, "weights": "int8", "kv": "bf16"}),
    ("h100", 2022, {"hardware": "h100-sxm", "tensor": 8, "weights": "fp8", "kv": "fp8"}),
    ("b200", 2024, {"hardware": "b200-sxm", "tensor": 8, "weights": "fp4", "kv": "fp8"}),
    ("rubin", 2026, {"hardware": "rubin-nvl72", "tensor": 8, "weights": "fp4", "kv": "fp8"}),
)
YEARS = GENERATIONS[-1][1] - GENERATIONS[0][1]


def _price() -> Claim:
    file = "16_price_of_a_token"
    owned: dict[str, Any] = {"pools__0__price": {"tier": "owned"}}

    def case(name: str, keys: dict[str, Any], **more: Any) -> Case:
        return on(name, file, **{**keys, **more})

    def thousand(name: str, what: str) -> Check:
        return Check("1,000 output tokens", lambda r: r.usd(name) / 1000, "usd", between(0.02, 0.06), what)

    def falls(a: str, b: str, suffix: str, what: str) -> Check:
        return Check(f"price on {a} over {b}{what}", lambda r: ratio(r.usd(f"{a}{suffix}"), r.usd(f"{b}{suffix}")))

    def by_2029(r: Reading, suffix: str) -> float:
        """The fall of the six years goes on for three more."""
        return float(ratio(r.usd(f"a100{suffix}"), r.usd(f"rubin{suffix}")) ** (3 / YEARS))

    pairs = [(a, b) for (a, *_), (b, *_) in pairwise(GENERATIONS)]
    deepseek: dict[str, Any] = {
        "hardware": "h200-sxm",
        "tensor": 8,
        "weights": "fp8",
        "kv": "bf16",
        "model": "deepseek-v3",
    }
    return Claim(
        16, "The price of GPT-4-class tokens", "0.02 to 0.06 dollars for 1,000 tokens; the price falls by an order of magnitude by 2029",
        "the list prices of GPT-4 in 2023; forecasts", "Llama 3.1 405B on eight A100 (int8), H100 (fp8), B200 and Rubin (fp4), and DeepSeek-V3 on eight H200; chat, "
        "TTFT 3 s, TPOT 100 ms; rented on demand, and owned over four years", "prices: a chip on demand costs what the market bears, so the price of tokens falls "
        "slower than that of work; software and models are left as they are",
        (*(case(name, keys) for name, _, keys in GENERATIONS), *(case(f"{name} owned", keys, **owned) for name, _, keys in GENERATIONS),
         case("deepseek", deepseek)),
        (
            thousand("a100", "405B on A100"), thousand("h100", "405B on H100"), thousand("b200", "405B on B200"), thousand("deepseek", "DeepSeek-V3 on H200"),
            *(falls(a, b, "", ", on demand") for a, b in pairs), *(falls(a, b, " owned", ", owned") for a, b in pairs),
            Check("fall from 2026 to 2029 at the pace of 2020 to 2026", lambda r: by_2029(r, ""), claimed=at_least(10), when="an order of magnitude by 2029, on demand"),
            Check("fall from 2026 to 2029 at the pace of 2020 to 2026", lambda r: by_2029(r, " owned"), claimed=at_least(10),
                  when="an order of magnitude by 2029, owned"),
        ),
        short="1,000 tokens of 405B cost {0} on A100, {1} on H100, {2} on B200, of DeepSeek-V3 {3}; by 2029 prices on demand fall {10}, owned {11}",
    )  # fmt: skip


DAY = 100e9
"""Output tokens a day."""
FLEETS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("H100", {"hardware": "h100-sxm", "tensor": 4, **FP8}),
    ("H200", {"hardware": "h200-sxm", "tensor": 2, **FP8}),
    ("B200", {"hardware": "b200-sxm", "tensor": 1, **FP8}),
    ("GB200", {"hardware": "gb200-nvl72", "tensor": 1, **FP8}),
    ("MI300X", {"hardware": "mi300x", "tensor": 4, **FP8}),
    ("A100", {"hardware": "a100-sxm-80gb", "tensor": 8, "weights": "int8", "kv": "bf16"}),
    ("TPU v6e", {"hardware": "tpu-v6e", "tensor": 8, "weights": "int8", "kv": "int8", "engine": "jetstream"}),
    ("Trainium2", {"hardware": "trainium2", "tensor": 16, "weights": "bf16", "engine": "neuron"}),
    (
        "WSE-3",
        {"hardware": "cerebras-wse3", "weights": "bf16", "engine": "cerebras", "pools__0__parallelism": {"chips": 4}},
    ),
)


def _fleet() -> Claim:
    file = "17_100_billion_tokens"

    def checks(name: str) -> tuple[Check, ...]:
        million = DAY / 1e6
        return (
            Check(f"{name}: as many", lambda r: ratio(DAY / 86400, r.each(name)), "chips"),
            Check("power", lambda r: r(name, "energy.j_per_output_token") * DAY / 86400 / 1e6, "MW", at_most(10), name),
            Check(f"{name}: a day", lambda r: r.usd(name) * million, "usd"),
            Check(f"{name}: CO2 a day", lambda r: r(name, "carbon.g_per_million_output_tokens") * million / 1e6, "t"),
        )  # fmt: skip

    return Claim(
        17, "100 billion tokens a day", "100 billion tokens a day are served with less than 10 megawatts", "a question; the scale is what OpenAI said of its service in 2024", "Llama 3.1 70B within TTFT 1 s and TPOT 50 ms on each kind of chip, at the load of the "
        "SLO all day; power with PUE 1.2, Virginia's grid", "that the load is even: a fleet for the peak of a day is twice as large; and the model: 8B takes a tenth",
        tuple(on(name, file, **keys) for name, keys in FLEETS), tuple(check for name, _ in FLEETS for check in checks(name)),
        short="GB200: {12} and {13}; H100: {0} and {1}; Trainium2: {28} and {29}",
    )  # fmt: skip


def _small() -> Claim:
    file = "18_small_and_large"
    gpu: dict[str, Any] = {"hardware": "h100-sxm", **FP8}

    def times(a: str, b: str, least: float, what: str) -> Check:
        return Check(
            "dollars a token over the small one's",
            lambda r: ratio(r.usd(a), r.usd(b)),
            claimed=at_least(least),
            when=what,
        )

    def asked(passed: float, rate_rps: float, large: int) -> Case:
        settings = {
            "workload.arrivals.rate_rps": rate_rps,
            "workload.cascade.0.answers": 1 - passed,
            "pools.1.replicas.initial": large,
        }
        texts = tuple(as_setting(key, value) for key, value in settings.items())
        return Case(f"cascade {passed:.0%}".rstrip("%"), "claims/18_cascade", texts, "as it stands")

    def cascade(passed: float) -> tuple[Check, Check]:
        name = f"cascade {100 * passed:.0f}"
        return (
            Check("dollars a token of the cascade over those of 70B alone", lambda r: ratio(r.usd(name), r.usd("70B")),
                  claimed=at_most(0.5), when=f"a cascade that passes {passed:.0%} on"),
            Check(f"TTFT p99 of a question to a cascade that passes {passed:.0%} on", lambda r: r(name, "latency.ttft_s.p99"), "s"),
        )  # fmt: skip

    return Claim(
        18, "Small and large models", "A 7B model is 10 to 30 times cheaper than a large one; distillation and cascades save most of the cost; mixtures of experts beat "
        "dense models of equal quality", "Belcak et al. 2025 (7B against 70 to 175B); Mistral and DeepSeek of equal quality",
        "8B on one H100, 70B on two, 405B and DeepSeek-V3 (671B) on eight (H200 for the latter), Mixtral 8x7B and Llama 2 70B on two, fp8, chat; a cascade asks 8B first, and "
        "70B where that does not do, both as full as they are alone within the SLO", "how many chips the large model needs, and how often a cascade's first answer does",
        (on("8B", file, **gpu), on("70B", file, **gpu, tensor=2, model="llama-3.1-70b"), on("405B", file, **gpu, tensor=8, model="llama-3.1-405b"),
         on("671B", file, hardware="h200-sxm", weights="fp8", kv="bf16", tensor=8, model="deepseek-v3"),
         asked(0.2, 28, 1), asked(0.5, 24, 2),
         on("mixtral", file, **gpu, tensor=2, model="mixtral-8x7b", **SHORT), on("llama 2 70B", file, **gpu, tensor=2, model="llama-2-70b", **SHORT)),
        (
            times("70B", "8B", 10, "8B against 70B (and what distilling 70B into 8B saves)"), times("405B", "8B", 30, "8B against 405B"),
            times("671B", "8B", 10, "8B against a mixture of 671B"), *cascade(0.2), *cascade(0.5),
            Check("dollars a token of a mixture over those of a dense model as good",
                  lambda r: ratio(r.usd("671B"), r.usd("405B")), claimed=at_most(0.5), when="DeepSeek-V3 against 405B"),
            Check("dollars a token of a mixture over those of a dense model as good",
                  lambda r: ratio(r.usd("mixtral"), r.usd("llama 2 70B")), claimed=at_most(0.5), when="Mixtral 8x7B against Llama 2 70B"),
        ),
        short="{0} against 70B, {1} against 405B; cascades cost {3} of 70B alone if they pass 20 % on, {5} if half, and one in a hundred waits {4} or {6} for a first token; mixtures {7} and {8} of dense models as good",
    )  # fmt: skip


SHORT: dict[str, Any] = {"workload__input_tokens__max": 3000, "workload__output_tokens__max": 1000}
"""Within the context of Llama 2."""


def _edge() -> Claim:
    file, joules = "19_edge", "energy.j_per_output_token"
    own: dict[str, Any] = {"engine": "local", "at": "alone"}

    def than(what: str, edge: str, value: Any, when: str) -> Check:
        return Check(what, lambda r: value(r, edge), claimed=at_most(1), when=when)

    def pace(name: str) -> Check:
        return Check(f"tokens a second of the {name}", lambda r: r.user(name), "tokens/s")

    def joule(r: Reading, edge: str) -> float:
        return ratio(r(edge, "energy.dynamic_j") / r(edge, "requests.output_tokens"), r("l4", joules))

    def wait(r: Reading, edge: str) -> float:
        return ratio(r(edge, "latency.e2e_s.p50"), r("l4", "latency.e2e_s.p50"))

    def dollars(r: Reading, edge: str) -> float:
        return ratio(r(edge, "energy.dynamic_j") / 3.6e6 * 0.17 / r(edge, "requests.output_tokens") * 1e6, r.usd("l4"))

    chips = ("laptop", "phone")
    return Claim(
        19, "Edge against datacentre", "A small model on your own chip is faster, thriftier and cheaper than a shared GPU", "vendors of laptop and phone chips",
        "Phi-4-mini (3.8B) for a lone user on Apple M4 and Snapdragon 8 Gen 3 in 4 bit, and on a shared L4 in fp8 at TPOT 50 ms; the edge pays for electricity at "
        "0.17 USD/kWh, the chip being there anyway", "whether the chip counts as paid; the network (some 50 ms) is left out",
        (on("laptop", file, "apple-m4", weights="int4", kv="fp16", **own), on("phone", file, "snapdragon-8-gen-3", weights="int4", kv="fp16", **own),
         on("l4", file, "l4", **FP8), on("h100", file, "h100-sxm", **FP8)),
        (
            *(than("time of an answer over a shared L4's", name, wait, f"latency, {name}") for name in chips),
            *(than("joules a token above idle over all of a shared L4's", name, joule, f"energy, {name}") for name in chips),
            *(than("dollars of electricity a token over all of a shared L4's", name, dollars, f"dollars, {name}") for name in chips),
            *(pace(name) for name in chips),
            Check("dollars a token of a shared H100 over a shared L4's", lambda r: ratio(r.usd("h100"), r.usd("l4"))),
        ),
        short="laptop and phone: {0} and {1} the time of an answer, {2} and {3} the joules, {4} and {5} the dollars, for the chip is there anyway",
    )  # fmt: skip


REGIONS = (("Paris", "europe-west9"), ("Virginia", "us-east4"), ("Mumbai", "asia-south1"))
ANSWERS = FLEETS[:3] + FLEETS[4:6]


def _energy() -> Claim:
    file, watt_hours = "20_energy_of_an_answer", "energy.wh_per_request"

    def thrifty(name: str) -> Check:
        return Check("an answer", lambda r: r(name, watt_hours), "Wh", at_most(0.34), f"at most 0.34 Wh on {name}")

    def grams(region: str, name: str) -> Check:
        return Check(
            f"CO2 of an answer on H100 in {name}", lambda r: r("H100", watt_hours) * GRIDS[region] / 1000, "gCO2"
        )

    return Claim(
        20, "Energy of an answer", "One chat answer takes 0.24 to 0.34 Wh, as vendors say, or 3 Wh, as estimates of 2023 had it", "Google, August 2025 (0.24 Wh, the median prompt of Gemini); "
        "OpenAI's Altman, June 2025 (0.34 Wh); de Vries 2023 (3 Wh)", "An answer of 211 tokens of Llama 3.1 70B at the load of the SLO (TTFT 1 s, TPOT 50 ms), by chip, and of DeepSeek-V3, "
        "chips and PUE 1.2, without hosts and spare fleets", "how full the fleet is: a half-empty one takes nearly twice as much; longer answers take more in proportion",
        (*(on(name, file, **keys) for name, keys in ANSWERS),
         on("DeepSeek-V3 on H200", file, hardware="h200-sxm", model="deepseek-v3", tensor=8, weights="fp8", kv="bf16"),
         on("H100 alone", file, **FLEETS[0][1], at="alone")),
        (
            *(thrifty(name) for name, _ in ANSWERS),
            Check("an answer of DeepSeek-V3", lambda r: r("DeepSeek-V3 on H200", watt_hours), "Wh", at_most(0.34), "at most 0.34 Wh for DeepSeek-V3 on H200"),
            Check("an answer", lambda r: r("H100", watt_hours), "Wh", about(3), "3 Wh on H100, as full as the SLO allows"),
            Check("an answer on a fleet of which 2 % are used", lambda r: r("H100 alone", watt_hours), "Wh", at_least(3), "3 Wh on H100 that idle 98 % of the time"),
            *(grams(region, name) for name, region in REGIONS),
        ),
        short="{2} to {4} of a full fleet, {5} for DeepSeek-V3, {7} of an idle one",
    )  # fmt: skip


MARKET = (_day(), _price(), _fleet(), _small(), _edge(), _energy())
"""Claims of the market as a whole."""
