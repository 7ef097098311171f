"""Table 1 before and after matching: what it says, and that it may leave."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from impact import disclosure, match
from impact.data import Cohort
from impact.errors import DataError, ParameterError
from impact.pages import tables
from impact.results import Matched

ON = ["age", "alone", "tenure"]


def frame_of(n=400, seed=2):
    rng = np.random.default_rng(seed)
    helped = np.arange(n) % 4 == 0
    return pd.DataFrame(
        {
            "helped": helped.astype(int),
            "age": rng.normal(70, 5, n).round(1) + 3 * helped,
            "alone": rng.integers(0, 2, n),
            "tenure": rng.choice(["own", "rent", "shared"], n),
        }
    )


@pytest.fixture(scope="module")
def matched():
    return match.nearest(Cohort.from_frame(frame_of(), treated="helped"), on=ON)


def weighted(frame, weight, **method):
    cohort = Cohort.from_frame(frame, treated="helped")
    table = pd.DataFrame({"person_id": cohort.person_id, "weight": weight, "distance": np.nan})
    return Matched(table, cohort, {"covariates": ON, "exact": [], **method}, pd.DataFrame())


def test_figures_are_those_of_the_frame_and_of_balance(matched):
    table = match.table_one(matched).table.set_index(["covariate", "level", "sample"])
    frame = frame_of().assign(weight=matched.table["weight"])
    for sample, people in (("before", frame), ("after", frame[frame["weight"] > 0])):
        for arm, value in (("supported", 1), ("control", 0)):
            mine = people[people["helped"] == value]
            row = table.loc[("tenure", "rent", sample)]
            assert row[f"{arm}_persons"] == (mine["tenure"] == "rent").sum()
            assert row[f"{arm}_percent"] == pytest.approx(100 * (mine["tenure"] == "rent").mean())
            row = table.loc[("age", "mean (SD)", sample)]
            assert row[f"{arm}_mean"] == pytest.approx(mine["age"].mean())
            assert row[f"{arm}_sd"] == pytest.approx(mine["age"].std())
    balance = match.balance(matched).table.query("kind == 'covariate'")
    for sample in ("before", "after"):
        rows = balance[balance["sample"] == sample].set_index(["covariate", "level"])["smd"]
        assert table.loc[("tenure", "own", sample), "smd"] == pytest.approx(rows["tenure", "own"])
        assert table.loc[("alone", "1", sample), "smd"] == pytest.approx(rows["alone"].iloc[0])


def test_balanced_is_the_limit_on_the_difference(matched):
    for limit in (0.05, 0.1, 0.3):
        table = match.table_one(matched, limit=limit).table
        rows = table[table["smd"].notna()]
        assert ((rows["smd"].abs() <= limit) == (rows["balanced"] == "yes")).all()
    assert set(table.loc[table["sample"] == "left out", "balanced"]) == {""}


def test_before_is_after_and_left_out_in_every_row(matched):
    table = match.table_one(matched).table
    persons = table.set_index(["covariate", "level", "sample"])["control_persons"].unstack("sample")
    assert (persons["before"] == persons["after"] + persons["left out"]).all()
    assert persons["left out"].sum() > 0


def test_weights_count_in_means_and_in_a_share_of_their_own():
    frame = frame_of()
    weight = np.where(frame["helped"] == 1, 1.0, np.random.default_rng(3).gamma(1, 1, len(frame)))
    table = match.table_one(weighted(frame, weight)).table.set_index(["covariate", "level", "sample"])
    w, c = weight, (frame["helped"] == 0).to_numpy()
    rent = (frame["tenure"] == "rent").to_numpy()
    row = table.loc[("tenure", "rent", "after")]
    assert row["control_persons"] == (rent & c).sum()
    assert row["control_weighted_percent"] == np.rint(100 * w[rent & c].sum() / w[c].sum())
    assert table.loc[("age", "mean (SD)", "after"), "control_mean"] == pytest.approx(
        np.average(frame["age"][c], weights=w[c])
    )


def test_people_without_a_value_are_a_row_of_their_own():
    frame = frame_of()
    frame.loc[frame.index[:40], "age"] = np.nan
    frame.loc[frame.index[40:60], "tenure"] = None
    found = weighted(frame, 1.0, missing="indicator")
    table = match.table_one(found).table.set_index(["covariate", "level", "sample"])
    missing = table.xs("missing", level="level").xs("before", level="sample")
    assert (missing["supported_persons"] + missing["control_persons"]).tolist() == [40, 20]
    known = frame[frame["age"].notna() & (frame["helped"] == 1)]["age"]
    assert table.loc[("age", "mean (SD)", "before"), "supported_mean"] == pytest.approx(known.mean())
    before = table.reset_index().query("sample == 'before' and covariate != 'people'")
    assert np.isfinite(before["smd"]).all()


def test_it_leaves_with_small_counts_withheld_and_is_laid_out_side_by_side():
    frame = frame_of()
    frame.loc[frame.index[:24:4], "tenure"] = "boat"  # six supported people and twenty controls
    frame.loc[frame.index[1:81:4], "tenure"] = "boat"
    matched = match.nearest(Cohort.from_frame(frame, treated="helped"), on=ON, caliper=0.05)
    released = disclosure.release({"one": match.table_one(matched)}, "hes")["one"]
    table = released.table.set_index(["covariate", "level", "sample"])
    boat = table.loc[("tenure", "boat", "before")]
    assert boat[["supported_persons", "supported_percent", "smd", "balanced"]].isna().all()
    # Six are not given away by the other three tenures.
    assert table.loc["tenure"].xs("before", level="sample")["supported_persons"].isna().sum() >= 2
    shown = tables.table(released)
    headers = [column.header for column in shown.columns]
    assert headers[0] == "Characteristic"
    assert headers[-1] == "Difference after (balanced?)"
    assert len(headers) == 7
    assert "not shown" in shown.html
    assert "left out" not in shown.text


def test_who_was_left_out_is_not_the_difference_of_what_is_shown():
    """Three supported people found no partner: before and after may not both be shown."""
    frame = frame_of()
    weight = np.ones(len(frame))
    weight[[0, 4, 8]] = 0
    released = disclosure.release({"one": match.table_one(weighted(frame, weight))}, "hes")["one"]
    people = released.table.query("covariate == 'people'").set_index("sample")["supported_persons"]
    assert people["left out"] is pd.NA or pd.isna(people["left out"])
    assert people[["before", "after"]].isna().any()


def test_bad_input(matched):
    with pytest.raises(ParameterError, match="limit=0"):
        match.table_one(matched, limit=0)
    with pytest.raises(ParameterError, match="Did you mean 'pooled'"):
        match.table_one(matched, denominator="poold")
    with pytest.raises(DataError, match="Did you mean 'tenure'"):
        match.table_one(matched, covariates=["tenur"])
    with pytest.raises(DataError, match="name at least one"):
        match.table_one(matched, covariates=[])
    frame = frame_of().assign(street=[f"s{i}" for i in range(400)])
    with pytest.raises(DataError, match="400 categories"):
        match.table_one(weighted(frame, 1.0), covariates=["street"])
