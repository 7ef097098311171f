"""Bad parameter files: one clear sentence for each problem, all of a file together, with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from impact.errors import ParameterError
from impact.study import Study, read_studies

GOOD = """\
title: Northtown
data: {people: p.csv, contacts: c.csv}
design: {treated: [a], control: [b]}
outcomes: [ae, gp]
did: {estimator: callaway_santanna}
matching: {on: [age], caliper: 0.2}
"""


def problems(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "x.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ParameterError) as error:
        Study.read(file)
    assert error.value.exit_code == 2
    return [line.replace(str(file), "x.yaml") for line in str(error.value).splitlines()]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("title: N", "titel: N", "1: titel: there is no such key. Did you mean 'title'?"),
        ("title: N", "matrx: {seed: 1}\ntitle: N", "1: matrx: there is no such key. Did you mean 'matrix'?"),
        ("treated: [a]", "treted: [a]", "3: design.treted: there is no such key. Did you mean 'treated'?"),
        (
            "{on:",
            "{anticipation: 1, on:",
            "6: matching.anticipation: there is no such key. It belongs in did.",
        ),
        ("[ae, gp]", "ae", "4: outcomes: expected a list, such as [a, b], found 'ae'."),
        ("[ae, gp]", "[]", "4: outcomes: must not be empty."),
        ("[ae, gp]", "[ae, ae]", "4: outcomes: ae stands twice."),
        ("0.2", "a lot", "6: matching.caliper: expected a number, found 'a lot'."),
        ("0.2", "-1", "6: matching.caliper: expected a number above 0, found -1."),
        ("0.2", ".nan", "6: matching.caliper: expected a number, found '.nan'."),
        (
            "0.2",
            "0.2, ratio: 1.5",
            "6: matching.ratio: expected a whole number, found 1.5; it is an average with max_ratio only.",
        ),
        ("0.2", "0.2, ratio: 0", "6: matching.ratio: expected a number 1 or more, found 0."),
        ("0.2", "{age: wide}", "6: matching.caliper: expected a number, found 'wide'."),
        (
            "0.2",
            "{age: 5}, method: full",
            "6: matching.caliper: full takes one number, for the score.",
        ),
        (
            "0.2",
            "0.2, distance: prognostic",
            "6: matching.prognosis: missing: name the outcome that a prognostic score foretells.",
        ),
        (
            "0.2",
            "0.2, outcome_model: {ae: hurdel}",
            "6: matching.outcome_model: expected poisson, negative_binomial, conditional_poisson, aipw, "
            "hurdle, mean_difference, abadie_imbens or risk, or one of these for each outcome, "
            "found 'hurdel'. Did you mean 'hurdle'?",
        ),
        (
            "0.2",
            "0.2, outcome_model: {bed_day: hurdle}",
            "6: matching.outcome_model.bed_day: 'bed_day' is not one of outcomes, and hurdle takes no column "
            "of people.",
        ),
        (
            "0.2",
            "0.2, pair_censoring: true, replace: true",
            "6: matching.pair_censoring: matching with replacement has no sets to follow for the same time; "
            "use nearest, optimal, full, genetic or risk_set without replace.",
        ),
        (
            "caliper: 0.2",
            "method: subclass, pair_censoring: true",
            "6: matching.pair_censoring: subclass has no sets to follow for the same time; use nearest, "
            "optimal, full, genetic or risk_set without replace.",
        ),
        (
            "0.2",
            "0.2, method: risk_set, distance: prognostic",
            "6: matching.distance: risk_set has no prognostic score; use another distance.",
        ),
        (
            "0.2",
            "0.2, negative_control: [ae]",
            "6: matching.negative_control: ae is also listed in outcomes.",
        ),
        (
            "0.2",
            "0.2, sensitivity: [gamma]",
            "6: matching.sensitivity: expected rosenbaum_bounds or e_value, found 'gamma'.",
        ),
        (
            "caliper: 0.2",
            "method: entropy_balance, caliper: 0.2",
            "6: matching.caliper: entropy_balance has no such argument; it takes on, estimand, moments, "
            "tolerance, base and missing.",
        ),
        ("0.2", "0.2, ratio: true", "6: matching.ratio: expected a whole number, found true."),
        (
            "callaway_santanna",
            "calaway_santana",
            "5: did.estimator: expected two_by_two, twfe, callaway_santanna, sun_abraham, imputation, etwfe, "
            "stacked, synthetic_did or triple_difference, found 'calaway_santana'. "
            "Did you mean 'callaway_santanna'?",
        ),
        (
            "{estimator: callaway_santanna}",
            "{estimator: callaway_santanna, family: linear}",
            "5: did.family: callaway_santanna has no such argument; it takes control, covariates, method, "
            "base_period and anticipation.",
        ),
        (
            "callaway_santanna",
            "etwfe, inference: CR5",
            "5: did.inference: expected CR1, CR2, CR3, placebo, jackknife or bootstrap, found 'CR5'. "
            "Did you mean 'CR3'?",
        ),
        (
            "callaway_santanna",
            "etwfe, effects: people",
            "5: did.effects: expected arm, person or cohort, found 'people'. Did you mean 'person'?",
        ),
        (
            "callaway_santanna",
            "etwfe, effects: arm",
            "5: did.effects: etwfe takes person or cohort, found 'arm'.",
        ),
        (
            "callaway_santanna",
            "two_by_two, effects: cohort",
            "5: did.effects: two_by_two takes arm or person, found 'cohort'.",
        ),
        (
            "callaway_santanna",
            "etwfe, inference: CR2",
            "5: did.inference: etwfe (poisson) has CR1 and CR3, not CR2; choose one, or leave inference out.",
        ),
        ("control: [b]", "control: [a]", "3: design.control: a is also listed as treated."),
        ("control: [b]", "control: []", "3: design.control: missing: list the arms, such as [hand_holding]."),
        (
            "control: [b]",
            "control: [b], start: 2024-06, end: 2023-01",
            "3: design.end: 2023-01 is before the start, 2024-06.",
        ),
        (
            "control: [b]",
            "control: [b], start: 2024-13",
            "3: design.start: expected a month such as 2024-07, found '2024-13'.",
        ),
        (
            "control: [b]",
            "control: [b], months_before: 0",
            "5: did: design.months_before is 0, and a difference-in-differences needs a time before; "
            "leave did out.",
        ),
        (
            "{people: p.csv, contacts: c.csv}",
            "{people: p.csv}",
            "2: data.contacts: missing. data holds people and contacts, or else a panel.",
        ),
        (
            "contacts: c.csv",
            "contacts: c.csv, rename: {peple: {person_id: ID}}",
            "2: data.rename.peple: there is no such key. Did you mean 'people'?",
        ),
        (
            "contacts: c.csv",
            "contacts: c.csv, rename: {survey: {wave: W}}",
            "2: data.rename.survey: there is no data.survey whose columns could be renamed.",
        ),
        (
            "title: Northtown",
            "title:",
            "1: title: nothing stands after the colon; write a value or leave the key out.",
        ),
        (
            "control: [b]",
            "control: &x [b]",
            "3: design.control: anchors (&) and aliases (*) are not used here; write the value out.",
        ),
    ],
)
def test_each_mistake_has_its_sentence(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in GOOD
    assert problems(tmp_path, GOOD.replace(old, new)) == [f"x.yaml:{expected}"]


@pytest.mark.parametrize("word", ["no", "Yes", "on", "OFF", "012", "1:30", "1_000", "0x1F", "0o17"])
def test_what_can_be_read_in_two_ways_is_refused(tmp_path: Path, word: str) -> None:
    (problem,) = problems(tmp_path, GOOD.replace("Northtown", word))
    assert problem.startswith(f"x.yaml:1: title: {word} can be read in two ways; ")


@pytest.mark.parametrize("word", ["no", "012", "1:30", "1_000"])
def test_quotes_settle_it(tmp_path: Path, word: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(GOOD.replace("Northtown", f"'{word}'"))
    assert Study.read(file).title == word


def test_an_exponent_is_a_number_by_either_road(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(GOOD.replace("0.2", "1e-3"))
    read = Study.read(file)
    assert read.matching is not None
    assert read.matching.caliper == 0.001
    # Plain papermill passes it as text.
    given = Study(**read.parameters | {"matching": {"on": ["age"], "caliper": "1e-3"}})
    assert given.matching == read.matching


def test_a_key_that_stands_twice_is_refused_with_both_lines(tmp_path: Path) -> None:
    assert problems(tmp_path, GOOD + "title: Again\n") == [
        "x.yaml:1: title: stands twice, in lines 1 and 7; keep one."
    ]


def test_a_missing_section_is_named(tmp_path: Path) -> None:
    assert problems(tmp_path, "title: x\n") == [
        f"x.yaml: {name}: missing. A study holds data, design and outcomes."
        for name in ("data", "design", "outcomes")
    ]
    assert len(problems(tmp_path, "")) == 3


def test_all_problems_of_a_file_come_together_in_its_order(tmp_path: Path) -> None:
    text = GOOD.replace("Northtown", "012").replace("[b]", "no").replace("0.2", "two").replace("age", "[age]")
    assert [line.split(":")[1] for line in problems(tmp_path, text + "sede: 1\n")] == [
        "1",
        "3",
        "6",
        "6",
        "7",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("title: [a\noutcomes: b", "x.yaml:2: this is not YAML: expected ',' or ']', but got ':'."),
        (
            "a: 1\n---\nb: 2\n",
            "x.yaml:2: this is not YAML: a file is one study, so no line may be ---; write the other into a "
            "file of its own.",
        ),
        (
            "title: Northtown: its visits\n",
            "x.yaml:1: this is not YAML: text that holds a colon and a space must stand in quotes.",
        ),
        ("did:\n\tfamily: linear\n", "x.yaml:2: this is not YAML: lines begin with spaces, not with tabs."),
        (f"a: {500 * '['}", "x.yaml: this is not YAML that can be read: too many lists in lists."),
        ("- a\n- b\n", "x.yaml:1: a parameter file holds sections such as data:, design: and outcomes:."),
        ("a: \x01\n", "x.yaml: this is not YAML: it holds characters that cannot be printed."),
        ("a: &a [*a]\n", "x.yaml:1: a: anchors (&) and aliases (*) are not used here; write the value out."),
    ],
)
def test_what_is_not_a_parameter_file_at_all(tmp_path: Path, text: str, expected: str) -> None:
    assert problems(tmp_path, text)[0] == expected


def test_all_problems_of_all_files_come_at_once_in_their_order(tmp_path: Path) -> None:
    """Each file has a fault of its own, some cannot be read at all, and two are right."""
    slips: dict[str, tuple[str | bytes, str]] = {
        "binary": (bytes(range(256)), ": this is not a text file in UTF-8; save it as one."),
        "code": (GOOD.replace("[b]", "[012]"), ":3: design.control: 012 can be read in two ways"),
        "colon": ("title: a: b", ":1: this is not YAML: text that holds a colon"),
        "country": (GOOD.replace("[b]", "[no]"), ":3: design.control: no can be read in two ways"),
        "deep": (f"a: {500 * '['}", ": this is not YAML that can be read"),
        "hex": (GOOD + "seed: 0x1F\n", ":7: seed: 0x1F can be read in two ways"),
        "key": (GOOD + "sede: 1\r\n", ":7: sede: there is no such key. Did you mean 'seed'?"),
        "month": (GOOD.replace("[b]", "[b], start: 2024-13"), ":3: design.start: expected a month"),
        "negative": (
            GOOD.replace("[b]", "[b], months_before: -6"),
            ":3: design.months_before: expected a nu",
        ),
        "none": (GOOD + "seed:\n", ":7: seed: nothing stands after the colon"),
        "power": (GOOD + "seed: 1e3\n", ":7: seed: expected a whole number, found 1000.0."),
        "range": (GOOD.replace("[b]", "[a]"), ":3: design.control: a is also listed as treated."),
        "sixty": (GOOD.replace("[b]", "[1:30]"), ":3: design.control: 1:30 can be read in two ways"),
        "tab": ("did:\n\ta: 1", ":2: this is not YAML: lines begin with spaces"),
        "tag": (
            GOOD.replace("Northtown", "!!python/object/apply:os.system [ls]"),
            ":1: title: expected text",
        ),
        "twice": (GOOD + "title: Again\n", ":1: title: stands twice, in lines 1 and 7"),
        "utf16": (GOOD.encode("utf-16"), ": this is not a text file in UTF-8"),
        "word": (GOOD + "disclosure: hess\n", ":7: disclosure: expected hes, opensafely"),
        "yes": (GOOD.replace("}\nm", ", matched: yes}\nm"), ":5: did.matched: yes can be read in two ways"),
    }
    good = {"right": (GOOD, ""), "small": (GOOD.replace("0.2", "1e-3"), "")}
    for name, (text, _) in {**slips, **good}.items():
        content = text if isinstance(text, bytes) else text.encode()
        (tmp_path / f"{name}.yaml").write_bytes(content)
    with pytest.raises(ParameterError) as error:
        read_studies([tmp_path / "*.yaml"])
    said = str(error.value).replace(f"{tmp_path}/", "").splitlines()
    expected = [f"{name}.yaml{words}" for name, (_, words) in slips.items()]
    assert [line[: len(words)] for line, words in zip(said, expected, strict=True)] == expected


def test_a_file_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes("title: Müller".encode("latin-1"))
    with pytest.raises(ParameterError, match="not a text file in UTF-8"):
        Study.read(tmp_path / "x.yaml")


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "northtown.yaml").touch()
    with pytest.raises(ParameterError, match=r"no such parameter file. Did you mean 'northtown.yaml'\?"):
        Study.read(tmp_path / "northton.yaml")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            "did.control=nver",
            "--set did.control=nver: did.control: expected never_treated or not_yet_treated",
        ),
        ("seed=no", "--set seed=no: seed: no can be read in two ways"),
        ("did.contrl=x", "did.contrl: there is no such key. Did you mean 'control'?"),
        ("seed", "--set seed: write section.key=value"),
        ("title.x.y=1", "title: expected text"),
    ],
)
def test_a_bad_change_is_told_like_a_bad_line(tmp_path: Path, change: str, expected: str) -> None:
    (tmp_path / "x.yaml").write_text(GOOD)
    with pytest.raises(ParameterError) as error:
        Study.read(tmp_path / "x.yaml", changes=[change])
    assert expected in str(error.value)


PANEL = "data: {panel: {file: x.csv, unit: u, period: t, outcomes: [n]}}\noutcomes: [n]\n"


@pytest.mark.parametrize(
    ("design", "expected"),
    [
        ("{}", "design: nothing says who had support"),
        ("{treated: [a], control: [b]}", "data.panel.arm: missing"),
        (
            "{placebo: {share: 1.5, from: 2020-01, to: 2020-06}}",
            "design.placebo.share: expected a number below 1",
        ),
        (
            "{placebo: {share: .5, from: 2020-07, to: 2020-06}}",
            "design.placebo.to: 2020-06 is before from, 2020-07",
        ),
        (
            "{placebo: {share: .5, form: 2020-07, to: 2020-06}}",
            "design.placebo.form: there is no such key. Did you mean 'from'?",
        ),
    ],
)
def test_a_panel_says_who_had_support(tmp_path: Path, design: str, expected: str) -> None:
    assert expected in "\n".join(problems(tmp_path, PANEL + f"design: {design}\n"))


def test_columns_of_a_panel_are_names_and_no_lists(tmp_path: Path) -> None:
    said = problems(tmp_path, PANEL.replace("[n]}}", "[[n]]}}") + "design: {placebo: {}}\n")
    assert "x.yaml:1: data.panel.outcomes: expected keys and values, found a list." in said


def test_a_notebook_hears_the_same_sentences() -> None:
    with pytest.raises(ParameterError) as error:
        Study(
            data={"people": "p.csv", "contacts": "c.csv"},
            design={"treated": ["a"], "control": "b"},
            outcome=["ae"],
        )
    assert str(error.value).splitlines() == [
        "design.control: expected a list, such as [a, b], found 'b'.",
        "outcomes: missing. A study holds data, design and outcomes.",
        "outcome: there is no such key. Did you mean 'outcomes'?",
    ]


ERRORS = ("CR1", "CR2", "CR3", "placebo", "jackknife", "bootstrap")


@pytest.mark.parametrize(
    ("did", "kinds"),
    [
        ("{estimator: two_by_two", "CR1 CR2 CR3"),
        ("{estimator: twfe", "CR1 CR2 CR3"),
        ("{estimator: callaway_santanna", "CR3"),
        ("{estimator: sun_abraham", "CR1 CR2 CR3"),
        ("{estimator: imputation", "CR3"),
        ("{estimator: etwfe", "CR1 CR3"),
        ("{estimator: etwfe, family: linear", "CR1 CR2 CR3"),
        ("{estimator: stacked, family: linear", "CR1 CR3"),
        ("{estimator: synthetic_did", "placebo jackknife bootstrap"),
        ("{estimator: triple_difference, subgroup: x", "CR1 CR3"),
        ("{estimator: triple_difference, subgroup: x, within: imputation", "CR3"),
    ],
)
def test_errors_an_estimator_does_not_have_are_refused_before_data_are_read(
    tmp_path: Path, did: str, kinds: str
) -> None:
    one = GOOD.replace("[ae, gp]", "[ae]")
    for inference in ERRORS:
        text = one.replace("{estimator: callaway_santanna", f"{did}, inference: {inference}")
        if inference in kinds.split():
            (tmp_path / "x.yaml").write_text(text)
            Study.read(tmp_path / "x.yaml")
        else:
            (said,) = problems(tmp_path, text)
            assert f"not {inference}; choose one" in said


@pytest.mark.parametrize(
    ("design", "did", "expected"),
    [
        ("", "tests: [wild_boostrap]", "did.tests: expected wild_bootstrap or randomisation_test"),
        ("", "tests: [wild_boostrap]", "Did you mean 'wild_bootstrap'?"),
        ("", "tests: wild_bootstrap", "did.tests: expected a list, such as [a, b]"),
        ("", "tests: [randomisation_test, randomisation_test]", "randomisation_test stands twice."),
        ("", "tests: [wild_bootstrap]", "design.cluster: missing: wild_bootstrap is for a handful of groups"),
        (
            "cluster: s",
            "estimator: synthetic_did, tests: [wild_bootstrap]",
            "synthetic_did has no wild_bootstrap",
        ),
        ("", "estimator: synthetic_did, tests: [randomisation_test]", "has no randomisation_test"),
        ("", "estimator: synthetic_did, censoring: {}", "did.censoring: synthetic_did needs everyone"),
        ("", "censoring: true", "did.censoring: expected keys and values, found true."),
        (
            "",
            "censoring: {truncat: 1}",
            "did.censoring.truncat: there is no such key. Did you mean 'truncate'?",
        ),
        ("", "censoring: {truncate: 1.5}", "did.censoring.truncate: expected a number up to 1, found 1.5."),
        ("", "censoring: {reasons: move}", "did.censoring.reasons: expected a list, such as [a, b]"),
        (
            "cluster: [a, b, c]",
            "",
            "design.cluster: 3 columns are named; name one, or two whose groups cross.",
        ),
        ("cluster: [a, a]", "", "design.cluster: a stands twice."),
        ("cluster: [a, b]", "inference: CR3", "design.cluster: CR3 has no errors by two columns at once"),
        ("cluster: [a, b]", "estimator: synthetic_did", "synthetic_did has no errors by two columns at once"),
    ],
)
def test_what_goes_with_every_estimator_is_refused_where_it_cannot_be(
    tmp_path: Path, design: str, did: str, expected: str
) -> None:
    text = GOOD.replace("control: [b]", f"control: [b], {design}" if design else "control: [b]")
    text = text.replace("{estimator: callaway_santanna}", f"{{{did}}}")
    assert expected in "\n".join(problems(tmp_path, text))


def test_risk_sets_have_dates_of_their_own(tmp_path: Path) -> None:
    text = GOOD.replace("{on:", "{method: risk_set, on:").replace("[b]", "[b], index_date: partner")
    assert problems(tmp_path, text) == [
        "x.yaml:3: design.index_date: risk_set follows everyone of a set from the day support began; leave "
        "index_date out."
    ]
    panel = "data: {panel: {file: p.csv, unit: id, period: year, outcomes: [ae, gp], first_treated: start}}"
    changed = {"data:": panel, "design:": "design: {months_after: 6}"}
    lines = [
        changed.get(line.split(" ")[0], line).replace("{on:", "{method: risk_set, on:")
        for line in GOOD.splitlines()
    ]
    assert problems(tmp_path, "\n".join(lines) + "\n") == [
        "x.yaml:6: matching.method: risk_set follows people from day to day, whom a panel does not hold."
    ]


def test_two_columns_of_clusters_serve_a_did_only(tmp_path: Path) -> None:
    text = GOOD.replace("control: [b]", "control: [b], cluster: [x, y]").replace(
        "did: {estimator: callaway_santanna}\n", ""
    )
    assert "two columns serve a difference-in-differences" in "\n".join(problems(tmp_path, text))


@pytest.mark.parametrize(
    ("did", "matching", "expected"),
    [
        (
            "{matched: true}",
            "",
            "5: did.matched: there is no matching section that says how people are matched.",
        ),
        (
            "{matched: true, censoring: {}}",
            "matching: {on: [age]}",
            "5: did.censoring: its weights do not go with those of matched people; leave one out.",
        ),
        (
            "{estimator: synthetic_did, matched: true}",
            "matching: {on: [age]}",
            "5: did.matched: synthetic_did weighs controls in its own way; take matched out.",
        ),
        (
            "{matched: true}",
            "matching: {on: [age], estimand: ATC}",
            "5: did.matched: a difference-in-differences is about those who had support (ATT), and "
            "matching.estimand is ATC; leave one of them out.",
        ),
    ],
)
def test_matched_people_need_a_match_and_no_other_weights(
    tmp_path: Path, did: str, matching: str, expected: str
) -> None:
    lines = GOOD.splitlines()
    at = {
        key: next(i for i, line in enumerate(lines) if line.startswith(key)) for key in ("did:", "matching:")
    }
    lines[at["did:"]], lines[at["matching:"]] = f"did: {did}", matching
    assert problems(tmp_path, "\n".join(lines) + "\n") == [f"x.yaml:{expected}"]


WITHOUT_DID = GOOD.replace("did: {estimator: callaway_santanna}\n", "")
A_PANEL = "data: {panel: {file: p.csv, unit: id, period: t, outcomes: [ae, gp], first_treated: start}}"


@pytest.mark.parametrize(
    ("design", "expected"),
    [
        (
            "index_date: drwan",
            "index_date: expected drawn, partner, offer_date or period, found 'drwan'. Did you mean 'drawn'?",
        ),
        (
            "index_date: {rule: drawnn}",
            "index_date.rule: expected drawn, partner, offer_date or period, found",
        ),
        (
            "index_date: {rule: drawn, witin: [sex]}",
            "index_date.witin: there is no such key. Did you mean 'within'?",
        ),
        ("within: [sex]", "within: there is no such key. It belongs in design.index_date."),
        ("index_date: {within: sex}", "index_date.within: expected a list, such as [a, b], found 'sex'."),
        (
            "index_date: {rule: offer_date, within: [sex]}",
            "index_date.within: the rule offer_date draws no dates; leave within out.",
        ),
        ("index_date: {rule: period}", "index_date.month: missing: name the month of starts that is studied"),
        ("index_date: period", "index_date.month: missing: name the month of starts that is studied"),
        (
            "index_date: {month: 2024-03}",
            "index_date.month: the rule drawn takes no month; use the rule period, or leave it out.",
        ),
        ("index_date: {rule: period, month: spring}", "index_date.month: expected a month such as 2024-07"),
        (
            "index_date: {months_before: -1}",
            "index_date.months_before: expected a number 0 or more, found -1.",
        ),
        ("unit: [household_id]", "unit: expected text"),
        (
            "unit: household_id, index_date: partner",
            "unit: partner dates people one by one, and a household has",
        ),
    ],
)
def test_index_dates_and_units_that_cannot_be_are_refused(tmp_path: Path, design: str, expected: str) -> None:
    text = WITHOUT_DID.replace("control: [b]", f"control: [b], {design}")
    (found,) = problems(tmp_path, text)
    assert found.startswith(f"x.yaml:3: design.{expected}")


@pytest.mark.parametrize(
    ("matching", "expected"),
    [
        ("{on: [age], history: {}}", "history.services: missing."),
        ("{on: [age], history: {services: []}}", "history.services: must not be empty."),
        ("{on: [age], history: {services: [ae, ae]}}", "history.services: ae stands twice."),
        (
            "{on: [age], history: {services: [ae], by: week}}",
            "history.by: expected month or quarter, found 'week'.",
        ),
        (
            "{on: [age], history: {services: [ae], months: 7}}",
            "history.months: expected two or more whole quarters, found 7 months.",
        ),
        (
            "{on: [age], history: {services: [ae], months: 3}}",
            "history.months: expected two or more whole quarters, found 3 months.",
        ),
        (
            "{on: [age], history: {services: [ae], scale: log}}",
            "history.scale: expected count, log1p or sqrt, found 'log'.",
        ),
        (
            "{on: [age, prior_ae_q*]}",
            "on: a name with * stands for columns of matching.history, which is not given.",
        ),
        (
            "{on: [prior_gp_q*], history: {services: [ae]}}",
            "on: 'prior_gp_q*' stands for no column of matching.history, such as prior_ae_q1, prior_ae_q2.",
        ),
        (
            "{on: [age], apart: home, spillover: home}",
            "spillover: home keeps such controls out already (apart).",
        ),
        ("{on: [age], apart: [home]}", "apart: expected text"),
        (
            "{on: [age], method: full, anti_exact: [home]}",
            "anti_exact: full does not keep people apart; use optimal or nearest, or apart.",
        ),
        (
            "{on: [age], method: full, max_controls: 2.5}",
            "max_controls: expected a whole number of controls, or a part such as 1/3, found 2.5.",
        ),
        (
            "{on: [age], method: full, max_controls: 2/3}",
            "max_controls: expected a whole number of controls, or a part such as 1/3, found '2/3'.",
        ),
        (
            "{on: [age], method: full, min_controls: 2, max_controls: 1/2}",
            "min_controls: it cannot be above max_controls.",
        ),
    ],
)
def test_histories_and_neighbours_that_cannot_be_are_refused(
    tmp_path: Path, matching: str, expected: str
) -> None:
    text = GOOD.replace("{on: [age], caliper: 0.2}", matching)
    (found,) = problems(tmp_path, text)
    assert found.startswith(f"x.yaml:6: matching.{expected}")


def test_what_needs_people_and_days_is_refused_for_panels_and_households(tmp_path: Path) -> None:
    lines = [A_PANEL if line.startswith("data:") else line for line in WITHOUT_DID.splitlines()]
    lines[2] = "design: {unit: home, index_date: {within: [sex]}}"
    lines[4] = "matching: {on: [age], history: {services: [ae]}}"
    assert problems(tmp_path, "\n".join(lines) + "\n") == [
        "x.yaml:3: design.index_date: a panel's controls draw one of its starts; leave index_date out.",
        "x.yaml:3: design.unit: a panel keeps its own units (data.panel.unit); leave it out.",
        "x.yaml:5: matching.history: contacts are counted by day, which a panel does not hold.",
    ]
    home = GOOD.replace("control: [b]", "control: [b], unit: home")
    assert problems(tmp_path, home) == [
        "x.yaml:3: design.unit: a difference-in-differences follows people; name the column under "
        "design.cluster instead."
    ]
    alone = WITHOUT_DID.replace("control: [b]", "control: [b], unit: home")
    for more, expected in (
        ("pair_censoring: true", "pair_censoring follows people one by one; leave one of them out."),
        ("apart: home", "home is the unit already, so that nobody in it is compared with another."),
        ("method: risk_set", "risk_set dates people one by one, and a household has one date; leave one of"),
    ):
        (found,) = problems(tmp_path, alone.replace("caliper: 0.2", more))
        assert found.startswith(f"x.yaml:3: design.unit: {expected}")
    month = GOOD.replace("control: [b]", "control: [b], index_date: {rule: period, month: 2024-03}")
    assert problems(tmp_path, month) == [
        "x.yaml:3: design.index_date: period is about the starts of one month, and callaway_santanna takes "
        "those of all; use two_by_two, or another rule."
    ]
