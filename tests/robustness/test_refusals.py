"""The table of docs/methods.md on which errors exist for which estimator, run: what it denies is refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from impact import did
from impact.data.panel import Panel
from impact.errors import DesignError, ParameterError
from impact.results import Effects

PAGE = Path(__file__).parents[2] / "docs" / "methods.md"
# What the page calls a wild bootstrap, and how a test says which it was.
WILD = {
    "regression": "of the regression, with the hypothesis imposed",
    "score": "score wild cluster bootstrap, with the hypothesis imposed",
    "influence": "clusters' influence",
}


def table() -> list[tuple[str, str, str, str, str, str]]:
    """Estimator, family, own errors, CR2, CR3 and wild bootstrap, one row each."""
    text = PAGE.read_text("utf-8").partition("## Which errors exist")[2].partition("\n## ")[0]
    lines = re.findall(r"^\|.*\|$", text, re.MULTILINE)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [(name, *rest) for names, *rest in rows[2:] for name in names.split(", ")]


def sites(starts: tuple[int, ...], supported: int) -> Panel:
    """Ten sites of four people, of which some begin support in these periods."""
    rng = np.random.default_rng(3)
    site = np.repeat(np.arange(10), 4)
    start = np.where(site < supported, np.resize(starts, 10)[site], 5)
    return Panel(
        unit=np.arange(len(site)),
        periods=pd.RangeIndex(5),
        outcomes={name: rng.poisson(4, (len(site), 5)).astype(float) for name in ("ae", "gp")},
        exposure={name: np.ones((len(site), 5)) for name in ("ae", "gp")},
        start=start.astype(np.int64),
        treated=start < 5,
        covariates=pd.DataFrame({"tenant": np.arange(len(site)) % 2}),
        cluster=site,
        weights=np.ones(len(site)),
        arm=np.where(start < 5, "supported", "control"),
    )


ONE, SEVERAL, FEW = sites((2,), 5), sites((2, 3), 5), sites((2, 3), 3)
PANELS = {"two_by_two": ONE, "twfe": ONE, "triple_difference": ONE, "synthetic_did": FEW}
ARGUMENTS = {"stacked": {"before": 2, "after": 1}, "triple_difference": {"subgroup": "tenant", "eligible": 1}}


def estimate(name: str, family: str, inference: str | None = None, **more) -> Effects:
    model = {} if family == "only linear" else {"family": family.lower()}
    arguments = {"outcome": "ae", "inference": inference} | ARGUMENTS.get(name, {}) | model | more
    return did.estimate(PANELS.get(name, SEVERAL), estimator=name, **arguments)


def own(effects: Effects, family: str) -> Effects:
    """The effect on the scale of the model."""
    return effects.select(effects.labels["scale"] == ("log ratio" if family == "Poisson" else "difference"))


def test_every_estimator_and_family_is_in_the_table():
    assert {name for name, *_ in table()} == set(did.ESTIMATORS)
    assert len({row[:2] for row in table()}) == len(table()) == 14


@pytest.mark.parametrize(("name", "family", "own_errors", "cr2", "cr3", "wild"), table())
def test_errors_exist_or_are_refused_as_the_page_says(name, family, own_errors, cr2, cr3, wild):
    found = estimate(name, family)
    first, *others = own_errors.split(", ")
    assert first in found.method["inference"]
    for other in others:
        assert other in estimate(name, family, other, draws=30).method["inference"]
    for asked, told in (("CR2", cr2), ("CR3", cr3)):
        if told == "yes":
            robust = own(estimate(name, family, asked), family)
            assert asked in robust.method["inference"]
            assert robust.std_error[0] > 0
        else:
            assert told == "no"
            with pytest.raises((DesignError, ParameterError), match=r"CR3|choose from 'placebo'"):
                estimate(name, family, asked)
    if first != "CR1":
        with pytest.raises((DesignError, ParameterError), match=r"CR0|choose from 'placebo'"):
            estimate(name, family, "CR1")
    if wild == "no":
        with pytest.raises(DesignError, match="made of placebo draws; use"):
            did.wild_bootstrap(own(found, family), seed=1)
        with pytest.raises(DesignError, match="made of placebo draws; use"):
            did.bands(found, seed=1)
    else:
        test = did.wild_bootstrap(own(found, family), draws=199, seed=1)
        assert WILD[wild] in test.method["inference"]
        assert (did.bands(found, draws=199, seed=1).critical > 0).all()


@pytest.mark.parametrize("name", ["two_by_two", "twfe", "sun_abraham"])
def test_cr2_is_of_one_outcome(name):
    with pytest.raises(DesignError, match="one regression of one outcome"):
        did.estimate(PANELS.get(name, SEVERAL), outcome=["ae", "gp"], estimator=name, inference="CR2")
