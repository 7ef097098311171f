"""Tests of the main effect for few sites, as a study asks for them."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pandas as pd
import pytest

from impact.data.panel import Panel
from impact.did import estimate, randomisation_test, wild_bootstrap
from impact.errors import DesignError, ParameterError
from impact.interpret import few_sites
from impact.study.sections import Did


@pytest.fixture(scope="module")
def sites() -> Panel:
    """Seven sites of four people, of which three begin support together."""
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"id": np.repeat(np.arange(28), 4), "month": [1, 2, 3, 4] * 28, "time": 1.0})
    frame["site"] = frame["id"] // 4
    frame["start"] = np.where(frame["site"] < 3, 3.0, np.nan)
    frame["ae"] = rng.poisson(1.5, len(frame))
    return Panel.from_long(
        frame,
        unit="id",
        period="month",
        outcomes=["ae"],
        exposure="time",
        first_treated="start",
        cluster="site",
    )


ASKED = {"outcome": "ae", "estimator": "twfe", "seed": 4}
BOTH = ["wild_bootstrap", "randomisation_test"]


def test_the_names_are_those_of_a_parameter_file() -> None:
    (names, _) = get_args(Did.model_fields["tests"].annotation)
    assert list(get_args(names)) == BOTH


@pytest.mark.parametrize(
    ("family", "scale", "effect"), [("poisson", "log ratio", "ratio"), ("linear", "difference", "difference")]
)
def test_they_are_the_tests_of_the_models_own_scale(sites, family, scale, effect) -> None:
    found = few_sites(sites, arguments={"family": family}, tests=BOTH, **ASKED)
    assert list(found) == BOTH
    main = estimate(sites, outcome="ae", estimator="twfe", family=family)
    one = wild_bootstrap(main.select(main.labels["scale"] == scale), seed=4)
    dealt = randomisation_test(sites, effect=effect, family=family, **ASKED)
    for name, expected in zip(BOTH, (one, dealt), strict=True):
        pd.testing.assert_frame_equal(found[name].table, expected.table)
        assert found[name].conf_low < found[name].estimate < found[name].conf_high
    assert found["randomisation_test"].smallest_p == pytest.approx(1 / 35)
    assert found["randomisation_test"].method["shows"] == "placebo test"
    given = few_sites(sites, arguments={}, tests=BOTH[1:], assignment="randomised", **ASKED)
    assert given["randomisation_test"].method["shows"] == "randomisation test"


def test_none_is_none_and_what_does_not_exist_is_refused(sites) -> None:
    assert few_sites(sites, arguments={}, tests=[], **ASKED) == {}
    with pytest.raises(ParameterError, match="Did you mean 'wild_bootstrap'"):
        few_sites(sites, arguments={}, tests=["wild_boostrap"], **ASKED)
    with pytest.raises(DesignError, match="made of placebo draws"):
        few_sites(sites, arguments={"draws": 20}, tests=BOTH[:1], **ASKED | {"estimator": "synthetic_did"})
