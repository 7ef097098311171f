"""The project around the code: what is committed, pinned, promised and documented holds together."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest

from impact.errors import ImpactError

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PINS = [ROOT / "requirements.txt", ROOT / "requirements-test.txt"]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Put together here, so that this file does not contain what it looks for.
PRIVATE = ["/" + name + "/" for name in ("root", "work", "opt")] + [
    "python" + "hosted.org",
    "pypi" + ".org",
    "npm" + "js.",
    "BEGIN " + "PRIVATE",
]
# Tests plant people's folders to see that they are scrubbed; nothing else may name one.
HOMES = ["/" + name + "/" for name in ("home", "mnt", "Users")] + ["C:" + "\\Users"]
LEFTOVERS = ["TO" + "DO", "FIX" + "ME", "X" + "XX", "<<<" + "<<<<"]

project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def blocks(page: Path, *languages: str) -> list[tuple[str, str]]:
    return [(lang, code) for lang, code in BLOCK.findall(page.read_text("utf-8")) if lang in languages]


def committed() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [ROOT / name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()]


def run_impact(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from impact.cli import main; main()", *arguments]
    environment = {**os.environ, "COLUMNS": "200", "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


def test_nothing_committed_names_a_machine_or_is_left_over() -> None:
    found = []
    for path in committed():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        words = PRIVATE + LEFTOVERS + ([] if "tests" in path.parts else HOMES)
        found += [f"{path.relative_to(ROOT)}: {word}" for word in words if word in text]
    assert not found


def test_no_lock_file_or_output_is_committed() -> None:
    names = [str(path.relative_to(ROOT)) for path in committed()]
    assert "uv.lock" not in names
    assert [n for n in names if n.startswith("outputs/") and n != "outputs/.gitkeep"] == []
    assert [n for n in names if n.startswith("data/")] == []


@pytest.mark.parametrize("path", PINS, ids=lambda p: p.name)
def test_each_pin_is_one_version_with_hashes_and_no_address(path: Path) -> None:
    text = path.read_text()
    pins = [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    assert pins
    for pin in pins:
        assert re.match(r"[a-z0-9-]+==[\w.!+]+( ; [^@]+?)?\s+--hash=sha256:[0-9a-f]{64}", pin), pin[:80]
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text


def test_the_two_pin_files_agree_and_cover_what_the_project_asks_for() -> None:
    run, tests = ({*re.findall(r"^(\S+==[^\\]+)", path.read_text(), re.MULTILINE)} for path in PINS)
    names = {pin.split("==")[0] for pin in run}
    shared = {pin for pin in tests if pin.split("==")[0] in names}
    assert shared <= run
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    wanted = {
        re.split(r"[<>=~! \[]", need)[0].replace(".", "-") for need in [*project["dependencies"], *build]
    }
    assert wanted <= names


def test_versions_agree() -> None:
    import impact

    assert impact.__version__ == project["version"]
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert re.findall(r"^## (\S+)", changes, re.MULTILINE)[0] == project["version"]
    assert f"\nversion: {project['version']}\n" in (ROOT / "CITATION.cff").read_text()


def test_each_data_file_has_a_source_and_a_licence() -> None:
    folder = ROOT / "tests" / "data"
    lines = (folder / "README.md").read_text().splitlines()
    known = re.compile(r"licen[cs]e|public.(domain|use)|\bMIT\b|\bGPL|\bCC0|\bCC BY|invented", re.IGNORECASE)
    for path in folder.iterdir():
        if path.name != "README.md":
            told = [
                line for line in lines if any(path.match(name) for name in re.findall(r"`([^`/ ]+)`", line))
            ]
            assert told, f"tests/data/README.md has no line on {path.name}"
            assert known.search(told[0]), f"tests/data/README.md gives no licence for {path.name}"


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
class TestMakefile:
    def make(self, *arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["make", *arguments], cwd=cwd, capture_output=True, text=True, timeout=60)

    def test_documents_name_only_targets_that_exist(self) -> None:
        listed = set(re.findall(r"^  make (\w+)", self.make("help").stdout, re.MULTILINE))
        assert listed == {"help", "demo", "test", "check", "lab", "bench", "pins", "clean"}
        for page in PAGES:
            named = set(re.findall(r"(?:^|`)make ([a-z]+)", page.read_text("utf-8"), re.MULTILINE))
            assert named <= listed, page.name

    def test_says_plainly_that_no_python_is_new_enough(self, tmp_path: Path) -> None:
        shutil.copy(ROOT / "Makefile", tmp_path)
        told = self.make(".venv/bare", "CANDIDATES=no-such-python", cwd=tmp_path)
        assert told.returncode != 0
        assert "needs Python 3.11 or newer, and none was found (tried: no-such-python)" in told.stderr

    def test_says_plainly_that_venv_is_missing(self, tmp_path: Path) -> None:
        shutil.copy(ROOT / "Makefile", tmp_path)
        bare = tmp_path / "bare-python"
        bare.write_text('#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\n')
        bare.chmod(0o755)
        told = self.make(".venv/bare", f"CANDIDATES={bare}", cwd=tmp_path)
        assert told.returncode != 0
        assert "apt-get install python3-venv" in told.stderr


# Reads reports of a user: tests/pages/test_across_studies_doc.py makes some, and runs it beside them.
OWN_TEST = {"across-studies.md"}


@pytest.mark.parametrize("page", [p for p in PAGES if p.name not in OWN_TEST], ids=lambda p: p.name)
def test_python_in_documents_runs_and_prints_what_follows_it(
    page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    names: dict[str, object] = {}
    printed = ""
    for language, code in blocks(page, "python", "text"):
        if language == "text":
            assert printed == code
            continue
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(code, page.name, "exec"), names)
        printed = out.getvalue()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_in_documents_exist_with_their_options(page: Path) -> None:
    text = "".join(code for _, code in blocks(page, "bash", "powershell"))
    wanted: dict[str, set[str]] = {}
    for command, rest in re.findall(r"(?:^|[\\ ])impact ([a-z]+)(.*)$", text, re.MULTILINE):
        wanted.setdefault(command, set()).update(re.findall(r"--[a-z-]+", rest))
    for command, options in wanted.items():
        told = run_impact(command, "--help")
        assert told.returncode == 0, f"impact {command}: {told.stderr}"
        for option in options:
            assert option in told.stdout, f"impact {command} has no {option}"


def test_links_between_documents_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_exit_codes_are_the_same_in_readme_help_and_errors() -> None:
    from impact.cli import EXIT_CODES

    rows = re.findall(r"^\| (\d+) \| (.+?) \|", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    assert {int(code): meaning for code, meaning in rows} == EXIT_CODES
    assert {0, 1, *(kind.exit_code for kind in ImpactError.__subclasses__())} == set(EXIT_CODES)


def test_every_method_has_its_row() -> None:
    from impact.did import ESTIMATORS
    from impact.match import METHODS

    rows = {}
    for line in (ROOT / "docs" / "methods.md").read_text().splitlines():
        if line.startswith("| `"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            rows[cells[0].strip("`")] = cells
    assert {*ESTIMATORS, *METHODS} <= set(rows)
    for name, cells in rows.items():
        assert len(cells) == 7, name
        assert all(cells), name
        test = ROOT / cells[6].strip("`")
        assert name in test.read_text(), f"{test.name} does not test {name}"
    for name in ESTIMATORS:
        assert re.search(r"\b(CR[0-3]|wild)\b", rows[name][5]), name


def test_the_data_page_is_the_contract() -> None:
    from impact.data import contract

    page = ROOT / "docs" / "data.md"
    head, mark, rest = page.read_text("utf-8").partition("a test holds the two equal. -->\n\n")
    if os.environ.get("IMPACT_WRITE_DOCS"):
        page.write_text(head + mark + contract.markdown(), "utf-8")
    elif rest != contract.markdown():
        pytest.fail("docs/data.md is out of date: run this test once with IMPACT_WRITE_DOCS=1")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_studies_in_documents_are_valid(page: Path, tmp_path: Path) -> None:
    from impact.study import read_studies

    for _, text in blocks(page, "yaml"):
        file = tmp_path / "example.yaml"
        file.write_text(text)
        assert read_studies([file])


def test_the_worked_example_passes_impact_check(demo: Path, tmp_path: Path) -> None:
    """The demonstration data under the example's file and column names, and the example's own file."""
    from ruamel.yaml import YAML

    page = ROOT / "docs" / "own-data.md"
    text = next(code for _, code in blocks(page, "yaml") if code.startswith("title:"))
    data = YAML(typ="safe").load(text)["data"]
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "northtown.yaml").write_text(text)
    (tmp_path / "data").mkdir()
    people = pd.read_csv(demo / "people.csv", dtype=str).rename(columns=data["rename"]["people"])
    people.to_csv(tmp_path / data["people"], index=False)
    contacts = pd.read_csv(demo / "contacts.csv", dtype=str).rename(columns=data["rename"]["contacts"])
    late = contacts["Date"] >= "2024"
    for name, rows in (("contacts-2023.csv", ~late), ("contacts-2024.csv", late)):
        contacts[rows].to_csv(tmp_path / "data" / name, index=False)
    (tmp_path / data["coverage"]).write_text(blocks(page, "csv")[0][1])
    told = run_impact("check", "params/northtown.yaml", cwd=tmp_path)
    assert told.returncode == 0, told.stdout + told.stderr
