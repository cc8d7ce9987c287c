"""The load of a row of the long table of measurements: its scenario, lengths, users and rate, and what had to be assumed.

Not here: its layout (`calibration_layouts.py`), the rest of the row (`calibration_rows.py`).
"""

import re

from infersim.studies.cases import CannotSay, Load

Fields = dict[str, str]
SCENARIOS = ("offline_throughput", "fixed_batch", "single_stream", "closed_loop", "server")
PROMPTS = {"OpenOrca+GSM8K+MBXP": 360.0, "mix of OpenOrca": 360.0, "CNN-DailyMail": 778.0, "math/code": 800.0,
           "long-context": 9400.0, "ShareGPT": 220.0, "short": 16.0}  # fmt: skip
"""Mean prompts of public data sets, where a row names the set and not the length [tokens]. That of MLPerf's Mixtral is estimated: OpenOrca's 219
and MBXP's are shorter, GSM8K's are longer if they are posed with worked examples, as the score of 73.8 % suggests; with 360 offline runs of H100 and
GH200 come out 10 to 20 % too fast and those of MI300X 10 % too slow, with 206 all are too fast."""
VARIED = {"OpenOrca": 0.75, "CNN-DailyMail": 0.45, "math/code": 0.9, "long-context": 0.6, "ShareGPT": 1.0}
"""Coefficient of variation of their lengths, roughly."""
OF_MOST = 940 / 1024
"""Mean output over the most that a load generator asks for, where a row says that alone: models seldom stop by themselves
before it (934,964 tokens of 995 requests with at most 1,024 in the example of JetStream's benchmark, benchmarks/README.md)."""
BEAM_OUTPUT = 67.0
"""Mean answer of MLPerf's GPT-J, beam search on CNN-DailyMail with at most 128 tokens: 13,368 answers have 4,016,878 characters (gen_len in its
accuracy targets), 300 each, and a token has 4.5; Llama-3.1-8B's 8,167,644 characters on the same set are 128 tokens each."""
MOST_OUT = r"max out (\d+)"
"""What notes say of the most that a load generator asks for."""
USUAL = 512.0
"""Prompt and output of a single stream of which only the decode rate was published [tokens]."""


def load_of(row: Fields, assumed: list[str]) -> Load:
    """The load of a row; CannotSay where a length, the users or the rate is neither said nor known of its data set."""
    note, kind = row["note"], row["scenario"]
    if kind not in SCENARIOS:
        raise CannotSay(f"the scenario is {kind}, none of {', '.join(SCENARIOS)}")
    prompt, output = _prompt(row, assumed), _output(row, assumed)
    users, rate = length(row["batch_or_concurrency"]), length(row["request_rate"])
    if kind in ("fixed_batch", "closed_loop") and users is None:
        raise CannotSay(f"the batch or concurrency is {row['batch_or_concurrency'] or 'not said'}")
    if kind == "server" and rate is None:
        raise CannotSay(f"the request rate is {row['request_rate'] or 'not said'}")
    many = re.search(r"(?:all )?(\d+) (?:random prompts|requests|prompts)", note)
    return Load(
        kind=kind,
        prompt=prompt,
        output=max(output, 1.0),
        varied=next((v for words, v in VARIED.items() if words in note), 0.0),
        longest=128 if "<=128" in note else 1024 if "OpenOrca" in note else noted(row, MOST_OUT) or 0,
        requests=int(many.group(1)) if many and kind != "single_stream" else 0,
        users=1 if kind == "single_stream" else int(users or 0),
        ramp_counts="random prompts" in note,  # engines' own benchmarks count every request
        rate_rps=rate or 0.0,
        beams=4 if "BEAM" in note else 1,
    )


def _prompt(row: Fields, assumed: list[str]) -> float:
    """Tokens of the mean prompt."""
    if (stated := length(row["isl_tokens"])) is not None:
        return stated
    said = f"{row['note']} {row['isl_tokens']}"
    if (known := next((tokens for words, tokens in PROMPTS.items() if words in said), None)) is not None:
        assumed.append(f"prompts of {known:g} tokens, as the data set's")
        return known
    if not _decodes(row):
        raise CannotSay(f"the prompt is {row['isl_tokens'] or 'not said'}")
    assumed.append(f"prompts of {USUAL:g} tokens, on which one user's decode rate hardly depends")
    return USUAL


def _output(row: Fields, assumed: list[str]) -> float:
    """Tokens of the mean output: what was measured, what was stated, what is known of the data set."""
    note, most = row["note"], noted(row, MOST_OUT)
    if "BEAM" in note:
        assumed.append(f"answers of {BEAM_OUTPUT:g} tokens, as MLPerf's GPT-J")
        return BEAM_OUTPUT
    if between := re.search(r"measured output is about (\d+)-(\d+)", note):
        return (float(between.group(1)) + float(between.group(2))) / 2.0
    if (stated := length(row["osl_tokens"])) is not None:
        return stated
    if most:
        assumed.append(f"outputs of {OF_MOST * most:.0f} tokens where {most} were asked for")
        return OF_MOST * most
    if "ShareGPT" in f"{note} {row['osl_tokens']} {row['isl_tokens']}":
        assumed.append("outputs of 200 tokens, as ShareGPT's")
        return 200.0
    if "CNN-DailyMail" in note:
        assumed.append("outputs of 128 tokens, the data set's limit")
        return 128.0
    if not _decodes(row):
        raise CannotSay(f"the output is {row['osl_tokens'] or 'not said'}")
    assumed.append(f"outputs of {USUAL:g} tokens, on which one user's decode rate hardly depends")
    return USUAL


def _decodes(row: Fields) -> bool:
    """Whether it is one user's decode rate."""
    return row["scenario"] == "single_stream" and row["metric"] in ("tok_s_user", "tpot_ms")


def length(text: str) -> float | None:
    """The first number of a cell such as 128, 291.2 or ~500; None for words."""
    found = re.search(r"\d+(\.\d+)?", text.replace(",", "")) if text and not text.startswith(("<", "up")) else None
    return float(found.group()) if found else None


def noted(row: Fields, pattern: str) -> int | None:
    """The number that a row's note says in one of the pattern's ways."""
    found = re.search(pattern, row["note"])
    return int(next(filter(None, found.groups()))) if found else None
