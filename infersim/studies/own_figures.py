"""What the figures of a run tell of how it was made, where they contradict what its row says or an engine's default.

Laws that hold of any run decide, never a cost model: what a batch's times add up to, and Little's law. Not here: what rows
state (`calibration_rows.py`).
"""

import math
from dataclasses import replace

from infersim.studies.cases import Case

AGREES = 1.25
"""How far the time of a token may be from what TTFT, TPOT and the stated output amount to."""
LOADGEN = "mlcommons/inference_results"
"""What the names of cases hold that MLPerf's load generator ran."""
LASTS_S = 600.0
"""Shortest run that it allows [s]."""
LEAST_SAMPLES = 24_576
"""Fewest samples of an offline run."""
MADE = ("output_tok_s", "req_s")
TUNED_SEQS = 1024
"""Sequences that a tuned server is taken to allow in a step where it states no limit: the fewest of AMD's submissions to MLPerf
that state one for their server (1,024 to 3,840)."""


def as_told(case: Case) -> Case:
    """The case as its own figures tell of it."""
    return let_in(cut_short(kept_busy(case)))


def kept_busy(case: Case) -> Case:
    """The case of an offline run of MLPerf with as many samples as its throughput makes in the time that LoadGen has it last.

    What is left over at the end, when a few long answers keep the chips, is the smaller the longer it takes.
    """
    made = [
        row.actual / (1.0 if row.metric == "req_s" else case.load.output) for row in case.rows if row.metric in MADE
    ]
    if LOADGEN not in case.name or case.load.kind != "offline_throughput" or case.load.requests or not made:
        return case
    samples = max(LEAST_SAMPLES, math.ceil(LASTS_S * max(made)))
    return replace(case, load=replace(case.load, requests=samples), assumed=(*case.assumed, f"{samples} samples"))


def cut_short(case: Case) -> Case:
    """The case with the output that its own figures tell of, where they contradict what its row says.

    Of one batch, TTFT + tokens x TPOT = batch x tokens / throughput. 36 of Neuron's 39 published runs agree with their own lengths
    to 16 %; three on Trainium1 (one sequence, prompts of 4,096 and 8,192) agree with 128 tokens and not with 4,096 or 8,192.
    """
    said = {row.metric: row.actual for row in case.rows if row.statistic in ("mean", "p50")}
    if case.load.kind not in ("fixed_batch", "single_stream") or not {"output_tok_s", "ttft_ms", "tpot_ms"} <= set(
        said
    ):
        return case
    each = 1e3 * case.load.users / said["output_tok_s"]
    if each < AGREES * (said["tpot_ms"] + said["ttft_ms"] / case.load.output):
        return case
    tokens = said["ttft_ms"] / (each - said["tpot_ms"])
    assumed = f"{tokens:.0f} output tokens, which throughput, TTFT and TPOT agree with"
    load = replace(case.load, output=float(round(tokens)))
    return replace(case, load=load, assumed=(*case.assumed, assumed))


def let_in(case: Case) -> Case:
    """The case of a server with more sequences in a step than its engine's default, where its own figures leave no other way.

    Little's law: throughput x TPOT is the mean number of sequences that decode.
    """
    said = {row.metric: row.actual for row in case.rows if row.statistic in ("mean", "p50")}
    if case.load.kind != "server" or not {"output_tok_s", "tpot_ms"} <= set(said):
        return case
    limit, decoding = case.max_num_seqs or case.engine.max_num_seqs, said["output_tok_s"] * said["tpot_ms"] / 1e3
    if decoding <= limit * case.replicas or limit >= TUNED_SEQS:
        return case
    assumed = f"up to {TUNED_SEQS} sequences in a step, since {decoding:.0f} decoded in the mean"
    return replace(case, max_num_seqs=TUNED_SEQS, assumed=(*case.assumed, assumed))
