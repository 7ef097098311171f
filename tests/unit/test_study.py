"""The study: what a parameter file means, and that its names are those of the methods."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from papermill.iorw import load_notebook_node, read_yaml_file
from papermill.parameterize import parameterize_notebook

from impact import did, interpret, match
from impact.errors import DataError, ParameterError
from impact.study import Study, project_root
from impact.study.matching import Matching, OutcomeModel
from impact.study.sections import Did

PARAMS = Path(__file__).parents[2] / "params"
SMALL: dict[str, Any] = {
    "data": {"people": "p.csv", "contacts": ["c1.csv", "c2.csv"]},
    "design": {"treated": ["a"], "control": ["b"]},
    "outcomes": ["ae"],
}


@pytest.mark.parametrize(
    ("section", "field", "registry"),
    [(Did, "estimator", did.ESTIMATORS), (Matching, "method", match.METHODS)],
)
def test_names_in_a_parameter_file_are_the_registry_keys(section: Any, field: str, registry: Any) -> None:
    assert set(get_args(section.model_fields[field].annotation)) == set(registry)


@pytest.mark.parametrize(
    ("section", "registry"),
    [
        *((Did(estimator=name), did.ESTIMATORS[name]) for name in did.ESTIMATORS),  # type: ignore[arg-type]
        *((Matching(method=name, on=("age",)), match.METHODS[name]) for name in match.METHODS),  # type: ignore[arg-type]
    ],
    ids=[*did.ESTIMATORS, *match.METHODS],
)
def test_a_method_takes_every_argument_it_is_given(section: Any, registry: Any) -> None:
    taken = set(inspect.signature(registry).parameters)
    if "arguments" in taken:  # of the estimator within
        taken |= set(inspect.signature(did.ESTIMATORS[section.within]).parameters)
    assert set(section.arguments) <= taken
    if isinstance(section, Matching):
        assert set(section.taken()) == taken - {"cohort"}


def test_outcome_models_in_a_parameter_file_are_the_registry_keys() -> None:
    assert set(get_args(OutcomeModel)) == set(match.OUTCOMES)


@pytest.mark.parametrize("file", sorted(PARAMS.glob("*.yaml")), ids=lambda p: p.stem)
def test_the_committed_studies_are_right_and_survive_papermill(file: Path) -> None:
    study = Study.read(file)
    assert study.name == file.stem
    # What is injected into a notebook is JSON and gives the same study again.
    assert Study(**json.loads(json.dumps(study.parameters))).parameters == study.parameters


def test_the_same_study_from_a_file_and_from_a_notebook(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(json.dumps(SMALL | {"title": "Health support, Northtown"}))  # JSON is YAML
    read, given = Study.read(file), Study(title="Health support, Northtown", **SMALL)
    assert read.parameters == given.parameters
    assert (read.name, given.name) == ("x", "health-support-northtown")


@pytest.mark.parametrize("file", sorted(PARAMS.glob("*.yaml")), ids=lambda p: p.stem)
def test_papermills_yaml_reads_the_committed_studies_as_we_do(file: Path) -> None:
    # It takes an unquoted key `on` for true, and then cannot write the notebook.
    read = read_yaml_file(str(file))
    assert Study(**read).parameters == Study.read(file).parameters


def test_source_counts_paths_from_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "params").mkdir()
    (tmp_path / "notebooks").mkdir()
    arms = {"treated": ["a"], "control": ["b"]}
    monkeypatch.delenv("IMPACT_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    assert Study(**SMALL).source == {"people": "p.csv", "contacts": ["c1.csv", "c2.csv"], **arms}
    monkeypatch.chdir(tmp_path / "notebooks")
    assert Study(**SMALL).source["people"] == str(tmp_path / "p.csv")
    monkeypatch.setenv("IMPACT_ROOT", str(tmp_path / "elsewhere"))
    assert project_root() == tmp_path / "elsewhere"


def test_outside_a_project_the_message_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IMPACT_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParameterError, match=r"no params folder .* `impact new`"):
        project_root()


def test_a_panel_study_reads_every_column_its_methods_use() -> None:
    panel = {"file": "x.csv", "unit": "u", "period": "t", "outcomes": {"y": ["y1", "y2"]}, "arm": "plan"}
    study = Study(
        data={"panel": panel | {"where": {"type": 1}}},
        design={"treated": [11], "control": ["2"], "months_before": 0},
        outcomes=["y"],
        matching={"on": ["age", "sex"], "exact": ["site"]},
    )
    source = study.source
    assert source["panel"]["covariates"] == ["age", "sex", "site"]
    assert source["panel"]["outcomes"] == {"y": ("y1", "y2")}
    assert source["panel"]["where"] == {"type": ("1",)}
    assert (source["treated"], source["control"]) == (["11"], ["2"])


def test_files_are_found_by_glob_and_all_missing_ones_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMPACT_ROOT", str(tmp_path))
    for name in ("c1.csv", "c2.csv", "people.csv"):
        (tmp_path / name).touch()
    found = Study(**SMALL | {"data": {"people": "people.csv", "contacts": "c*.csv"}}).files
    assert {k: [p.name for p in v] for k, v in found.items()} == {
        "people": ["people.csv"],
        "contacts": ["c1.csv", "c2.csv"],
    }
    with pytest.raises(DataError) as error:
        Study(**SMALL | {"data": {"people": "peple.csv", "contacts": "d*.csv"}}).files
    first, second = str(error.value).splitlines()
    assert "data.people" in first
    assert "Did you mean 'people.csv'?" in first
    assert "data.contacts" in second


def test_did_arguments_are_those_of_the_estimator() -> None:
    study = Study(**SMALL, did={"estimator": "two_by_two", "family": "linear"})
    assert study.did is not None
    assert study.did.arguments == {"family": "linear", "covariates": ()}
    assert study.did.plan == {"estimator": "two_by_two", "family": "linear", "covariates": ()}


def test_errors_for_few_clusters_are_part_of_the_plan_and_no_argument_of_the_estimator() -> None:
    study = Study(**SMALL, did={"estimator": "etwfe", "inference": "CR3"})
    assert study.did is not None
    assert "inference" not in study.did.arguments
    assert study.did.plan["inference"] == "CR3"


def test_a_triple_difference_takes_the_arguments_of_the_estimator_within() -> None:
    chosen = {"estimator": "triple_difference", "subgroup": "tenant"}
    study = Study(**SMALL, did=chosen)
    assert study.did is not None
    assert study.did.arguments == {"subgroup": "tenant", "within": "two_by_two", "family": "poisson"}
    assert (study.did.clock, study.window["covariates"]) == ("event", ["tenant"])
    adjusted = Study(**SMALL, did=chosen | {"within": "callaway_santanna", "covariates": ["age"]})
    assert adjusted.did is not None
    assert adjusted.did.arguments["covariates"] == ("age",)
    assert "control" not in adjusted.did.arguments
    with pytest.raises(ParameterError, match="covariates: triple_difference has no such argument"):
        Study(**SMALL, did=chosen | {"covariates": ["age"]})
    with pytest.raises(ParameterError, match="subgroup: missing"):
        Study(**SMALL, did={"estimator": "triple_difference"})


def test_a_study_cannot_be_changed_after_reading() -> None:
    study = Study(**SMALL)
    with pytest.raises(ValueError, match="frozen"):
        study.seed = 1


def test_changes_are_made_before_the_file_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(
        "data: {people: p.csv, contacts: c.csv}\ndesign: {treated: [a], control: no}\noutcomes: [ae]\n"
    )
    study = Study.read(file, changes=["design.control=[b, c]", "matching.on=[age]", "matching.caliper=2e-1"])
    assert study.design.control == ("b", "c")
    assert study.matching is not None
    assert study.matching.caliper == 0.2


def test_the_schema_completes_and_checks_a_file() -> None:
    schema = Study.model_json_schema()
    assert schema["required"] == ["data", "design", "outcomes"]
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["Did"]["properties"]["control"]["enum"] == ["never_treated", "not_yet_treated"]
    assert all("description" in v for d in schema["$defs"].values() for v in d["properties"].values())


def run_in_ipython(*cells: str) -> str:
    code = "import sys, json; from IPython.core.interactiveshell import InteractiveShell as S\n"
    code += (
        "shell = S.instance()\nfor c in json.loads(sys.argv[1]):\n    shell.run_cell(c, store_history=True)\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, json.dumps(cells)], capture_output=True, text=True, env=os.environ
    )
    return out.stdout + out.stderr


DEMO = """
title = "Demo"
data = {"people": "demo.csv", "contacts": "demo.csv"}
design = {"treated": ["demo"], "control": ["c"]}
outcomes = ["ae"]
did = {}
matching = {"on": ["age"]}
seed = 5
"""
MAKE = """
import impact
study = impact.Study(title=title, data=data, design=design, outcomes=outcomes, did=did, matching=matching,
                     seed=seed)
print("MADE", study.title, study.design.treated, study.seed, study.did, study.matching and study.matching.on)
"""


def test_in_a_notebook_a_file_that_brings_its_own_data_gets_nothing_of_the_demos() -> None:
    injected = (
        '# Parameters\ndata = {"people": "own.csv", "contacts": "own.csv"}\n'
        'design = {"treated": ["own"], "control": ["c"]}\noutcomes = ["gp"]\nmatching = {"on": ["sex"]}\n'
    )
    told = run_in_ipython(DEMO, injected, MAKE)
    # did, title and seed are not the demonstration's.
    assert "MADE Untitled study ('own',) 20261122 None ('sex',)" in told


def test_in_a_notebook_a_study_whose_design_is_the_demos_is_refused() -> None:
    told = run_in_ipython(DEMO, '# Parameters\ndata = {"people": "own.csv", "contacts": "own.csv"}\n', MAKE)
    assert "design: missing. A study holds data, design and outcomes." in told
    assert "outcomes: missing" in told


def test_in_a_notebook_one_changed_value_leaves_the_demo_as_it_is() -> None:
    assert "MADE Demo ('demo',) 9" in run_in_ipython(DEMO, "# Parameters\nseed = 9\n", MAKE)


def test_in_a_notebook_a_file_of_several_studies_is_refused() -> None:
    sections = SMALL | {"matching": {"on": ["sex"]}, "matrix": {"seed": [1, 2]}}
    notebook = parameterize_notebook(
        load_notebook_node(str(PARAMS.parent / "notebooks/cohort.ipynb")), sections
    )
    (injected,) = (c.source for c in notebook.cells if "injected-parameters" in c.metadata.tags)
    assert "matrix = " in injected
    told = run_in_ipython(DEMO, injected, MAKE)
    assert "matrix: stands for several studies, and this is about one: use `impact run`" in told
    assert "MADE Untitled" not in told


def test_cr2_of_several_outcomes_is_refused_before_anything_runs() -> None:
    with pytest.raises(ParameterError, match=r"did\.inference: CR2 errors belong to one outcome"):
        Study(**SMALL | {"outcomes": ["ae", "gp"]}, did={"estimator": "twfe", "inference": "CR2"})


def test_censoring_tests_and_two_clusterings_go_their_ways() -> None:
    did = {"censoring": {"covariates": ["ltc_n"], "reasons": ["move"]}, "tests": ["wild_bootstrap"]}
    design = SMALL["design"] | {"cluster": ["site", "officer"], "assignment": "randomised"}
    study = Study(**SMALL | {"design": design}, did=did | {"covariates": ["age"]}, seed=3)
    assert study.did is not None
    assert set(study.did.arguments) == {"family", "control", "covariates", "anticipation"}
    assert study.did_plan == study.did.plan | {"second_cluster": "officer"}
    assert study.window["cluster"] == "site"
    assert study.window["covariates"] == ["age", "ltc_n", "officer"]
    assert study.characteristics == ["age", "ltc_n"]
    assert study.panel_plan["censoring"] == {"covariates": ("ltc_n",), "reasons": ("move",), "truncate": 0.99}
    assert study.analysis["did"] == study.did_plan
    assert set(study.panel_plan) == set(inspect.signature(interpret.build_panel).parameters) - {"data"}
    assert study.few_sites == {"tests": ["wild_bootstrap"], "assignment": "randomised", "seed": 3}
    assert "officer at once" in study.protocol["Analysis"]
    again = Study(**json.loads(json.dumps(study.parameters)))
    assert (again.parameters, again.panel_plan) == (study.parameters, study.panel_plan)


def test_a_panel_study_reads_its_clusters_and_why_units_ended() -> None:
    panel = {
        "file": "x.csv",
        "unit": "u",
        "period": "t",
        "outcomes": ["y"],
        "first_treated": "s",
        "ended": "why",
    }
    study = Study(data={"panel": panel}, design={"cluster": ["a", "b"]}, outcomes=["y"], did={})
    assert (study.source["panel"]["ended"], study.source["panel"]["covariates"]) == ("why", ["a", "b"])
    plain = Study(data={"panel": panel}, design={}, outcomes=["y"], did={})
    assert plain.panel_plan["censoring"] is None
    assert plain.few_sites["tests"] == []
    assert "second_cluster" not in plain.did_plan


def test_index_dates_are_a_word_or_a_word_and_more() -> None:
    words = Study(**SMALL | {"design": SMALL["design"] | {"index_date": "partner"}})
    assert words.baseline["index_date"] == words.around["index_date"] == "partner"
    assert words.parameters["design"]["index_date"] == "partner"
    asked = {"rule": "drawn", "within": ("sex", "imd_fifth"), "months_before": 12}
    study = Study(**SMALL | {"design": SMALL["design"] | {"index_date": asked}})
    assert study.baseline["index_date"] == asked
    assert Study(**json.loads(json.dumps(study.parameters))).parameters == study.parameters
    assert "drawn among people alike in sex and imd_fifth" in study.protocol["Time zero"]
    assert "observed for the 12 months before" in study.protocol["Time zero"]
    month = {"rule": "period", "month": "2024-03"}
    study = Study(**SMALL | {"design": SMALL["design"] | {"index_date": month}})
    assert study.baseline["index_date"] == month
    assert "whose support began in 2024-03" in study.protocol["Time zero"]


def test_the_history_and_neighbours_of_a_parameter_file() -> None:
    history = {"services": ["ae", "gp"], "months": 6, "scale": "log1p"}
    more = {"history": history, "apart": "building_id", "spillover": "household_id"}
    names = ["age", "prior_log1p_ae_q*", "prior_log1p_gp_q*", "trend_log1p_ae"]
    study = Study(**SMALL | {"matching": {"on": names} | more})
    quarters = [f"prior_log1p_{service}_q{k}" for service in ("ae", "gp") for k in (1, 2)]
    assert study.matching is not None
    assert study.matching.on == ("age", *quarters, "trend_log1p_ae")
    assert study.baseline["history"] == {"services": ["ae", "gp"], "months": 6, "by": 3, "scale": "log1p"}
    assert study.matching_plan["apart"] == "building_id"
    assert study.spillover["by"] == "household_id"
    said = study.protocol["Analysis"]
    assert (
        "on age, ae by quarter in the 6 months before, as logarithms, gp by quarter in the 6 months" in said
    )
    assert "Nobody who shares a building with people supported is a control." in said
    assert "Repeated without controls who share a household" in said
    assert Study(**json.loads(json.dumps(study.parameters))).parameters == study.parameters


def test_what_counts_as_a_unit_is_told_on_the_page() -> None:
    study = Study(
        **SMALL
        | {
            "design": SMALL["design"] | {"unit": "household_id"},
            "matching": {"on": ["age"]},
            "notes": ["So."],
        }
    )
    assert study.baseline["unit"] == "household_id"
    assert study.remarks[0] == "So."
    assert study.remarks[1].startswith("Each household is compared as one, in place of the people in it.")


def test_limits_on_sets_may_be_parts() -> None:
    study = Study(
        **SMALL | {"matching": {"on": ["age"], "method": "full", "min_controls": "1/3", "max_controls": 2}}
    )
    assert study.matching_plan["min_controls"] == pytest.approx(1 / 3)
    assert study.matching_plan["max_controls"] == 2
    assert Study(**json.loads(json.dumps(study.parameters))).parameters == study.parameters


MONEY: dict[str, Any] = {"price_year": "2023/24", "support_cost_per_person": 420}


@pytest.mark.parametrize(
    ("money", "said"),
    [
        ({"count": ["gp"]}, "money.count: 'gp' is not one of outcomes"),
        ({"count": ["bed_days", "day_case"]}, "'bed_days' and 'day_case' count the same stays; count one"),
        ({"cashable": {"gp": 0.1}}, "money.cashable.gp: 'gp' is not counted in money"),
        ({"cashable": {"ae": 1.1}}, "expected a number up to 1, found 1.1"),
        ({"staff_hours_per_person": 3}, "money.staff_hours_per_person: hours need staff_cost_per_hour"),
        (
            {"staff_hours_per_person": 3, "staff_cost_per_hour": 39},
            "give a cost for one person or hours of staff, not both",
        ),
        ({"price_year": "2023"}, "expected a financial year such as 2023/24, found '2023'"),
        ({"extend_to": {"people": 100}}, "money.extend_to.take_up: missing"),
        ({"extend_to": {"people": 100, "take_up": 20}}, "expected a number up to 1, found 20"),
        ({"price": "p.csv"}, "money.price: there is no such key"),
    ],
)
def test_what_cannot_be_meant_in_money_is_said_before_any_run(money: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterError) as error:
        Study(
            **SMALL | {"outcomes": ["ae", "bed_days", "day_case"], "money": MONEY | {"count": ["ae"]} | money}
        )
    assert said in str(error.value)


def test_without_count_all_outcomes_are_counted_and_the_same_stays_refused() -> None:
    with pytest.raises(ParameterError, match=r"money\.count: 'bed_days' and 'emergency_admission' count"):
        Study(**SMALL | {"outcomes": ["emergency_admission", "bed_days"], "money": MONEY})
    study = Study(**SMALL | {"money": MONEY})
    assert study.prices == {"services": ["ae"], "price_year": "2023/24", "cashable": {}}
    assert study.costing == {"months": 12, "support_cost_per_person": 420.0}
    assert Study(**SMALL).prices == {"services": []}


def test_the_cost_of_support_may_be_hours_of_staff() -> None:
    hours = {"price_year": "2023/24", "staff_hours_per_person": 11, "staff_cost_per_hour": 39}
    assert Study(**SMALL | {"money": hours}).costing["support_cost_per_person"] == 429
    elsewhere = hours | {"extend_to": {"people": 5000, "take_up": 0.3}}
    costing = Study(**SMALL | {"money": elsewhere}).costing
    assert costing["extend_to"] == {"people": 5000.0, "take_up": 0.3, "optimism_bias": 0}


def test_a_studys_own_prices_are_one_of_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMPACT_ROOT", str(tmp_path))
    study = Study(**SMALL | {"money": MONEY | {"prices": "data/prices.csv"}})
    assert study.data_files["prices"] == ("data/prices.csv",)
    with pytest.raises(DataError, match=r"money\.prices: there is no file 'data/prices\.csv'"):
        study.prices
    (tmp_path / "data").mkdir()
    (tmp_path / "data/prices.csv").write_text("service,cost_gbp,price_year,source\nae,199,2023/24,ours\n")
    assert interpret.price_list(**study.prices)["cost_gbp"].tolist() == [199]


def test_a_price_that_is_missing_is_said_by_impact_check(demo: Path, tmp_path: Path) -> None:
    (tmp_path / "params").mkdir()
    (tmp_path / "data").symlink_to(demo)
    text = (PARAMS / "demo.yaml").read_text()
    (tmp_path / "params/demo.yaml").write_text(
        text.replace("[emergency_admission, ae", "[emergency_admission, day_case, ae")
    )
    command = [sys.executable, "-c", "from impact.cli import main; main()", "check", "params/demo.yaml"]
    change = ["--set", "money.count=[ae, day_case]"]
    env = {k: v for k, v in os.environ.items() if k != "IMPACT_ROOT"}
    done = subprocess.run(
        [*command, *change], capture_output=True, text=True, cwd=tmp_path, env=env, check=False
    )
    assert done.returncode != 0
    said = " ".join((done.stdout + done.stderr).split())
    assert "there is no price for 'day_case'" in said
