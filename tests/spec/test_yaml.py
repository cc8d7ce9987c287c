"""YAML as people write it: which scalars are numbers, and where every value stood."""

from pathlib import Path
from typing import Any

import pytest

from infersim.spec.document import parse, read_document
from infersim.spec.errors import SpecError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # floats that PyYAML, following YAML 1.1, would read as text
        ("3.35e12", 3.35e12),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-1.", -1.0),
        ("+12e-03", 0.012),
        # integers
        ("0", 0),
        ("-19", -19),
        ("0o14", 12),
        ("0x1F", 31),
        ("007", 7),  # YAML 1.1 would read it in base 8; in base 10 it is the same here
        ("010", 10),  # and here it would not be
        # booleans and null: only these
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        # text that YAML 1.1 would read as booleans, numbers, dates
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("No", "No"),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("2026-06-01", "2026-06-01"),
        ("inf", "inf"),
        # quotes make text
        ("'12'", "12"),
        ('"true"', "true"),
        ("!!str 12", "12"),
        ("!!float 12", 12.0),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(text: str, value: Any) -> None:
    data, _ = parse(f"a: {text}", "file")
    assert data["a"] == value
    assert type(data["a"]) is type(value)


def test_every_value_knows_its_line() -> None:
    text = "a: 1\n\nb:\n  - x: 2\n    y: >\n      long\n      text\n  -\n    'quoted'\nc: {d: [3,\n  4]}\n"
    data, places = parse(text, "file")
    assert data == {"a": 1, "b": [{"x": 2, "y": "long text\n"}, "quoted"], "c": {"d": [3, 4]}}
    lines = {path: (place.key_line, place.line) for path, place in places.items()}
    assert lines == {
        (): (None, 1),
        ("a",): (1, 1),
        ("b",): (3, 3),
        ("b", 0): (None, 4),
        ("b", 0, "x"): (4, 4),
        ("b", 0, "y"): (5, 5),
        ("b", 1): (None, 9),
        ("c",): (10, 10),
        ("c", "d"): (10, 10),
        ("c", "d", 0): (None, 10),
        ("c", "d", 1): (None, 11),
    }
    assert places[("b", 1)].quoted
    assert not places[("a",)].quoted


def test_aliases_repeat_a_block() -> None:
    data, places = parse("a: &x {b: 1}\nc: *x\n", "file")
    assert data == {"a": {"b": 1}, "c": {"b": 1}}
    assert places[("c", "b")].line == 1  # where the value was written


def test_several_duplicates_are_all_told() -> None:
    with pytest.raises(SpecError) as caught:
        parse("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n", "file")
    assert str(caught.value).splitlines() == [
        "file:4: b.c: duplicate key: it already stands on line 3; keep one",
        "file:5: a: duplicate key: it already stands on line 1; keep one",
    ]


def test_json_is_read_by_its_own_rules(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{\t"a": 1e3,\n\t"b": [true, null]}')
    assert read_document(path).data == {"a": 1000.0, "b": [True, None]}
    path.write_text('{"a": 1,\n"a": 2}')
    with pytest.raises(SpecError, match="a: duplicate key"):
        read_document(path)
    path.write_text('{"a": 1,\n}')
    with pytest.raises(SpecError, match=r"config.json:2: is not JSON"):
        read_document(path)
