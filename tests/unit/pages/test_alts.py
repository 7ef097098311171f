"""Pictures that say nothing are refused, and the error names their place and not their words."""

from __future__ import annotations

from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from impact.errors import DisclosureError
from impact.pages.alts import fault
from impact.pages.report import ImpactHTMLExporter, render
from impact.pages.signed import MIME, signed

PNG = "data:image/png;base64,aGVsbG8="


def notebook(*images: str) -> Any:
    data = {MIME: [], "text/html": "".join(images)}
    output = new_output("display_data", data=data, metadata={MIME: signed(data, {})})
    cells = [new_markdown_cell("# T\n\n## Over time"), new_code_cell("show()", outputs=[output])]
    return new_notebook(cells=cells)


@pytest.mark.parametrize(
    ("alt", "wrong"),
    [
        ("", "nothing"),
        (" \n", "nothing"),
        (None, "nothing"),
        ("Image", "a placeholder"),
        ("Figure 12", "a placeholder"),
        ("the plot.", "a placeholder"),
        ("<Figure size 640x480 with 1 Axes>", "a placeholder"),
        ("No description has been provided for this image", "a placeholder"),
        ("forest-2.png", "the name of a file"),
        ("/home/joe/forest.SVG", "the name of a file"),
        ("Effects on all services", "too few words and no number"),
        ("Image of a fall by 41 in A&E", ""),
        ("Too few people or events to show any estimate in this study.", ""),
    ],
)
def test_words_that_describe_nothing_are_known(alt: str | None, wrong: str) -> None:
    assert fault(alt) == wrong


def test_a_page_with_such_pictures_is_refused_with_the_place_of_each() -> None:
    good = f'<img src="{PNG}" alt="A&amp;E attendances -41, 95% range -92 to +10.">'
    bad = notebook(good, f'<img src="{PNG}">', f'<img alt="9434765919.png" src="{PNG}">')
    assert "<img" in render(notebook(good))
    with pytest.raises(DisclosureError) as refused:
        render(bad)
    first, second = str(refused.value).splitlines()
    assert first.startswith("picture 2 of the page, under 'Over time', has nothing for its alternative text;")
    assert second.startswith("picture 3 of the page, under 'Over time', has the name of a file for its")
    assert "9434765919" not in str(refused.value)


def test_nbconvert_refuses_such_a_page_too(tmp_path: Any) -> None:
    nbformat.write(notebook(f'<img src="{PNG}" alt="chart">'), tmp_path / "x.ipynb")
    with pytest.raises(DisclosureError, match="a placeholder"):
        ImpactHTMLExporter().from_filename(str(tmp_path / "x.ipynb"))
