"""Every way to get a scenario wrong gives one clear message: file, line, key path, what was found and what to write."""

from collections.abc import Callable
from pathlib import Path

import pytest

from infersim.spec.errors import SpecError
from infersim.spec.load import load_scenario
from tests.spec.conftest import SCENARIO, line_of

# what replaces what in SCENARIO, a fragment on the line that is wrong, key path, what was found, what would be right
CASES = {
    "unknown key": ("seed: 1", "sead: 1", "sead: 1", "sead", "unknown key", "did you mean seed?"),
    "unknown nested key": ("      max: 12", "      maxx: 12", "maxx", "pools[0].replicas.maxx", "unknown key", "max"),
    "unknown key of a union's member": (
        "mean_sojourn_s", "mean_sojourns_s", "mmpp", "workload.arrivals.mean_sojourns_s", "unknown key", "mean_sojourn_s"),
    "duplicate key": ("seed: 1", "seed: 1\nseed: 2", "seed: 2", "seed", "duplicate key", "line 5; keep one"),
    "duplicate nested key": (
        "      max: 12", "      max: 12\n      max: 13", "max: 13", "pools[0].replicas.max", "duplicate key", "line 24"),
    "missing key": ("model: llama-3.1-70b\n", "", "name: quiet", "model", "is missing", "A model of the catalogue"),
    "missing horizon": ("horizon_s: 3600\n", "", "name: quiet", "horizon_s", "is missing", "for how long requests arrive"),
    "missing nested key": (", mean: 1155", "", "p99: 4142", "workload.input_tokens.mean", "is missing", "Mean [tokens]"),
    "unknown chip": ("chip.yaml", "h1000-sxm", "h1000", "pools[0].hardware", "unknown hardware h1000-sxm", "h100-sxm"),
    "abbreviated chip": ("chip.yaml", "h100", "hardware: h100", "pools[0].hardware", "unknown hardware h100", "h100-sxm"),
    "no such profile": ("chip.yaml", "./chop.yaml", "chop", "pools[0].hardware", "there is no file", "h100-sxm"),
    "unknown model": ("llama-3.1-70b", "lama-3.1-70b", "lama-3", "model", "unknown model lama-3.1-70b", "llama-3.1-70b"),
    "unfetched model": ("llama-3.1-70b", "meta-llama/Llama-3.1-70B", "meta", "model", "no file", "llama-3.1-70b"),
    "unknown engine": ("engine.yaml", "vlm", "engine: vlm", "pools[0].engine", "unknown engine vlm", "did you mean vllm"),
    "unknown router": ("least_outstanding", "least_outstandng", "router", "router.policy", "least_outstandng", "did you mean least_outstanding"),
    "unknown autoscaler": (
        "target_concurrency", "target_concurency", "autoscaler", "pools[0].autoscaler.policy", "target_concurency",
        "target_concurrency?"),
    "unknown batching": (
        "{max_num_seqs: 64}", "{policy: chunked}", "policy: chunked", "pools[0].batching.policy", "chunked", "chunked_prefill"),
    "unknown dtype": ("weights: fp8", "weights: f8", "f8", "pools[0].precision.weights", "found the text f8", "fp8"),
    "unknown dtype, none near": (
        "weights: fp8", "weights: half", "half", "pools[0].precision.weights", "found the text half", "known: bf16, fp16"),
    "unknown process": ("mmpp", "mmp", "process: mmp", "workload.arrivals.process", "unknown process", "did you mean mmpp?"),
    "no process": ("process: mmpp, ", "", "rates_rps", "workload.arrivals.process", "is missing", "gamma, mmpp, poisson, ramp"),
    "unknown distribution": (
        "{distribution: lognormal, mean: 1155, p99: 4142}", "{distribution: binomial}", "binomial",
        "workload.input_tokens.distribution", "binomial", "known: constant, empirical, lognormal"),
    "scalar instead of a union": (
        "{distribution: lognormal, mean: 1155, p99: 4142}", "512", "512", "workload.input_tokens", "found 512",
        "a mapping with distribution: constant | empirical | lognormal | mixture"),
    "negative rate": ("[2, 20]", "[-2, 20]", "-2", "workload.arrivals.rates_rps[0]", "found -2", "must be at least 0"),
    "zero rates": ("[2, 20]", "[0, 0]", "mmpp", "workload.arrivals.rates_rps", "every rate is 0", "at least one positive rate"),
    "one sojourn": ("[60, 15]", "[60]", "mmpp", "workload.arrivals.mean_sojourn_s", "has 1", "at least 2"),
    "rates and sojourns differ": (
        "[60, 15]", "[60, 15, 9]", "mmpp", "workload.arrivals.mean_sojourn_s", "found 3 sojourns", "one for each rate"),
    "zero horizon": ("3600", "0", "horizon_s: 0", "horizon_s", "found 0", "must be more than 0"),
    "zero chips": ("tensor: 4", "tensor: 0", "tensor: 0", "pools[0].parallelism.tensor", "found 0", "must be at least 1"),
    "negative maximum": ("max: 12", "max: -3", "max: -3", "pools[0].replicas.max", "found -3", "must be at least 1"),
    "fewer replicas than none": (
        "    replicas:\n      initial: 2\n      min: 1\n      max: 12", "    replicas: -3", "replicas: -3",
        "pools[0].replicas.initial", "found -3", "must be at least 0"),
    "min above max": ("min: 1\n", "min: 13\n", "replicas:", "pools[0].replicas", "need min <= initial <= max", "13, 2, 12"),
    "not a number": ("3600", ".nan", ".nan", "horizon_s", "found .nan", "must be a finite number"),
    "not a number as people write it": ("3600", "NaN", "NaN", "horizon_s", "the text NaN", "must be a finite number"),
    "infinity": ("[60, 15]", "[.inf, 15]", ".inf", "workload.arrivals.mean_sojourn_s[0]", "found .inf", "finite"),
    "beyond a float": ("3600", "1e400", "1e400", "horizon_s", "found 1e400", "beyond the largest float"),
    "beyond an integer": ("seed: 1", "seed: 99999999999999999999", "9999", "seed", "99999", "64-bit"),
    "beyond any memory": ("max_num_seqs: 64", "max_num_seqs: 9999999999999999", "9999", "pools[0].batching.max_num_seqs", "9999", "at most"),
    "number in quotes": ("3600", '"3600"', '"3600"', "horizon_s", 'the text "3600"', "write 3600 without quotes"),
    "number in quotes, whole": ("seed: 1", "seed: '1'", "seed: '1'", "seed", 'the text "1"', "write 1 without quotes"),
    "underscores": ("3600", "3_600", "3_600", "horizon_s", "the text 3_600", "write 3600"),
    "thousands": ("mean: 211", "mean: 2,110", "2,110", "workload.output_tokens.mean", "the text 2,110", "write 2110"),
    "sexagesimal": ("3600", "60:00", "60:00", "horizon_s", "the text 60:00", "no hours:minutes"),
    "unit": ("3600", "3600s", "3600s", "horizon_s", "the text 3600s", "write 3600 without s"),
    "exponent without digits": ("3600", "3.6e", "3.6e", "horizon_s", "the text 3.6e", "write 3.6 without e"),
    "words": ("3600", "one hour", "one hour", "horizon_s", "the text one hour", "write a number"),
    "on for a number": ("seed: 1", "seed: on", "seed: on", "seed", "the text on", "write a whole number"),
    "true for a number": ("seed: 1", "seed: true", "seed: true", "seed", "found true", "write a whole number"),
    "fraction for a count": ("max: 12", "max: 12.5", "12.5", "pools[0].replicas.max", "found 12.5", "a whole number"),
    "exponent for a count": ("max: 12", "max: 1e1", "1e1", "pools[0].replicas.max", "found 1e1", "write 10, without"),
    "number for text": ("name: quiet-hour", "name: 12", "name: 12", "name", "found 12", 'put it in quotes, "12"'),
    "name with a slash": ("quiet-hour", "quiet/hour", "quiet/hour", "name", "the text quiet/hour", "letters, digits"),
    "nothing for a mapping": (
        "workload:", "workload:\nfacility:\n  pue: 1.2\nignored:", "workload:", "workload", "found nothing", "write a mapping"),
    "text for a mapping": ("{tensor: 4}", "4 chips", "4 chips", "pools[0].parallelism", "the text 4 chips", "write a mapping"),
    "mapping for a list": ("  - name: h100\n", "    name: h100\n", "pools:", "pools", "found a mapping", "write a list"),
    "no pools": (SCENARIO[SCENARIO.index("pools:") : SCENARIO.index("slo:")], "pools: []\n", "pools: []", "pools", "list of 0", "at least 1"),
    "two pools of one name": (
        "slo:", "  - {name: h100, hardware: chip.yaml, engine: engine.yaml}\nslo:", "- {name: h100", "pools[1].name", "two pools",
        "its own name"),
    "TP that does not divide": ("tensor: 4", "tensor: 3", "tensor: 3", "pools[0].parallelism.tensor", "64 heads", "would: 1, 2, 4, 8"),
    "TP beyond the links": ("tensor: 4", "tensor: 16", "tensor: 16", "pools[0].parallelism.tensor", "16 chips", "at most 8"),
    "chips on a roofline chip": ("tensor: 4", "chips: 4", "chips: 4", "pools[0].parallelism.chips", "SRAM", "give tensor"),
    "more stages than layers": (
        "tensor: 4", "pipeline: 81", "pipeline: 81", "pools[0].parallelism.pipeline", "81 stages", "at most 80"),
    "dtype that the chip lacks": (
        "kv_cache: fp8", "kv_cache: fp4", "fp4", "pools[0].precision.kv_cache", "cannot use fp4",
        "bf16, fp8, int4 (computed in bf16)"),
    "engine of another vendor": (
        "engine.yaml", "neuron", "neuron", "pools[0].engine", "neuron does not drive testchip (Acme, roofline)", "vllm"),
    "more sequences than tokens": (
        "{max_num_seqs: 64}", "{max_num_seqs: 9000}", "9000", "pools[0].batching.max_num_seqs", "9000 exceeds",
        "at most 8192"),
    "price that nobody asks": ("tier: on_demand", "tier: spot", "tier: spot", "pools[0].price.tier", "no spot price", "on_demand (aws)"),
    "price of nobody": (
        "tier: on_demand", "provider: acme", "acme", "pools[0].price.provider", "no on_demand price of acme", "on_demand (aws)"),
    "nobody ever serves": (
        SCENARIO[SCENARIO.index("    replicas:") : SCENARIO.index("    price:")], "    replicas: {initial: 0}\n", "initial: 0",
        "pools[0].replicas.initial", "never serve", "at least 1 or add an autoscaler"),
    "p99 below the mean": ("p99: 601", "p99: 60", "p99: 60\n", "workload.output_tokens.p99", "found 60", "must exceed the mean 211"),
    "p99 of no lognormal": ("p99: 601", "p99: 60100", "p99: 60100", "workload.output_tokens.p99", "60100", "at most 14.9 x"),
    "lengths beside a trace": (
        "{process: mmpp, rates_rps: [2, 20], mean_sojourn_s: [60, 15]}", "{process: trace, file: a.csv}", "input_tokens",
        "workload.input_tokens", "a trace brings its own lengths", "remove input_tokens"),
    "merge key": ("seed: 1", "<<: {seed: 1}", "<<", "<<", "merge keys", "repeat the keys"),
    "complex key": ("seed: 1", "? [a]\n: 1", "? [a]", "", "cannot be a key", "write a name"),
    "unknown tag": ("seed: 1", "seed: !!python/name:os.system", "!!python", "seed", "python/name", "remove it"),
    "tag that lies": ("seed: 1", "seed: !!int x", "!!int", "seed", "'x' is no int", "correct the value"),
    "tab": ("seed: 1", "seed:\t- 1", "seed:", "", "is not YAML", ""),
    "open bracket": ("[2, 20]", "[2, 20", "mmpp", "", "is not YAML", ""),
    "two documents": ("seed: 1", "seed: 1\n---\nseed: 1", "---", "", "single document", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_message_says_where_what_and_how(case: str, write: Callable[[str], Path]) -> None:
    old, new, fragment, key, found, advice = CASES[case]
    assert SCENARIO.count(old), old
    text = SCENARIO.replace(old, new, 1)
    path = write(text)
    with pytest.raises(SpecError) as caught:
        load_scenario(path)
    first = str(caught.value).splitlines()[0]
    place = f"{path}:{line_of(text, fragment)}: "
    assert first.startswith(place + (f"{key}: " if key else "")), first
    assert found in first
    assert advice in first


def test_the_scenario_itself_is_right(write: Callable[[str], Path]) -> None:
    assert load_scenario(write(SCENARIO)).pools[0].replicas.max == 12


@pytest.mark.parametrize(("number", "most"), [(3, 64), (200, 200), (0, 64)])
def test_a_number_of_replicas_is_how_many_there_are_at_the_start(
    number: int, most: int, write: Callable[[str], Path]
) -> None:
    before, after = SCENARIO.index("    replicas:"), SCENARIO.index("    autoscaler:")
    found = load_scenario(write(f"{SCENARIO[:before]}    replicas: {number}\n{SCENARIO[after:]}")).pools[0].replicas
    assert (found.initial, found.min, found.max) == (number, 0, most)


def test_all_problems_at_once_in_the_order_of_the_file(write: Callable[[str], Path]) -> None:
    text = SCENARIO.replace("seed: 1", "seed: -1").replace("max: 12", "max: many").replace("p99: 601", "p90: 601")
    with pytest.raises(SpecError) as caught:
        load_scenario(write(text))
    lines = [problem.line for problem in caught.value.problems]
    assert lines == sorted(lines)  # type: ignore[type-var]
    keys = ["seed", "workload.output_tokens.p99", "workload.output_tokens.p90", "pools[0].replicas.max"]
    assert all(any(f": {key}: " in line for line in str(caught.value).splitlines()) for key in keys)


def test_problems_of_names_come_together(write: Callable[[str], Path]) -> None:
    text = SCENARIO.replace("llama-3.1-70b", "lama").replace("chip.yaml", "h10").replace("least_outstanding", "best")
    with pytest.raises(SpecError) as caught:
        load_scenario(write(text))
    assert [problem.path for problem in caught.value.problems] == [
        ("model",),
        ("router", "policy"),
        ("pools", 0, "hardware"),
    ]


def test_faults_of_a_profile_are_told_in_the_profile(folder: Path, write: Callable[[str], Path]) -> None:
    chip = folder / "chip.yaml"
    chip.write_text(chip.read_text().replace("value: 3350", "value: 3.35 TB").replace("  bf16:", "  bf61:", 1))
    with pytest.raises(SpecError) as caught:
        load_scenario(write(SCENARIO))
    bandwidth, dtype = str(caught.value).splitlines()
    assert bandwidth.startswith(f"{chip}:9: memory.bandwidth_gb_s.value: found the text 3.35 TB; write 3.35 without TB")
    assert dtype.startswith(f"{chip}:11: peak_tflops.bf61: found the text bf61; did you mean bf16")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty; write at least name, model, workload, pools"),
        (b"# only a comment\n", "is empty"),
        (b"name: \xff\xfe\n", ":1: byte 6 is not UTF-8"),
        (b"just text\n", ":1: found the text just text; write a mapping"),
        (b"- a\n- b\n", ":1: found a list of 2; write a mapping"),
        (b"a: \x00\n", "is not YAML"),
        (b"a: &a [*a]\n", "nested deeper than"),
        (b"[" * 5000, "is not YAML|nested deeper"),
        (b"a: " + b"[" * 200 + b"]" * 200, "nested deeper than"),
        (b"\n".join([b"a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1]"] + [b"a%d: &a%d [%s]" % (i, i, b", ".join([b"*a%d" % (i - 1)] * 8)) for i in range(1, 9)]), "aliases expand"),
        (b"\xef\xbb\xbfname: 1\r\n", ":1: name: found 1"),
    ],
)  # fmt: skip
def test_files_that_are_no_scenario(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_bytes(content)
    with pytest.raises(SpecError) as caught:
        load_scenario(path)
    assert str(path) in str(caught.value)
    assert any(part in str(caught.value) for part in says.split("|"))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"there is no file .*nowhere.yaml; shipped scenarios go by name: .*chat_burst"):
        load_scenario(tmp_path / "nowhere.yaml")
    with pytest.raises(SpecError, match="did you mean chat_burst"):
        load_scenario("chat_brust")
    with pytest.raises(SpecError, match="is a folder"):
        load_scenario(tmp_path)
    with pytest.raises(SpecError, match="goes by its name alone: chat_burst"):
        load_scenario("scenarios_not_here/chat_burst.yaml")


def test_mappings_name_the_key_without_a_line() -> None:
    with pytest.raises(SpecError) as caught:
        load_scenario({"name": "a", "model": "llama-2-7b", "horizon_s": "10", "workload": {}, "pools": []})
    first = str(caught.value).splitlines()[0]
    assert first.startswith('scenario: horizon_s: found the text "10"')
