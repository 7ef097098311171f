"""Many runs of one file: what a matrix stands for, what its runs are called, and what editors know of it."""

from __future__ import annotations

import csv
import io
import itertools
import json
import pickle
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from impact.errors import ParameterError
from impact.study import Study, manifest, read_studies
from impact.study.document import read_document
from impact.study.matrix import Matrix
from impact.study.naming import LONGEST, run_name
from impact.study.table import MOST

BASE = """\
title: Northtown
data: {people: p.csv, contacts: c.csv}
design: {treated: [a], control: [b]}
outcomes: [ae, gp]
did: {estimator: imputation}
matching: {on: [age], caliper: 0.2}
"""
ETWFE = BASE.replace("imputation", "etwfe")
MATRIX = """\
matrix:
  did.estimator: [etwfe, two_by_two]
  design.months_after: [6, 12]
  exclude: [{did.estimator: two_by_two, design.months_after: 6}]
  include: [{did.estimator: twfe, title: "As others did it"}]
"""
# Examples write their own files; a folder shared by all of one test does no harm.
examples = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

Write = Callable[..., list[Study]]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a parameter file, and a table beside it, and read its studies."""
    monkeypatch.setenv("IMPACT_ROOT", str(tmp_path))

    def studies(
        matrix: str, *, base: str = BASE, table: str = "", changes: Sequence[str] = ()
    ) -> list[Study]:
        (tmp_path / "northtown.yaml").write_text(base + matrix, encoding="utf-8")
        (tmp_path / "runs.csv").write_text(table, encoding="utf-8")
        return read_studies([tmp_path / "northtown.yaml"], changes=changes)

    return studies


def held(study: Study, key: str) -> Any:
    """What a study holds under a key, from what would be handed to a notebook."""
    value: Any = study.parameters
    for part in key.split("."):
        value = value[part]
    return value


def test_lists_give_the_product_with_some_left_out_and_others_added(write: Write) -> None:
    studies = write(MATRIX)
    assert [(study.did.estimator, study.design.months_after) for study in studies if study.did] == [
        ("etwfe", 6),
        ("etwfe", 12),
        ("two_by_two", 12),
        ("twfe", 12),
    ]
    assert [study.title for study in studies] == ["Northtown"] * 3 + ["As others did it"]
    assert [study.name for study in studies] == [
        "northtown--months_after-6--estimator-etwfe",
        "northtown--months_after-12--estimator-etwfe",
        "northtown--months_after-12--estimator-two_by_two",
        "northtown--estimator-twfe",
    ]
    assert studies[1].varied == {"did.estimator": "etwfe", "design.months_after": 12}
    # A title is told, and is nothing that estimates could be compared by.
    assert studies[3].varied == {"did.estimator": "twfe"}
    assert all(study.matching and study.matching.caliper == 0.2 for study in studies)


def test_each_run_is_the_study_of_a_file_that_says_so(write: Write, tmp_path: Path) -> None:
    for study in write(MATRIX):
        alone = BASE
        for key, value in study.varied.items():
            section, name = key.split(".")
            alone = re.sub(
                rf"({section}: {{.*?)(, )?({name}: \w+)?}}", rf"\1, {name}: {value}}}", alone, count=1
            ).replace("{, ", "{")
        (tmp_path / "alone.yaml").write_text(alone)
        same = Study.read(tmp_path / "alone.yaml").parameters
        assert study.parameters == same | {"title": study.title}


def test_a_file_without_a_matrix_is_one_run(write: Write, tmp_path: Path) -> None:
    (study,) = write("")
    assert (study.name, study.varied) == ("northtown", {})
    assert study.parameter_file == tmp_path / "northtown.yaml"
    assert study.parameters == Study.read(tmp_path / "northtown.yaml").parameters


def test_whole_sections_and_lists_are_values_too(write: Write) -> None:
    studies = write("matrix:\n  matching: [null, {on: [sex]}]\n  outcomes: [[ae], [gp, ae]]\n")
    assert [study.matching.on if study.matching else None for study in studies] == [
        None,
        None,
        ("sex",),
        ("sex",),
    ]
    assert [study.outcomes for study in studies] == [("ae",), ("gp", "ae")] * 2
    assert studies[0].name == "northtown--matching-null--outcomes-ae"
    assert re.fullmatch(r"northtown--matching-on-sex--outcomes-gp\+ae-[0-9a-f]{10}", studies[3].name)


def test_words_are_told_and_name_no_run(write: Write) -> None:
    words = "title: As planned, notes: [So.], contact: Team, wording.support: Free care"
    studies = write(f"matrix: {{include: [{{{words}}}, {{seed: 1, title: Again}}]}}\n")
    assert [(study.name, study.varied) for study in studies] == [
        ("northtown", {}),
        ("northtown--seed-1", {"seed": 1}),
    ]
    assert (studies[0].title, studies[0].notes, studies[0].wording.support) == (
        *("As planned", ("So.",), "Free care"),
    )


def test_a_key_may_be_new_to_the_file_and_deep(write: Write) -> None:
    studies = write(
        "matrix:\n  did.censoring.truncate: [0.9, 1]\n  matching.caliper: [{age: 1}, {age: 2.5}]\n"
    )
    assert [held(study, "did.censoring.truncate") for study in studies] == [0.9, 0.9, 1.0, 1.0]
    assert [held(study, "matching.caliper.age") for study in studies] == [1, 2.5] * 2


def test_values_that_the_lists_replace_need_not_be_right_in_the_file(write: Write) -> None:
    base = BASE.replace("estimator: imputation", "estimator: no")
    assert len(write("matrix: {did.estimator: [etwfe, twfe]}\n", base=base)) == 2


def test_changes_are_made_to_every_run(write: Write) -> None:
    studies = write(MATRIX, changes=["matching.caliper=1e-1", "seed=7"])
    assert {(study.matching.caliper, study.seed) for study in studies if study.matching} == {(0.1, 7)}
    assert len(studies) == 4


def test_the_matrix_itself_may_be_changed(write: Write) -> None:
    studies = write(MATRIX, changes=["matrix={seed: [1, 2]}"])
    assert [study.name for study in studies] == ["northtown--seed-1", "northtown--seed-2"]
    assert len(write("", changes=["matrix=runs.csv"], table="seed\n3\n4\n5\n")) == 3


def test_a_table_has_one_run_a_row_and_an_empty_cell_keeps_the_files_value(write: Write) -> None:
    table = (
        "did.estimator, design.months_after,title,outcomes,matching.caliper\n"
        'etwfe,6,"Health: support, early",,\n'
        ",,,,\n"
        'twfe,,Late # 2,"[gp, ae]",1e-3\n'
        ",24\n"
    )
    studies = write("matrix: runs.csv\n", table=table)
    assert [study.title for study in studies] == ["Health: support, early", "Late # 2", "Northtown"]
    assert [study.design.months_after for study in studies] == [6, 12, 24]
    assert [study.outcomes for study in studies] == [("ae", "gp"), ("gp", "ae"), ("ae", "gp")]
    assert [study.matching.caliper for study in studies if study.matching] == [0.2, 0.001, 0.2]
    assert studies[2].varied == {"design.months_after": 24}


@pytest.mark.parametrize("table", ["\ufeffseed\n1\n2\n", "seed;title\r\n1;A\r\n2;B, C\r\n", '"seed"\n"1"\n2'])
def test_a_table_is_read_as_spreadsheets_write_it(write: Write, table: str) -> None:
    assert [study.seed for study in write("matrix: runs.csv\n", table=table)] == [1, 2]


cells = st.one_of(
    st.integers(0, 10**6),
    st.floats(1e-6, 1e6),
    st.sampled_from(["1e-3", "1E3", ".5", "5.", "+4", "TRUE", "false", "~", "0", "1_0", "012", "1:30", "no"]),
    st.text("abc XYZ019_.é-", min_size=1)
    .map(str.strip)
    .filter(lambda text: text.strip("-")[:1] == text[:1] != ""),
)


@examples
@given(text=cells.map(str))
def test_a_cell_is_read_as_the_same_text_in_a_list(write: Write, text: str) -> None:
    def read(matrix: str, table: str = "") -> list[Any]:
        try:
            return [[study.varied, study.name] for study in write(matrix, table=table)]
        except ParameterError as error:
            # The sentence, without the file and the line.
            return [re.sub(r"^.*?:\d+: ", "", line) for line in str(error).splitlines()]

    out = io.StringIO()
    csv.writer(out).writerows([["matching.caliper"], [text]])
    assert read("matrix: runs.csv\n", out.getvalue()) == read(f"matrix:\n  matching.caliper:\n    - {text}\n")


@pytest.mark.parametrize("at", ["list", "include", "table"])
def test_a_number_with_an_exponent_is_a_number_everywhere(write: Write, at: str) -> None:
    matrix = {
        "list": "matrix: {matching.caliper: [1e-3]}\n",
        "include": "matrix: {include: [{matching.caliper: 1e-3}]}\n",
        "table": "matrix: runs.csv\n",
    }[at]
    (study,) = write(matrix, table="matching.caliper\n1e-3\n")
    assert study.varied == {"matching.caliper": 0.001}
    assert held(study, "matching.caliper") == 0.001


AXES: dict[str, list[Any]] = {
    "did.estimator": ["etwfe", "twfe", "two_by_two", "imputation"],
    "design.months_after": [1, 6, 12, 24],
    "design.start": ["2020-01", "2020-02"],
    "matching.caliper": [0.2, 1, {"age": 5}, 0.05],
    "outcomes": [["ae"], ["gp"], ["ae", "gp"], ["gp", "ae"]],
    "matching.estimand": ["ATT", "ATE"],
    "design.treated": [["a"], ["A"], ["x y"], ["x-y"]],
}


@examples
@given(data=st.data())
def test_another_value_in_a_list_renames_no_other_run(write: Write, data: st.DataObject) -> None:
    axes = data.draw(st.lists(st.sampled_from(sorted(AXES)), min_size=1, max_size=3, unique=True))
    every = {key: data.draw(st.permutations(AXES[key])) for key in axes}
    some = {key: values[: data.draw(st.integers(1, len(values)))] for key, values in every.items()}

    def names(lists: dict[str, list[Any]]) -> dict[str, str]:
        studies = write(f"matrix: {json.dumps(lists)}\n")
        assert len({study.name.casefold() for study in studies}) == len(studies)
        return {json.dumps(study.varied, sort_keys=True): study.name for study in studies}

    few, all_of_them = names(some), names(every)
    assert few.items() <= all_of_them.items()
    # Nor does the order of the lists, or one run on a line of its own.
    assert names(dict(reversed(every.items()))) == all_of_them


scalars = st.one_of(st.text(max_size=90), st.integers(), st.floats(allow_nan=False), st.booleans(), st.none())
held_values = st.one_of(
    scalars, st.lists(scalars, max_size=4), st.dictionaries(st.text(), scalars, max_size=3)
)
keys = st.sampled_from([*AXES, "matching.method", "did.method", "matching.caliper.age", "seed"])
RESERVED = re.compile(r'[<>:"/\\|?*\x00-\x1f]')


@examples
@given(varied=st.lists(st.dictionaries(keys, held_values, min_size=1, max_size=4), min_size=2, max_size=6))
def test_names_are_folders_on_every_system_and_no_two_are_alike(varied: list[dict[str, Any]]) -> None:
    names = {json.dumps(one, sort_keys=True): run_name("northtown", one) for one in varied}
    # A list of one is the value itself wherever both may stand, and the runs then are one.
    alone = {re.sub(r"\[([^],]*)\]", r"\1", one): name for one, name in names.items()}
    assert len({name.casefold() for name in names.values()}) >= len(alone)
    for name in names.values():
        assert re.fullmatch(r"northtown--[A-Za-z0-9_.+-]*\w", name)
        assert len(name) <= LONGEST
        assert not RESERVED.search(name)


def test_a_long_name_is_cut_and_stays_its_own() -> None:
    long = {"did.covariates": [f"column_{i}" for i in range(20)]}
    longer = {"did.covariates": [f"column_{i}" for i in range(21)]}
    names = [run_name("x", long), run_name("x", longer), run_name("y" * 100, longer)]
    assert len({name[-10:] for name in names}) == 2
    assert names[0].startswith("x--did-covariates-column_0+column_1")
    assert len(names[2]) < 150
    assert names[2].startswith("y" * 100 + "--did-covariates-col")


def test_the_list_of_runs_has_a_row_each(write: Write, tmp_path: Path) -> None:
    rows = manifest(write(MATRIX))
    assert rows[1] == {
        "id": "northtown--months_after-12--estimator-etwfe",
        "file": "northtown.yaml",
        "title": "Northtown",
        "did.estimator": "etwfe",
        "design.months_after": 12,
    }
    assert rows[3]["title"] == "As others did it"
    assert json.loads(json.dumps(rows)) == rows
    assert str(tmp_path) not in json.dumps(rows)


def test_a_file_outside_the_project_is_listed_by_its_name_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMPACT_ROOT", str(tmp_path / "project"))
    (tmp_path / "x.yaml").write_text(BASE)
    assert manifest(read_studies([tmp_path / "x.yaml"]))[0]["file"] == "x.yaml"


def test_patterns_stand_for_files_and_each_file_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params" / "more").mkdir(parents=True)
    for name in ("b.yaml", "a.yaml", "more/c.yaml", "[x].yaml"):
        (tmp_path / "params" / name).write_text(BASE)
    assert [study.name for study in read_studies(["params/?.yaml", "params/a.yaml"])] == ["a", "b"]
    assert [study.name for study in read_studies([Path("params/b.yaml"), "params/*.yaml"])] == [
        "b",
        "[x]",
        "a",
    ]
    assert [study.name for study in read_studies(["params/**/*.yaml"])] == ["[x]", "a", "b", "c"]
    # A name is a pattern only if no file has it.
    assert [study.name for study in read_studies(["params/[x].yaml"])] == ["[x]"]


def test_editors_know_every_key_of_a_matrix(write: Write) -> None:
    schema = Study.model_json_schema()
    Draft202012Validator.check_schema(schema)
    lists = schema["$defs"]["Matrix"]["properties"]
    assert {"did.estimator", "design.index_date.within", "data.panel.file", "seed", "matching"} < set(lists)
    assert set(lists) - {"include", "exclude"} == set(schema["$defs"]["Run"]["properties"])
    sections = {key.split(".")[0] for key in lists}
    assert sections == {*Study.model_fields, "include", "exclude"}


@pytest.mark.parametrize(
    ("matrix", "right"),
    [
        ({"did.estimator": ["etwfe", "twfe"], "exclude": [{"did.estimator": "twfe"}]}, True),
        ({"did.estimator": ["etwf"]}, False),
        ({"did.estimater": ["etwfe"]}, False),
        ({"did.estimator": "etwfe"}, False),
        ({"did.estimator": []}, False),
        ({"did.estimator": ["twfe", "twfe"]}, False),
        ({"include": [{"design.months_after": 0}]}, False),
        ({"include": [{"data.rename.people.person_id": "ID"}]}, True),
        ({"include": [{}]}, False),
        ({"design.index_date.rule": ["drawn"], "matching": [None, {"on": ["age"]}]}, True),
        ({"design.index_date.rule": ["drwan"]}, False),
        ("runs.csv", True),
        ({}, False),
        (5, False),
    ],
)
def test_the_schema_says_of_a_matrix_what_reading_it_says(write: Write, matrix: Any, right: bool) -> None:
    sections = json.loads(json.dumps(YAML(typ="safe", pure=True).load(BASE))) | {"matrix": matrix}
    found = list(Draft202012Validator(Study.model_json_schema()).iter_errors(sections))
    assert (not found) is right, found
    try:
        write(f"matrix: {json.dumps(matrix)}\n", table="seed\n1\n")
    except ParameterError:
        assert not right
    else:
        assert right


def test_a_run_stays_itself_on_its_way_to_another_process(write: Write) -> None:
    for study in write(MATRIX):
        sent = pickle.loads(pickle.dumps(study))
        assert (sent.name, sent.varied, sent.parameters) == (study.name, study.varied, study.parameters)
        assert sent.parameter_file == study.parameter_file


def test_what_is_varied_cannot_be_changed_from_outside(write: Write) -> None:
    (study, *_) = write(MATRIX)
    study.varied["seed"] = 1
    assert "seed" not in study.varied


any_key = st.sampled_from(
    [*AXES, "include", "exclude", "matrix", "did", "did.", ".", "a.b", "outcomes.0", "title.x", "data.panel"]
)
plain = st.sampled_from([None, True, -3, 0, 12, "etwfe", "ae", "no", "1e3", ""])
anything = st.recursive(
    plain,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(any_key, inner, max_size=3)),
    max_leaves=6,
)
of_lists = st.dictionaries(any_key, st.lists(anything, max_size=3), max_size=3)


@examples
@given(matrix=st.one_of(anything, of_lists), change=st.sampled_from(["seed=1", "did.estimator=twfe"]))
def test_whatever_stands_there_is_runs_or_sentences(write: Write, matrix: Any, change: str) -> None:
    try:
        studies = write(f"matrix: {json.dumps(matrix)}\n", changes=[change])
    except ParameterError as error:
        studies, said = [], str(error).splitlines()
    else:
        said = []
    assert bool(studies) != bool(said)
    assert all(line.strip() for line in said)


def test_the_page_on_batches_says_what_is_so(write: Write, root: Path, tmp_path: Path) -> None:
    page = (root / "docs" / "batches.md").read_text("utf-8")

    def block(language: str) -> str:
        return page.split(f"```{language}\n")[1].split("```")[0]

    names = [study.name for study in write("", base=block("yaml"))]
    assert names == page.split("these are their names and folders:\n\n```\n")[1].split("```")[0].split()
    table = write("matrix: runs.csv\n", base=block("yaml").split("matrix:")[0], table=block("csv"))
    assert [study.title for study in table] == ["As planned", "A shorter window", "As others did it"]
    assert f"{MOST:,} runs" in page


def seconds(write: Write, runs: int, way: str) -> float:
    numbers = [str(i) for i in range(runs)]
    matrix = {
        "lists": f"matrix: {{seed: [{', '.join(numbers[: runs // 20])}], design.months_after: [{MONTHS}]}}\n",
        "include": f"matrix: {{include: [{', '.join(f'{{seed: {i}}}' for i in numbers)}]}}\n",
        "table": "matrix: runs.csv\n",
    }[way]
    began = time.process_time()
    assert len(write(matrix, table="\n".join(["seed", *numbers]))) == runs
    return time.process_time() - began


MONTHS = ", ".join(str(i) for i in range(1, 21))


@pytest.mark.parametrize("way", ["lists", "include", "table"])
def test_hundreds_of_runs_are_read_in_a_second_and_time_is_linear(write: Write, way: str) -> None:
    seconds(write, 100, way)
    small, large = (min(seconds(write, runs, way) for _ in range(2)) for runs in (240, 1920))
    assert small < 1
    # Eight times as many; were each run to look at all others, it would be 64 times.
    assert large < 20 * small


def test_a_run_carries_no_lines_of_the_others(write: Write, tmp_path: Path) -> None:
    write("matrix: {include: [{seed: 1}, {seed: 2}, {title: A}]}\n")
    document = read_document(tmp_path / "northtown.yaml")
    of_file = {at for at in document.places if at[:1] != ("matrix",)}
    matrix = Matrix(document)
    for run in matrix.runs:
        assert set(matrix.document(run).places) == of_file | {value.at for value in run.values}


def test_runs_share_what_they_do_not_change(write: Write) -> None:
    """One run's values never reach another: each equals the run alone, also where others set more."""
    lists = ["did.estimator: twfe", "seed: 3", "did.family: linear", "design.months_after: 6", "seed: 4"]
    several = write(f"matrix: {{include: [{', '.join(f'{{{one}}}' for one in lists)}]}}\n", base=ETWFE)
    for one, study in zip(lists, several, strict=True):
        (alone,) = write(f"matrix: {{include: [{{{one}}}]}}\n", base=ETWFE)
        assert study.parameters == alone.parameters


def test_each_run_of_a_product_is_that_run_alone(write: Write) -> None:
    lists = {"did.estimator": ["etwfe", "twfe"], "matching.caliper": [0.1, {"age": 2}], "seed": [1, 2]}
    together = {study.name: study.parameters for study in write(f"matrix: {json.dumps(lists)}\n")}
    for values in itertools.product(*lists.values()):
        run = dict(zip(lists, values, strict=True))
        (alone,) = write(f"matrix: {{include: [{json.dumps(run)}]}}\n")
        assert together[alone.name] == alone.parameters
