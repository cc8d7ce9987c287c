"""Mixes of classes: shares, own arrivals, independence of each other, and the limit of the context."""

from collections import Counter

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from infersim.spec.workload import Workload
from infersim.workload.generate import request_blocks, request_chunks, workload_span_s
from infersim.workload.requests import Requests, joined, rechunked, requests

POISSON = {"process": "poisson", "rate_rps": 40.0}
SHORT, LONG = {"distribution": "constant", "value": 10}, {"distribution": "lognormal", "mean": 500.0, "p99": 2000.0}
ROWS = "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-02-28 23:59:59.5000000,10,1\n2024-02-29 00:00:03.0000001,20,2\n"


def workload(**keys) -> Workload:
    return Workload.model_validate(keys)


def collect(given: Workload, horizon: float | None, directory=None) -> Requests:
    found = joined(request_blocks(given, horizon, 1, directory))
    assert np.all(np.diff(found.arrival_s) >= 0)
    return found


def mix(*classes: dict, **keys) -> Workload:
    return workload(classes=list(classes), **keys)


CHAT = {"name": "chat", "share": 0.75, "input_tokens": SHORT, "output_tokens": LONG}
CODE = {"name": "code", "share": 0.25, "input_tokens": LONG, "output_tokens": SHORT, "priority": 3}
BATCH = {
    "name": "batch",
    "arrivals": {"process": "constant", "rate_rps": 2.0},
    "input_tokens": LONG,
    "output_tokens": LONG,
}

TRACED = {"name": "x", "arrivals": {"process": "trace", "file": "x"}}


def test_shares_divide_the_arrivals_and_each_class_has_its_lengths():
    found = collect(mix(CHAT, CODE, arrivals=POISSON), 500.0)
    assert len(found) / 500 == pytest.approx(40, rel=0.03)
    code = found.tenant == 1
    assert code.mean() == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / code.size))
    assert np.all(found.input_tokens[~code] == 10)
    assert np.all(found.output_tokens[code] == 10)
    assert set(found.priority[code]) == {3}
    assert set(found.priority[~code]) == {0}
    # a share of a Poisson process is a Poisson process
    assert stats.kstest(np.diff(found.arrival_s[code]) * 10, "expon").pvalue > 1e-3


def test_classes_with_their_own_arrivals_are_superposed():
    found = collect(mix(CHAT, CODE, BATCH, arrivals=POISSON), 100.0)
    assert np.array_equal(found.arrival_s[found.tenant == 2], np.arange(200) / 2)
    without = collect(mix(CHAT, CODE, arrivals=POISSON), 100.0)
    others = found.at(found.tenant < 2)
    for column in ("arrival_s", "tenant", "input_tokens", "output_tokens"):
        assert np.array_equal(getattr(others, column), getattr(without, column))


def test_a_class_may_take_the_lengths_of_the_workload_or_replay_a_trace(tmp_path):
    (tmp_path / "rows.csv").write_text(ROWS)
    traced = {"name": "recorded", "arrivals": {"process": "trace", "file": "rows.csv"}}
    bare = {"name": "bare", "arrivals": {"process": "constant", "rate_rps": 1.0}}
    found = collect(mix(traced, bare, input_tokens=SHORT, output_tokens=SHORT), 5.0, tmp_path)
    assert found.tenant.tolist() == [0, 1, 1, 1, 1, 0, 1]
    assert found.input_tokens.tolist() == [10, 10, 10, 10, 10, 20, 10]
    assert found.output_tokens.tolist() == [1, 10, 10, 10, 10, 2, 10]
    ending = mix(traced)
    assert ending.ends
    assert workload_span_s(ending, None, tmp_path) == 3.5000001
    assert not mix(traced, bare, input_tokens=SHORT, output_tokens=SHORT).ends


def test_records_carry_class_and_priority():
    records = np.concatenate(
        [chunk[0] for chunk in request_chunks(mix(CHAT, CODE, arrivals=POISSON), 50.0, 1, chunk=7)]
    )
    whole = next(iter(request_chunks(mix(CHAT, CODE, arrivals=POISSON), 50.0, 1)))[0]
    assert records.tobytes() == whole.tobytes()
    assert Counter(zip(records["tenant"].tolist(), records["priority"].tolist(), strict=True)).keys() == {
        (0, 0),
        (1, 3),
    }


def test_the_context_limits_prompts_first_and_then_outputs():
    long = {"distribution": "constant", "value": 900}
    both = workload(arrivals=POISSON, input_tokens=long, output_tokens=long, max_context_tokens=1000)
    found = collect(both, 1.0)
    assert set(found.input_tokens) == {900}
    assert set(found.output_tokens) == {100}
    found = collect(workload(arrivals=POISSON, input_tokens=long, output_tokens=long, max_context_tokens=600), 1.0)
    assert set(found.input_tokens) == {599}
    assert set(found.output_tokens) == {1}


def test_prefix_blocks_follow_their_requests():
    counts = np.array([2, 0, 3, 1])
    whole = requests(
        np.arange(4.0), np.full(4, 9), np.full(4, 9), prefix_blocks=counts, prefixes=np.array([1, 2, 3, 4, 5, 6])
    )
    turned = whole.at(np.array([2, 3, 0]))
    assert turned.prefixes.tolist() == [3, 4, 5, 6, 1, 2]
    assert turned.prefix_start.tolist() == [0, 3, 4]
    assert whole.part(1, 3).prefixes.tolist() == [3, 4, 5]
    assert joined([whole.part(0, 1), whole.part(1, 4)]).prefixes.tolist() == whole.prefixes.tolist()
    pieces = list(rechunked([whole, whole, whole.part(0, 1)], 4))
    assert [len(piece) for piece in pieces] == [4, 4, 1]
    assert pieces[1].prefixes.tolist() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({}, "say when requests come"),
        ({"arrivals": POISSON, "classes": [CHAT]}, "shares sum to 0.75"),
        ({"classes": [CHAT, CODE]}, "the classes with a share divide them"),
        ({"arrivals": POISSON, "classes": [BATCH]}, "no class takes a share"),
        ({"arrivals": POISSON, "classes": [CHAT, {**CODE, "name": "chat"}]}, "two classes are called chat"),
        ({"arrivals": POISSON, "classes": [CHAT, {**CODE, "input_tokens": None}]}, "say how long requests are"),
        ({"arrivals": {"process": "trace", "file": "x"}, "classes": [CHAT, CODE]}, "cannot be shared out"),
        ({"classes": [{**BATCH, "share": 1.0}]}, "found both share and arrivals"),
        ({"classes": [{"name": "x", "input_tokens": SHORT, "output_tokens": SHORT}]}, "give a share"),
        ({"classes": [{**TRACED, "input_tokens": SHORT}]}, "remove input_tokens"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(keys, says):
    with pytest.raises(ValidationError, match=says):
        workload(**keys)
