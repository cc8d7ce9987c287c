"""The notebooks: each is paired with a text, holds no outputs, opens with its question, and needs neither checkout nor network.

nbmake runs them from start to end: pytest notebooks
"""

import re
from pathlib import Path

import jupytext
import nbformat
import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
TEXTS = sorted(FOLDER.glob("*.py"))


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
def test_a_notebook_is_its_text(text: Path) -> None:
    """After an edit: jupytext --sync notebooks/*.py"""
    script, notebook = jupytext.read(text), nbformat.read(text.with_suffix(".ipynb"), as_version=4)
    assert [(cell.cell_type, cell.source) for cell in notebook.cells] == [
        (cell.cell_type, cell.source) for cell in script.cells
    ]
    assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
def test_a_notebook_opens_with_a_question_and_ends_with_what_to_try(text: Path) -> None:
    cells = jupytext.read(text).cells
    assert cells[0].source.startswith(f"# {text.stem[:2]} ")
    assert re.search(r"\*\*[^*]*\?\*\*", cells[0].source)
    assert "**Try next**" in cells[-1].source


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
def test_a_notebook_works_anywhere(text: Path) -> None:
    """It imports what an installed infersim has, and reads and writes nothing beside itself."""
    code = "\n".join(cell.source for cell in jupytext.read(text).cells if cell.cell_type == "code")
    assert not re.search(r"\.\./|/work|https?://|INFERSIM_|\bscenarios/|hardware_profiles", code)
    imported = set(re.findall(r"^(?:from|import) (\w+)", code, re.MULTILINE))
    installed = {"infersim", "duckdb", "matplotlib", "numpy", "pandas"}
    assert imported <= installed | {"json", "tempfile", "dataclasses", "pathlib"}


def test_there_are_eight() -> None:
    assert [path.stem[:2] for path in TEXTS] == [f"0{number}" for number in range(1, 9)]
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == {path.stem for path in TEXTS}
