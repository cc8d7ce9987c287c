"""`inspect` and `fit` against the figures of shared/traces/README.md, to the digits given there, and by hand."""

import os
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.stats import norm

from infersim.spec.workload import Workload
from infersim.workload.fit import fit, fit_lengths, fit_mmpp
from infersim.workload.formats import format_named
from infersim.workload.generate import request_blocks
from infersim.workload.inspect import inspect
from infersim.workload.inspect_rates import PoolInspection, inspect_clients, inspect_series
from infersim.workload.length_windows import window_fit
from infersim.workload.modulated import mmpp
from infersim.workload.requests import joined, requests
from infersim.workload.reuse import ideal_reuse, lru_hits
from infersim.workload.statistics import Lengths, dispersion
from tests.workload.counts import bin_counts
from tests.workload.counts import joined as times_of

SHARED = Path(os.environ.get("INFERSIM_SHARED") or Path(__file__).parents[3] / "shared") / "traces"
real = pytest.mark.skipif(not SHARED.is_dir(), reason=f"the real traces are not here: no {SHARED} (INFERSIM_SHARED)")
CODE = SHARED / "azure2023" / "AzureLLMInferenceTrace_code.csv"
CONVERSATION = SHARED / "azure2023" / "AzureLLMInferenceTrace_conv.csv"
WEEK = SHARED / "azure2024" / "invocations_ten_second_Conversation.csv.gz"


def digits(found: float, published: str) -> bool:
    """Whether a figure, rounded to as many places as the published one has, is that one."""
    places = len(published.partition(".")[2])
    return abs(found - float(published)) <= 0.5000001 * 10.0**-places


def check(found: dict[str, float] | list, *published: str) -> None:
    values = list(found.values()) if isinstance(found, dict) else list(found)
    for value, text in zip(values, published, strict=False):
        assert digits(value, text), (value, text)


# ---------------------------------------------------------------- the real files


@real
@pytest.mark.parametrize(
    ("path", "rows", "figures", "minute", "second", "iod", "inputs", "outputs", "sums"),
    [
        (
            CODE, 8819, ("3435.9", "2.567", "13.15", "8.56", "0.064", "-0.021"), ("151.3", "632", "4.18"),
            ("2.57", "67", "26.1"), ("13.2", "71.9", "167"), ("2047.8", "1469", "5188", "7436", "7437"),
            ("27.9", "13", "55", "251.5", "1899"), (18_059_974, 245_896),
        ),
        (
            CONVERSATION, 19_366, ("3501.7", "5.530", "1.094", "1.094", "0.118", "0.073"), ("333.3", "507", "1.52"),
            ("5.53", "16", "2.89"), ("1.39", "3.87", "16.4"), ("1154.7", "1020", "2735", "4142", "14050"),
            ("211.1", "129", "424", "601", "1000"), (22_361_870, 4_088_665),
        ),
    ],
)  # fmt: skip
def test_azure_2023(path, rows, figures, minute, second, iod, inputs, outputs, sums):
    found = inspect(path)
    assert (found.format, found.rows) == ("azure-2023", rows)
    check([found.span_s, found.rate_rps, found.gap_cv, found.gap_cv_short, found.gap_p50_s, found.spearman], *figures)
    check(found.per_minute, *minute)
    check(found.per_second, *second)
    check(found.dispersion, *iod)
    check(found.input_tokens, *inputs)
    check(found.output_tokens, *outputs)
    assert (found.input_tokens["sum"], found.output_tokens["sum"]) == sums
    assert found.gap_p99_s == pytest.approx(2.21 if path is CODE else 0.890, rel=0.004)
    first_last = ("18:17:03.98", "19:14:19.93") if path is CODE else ("18:15:46.68", "19:14:08.40")
    assert tuple(found.clock.values()) == first_last
    check([found.gamma_shape, found.gamma_shape**-0.5], *(("0.231", "2.08") if path is CODE else ("0.871", "1.07")))
    if path is CODE:
        check([found.long_gaps["count"], 100 * found.long_gaps["share"], found.longest_gap_s], "45", "69", "217")
    assert found.warnings == []


@real
def test_azure_2024_week():
    found = inspect_series(WEEK)
    assert (found.bins, found.requests, found.interval_s) == (60_481, 27_303_999, 10)
    check([found.rate_rps, *found.per_minute.values()], "45.15", "2709", "5141", "990", "1.90")
    check(found.hourly, "75660", "269245", "3.56", "0.29")
    check([day / 1e6 for day in found.by_day], "2.48", "4.60", "4.78", "4.42", "4.45", "4.01", "2.57")
    hours = "40.1 43.3 43.3 35.8 35.7 38.6 44.1 47.5 48.8 46.9 43.7 46.3 51.1 57.1 59.5 56.6 51.8 49.6 49.2 46.3 43.3"
    check(found.by_hour, *hours.split())
    check([found.local_dispersion], "3.4")
    assert found.autocorrelation == pytest.approx([0.57, 0.30, 0.05], abs=0.01)
    waves = found.waves
    assert waves is not None
    check([waves.constant, waves.r_squared, waves.residual_sd], "3.762", "0.83", "0.131")
    check(waves.cos, "-0.158", "-0.020", "-0.310", "-0.178")
    check(waves.sin, "-0.090", "0.055", "0.060", "0.013")


@real
def test_mooncake():
    found = inspect(SHARED / "mooncake" / "conversation_trace.jsonl", [1000, 50_000])
    assert (found.format, found.rows, found.block_tokens) == ("mooncake", 12_031, 512)
    check([found.span_s, found.rate_rps, found.gap_cv], "3537.0", "3.40", "3.03")
    check(found.per_minute, "203.9", "247", "1.21")
    check([found.dispersion[60], found.dispersion[1]], "2.95", "7.9")
    check(found.input_tokens, "12035", "6909", "27367", "85400", "126195", "144793823")
    check(found.output_tokens, "342.6", "350", "597", "1118.5", "2000", "4122048")
    reuse = found.reuse
    assert reuse is not None
    assert (reuse.blocks, reuse.distinct_blocks) == (288_500, 182_790)
    check(
        [100 * reuse.recurring_share, reuse.of_blocks, reuse.of_tokens, reuse.of_a_request],
        "24.2",
        "0.3664",
        "0.3736",
        "0.384",
    )
    check(found.lru, "0.0445", "0.3546")
    assert "only 1180 distinct times: the clock ticks in steps of 3 s" in found.warnings[0]


@real
def test_ragpulse():
    path = SHARED / "ragpulse" / "0_trace_days0-3.jsonl"
    found = inspect(path)
    assert (found.format, found.rows) == ("ragpulse", 4354)
    check([found.span_s, found.rate_rps, found.gap_cv], "345577", "0.0126", "2.84")
    check(found.per_minute, "0.756", "10")
    check(found.input_tokens, "2923", "3141", "3921", "5194", "7712")
    check(found.output_tokens, "273", "223", "547", "897", "2183")
    check([found.sessions[key] for key in ("sessions", "turns_mean", "turns_p90")], "2439", "1.79", "3")
    hours = "210 74 47 18 15 16 22 63 124 189 220 258 251 316 301 300 246 238 276 314 196 219 270 171"
    assert found.by_hour == [int(hour) for hour in hours.split()]
    assert "1 rows are before the row above" in found.warnings[0]
    assert found.reuse is not None
    assert found.reuse.of_tokens == pytest.approx(0.316, abs=0.002)  # in blocks of 16; the README counts tokens
    check(found.per_hour, "45.1", "146", "3.24")
    told = found.details
    check([told["passages_per_request"], told["reuse_of_components"]], "4.65", "0.316")
    check([told["token_share"][kind] for kind in ("sys_prompt", "passages_ids", "history", "web_search")],
          "0.47", "0.43", "0.09", "0.01")  # fmt: skip


@real
@pytest.mark.slow
def test_kv_cache_tester():
    found = inspect(SHARED / "agentic_kvcachetester" / "requests.parquet")
    assert (found.rows, found.block_tokens) == (31_347, 64)
    check(found.sessions, "482", "65", "42", "151", "561", "3546", "16232")
    check(found.input_tokens, "121337", "100464", "220217", "536434", "894371", "3803558552")
    check(found.output_tokens, "441", "221", "888", "3673", "18195", "13822324")
    told = found.details
    check(told["new_tokens"], "3187", "704", "4544", "54144")
    check(told["reuse_of_last_call"], "0.963", "0.993", "0.962")
    check(told["api_time_s"], "9.8", "6.1", "18.3", "61.3")
    check(told["think_time_s"], "152", "10", "159", "2782")
    check([100 * told["stop"]["tool_use"], 100 * told["stop"]["end_turn"]], "85.1", "5.6")


@real
def test_kv_cache_tester_sample_is_part_of_the_flat_table():
    found = inspect(SHARED / "agentic_kvcachetester" / "raw_sample_20.jsonl.gz")
    assert (found.format, found.sessions["sessions"]) == ("kv-cache-tester", 20)
    assert found.reuse is not None
    assert found.reuse.of_blocks > 0.85


@real
def test_tables_of_lengths():
    sharegpt = inspect(SHARED / "lengths" / "sharegpt_8k_filtered_stats_llama2_tokenizer.csv")
    assert sharegpt.rows == 30_731
    check(sharegpt.input_tokens, "2340", "1730", "5696", "7434", "8141")
    check(sharegpt.output_tokens, "438.7", "415", "834", "998", "1024")
    apex = inspect(SHARED / "lengths" / "apex_lmsys_05_llama_lengths.csv")
    assert apex.rows == 1024
    check(apex.input_tokens, "61.7", "17", "177", "586", "1037")
    check(apex.output_tokens, "162", "117", "389", "533", "761")


@real
@pytest.mark.parametrize(
    ("model", "clients", "span", "rate", "top", "cvs", "shares"),
    [
        ("m-small", 43, 1_209_000, ("1196", "3880", "3.24"), ("0.299", "0.928"),
         ("1.07", "1.22", "6.99"), ("0.991", "0.70")),
        ("m-large", 135, 604_200, ("209.5", "583.0", "2.78"), ("0.169", "0.696"),
         ("0.94", "1.17", "5.11"), ("0.845", "0.78")),
        ("deepseek-r1", 46, 42_600, ("16.84", "33.25", "1.98"), ("0.517", "0.880"),
         ("0.57", "1.00", "7.08"), ("0.486", "0.82")),
        ("mm-image", 35, 85_800, ("9.47", "13.29", "1.40"), ("0.135", "0.828"),
         ("0.81", "1.01", "4.87"), ("0.514", "0.84")),
    ],
)  # fmt: skip
def test_servegen(model, clients, span, rate, top, cvs, shares):
    found = inspect_clients(SHARED / "servegen" / "client_rates.parquet", model)
    assert (found.clients, found.span_s) == (clients, span)
    check(found.rate, *rate)
    check(found.top_share, *top)
    check(found.weighted_cv, *cvs)
    check([found.bursty_share, found.gamma_share], *shares)


@cache
def with_lengths(model: str, tables: str) -> PoolInspection:
    """ServeGen's clients and their length tables."""
    folder = SHARED / "servegen"
    return inspect_clients(folder / "client_rates.parquet", model, folder / tables)


@real
@pytest.mark.parametrize(
    ("model", "tables", "field", "mean", "p50", "p90"),
    [
        ("m-small", "length_pdfs.parquet", "input_tokens", "119.7", 40, 323),
        ("m-small", "length_pdfs.parquet", "output_tokens", "14.9", 3, 44),
        ("deepseek-r1", "length_pdfs.parquet", "input_tokens", "1213", 84, 2411),
        pytest.param("m-large", "length_pdfs_m-large_days0-6.parquet", "input_tokens", "922", 637, 2379,
                     marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_servegen_lengths(model, tables, field, mean, p50, p90):
    """Quantiles of a table are only as sure as its steps; the published ones lie within half a per cent."""
    found = with_lengths(model, tables)
    check([found.lengths[field]["mean"]], mean)
    assert [found.lengths[field][key] for key in ("p50", "p90")] == pytest.approx([p50, p90], rel=0.005)
    assert found.rate_without_lengths == pytest.approx({"m-small": 0.57, "m-large": 0.37}.get(model, 0.0), abs=0.006)


DAYS = "length_pdfs_m-large_days0-6.parquet"
PUBLISHED = {
    "m-small": ("length_pdfs.parquet", {"input_tokens": (40, 323, 1494), "output_tokens": (3, 44, 143)}),
    "m-large": (DAYS, {"input_tokens": (637, 2379, 8140), "output_tokens": (51, 469, 800)}),
    "deepseek-r1": ("length_pdfs.parquet", {"input_tokens": (84, 2411, 22121), "output_tokens": (1223, 4721, 13347),
                                            "reason_ratio": (0.75, 0.94, 0.99)}),
    "mm-image": ("length_pdfs.parquet", {"text_tokens": (106, 1914, 3061), "image_tokens": (540, 1224, 1271),
                                         "image_count": (1, 3, 9), "output_tokens": (100, 264, 586)}),
}  # fmt: skip
"""By model: the tables, and p50, p90 and p99 of each field as the traces' README has them."""


@real
@pytest.mark.parametrize("model", PUBLISHED)
def test_the_published_quantiles_are_those_of_sums_in_single_precision(model):
    """To the digit: the file's shares times the rates of a client's windows, added up in 32 bits in the order of length. In 64 bits,
    as `trace inspect` adds, a quantile in a thin tail lies elsewhere (p99 of m-large's prompts: 3,824, not 8,140)."""
    name, fields = PUBLISHED[model]
    rates = pd.read_parquet(SHARED / "servegen" / "client_rates.parquet")
    rates = rates[rates["model"] == model].assign(t_s=lambda own: own["t_s"] // 21_600 * 21_600)
    weight = rates.groupby(["client", "t_s"])["rate_rps"].sum().rename("weight").reset_index()
    tables = pd.read_parquet(SHARED / "servegen" / name)
    tables = tables[tables["model"] == model].merge(weight, on=["client", "t_s"], how="left").fillna({"weight": 0})
    for field, published in fields.items():
        own = tables[tables["field"] == field].sort_values("value", kind="stable")
        weights = (own["prob"] * own["weight"]).to_numpy()
        assert weights.dtype == np.float32
        places = np.searchsorted(np.cumsum(weights) / weights.sum(), (0.5, 0.9, 0.99))
        found = own["value"].to_numpy()[places]
        assert tuple(round(float(value), 2) for value in found) == published


@real
@pytest.mark.parametrize(
    ("model", "lognormal", "exponential", "wins"),
    [
        ("m-small", "0.21", "0.34", "0.11"),
        ("deepseek-r1", "0.06", "0.32", "0.00"),
        pytest.param("m-large", "0.17", "0.31", "0.16", marks=pytest.mark.slow),
    ],
)
def test_lengths_of_a_client_and_window_are_nearer_to_a_lognormal(model, lognormal, exponential, wins):
    """Medians over windows, and how often the exponential wins, as the traces' README and WORKLOADS.md have them."""
    fit = with_lengths(model, PUBLISHED[model][0]).window_fit["output_tokens"]
    check([fit["lognormal"], fit["exponential"], fit["exponential_wins"]], lognormal, exponential, wins)


def test_which_law_is_nearer_by_hand():
    """300 lengths of equal share at the quantiles of an exponential: that is within a step of it, the lognormal is not."""
    shares = np.full(300, 1 / 300)
    exponential = -100 * np.log(1 - (np.arange(300) + 0.5) / 300)
    lognormal = np.exp(norm.ppf((np.arange(300) + 0.5) / 300))
    found = window_fit([(exponential, shares), (lognormal, shares), (np.arange(1.0, 100), np.full(99, 1 / 99))])
    assert found["windows"] == 2
    assert found["exponential_wins"] == 0.5
    assert window_fit([(exponential, shares)])["exponential"] < 0.01 < window_fit([(exponential, shares)])["lognormal"]
    assert window_fit([(lognormal, shares)])["lognormal"] < 0.01 < window_fit([(lognormal, shares)])["exponential"]


@real
def test_servegen_generates_the_sum_of_its_clients():
    rates = SHARED / "servegen" / "raw_sample" / "deepseek-r1_chunk-1-trace.csv.gz"
    lengths = SHARED / "servegen" / "raw_sample" / "deepseek-r1_chunk-1-dataset.json.gz"
    arrivals = {"process": "servegen", "file": str(rates), "lengths_file": str(lengths), "rate_factor": 10.0}
    found = joined(request_blocks(Workload.model_validate({"arrivals": arrivals}), 6 * 600.0, 1))
    # rates of the first six windows of the file, 0.105 0.1533 0.1467 ... requests/s
    from infersim.workload.servegen import read_clients

    expected = sum(window.rate_rps for start, window in read_clients(rates)[1].items() if start < 3600) * 6000
    assert len(found) == pytest.approx(expected, abs=4 * np.sqrt(2 * expected))
    assert np.all(np.diff(found.arrival_s) >= 0)
    assert np.all(found.input_tokens >= 1)


# ---------------------------------------------------------------- fits


@real
def test_azure_code_is_on_off():
    found = fit(CODE)
    assert found.chosen is not None
    assert found.chosen.arrivals.process == "mmpp"
    assert found.verdict.startswith("on/off")
    for width, value in ((1, 13.2), (10, 71.9), (60, 167)):
        assert found.chosen.dispersion[width] == pytest.approx(value, rel=0.25)
    quiet, busy = found.chosen.arrivals.rates_rps
    assert quiet < 0.1 < 5 < busy


@real
def test_azure_conversation_is_near_poisson():
    found = fit(CONVERSATION)
    assert found.chosen is not None
    assert found.verdict.startswith("near-Poisson")
    process = found.chosen.arrivals
    assert process.process == "mmpp"
    assert max(process.rates_rps) < 2 * min(process.rates_rps)
    assert min(process.mean_sojourn_s) > 60
    assert found.chosen.error < 0.25


@real
def test_the_week_of_2024_has_its_harmonics():
    found = fit(WEEK)
    assert found.chosen is not None
    assert found.chosen.arrivals.process == "batches"
    waves = found.chosen.arrivals.batches.harmonics
    assert [wave.period_h for wave in waves] == [24, 12, 168, 84]
    assert [wave.cos for wave in waves] == pytest.approx([-0.158, -0.020, -0.310, -0.178], abs=6e-4)
    assert [wave.sin for wave in waves] == pytest.approx([-0.090, 0.055, 0.060, 0.013], abs=6e-4)


@real
@pytest.mark.parametrize("path", [CODE, CONVERSATION, WEEK], ids=["code", "conversation", "week"])
def test_what_is_proposed_can_be_pasted_into_a_scenario(path):
    text = yaml.safe_load(fit(path).yaml())["workload"]
    one = {"distribution": "constant", "value": 1}
    Workload.model_validate({"input_tokens": one, "output_tokens": one, **text})


def test_a_two_state_mmpp_is_found_again():
    rng = np.random.default_rng(1)
    times = times_of(mmpp([1.0, 12.0], [40.0, 15.0], 200_000.0, rng, np.random.default_rng(2)))
    seconds = bin_counts(times, 1, 200_000.0)
    target = {width: dispersion(bin_counts(times, width, 200_000.0)) for width in (1, 10, 60)}
    found = fit_mmpp(times.size / 200_000, target, seconds)
    assert found.rates_rps == pytest.approx([1.0, 12.0], rel=0.15, abs=0.1)
    assert found.mean_sojourn_s == pytest.approx([40.0, 15.0], rel=0.15)


def test_lengths_are_found_again():
    rng = np.random.default_rng(3)
    one = np.rint(rng.lognormal(5.0, 0.8, 50_000)).astype(np.int64) + 1
    found = fit_lengths(*np.unique(one, return_counts=True))
    assert found.law.distribution == "lognormal"
    assert found.law.mean == pytest.approx(np.exp(5.32), rel=0.03)
    assert found.distance < 0.02
    two = np.concatenate([one, np.rint(rng.lognormal(9.0, 0.3, 50_000)).astype(np.int64)])
    found = fit_lengths(*np.unique(two, return_counts=True))
    assert found.law.distribution == "mixture"
    assert sorted(part.tokens.mean for part in found.law.components) == pytest.approx(
        [np.exp(5.32), np.exp(9.045)], rel=0.05
    )
    assert found.distance < 0.02


# ---------------------------------------------------------------- small things by hand


def test_quantiles_of_a_histogram_are_those_of_the_values():
    values = np.random.default_rng(1).integers(0, 50, 1001)
    table = Lengths()
    table.add(values[:500])
    table.add(values[500:])
    table.add(np.array([10**8]))
    whole = np.append(values, 10**8)
    found = table.summary()
    assert [found[key] for key in ("mean", "p50", "p90", "p99", "max", "sum")] == pytest.approx(
        [whole.mean(), *np.percentile(whole, [50, 90, 99]), 10**8, whole.sum()]
    )


def test_reuse_by_hand():
    """Three prompts of 3, 2 and 3 blocks of 10 tokens; the second repeats 2, the third 1 and then another."""
    block = requests(np.arange(3.0), np.array([25, 20, 30]), np.ones(3, np.int64), prefix_blocks=np.array([3, 2, 3]),
                     prefixes=np.array([1, 2, 3, 1, 2, 1, 9, 3]))  # fmt: skip
    found = ideal_reuse([block], 10)
    assert (found.blocks, found.distinct_blocks) == (8, 4)
    assert found.recurring_share == 3 / 4
    assert found.of_blocks == 3 / 8
    assert found.of_tokens == 30 / 75
    assert found.of_a_request == pytest.approx((0 + 1 + 1 / 3) / 3)
    assert lru_hits([block], 4) == 3 / 8
    assert lru_hits([block], 1) == 0  # only the last block of a prompt stays


def test_warnings(tmp_path):
    rows = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    rows += (
        "".join(f"{k // 4},ChatGPT,5,{k % 3},{5 + k % 3},API log\n" for k in range(40)) + "3,GPT-4,1,1,2,API log\n" * 2
    )
    (tmp_path / "x.csv").write_text(rows)
    found = inspect(tmp_path / "x.csv")
    said = " | ".join(found.warnings)
    assert "14 rows have 0 output tokens: failed requests" in said
    assert "1 rows are before the row above: a replay refuses them" in said
    assert "1 rows equal the row above" in said
    assert "only 11 distinct times: the clock ticks in steps of 1 s" in said


def test_a_written_trace_is_inspected_with_its_blocks(tmp_path):
    block = requests(np.array([0.0, 0.3, 2.7]), np.array([40, 40, 40]), np.array([1, 2, 3]),
                     prefix_blocks=np.array([2, 2, 2]), prefixes=np.array([5, 6, 5, 7, 5, 6]))  # fmt: skip
    format_named("parquet").write(tmp_path / "x", [block], 16)
    found = inspect(tmp_path / "x")
    assert found.block_tokens == 16
    assert found.reuse is not None
    assert found.reuse.of_blocks == 0.5
