"""What stands at the top of a page and in the list of pages: whose study, which question, which evidence."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import nbformat
import pytest

from impact import pages
from impact.disclosure import Released
from impact.errors import DisclosureError
from impact.pages import report, services, words

Make = Callable[..., Released]


def notebook(*shown: pages.Shown) -> Any:
    cells = [nbformat.v4.new_markdown_cell("# Did support help?\n\n## The answer")]
    for thing in shown:
        data, said = thing._repr_mimebundle_()
        output = nbformat.v4.new_output("display_data", data=data, metadata=said)
        cells.append(nbformat.v4.new_code_cell("", outputs=[output]))
    return nbformat.v4.new_notebook(cells=cells, metadata={"papermill": {"end_time": "2026-11-23T05:00"}})


def test_the_studys_own_question_is_the_title_and_stands_there_as_text(effects: Make) -> None:
    asked = pages.masthead("Northtown", "data of 2024", question="Did <b>free care</b> help?")
    nb = notebook(asked, pages.show(words.headline(effects({"ae": (-58.0, 22.0, -0.18, 0.07)}))))
    page = report.render(nb)
    assert "<h1>Did &lt;b&gt;free care&lt;/b&gt; help?</h1>" in page
    assert "Did support help?" not in page
    assert report.entry(nb, href="findings.html").title == "Did <b>free care</b> help?"
    kicker = re.search(r'<p class="kicker">(.*?)</p>', page)
    assert kicker is not None
    assert re.sub("<.*?>", "", kicker[1]) == "Northtown · data of 2024 · report of 23 November 2026"
    assert "<h1>Did support help?</h1>" in report.render(notebook(pages.masthead("Northtown")))


def test_a_question_that_names_a_person_is_refused() -> None:
    with pytest.raises(DisclosureError, match="masthead: it holds an NHS number"):
        pages.masthead("Northtown", question="Did it help 943 476 5919?")


@pytest.mark.parametrize(
    ("effect", "options", "word"),
    [
        ((-58.0, 22.0, -0.18, 0.07), {}, "Moderate evidence"),
        ((62.0, 22.0, 0.19, 0.07), {"clusters": 8}, "Weak evidence"),
        ((-8.0, 22.0, -0.02, 0.07), {}, "Inconclusive"),
        ((-58.0, 22.0, -0.18, 0.07), {"events": 4}, "Too few to say"),
    ],
)
def test_the_list_of_pages_has_the_word_for_the_evidence(
    effects: Make, effect: object, options: dict[str, int], word: str
) -> None:
    nb = notebook(pages.show(words.headline(effects({"ae": effect}, **options))))
    page = report.index(title="Northtown", pages=[report.entry(nb, href="findings.html")])
    assert f"</span> <b>{word}</b>" in page
    without = report.index(title="Northtown", pages=[report.Entry("Who is in it", "cohort.html")])
    assert 'class="sure"' not in without


def test_the_charts_numbers_stand_apart_without_terms_of_the_method(effects: Make) -> None:
    made = effects({"ae": (-58.0, 22.0, -0.18, 0.07), "gp": (5.0, 22.0, 0.02, 0.07)})
    chart, table = pages.show(services.services(made), numbers=False), services.numbers(made)
    assert "<table" not in chart.html
    assert "A&amp;E attendances −58, 95% range −10" in chart.html
    assert '−58</span> <span class="range">(−10' in table.html
    assert "two_by_two" not in table.html + table.text
    assert "two by two" in pages.show(made).html
