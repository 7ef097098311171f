"""What errors and tests for few clusters refuse: each refusal names what was found and what to do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from impact.did import bands, callaway_santanna, leave_one_out, stacked, summarise, twfe, wild_bootstrap
from impact.did.bias_reduced import bias_reduced
from impact.errors import DesignError, ParameterError
from impact.results import Effects


def effects(clusters=12, k=1, **more):
    root = np.random.default_rng(0).normal(size=(clusters, k))
    labels = pd.DataFrame({"outcome": "ae", "term": [f"e{j}" for j in range(k)], "scale": "difference"})
    counts = pd.DataFrame({"persons": [99] * k, "treated": 40, "clusters": clusters, "events": 50})
    names = np.arange(clusters)
    made = Effects(labels.assign(unit=""), np.ones(k), root, names, clusters - 1, {}, counts)
    return replace(made, **more)


@pytest.fixture(scope="module")
def sites(sites_of):
    return sites_of()


@pytest.fixture(scope="module")
def sites_of():
    from impact.data.panel import Panel

    def build(clusters=12, people=5):
        rng = np.random.default_rng(0)
        site = np.repeat(np.arange(clusters), people)
        start = np.where(site < clusters // 2, 3, 6)
        return Panel(
            unit=np.arange(len(site)),
            periods=pd.RangeIndex(6),
            outcomes={"ae": rng.poisson(2, (len(site), 6)).astype(float)},
            exposure={"ae": np.ones((len(site), 6))},
            start=start,
            treated=start < 6,
            covariates=pd.DataFrame(index=range(len(site))),
            cluster=site,
            weights=np.ones(len(site)),
            arm=np.where(start < 6, "supported", "control"),
        )

    return build


TWO_WAY = {"sign": np.array([1.0] * 11 + [-1.0])}
DRAWS = {"method": {"rows": "leave-one-out draws"}}


@pytest.mark.parametrize(
    ("found", "options", "error", "says"),
    [
        (effects(9), {}, DesignError, r"9 clusters are too few .* needs 10; name one effect and use wild"),
        (effects(**TWO_WAY), {}, DesignError, "two-way clusters, some of them subtracted; use CR1"),
        (effects(**DRAWS), {}, DesignError, "made of leave-one-out draws"),
        (effects(method={"rows": "a compressed root"}), {}, DesignError, "made of a compressed root"),
        (effects(), {"draws": 99}, ParameterError, "draws=99: the ends of a band need 199"),
        (effects(), {"conf_level": 95}, ParameterError, "conf_level=95: give a probability"),
    ],
)
def test_bands_refuse(found, options, error, says):
    with pytest.raises(error, match=says):
        bands(found, seed=1, **options)


@pytest.mark.parametrize(
    ("found", "options", "error", "says"),
    [
        (effects(k=2), {}, DesignError, "tests one effect, and these are 2: select one"),
        (effects(3), {}, DesignError, "3 clusters bear on this effect, too few for any test"),
        (effects(300), {}, DesignError, "at most 250, and there are 300; CR1"),
        (effects(**TWO_WAY), {}, DesignError, "made of two-way clusters; use CR1"),
        (effects(**DRAWS), {}, DesignError, "made of leave-one-out draws"),
        (effects(root=np.zeros((12, 1))), {}, DesignError, "has no error"),
        (effects(), {"draws": 9}, ParameterError, "draws=9: a p-value needs 99"),
        (effects(), {"conf_level": 0}, ParameterError, "conf_level=0: give a probability"),
    ],
)
def test_wild_bootstrap_refuses(found, options, error, says):
    with pytest.raises(error, match=says):
        wild_bootstrap(found, seed=1, **options)


def test_hidden_rows_are_not_tested():
    hidden = effects()
    hidden = replace(hidden, labels=hidden.labels.assign(scale="person-months"))
    with pytest.raises(DesignError, match="tests one effect"):
        wild_bootstrap(hidden, seed=1)


@pytest.mark.parametrize("estimator", [callaway_santanna, stacked])
def test_cr2_is_refused_where_there_is_no_one_regression(sites, estimator):
    with pytest.raises(
        DesignError, match=r"belong to one regression of one outcome .* CR3 \(leave_one_out\)"
    ):
        bias_reduced(estimator(sites, outcome="ae"))


def test_cr2_is_refused_with_many_clusters(sites_of):
    with pytest.raises(DesignError, match="at most 250, and there are 252; CR1 is as good"):
        bias_reduced(twfe(sites_of(252, 2), outcome="ae", family="linear"))


def test_cr2_cannot_be_stacked_and_is_not_applied_twice(sites):
    once = bias_reduced(twfe(sites, outcome="ae", family="linear"))
    assert bias_reduced(once) is once
    with pytest.raises(DesignError, match="CR2 errors cannot be stacked"):
        Effects.stack({"a": once, "b": once})


def test_leave_one_out_draws_are_no_influence(sites):
    """A bootstrap of draws is not a multiplier bootstrap, nor a wild one."""
    drawn = leave_one_out(sites, lambda p: summarise(callaway_santanna(p, outcome="ae")))
    with pytest.raises(DesignError, match="leave-one-out draws"):
        bands(drawn, seed=1)
    with pytest.raises(DesignError, match="leave-one-out draws"):
        wild_bootstrap(drawn.select([True, False, False]), seed=1)


def test_no_message_names_a_site(sites):
    """One supported site more than the rest: without it nothing can be estimated, and it is not named."""
    lone = replace(sites, cluster=np.where(sites.cluster < 5, "The Elms", sites.cluster.astype(str)))
    with pytest.raises(DesignError, match=r"without 2 of the 8 clusters") as error:
        leave_one_out(lone, lambda p: twfe(p, outcome="ae", family="linear"))
    assert "Elms" not in str(error.value)
