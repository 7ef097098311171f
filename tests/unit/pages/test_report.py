from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest
from nbconvert.exporters import get_exporter
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from traitlets.config import Config

from impact import pages
from impact.disclosure import NOTICE, Released, release
from impact.pages import report, words
from impact.pages.signed import MIME, signed
from impact.results import Summary


def shown(thing: Any) -> Any:
    data, metadata = pages.show(thing)._repr_mimebundle_()
    return new_output("display_data", data=data, metadata=metadata)


def cells(*outputs: Any, source: str = "x = 1") -> Any:
    return new_code_cell(source, outputs=list(outputs))


@pytest.fixture
def notebook(people: Released) -> Any:
    """A notebook as papermill leaves it: paths, parameters, noise, a traceback, and one released table."""
    home = "/home/joe/secret/people.csv"
    nb = new_notebook(
        cells=[
            new_markdown_cell("# Who took part?\n\nSee [how](matching.ipynb#how), from " + home),
            new_code_cell(f"data = {{'people': '{home}'}}", metadata={"tags": ["injected-parameters"]}),
            new_markdown_cell("## Nothing to see\n\nThis section makes a table and shows none."),
            cells(new_output("stream", name="stderr", text=f"warning in {home}")),
            new_markdown_cell("## People"),
            cells(
                shown(people),
                new_output("display_data", data={"image/png": "aGVsbG8=", "text/plain": "<Figure>"}),
                new_output("execute_result", data={"text/html": "<table><td>9434765919</td></table>"}),
                source="released['people']",
            ),
            new_markdown_cell("## What was meant\n\nText alone stays."),
        ]
    )
    nb.metadata["papermill"] = {
        "input_path": home,
        "end_time": "2026-11-21T10:00:00",
        "parameters": {"a": home},
    }
    return nb


def test_only_text_and_released_results_are_kept(notebook: Any) -> None:
    page = report.render(notebook)
    assert "People by tenure" in page
    assert "Text alone stays." in page
    for gone in ("secret", "joe", "9434765919", "aGVsbG8=", "injected", "x = 1", "released[", "warning in"):
        assert gone not in page


def test_a_section_that_shows_nothing_is_left_out(notebook: Any) -> None:
    page = report.render(notebook)
    assert "Nothing to see" not in page
    assert "shows none" not in page


def test_a_subsection_with_a_result_keeps_its_section(people: Released) -> None:
    nb = new_notebook(
        cells=[
            new_markdown_cell("# T\n## Outer"),
            cells(),
            new_markdown_cell("### Inner"),
            cells(shown(people)),
            new_markdown_cell("### Empty"),
            cells(),
        ]
    )
    page = report.render(nb)
    assert "Outer" in page
    assert "Inner" in page
    assert "Empty" not in page


def test_a_traceback_becomes_one_sentence(notebook: Any) -> None:
    error = new_output(
        "error", ename="KeyError", evalue="9434765919", traceback=["/home/joe/x.py line 3", "KeyError"]
    )
    notebook.cells.insert(5, cells(error))
    page = report.render(notebook)
    assert page.count("The private log says why") == 2
    assert "KeyError" not in page
    assert "9434765919" not in page


def test_the_page_is_one_strict_file(notebook: Any) -> None:
    page = report.render(notebook, kicker="Northtown <i>")
    assert "<title>Who took part? – Northtown &lt;i&gt;</title>" in page
    assert page.count("<h1>") == 1
    assert '<html lang="en-GB">' in page
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert "unsafe-inline" not in page
    assert "<script" not in page
    assert "Counts of 1 to 7 people or events are not shown" in page
    assert NOTICE in page
    assert '<time datetime="2026-11-21">21 November 2026</time>' in page
    assert 'href="matching.html#how"' in page


@pytest.mark.parametrize(
    "attack",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "![x](https://example.org/track.png)",
        "<iframe src='https://example.org'></iframe>",
        "<style>body{display:none}</style>",
        "[x](file:///etc/passwd)",
        "[x](data:text/html,hello)",
    ],
)
def test_markdown_cannot_bring_in_anything_live(attack: str) -> None:
    page = report.render(new_notebook(cells=[new_markdown_cell(f"# T {attack}\n\nText {attack} text")]))
    body = page.split("</style>")[1]
    for live in (
        "<script",
        "<img",
        "<iframe",
        "<style",
        'href="javascript',
        'href="file',
        'href="data',
    ):
        assert live not in body.replace("&lt;", "")


def test_what_is_signed_is_cleaned_all_the_same(people: Released) -> None:
    output = shown(people)
    output["data"]["text/html"] = '<p onclick="x()">A</p><script>alert(1)</script><img src="http://x/y.png">'
    output["metadata"][MIME] = signed(output["data"], {})
    body = report.render(new_notebook(cells=[cells(output)])).split("</style>")[1]
    assert "<p>A</p>" in body
    for live in ("<script", "onclick", "<img"):
        assert live not in body


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("C:\\Users\\joe\\people.csv", False),
        ("file:///srv/x/people.csv", False),
        ("in /mnt/share/a/people.csv today", False),
        ("2023/24 and/or 3/4", True),
        ("https://example.org/home/page", True),
    ],
)
def test_paths_go_and_fractions_and_addresses_stay(text: str, kept: bool) -> None:
    page = report.render(new_notebook(cells=[new_markdown_cell(f"# T\n\n{text}")]))
    assert (text in page) is kept
    assert ("[path removed]" in page) is not kept


def test_headings_skip_no_level_and_have_their_own_anchor() -> None:
    page = report.render(
        new_notebook(cells=[new_markdown_cell("# T\n#### Deep\n# Second\n## Deep\n### Deep")])
    )
    assert '<h2 id="deep">Deep</h2>' in page
    assert '<h2 id="second">Second</h2>' in page
    assert '<h2 id="deep-2">Deep</h2>' in page
    assert '<h3 id="deep-3">Deep</h3>' in page


def test_regions_of_one_name_are_numbered(people: Released) -> None:
    page = report.render(new_notebook(cells=[cells(shown(people), shown(people))]))
    assert 'aria-label="People by tenure"' in page
    assert 'aria-label="People by tenure (2)"' in page


def test_a_cell_with_the_tag_remove_cell_stays_behind() -> None:
    private = new_markdown_cell("For the analyst only.", metadata={"tags": ["remove-cell"]})
    assert "analyst only" not in report.render(new_notebook(cells=[private]))


def test_index_lists_pages_and_says_what_did_not_run(effects: Callable[..., Released]) -> None:
    headline = words.headline(effects({"ae": (-58.0, 22.0, -0.18, 0.07)}))
    nb = new_notebook(cells=[new_markdown_cell("# What changed"), cells(shown(headline))])
    found = report.entry(nb, href="did.html")
    assert found.title == "What changed"
    page = report.index(
        title="Northtown",
        pages=[found],
        skipped=[("matching", "The parameter file has no matching section.")],
        files=[("All numbers (CSV)", "results.csv")],
    )
    assert '<a href="did.html">What changed</a>' in page
    assert "about 58 fewer A&amp;E attendances" in page
    assert "no matching section" in page
    assert '<a href="results.csv">' in page
    assert NOTICE in page


def test_harvest_gives_each_released_result_once(notebook: Any, people: Released) -> None:
    notebook.cells.append(cells(shown(people)))
    found = report.harvest(notebook)
    assert [(item["name"], item["kind"]) for item in found] == [("people", "summary")]


def test_nbconvert_gives_the_same_page(notebook: Any, tmp_path: Path) -> None:
    path = tmp_path / "cohort.ipynb"
    nbformat.write(notebook, path)
    exporter = get_exporter("impact.pages.report.ImpactHTMLExporter")()
    text, resources = exporter.from_filename(str(path))
    assert text == report.render(path)
    assert resources["output_extension"] == ".html"
    assert exporter.export_from_notebook == "Impact report (HTML)"


def test_a_notebook_that_was_not_run_says_so(notebook: Any) -> None:
    fresh = new_notebook(cells=[new_markdown_cell("# T"), new_code_cell("x = 1")])
    assert "This notebook has not been run yet, so there is nothing to show." in report.render(fresh)
    fresh.cells[1].execution_count = 1
    assert "not been run" not in report.render(fresh)
    assert "not been run" not in report.render(notebook)


def test_nbconvert_executes_a_notebook(tmp_path: Path) -> None:
    show = "import impact\nimpact.show(impact.pages.remarks(['Six times seven is ' + str(6 * 7) + '.']))"
    fresh = new_notebook(cells=[new_markdown_cell("# T"), new_code_cell(show)])
    fresh.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = tmp_path / "fresh.ipynb"
    nbformat.write(fresh, path)
    config = Config({"ExecutePreprocessor": {"enabled": True}})  # what --execute sets
    text, _ = report.ImpactHTMLExporter(config=config).from_filename(str(path))
    assert "<p>Six times seven is 42.</p></aside>" in text


def test_remarks_stand_on_the_page_and_once_in_the_index(effects: Callable[..., Released]) -> None:
    headline = words.headline(effects({"ae": (-58.0, 22.0, -0.18, 0.07)}))
    box = pages.remarks(["Families are not known.", "Starts are pretend."])
    nb = new_notebook(cells=[new_markdown_cell("# T"), cells(shown(pages.show(headline, box)))])
    assert report.render(nb).count("<p>Families are not known.</p>") == 1
    found = report.entry(nb, href="did.html")
    assert found.remarks == ["Families are not known.", "Starts are pretend."]
    page = report.index(title="N", pages=[found, report.entry(nb, href="findings.html")])
    assert page.count("<p>Families are not known.</p>") == 1


def test_no_remarks_leave_an_empty_section_out() -> None:
    nb = new_notebook(cells=[new_markdown_cell("# T\n## Remarks"), cells(shown(pages.remarks([])))])
    assert "Remarks" not in report.render(nb)


def test_the_index_says_who_is_in_the_study_and_names_the_files() -> None:
    steps = [("in the file", "", 1300), ("in the study", "treated", 280), ("in the study", "control", 1015)]
    table = pd.DataFrame(steps, columns=["stage", "rule", "persons"])
    flow = Summary(table, {"shows": "who is in the study"}, people=["persons"])
    nb = new_notebook(
        cells=[new_markdown_cell("# Who is in"), cells(shown(release({"flow": flow}, "hes")["flow"]))]
    )
    found = report.entry(nb, href="cohort.html")
    assert found.headline == "280 with support and 1,015 without it are described."
    files = [("Table cohort, flow (CSV)", "tables/cohort-flow.csv"), ("All effects (CSV)", "results.csv")]
    page = report.index(title="N", pages=[found], files=files)
    assert '<a href="tables/cohort-flow.csv">Who is in: who is in, and who was left out (CSV)</a>' in page
    assert '<a href="results.csv">All effects (CSV)</a>' in page
    assert "<details><summary>All 2 files</summary>" in page
