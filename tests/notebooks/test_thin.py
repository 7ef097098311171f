"""The notebooks are thin: they call the package, say what each step means, and hold no output."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from impact.run.plan import NOTEBOOKS
from impact.study import Study

ROOT = Path(__file__).parents[2]
PAGES = {name: nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4) for name in NOTEBOOKS}
FORBIDDEN = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Lambda,
    ast.For,
    ast.While,
    ast.If,
    ast.Try,
    ast.With,
    ast.comprehension,
    ast.ImportFrom,
)

each = pytest.mark.parametrize("notebook", PAGES.values(), ids=PAGES.keys())


def is_parameters(cell: Any) -> bool:
    return "parameters" in cell.metadata.get("tags", [])


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code" and not is_parameters(cell)]


def test_the_notebooks_are_these() -> None:
    assert {p.stem for p in (ROOT / "notebooks").glob("*.ipynb")} == set(NOTEBOOKS)


@each
def test_it_imports_impact_alone_and_defines_repeats_and_catches_nothing(notebook: Any) -> None:
    imported = []
    for cell in code_cells(notebook):
        assert not re.search(r"\b(select|from|join)\b.+\b(from|where|on)\b", cell.source, re.IGNORECASE)
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, FORBIDDEN), cell.source
            if isinstance(node, ast.Import):
                imported += [name.name for name in node.names]
    assert imported == ["impact"]


@each
def test_it_has_at_most_14_cells_of_at_most_6_lines(notebook: Any) -> None:
    cells = code_cells(notebook)
    assert len(cells) <= 14
    assert max(len(cell.source.splitlines()) for cell in cells) <= 6


@each
def test_a_sentence_of_meaning_stands_before_each_cell(notebook: Any) -> None:
    for before, cell in zip(notebook.cells, notebook.cells[1:], strict=False):
        if cell.cell_type == "code":
            assert before.cell_type == "markdown"
            assert before.source.strip()
    assert notebook.cells[0].source.startswith("# ")


@each
def test_it_is_committed_without_outputs(notebook: Any) -> None:
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}


@each
def test_the_parameters_cell_declares_each_section_and_holds_the_demos_values(notebook: Any) -> None:
    (cell,) = [cell for cell in notebook.cells if is_parameters(cell)]
    found: dict[str, Any] = {}
    for node in ast.parse(cell.source).body:
        # papermill knows a parameter by a plain type and a comment after it, and by no other annotation.
        assert isinstance(node, ast.AnnAssign)
        assert isinstance(node.annotation, ast.Name), ast.unparse(node)
        assert isinstance(node.target, ast.Name)
        assert "#" in cell.source.splitlines()[node.lineno - 1]
        assert node.value is not None
        found[node.target.id] = ast.literal_eval(node.value)
    assert set(found) == set(Study.model_fields)
    assert Study(**found).parameters == Study.read(ROOT / "params/demo.yaml").parameters


@each
def test_the_next_cell_makes_the_study_of_all_sections(notebook: Any) -> None:
    first = code_cells(notebook)[0].source
    (call,) = [
        node
        for node in ast.walk(ast.parse(first))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "impact.Study"
    ]
    assert {(k.arg, ast.unparse(k.value)) for k in call.keywords} == {(n, n) for n in Study.model_fields}
