"""The files of real runs, opened one by one: nothing in them is about one person, and nothing harms them."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest

from impact.disclosure import NOTICE
from impact.disclosure.policies import policy
from impact.pages.report import ImpactHTMLExporter
from impact.study import Study

from .shareable import assert_shareable

ROOT = Path(__file__).parents[2]
HTML = "<script>alert(1)</script>"
MAIN = [sys.executable, "-c", "from impact.cli import main; main()"]
DATES = (
    "offer_date",
    "start_date",
    "withdrew",
    "tenancy_start",
    "tenancy_end",
    "moved_out",
    "died",
    "start",
    "end",
)

# Every way a cell can put people on a page without releasing them.
PLANTED = (
    "tenants.people.head()",
    "print(study.source, __import__('os').getcwd(), '/home/ann/people.csv')",
    "print(tenants.people.head(3).to_string())",
    "import warnings; warnings.warn(tenants.people.person_id[1])",
    "from IPython.display import HTML, Markdown, display; display(HTML(tenants.people.head().to_html()))",
    "display(Markdown(f'# {tenants.people.person_id[0]}'), raw=False)",
    "display({'text/html': tenants.people.head().to_html()}, raw=True, metadata={'x': str(study.source)})",
    "%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.text(0, 0, tenants.people.person_id[0])",
)
# And the ways that stop a run; their tag lets the kernel go on to the next.
STOPPING = (
    "import pandas as pd, impact; people = pd.read_csv('data/people.csv')",
    "impact.show(people.head())",
    "impact.disclosure.release({'people': people.head()}, 'hes')",
    "raise KeyError(f'{people.person_id[0]} of {people.building_id[0]} died {people.died.dropna().iloc[0]}')",
)


def secrets(data: Path) -> dict[str, Any]:
    """Everything in the private inputs that stands for one person, home, worker, record or day."""
    people, contacts = pd.read_csv(data / "people.csv"), pd.read_csv(data / "contacts.csv")
    named = ("building_id", "household_id", "officer_id")
    days = [table[c].dropna() for table in (people, contacts) for c in DATES if c in table]
    return {
        "person_ids": people["person_id"],
        "building_ids": {*contacts["record_id"], *(v for c in named for v in people[c].dropna())},
        "dates": pd.concat(days).unique(),
    }


def read(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_demonstration_shares_nothing_about_one_person(demo_project: Path, demo: Path) -> None:
    share = demo_project / "outputs/demo/share"
    assert assert_shareable(share, **secrets(demo)) >= 20
    assert len(list((share / "tables").glob("*.csv"))) >= 15
    told = "\n".join(p.read_text() for p in share.rglob("*") if p.is_file())
    for private in (str(demo_project), str(demo), str(ROOT), str(Path.home())):
        assert private not in told


def test_every_page_and_the_manifest_say_what_remains_to_be_done(demo_project: Path) -> None:
    share = demo_project / "outputs/demo/share"
    assert "has it checked first" in NOTICE
    pages = sorted(share.glob("*.html"))
    assert len(pages) == 6
    assert [page.name for page in pages if NOTICE not in page.read_text()] == []
    manifest = json.loads((share / "manifest.json").read_text())
    assert manifest["disclosure"] == {"policy": "hes", "title": policy("hes").title, "note": NOTICE}
    assert json.loads((share / "results.json").read_text())["note"] == NOTICE
    assert {key for entry in manifest["inputs"] for key in entry} == {"table", "file", "bytes", "sha256"}


def test_no_number_that_counts_is_under_the_threshold_or_unrounded(demo_project: Path) -> None:
    share = demo_project / "outputs/demo/share"
    results = json.loads((share / "results.json").read_text())["results"]
    rows = [row for items in results.values() for item in items for row in item["table"]]
    for table in (share / "tables").glob("*.csv"):
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows += list(csv.DictReader(file))
    # Events of hundreds of people and the people themselves; everything else is an estimate or a label.
    counted = [
        (name, float(value))
        for row in rows
        for name, value in row.items()
        if name.split("_")[-1] in ("persons", "events", "treated", "count", "died", "all", "ess")
        and not name.startswith("mean")
        and value not in ("", None, "*")
    ]
    assert len(counted) > 300
    assert [pair for pair in counted if 0 < pair[1] < 8 or pair[1] % 5] == []


def test_no_mean_is_the_exact_fraction_whose_denominator_was_rounded(demo_project: Path) -> None:
    tables = demo_project / "outputs/demo/share/tables"
    baseline, balance = (pd.read_csv(tables / f"{n}.csv") for n in ("cohort-baseline", "matching-balance"))
    sizes = {"supported": 280, "control": 715}
    assert baseline.loc[0, ["supported_persons", "control_persons"]].tolist() == list(sizes.values())
    for arm, n in sizes.items():
        means = [*baseline[f"{arm}_mean"].dropna()]
        before = balance[balance["sample"] == "before"]
        name = f"mean_{'treated' if arm == 'supported' else arm}"
        means += [*before.loc[before["level"].isna(), name].dropna()]
        assert len(means) > 10
        # Steps are no finer than one person's part of a mean.
        steps = 200 if n == 280 else 500
        assert [m for m in means if abs(m * steps - round(m * steps)) > 1e-6] == []
        shares = before.loc[before["level"].notna(), name].dropna()
        assert len(shares)
        assert [s for s in shares if abs(s * n / 5 - round(s * n / 5)) > 1e-6] == []


def cells(*code: str, tag: str = "raises-exception") -> list[Any]:
    return [nbformat.v4.new_code_cell(source, metadata={"tags": [tag]}) for source in code]


def stub(root: Path, name: str, *code: str) -> None:
    """A notebook that only declares the parameters, and runs ``code``."""
    declared = cells("\n".join(f"{section} = None" for section in Study.model_fields), tag="parameters")
    made = [nbformat.v4.new_markdown_cell(f"# {name}"), *declared, *cells(*code)]
    nbformat.write(nbformat.v4.new_notebook(cells=made), root / f"notebooks/{name}.ipynb")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory, demo: Path) -> Path:
    """A project whose first notebook is the real one with every planted cell, run by the command.

    Its data have an arm and a kind of tenure whose labels are HTML, and a column that looks like a formula.
    """
    root = tmp_path_factory.mktemp("planted")
    for folder in ("params", "notebooks", "data"):
        (root / folder).mkdir()
    for name in ("contacts.csv", "coverage.csv", "survey.csv"):
        (root / "data" / name).symlink_to(demo / name)
    people = pd.read_csv(demo / "people.csv").rename(columns={"tenure": "=1+1"})
    people["arm"] = people["arm"].replace("pool", HTML)
    people["=1+1"] = people["=1+1"].replace("sheltered", "=2+2 <b onclick='x()'>")
    people.to_csv(root / "data/people.csv", index=False)
    study = (
        (ROOT / "params/demo.yaml").read_text().replace(" pool]", f" '{HTML}']").replace("[age,", "['=1+1',")
    )
    before, _, after = study.partition("did:\n")
    (root / "params/demo.yaml").write_text(before + after[after.index("matching:") :])
    notebook = nbformat.read(ROOT / "notebooks/cohort.ipynb", as_version=4)
    at = next(i for i, cell in enumerate(notebook.cells) if "impact.read(" in cell.source) + 1
    notebook.cells[at:at] = cells(*PLANTED)
    nbformat.write(notebook, root / "notebooks/cohort.ipynb")
    for name in ("matching", "survey", "findings"):
        stub(root, name)
    done = run(root)
    assert done.returncode == 0, done.stderr
    return root


def run(root: Path) -> subprocess.CompletedProcess[str]:
    command = [*MAIN, "run", "params/demo.yaml"]
    return subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMPACT_ROOT", raising=False)


@pytest.mark.xdist_group("kernels")
def test_what_a_cell_shows_or_prints_does_not_reach_a_page(planted: Path, demo: Path, tmp_path: Path) -> None:
    private = planted / "outputs/demo/private/cohort.ipynb"
    outputs = [o for cell in nbformat.read(private, 4).cells for o in cell.get("outputs", ())]
    assert {"stream", "display_data", "execute_result"} <= {o.output_type for o in outputs}
    inside = private.read_text()
    assert all(word in inside for word in ("T0000001", "/home/ann", str(planted), "image/png"))
    share = planted / "outputs/demo/share"
    assert assert_shareable(share, **secrets(demo)) >= 8
    page = (share / "cohort.html").read_text()
    assert "/home/ann" not in page
    assert page.count("data:image") == page.count("<figure") == 1  # who is in the study, and nothing planted
    assert "matplotlib" not in page
    # The page that JupyterLab and nbconvert make is held to the same.
    exported, _ = ImpactHTMLExporter().from_filename(str(private))
    (tmp_path / "cohort.html").write_text(exported)
    assert assert_shareable(tmp_path, **secrets(demo)) == 1


@pytest.mark.xdist_group("kernels")
def test_labels_of_html_and_names_like_formulas_are_only_text(planted: Path) -> None:
    share = planted / "outputs/demo/share"
    page = (share / "cohort.html").read_text()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "=2+2 &lt;b onclick=" in page
    for file in share.glob("*.html"):
        assert "<script" not in file.read_text()
        assert "<b onclick" not in file.read_text()
    tables = {
        table.name: list(csv.reader(table.read_text("utf-8-sig").splitlines()))
        for table in (share / "tables").glob("*.csv")
    }
    rows = [row[:2] for row in tables["cohort-baseline.csv"] if "1+1" in row[0]]
    assert ["'=1+1", "'=2+2 <b onclick='x()'>"] in rows
    cells = [cell for rows in tables.values() for row in rows for cell in row]
    assert not [cell for cell in cells if cell[:1] in tuple("=+@|%")]


@pytest.mark.xdist_group("kernels")
def test_a_run_that_fails_in_its_second_notebook_changes_nothing_shared(
    planted: Path, demo: Path, tmp_path: Path
) -> None:
    share = planted / "outputs/demo/share"
    before = read(share)
    stub(planted, "cohort")
    stub(planted, "matching", *STOPPING)
    done = run(planted)
    assert done.returncode == 6
    assert "demo: matching: cell 6 stopped with KeyError." in done.stderr.splitlines()
    assert "T0000001" not in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert read(share) == before
    failed = planted / "outputs/demo/private/failed"
    assert "KeyError: 'T0000001 of B" in (failed / "traceback.txt").read_text()
    kept = {"cohort.ipynb", "matching.ipynb", "log.txt", "traceback.txt", "records", "summary.json"}
    assert kept == {p.name for p in failed.iterdir()}
    outputs = [
        o for cell in nbformat.read(failed / "matching.ipynb", 4).cells for o in cell.get("outputs", ())
    ]
    assert [o.ename for o in outputs] == ["DisclosureError", "DisclosureError", "KeyError"]
    page, _ = ImpactHTMLExporter().from_filename(str(failed / "matching.ipynb"))
    assert page.count("This step stopped") >= 3
    assert "KeyError" not in page
    (tmp_path / "matching.html").write_text(page)
    assert_shareable(tmp_path, **secrets(demo))


@pytest.mark.xdist_group("kernels")
def test_a_run_that_is_killed_changes_nothing_shared_and_the_next_one_works(planted: Path) -> None:
    study = planted / "outputs/demo"
    before = read(study / "share")
    stub(planted, "cohort")
    stub(planted, "matching", "import time\ntime.sleep(120)")
    with subprocess.Popen(
        [*MAIN, "run", "params/demo.yaml"], stderr=subprocess.PIPE, text=True, cwd=planted
    ) as running:
        assert running.stderr is not None
        assert running.stderr.readline().startswith("demo: cohort, ")
        running.send_signal(signal.SIGKILL)
    assert running.returncode == -signal.SIGKILL
    assert read(study / "share") == before
    stub(planted, "matching")
    assert run(planted).returncode == 0
    assert {"index.html", "matching.html", "manifest.json"} <= set(read(study / "share"))
    assert read(study / "share") != before
