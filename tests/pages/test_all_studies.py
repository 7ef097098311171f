"""The pages over all studies: what is on them, what never is, and that everybody can read them."""

from __future__ import annotations

import html
import itertools
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from impact.run import summaries
from impact.run.across import write_pages
from impact.run.renew import _made_from, renew
from impact.run.summaries import SUMMARY

from .made_up import add, add_failure, add_runs, outputs
from .proof import look, open_details, opened

LISTS, ACROSS = "index.html", "across.html"


def text_of(file: Path) -> str:
    body = re.findall(r"<main[^>]*>(.*)</main>", file.read_text(encoding="utf-8"), re.DOTALL)[0]
    alts = " ".join(re.findall(r'<img alt="([^"]*)"', body))
    return " ".join(html.unescape(f"{re.sub(r'<[^>]+>', ' ', body)} {alts}").split())


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five sites, a study with six runs, two that stopped: with their pages."""
    folder = outputs(tmp_path_factory.mktemp("several") / "outputs", 5)
    write_pages(folder)
    return folder


def test_every_study_is_listed_with_its_answer_and_links_that_work(several: Path) -> None:
    page = (several / LISTS).read_text(encoding="utf-8")
    said = text_of(several / LISTS)
    assert "8 studies and 5 further runs of them on other choices: 11 have a report, 2 have none." in said
    for i in range(5):
        assert f"site{i:04d} cannot tell whether support changed emergency admissions." in said
    links = set(re.findall(r'href="([^"#]+)"', page))
    assert len(links) == 11 * 3 + 2
    for link in links:
        assert (several / link).is_file(), link
        assert " " not in link
        assert not link.startswith(("/", "http"))
    assert said.count("of which 1 table must be looked at") == 2
    assert "The comparison passed 2 of 3 checks." in said


def test_further_runs_are_not_counted_as_further_answers(several: Path) -> None:
    assert "inconclusive 6." in text_of(several / LISTS)


def test_what_stopped_is_said_in_one_sentence_without_numbers_of_people(several: Path) -> None:
    said = text_of(several / LISTS)
    assert "Place 0 : The last run stopped: the design cannot identify the effect" in said
    assert said.index("What stopped") < said.index("Site 1 ")


def test_a_failed_run_leaves_the_report_and_says_that_it_is_older(tmp_path: Path, rng: Any) -> None:
    add(tmp_path, "north", rng)
    add_failure(tmp_path, "north", "DataError")
    write_pages(tmp_path)
    said = text_of(tmp_path / LISTS)
    assert "a data file is missing" in said
    assert "What stands here is the report of 23 November 2026." in said
    assert "1 study with a report. Of 1 the last run stopped" in said


def test_a_report_of_other_code_is_said_to_be(tmp_path: Path, rng: Any) -> None:
    add(tmp_path, "north", rng, code={"sha256": "other"})
    write_pages(tmp_path)
    assert "Made by another version of impact than this page" in text_of(tmp_path / LISTS)


def test_a_process_that_died_and_a_run_that_waits_are_listed(tmp_path: Path, rng: Any) -> None:
    add(tmp_path, "north", rng)
    rows = [("north", "report written"), ("died", "stopped"), ("later", "waiting")]
    runs = {"runs": [{"id": name, "status": status, "title": "<b>forged</b>"} for name, status in rows]}
    (tmp_path / "runs.json").write_text(json.dumps(runs))
    write_pages(tmp_path)
    said = text_of(tmp_path / LISTS)
    assert "its process ended before it was done" in said
    assert "Not run yet." in said
    assert "forged" not in said


# The road: what is not signed here, of this study and this report, is not shown.
def change(place: Path, **more: Any) -> None:
    file = place / "private" / SUMMARY
    read = json.loads(file.read_text())
    file.write_text(json.dumps({**read, "summary": read["summary"] | more}))


def _edited(folder: Path) -> None:
    change(folder / "north", headline="4 people died.")


def _with_other_numbers(folder: Path) -> None:
    summary = json.loads((folder / "north/private" / SUMMARY).read_text())["summary"]
    summary["effects"]["table"][0]["estimate"] = 4.0
    change(folder / "north", effects=summary["effects"])


def _of_another_study(folder: Path) -> None:
    shutil.copy(folder / "south/private" / SUMMARY, folder / "north/private" / SUMMARY)


def _of_another_report(folder: Path) -> None:
    (folder / "north/share/manifest.json").write_text("{}")


def _without_a_summary(folder: Path) -> None:
    (folder / "north/private" / SUMMARY).unlink()


def _no_json(folder: Path) -> None:
    (folder / "north/private" / SUMMARY).write_text("4 people died.")


@pytest.mark.parametrize(
    "forge",
    [_edited, _with_other_numbers, _of_another_study, _of_another_report, _without_a_summary, _no_json],
)
def test_what_was_not_released_here_is_not_shown(tmp_path: Path, rng: Any, forge: Any) -> None:
    for name in ("north", "south", "west"):
        add(tmp_path, name, rng)
    forge(tmp_path)
    write_pages(tmp_path)
    said = text_of(tmp_path / LISTS)
    assert "died" not in said
    assert "Not shown: its report was changed, made on another computer" in said
    assert "north cannot tell" not in said
    assert said.count("south cannot tell") == 1
    together = text_of(tmp_path / ACROSS)
    assert "On average over 2 studies" in together
    assert "north: without a report, so in no average." in together


def test_a_title_that_names_somebody_is_not_shown(tmp_path: Path, rng: Any) -> None:
    add(tmp_path, "north", rng)
    add_failure(tmp_path, "south", title="For NHS number 943 476 5919")
    write_pages(tmp_path)
    assert "5919" not in text_of(tmp_path / LISTS)


def test_words_of_a_study_are_text_and_not_html(tmp_path: Path, rng: Any) -> None:
    add(tmp_path, "north", rng, title="<script>alert(1)</script>", headline="<img src=x onerror=alert(2)>")
    add(tmp_path, "south", rng, title="<i>South</i>")
    write_pages(tmp_path)
    for page in (LISTS, ACROSS):
        assert "<script" not in (text := (tmp_path / page).read_text())
        assert "<img src=x" not in text
        assert "<i>" not in text


# What is averaged, and what is not.
def test_only_the_main_run_of_the_same_people_is_averaged(several: Path) -> None:
    said = text_of(several / ACROSS)
    assert "On average over 6 studies" in said
    assert "Health support, Northtown" in said
    assert "Without Site 3" in said
    assert "Place 0 and Place 1: without a report, so in no average." in said
    assert "by their own answers: inconclusive 6" in said


def test_sites_that_withhold_how_many_people_they_have_are_averaged_like_others(
    tmp_path: Path, rng: Any
) -> None:
    """Persons of some and people with support of all, added up in part, once made fewer than no controls."""
    for i in range(12):
        add(tmp_path, f"site{i}", rng, gone=["persons", "clusters"] if i < 8 else [])
    write_pages(tmp_path)
    said = text_of(tmp_path / ACROSS)
    assert "On average over 12 studies" in said
    assert "2,400 (1,800)" in said
    assert "not shown" not in said
    assert "added up" not in said
    add(tmp_path, "secret", rng, gone=["persons", "treated", "clusters"])
    write_pages(tmp_path)
    said = text_of(tmp_path / ACROSS)
    assert "On average over 13 studies" in said
    assert said.count("People with support are not added up, as they are not shown of secret.") == 2
    assert said.count("2,400 (1,800)") == 2
    assert "On average over 13 studies" in text_of(tmp_path / LISTS)


def test_where_nothing_of_the_average_may_be_shown_the_page_says_that(tmp_path: Path, rng: Any) -> None:
    for name in ("north", "south", "west"):
        add(tmp_path, name, rng, gone=["persons", "treated", "events"], policy="hes")
    add(tmp_path, "east", rng, policy="threshold_10")
    write_pages(tmp_path)
    said = text_of(tmp_path / ACROSS)
    assert "On average over the studies there were too few emergency admissions" in said


def test_without_a_main_run_none_takes_its_place(tmp_path: Path, rng: Any) -> None:
    first, *others = add_runs(tmp_path, rng)
    shutil.rmtree(tmp_path / first)
    for name in ("north", "south"):
        add(tmp_path, name, rng)
    write_pages(tmp_path)
    said = text_of(tmp_path / ACROSS)
    assert "On average over 2 studies" in said
    assert "the main run of these has no report, and no other takes its place" in said
    assert "The main run has no estimate to show" in said
    assert len(others) == 5


def test_studies_of_the_same_people_from_two_files_are_not_averaged(tmp_path: Path, rng: Any) -> None:
    for name in ("one", "again"):
        add(tmp_path, name, rng, people="same")
    add(tmp_path, "other", rng)
    add(tmp_path, "further", rng)
    write_pages(tmp_path)
    said = text_of(tmp_path / ACROSS)
    assert "again and one were made from the same people in different parameter files" in said
    assert "On average over 2 studies" in said


def test_another_estimand_and_pretended_starts_are_refused_in_words(tmp_path: Path, rng: Any) -> None:
    for name in ("north", "south"):
        add(tmp_path, name, rng)
    add(tmp_path, "lot", rng, estimand="effect of the offer")
    add(tmp_path, "placebo", rng, pretend=True)
    write_pages(tmp_path)
    said = text_of(tmp_path / ACROSS)
    assert "On average over 2 studies" in said
    assert "lot: no other study estimates what it does, the effect of the offer" in said
    assert "placebo: starts of support that never happened have no effect to average." in said


def test_one_study_has_no_page_of_all_together(tmp_path: Path, rng: Any) -> None:
    (tmp_path / ACROSS).write_text("of an earlier run")
    add(tmp_path, "north", rng)
    assert write_pages(tmp_path) == [tmp_path / LISTS]
    assert not (tmp_path / ACROSS).exists()
    assert "across.html" not in (tmp_path / LISTS).read_text()


def test_runs_on_the_same_people_are_compared_and_never_averaged(tmp_path: Path, rng: Any) -> None:
    add_runs(tmp_path, rng)
    write_pages(tmp_path)
    said = text_of(tmp_path / ACROSS)
    assert "On average" not in said
    assert "6 runs of one study, which differ in matched by and months with support." in said
    assert "Of the single changes to it, one moved it most:" in said
    assert "robust" not in said


def test_sites_times_choices_are_a_curve_each_and_an_average_of_the_main_runs(
    tmp_path: Path, rng: Any
) -> None:
    for place in ("north", "south", "west"):
        for value in ("12", "6"):
            choices = {"data": place, "months with support": value}
            own = {"title": "Three places", "file": "params/three.yaml", "people": place}
            add(tmp_path, f"three--{place}-{value}", rng, choices=choices, main=value == "12", **own)
    write_pages(tmp_path)
    said = text_of(tmp_path / ACROSS)
    assert "On average over 3 studies" in said
    assert "runs of one study" not in said
    assert said.count("Months with support 12 (main run) Months with support 6") == 2
    assert "In one more place" in said
    assert text_of(tmp_path / LISTS).count("how far the answer hangs on the choices made.") == 1


def test_sets_of_services_are_averaged_each_by_its_main_run(tmp_path: Path, rng: Any) -> None:
    for place, months, services in itertools.product("abc", ("12", "6"), ("emergency_admission", "ae")):
        choices = {"data": place, "services": services, "months with support": months}
        own = {"title": "Three places", "file": "params/three.yaml", "people": place, "counts": [services]}
        main = services == "emergency_admission" and months == "12"
        add(tmp_path, f"three--{place}-{services}-{months}", rng, choices=choices, main=main, **own)
    write_pages(tmp_path)
    said = text_of(tmp_path / ACROSS)
    assert said.count("On average over 3 studies") == 1
    assert "600 (450)" in said
    assert "A&E attendances, by what was chosen" in said
    assert said.count("Months with support 12 (main run) Months with support 6") == 2
    assert "no other takes its place" not in said


def add_places(folder: Path, rng: Any) -> None:
    """Add three places with two runs each, whose titles tell them apart."""
    for i in (1, 2, 3):
        for value in ("12", "6"):
            own = {
                "title": f"Site {i}",
                "file": "params/three.yaml",
                "people": f"site{i}",
                "place": f"site{i}",
            }
            choices = {"months with support": value}
            add(folder, f"three--data-site{i}--{value}", rng, choices=choices, main=value == "12", **own)


def test_places_of_one_file_are_cards_of_their_own_with_further_runs_folded(tmp_path: Path, rng: Any) -> None:
    add_places(tmp_path, rng)
    write_pages(tmp_path)
    page, said = (tmp_path / LISTS).read_text(encoding="utf-8"), text_of(tmp_path / LISTS)
    assert "3 studies and 3 further runs of them on other choices, each with a report." in said
    assert re.findall(r'<a href="[^"]*index.html">(Site \d)</a>', page) == ["Site 1", "Site 2", "Site 3"]
    assert said.count("This is the main run: months with support 12.") == 3
    assert "1 further run on other choices: Site 2" in said
    assert page.count('index.html">Months with support 6</a>') == 3
    assert "Site 1, Site 2 and Site 3: how far the answer hangs on the choices made." in said
    assert "<details><summary>3 studies" not in page


def test_what_has_not_run_is_told_from_what_stopped_and_in_the_same_words(tmp_path: Path, rng: Any) -> None:
    add_places(tmp_path, rng)
    shutil.rmtree(tmp_path / "three--data-site2--6")
    name = "three--data-site2--months_after-6-0123456789"
    (tmp_path / "runs.json").write_text(json.dumps({"runs": [{"id": name, "status": "waiting"}]}))
    write_pages(tmp_path)
    said = text_of(tmp_path / LISTS)
    assert "What stopped" not in said
    assert "What has not run yet 1 of 6 Site 2, months with support 6 : Not run yet." in said
    assert "3 studies and 3 further runs of them on other choices: 5 have a report, 1 has none." in said


# A parameter file that is gone, or no longer makes a run, is said; nothing is said of what cannot be known.
FILE = """title: Town
data: {people: p.csv, contacts: c.csv}
design: {treated: [a], control: [b]}
outcomes: [ae]
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "params").mkdir()
    (tmp_path / "outputs").mkdir()
    monkeypatch.setenv("IMPACT_ROOT", str(tmp_path))
    return tmp_path


def add_from(project: Path, name: str, rng: Any, **more: Any) -> Path:
    """Add a study and the parameter file that makes it."""
    stem = name.partition("--")[0]
    file = project / "params" / f"{stem}.yaml"
    file.write_text(FILE, encoding="utf-8")
    add(project / "outputs", name, rng, file=f"params/{stem}.yaml", lies=summaries._lies(file), **more)
    return file


def test_a_renamed_file_leaves_a_report_that_is_marked_and_vetoes_nothing(project: Path, rng: Any) -> None:
    for name in ("town1", "town2", "town3"):
        add_from(project, name, rng, title=name.capitalize())
    add_from(project, "old", rng, title="Town1", people="town1").unlink()
    write_pages(project / "outputs")
    said, together = (text_of(project / "outputs" / page) for page in (LISTS, ACROSS))
    assert "3 studies, each with a report. Besides, 1 that no parameter file makes any more." in said
    assert "Town1 (old)" in said
    assert "Town1 (town1)" in said
    gone = "Its parameter file is no longer there. Delete the folder old if it is no longer wanted."
    assert said.count(gone) == said.count("no longer there") == 1
    assert "On average over 3 studies" in together
    assert "Town1 (old): no parameter file makes this any more, and there is a report of the same" in together


def test_a_removed_study_is_averaged_until_its_folder_is_deleted_and_said_to_be(
    project: Path, rng: Any
) -> None:
    for name in ("town1", "town2"):
        add_from(project, name, rng)
    (project / "params/town2.yaml").unlink()
    write_pages(project / "outputs")
    assert "town2: averaged, though no parameter file makes this any more." in text_of(
        project / "outputs" / ACROSS
    )


def test_a_run_that_the_matrix_no_longer_makes_is_marked_and_in_no_curve(project: Path, rng: Any) -> None:
    names = [f"town--months_after-{n}" for n in (12, 9, 6, 4, 3)]
    for name in names:
        choices = {"months with support": name.rpartition("-")[2]}
        file = add_from(project, name, rng, people="town", choices=choices, main=name == names[0])
    file.write_text(FILE + "matrix: {design.months_after: [12, 9, 6, 4]}\n", encoding="utf-8")
    write_pages(project / "outputs")
    said = text_of(project / "outputs" / LISTS)
    assert said.count("Its parameter file no longer makes this run.") == 1
    assert f"Delete the folder {names[-1]} if" in said
    assert "4 runs of one study, which differ in months with" in text_of(project / "outputs" / ACROSS)
    # What the last run made may be another matrix, by --set.
    (project / "outputs/runs.json").write_text(
        json.dumps({"runs": [{"id": names[-1], "status": "unchanged"}]})
    )
    write_pages(project / "outputs")
    assert "no longer makes" not in text_of(project / "outputs" / LISTS)


@pytest.mark.parametrize("lies", ["", "0" * 64])
def test_nothing_is_gone_that_lay_elsewhere(project: Path, rng: Any, lies: str) -> None:
    # Of another project, in a store, in a folder of another program, or on another computer.
    add(project / "outputs", "town", rng, file="params/town.yaml", lies=lies)
    write_pages(project / "outputs")
    assert "no longer" not in text_of(project / "outputs" / LISTS)


def test_nothing_is_said_of_a_file_that_cannot_be_read(project: Path, rng: Any) -> None:
    add_from(project, "town", rng).write_text("title: [", encoding="utf-8")
    write_pages(project / "outputs")
    assert "no longer" not in text_of(project / "outputs" / LISTS)


# Made anew where anything changed, and only there.
def test_the_pages_are_made_again_only_where_something_changed(tmp_path: Path, rng: Any) -> None:
    add(tmp_path, "north", rng)
    renew(tmp_path)
    first = (tmp_path / LISTS).stat().st_mtime_ns
    renew(tmp_path)
    assert (tmp_path / LISTS).stat().st_mtime_ns == first
    before = _made_from(tmp_path)
    for change_it in (
        lambda: add(tmp_path, "south", rng),
        lambda: add_failure(tmp_path, "north"),
        lambda: (tmp_path / LISTS).write_text("edited"),
        lambda: (tmp_path / "runs.json").write_text('{"runs": [{"id": "x", "status": "stopped"}]}'),
    ):
        change_it()
        assert _made_from(tmp_path) != before
        before = _made_from(tmp_path)
    assert not (tmp_path / "pages-log.txt").exists()


@pytest.fixture(scope="module")
def two_hundred(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages over two hundred studies."""
    folder = outputs(tmp_path_factory.mktemp("two-hundred") / "outputs", 192)
    write_pages(folder)
    return folder


@pytest.mark.browser
@pytest.mark.parametrize("page", [LISTS, ACROSS])
def test_nobody_is_kept_from_reading_two_hundred_studies(browser: Any, two_hundred: Path, page: str) -> None:
    seen = look(browser, two_hundred / page)
    assert seen.places == []
    assert [seen.sideways, seen.requests, seen.wordless, seen.without_caption, seen.without_scope] == [0] * 5


@pytest.mark.browser
def test_a_study_is_found_by_the_link_to_it_though_its_list_is_closed(browser: Any, tmp_path: Path) -> None:
    folder = outputs(tmp_path / "outputs", 40)
    write_pages(folder)
    with opened(browser, folder / LISTS, width=320) as page:
        assert page.locator("details[open]").count() == 1
        page.click("a[href='#study-stopped1']")
        assert page.locator("#study-stopped1").is_visible()
        open_details(page)
        assert page.locator(".cards li").count() == 48
