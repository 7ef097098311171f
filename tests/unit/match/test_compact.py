"""Covariates in few bytes, made a piece at a time as they are read: the same numbers, and the same score."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from impact.match.compact import Lazy, smallest, with_constant
from impact.match.propensity import design, fitted

N = 20_000


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    x = pd.DataFrame(
        {"age": rng.integers(18, 100, N), "income": rng.normal(size=N), "prior": rng.poisson(3, N)}
    )
    x["region"] = np.where(rng.random(N) < 0.01, "east", rng.choice(["north", "south", "west"], N))
    return x.assign(tenure=np.where(rng.random(N) < 0.1, np.nan, rng.gamma(2, 2, N).round(1)))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0.0, 255], "uint8"),
        ([-1.0, 256], "int16"),
        ([0, 40_000], "int32"),
        ([0.5, np.nan], "float32"),
        ([0.1, 1e300], "float64"),
        ([2.0**40, 0], "float32"),
        ([True, False], "bool"),
    ],
)
def test_numbers_take_the_smallest_type_that_tells_them_exactly(values, kind):
    held = smallest(np.array(values))
    assert held.dtype == kind
    np.testing.assert_array_equal(held.astype(float), np.array(values, float))


def test_it_reads_as_the_array_it_stands_for(frame):
    columns = [frame["age"].to_numpy(), frame["income"].to_numpy(), (frame["region"] == "east").to_numpy()]
    lazy, dense = Lazy.of(columns), np.stack(columns, dtype=float)
    assert len(lazy) == 3
    some = np.arange(N) % 7 == 0
    for key in (
        1,
        [2, 0],
        (slice(None), slice(5, 90)),
        (slice(None), some),
        (2, slice(0, 9)),
        (slice(None),) * 2,
    ):
        np.testing.assert_array_equal(np.asarray(lazy[key]), dense[key])
    for a, b in zip(lazy, dense, strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.asarray(lazy[[]]).shape == (0, N)
    np.testing.assert_array_equal(lazy.mean(axis=1), dense.mean(axis=1))
    np.testing.assert_array_equal(lazy.std(axis=1), dense.std(axis=1))
    np.testing.assert_allclose(lazy @ some, dense @ some)
    np.testing.assert_allclose(np.arange(3.0) @ lazy, np.arange(3.0) @ dense)
    use, centre, spread = np.array([2, 0]), dense.mean(axis=1), dense.std(axis=1)
    made = np.asarray(with_constant(lazy, use, centre, spread))
    np.testing.assert_array_equal(made[0], 1)
    np.testing.assert_array_equal(made[1:], ((dense.T - centre) / spread).T[use])


@pytest.mark.parametrize("link", ["logit", "probit"])
def test_the_score_is_that_of_the_plain_array(frame, link):
    chance = 1 / (1 + np.exp(3 - 0.3 * frame["prior"] - 0.3 * frame["income"]))
    # Nobody in the east is supported, whose score is the limit of the fit.
    treated = (np.random.default_rng(1).random(N) < chance) & (frame["region"] != "east")
    on = ["age", "income", "prior", "region", "tenure"]
    held = fitted(design(frame, on, missing="indicator"), treated.to_numpy(), link=link)
    np.testing.assert_array_equal(held.inside, frame["region"] != "east")
    x = frame[on].assign(gap=frame["tenure"].isna(), tenure=frame["tenure"].fillna(frame["tenure"].mean()))
    x = sm.add_constant(pd.get_dummies(x[held.inside], columns=["region"], drop_first=True).astype(float))
    model = {"logit": sm.Logit, "probit": sm.Probit}[link](treated[held.inside].astype(float), x)
    plain = model.fit(disp=0, tol=1e-12)
    np.testing.assert_allclose(held.linear[held.inside], x @ plain.params, rtol=1e-7, atol=1e-7)
    # Equal people have bit-equal scores, wherever they stand.
    twice = pd.concat([frame, frame.iloc[:100]], ignore_index=True)
    score = fitted(design(twice, on, missing="indicator"), np.append(treated, treated[:100])).linear
    np.testing.assert_array_equal(score[:100], score[N:])
