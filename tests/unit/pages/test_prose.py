"""Tables of markdown have captions; code stands on a page only where it is asked for, and closed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbconvert.exporters import get_exporter
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from traitlets.config import Config

from impact.errors import DisclosureError
from impact.pages.report import render

TABLE = "| | Step |\n|---|---|\n| 1 | match |"
HOME = "/home/joe/people.csv"


@pytest.fixture
def notebook() -> Any:
    cells = [
        new_markdown_cell("# Who took part?"),
        new_code_cell("dose = 7", metadata={"tags": ["parameters"]}),
        new_code_cell("dose = 8", metadata={"tags": ["injected-parameters"]}),
        new_markdown_cell("## Preparing"),
        new_code_cell(f"tenants = read('{HOME}')  # a < b && c\n"),
        new_code_cell("hidden()", metadata={"tags": ["remove-input"]}),
        new_code_cell("  "),
    ]
    return new_notebook(cells=cells)


@pytest.mark.parametrize("text", [f"# T\n\n## Steps & sums\n\n{TABLE}", f"# Steps & sums\n\n{TABLE}"])
def test_a_table_in_markdown_has_a_caption_and_scopes(text: str) -> None:
    page = render(new_notebook(cells=[new_markdown_cell(text)]))
    assert page.count("<table>") == page.count("<caption><span>Steps &amp; sums</span></caption>") == 1
    assert '<div class="scroll" role="region" tabindex="0" aria-label="Steps &amp; sums">' in page
    assert '<th scope="col">Step</th>' in page
    assert "<td></td>" in page


def test_a_table_in_its_own_cell_takes_the_heading_above_it() -> None:
    cells = [
        new_markdown_cell("# T\n\n## How it was done"),
        new_markdown_cell(TABLE),
        new_markdown_cell(TABLE),
    ]
    page = render(new_notebook(cells=cells))
    assert page.count("<caption><span>How it was done</span></caption>") == 2
    assert 'aria-label="How it was done (2)"' in page


def test_code_is_left_out_unless_it_is_asked_for(notebook: Any) -> None:
    page = render(notebook)
    assert "tenants" not in page
    assert "Preparing" not in page


def test_code_for_colleagues_is_closed_and_holds_no_parameter_and_no_path(notebook: Any) -> None:
    page = render(notebook, with_code=True)
    assert page.count('<details class="code"><summary>The code of this step</summary>') == 1
    assert "tenants = read('[path removed]')  # a &lt; b &amp;&amp; c</code></pre></details>" in page
    assert "Preparing" in page
    for gone in ("dose", "hidden()", "joe", "<details open"):
        assert gone not in page


def test_nbconvert_keeps_the_code_by_its_option(notebook: Any, tmp_path: Path) -> None:
    nbformat.write(notebook, tmp_path / "cohort.ipynb")
    config = Config({"ImpactHTMLExporter": {"with_code": True}})
    text, _ = get_exporter("impact_html")(config=config).from_filename(str(tmp_path / "cohort.ipynb"))
    assert text == render(tmp_path / "cohort.ipynb", with_code=True)


def test_code_that_names_a_person_is_refused_with_its_cell(notebook: Any) -> None:
    notebook.cells[4].source = "one = people[people.nhs == 9434765919]"
    assert "9434765919" not in render(notebook)
    with pytest.raises(
        DisclosureError, match=r"the code of cell 5 holds an NHS number; remove it"
    ) as refused:
        render(notebook, with_code=True)
    assert "9434765919" not in str(refused.value)
