"""Equalities that strata and weights must satisfy, and the slow ways to the same numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize

from impact.data import Cohort
from impact.errors import DesignError
from impact.match.coarsened_exact import coarsened_exact
from impact.match.entropy_balance import entropy_balance
from impact.match.inverse_probability import inverse_probability
from impact.match.strata import stratum_weights
from impact.match.subclass import subclass
from impact.numbers.regress import glm
from impact.numbers.tilting import gram, tilt

ON = ["age", "ltc", "fifth"]
# Breaks, because the default number of bins depends on the number of people.
CUTS = {"age": [55, 65, 75, 85], "ltc": [1, 2, 4]}
METHODS = {
    "coarsened_exact": lambda cohort, **more: coarsened_exact(cohort, on=ON, cuts=CUTS, **more),
    "subclass": lambda cohort, **more: subclass(cohort, on=ON, subclasses=4, **more),
    "entropy_balance": lambda cohort, **more: entropy_balance(cohort, on=ON, **more),
    "inverse_probability": lambda cohort, **more: inverse_probability(cohort, on=ON, **more),
}
SMOOTH = ("entropy_balance", "inverse_probability")


def people(n=300, seed=1):
    """People of whom the older and the more deprived were more often helped."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "id": rng.permutation(n),
            "age": rng.normal(70, 8, n),
            "ltc": rng.poisson(2, n).astype(float),
            "fifth": rng.choice(list("abc"), n, p=[0.5, 0.3, 0.2]),
            "score": rng.normal(50, 10, n),
            "known": rng.uniform(0.5, 2.0, n),
        }
    )
    chance = 1 / (1 + np.exp(-(frame["age"] - 78) / 8 - (frame["fifth"] == "c")))
    return frame.assign(helped=(rng.random(n) < chance).astype(int))


def cohort_of(frame):
    return Cohort.from_frame(frame, treated="helped", person_id="id")


def numbers_of(frame):
    """The covariates as numbers, (k, n)."""
    return np.array([frame["age"], frame["ltc"], frame["fifth"] == "b", frame["fifth"] == "c"], float)


def mean_difference(y, treated, weight):
    """Difference in weighted means and its derivative by each weight."""
    estimate, by_weight = 0.0, np.zeros(len(y))
    for arm, sign in ((treated, 1), (~treated, -1)):
        mean = weight[arm] @ y[arm] / weight[arm].sum()
        estimate += sign * mean
        by_weight[arm] = sign * (y[arm] - mean) / weight[arm].sum()
    return estimate, by_weight


def influence_of(matched):
    """Everyone's influence on the difference in means, with that of their own part in the weights."""
    w, y = matched.table["weight"].to_numpy(), matched.cohort.table["score"].to_numpy()
    _, by_weight = mean_difference(y, matched.cohort.treated, w)
    weighting = matched.weighting
    return by_weight * w + weighting.influence @ (weighting.gradient.T @ by_weight)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("estimand", ["ATT", "ATC", "ATE"])
def test_the_order_of_rows_does_not_matter(method, estimand):
    """Weights, strata, counts and everyone's influence follow the people."""
    frame = people()
    other = frame.sample(frac=1, random_state=3)
    a, b = (METHODS[method](cohort_of(f), estimand=estimand) for f in (frame, other))
    one, two = a.table.set_index("person_id"), b.table.set_index("person_id").loc[a.table["person_id"]]
    pd.testing.assert_frame_equal(one, two, check_exact=method in ("coarsened_exact", "subclass"))
    pd.testing.assert_frame_equal(a.counts, b.counts)
    if method in SMOOTH:
        of_b = pd.Series(influence_of(b), b.table["person_id"]).loc[a.table["person_id"]]
        np.testing.assert_allclose(influence_of(a), of_b, atol=1e-10)


@pytest.mark.parametrize("method", ["coarsened_exact", *SMOOTH])
def test_the_effect_on_controls_is_the_effect_on_treated_with_the_arms_exchanged(method):
    """But for slices: a score at a cut belongs to the slice above, which exchanged is the one below."""
    frame = people()
    a = METHODS[method](cohort_of(frame), estimand="ATC").table
    b = METHODS[method](cohort_of(frame.assign(helped=1 - frame["helped"])), estimand="ATT").table
    np.testing.assert_allclose(a["weight"], b["weight"], rtol=1e-7)


@pytest.mark.parametrize("method", ["coarsened_exact", *SMOOTH])
@pytest.mark.parametrize("estimand", ["ATT", "ATE"])
def test_everyone_twice_has_the_same_weights_and_half_the_variance(method, estimand):
    frame = people()
    both = pd.concat([frame, frame.assign(id=frame["id"] + len(frame))], ignore_index=True)
    once, twice = (METHODS[method](cohort_of(f), estimand=estimand) for f in (frame, both))
    w = once.table["weight"].to_numpy()
    np.testing.assert_allclose(twice.table["weight"], np.tile(w, 2), rtol=1e-8)
    assert (twice.counts["persons"] == 2 * once.counts["persons"]).all()
    if method in SMOOTH:
        a, b = influence_of(once), influence_of(twice)
        assert b @ b == pytest.approx(a @ a / 2, rel=1e-8)


@pytest.mark.parametrize("estimand", ["ATT", "ATC", "ATE"])
@pytest.mark.parametrize("method", ["coarsened_exact", "subclass"])
def test_arms_are_spread_alike_over_the_strata(method, estimand):
    """As those aimed at among the people in them are, each arm with weight 1 on average."""
    cohort = cohort_of(people())
    table = METHODS[method](cohort, estimand=estimand).table.assign(treated=cohort.treated)
    table = table[table["subclass"].notna()]
    among = {"ATT": table[table["treated"]], "ATC": table[~table["treated"]], "ATE": table}[estimand]
    aim = among["subclass"].value_counts(normalize=True).sort_index()
    for _, arm in table.groupby("treated"):
        share = arm.groupby("subclass")["weight"].sum() / arm["weight"].sum()
        np.testing.assert_allclose(share, aim, rtol=1e-12)
        assert arm["weight"].mean() == pytest.approx(1, rel=1e-12)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_coarsened_exact_is_grouping(seed):
    """The plain way: cut, group, and keep the groups with both arms."""
    frame = people(120, seed)
    matched = coarsened_exact(cohort_of(frame), on=ON, cuts={"age": [60, 70, 80], "ltc": 3})
    low, high = frame["ltc"].min(), frame["ltc"].max()
    third = np.minimum(((frame["ltc"] - low) * 3 / (high - low)).astype(int), 2)
    keys = [pd.cut(frame["age"], [-np.inf, 60, 70, 80, np.inf], right=False), third, frame["fifth"]]
    expected = np.zeros(len(frame))
    for _, rows in frame.groupby(keys, observed=True):
        n1, n0 = (rows["helped"] == 1).sum(), (rows["helped"] == 0).sum()
        if n1 and n0:
            expected[rows.index] = np.where(rows["helped"] == 1, 1.0, n1 / n0)
    control = frame["helped"].to_numpy() == 0
    expected[control] /= expected[control & (expected > 0)].mean()
    np.testing.assert_allclose(matched.table["weight"], expected, rtol=1e-12)


def test_more_strata_than_a_whole_number_can_count():
    """Thirty columns of ten thousand bins: who is alike in all of them is still found, and nobody else."""
    rng = np.random.default_rng(2)
    half = pd.DataFrame(rng.normal(size=(40, 30)), columns=[f"x{j}" for j in range(30)])
    frame = pd.concat([half.assign(helped=1), half.assign(helped=0)], ignore_index=True)
    matched = coarsened_exact(
        Cohort.from_frame(frame, treated="helped"), on=[*half], cuts=dict.fromkeys(half, 10_000)
    )
    assert matched.method["strata"] == 40
    number = matched.table["subclass"].to_numpy()
    assert (number[:40] == number[40:]).all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), slices=st.integers(2, 6), minimum=st.integers(1, 3))
def test_slices_follow_the_score_and_hold_the_minimum(seed, slices, minimum):
    """Within each arm no one with a lower score is in a higher slice, and no more are moved than need be."""
    frame = people(90, seed)
    least = frame["helped"].value_counts().min()
    if frame["helped"].nunique() < 2 or least < max(slices * minimum, 12):
        return
    cohort = cohort_of(frame)
    plain = subclass(cohort, on=["age", "ltc"], subclasses=slices)
    table = subclass(cohort, on=["age", "ltc"], subclasses=slices, minimum=minimum).table
    for arm in (cohort.treated, ~cohort.treated):
        rows = table[arm].sort_values(["distance", "person_id"])
        assert rows["subclass"].is_monotonic_increasing
        assert rows["subclass"].value_counts().reindex(range(1, slices + 1), fill_value=0).min() >= minimum
        before = plain.table[arm]["subclass"].value_counts()
        if before.min() >= minimum and len(before) == slices:
            assert (table[arm]["subclass"] == plain.table[arm]["subclass"]).all()


def test_slices_are_cut_at_the_quantiles_of_those_aimed_at():
    """The plain way: count the cuts at or below a score."""
    frame = people()
    for estimand, aim in (
        ("ATT", frame["helped"] == 1),
        ("ATC", frame["helped"] == 0),
        ("ATE", frame["id"] >= 0),
    ):
        table = subclass(cohort_of(frame), on=ON, subclasses=5, estimand=estimand).table
        cuts = np.quantile(table["distance"][aim], [0.2, 0.4, 0.6, 0.8])
        expected = [1 + sum(x >= c for c in cuts) for x in table["distance"]]
        assert table["subclass"].tolist() == expected


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), estimand=st.sampled_from(["ATT", "ATC", "ATE"]), moments=st.integers(1, 2))
def test_entropy_balance_makes_averages_equal(seed, estimand, moments):
    """To 1e-8 standard deviations, and the weights sum to those aimed at."""
    frame = people(200, seed)
    cohort = cohort_of(frame)
    x, t = numbers_of(frame), cohort.treated
    x = (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)
    x = np.vstack([x, x[:2] ** 2]) if moments == 2 else x
    try:
        w = entropy_balance(cohort, on=ON, estimand=estimand, moments=moments).table["weight"].to_numpy()
    except DesignError:
        reject()  # whether it cannot be done is tested below
    aim = {"ATT": t, "ATC": ~t, "ATE": t | ~t}[estimand]
    for arm in (t, ~t):
        np.testing.assert_allclose(x[:, arm] @ w[arm] / w[arm].sum(), x[:, aim].mean(axis=1), atol=1e-8)
        assert w[arm].sum() == pytest.approx(aim.sum(), rel=1e-12)


def test_averages_that_cannot_be_reached_are_known():
    """The plain way: a linear programme looks for any weights at all. About half of these have none."""
    verdicts = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        z = rng.normal(size=(4, 30)) + rng.uniform(0, 1.4)
        found = linprog(np.zeros(30), A_eq=np.vstack([np.ones(30), z]), b_eq=np.eye(5)[0], method="highs")
        verdicts.append(found.status == 0)
        assert tilt(z, np.ones(30)).solved == verdicts[-1]
    assert 10 < sum(verdicts) < 30


def test_entropy_balance_is_the_most_even_of_all_such_weights():
    """The plain way: a general minimiser over the weights themselves, with equalities."""
    frame = people(40, 4)
    cohort = cohort_of(frame)
    t, x = cohort.treated, numbers_of(frame)[:2]
    x = (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)
    q = frame["known"].to_numpy()
    w = entropy_balance(cohort, on=["age", "ltc"], base="known").table["weight"].to_numpy()
    target, q0 = x[:, t] @ q[t], q[~t]
    found = minimize(
        lambda v: v @ np.log(v / q0) - v.sum(),
        q0 * q[t].sum() / q0.sum(),
        jac=lambda v: np.log(v / q0),
        bounds=[(1e-9, None)] * len(q0),
        constraints=[
            {"type": "eq", "fun": lambda v: x[:, ~t] @ v - target, "jac": lambda v: x[:, ~t]},
            {"type": "eq", "fun": lambda v: v.sum() - q[t].sum(), "jac": np.ones_like},
        ],
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    np.testing.assert_allclose(w[~t], found.x, atol=1e-5)
    np.testing.assert_allclose(w[t], q[t])


def test_a_tolerance_holds_and_no_more_even_weights_would():
    """Averages within it; at its end where it binds; nothing weighted that was near enough."""
    frame = people()
    cohort = cohort_of(frame)
    t, x = cohort.treated, np.vstack([numbers_of(frame), frame["fifth"] == "a"])
    before = None
    for tolerance in (0.0, 0.05, 0.2, 5.0):
        w = entropy_balance(cohort, on=ON, tolerance=tolerance).table["weight"].to_numpy()
        gap = np.abs(x[:, ~t] @ w[~t] / w[~t].sum() - x[:, t].mean(axis=1)) / x[:, t].std(axis=1)
        assert gap.max() == pytest.approx(tolerance, abs=1e-8) or tolerance == 5
        ess = w[~t].sum() ** 2 / (w[~t] @ w[~t])
        assert before is None or ess > before
        before = ess
    np.testing.assert_allclose(w[~t], t.sum() / (~t).sum(), rtol=1e-12)


@pytest.mark.parametrize("arguments", [{}, {"estimand": "ATE"}, {"estimand": "ATC"}, {"tolerance": 0.05}])
def test_entropy_balance_knows_everyones_influence(arguments):
    """The plain way: give one person a little more weight to begin with, and see how the estimate moves."""
    frame = people(150, 6)
    one, step = cohort_of(frame.assign(base=1.0)), 1e-5
    found = influence_of(entropy_balance(one, on=ON, base="base", **arguments))
    for i in range(0, 150, 10):
        ends = []
        for more in (step, -step):
            cohort = cohort_of(frame.assign(base=np.where(np.arange(150) == i, 1 + more, 1.0)))
            w = entropy_balance(cohort, on=ON, base="base", **arguments).table["weight"].to_numpy()
            ends.append(mean_difference(frame["score"].to_numpy(), cohort.treated, w)[0])
        assert found[i] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-4, abs=1e-6)


def plain_weights(e, t, estimand):
    """The formulas of the documentation, one by one."""
    return {
        "ATT": np.where(t, 1, e / (1 - e)),
        "ATC": np.where(t, (1 - e) / e, 1),
        "ATE": np.where(t, 1 / e, 1 / (1 - e)),
        "ATO": np.where(t, 1 - e, e),
        "ATM": np.minimum(e, 1 - e) / np.where(t, e, 1 - e),
    }[estimand]


@pytest.mark.parametrize("link", ["logit", "probit"])
@pytest.mark.parametrize("estimand", ["ATT", "ATC", "ATE", "ATO", "ATM"])
def test_inverse_probability_knows_everyones_influence(estimand, link):
    """The plain way: refit the score with a little more weight on one person, and weight by the formula."""
    frame = people(150, 6)
    cohort = cohort_of(frame)
    t, y = cohort.treated, frame["score"].to_numpy()
    x = numbers_of(frame)
    z = np.vstack([np.ones(150), (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)])
    matched = inverse_probability(cohort, on=ON, estimand=estimand, link=link)
    found, step = influence_of(matched), 1e-5
    fit = glm(z, t.astype(float), family=link, weights=np.ones(150))
    np.testing.assert_allclose(matched.table["weight"], plain_weights(fit.mean, t, estimand), rtol=1e-8)
    for i in range(0, 150, 10):
        ends = []
        for more in (step, -step):
            own = np.where(np.arange(150) == i, 1 + more, 1.0)
            e = glm(z, t.astype(float), family=link, weights=own).mean
            ends.append(mean_difference(y, t, own * plain_weights(e, t, estimand))[0])
        assert found[i] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-4, abs=1e-6)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_overlap_weights_with_the_logit_make_averages_equal(seed):
    frame = people(200, seed)
    cohort = cohort_of(frame)
    x, t = numbers_of(frame), cohort.treated
    w = inverse_probability(cohort, on=ON, estimand="ATO").table["weight"].to_numpy()
    means = [x[:, arm] @ w[arm] / w[arm].sum() for arm in (t, ~t)]
    np.testing.assert_allclose(means[0], means[1], atol=1e-8)
    assert w.max() <= 1


def test_truncated_weights_are_cut_at_their_quantile_in_each_arm():
    cohort = cohort_of(people())
    plain = inverse_probability(cohort, on=ON, estimand="ATE").table["weight"].to_numpy()
    cut = inverse_probability(cohort, on=ON, estimand="ATE", truncate=0.9)
    w = cut.table["weight"].to_numpy()
    for arm in (cohort.treated, ~cohort.treated):
        most = np.quantile(plain[arm], 0.9)
        np.testing.assert_array_equal(w[arm], np.minimum(plain[arm], most))
    np.testing.assert_array_equal((cut.weighting.gradient == 0).all(axis=1), w < plain)


def test_a_category_of_nobody_supported_has_no_weight_and_changes_nothing():
    """Its people get 0 from every method, and everyone else what they get without them."""
    frame = people()
    extra = people(40, 9).assign(fifth="none", helped=0, id=lambda f: f["id"] + 1000)
    both = pd.concat([frame, extra], ignore_index=True)
    for name in SMOOTH:
        a, b = (METHODS[name](cohort_of(f)) for f in (frame, both))
        np.testing.assert_allclose(b.table["weight"][:300], a.table["weight"], rtol=1e-7)
        assert (b.table["weight"][300:] == 0).all()
        left = b.counts.query("arm == 'control'")["persons"].tolist()
        assert left[1:] == [40]
        np.testing.assert_allclose(influence_of(b)[:300], influence_of(a), atol=1e-7)
        np.testing.assert_allclose(influence_of(b)[300:], 0, atol=1e-12)


def test_missing_numbers_are_a_bin_of_their_own():
    frame = people()
    frame.loc[frame["id"] % 5 == 0, "age"] = np.nan
    matched = coarsened_exact(cohort_of(frame), on=ON, cuts=CUTS, missing="category")
    marked = frame.assign(gone=frame["age"].isna().astype(int), age=frame["age"].fillna(0))
    other = coarsened_exact(cohort_of(marked), on=ON, exact=["gone"], cuts=CUTS)
    np.testing.assert_array_equal(matched.table["weight"], other.table["weight"])
    assert matched.method["filled"] == {"age": 60}


def test_many_people_are_balanced_as_few_are():
    """A part of the people only shows where to begin, and blocks only how to add up."""
    rng = np.random.default_rng(3)
    z = rng.normal(size=(3, 25_000)) + np.array([[0.3], [-0.2], [0.0]])
    base = rng.uniform(size=25_000)
    found = tilt(z, base)
    from_zero = tilt(z, base, start=np.zeros(3))
    assert found.solved
    np.testing.assert_allclose(found.share, from_zero.share, rtol=1e-9)
    np.testing.assert_allclose(found.share @ z.T, 0, atol=1e-11)
    np.testing.assert_allclose(gram(z, base), (z * base) @ z.T, rtol=1e-12)


def test_nobody_stands_for_people_outside_the_strata():
    weight = stratum_weights(np.array([0, 1, 1, 0]), np.array([True, True, False, False]), "ATE")
    assert weight.tolist() == [0, 1, 1, 0]
