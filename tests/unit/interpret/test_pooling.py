"""What pooling refuses, what it says of few and missing studies, and what passes the gate."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from impact.disclosure import release
from impact.errors import DataError, DesignError, ParameterError
from impact.interpret.pooling import pool, side_by_side, without_each_study
from impact.interpret.studies import gather, released_studies
from impact.results import Effects

COUNTED = {"persons": 100, "treated": 40, "events": 30}
UNITS = {"log ratio": "log ratio", "difference": "per 1,000 person-months", "events avoided": "events"}


def row(outcome="ae", scale="log ratio", estimate=-0.2, std_error=0.1, **more):
    return {"outcome": outcome, "scale": scale, "unit": UNITS[scale]} | {
        "estimate": estimate,
        "std_error": std_error,
        **more,
    }


def released(*rows, **more):
    return {
        "name": "effects",
        "kind": "effects",
        "method": {"estimator": "etwfe"},
        "table": list(rows),
    } | more


def sites(k=3, outcomes=("ae", "gp"), **more):
    rng = np.random.default_rng(4)
    return {
        f"site {i}": released(
            *(
                row(outcome, scale, rng.normal(-0.2, 0.2), rng.uniform(0.05, 0.3), **more)
                for outcome in outcomes
                for scale in ("log ratio", "difference")
            )
        )
        for i in range(k)
    }


def in_memory(estimate=-0.2, error=0.1, **counts):
    labels = pd.DataFrame([{"outcome": "ae", "term": "effect", "scale": "log ratio", "unit": "log ratio"}])
    behind = {"persons": 900, "treated": 300, "clusters": 60, "events": 210} | counts
    return Effects(
        labels,
        np.array([estimate]),
        np.array([[error]]),
        np.array([0]),
        59,
        {"estimator": "x"},
        pd.DataFrame([behind]),
    )


def notes(studies):
    return pool(studies)["pooled"].method["notes"]


def test_the_results_belong_to_the_one_family():
    found = pool(sites())
    assert list(found) == ["pooled", "new_study", "common_effect", "heterogeneity"]
    for result in [*found.values(), without_each_study(sites()), side_by_side(sites())]:
        assert len(result.table) == len(result.counts)
        assert {"estimator", "estimand", "inference", "outcome", "control", "seed"} <= set(result.method)
        assert json.loads(result.to_json())["table"]
    assert list(found["pooled"].labels["outcome"].unique()) == ["ae", "gp"]
    assert set(found["pooled"].labels["scale"]) == {"log ratio", "difference"}


def test_sums_over_people_are_not_averaged():
    studies = {
        n: {**s, "table": [*s["table"], row("ae", "events avoided", 9.0, 3.0)]} for n, s in sites().items()
    }
    assert "events avoided" not in set(pool(studies)["pooled"].labels["scale"])


@pytest.mark.parametrize(
    ("studies", "error", "said"),
    [
        ([], DesignError, "two or more by name"),
        ({"a": released(row())}, DesignError, "two or more by name"),
        ({"a": released(row()), "b": 3}, DataError, "'b': got int"),
        ({"a": released(row()), "b": {"table": [{"outcome": "ae"}]}}, DataError, "no column 'scale', 'unit'"),
        ({"a": released(row("ae")), "b": released(row("gp"))}, DesignError, "nothing to average"),
        ({"a": released(row()), "b": released(row(std_error=0.0))}, DataError, "'b', 'ae' .*above 0"),
        ({"a": released(row()), "b": released(row(std_error=-1.0))}, DataError, "above 0"),
        ({"a": released(row()), "b": released(row(std_error=np.inf))}, DataError, "above 0"),
        ({"a": released(row()), "b": released(row(estimate=np.inf))}, DataError, "above 0"),
        (
            {"a": released(row(), row(estimate=0.1)), "b": released(row(estimate=0.3))},
            DesignError,
            "'a' has several effects on 'ae' .log ratio",
        ),
        (
            {"a": released(row()), "b": released(row(estimate=0.1, unit="a person"))},
            DesignError,
            "'ae' .log ratio.*different units",
        ),
        (
            {"a": released(row()), "c": released(row(estimate=1.0)), "b": released(row())},
            DesignError,
            "studies a and b have the same effect on 'ae'",
        ),
        (
            {
                "a": released(row("ae"), row("gp")),
                "b": released(row("gp", estimate=1.0), row("ae", estimate=2.0)),
            },
            ParameterError,
            r"different outcomes first: \['ae', 'gp'\]",
        ),
    ],
)
def test_what_cannot_be_averaged_is_refused(studies, error, said):
    with pytest.raises(error, match=said):
        pool(studies)


def test_a_primary_outcome_is_one_that_was_pooled():
    with pytest.raises(ParameterError, match=r"primary='gpp'.*Did you mean 'gp'"):
        pool(sites(), primary="gpp")
    assert pool(sites(), primary="gp")["pooled"].method["primary"] == "gp"
    assert pool(sites())["pooled"].method["primary"] == "ae"


@pytest.mark.parametrize("function", [pool, side_by_side, without_each_study])
@pytest.mark.parametrize("level", [0, 1, 95])
def test_levels_are_probabilities(function, level):
    with pytest.raises(ParameterError, match="conf_level"):
        function(sites(), conf_level=level)


def test_a_lower_level_is_a_shorter_range_of_everything():
    wide, short = pool(sites(5)), pool(sites(5), conf_level=0.8)
    for name in ("pooled", "new_study", "common_effect"):
        reach = [f[name].table["conf_high"] - f[name].table["estimate"] for f in (wide, short)]
        assert (reach[1] < reach[0]).all()
        assert (short[name].table["conf_level"] == 0.8).all()
    assert (short["heterogeneity"].table["tau2_high"] < wide["heterogeneity"].table["tau2_high"]).all()


def test_two_studies_have_an_average_and_no_prediction_and_it_is_said():
    found = pool(sites(2))
    assert "new_study" not in found
    assert (found["heterogeneity"].table["studies"] == 2).all()
    said = " ".join(found["pooled"].method["notes"])
    assert "ae: two studies do not show how far effects differ" in said
    assert "none can be given for one more study" in said
    with pytest.raises(DesignError, match="no outcome has three"):
        without_each_study(sites(2))


@pytest.mark.parametrize(("k", "said"), [(3, "three studies hardly"), (4, "four studies hardly"), (5, "")])
def test_few_studies_are_called_few(k, said):
    found = [note for note in notes(sites(k)) if "hardly" in note]
    assert len(found) == (2 if said else 0)
    assert all(said in note for note in found)


def test_what_was_withheld_is_left_out_and_named():
    studies = sites(4)
    for at in (2, 3):
        studies["site 1"]["table"][at] |= {"estimate": None, "std_error": None}
    found = pool(studies)
    table = found["heterogeneity"].table.set_index(["outcome", "scale"])["studies"]
    assert table["ae", "log ratio"] == 4
    assert table["gp", "log ratio"] == 3
    assert "gp: without site 1, where it was withheld or not estimated." in notes(studies)


def test_a_scale_that_some_studies_lack_is_named():
    studies = sites(4)
    studies["site 2"]["table"][0]["estimate"] = None
    assert "ae: its log ratio without site 2, where it was withheld or not estimated." in notes(studies)


def test_an_outcome_of_one_study_is_not_averaged_and_not_made_up():
    studies = sites(3)
    studies["site 0"]["table"].append(row("falls"))
    assert "falls" not in set(pool(studies)["pooled"].labels["outcome"])
    assert "falls: not averaged, as only site 0 has an estimate." in notes(studies)
    assert "falls" in set(side_by_side(studies).labels["outcome"])


def test_studies_that_may_share_people_or_were_analysed_otherwise_are_said_to():
    assert "The studies are taken as independent" in notes(sites())[0]
    studies = sites(4)
    for name in ("site 1", "site 3"):
        studies[name]["people"] = ["abc"]
    studies["site 2"]["people"] = ["xyz"]
    studies["site 0"]["method"] = {"estimator": "nearest"}
    said = " ".join(notes(studies))
    assert "site 1 and site 3 were made from the same file of people." in said
    assert "not all analysed in the same way" in said
    assert "same file" not in " ".join(notes(sites(4)))


def test_degrees_of_freedom_are_read_off_a_released_interval():
    found = gather({"a": in_memory(), "b": json.loads(in_memory(0.3, 0.2).to_json())})
    np.testing.assert_allclose(found.df, 59, rtol=1e-6)
    no_interval = gather({"a": released(row()), "b": released(row(estimate=0.1))})
    assert np.isinf(no_interval.df).all()


def test_degrees_of_freedom_of_an_interval_in_two_digits_are_of_its_clusters():
    """Two digits of an error tell hardly more than that there were ten clusters or more."""
    shown = {
        str(estimate): json.loads(release({"x": in_memory(estimate, 0.123)}, "hes")["x"].to_json())
        for estimate in (-0.2, 0.1)
    }
    np.testing.assert_allclose(gather(shown).df, 59)


def test_people_and_events_are_added_up_where_all_studies_show_them():
    studies = sites(3, outcomes=["ae"], **COUNTED)
    studies["site 1"]["table"][0] |= {"persons": None}
    counts = pool(studies)["pooled"].counts.fillna(-1)
    assert counts[["persons", "treated", "events", "clusters", "fewest"]].values.tolist() == [
        [-1, 120, 90, 3, 30],
        [300, 120, 90, 3, 30],
    ]
    left = without_each_study(studies)
    assert left.counts["persons"].fillna(-1).tolist() == [-1, 200, -1, 200, 200, 200]
    side = side_by_side(studies)
    assert side.counts["clusters"].tolist() == [1, 1, 1, 3, 3] * 2
    assert side.counts["persons"].fillna(-1).tolist() == [100, -1, 100, -1, -1, 100, 100, 100, 300, 300]
    assert not any("added up" in note for note in notes(studies))
    studies["site 1"]["table"][1] |= {"treated": None}
    assert "ae: people with support are not added up, as they are not shown of site 1." in notes(studies)
    many = sites(3, outcomes=["gp"], **COUNTED | {"events": 300})
    assert release(pool(many), "hes")["pooled"].table["events"].isna().all()
    assert "gp: how many events is not shown, as there are more of them than people." in notes(many)


def withholding(**smallest_shown):
    """Sites of which some withhold a count for the sake of others, and one all of them."""
    studies = {name: study | smallest_shown for name, study in sites(5, **COUNTED).items()}
    for name, gone in {"site 1": ["persons"], "site 2": ["treated"], "site 3": [*COUNTED]}.items():
        for line in studies[name]["table"]:
            line |= dict.fromkeys(gone)
    return studies


def gate(studies, policy):
    found = pool(studies)
    return release({**found, "each": side_by_side(studies), "left": without_each_study(studies)}, policy)


def test_a_count_withheld_of_an_estimate_that_was_released_withholds_no_average():
    out = gate(withholding(smallest_shown=8), "hes")
    for name, one in out.items():
        assert not one.table["withheld"].any(), name
    assert out["pooled"].table["persons"].isna().all()
    # A sum in part would be taken for one of all.
    assert out["left"].table["treated"].isna().all()
    studies = {name: study for name, study in withholding(smallest_shown=8).items() if name != "site 3"}
    left = gate(studies, "hes")["left"].table.set_index("without")
    shown = left[["persons", "treated"]].fillna(-1).astype(int).drop_duplicates()
    assert shown.loc["site 1"].tolist() == [300, -1]
    assert shown.loc["site 2"].tolist() == [-1, 120]
    assert shown.loc["site 0"].tolist() == [-1, -1]


def test_a_withheld_count_may_be_as_low_as_its_own_policy_lets_it():
    out = gate(withholding(smallest_shown=8), "threshold_10")
    each = out["each"].table.set_index("term")["withheld"]
    assert set(each[each].index) == {"site 1", "site 2", "site 3", "average over studies", "one more study"}
    assert out["pooled"].table["estimate"].isna().all()
    # A study of whose counts nothing at all is known rests on nobody knows how few.
    assert gate(withholding(), "hes")["pooled"].table["estimate"].isna().all()


def test_the_range_of_a_study_is_the_one_that_it_shows():
    shown = [row("ae", "difference", -24.0, 14.0, conf_low=-52.0, conf_high=4.0, conf_level=0.95, **COUNTED)]
    studies = sites(3, outcomes=["ae"], **COUNTED) | {"three": released(*shown)}
    one = release({"each": side_by_side(studies)}, "hes")["each"].table.set_index("term").loc["three"]
    assert one[["estimate", "std_error", "conf_low", "conf_high"]].tolist() == [-24, 14, -52, 4]
    other = side_by_side(studies, conf_level=0.9)
    other = other.select(other.labels["term"] == "three").table
    assert other["conf_low"][0] == pytest.approx(-24 - 1.645 * 14, abs=0.6)


@pytest.mark.parametrize("few", [{"events": 6}, {"treated": 5}, {"treated": 896}, {"fewest": 3}])
def test_effects_in_memory_with_too_little_behind_one_study_withhold_all_that_holds_it(few):
    studies = {f"site {i}": in_memory(-0.1 * i, 0.1) for i in range(4)} | {
        "small": in_memory(-0.7, 0.4, **few)
    }
    out = release(
        {**pool(studies), "each": side_by_side(studies), "left": without_each_study(studies)}, "hes"
    )
    for name in ("pooled", "new_study", "common_effect", "heterogeneity"):
        shown = out[name].table.drop(columns=["conf_level", "null_value"], errors="ignore")
        assert shown["withheld"].all()
        assert shown.select_dtypes("number").isna().all(axis=None), name
    left = out["left"].table.set_index("without")
    assert not left.loc["small", "withheld"]
    assert left.loc[[f"site {i}" for i in range(4)], "withheld"].all()
    each = out["each"].table.set_index("term")["withheld"]
    assert each[each].index.tolist() == ["small", "average over studies", "one more study"]


def test_released_studies_pass_the_gate_with_everything_shown():
    studies = sites(6, **COUNTED)
    out = release(
        {**pool(studies), "each": side_by_side(studies), "left": without_each_study(studies)}, "hes"
    )
    for name, one in out.items():
        assert not one.table["withheld"].any(), name
    assert out["pooled"].table["clusters"].tolist() == [6] * 4
    assert out["pooled"].table["persons"].tolist() == [600] * 4
    assert any("independent" in note for note in out["pooled"].notes)


def test_effects_of_which_only_errors_were_released_refuse_to_be_combined():
    studies = sites(**COUNTED)
    for effects in (side_by_side(studies), pool(studies)["common_effect"]):
        weights = np.full((len(effects), 1), 1 / len(effects))
        with pytest.raises(DesignError, match="cannot be combined"):
            effects.combine(weights, labels=effects.labels.iloc[[0]])
        one = effects.select(np.arange(len(effects)) == 1)
        assert one.table["std_error"][0] == effects.table["std_error"][1]


def test_averages_together_have_the_freedom_of_the_one_with_the_fewest_studies():
    studies = sites(6, **COUNTED)
    studies["site 5"]["table"][2]["estimate"] = None
    pooled = pool(studies)["pooled"]
    both = pooled.select(pooled.labels["scale"] == "log ratio")
    assert both.df.tolist() == [5, 4]
    mean = both.combine([[0.5], [0.5]], labels=both.labels.iloc[[0]])
    assert mean.df.tolist() == [4]


def share(folder, study, items, people="abc"):
    folder = folder / study / "share"
    folder.mkdir(parents=True)
    told = {"study": study, "title": study.title(), "results": {"did": items, "findings": items[:1]}}
    (folder / "results.json").write_text(json.dumps(told))
    inputs = [{"table": "people", "sha256": people}, {"table": "coverage", "sha256": "same"}]
    (folder / "manifest.json").write_text(json.dumps({"inputs": inputs}))
    return folder


def test_finished_studies_are_read_from_their_folders(tmp_path):
    folders = [
        share(tmp_path, name, [released(*study["table"]), released(row(), name="checks")], people=name)
        for name, study in sites().items()
    ]
    studies = released_studies([*folders[:2], folders[2] / "results.json"])
    assert list(studies) == ["site 0", "site 1", "site 2"]
    pd.testing.assert_frame_equal(pool(studies)["pooled"].table, pool(sites())["pooled"].table)
    assert not any("same file" in note for note in notes(studies))
    shared = released_studies([share(tmp_path / "b", n, [released(*s["table"])]) for n, s in sites().items()])
    assert any("site 0, site 1 and site 2 were made from the same file" in note for note in notes(shared))


def test_what_is_no_finished_study_is_named(tmp_path):
    folder = share(tmp_path, "north", [released(row())])
    with pytest.raises(DesignError, match="'north' is there twice"):
        released_studies([folder, folder])
    with pytest.raises(DataError, match=r"no effects named 'effect'\. Did you mean 'effects'"):
        released_studies([folder], name="effect")
    with pytest.raises(DataError, match=r"south/results\.json: there are no results"):
        released_studies([tmp_path / "south" / "results.json"])
    (folder / "results.json").write_text("{}")
    with pytest.raises(DataError, match="not the results of a study"):
        released_studies([folder])
    (folder / "results.json").write_text("{")
    with pytest.raises(DataError, match="run the study first") as told:
        released_studies([folder])
    assert str(tmp_path) not in str(told.value)


def test_a_study_under_two_names_is_found_by_its_numbers():
    studies = sites(3)
    with pytest.raises(DesignError, match="studies site 1 and again have the same effect on 'ae'"):
        pool({**studies, "again": studies["site 1"]})
