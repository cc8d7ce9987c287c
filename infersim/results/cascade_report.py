"""What cascades came down to: how many questions went how far, what users waited, what the answers cost that did not stand.

A pool's dollars are shared among the lanes that it serves by the time that their calls spent in its batches (prefill and
decode), so the dollars of all lanes are those of all pools that served anybody.

Not here: putting calls together (`questions.py`). Read `summary.py` for where it goes.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from infersim.dataplane.totals import SPANS, Sums, Totals
from infersim.results.metrics import latency_of, limits
from infersim.results.money import per
from infersim.results.record import RunRecord

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

ALL = "all"
"""Goes for the name of the class where there are no classes."""


def cascade_report(run: RunRecord, requests: "pd.DataFrame | None", usd: Sequence[float]) -> dict[str, Any]:
    """By class with a cascade, where one has; `usd` is what each pool cost, `requests` the rows if none is missing.

    questions, finished   that came, and that got an answer that stands
    escalated, escalated_share   questions for which another model than the first was asked, and their share
    ttft_s, e2e_s         p50 and p99 from the question's arrival to the answer that stands [s]
    attainment, goodput_rps   of its SLO, by question
    usd, usd_per_question   what all its calls cost, and that for each finished question
    discarded_usd, discarded_tokens   of it, what went into answers that did not stand: prompt and output tokens
    steps   of each model: `asked` calls, `answered` (their answers stand), `insufficient` (they do not), `failed`; share of all
            questions that it answered; latencies and tokens of its own finished calls; its dollars
    """
    workload, scenario = run.scenario.workload, run.scenario
    if run.questions is None:
        return {}
    paid, lost = (lane_usd(run, of, usd) for of in (run.questions.every, run.questions.discarded))
    names = [tenant.name for tenant in workload.classes or []] or [ALL]
    report = {}
    for index, (name, part, slo) in enumerate(zip(names, workload.parts, scenario.class_slos, strict=True)):
        if part.cascade is None:
            continue
        sums = run.totals.of(tenant=index)
        own = requests if requests is None or name == ALL else requests[requests["tenant"] == name]
        lanes = [number for number, lane in enumerate(workload.lanes) if lane.tenant == index]
        steps = [
            {"pool": step.pool, **_step(run.questions.every, run.questions.discarded, lane, sums.arrived)}
            | {"usd": paid[lane], "discarded_usd": lost[lane]}
            for step, lane in zip(part.cascade, lanes, strict=True)
        ]
        judged = bool(limits(slo))
        report[name] = {
            "questions": sums.arrived,
            "finished": sums.finished,
            "escalated": steps[1]["asked"],
            "escalated_share": per(steps[1]["asked"], sums.arrived),
            **{key: _middle_and_tail(sums, own, key) for key in ("ttft_s", "e2e_s")},
            "attainment": per(sums.met, sums.arrived) if judged else float("nan"),
            "goodput_rps": per(sums.met, sums.makespan_s) if judged else float("nan"),
            "usd": float(paid[lanes].sum()),
            "usd_per_question": per(float(paid[lanes].sum()), sums.finished),
            "discarded_usd": float(lost[lanes].sum()),
            "discarded_tokens": sums.of_all("discarded_tokens"),
            "steps": steps,
        }
    return report


def lane_usd(run: RunRecord, calls: Totals, usd: Sequence[float]) -> Array:
    """What these calls cost, by lane [USD]: of each pool, the share of the time that all calls spent in its batches."""
    assert run.questions is not None
    lanes = range(len(run.scenario.workload.lanes))
    paid = np.zeros(len(lanes))
    for pool, dollars in enumerate(usd):
        every = sum(_served_s(run.questions.every.of(pool, lane)) for lane in lanes)
        paid += [per(dollars * _served_s(calls.of(pool, lane)), every) if every else 0.0 for lane in lanes]
    return paid


def discarded(run: RunRecord, usd: Sequence[float]) -> dict[str, float]:
    """`discarded_tokens` and `discarded_usd` of a run with cascades: what went into answers that did not stand."""
    if run.questions is None:
        return {}
    lost = lane_usd(run, run.questions.discarded, usd)
    return {"discarded_tokens": run.totals.of().of_all("discarded_tokens"), "discarded_usd": float(lost.sum())}


def _served_s(sums: Sums) -> float:
    """Time in batches, of all calls [s]."""
    return float(sum(sums.seconds[:, SPANS.index(span)].sum() for span in ("prefill_s", "decode_s")))


def _step(every: Totals, discarded: Totals, lane: int, questions: int) -> dict[str, Any]:
    """One model of a cascade: what it was asked and what became of its answers."""
    calls, vain = every.of(tenant=lane), discarded.of(tenant=lane).finished
    return {
        "asked": calls.arrived,
        "answered": calls.finished - vain,
        "insufficient": vain,
        "failed": calls.arrived - calls.finished,
        "share": per(calls.finished - vain, questions),
        **{key: _middle_and_tail(calls, None, key) for key in ("ttft_s", "e2e_s")},
        "input_tokens": calls.of_finished("input_tokens"),
        "output_tokens": calls.of_finished("output_tokens"),
    }


def _middle_and_tail(sums: Sums, rows: "pd.DataFrame | None", key: str) -> dict[str, float]:
    """p50 and p99 of one latency [s]."""
    found = latency_of(sums, rows, key)
    return {"p50": found["p50"], "p99": found["p99"]}
