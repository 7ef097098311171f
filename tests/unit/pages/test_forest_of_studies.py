"""The figure of studies and their average: its marks, its words, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from impact.disclosure import release
from impact.errors import DisclosureError
from impact.interpret.pooling import pool, side_by_side
from impact.pages.forest_of_studies import alt, forest_of_studies, heterogeneity

COUNTED = {"persons": 400, "treated": 150, "events": 90}


def studies(k=4, outcomes=("ae",), **few):
    rng = np.random.default_rng(2)
    out = {}
    for i in range(k):
        counts = COUNTED | (few if i == 1 else {})
        table = [
            {"outcome": o, "scale": s, "unit": u, "estimate": e, "std_error": rng.uniform(0.1, 0.4) * w}
            | counts
            for o in outcomes
            for s, u, w, e in (
                ("log ratio", "log ratio", 1.0, rng.normal(-0.2, 0.3)),
                ("difference", "per 1,000 person-months", 20.0, rng.normal(-5, 4)),
            )
        ]
        out[f"site {i}"] = {"table": table, "method": {"estimator": "etwfe"}}
    return out


def drawn(k=4, **few):
    return release({"side": side_by_side(studies(k, **few))}, "hes")["side"]


def marks(ax):
    return [line.get_marker() for line in ax.lines if len(line.get_xdata()) == 1]


def words(ax):
    return [text.get_text() for text in ax.texts]


def test_each_study_has_a_square_and_the_average_a_diamond():
    ax = forest_of_studies(drawn(), scale="ratio")
    assert marks(ax) == ["s"] * 4 + ["D"]
    assert words(ax)[::2][:6] == [
        "Site 0",
        "Site 1",
        "Site 2",
        "Site 3",
        "Average over studies",
        "One more study",
    ]
    sizes = [line.get_markersize() for line in ax.lines if line.get_marker() == "s"]
    table = drawn().table
    errors = table.loc[(table["scale"] == "log ratio") & (table["study"] != ""), "std_error"]
    # The surest is the largest, and the least sure the smallest.
    assert np.argsort(sizes).tolist() == np.argsort(-errors.to_numpy()).tolist()
    assert max(sizes) == 11


def test_the_numbers_are_those_of_the_pool():
    found = release({k: v for k, v in pool(studies()).items() if k in ("pooled", "new_study")}, "hes")
    average = np.exp(found["pooled"].table.iloc[0][["estimate", "conf_low", "conf_high"]].to_numpy(float))
    new = np.exp(found["new_study"].table.iloc[0][["conf_low", "conf_high"]].to_numpy(float))
    said = words(forest_of_studies(drawn(), scale="ratio"))
    assert f"{average[0]:.2f} ({average[1]:.2f} to {average[2]:.2f})" in said
    assert f"{new[0]:.2f} to {new[1]:.2f}" in said


def test_the_alternative_text_tells_all_that_is_drawn():
    text = alt(drawn(), "ratio")
    assert text.startswith(
        "A&E attendances in 4 studies, ratio of the rate with support to the rate without."
    )
    shown = words(forest_of_studies(drawn(), scale="ratio"))
    for name, said in zip(shown[0:12:2], shown[1:12:2], strict=True):
        assert f"{name}: {said.replace(' (', ', 95% range ').rstrip(')')}." in text
    assert "difference per 1,000 people a year" in alt(drawn(), "difference")


def test_the_range_of_two_studies_ends_in_arrows():
    ax = forest_of_studies(drawn(2), scale="ratio")
    assert marks(ax) == ["s", "s", "<", ">", "D"]
    assert "One more study" not in words(ax)
    low, high = ax.get_xlim()
    assert high / low < 100


def test_what_is_withheld_is_said_and_not_drawn():
    one = drawn(5, events=3)
    assert one.table.loc[one.table["term"] == "site 1", "withheld"].all()
    ax = forest_of_studies(one, scale="ratio")
    assert "not shown" in words(ax)
    assert "Site 1: not shown, too few." in alt(one, "ratio")


def test_a_figure_of_nothing_but_withheld_studies_says_so():
    effects = side_by_side(studies(2))
    few = replace(effects, counts=effects.counts.assign(fewest=3))
    one = release({"side": few}, "hes")["side"]
    assert words(forest_of_studies(one, scale="ratio"))[1:6:2] == ["not shown"] * 3
    assert alt(one, "ratio").count("not shown, too few") == 3


def test_only_studies_side_by_side_of_one_outcome_are_drawn():
    several = release({"a": side_by_side(studies(outcomes=("ae", "gp")))}, "hes")["a"]
    with pytest.raises(DisclosureError, match="several outcomes"):
        forest_of_studies(several)
    for name in ("pooled", "heterogeneity"):
        other = release({name: pool(studies())[name]}, "hes")[name]
        with pytest.raises(DisclosureError, match="no effects of studies side by side"):
            forest_of_studies(other)
    with pytest.raises(DisclosureError):
        forest_of_studies(side_by_side(studies()))


def test_the_table_says_how_far_studies_differ():
    result = pool(studies(5))["heterogeneity"]
    table = heterogeneity(release({"h": result}, "hes")["h"])
    first, second = (dict(zip([c.header for c in table.columns], row, strict=True)) for row in table.rows)
    tau, high = np.exp(np.sqrt(result.table.loc[0, ["tau2", "tau2_high"]].to_numpy(float)))
    assert first["From a study to the average (95% range)"].startswith(f"{tau:.2f} times (")
    assert first["From a study to the average (95% range)"].endswith(f" to {high:.2f})")
    assert first["Studies"] == "5"
    assert first["Beyond chance"] == f"{result.table['i_squared_percent'][0]:.0f}%"
    tau = 12 * np.sqrt(result.table.loc[1, "tau2"])
    assert second["From a study to the average (95% range)"].startswith(f"{tau:.0f} (")
    assert second["From a study to the average (95% range)"].endswith("per 1,000 people a year")
