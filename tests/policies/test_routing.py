"""Routers of a user's own: what they may read, what they may answer, and what is said when they do otherwise."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from infersim.dataplane import abi, internal, records
from infersim.policies.errors import PolicyError
from infersim.simulate import simulate
from tests.policies.house import scenario

compiled_only = pytest.mark.skipif(not abi.JIT, reason="NUMBA_DISABLE_JIT=1: routers run as plain Python")


def run(folder: Path, body: str, parameters: str = "request, replicas, routable, memory"):  # type: ignore[no-untyped-def]
    """Simulate with a router of this body."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    source = f"from infersim import routing\n\n\n@routing\ndef mine({parameters}):\n{lines}\n"
    return simulate(scenario(folder, source, router="mine"))


@compiled_only
@pytest.mark.parametrize(
    ("body", "line", "what"),
    [
        ("return routable[0] * request.output_tokens", 6, "reads .output_tokens, which it cannot know"),
        ("\n\nx = request\nif x.first_token_s > 0:\n    return 0\nreturn 1", 9, "reads .first_token_s, which it"),
        ("return replicas[0].load", 6, "reads .load, which it cannot know"),
        ("memory[0] = 1", 6, "No conversion from none to int64"),
        ("if memory[0] == 0:\n    return routable[0]", 6, "No conversion from none to int64"),
        ("return 'the first'", 6, "No conversion from Literal[str](the first) to int64"),
        ("return undefined_name", 6, "NameError: name 'undefined_name' is not defined"),
        ("import random\nreturn routable[0]", 6, "Use of unsupported opcode (IMPORT_NAME) found. A"),
        ("return routable['first']", 6, "No implementation of function Function(<built-in function getitem>) found"),
    ],
)
def test_what_does_not_compile(tmp_path: Path, body: str, line: int, what: str) -> None:
    """The message says which router, where, what is wrong, and what a router may read."""
    with pytest.raises(PolicyError) as caught:
        run(tmp_path, body)
    message = str(caught.value)
    assert message.startswith(f"router 'mine' (mine0.py:{line}) does not compile: {what}"), message
    for field in (*records.REQUEST.names, *records.REPLICA.names, "routable", "memory"):
        assert field in message
    assert "\n" not in message


@compiled_only
def test_fields_that_only_outcomes_have_are_out_of_reach(tmp_path: Path) -> None:
    for field in sorted(
        {*records.OUTCOME.names, *internal.FLIGHT.names} - {*records.REQUEST.names, *records.REPLICA.names}
    ):
        with pytest.raises(PolicyError, match=f"reads .{field}, which it cannot know"):
            run(tmp_path, f"return routable[int(request.{field})]")


@pytest.mark.parametrize("parameters", ["request, replicas, routable", "request, replicas, routable, memory, more"])
def test_another_signature(tmp_path: Path, parameters: str) -> None:
    expected = f"router 'mine' (mine0.py:4) takes ({parameters}); a router takes (request, replicas, routable, memory)"
    with pytest.raises(PolicyError, match=re.escape(expected)):
        run(tmp_path, "return routable[0]", parameters)


@pytest.mark.parametrize(
    ("body", "line", "what"),
    [
        ("replicas[0].outstanding = 0\nreturn 0", 6, "writes .outstanding; a router writes nothing but memory[i]"),
        ("r = request\nr.input_tokens = 1\nreturn 0", 7, "writes .input_tokens; a router writes nothing but memory[i]"),
        ("x = 0\nreturn replicas[x].cached_tokens", 7, "reads .cached_tokens, which is kept for routers that say"),
        ("return replicas[0].kv_blocks_used", 6, "reads .kv_blocks_used, which is kept for routers that say"),
    ],
)  # fmt: skip
def test_what_is_wrong_at_sight(tmp_path: Path, body: str, line: int, what: str) -> None:
    with pytest.raises(PolicyError, match=re.escape(f"router 'mine' (mine0.py:{line}) {what}")):
        run(tmp_path, body)


@pytest.mark.parametrize(
    "body",
    ["return 3 if request.id == 2 else routable[0]", "return -1", "return 1 << 40", "return replicas.shape[0]"],
)
def test_an_answer_that_is_no_ready_replica(tmp_path: Path, body: str) -> None:
    """Three replicas are ready; index 3 exists and is closed."""
    with pytest.raises(PolicyError) as caught:
        run(tmp_path, body)
    arrival_s = simulate(scenario(tmp_path)).record.outcomes["arrival_s"]
    request = 2 if "id" in body else 0
    assert str(caught.value) == (
        f"router 'mine' sent request {request} at {arrival_s[request]:.6g} s to something that is not a ready replica; "
        "return one of `routable`"
    )


@compiled_only
@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("if request.id == 5:\n    raise ValueError('too hard')\nreturn routable[0]", "ValueError: too hard"),
        ("return routable[0] // (request.id - 5)", "ZeroDivisionError"),
        ("return routable[3]", "IndexError"),
        ("return routable[replicas[4].outstanding]", "IndexError"),
    ],
)
def test_a_router_that_raises(tmp_path: Path, body: str, error: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Compiled code cannot raise through a function value; numba would print it and go on with replica 0."""
    with pytest.raises(PolicyError, match=f"router 'mine' raised {error}"):
        run(tmp_path, body)
    assert capfd.readouterr().err == ""


def test_memory_is_kept_between_calls_and_starts_at_zero(tmp_path: Path) -> None:
    """Two requests to each replica in turn."""
    body = "turn = memory[7]\nmemory[7] += 1\nreturn routable[turn // 2 % len(routable)]"
    for _ in range(2):
        assert run(tmp_path, body).requests["replica"].head(7).tolist() == [0, 0, 1, 1, 2, 2, 0]


def test_round_robin_and_least_outstanding_by_hand(tmp_path: Path) -> None:
    replicas = simulate(scenario(tmp_path, router="round_robin")).requests["replica"]
    assert replicas.head(6).tolist() == [0, 1, 2, 0, 1, 2]


NOTEBOOK = """
import infersim

@infersim.routing
def the_last(request, replicas, routable, memory):
    return routable[-1]

@infersim.autoscaling
class AlwaysTwo:
    def __init__(self, target): pass
    def desired(self, view): return 2

result = infersim.simulate(FILE)
print(set(result.requests["replica"]), len(result.replicas))
"""


@pytest.mark.parametrize("door", ["stdin", "cell"])
def test_policies_without_a_file(tmp_path: Path, door: str) -> None:
    """Typed at a prompt or into a notebook's cell: nothing to cache, no plugin to name."""
    path = scenario(tmp_path, router="the_last", autoscaler="always_two")
    code = NOTEBOOK.replace("FILE", repr(str(path)))
    if door == "cell":
        code = f"exec(compile({code!r}, '/tmp/ipykernel_1/2.py', 'exec'))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-"], input=code, capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert (done.stdout, done.stderr) == ("{2} 3\n", "")
