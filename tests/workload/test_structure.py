"""Structure: which prompts share which blocks, by comparing whole prompts token by token, and the clock of sessions."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from infersim.spec.workload import Workload
from infersim.workload.generate import prefix_tokens, request_blocks, request_chunks
from infersim.workload.prompts import block_ids, reblocked
from infersim.workload.requests import Requests, joined, requests
from infersim.workload.reuse import ideal_reuse
from infersim.workload.traces import TraceError

BASE = {
    "arrivals": {"process": "poisson", "rate_rps": 20.0},
    "input_tokens": {"distribution": "uniform", "min": 5, "max": 60},
    "output_tokens": {"distribution": "uniform", "min": 1, "max": 40},
}
SHARED = {"kind": "shared_prompt", "prompts": 3, "prompt_tokens": {"distribution": "constant", "value": 50}}
RAG = {
    "kind": "rag", "system_tokens": 33, "corpus": 50, "passages": 3,
    "passage_tokens": {"distribution": "uniform", "min": 10, "max": 30},
}  # fmt: skip
REASONING = {"kind": "reasoning", "thinking_tokens": {"distribution": "constant", "value": 1000}, "samples": 4}
IMAGES = {
    "kind": "images", "share": 0.5, "images": {"distribution": "constant", "value": 2},
    "image_tokens": {"distribution": "constant", "value": 576},
}  # fmt: skip
SESSIONS = {
    "kind": "sessions", "turns": {"distribution": "uniform", "min": 1, "max": 5},
    "think_s": {"p50_s": 5.0, "p90_s": 20.0},
    "prompts": 2, "prompt_tokens": {"distribution": "constant", "value": 40},
}  # fmt: skip
KINDS = {"shared": SHARED, "rag": RAG, "reasoning": REASONING, "images": IMAGES, "sessions": SESSIONS}


def workload(structure: dict | None, **keys) -> Workload:
    return Workload.model_validate({**BASE, "structure": structure, **keys})


def collect(structure: dict, horizon: float = 60.0, **keys) -> Requests:
    return joined(request_blocks(workload(structure, **keys), horizon, 1))


def prompts(found: Requests) -> list[list[int]]:
    return [part.tolist() for part in np.split(found.prefixes, np.cumsum(found.prefix_blocks)[:-1])]


SEGMENTS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), min_size=1, max_size=5)


@settings(max_examples=200)
@given(st.lists(SEGMENTS, min_size=1, max_size=6), st.integers(1, 7))
def test_two_prompts_share_a_block_exactly_if_they_agree_up_to_its_end(given_prompts, size):
    flat = np.array([pair for prompt in given_prompts for pair in prompt])
    counts, ids = block_ids(flat[:, 0], flat[:, 1], np.array([len(prompt) for prompt in given_prompts]), size)
    # a prompt written out: every token is its segment's content, number of the segment's start, and place in it
    spelled = []
    for prompt in given_prompts:
        spelled.append([])
        for content, length in prompt:
            start = len(spelled[-1])
            spelled[-1] += [(content, start, k) for k in range(length)]
    assert counts.tolist() == [len(text) // size for text in spelled]
    ends = np.cumsum(counts)
    named = {}
    for text, end, count in zip(spelled, ends, counts, strict=True):
        for k, block in enumerate(ids[end - count : end].tolist()):
            assert block >= 0
            assert named.setdefault(tuple(text[: (k + 1) * size]), block) == block
    assert len(set(named.values())) == len(named)


def test_shared_prompts_come_before_the_text():
    plain, found = joined(request_blocks(workload(None), 60.0, 1)), collect({**SHARED, "zipf_exponent": 0.0})
    assert np.array_equal(found.arrival_s, plain.arrival_s)
    assert np.array_equal(found.input_tokens, plain.input_tokens + 50)
    assert np.array_equal(found.output_tokens, plain.output_tokens)
    heads = [tuple(ids[:3]) for ids in prompts(found)]
    assert len(set(heads)) == 3  # 48 of the 50 tokens of the three prompts
    counts = np.unique(heads, axis=0, return_counts=True)[1]
    assert stats.chisquare(counts).pvalue > 1e-3
    assert len({ids[3] for ids in prompts(found) if len(ids) > 3}) == sum(len(ids) > 3 for ids in prompts(found))
    some = collect({**SHARED, "share": 0.25})
    assert np.mean(some.input_tokens > plain.input_tokens) == pytest.approx(0.25, abs=0.05)


def test_popular_prompts_follow_zipf():
    found = collect({**SHARED, "zipf_exponent": 1.0}, 500.0)
    counts = sorted(np.unique([ids[0] for ids in prompts(found)], return_counts=True)[1].tolist(), reverse=True)
    expected = np.array([6, 3, 2]) / 11 * len(found)
    assert stats.chisquare(counts, expected).pvalue > 1e-3


def test_retrieved_passages_share_the_system_prompt_and_passages_in_the_same_order():
    plain, found = joined(request_blocks(workload(None), 60.0, 1)), collect(RAG)
    added = found.input_tokens - plain.input_tokens - 33
    assert added.min() >= 30
    assert added.max() <= 90
    assert len({tuple(ids[:2]) for ids in prompts(found)}) == 1
    hits = ideal_reuse([found], 16).of_blocks * found.prefixes.size
    assert hits >= 2 * (len(found) - 1)  # at least the whole blocks of the system prompt, but for the first


def test_samples_of_a_question_share_its_prompt_and_think_before_answering():
    found = collect(REASONING)
    assert len(found) % 4 == 0
    assert np.array_equal(found.arrival_s[::4], found.arrival_s[3::4])
    for question in range(0, 40, 4):
        same = prompts(found)[question : question + 4]
        assert same == [same[0]] * 4
    assert found.output_tokens.min() > 1000
    assert len(set(found.output_tokens[:4].tolist())) >= 1
    distinct = {ids[0] for ids in prompts(found) if ids}
    assert len(distinct) == len([ids for ids in prompts(found)[::4] if ids])


def test_images_are_counted_and_their_blocks_are_new():
    plain, found = joined(request_blocks(workload(None), 60.0, 1)), collect(IMAGES)
    added = found.input_tokens - plain.input_tokens
    assert set(added.tolist()) == {0, 1152}
    assert np.mean(added > 0) == pytest.approx(0.5, abs=0.06)
    assert ideal_reuse([found], 16).of_blocks == 0


def test_a_turn_resends_the_whole_history():
    found = collect(SESSIONS, 300.0)
    assert np.all(np.diff(found.arrival_s) >= 0)
    ids = prompts(found)
    checked = 0
    for session in range(60):
        turns = np.flatnonzero(found.session == session)
        for before, after in pairwise(turns.tolist()):
            shared = ids[before]
            assert ids[after][: len(shared)] == shared
            history = found.input_tokens[before] + found.output_tokens[before]
            assert 5 <= found.input_tokens[after] - history <= 60
            # the answer is part of the history: its whole blocks are new
            assert found.prefix_blocks[after] == found.input_tokens[after] // 16
            checked += 1
    assert checked > 50
    assert len({tuple(prompt[:2]) for prompt in ids}) == 2  # two system prompts of 40 tokens
    one = [ids[np.flatnonzero(found.session == session)[0]] for session in range(20)]
    assert len({prompt[-1] for prompt in one if len(prompt) > 2}) == len([1 for prompt in one if len(prompt) > 2])


def test_sessions_have_their_turns_and_pauses():
    spec = {**SESSIONS, "turns": {"distribution": "constant", "value": 3}, "first_token_s": 2.0, "token_s": 0.5}
    found = collect(spec, 4000.0, arrivals={"process": "poisson", "rate_rps": 0.5})
    sessions = np.unique(found.session[found.arrival_s < 2000])
    pauses = []
    for session in sessions.tolist():
        rows = np.flatnonzero(found.session == session)
        assert rows.size == 3
        gaps = np.diff(found.arrival_s[rows])
        pauses += (gaps - 2.0 - 0.5 * (found.output_tokens[rows[:-1]] - 1)).tolist()
    sigma = np.log(4) / stats.norm.ppf(0.9)
    assert stats.kstest(pauses, stats.lognorm(sigma, scale=5.0).cdf).pvalue > 1e-3


def test_agents_pause_for_tools():
    spec = {**SESSIONS, "tool_share": 0.8, "tool_s": {"p50_s": 0.1, "p90_s": 0.1}, "token_s": 0.0, "first_token_s": 0.0}
    found = collect(spec, 2000.0, arrivals={"process": "poisson", "rate_rps": 0.5})
    gaps = np.concatenate([np.diff(found.arrival_s[found.session == k]) for k in np.unique(found.session).tolist()])
    assert np.mean(np.isclose(gaps, 0.1)) == pytest.approx(0.8, abs=0.04)


def test_a_session_ends_before_it_exceeds_the_context():
    spec = {**SESSIONS, "turns": {"distribution": "constant", "value": 50}}
    found = collect(spec, 2000.0, max_context_tokens=400, arrivals={"process": "poisson", "rate_rps": 0.1})
    assert (found.input_tokens + found.output_tokens).max() <= 400
    counts = np.unique(found.session, return_counts=True)[1]
    assert counts.max() < 15
    ids = prompts(found)
    for session in range(20):
        rows = np.flatnonzero(found.session == session)
        for before, after in pairwise(rows.tolist()):
            assert ids[after][: len(ids[before])] == ids[before]


@pytest.mark.parametrize("name", KINDS)
def test_chunks_and_longer_runs_change_nothing(name):
    given_workload = workload(KINDS[name])
    whole = joined(request_blocks(given_workload, 40.0, 1))
    longer = joined(request_blocks(given_workload, 70.0, 1)).part(0, len(whole))
    for column in ("arrival_s", "input_tokens", "output_tokens", "session", "prefix_blocks", "prefixes"):
        assert getattr(longer, column).tobytes() == getattr(whole, column).tobytes(), column
    for size in (7, 100_000):
        start = 0
        for records, outputs, ids in request_chunks(given_workload, 40.0, 1, chunk=size):
            part = whole.part(start, start + records.size)
            assert records["input_tokens"].tolist() == part.input_tokens.tolist()
            assert records["session"].tolist() == part.session.tolist()
            assert outputs.tolist() == part.output_tokens.tolist()
            assert ids.tolist() == part.prefixes.tolist()
            ends = records["prefix_start"] + records["prefix_blocks"]
            assert np.array_equal(ends[:-1], records["prefix_start"][1:])
            start += records.size
        assert start == len(whole)


def test_classes_have_structures_of_their_own_and_share_no_content():
    tenants = [
        {"name": name, "share": 0.5, "structure": kind}
        for name, kind in (
            ("a", SHARED),
            ("b", SESSIONS),
        )
    ]
    found = joined(request_blocks(workload(None, classes=tenants), 60.0, 1))
    one, other = (set(found.at(found.tenant == tenant).prefixes.tolist()) for tenant in (0, 1))
    assert one
    assert other
    assert not one & other
    assert set(found.session[found.tenant == 0]) == {-1}
    assert np.all(np.diff(found.arrival_s) >= 0)
    assert prefix_tokens(workload(None, classes=tenants)) == 16
    tenants[0]["structure"] = {**SHARED, "block_tokens": 48}
    again = joined(request_blocks(workload(None, classes=tenants), 60.0, 1))
    assert np.array_equal(again.arrival_s, found.arrival_s)
    first = again.at(again.tenant == 0)
    assert np.all(first.prefix_blocks == first.input_tokens // 48 * 3)
    tenants[0]["structure"] = {**SHARED, "block_tokens": 40}
    with pytest.raises(TraceError, match="blocks of 40 tokens, which are not whole blocks of 16"):
        prefix_tokens(workload(None, classes=tenants))


def test_two_recordings_share_no_content_unless_they_are_one(tmp_path):
    for name in ("x.jsonl", "y.jsonl"):
        line = {"timestamp": 0, "input_length": 600, "output_length": 5, "hash_ids": [0, 1]}
        (tmp_path / name).write_text(json.dumps(line) + "\n")
    files = {"a": "x.jsonl", "b": "y.jsonl", "c": "x.jsonl"}
    tenants = [{"name": name, "arrivals": {"process": "trace", "file": file}} for name, file in files.items()]
    given_workload = Workload.model_validate({"classes": tenants})
    found = joined(request_blocks(given_workload, None, 1, tmp_path))
    assert prefix_tokens(given_workload, tmp_path) == 512
    one, other, same = prompts(found)
    assert not set(one) & set(other)
    assert one == same


def test_blocks_of_another_size():
    block = requests(np.zeros(3), np.array([100, 64, 70]), np.ones(3, np.int64), prefix_blocks=np.array([2, 1, 2]),
                     prefixes=np.array([1, 2, 1, 1, 3]))  # fmt: skip
    small = reblocked(block, 64, 16)  # 100 tokens are six whole blocks of 16, though two of 64 were named
    assert small.prefix_blocks.tolist() == [6, 4, 4]
    parts = prompts(small)
    assert parts[0][:4] == parts[1] == parts[2]
    assert len(set(parts[0])) == 6
    large = reblocked(requests(np.zeros(1), np.array([100]), np.ones(1, np.int64), prefix_blocks=np.array([6]),
                               prefixes=np.arange(6)), 16, 32)  # fmt: skip
    assert large.prefixes.tolist() == [1, 3, 5]
    with pytest.raises(ValueError, match="blocks of 48 tokens cannot be told as blocks of 32"):
        reblocked(block, 48, 32)


@pytest.mark.parametrize(
    ("structure", "says"),
    [
        ({**SESSIONS, "tool_share": 0.5}, "say how long tool calls take"),
        ({**SESSIONS, "tool_s": {"p50_s": 1.0, "p90_s": 2.0}}, "give a tool_share"),
        ({**SESSIONS, "think_s": {"p50_s": 1.0, "p90_s": 0.5}}, "at least p50_s"),
    ],
)
def test_what_cannot_be_meant_is_refused(structure, says):
    with pytest.raises(ValidationError, match=says):
        workload(structure)
    with pytest.raises(ValidationError, match="bring their own structure"):
        Workload.model_validate({"arrivals": {"process": "trace", "file": "x"}, "structure": SHARED})
