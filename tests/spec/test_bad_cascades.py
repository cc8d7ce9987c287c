"""Cascades that cannot be: each says where, and what would be right."""

import re
from pathlib import Path

import pytest

from infersim.spec.errors import SpecError
from infersim.spec.load import load_scenario
from infersim.spec.resolve import resolve
from tests.spec.conftest import SCENARIO

TWO = "[{pool: h100, answers: 0.7}, {pool: large}]"

# cascade, key path, what was found, what would be right
CASES = {
    "one model": ("[{pool: h100}]", "workload.cascade", "1", "2"),
    "a pool that is not there": (TWO.replace("large", "lrge"), "workload.cascade[1].pool", "unknown pool lrge", "large"),
    "the same pool twice": (TWO.replace("large", "h100"), "workload.cascade[1].pool", "asked before", "another pool"),
    "no share": ("[{pool: h100}, {pool: large}]", "workload.cascade[0].answers", "is missing", "which share"),
    "a share of the last": ("[{pool: h100, answers: 0.5}, {pool: large, answers: 1}]",
        "workload.cascade[1].answers", "always stand", "remove it"),
    "a share above 1": (TWO.replace("0.7", "70"), "workload.cascade[0].answers", "found 70", "at most 1"),
    "a judge of the last": (TWO.replace("large}", "large, judge_s: 1}"), "workload.cascade[1].judge_s", "not judged", "remove it"),
    "a judge who goes back in time": (TWO.replace("0.7", "0.7, judge_s: -1"), "workload.cascade[0].judge_s", "found -1", "at least 0"),
    "a share that falls": ("[{pool: h100, answers: 0.7}, {pool: large, answers: 0.5}, {pool: third}]",
        "workload.cascade[1].answers", "found 0.5", "at least that"),
    "a pool that is left out": ("[{pool: h100, answers: 0.7}, {pool: large}]", "pools[2].name", "no cascade asks third", "remove it"),
    "an unknown key": (TWO.replace("answers", "accepts"), "workload.cascade[0].accepts", "unknown key", "answers"),
}  # fmt: skip


def scenario(cascade: str, pools: tuple[str, ...] = ("large", "third")) -> str:
    """The scenario with a cascade and more pools like its own."""
    head, rest = SCENARIO.split("pools:\n")
    own = re.search(r"  - name: h100\n(?:    .*\n)+", rest)
    assert own is not None
    more = "".join(own[0].replace("name: h100", f"name: {name}") for name in pools)
    head = head.replace("router:", f"  cascade: {cascade}\nrouter:")
    return f"{head}pools:\n{rest.replace(own[0], own[0] + more)}"


@pytest.mark.parametrize("case", CASES)
def test_it_says_what_is_wrong_and_where(case: str, tmp_path: Path) -> None:
    cascade, key, found, right = CASES[case]
    text = scenario(cascade)
    file = tmp_path / "s.yaml"
    file.write_text(text)
    with pytest.raises(SpecError) as caught:
        resolve(load_scenario(file))
    message = str(caught.value)
    fragment = "name: third" if key.startswith("pools") else "cascade:"
    line = next(number for number, line in enumerate(text.splitlines(), 1) if fragment in line)
    assert f"{file}:{line}" in message
    assert key in message
    assert found in message
    assert right in message
