"""Bad lists of runs: every fault of every file, each one sentence with its line, before anything starts."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from impact.errors import ParameterError
from impact.study import Study, read_studies

BASE = """\
title: Northtown
data: {people: p.csv, contacts: c.csv}
design: {treated: [a], control: [b], index_date: partner}
outcomes: [ae, gp]
did: {estimator: etwfe, family: linear}
matching: {on: [age], caliper: 0.2}
matrix:
"""
SEVEN = (
    "two_by_two, twfe, callaway_santanna, sun_abraham, imputation, etwfe, stacked, synthetic_did or "
    "triple_difference"
)

Faults = Callable[..., list[str]]


@pytest.fixture
def faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Faults:
    """What is said of a matrix, which begins in line 8 of its file, or of a table."""
    monkeypatch.setenv("IMPACT_ROOT", str(tmp_path))

    def said(
        matrix: str, *, base: str = BASE, table: str | bytes = "", changes: Sequence[str] = ()
    ) -> list[str]:
        (tmp_path / "x.yaml").write_text(base + matrix, encoding="utf-8")
        content = table if isinstance(table, bytes) else table.encode()
        (tmp_path / "runs.csv").write_bytes(content)
        with pytest.raises(ParameterError) as error:
            read_studies([tmp_path / "x.yaml"], changes=changes)
        assert error.value.exit_code == 2
        return [line.replace(str(tmp_path / "x.yaml"), "x.yaml") for line in str(error.value).splitlines()]

    return said


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        (
            "  did.estimater: [etwfe, twfe]",
            "8: did.estimater: there is no such key. Did you mean 'estimator'?",
        ),
        ("  estimator: [etwfe]", "8: estimator: there is no such key. It belongs in did."),
        ("  did.estimator: []", "8: matrix.did.estimator: must not be empty."),
        (
            "  did.estimator: twfe",
            "8: matrix.did.estimator: expected a list of values, such as did.estimator: [twfe].",
        ),
        (
            "  did: {estimator: [twfe]}",
            "8: matrix.did: expected a list of values, such as did.estimator: [...].",
        ),
        (
            "  did.estimator:",
            "8: matrix.did.estimator: nothing stands after the colon; write a value or leave",
        ),
        ("  seed: [1]\n  seed: [2]", "8: matrix.seed: stands twice, in lines 8 and 9; keep one."),
        ("  seed: [1, 2, 1]", "8: matrix.seed: 1 stands twice."),
        (
            "  design.index_date.within: [[sex], [age]]",
            "8: design.index_date.within: design.index_date is partner in x.yaml:3, not keys and values.",
        ),
        (
            "  did: [{}]\n  did.control: [never_treated]",
            "9: did.control: is a part of did, which is varied too; keep one.",
        ),
        (
            "  exclude: [{seed: 1}]",
            "8: matrix.exclude.seed: matches nothing: the matrix has no list of seed.",
        ),
        (
            "  did.estimator: [etwfe]\n  exclude: [{did.estimater: etwfe}]",
            "9: matrix.exclude.did.estimater: matches nothing: the matrix has no list of did.estimater. "
            "Did you mean 'did.estimator'?",
        ),
        (
            "  did.estimator: [etwfe, twfe]\n  exclude:\n    - {did.estimator: twfee}",
            "10: matrix.exclude.did.estimator: matches nothing: twfee is not in the list of did.estimator. "
            "Did you mean 'twfe'?",
        ),
        (
            "  seed: [1, 2, 3]\n  exclude:\n    - seed: 1\n    - seed: 1",
            "11: matrix.exclude: matches no run that is left.",
        ),
        ("  seed: [1]\n  exclude: [{seed: 1}]", "7: matrix: exclude leaves none of its 1 runs."),
        ("  seed: [1]\n  exclude: {seed: 1}", "9: matrix.exclude: expected a list, such as exclude: [{did"),
        ("  include: []", "8: matrix.include: expected a list, such as include: [{did.estimator: twfe}]."),
        ("  include: [{}]", "8: matrix.include: expected keys and values, such as {did.estimator: twfe}."),
        ("  include: [twfe]", "8: matrix.include: expected keys and values, such as {did.estimator: twfe}."),
        (
            "  seed: [1, 2]\n  include: [{seed: 2}]",
            "9: this run is the same as one that the lists make; leave one out.",
        ),
        (
            "  include:\n    - {seed: 2}\n    - {seed: 2, title: Again}",
            "10: this run is the same as that of x.yaml:9; leave one out.",
        ),
        (
            "  title: [A, B]",
            "8: title: B makes the same study as A; keep one.",
        ),
        (
            "  seed: [1, 2]\n  design.cluster: [x, [x]]",
            "9: design.cluster: [x] makes the same study as x; keep one.",
        ),
        (
            "  seed: [1, 2]\n  matching.caliper: [1, 1.0]",
            "9: matching.caliper: 1.0 makes the same study as 1; keep one.",
        ),
        (
            "  seed: &x [1]",
            "8: matrix.seed: anchors (&) and aliases (*) are not used here; write the value out.",
        ),
        (
            "  did.estimator: [etwfe, no]\n  design.months_after: [6, 12]",
            "8: did.estimator: no can be read in two ways; write true or false, or put it in quotes if it is",
        ),
        (
            "  did.estimator: [etwfe, twoo]\n  seed: [1, 2]",
            f"8: did.estimator: expected {SEVEN}, found 'twoo'.",
        ),
        (
            "  include: [{design.months_after: 1e1, seed: 2}]",
            "8: design.months_after: expected a whole number, found 10.0.",
        ),
        (
            "  did.estimator: [etwfe, callaway_santanna]\n  seed: [1, 2]",
            "5: did.family: callaway_santanna has no such argument; it takes control, covariates, method, "
            "base_period and anticipation. (In runs with did.estimator: callaway_santanna.)",
        ),
        (
            "  include: [{seed: 1}, {did.estimator: callaway_santanna, seed: 1}]",
            "5: did.family: callaway_santanna has no such argument; it takes control, covariates, method, "
            "base_period and anticipation. (In the run of x.yaml:8.)",
        ),
        (
            "  did.inference: [CR1, CR2]\n  outcomes: [[ae], [ae, gp]]",
            "8: did.inference: CR2 errors belong to one outcome; name one outcome, or use CR3. "
            "(In runs with outcomes: [ae, gp].)",
        ),
    ],
)
def test_each_mistake_is_one_sentence_with_its_line(faults: Faults, matrix: str, expected: str) -> None:
    (said,) = faults(matrix + "\n")
    assert said.startswith(f"x.yaml:{expected}")


@pytest.mark.parametrize("word", ["no", "012", "1:30", "Yes", "1_000", "0x1F"])
@pytest.mark.parametrize("at", ["list", "include", "table"])
def test_what_can_be_read_in_two_ways_is_refused_once(faults: Faults, word: str, at: str) -> None:
    matrix = {
        "list": f"  seed: [1, 2]\n  data.people: [a.csv, {word}]",
        "include": f"  include:\n    - {{data.people: {word}}}\n    - {{seed: 4, data.people: a.csv}}",
        "table": "",
    }[at]
    table = f"seed,data.people\n1,a.csv\n2,{word}\n3,{word}\n"
    base = BASE.replace("matrix:\n", "matrix: runs.csv") if at == "table" else BASE
    (said,) = faults(matrix, base=base, table=table)
    place = {"list": "x.yaml:9", "include": "x.yaml:9", "table": "runs.csv:3"}[at]
    assert said.startswith(f"{place}: data.people: {word} can be read in two ways; ")


def test_a_line_of_the_file_is_not_blamed_for_what_replaces_it(faults: Faults) -> None:
    base = BASE.replace("matching: {", "matching: {history: {services: [ae]}, ")
    assert faults("  matching.history: [{months: 6}]\n", base=base) == [
        "x.yaml:8: matching.history.services: missing."
    ]


def test_quotes_settle_it_in_a_table_too(tmp_path: Path, faults: Faults) -> None:
    faults("  []\n", table='data.people\n\'012\'\n"""no"""\n')
    (tmp_path / "x.yaml").write_text(BASE.replace("matrix:", "matrix: runs.csv"))
    studies = read_studies([tmp_path / "x.yaml"])
    assert [study.data.people for study in studies] == [("012",), ("no",)]


@pytest.mark.parametrize("matrix", ["5", "[1]", "true", "{}", "null", '""', "runs.cvs"])
def test_what_is_no_matrix_at_all(faults: Faults, matrix: str) -> None:
    (said,) = faults("", base=BASE.replace("matrix:\n", f"matrix: {matrix}\n"))
    if matrix == "runs.cvs":
        what = "there is no such file (paths count from the project's folder)"
        assert said == f"runs.cvs: {what}. Did you mean 'runs.csv'?"
    else:
        assert said.startswith("x.yaml:7: matrix: ")
        assert "did.estimator: [etwfe, twfe]" in said


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("", ["runs.csv: holds no run; write keys such as did.estimator in its first line."]),
        ("seed\n", ["runs.csv: holds no run; write keys such as did.estimator in its first line."]),
        ("seed,seed\n1,2\n", ["runs.csv:1: seed: stands in two columns; keep one."]),
        ("seed\n1,2\n3\n", ["runs.csv:2: holds a cell beyond the keys of the first line."]),
        ("seed,\n1,x\n", ["runs.csv:2: holds a cell beyond the keys of the first line."]),
        ('seed\n"1\n', ["runs.csv: this is not a CSV file: unexpected end of data."]),
        (
            "title\nM\xfcller\n".encode("latin-1"),
            ["runs.csv: this is not a text file in UTF-8; save it as CSV"],
        ),
        (
            "outcomes\n[ae\n",
            ["runs.csv:2: outcomes: [ae cannot be read as a list, as keys and values or as text in quotes."],
        ),
        (
            "seed,did.control\n1,nver\n2,never_treated\n3,nver\n4,nver\n",
            [
                "runs.csv:2: did.control: expected never_treated or not_yet_treated, found 'nver'. "
                "(2 more lines have the same.)"
            ],
        ),
        (
            "seed,did.contrl\n1,never_treated\n2,never_treated\n",
            [
                "runs.csv:2: did.contrl: there is no such key. Did you mean 'control'? "
                "(1 more line has the same.)"
            ],
        ),
        ("seed\n1\n\n1\n", ["runs.csv:4: this run is the same as that of runs.csv:2; leave one out."]),
        (
            "seed,did.control\n1,\n1,not_yet_treated\n",
            ["runs.csv:3: this run is the same as that of runs.csv:2; leave one out."],
        ),
        (
            'title\nA plan\n"""Best"" plan"\n',
            ['runs.csv:3: title: "Best" plan cannot be read as a list, as keys and values or as text in'],
        ),
        (
            "seed,did\n1,\n2,{estimator: twfe\n3,null\n",
            ["runs.csv:3: did: {estimator: twfe cannot be read as a list, as keys and values or as text"],
        ),
    ],
)
def test_each_mistake_in_a_table_is_one_sentence(
    faults: Faults, table: str | bytes, expected: list[str]
) -> None:
    said = faults("", base=BASE.replace("matrix:\n", "matrix: runs.csv\n"), table=table)
    assert len(said) == len(expected)
    assert all(line.startswith(start) for line, start in zip(said, expected, strict=True)), said


@pytest.mark.parametrize(
    ("table", "number"),
    [("seed\n" + "1\n" * 100_001, "100,001 runs"), ("", "1,000,000 runs (100 x 100 x 100)")],
)
def test_a_mistaken_huge_batch_is_refused_with_its_number(faults: Faults, table: str, number: str) -> None:
    numbers = ", ".join(str(i) for i in range(1, 101))
    lists = f"{{seed: [{numbers}], design.months_after: [{numbers}], design.months_before: [{numbers}]}}"
    (said,) = faults(
        "", base=BASE.replace("matrix:\n", f"matrix: {'runs.csv' if table else lists}\n"), table=table
    )
    assert number in said
    assert "100,000 is the most." in said


def test_all_faults_of_a_file_come_at_once_in_its_order(faults: Faults) -> None:
    matrix = """\
  did.estimator: [etwfe, two_by_too, twfe]
  design.months_after: [6, no, 012, 6]
  did.contrl: [x]
  matching.method: nearest
  exclude: [{did.estimator: etwfee}]
  include: [{seed: -1}, {}]
"""
    said = faults(matrix, base=BASE.replace("caliper: 0.2", "caliper: wide"))
    lines = [re.match(r"x\.yaml:(\d+): (?:matrix\.)?([\w.]+): ", line) for line in said]
    assert [(int(m[1]), m[2]) for m in lines if m] == [
        (6, "matching.caliper"),
        (8, "did.estimator"),
        (9, "design.months_after"),
        (9, "design.months_after"),
        (9, "design.months_after"),
        (10, "did.contrl"),
        (11, "matching.method"),
        (12, "exclude.did.estimator"),
        (13, "include"),
        (13, "seed"),
    ]


def test_all_faults_of_all_files_come_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    right = BASE.replace("matrix:\n", "")
    (tmp_path / "a.yaml").write_text(right.replace("etwfe", "etwf"))
    (tmp_path / "b.yaml").write_text(BASE + "  seed: [x]\n")
    (tmp_path / "c.yaml").write_text(right)
    (tmp_path / "C.yaml").mkdir()
    with pytest.raises(ParameterError) as error:
        read_studies(["?.yaml", "params/*.yaml", "*.yml", "zz*.yaml", "d.yaml"], changes=["seed=-2"])
    said = str(error.value).splitlines()
    assert said[0] == "params/*.yaml: no file matches this pattern."
    assert said[1] == "*.yml: no file matches this pattern. Did you mean 'c.yaml'?"
    assert said[2] == "zz*.yaml: no file matches this pattern."
    assert any(line.startswith("a.yaml:5: did.estimator: expected") for line in said)
    assert "--set seed=-2: the matrix varies seed; leave one of the two out." in said
    assert "d.yaml: there is no such parameter file. Did you mean 'c.yaml'?" in said
    # Said once, though two files hear it.
    assert said.count("--set seed=-2: seed: expected a number 0 or more, found -2.") == 1


@pytest.mark.parametrize("change", ["did.estimator=twfe", "did={}", "did.censoring.truncate=1"])
def test_a_change_of_what_is_varied_is_refused(faults: Faults, change: str) -> None:
    matrix = "  did.estimator: [etwfe, twfe]\n  include: [{did.censoring: {}}]\n"
    key = "did.censoring" if "censoring" in change else "did.estimator"
    assert f"--set {change}: the matrix varies {key}; leave one of the two out." in faults(
        matrix, changes=[change]
    )
    assert not any("--set title" in said for said in faults("  seed: [x]\n", changes=["title=A"]))


def test_a_fault_in_a_change_of_the_matrix_is_told_as_such(faults: Faults) -> None:
    said = faults("  seed: [1]\n", changes=["matrix={did.estimator: [twf, twfe], did.tests: x}"])
    start = "--set matrix={did.estimator: [twf, twfe], did.tests: x}: "
    assert any(line.startswith(f"{start}did.estimator: expected two_by_two") for line in said)
    assert any(
        "matrix.did.tests: expected a list of values, such as did.tests: [x]." in line for line in said
    )


def test_a_file_that_is_named_like_a_run_of_another_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.yaml").write_text(BASE + "  seed: [1]\n")
    (tmp_path / "X--seed-1.yaml").write_text(BASE.replace("matrix:\n", ""))
    with pytest.raises(ParameterError) as error:
        read_studies(["*.yaml"])
    assert str(error.value) == (
        "x.yaml: its run x--seed-1 would share a folder with one of X--seed-1.yaml; rename a file."
    )


def test_one_study_is_not_several(tmp_path: Path, faults: Faults) -> None:
    faults("  seed: [x]\n")
    (tmp_path / "x.yaml").write_text(BASE + "  seed: [1, 2]\n")
    with pytest.raises(
        ParameterError, match=r"x\.yaml:7: matrix: stands for several studies, .*`impact run`"
    ):
        Study.read(tmp_path / "x.yaml")
    with pytest.raises(ParameterError, match=r"^matrix: stands for several studies"):
        Study(data={}, matrix={"seed": [1]})
