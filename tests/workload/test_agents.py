"""Agents and closed loops before they are served: prompts that grow by what was said, and lists for users."""

from itertools import islice

import numpy as np
import pytest
from pydantic import ValidationError

from infersim.spec.load import load_scenario
from infersim.spec.workload import Workload
from infersim.workload.formats import format_named
from infersim.workload.generate import Offered, request_blocks
from infersim.workload.requests import joined
from infersim.workload.write import write_trace

BLOCK = 16
BASE = {
    "arrivals": {"process": "poisson", "rate_rps": 2.0},
    "input_tokens": {"distribution": "uniform", "min": 5, "max": 60},
    "output_tokens": {"distribution": "uniform", "min": 1, "max": 40},
}
AGENTS = {
    "kind": "agents",
    "calls": {"distribution": "uniform", "min": 1, "max": 6},
    "tool_s": {"p50_s": 2.0, "p90_s": 9.0},
    "prompts": 2,
    "prompt_tokens": {"distribution": "constant", "value": 100},
    "block_tokens": BLOCK,
    "sub_agents": {
        "share": 0.3,
        "count": {"distribution": "uniform", "min": 1, "max": 3},
        "calls": {"distribution": "uniform", "min": 1, "max": 3},
    },
}
LOOP = {"process": "closed_loop", "users": 5, "think_s": {"distribution": "exponential", "mean_s": 3.0}}


def workload(**keys) -> Workload:
    return Workload.model_validate({**BASE, **keys})


def test_a_call_resends_what_was_said_before() -> None:
    """A call that waits for one of its own agent begins with that one's prompt and answer, block by block; a sub-agent's
    first call and what waits for several do not."""
    every = joined(request_blocks(workload(structure=AGENTS), 60.0, 1))
    sequels, start = every.sequels, every.prefix_start
    assert set(np.unique(sequels["joins"])) == {0, 1, 2, 3}
    grown = 0
    for row in np.flatnonzero(sequels["joins"] == 1):
        before = row - sequels["after"][row]
        assert every.session[before] == every.session[row]
        assert every.arrival_s[before] == every.arrival_s[row]
        shared = every.prefix_blocks[before]
        mine = every.prefixes[start[row] :][: every.prefix_blocks[row]]
        if 0 < shared <= len(mine) and mine[0] == every.prefixes[start[before]]:
            assert (mine[:shared] == every.prefixes[start[before] :][:shared]).all()
            added = every.input_tokens[row] - every.input_tokens[before] - every.output_tokens[before]
            assert 5 <= added <= 60
            grown += 1
    assert grown > 100
    roots = sequels["joins"] == 0
    assert (every.input_tokens[roots] >= 105).all()
    assert (every.input_tokens[roots] <= 160).all()
    assert len(np.unique(every.prefixes[start[roots]])) == 2  # two system prompts


def test_pauses_of_tools_have_the_stated_median() -> None:
    alone = {key: value for key, value in AGENTS.items() if key != "sub_agents"}
    every = joined(request_blocks(workload(structure=alone), 2000.0, 1))
    pauses = every.sequels["gap_s"][every.sequels["joins"] == 1]
    assert len(pauses) > 5000
    assert np.quantile(pauses, [0.5, 0.9]) == pytest.approx([2.0, 9.0], rel=0.1)
    counts = np.bincount(every.session)
    assert counts.mean() == pytest.approx(3.5, rel=0.03)


def test_no_call_exceeds_the_context() -> None:
    every = joined(request_blocks(workload(structure=AGENTS, max_context_tokens=300), 300.0, 1))
    assert (every.input_tokens + every.output_tokens).max() <= 300
    free = joined(request_blocks(workload(structure=AGENTS), 300.0, 1))
    assert len(every) < len(free)
    assert len(np.unique(every.session)) == len(np.unique(free.session))


def test_users_begin_over_the_ramp_and_go_on_with_the_list() -> None:
    sent = Offered(workload(arrivals=LOOP | {"users": 1000, "ramp_s": 500.0}), 600.0, 1)
    ((records, outputs, _, sequels),) = sent.chunks()
    assert len(records) == 1000
    assert records["arrival_s"].mean() == pytest.approx(253, rel=0.05)
    assert (np.diff(records["arrival_s"]) >= 0).all()
    assert (sequels["source"] == 0).all()
    (source,) = sent.sources()
    blocks = list(islice(source, 3))
    assert blocks[0][0]["id"][0] == 1000
    assert np.concatenate([block[2] for block in blocks]).mean() == pytest.approx(3.0, rel=0.05)
    again = Offered(workload(arrivals=LOOP | {"users": 10, "ramp_s": 500.0}), 600.0, 1)
    ((_, some, *_),) = again.chunks()
    first = np.concatenate([some, *(block[1] for block in islice(again.sources()[0], 1))])
    assert sorted(first[:1000]) == sorted(outputs)  # one list, whoever takes what from it


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"arrivals": LOOP, "structure": AGENTS}, "agents are several"),
        (
            {"arrivals": LOOP, "structure": {"kind": "sessions", "turns": BASE["input_tokens"],
                                             "think_s": {"p50_s": 1.0, "p90_s": 2.0}}},
            "sessions are several",
        ),
        (
            {"arrivals": LOOP, "structure": {"kind": "reasoning", "thinking_tokens": BASE["input_tokens"], "samples": 2}},
            "reasoning are several",
        ),
        ({"arrivals": LOOP, "classes": [{"name": "a", "share": 1.0}]}, "give each class its own users"),
        ({"arrivals": LOOP | {"users": 0}}, "greater than or equal to 1"),
        ({"arrivals": LOOP | {"think_s": {"distribution": "constant", "value_s": 0.0}}}, "greater than 0"),
        ({"arrivals": LOOP | {"think_s": {"distribution": "lognormal", "p50_s": 2.0, "p90_s": 1.0}}}, "at least p50_s 2"),
        ({"structure": AGENTS | {"think_share": 0.5}}, "say how long people think"),
        ({"structure": AGENTS | {"think_s": {"p50_s": 1.0, "p90_s": 2.0}}}, "give a think_share"),
    ],
)  # fmt: skip
def test_what_cannot_be(keys: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        workload(**keys)


@pytest.mark.parametrize("name", ["agents", "closed_loop"])
def test_what_nobody_knows_beforehand_is_not_written(name: str, tmp_path) -> None:
    with pytest.raises(ValueError, match=f"{name.replace('_', '-')} has closed loops or agents.*infersim export"):
        write_trace(load_scenario(name), tmp_path / "trace.csv", format_named("csv"))
    assert not list(tmp_path.iterdir())
