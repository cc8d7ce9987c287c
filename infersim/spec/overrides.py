"""`--set key=value`: change values of a document before it is checked.

A key is a dotted path; list entries go by index or by their `name`: pools.0.replicas.max, pools[0].replicas.max and
pools.h100.replicas.max are the same. The value is YAML, so a whole block can be replaced:
`--set "workload.arrivals={process: poisson, rate_rps: 5}"`; an empty value is null, which takes an optional block away.
Not here: whether the result makes sense (`translate.py`). Read `load.py` next.
"""

import copy
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from infersim.spec.document import Document, Place, parse
from infersim.spec.errors import KeyPath, Problem, SpecError, dotted, nearest


def override(document: Document, settings: Sequence[str]) -> Document:
    """The document with every `key=value` of `settings` applied, in order.

    Raises SpecError that names the setting, for bad syntax and for a path through a scalar or a missing entry.
    """
    for setting in settings:
        source = f"--set {setting}"
        key, equals, text = setting.partition("=")
        if not equals or not key.strip():
            raise SpecError(Problem("is not key=value; write for example --set pools.0.replicas.max=4", source))
        try:
            value, places = parse(text, source)
        except SpecError as error:
            raise SpecError([replace(problem, line=None) for problem in error.problems]) from None
        tree = copy.deepcopy(document.data) if document.data is not None else {}
        path = _assign(tree, _pieces(key.strip(), source), value, source)
        kept = {where: place for where, place in document.places.items() if where[: len(path)] != path}
        kept |= {path[:depth]: Place(source) for depth in range(1, len(path)) if path[:depth] not in kept}
        kept |= {path + where: replace(place, line=None, key_line=None) for where, place in places.items()}
        document = replace(document, data=tree, places=kept)
    return document


def _pieces(key: str, source: str) -> list[str]:
    """The pieces of a dotted key, brackets counted as dots."""
    pieces = re.sub(r"\[(\w+)\]", r".\1", key).split(".")
    if not all(pieces):
        raise SpecError(Problem(f"{key} is no path of keys; write for example pools.0.replicas.max", source))
    return pieces


def _assign(tree: Any, pieces: list[str], value: Any, source: str) -> KeyPath:
    """Put `value` into `tree` at `pieces`, making mappings on the way; returns the path, list indexes as numbers."""
    path: list[str | int] = []
    node = tree
    for depth, piece in enumerate(pieces):
        last = depth == len(pieces) - 1
        if isinstance(node, list):
            entry: Any = _index(node, piece, tuple(path), source)
        elif isinstance(node, dict):
            entry = piece
            if not last and node.get(piece) is None:
                node[piece] = {}
        else:
            where = dotted(tuple(path)) or "the file"
            raise SpecError(Problem(f"{where} is {node!r}, which has no key {piece}", source))
        path.append(entry)
        if last:
            node[entry] = value
        else:
            node = node[entry]
    return tuple(path)


def _index(entries: list[Any], piece: str, path: KeyPath, source: str) -> int:
    """Which entry of a list is meant, by index or by name."""
    names = [entry.get("name") for entry in entries if isinstance(entry, dict)]
    if piece in names:
        return next(i for i, entry in enumerate(entries) if isinstance(entry, dict) and entry.get("name") == piece)
    if piece.isdecimal() and len(piece) < 10:
        if int(piece) < len(entries):
            return int(piece)
        raise SpecError(Problem(f"{dotted(path)} has {len(entries)} entries, counted from 0", source))
    advice = nearest(piece, [str(name) for name in names if name is not None])
    raise SpecError(Problem(f"{dotted(path)} has no entry called {piece}; {advice}", source))
