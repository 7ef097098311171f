"""Controls who live with or beside supported people are dropped, and their sets weigh as before."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from impact import disclosure, match
from impact.data import Cohort
from impact.errors import DataError, DesignError


def draw(seed, n=300):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 5, n)
    helped = rng.random(n) < 0.1 + 0.05 * x
    home = np.where(rng.random(n) < 0.1, None, rng.integers(0, 80, n)).astype(object)
    frame = pd.DataFrame({"id": np.arange(n), "x": x, "helped": helped, "home": home})
    frame["months"], frame["gp"] = 12.0, rng.poisson(3 + x)
    return Cohort.from_frame(frame, treated="helped", person_id="id", outcomes=["gp"], exposure="months")


def near(cohort):
    """Controls with a supported person at the same home, one pair at a time."""
    people = cohort.people
    helped = {h for h, t in zip(people["home"], cohort.treated, strict=True) if t and h is not None}
    return np.array([not t and h in helped for h, t in zip(people["home"], cohort.treated, strict=True)])


@pytest.mark.parametrize("replace", [False, True])
def test_sets_lose_their_neighbours_and_keep_their_weight(replace):
    cohort = draw(1)
    more = {"replace": True, "max_uses": 3} if replace else {}
    before = match.nearest(cohort, on=["x"], distance="mahalanobis", ratio=2, **more)
    after = match.spillover(before, by="home")
    used = after.table[after.table["weight"] > 0]
    close = set(cohort.person_id[near(cohort)])
    assert close & set(before.table.loc[before.table["weight"] > 0, "person_id"])
    assert not close & set(used["person_id"])
    # A set stays if any control does; the controls of a set weigh as much together as they did.
    rows = before.table[before.table["weight"] > 0].copy()
    rows["treated"] = rows["person_id"].isin(cohort.person_id[cohort.treated])
    left = rows[~rows["person_id"].isin(close)]
    stays = set(left.loc[~left["treated"], "subclass"]) & set(left.loc[left["treated"], "subclass"])
    assert set(used["subclass"]) == stays
    old = rows[~rows["treated"]].groupby("subclass")["weight"].sum().loc[sorted(stays)]
    new = used[~used["person_id"].isin(cohort.person_id[cohort.treated])].groupby("subclass")["weight"].sum()
    np.testing.assert_allclose(new.loc[sorted(stays)], old)
    assert after.table["person_id"].nunique() == len(cohort)
    assert not after.table[after.table["weight"] == 0]["person_id"].duplicated().any()
    # Everyone is still in one row of the counts.
    for arm, n in (("treated", cohort.treated.sum()), ("control", (~cohort.treated).sum())):
        assert after.counts.loc[after.counts["arm"] == arm, "persons"].sum() == n
    matched = after.counts[after.counts["rule"] == "matched"].set_index("arm")["persons"]
    assert (
        matched["control"]
        == used.loc[~used["person_id"].isin(cohort.person_id[cohort.treated]), "person_id"].nunique()
    )
    assert np.isfinite(match.rate_ratio(after, outcome="gp").estimate).all()
    assert disclosure.release({"sample": after}, "hes")


def test_apart_leaves_the_same_people_out_before_matching():
    cohort = draw(2)
    left = match.apart(cohort, by="home")
    assert set(cohort.person_id) - set(left.person_id) == set(cohort.person_id[near(cohort)])
    flow = left.flow.table.set_index("rule")["persons"]
    assert flow["control shares a home with somebody supported"] == near(cohort).sum()


def test_where_nobody_is_near_nothing_changes():
    cohort = draw(3)
    matched = match.nearest(cohort, on=["x"], distance="mahalanobis")
    after = match.spillover(matched, by="id")
    pd.testing.assert_frame_equal(after.table, matched.table)
    assert match.apart(cohort, by="id") is cohort


def test_what_cannot_be_checked_is_refused():
    cohort = draw(4)
    matched = match.nearest(cohort, on=["x"], distance="mahalanobis")
    with pytest.raises(DataError, match=r"no such column\. Did you mean 'home'"):
        match.spillover(matched, by="hom")
    with pytest.raises(DesignError, match="have to be made again"):
        match.spillover(match.entropy_balance(cohort, on=["x"]), by="home")
    one = Cohort.from_frame(cohort.people.assign(street=1), treated="helped", person_id="id")
    with pytest.raises(DesignError, match="every control shares one"):
        match.apart(one, by="street")
    with pytest.raises(DesignError, match="every control shares a street"):
        match.spillover(match.nearest(one, on=["x"], distance="mahalanobis"), by="street")
