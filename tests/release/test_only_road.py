"""The only road: whatever a notebook does, what was not released reaches no shared file and no terminal.

One command runs three studies with a notebook that tries every other road there is. What it tries to show are
words that stand in the data and nowhere else, a word for each road, so that a leak names its road. The last
look for names is not what stops them: the words stand in no column that it knows.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import indent
from types import SimpleNamespace
from typing import Any

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell

from impact.errors import DisclosureError
from impact.pages.report import ImpactHTMLExporter
from impact.run.pdf import find_browser

# One run for all, so on one worker.
pytestmark = pytest.mark.xdist_group("kernels")

SETUP = """\
import logging, os, subprocess, sys, warnings
import pandas as pd
from IPython.display import HTML, JSON, SVG, DisplayHandle, Javascript, Latex, Markdown, display
import impact
people = pd.read_csv(data["people"])
word = dict(zip(people.road, people.word))
"""
RELEASED = """\
from impact.results import Summary
arms = people.groupby("arm", as_index=False).agg(persons=("road", "size"))
results = {"arms": Summary(arms, {"shows": "people by arm"}, people=["persons"])}
released = impact.disclosure.release(results, disclosure)
impact.show(released["arms"])
"""
# What a cell does with the word of its road, here `it`; none of it stops the run.
ROADS = {
    "print": "print('3 people of', it)",
    "print to stderr": "print(it, file=sys.stderr)",
    "a progress bar": "for i in range(3): sys.stdout.write(f'\\r{it} {i}/3')",
    "the process's own output": "os.write(1, it.encode() + b'\\n'); os.write(2, it.encode() + b'\\n')",
    "the terminal behind it": "sys.__stdout__.write(it + '\\n'); sys.__stderr__.write(it + '\\n')",
    "another program": "subprocess.run(['echo', it])",
    "a log": "logging.getLogger('mine').error(it)",
    "a warning": "warnings.warn(it)",
    "the value of a cell": "it",
    "a table": "people[people.word == it]",
    "a styled table": "people[people.word == it].style",
    "HTML": "display(HTML(f'<h1>{it}</h1>'))",
    "Markdown": "display(Markdown(f'# {it}'))",
    "LaTeX": "display(Latex(f'${it}$'))",
    "JSON": "display(JSON({'who': it}))",
    "SVG": "display(SVG(f'<svg xmlns=\"http://www.w3.org/2000/svg\"><text>{it}</text></svg>'))",
    "JavaScript": "display(Javascript(f'alert({it!r})'))",
    "a bundle": "display({'text/html': it, 'text/plain': it}, raw=True, metadata={'who': it})",
    "a page by another name": "display({'application/vnd.impact+json;v=1': [it], 'text/html': it}, raw=True)",
    "words beside what was released": "display(impact.show(released['arms']), metadata={'who': it}), it",
    "what was released, replaced": "display(impact.show(released['arms']), display_id=True).update(it)",
    "a figure": "import matplotlib.pyplot as plt; plt.title(it); plt.show(); print(plt.gca().get_title())",
    "a widget": "from comm import create_comm; display({'application/vnd.jupyter.widget-view+json': "
    "{'model_id': it}}, raw=True); c = create_comm(target_name='jupyter.widget', data={'state': {'x': it, "
    "'_model_module': '@jupyter-widgets/base', '_model_name': 'Text'}})",
}
# What stands in the notebook itself, where no reader of its pages looks.
LITERAL = (
    "notebook metadata",
    "cell metadata",
    "a tag",
    "an attachment",
    "a raw cell",
    "a comment",
    "a name",
)
# What ends a run, the last of them by name; their tag lets the kernel go on to the next.
ERRORS = {
    "an error": "raise KeyError(it)",
    "errors one of another": "try: {}[it]\nexcept KeyError as e: raise RuntimeError(it) from e",
    "an error that shows itself": "class Odd(Exception):\n    def _render_traceback_(self): return [it]\n"
    "raise Odd(it)",
    "leaving": "sys.exit(it)",
    "a result that was not released": "print(it); impact.show(Summary(people, {}, people=['word']))",
    "a release that is refused": "print(it); impact.disclosure.release({'a': people}, 'hes')",
    "a released result changed": "r = impact.disclosure.release(results, 'hes')['arms']; print(it); "
    "r.table['arm'] = it; display(impact.show(r))",
    "a figure that says it is ours": "from matplotlib.figure import Figure; f = Figure(); f.text(0, 0, it); "
    "f.impact_source = 'rates', released['arms'], None; print(it); impact.show(f)",
    "an error of ours": "from impact.errors import DataError; raise DataError(it)",
}
FORGED = (
    "mark = 'application/vnd.impact+json'; rows = [{'name': it, 'kind': 'summary', 'table': []}]\n"
    "display({mark: rows, 'text/html': it}, raw=True, metadata={mark: {'role': 'headline', 'text': it}})"
)
WORDS = {
    road: f"quill{i:02}feather" for i, road in enumerate([*ROADS, *LITERAL, *ERRORS, "a mark", "a folder"])
}


def only(title: str, road: str, code: str) -> Any:
    """A cell that does something in the study of that title only."""
    lines = indent(f"it = word[{road!r}]\n{code}", "    ")
    return new_code_cell(f"if title == {title!r}:\n{lines}", metadata={"tags": ["raises-exception"]})


def odd_notebook() -> Any:
    declared = (
        "title = ''\ndata: dict = {}\ndesign: dict = {}\noutcomes: list = []\ndisclosure = 'hes'\nseed = 0"
    )
    cells = [
        new_markdown_cell(f"# Who is in?\n\n<!-- {WORDS['a comment']} -->\n\nTenants.\n\n## People"),
        new_code_cell(declared, metadata={"tags": ["parameters"]}),
        new_code_cell(SETUP, metadata={"tags": [WORDS["a tag"]], "who": WORDS["cell metadata"]}),
        new_code_cell(RELEASED, metadata={"name": WORDS["a name"]}),
        *(new_code_cell(f"it = word[{road!r}]\n{code}") for road, code in ROADS.items()),
        new_raw_cell(WORDS["a raw cell"]),
        new_markdown_cell("Text.", attachments={"a.png": {"text/plain": WORDS["an attachment"]}}),
        *(only("Said", road, code) for road, code in ERRORS.items()),
        only("Forged", "a mark", FORGED),
    ]
    return new_notebook(cells=cells, metadata={"title": WORDS["notebook metadata"], "who": "quill"})


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A project in which the command has run the notebook once for each way to end, with code and as PDF."""
    root = tmp_path_factory.mktemp("road")
    data = tmp_path_factory.mktemp("outside") / WORDS["a folder"]
    for folder in (root / "params", root / "notebooks", data):
        folder.mkdir()
    people = pd.DataFrame({"road": [*WORDS, *["none"] * 200], "word": [*WORDS.values(), *["calm"] * 200]})
    people["person_id"] = [f"P{i:05}" for i in people.index]
    people["arm"] = ["support" if i % 3 else "usual" for i in people.index]
    people.to_csv(data / "people.csv", index=False)
    (data / "contacts.csv").write_text("person_id,service,start\nP00000,ae,2024-03-14\n")
    nbformat.write(odd_notebook(), root / "notebooks/cohort.ipynb")
    titles = {"shown": "Tried", "forged": "Forged", "said": "Said"}
    for name, title in titles.items():
        (root / f"params/{name}.yaml").write_text(
            f"title: {title}\ndata: {{people: {data}/people.csv, contacts: {data}/contacts.csv}}\n"
            "design: {treated: [support], control: [usual]}\noutcomes: [ae]\n"
        )
    files = [f"params/{name}.yaml" for name in titles]
    command = [sys.executable, "-c", "from impact.cli import main; main()", "run", "--with-code", "--pdf"]
    done = subprocess.run([*command, *files], capture_output=True, text=True, cwd=root, check=False)
    assert (root / "outputs/shown/share").is_dir(), done.stderr
    return SimpleNamespace(
        done=done, outputs=root / "outputs", shared=everything(root / "outputs/shown/share")
    )


def everything(folder: Path) -> str:
    """All that can be read in a folder: names, texts, and the words of PDFs if they can be read here."""
    told = []
    for file in sorted(folder.rglob("*")):
        told.append(str(file.relative_to(folder)))
        if file.suffix == ".pdf" and shutil.which("pdftotext"):
            read = subprocess.run(["pdftotext", file, "-"], capture_output=True, text=True, check=True)
            told.append(read.stdout)
        elif file.is_file():
            told.append(file.read_text("utf-8", errors="replace"))
    return "\n".join(told)


@pytest.mark.parametrize("road", [*ROADS, *LITERAL, *ERRORS, "a mark"])
def test_a_road_ends_in_the_private_folder(tried: SimpleNamespace, road: str) -> None:
    # It was tried: what it shows is there, for whoever made it.
    study = (
        "said/private/failed" if road in ERRORS else "forged/private" if road == "a mark" else "shown/private"
    )
    assert WORDS[road] in everything(tried.outputs / study)
    assert WORDS[road] not in tried.shared
    assert WORDS[road] not in tried.done.stdout + tried.done.stderr


def test_what_was_released_and_the_code_are_there(tried: SimpleNamespace) -> None:
    page = (tried.outputs / "shown/share/cohort.html").read_text()
    usual = len(range(0, len(WORDS) + 200, 3))
    rounded = [round(n / 5) * 5 for n in (usual, len(WORDS) + 200 - usual)]
    assert [str(n) in page for n in rounded] == [True, True]
    assert page.count('<details class="code">') == 2 + len(ROADS) + len(ERRORS) + 1
    assert "word = dict(zip(people.road, people.word))" in page
    # Parameters stay behind all the same: they name files.
    assert "people.csv" not in page
    # The one picture drawn was not released.
    assert "<img" not in page
    assert "# Parameters" in (tried.outputs / "shown/private/cohort.ipynb").read_text()


def test_no_file_is_shared_that_a_report_does_not_have(tried: SimpleNamespace) -> None:
    share = tried.outputs / "shown/share"
    files = {file.relative_to(share).as_posix() for file in share.rglob("*") if file.is_file()}
    tables = {"tables/cohort-arms.csv"}
    tables |= {f"logs/{name}.md" for name in ("assumptions-caveats", "data-log", "qa-log")}
    assert (
        files - {"cohort.pdf"}
        == {"cohort.html", "index.html", "manifest.json", "results.csv", "results.json"} | tables
    )
    results_ = json.loads((share / "results.json").read_text())["results"]
    assert [item["name"] for item in results_["cohort"]] == ["arms"]
    manifest = json.loads((share / "manifest.json").read_text())
    assert manifest["parameters"]["data"]["people"] == manifest["inputs"][0]["file"] == "people.csv"
    assert WORDS["a folder"] not in tried.shared


@pytest.mark.browser
def test_the_pdf_says_what_its_page_says(tried: SimpleNamespace) -> None:
    if not find_browser():
        pytest.skip("no Chromium found: install one, or name it in IMPACT_CHROMIUM")
    file = tried.outputs / "shown/share/cohort.pdf"
    raw = file.read_bytes()
    assert raw.startswith(b"%PDF-")
    assert b"/StructTreeRoot" in raw
    assert 'href="cohort.pdf"' in (tried.outputs / "shown/share/index.html").read_text()
    for private in (str(tried.outputs), str(Path.home()), "file://"):
        assert private.encode() not in raw
    if shutil.which("pdftotext"):
        read = subprocess.run(["pdftotext", "-layout", file, "-"], capture_output=True, text=True, check=True)
        assert "Who is in?" in read.stdout
        assert "People by arm" in read.stdout


@pytest.mark.parametrize(
    ("study", "said"),
    [
        (
            "forged",
            "cohort, cell {} has an output that is marked as released, and impact.show did not make it here",
        ),
        ("said", "cohort: cell {} stopped with DataError."),
    ],
)
def test_a_run_that_ends_shares_nothing_and_repeats_no_word(
    tried: SimpleNamespace, study: str, said: str
) -> None:
    assert tried.done.returncode == 5
    pattern = re.escape(f"{study}: {said}").replace(re.escape("{}"), r"\d+")
    assert re.search(f"^{pattern}", tried.done.stderr, re.MULTILINE), tried.done.stderr
    assert not (tried.outputs / study / "share").exists()
    assert "quill" not in tried.done.stdout + tried.done.stderr
    assert "Traceback" not in tried.done.stdout + tried.done.stderr


@pytest.mark.parametrize("study", ["shown", "forged", "said"])
def test_nbconvert_and_jupyterlab_are_the_same_road(
    tried: SimpleNamespace, study: str, tmp_path: Path
) -> None:
    private = tried.outputs / study / "private"
    notebook = (private if study == "shown" else private / "failed") / "cohort.ipynb"
    exporter = ImpactHTMLExporter(with_code=True)
    if study == "forged":
        with pytest.raises(DisclosureError, match=r"^cell \d+ has an output that is marked as released"):
            exporter.from_filename(str(notebook))
        return
    page, _ = exporter.from_filename(str(notebook))
    assert "quill" not in page
    assert "People by arm" in page
