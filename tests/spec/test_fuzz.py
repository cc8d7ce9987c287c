"""Whatever stands in a file: a scenario or a SpecError, nothing else."""

from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infersim.spec.document import parse
from infersim.spec.errors import SpecError
from infersim.spec.load import load_scenario
from infersim.spec.scenario import Scenario
from tests.spec.conftest import CHIP, SCENARIO

SHIPPED = SCENARIO.replace("chip.yaml", "h100-sxm").replace("engine.yaml", "vllm")
NASTY = [
    "", "~", "-1", "0", "1e400", ".nan", "-.inf", "on", "12:30", "1_000", '"5"', "[]", "{}", "[[1]]", "{a: b}",
    "&a [*a]", "*b", "!!python/object:os.system x", "!!binary aGk=", "%", "@", "`", "\t", "- -", "? :", "|", ">", "'",
    "\x00", "\x85", "9" * 400, "0x" + "f" * 40, "trace", "h100-sxm", "fp8", "ÿ", "<<: 1",
]  # fmt: skip
quick = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def verdict(source: Any, overrides: tuple[str, ...] = ()) -> str:
    """What is wrong with a scenario; empty if nothing is."""
    try:
        assert isinstance(load_scenario(source, overrides), Scenario)
    except SpecError as error:
        return str(error)
    return ""


def run(text: str, tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(text, encoding="utf-8", newline="")
    wrong = verdict(path)
    assert not wrong or str(path) in wrong


@quick
@given(st.data())
def test_mutated_text(tmp_path: Path, data: st.DataObject) -> None:
    text = SHIPPED
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 40)))
        put = data.draw(st.one_of(st.sampled_from(NASTY), st.text(max_size=5), st.just(SHIPPED[start : start + 30])))
        text = text[:start] + put + text[end:]
    run(text, tmp_path)


@quick
@given(st.data())
def test_mutated_lines(tmp_path: Path, data: st.DataObject) -> None:
    lines = SHIPPED.splitlines()
    for _ in range(data.draw(st.integers(1, 4))):
        index = data.draw(st.integers(0, len(lines) - 1))
        key, colon, _ = lines[index].partition(":")
        new = data.draw(st.sampled_from(["drop", "double", "indent", "value"]))
        changed = {"drop": [], "double": [lines[index]] * 2, "indent": ["  " + lines[index]]}
        value = [f"{key}{colon} {data.draw(st.sampled_from(NASTY))}"]
        lines[index : index + 1] = changed.get(new, value)
        lines = lines or [""]
    run("\n".join(lines), tmp_path)


junk = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4), st.binary(max_size=2)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=5,
)


@quick
@given(st.data())
def test_junk_at_any_place_of_a_mapping(data: st.DataObject) -> None:
    tree: Any = parse(SHIPPED, "file")[0]
    node = tree
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.booleans()):
            break
        node = node[key]
    node[key] = data.draw(junk)
    verdict(tree)


@quick
@given(st.text(max_size=30), st.one_of(st.sampled_from(NASTY), st.text(max_size=10)))
def test_any_setting(key: str, value: str) -> None:
    tree = parse(SHIPPED, "file")[0]
    for start in (key, f"pools.0.{key}", "workload.arrivals", "pools.h100.replicas"):
        verdict(tree, (f"{start}={value}",))


@quick
@given(st.data())
def test_mutated_profiles(tmp_path: Path, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(CHIP)))
    text = CHIP[:start] + data.draw(st.sampled_from(NASTY)) + CHIP[start + data.draw(st.integers(0, 20)) :]
    (tmp_path / "chip.yaml").write_text(text, encoding="utf-8", newline="")
    path = tmp_path / "scenario.yaml"
    path.write_text(SCENARIO.replace("engine.yaml", "vllm"))
    wrong = verdict(path)
    assert not wrong or "chip.yaml" in wrong


@quick
@given(st.one_of(st.text(), st.text(alphabet="-:{}[]&*!|>'\"%@` \n#?,ab1.~"), st.binary()))
def test_any_text_at_all(tmp_path: Path, text: str | bytes) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_bytes(text.encode("utf-8") if isinstance(text, str) else text)
    assert str(path) in verdict(path)  # no short text is a scenario
