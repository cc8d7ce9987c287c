"""Plain data to a checked spec model; what pydantic finds wrong is said in terms of the file and of what to write.

Not here: whether names exist and parts fit together (`resolve.py`). Read `load.py` next.
"""

import math
import re
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, Discriminator, ValidationError
from pydantic.fields import FieldInfo

from infersim.spec.base import Spec
from infersim.spec.document import Document, Place, shorten
from infersim.spec.errors import KeyPath, Problem, SpecError, nearest

AnySpec = TypeVar("AnySpec", bound=Spec)

_WORDS = {
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "finite_number": "must be a finite number",
    "too_short": "needs at least {min_length}, has {actual_length}",
    "string_too_short": "needs at least {min_length} characters",
}
_KINDS = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dict_type": "a mapping",
}


def check(document: Document, cls: type[AnySpec]) -> AnySpec:
    """The document's data as a `cls`.

    Raises SpecError with every problem, in the order of the file.
    """
    if document.data is None:
        raise SpecError(Problem(f"is empty; {_needs(cls)}", document.source))
    try:
        return cls.model_validate(document.data)
    except ValidationError as error:
        details = error.errors(include_url=False)
    details.sort(key=lambda detail: detail["type"] == "missing")  # a slip of the pen before what it leaves missing
    problems = [_translate(document, cls, detail) for detail in details]
    raise SpecError(sorted(problems, key=lambda problem: problem.line or 0))


def _translate(document: Document, cls: type[Spec], detail: Any) -> Problem:
    """One pydantic error as a problem of the file."""
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    path, owner, field = _locate(cls, detail["loc"])
    is_key = "[key]" in detail["loc"]
    if kind == "wrong_at":
        return document.problem((*path, *context["path"]), context["message"])
    if kind == "missing":
        return document.problem(path, f"is missing; {_meaning(field) or 'add it'}", at_key=True)
    if kind == "extra_forbidden":
        return document.problem(path, f"unknown key; {nearest(str(path[-1]), _keys(owner))}", at_key=True)
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _unknown_variant(document, path, kind, value, field, context)
    place = Place(document.source, text=value) if is_key else document.places.get(path, Place(document.source))
    found = f"found {_show(value, place)}"
    if kind in ("literal_error", "enum"):
        known = re.findall(r"'([^']*)'", context.get("expected", ""))
        return document.problem(path, f"{found}; {nearest(str(value), known)}", at_key=is_key)
    if kind == "value_error":
        return document.problem(path, str(context.get("error", detail["msg"])))
    if isinstance(value, float) and not math.isfinite(value):
        return document.problem(path, f"{found}; must be a finite number")
    if kind in _KINDS:
        discriminator, members = _variants(field)
        wanted = f"{_KINDS[kind]} with {discriminator}: {' | '.join(sorted(members))}" if members else _KINDS[kind]
        advice = _advice(value, place, kind) or f"write {wanted}"
        meaning = _meaning(field)
        return document.problem(path, f"{found}; {advice}" + (f" ({meaning})" if meaning else ""))
    if kind == "string_pattern_mismatch":
        return document.problem(path, f"{found}; must match {context['pattern']} (letters, digits, dots, dashes)")
    words = _WORDS.get(kind, detail["msg"].lower())
    return document.problem(path, f"{found}; {words.format(**context) if kind in _WORDS else words}")


def _unknown_variant(document: Document, path: KeyPath, kind: str, value: Any, field: Any, context: Any) -> Problem:
    """A union whose discriminator is missing or names no member."""
    key = context["discriminator"].strip("'")
    tags = sorted(_variants(field)[1])
    if kind == "union_tag_not_found":
        return document.problem((*path, key), f"is missing; say which: {', '.join(tags)}", at_key=True)
    tag, where = value.get(key), (*path, key)
    return document.problem(where, f"unknown {key} {shorten(str(tag))}; {nearest(str(tag), tags)}")


# ---------------------------------------------------------------- where pydantic means


def _locate(cls: type[Spec], loc: tuple[str | int, ...]) -> tuple[KeyPath, type[BaseModel] | None, Any]:
    """Key path of a pydantic location (no tags of unions), the model that owns its last key, and the type there."""
    path: list[str | int] = []
    owner: type[BaseModel] | None = cls
    kind: Any = cls
    for piece in loc:
        discriminator, members = _variants(kind)
        if discriminator and piece in members:
            kind = owner = members[str(piece)]
            continue
        if piece == "[key]" or str(piece).startswith("list["):  # a member of a union without a tag
            continue
        path.append(piece)
        bare = _bare(kind)
        if isinstance(bare, type) and issubclass(bare, BaseModel):
            owner = bare
            kind = bare.model_fields.get(str(piece))
        elif get_origin(bare) in (list, dict) and get_args(bare):
            kind = get_args(bare)[-1]
        else:
            kind = None
    return tuple(path), owner, kind


def _layers(kind: Any) -> Iterator[Any]:
    """A type and what it wraps: FieldInfo, Annotated and `| None` taken off one after the other."""
    while True:
        yield kind
        if isinstance(kind, FieldInfo):
            kind = kind.annotation
        elif get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif get_origin(kind) in (Union, types.UnionType) and type(None) in get_args(kind):
            kind = Union[tuple(arg for arg in get_args(kind) if arg is not type(None))]  # noqa: UP007
        else:
            return


def _bare(kind: Any) -> Any:
    """The type itself, without what it is wrapped in."""
    return list(_layers(kind))[-1]


def _variants(kind: Any) -> tuple[str | None, dict[str, type[BaseModel]]]:
    """Discriminator of a tagged union and its members by tag; (None, {}) for anything else."""
    for layer in _layers(kind):
        infos = [layer, *(get_args(layer)[1:] if get_origin(layer) is Annotated else ())]
        for info in infos:
            key = info.discriminator if isinstance(info, FieldInfo) else None
            if isinstance(key, str):
                members = get_args(_bare(kind))
                return key, {str(get_args(m.model_fields[key].annotation)[0]): m for m in members}
            if isinstance(info, Discriminator):  # the members carry their tags
                tagged = [get_args(member) for member in get_args(_bare(kind))]
                return "policy", {tag.tag: member for member, tag in tagged}
    return None, {}


# ---------------------------------------------------------------- words


def _keys(owner: type[BaseModel] | None) -> list[str]:
    return list(owner.model_fields) if owner else []


def _needs(cls: type[Spec]) -> str:
    required = [name for name, info in cls.model_fields.items() if info.is_required()]
    return f"write at least {', '.join(required)}"


def _meaning(field: Any) -> str:
    """The docstring of a field, and its choices if it has few."""
    text = (field.description or "").rstrip(".") if isinstance(field, FieldInfo) else ""
    bare = _bare(field)
    if get_origin(bare) is Literal:
        text += f": one of {', '.join(str(arg) for arg in get_args(bare))}"
    return text


def _show(value: Any, place: Place) -> str:
    """A value for a message, as it was written."""
    if isinstance(value, str):
        plain = value and place.text is not None and not place.quoted
        return f"the text {shorten(value)}" if plain else f'the text "{shorten(value)}"'
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return shorten(place.text) if place.text else f"{value!r}"
    if isinstance(value, dict):
        return f"a mapping with {', '.join(list(value)[:4])}" if value else "an empty mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return f"a {type(value).__name__}"


def _advice(value: Any, place: Place, kind: str) -> str:
    """What to write instead, where the slip can be guessed."""
    if kind == "string_type" and isinstance(value, int | float):
        return f'text is wanted: put it in quotes, "{place.text or value}"'
    if kind == "bool_type" and isinstance(value, str) and value.lower() in ("on", "yes", "y", "off", "no", "n"):
        return f"write {'true' if value.lower() in ('on', 'yes', 'y') else 'false'}"
    if kind == "int_from_float" or (kind == "int_type" and isinstance(value, float)):
        whole = int(value) if math.isfinite(value) and value == int(value) else None
        return "write a whole number" if whole is None else f"write {whole}, without a fraction or an exponent"
    if kind in ("int_type", "float_type") and isinstance(value, str):
        return _number_in(value, place)
    return ""


def _number_in(text: str, place: Place) -> str:
    """Advice for text where a number belongs."""
    if re.fullmatch(r"[-+]?(nan|\.?inf(inity)?)", text, re.IGNORECASE):
        return "must be a finite number"
    bare = re.sub(r"(?<=\d)[_,'](?=\d{3})|(?<=\d)_(?=\d)", "", text.strip())
    number = re.fullmatch(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(.*)", bare)
    if re.fullmatch(r"\d+(:\d+)+(\.\d*)?", text):
        return "write one plain number in the unit that the key names, no hours:minutes"
    if number and not number[2]:
        return f"write {number[1]} without quotes" if place.quoted or place.text is None else f"write {number[1]}"
    if number:
        return f"write {number[1]} without {shorten(number[2], 20)}, in the unit that the key names"
    return ""
