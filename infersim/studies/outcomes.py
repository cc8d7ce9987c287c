"""What a client would have measured of a served case, in the units of the published rows.

Not here: serving (`resimulation.py`), errors against the rows (`validation.py`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infersim.cost.tables import CostTables
from infersim.cost.work import padding
from infersim.dataplane.tally import Tally
from infersim.studies.arrivals import LOOPS, Floats, sending
from infersim.studies.cases import CannotSay, Case, Row

CAUSES = ("compute_s", "memory_s", "network_s", "launch_s")
STEADY = 0.1
"""Share of a server's requests that are left out at the beginning, while it fills."""
FILLED = 0.5
"""Share of its arrivals after which a server's throughput is steady, even with answers of minutes."""


@dataclass(frozen=True)
class Outcome:
    """What a client would have measured."""

    seconds: dict[str, Floats]
    """ttft_s, e2e_s and tpot_s of the finished requests."""
    stage: NDArray[np.int64]
    """Index of each request's stage."""
    outputs: NDArray[np.int64]
    prompts: NDArray[np.int64]
    makespan_s: float
    users: int
    itl_s: float
    """Mean of all inter-token latencies [s]."""
    causes: dict[str, float]
    """Seconds in steps by cause: compute_s, memory_s, network_s, launch_s."""
    more: float = 1.0
    """Replicas of the case over those that were served, where some stand for all."""
    token_p50_s: float = 0.0
    """Median time of single tokens of a batch, where compiled lengths of the context make it differ from the mean [s]."""

    @property
    def dominant(self) -> str:
        """What took most of the time in steps."""
        return max(self.causes, key=lambda cause: self.causes[cause]).removesuffix("_s")


def median_token_s(case: Case, tables: CostTables) -> float:
    """Median time of a token of a batch whose contexts are alike and padded to compiled lengths [s]; 0 without such.

    Half of the tokens of a long answer lie in its largest lengths, so that it is above the mean.
    """
    load, sizes = case.load, sorted(case.engine.context_buckets)
    if not sizes or load.kind not in ("fixed_batch", "single_stream"):
        return 0.0
    batch = math.ceil(load.users / case.replicas)
    median = load.prompt + load.output / 2.0
    padded = next((size for size in sizes if size >= median), sizes[-1])
    return tables.step_s(batch, batch, batch, batch * padded / padding(sizes), [])


def measured(case: Case, tables: CostTables, outcomes: NDArray, tally: Tally, stage: NDArray[np.int64]) -> Outcome:
    """What the case's client measured of its finished requests; a static batch ends with its last."""
    from infersim.cost.energy import usage

    load = case.load
    begun = outcomes["arrival_s"].copy()
    users = min(load.users or len(outcomes), len(outcomes))
    if load.kind in LOOPS:
        begun[:users] = sending(case, len(begun))[:users]
    ttft = outcomes["first_token_s"] - begun
    e2e = outcomes["finish_s"] - begun
    if load.kind == "fixed_batch":  # its latency is that of the last, where part of it waited for room
        e2e = np.full_like(e2e, e2e.max())
    tokens = outcomes["output_tokens"]
    gaps = np.maximum(tokens - 1, 1)
    held = np.minimum(case.streams_every, tokens) - 1  # the first token is sent with so many after it
    ttft = ttft + held * (e2e - ttft) / gaps
    used = usage(tables, tally)
    makespan = float(outcomes["finish_s"].max() - begun.min())
    if load.kind == "server":
        makespan *= _steady_share(outcomes, tokens, makespan)
    return Outcome(
        seconds={"ttft_s": ttft, "e2e_s": e2e, "tpot_s": (e2e - ttft) / gaps},
        stage=stage,
        outputs=tokens,
        prompts=outcomes["input_tokens"],
        makespan_s=makespan,
        users=users,
        itl_s=float((e2e - ttft).sum() / gaps.sum()),
        causes={cause: float(getattr(used, cause)) for cause in CAUSES},
        token_p50_s=median_token_s(case, tables),
    )


def _steady_share(outcomes: NDArray, tokens: NDArray[np.int64], makespan: float) -> float:
    """What a server's makespan would be, had all of it the pace of its steady part, as a share of what it is: runs of
    hours hardly see how they fill and drain, which for long answers takes minutes."""
    last = float(outcomes["arrival_s"].max())
    first = outcomes["arrival_s"].min() + FILLED * (last - outcomes["arrival_s"].min())
    inside = (outcomes["finish_s"] > first) & (outcomes["finish_s"] <= last)
    pace = tokens[inside].sum() / (last - first) if last > first else 0.0
    return min(1.0, float(tokens.sum() / pace / makespan)) if pace > 0 else 1.0


def predict(case: Case, outcome: Outcome, row: Row) -> float:
    """A row's metric of a served case in its own unit; CannotSay for a metric that has no meaning there."""
    waited = case.public_ttft_ms.get(row.statistic)
    if waited is not None and (row.metric == "e2e_ms" or row.every_token):
        e2e = waited + predicted(case, outcome, "tpot_ms", "mean") * float(outcome.outputs.mean() - 1.0)
    elif row.every_token:
        e2e = predicted(case, outcome, "e2e_ms", row.statistic)
    else:
        if outcome.token_p50_s and (row.metric, row.statistic) == ("tpot_ms", "p50"):
            return 1e3 * outcome.token_p50_s
        found = predicted(case, outcome, row.metric, row.statistic, row.stage)
        return found if row.gaps is None else found * (case.load.output - 1.0) / row.gaps
    return e2e / float(outcome.outputs.mean()) if row.every_token else e2e


def predicted(case: Case, outcome: Outcome, metric: str, name: str, stage: str = "all") -> float:
    """One metric of a served case in its own unit; CannotSay for a metric that has no meaning there."""
    chosen = np.ones(len(outcome.outputs), bool)
    if stage != "all":
        chosen = outcome.stage == [s for s, _, _ in case.load.stages].index(stage)
    elif case.load.kind == "server":
        chosen = np.arange(len(chosen)) >= STEADY * len(chosen)
    elif case.load.kind == "closed_loop" and len(chosen) > 2 * outcome.users and not case.load.ramp_counts:
        chosen = np.arange(len(chosen)) >= outcome.users
    if metric in ("output_tok_s", "total_tok_s", "req_s"):
        counted = {"output_tok_s": outcome.outputs, "total_tok_s": outcome.outputs + outcome.prompts}
        amount = counted[metric].sum() if metric != "req_s" else len(outcome.outputs)
        return float(amount / outcome.makespan_s * outcome.more)
    spans = {key: values[chosen] for key, values in outcome.seconds.items()}
    if metric == "tok_s_user":
        if case.load.output <= 1.0:
            raise CannotSay("a user's decode rate needs outputs of 2 tokens or more")
        return 1.0 / statistic(spans["tpot_s"], name)
    if metric == "itl_ms" and name == "mean":
        gaps = np.maximum(outcome.outputs[chosen] - 1, 1)
        return 1e3 * float((spans["e2e_s"] - spans["ttft_s"]).sum() / gaps.sum())
    key = {"itl_ms": "tpot_s"}.get(metric, metric.replace("_ms", "_s"))
    if key not in spans:
        raise CannotSay(f"metric {metric} is not known")
    return 1e3 * statistic(spans[key], name)


def statistic(values: Sequence[float] | Floats, name: str) -> float:
    """mean, or a percentile such as p99."""
    return float(np.mean(values)) if name == "mean" else float(np.percentile(values, float(name[1:])))
