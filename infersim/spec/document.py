"""YAML text to plain data that remembers where each value stood.

Scalars are read by the YAML 1.2 core schema, as people expect today: 3.35e12 is a number; on, off, yes, no, 12:30,
1_000 and dates are text. Duplicate keys, several documents, tags of other languages and `<<` are errors.
Not here: what the data must look like (`translate.py`). Read `overrides.py` next.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.resolver import BaseResolver

from infersim.spec.errors import KeyPath, Problem, SpecError

MOST_VALUES = 100_000
"""Values in one file after aliases are followed; more is an alias bomb, not a scenario."""
DEEPEST = 50
"""Nesting of one file."""
_TAG = "tag:yaml.org,2002:"


class CoreSchema(BaseResolver):
    """Which plain scalars are null, booleans and numbers: YAML 1.2 core schema (yaml.org/spec/1.2.2, 10.3.2)."""


_CORE = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
}
for _name, (_pattern, _first) in _CORE.items():
    CoreSchema.add_implicit_resolver(_TAG + _name, re.compile(rf"^(?:{_pattern})$"), _first)


if hasattr(yaml, "CParser"):

    class _Composer(yaml.CParser, CoreSchema):  # type: ignore[misc]
        """Text to nodes with marks, by libyaml."""

        def __init__(self, text: str) -> None:
            yaml.CParser.__init__(self, text)
            CoreSchema.__init__(self)

else:  # pragma: no cover - PyYAML built without libyaml

    class _Composer(yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser, yaml.composer.Composer, CoreSchema):  # type: ignore[no-redef]
        """Text to nodes with marks, in Python."""

        def __init__(self, text: str) -> None:
            yaml.reader.Reader.__init__(self, text)
            yaml.scanner.Scanner.__init__(self)
            yaml.parser.Parser.__init__(self)
            yaml.composer.Composer.__init__(self)
            CoreSchema.__init__(self)


@dataclass(frozen=True)
class Place:
    """Where a value was written, and how."""

    source: str
    """The file as it was named, or the `--set` that brought the value."""
    line: int | None = None
    """Line of the value, or of its key when the value is a list or a mapping."""
    text: str | None = None
    """A scalar as written, without quotes."""
    quoted: bool = False
    """Whether a scalar stood in quotes."""
    key_line: int | None = None
    """Line of the key."""


@dataclass(frozen=True)
class Document:
    """Plain data (dict, list, str, int, float, bool, None) and the place of every value in it."""

    data: Any
    source: str
    """The file as it was named, or what stands for it in messages."""
    directory: Path
    """Where relative paths in it start."""
    places: Mapping[KeyPath, Place] = field(default_factory=dict)

    def place(self, path: KeyPath) -> Place:
        """Where the value at `path` was written; a missing one is sought at what should hold it."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        return Place(self.source)

    def problem(self, path: KeyPath, message: str, at_key: bool = False) -> Problem:
        """Something wrong with the value at `path`, or with its key."""
        place = self.place(path)
        line = place.key_line if at_key and place.key_line is not None else place.line
        return Problem(message, place.source, line, path)


def read_document(path: str | Path) -> Document:
    """Read a YAML or JSON file.

    Raises SpecError when the file cannot be read or is not UTF-8, for syntax, and for what `parse` refuses.
    """
    path = Path(path)
    source = str(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SpecError(Problem(f"cannot be read: {(error.strerror or str(error)).lower()}", source)) from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SpecError(Problem(f"byte {error.start} is not UTF-8; save the file as UTF-8", source, line)) from None
    if path.suffix.lower() == ".json":
        return Document(_parse_json(text, source), source, path.parent)
    data, places = parse(text, source)
    return Document(data, source, path.parent, places)


def document_of(data: Mapping[str, Any], source: str = "scenario") -> Document:
    """A document from a mapping made in Python: copied, NumPy numbers to plain ones, tuples to lists, paths to text."""
    return Document(_plain(data), source, Path())


def parse(text: str, source: str) -> tuple[Any, dict[KeyPath, Place]]:
    """YAML text to plain data and the place of every value.

    Raises SpecError for syntax, duplicate keys, keys that are no scalars, unknown tags, numbers beyond a float or a
    64-bit integer, and nesting or aliases beyond reason.
    """
    try:
        node = _Composer(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = None if mark is None else mark.line + 1
        message = " ".join(part for part in (error.context, error.problem) if part)
        raise SpecError(Problem(f"is not YAML: {message}", source, line)) from None
    except (yaml.YAMLError, UnicodeError) as error:
        raise SpecError(Problem(f"is not YAML: {' '.join(str(error).split())}", source)) from None
    except RecursionError:
        raise SpecError(Problem(f"is nested deeper than {DEEPEST} levels", source)) from None
    if node is None:
        return None, {}
    reader = _Reader(source)
    data = reader.value(node, (), None)
    if reader.problems:
        raise SpecError(reader.problems)
    return data, reader.places


class _Reader:
    """Nodes to data for one text; collects places and problems on the way."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.places: dict[KeyPath, Place] = {}
        self.problems: list[Problem] = []

    def wrong(self, node: yaml.Node, path: KeyPath, message: str) -> None:
        self.problems.append(Problem(message, self.source, node.start_mark.line + 1, path))

    def value(self, node: yaml.Node, path: KeyPath, key_line: int | None) -> Any:
        line = node.start_mark.line + 1
        if len(path) > DEEPEST or len(self.places) > MOST_VALUES:
            what = f"is nested deeper than {DEEPEST} levels" if len(path) > DEEPEST else "aliases expand without end"
            raise SpecError(Problem(what, self.source, line, path[:3]))
        if isinstance(node, yaml.ScalarNode):
            quoted = node.style in ("'", '"')
            self.places[path] = Place(self.source, line, node.value, quoted, key_line)
            return self.scalar(node, path)
        self.places[path] = Place(self.source, key_line or line, key_line=key_line)
        if node.tag not in (_TAG + "map", _TAG + "seq"):
            self.wrong(node, path, f"the tag {node.tag} means nothing here; remove it")
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index), None) for index, item in enumerate(node.value)]
        return self.mapping(node, path)

    def mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        first_line: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.wrong(key_node, path, "a list or a mapping cannot be a key; write a name")
                continue
            key, line = key_node.value, key_node.start_mark.line + 1
            inner = (*path, key)
            if key == "<<":
                self.wrong(key_node, inner, "merge keys are not part of YAML 1.2; repeat the keys")
            elif key in first_line:
                self.wrong(key_node, inner, f"duplicate key: it already stands on line {first_line[key]}; keep one")
            else:
                first_line[key] = line
                result[key] = self.value(value_node, inner, line)
        return result

    def scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Any:
        kind, text = node.tag.removeprefix(_TAG), node.value
        if kind == "str" or node.tag == "!":
            return text
        if kind not in _CORE:
            self.wrong(node, path, f"the tag {node.tag} means nothing here; remove it")
            return None
        if not re.fullmatch(_CORE[kind][0], text):
            self.wrong(node, path, f"{text!r} is no {kind}; remove the tag or correct the value")
            return None
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        return self.integer(node, path) if kind == "int" else self.real(node, path)

    def integer(self, node: yaml.ScalarNode, path: KeyPath) -> int | None:
        text = node.value
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        number = int(text, base) if len(text) < 100 else 2**64
        if abs(number) >= 2**63:
            self.wrong(
                node, path, f"found {shorten(text)}, which does not fit a 64-bit integer; write a smaller number"
            )
            return None
        return number

    def real(self, node: yaml.ScalarNode, path: KeyPath) -> float | None:
        text = node.value.lower()
        if text.endswith((".inf", ".nan")):
            return float(text.replace(".", ""))
        number = float(text)
        if abs(number) == float("inf"):
            self.wrong(node, path, f"found {shorten(text)}, which is beyond the largest float 1.8e308")
            return None
        return number


def shorten(text: str, most: int = 60) -> str:
    """Text for a message, cut in the middle when long."""
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-10:]}"


def _parse_json(text: str, source: str) -> Any:
    """JSON text to plain data; duplicate keys are errors."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in pairs:
            if key in result:
                raise SpecError(Problem("duplicate key; keep one", source, path=(key,)))
            result[key] = value
        return result

    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise SpecError(Problem(f"is not JSON: {error.msg.lower()}", source, error.lineno)) from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, SpecError):
            raise
        raise SpecError(Problem(f"is not JSON: {error}", source)) from None


def _plain(value: Any) -> Any:
    """A copy made of dict, list, str, int, float, bool and None where it can be."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return value.tolist()
    return value
