"""The house stands: imports run downwards only, heavy libraries live in their room, importing infersim is light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "infersim"
FILES = sorted(PACKAGE.rglob("*.py"))

LEVEL = {"dataplane": 0, "spec": 0, "cost": 1, "workload": 2, "policies": 3, "controlplane": 4, "results": 5,
         "staging": 6, "assembly": 7, "simulate": 8, "studies": 9, "cli": 10, "__init__": 11, "__main__": 11}  # fmt: skip
"""A room may import itself and rooms with a lower number (DESIGN.md, The rooms)."""

ONLY_IN = {
    "simpy": {"controlplane"},
    "yaml": {"spec"},
    "pydantic": {"spec"},
    "pandas": {"results", "studies"},
    "matplotlib": {"results", "studies"},
    "typer": {"cli"},
}


def room(file: Path) -> str:
    """The first part of a file's path below the package: a folder's name, or a module's."""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(file: Path) -> list[tuple[int, str]]:
    """(line, dotted name) of every import in a file, those inside functions included; not of others' types."""
    tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    typing_only = {
        inner
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.dump(branch.test)
        for inner in ast.walk(branch)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: relative import; write the whole name"
            names = [f"{node.module}.{name.name}" for name in node.names]
        else:
            continue
        found += [(node.lineno, name) for name in names if node not in typing_only or name.startswith("infersim")]
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_run_downwards(file: Path) -> None:
    here = room(file)
    for line, name in imports(file):
        parts = name.split(".")
        where = f"{file.relative_to(ROOT)}:{line}: {name}"
        if parts[0] == "infersim":
            assert here != "dataplane" or parts[1] == "dataplane", (
                f"{where}: the data plane imports nothing of infersim"
            )
            if parts[1] == "__version__":
                continue
            assert parts[1] in LEVEL, f"{where}: no such room"
            assert parts[1] == here or LEVEL[parts[1]] < LEVEL[here], f"{where}: {here} may not import {parts[1]}"
        elif parts[0] in ONLY_IN:
            assert here in ONLY_IN[parts[0]], f"{where}: {parts[0]} belongs in {sorted(ONLY_IN[parts[0]])}"


def test_every_room_is_known() -> None:
    assert {room(file) for file in FILES} <= set(LEVEL)


@pytest.mark.parametrize("statement", ["import infersim", "import infersim.cli.app"])
def test_importing_is_light(statement: str) -> None:
    heavy = ("numba", "pandas", "matplotlib", "pyarrow", "simpy", "scipy", "joblib", "yaml", "pydantic")
    code = f"{statement}\nimport sys\nprint(*[name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []
