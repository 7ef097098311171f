from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from impact.errors import DesignError
from impact.numbers.inference import cluster_codes, cluster_sums, root_by, wald
from impact.results import Effects


def test_cluster_sums_add_up_people_of_a_cluster():
    codes, names = cluster_codes(np.array(["x", "y", "x", "z"]))
    assert names.tolist() == ["x", "y", "z"]
    assert cluster_sums(np.array([1.0, 2, 3, 4]), codes, 3).tolist() == [4, 2, 4]
    assert cluster_sums(np.ones((4, 2)), codes, 3).tolist() == [[2, 2], [1, 1], [1, 1]]


def test_wald_refuses_more_effects_than_clusters_can_carry():
    root = np.random.default_rng(0).normal(size=(4, 6))
    with pytest.raises(DesignError, match="6 effects cannot be tested together: the data carry only 4"):
        wald(np.ones(6), root.T @ root)


def test_two_way_root_is_both_less_their_intersection():
    rng = np.random.default_rng(2)
    psi, first, second = rng.normal(size=(40, 2)), rng.integers(0, 5, 40), rng.integers(0, 7, 40)

    def squares(codes, factor):
        sums = np.array([psi[codes == c].sum(0) for c in np.unique(codes)])
        return factor(len(sums)) * sums.T @ sums

    def factor(clusters):
        return clusters / (clusters - 1)

    found = root_by(psi, first, second, factor=factor)
    both = squares(first, factor) + squares(second, factor) - squares(first * 7 + second, factor)
    np.testing.assert_allclose(found.root.T @ (found.sign[:, None] * found.root), both, rtol=1e-12)
    assert found.at_risk == 5
    one = root_by(psi, first, factor=factor)
    assert one.sign is None
    np.testing.assert_allclose(one.root.T @ one.root, squares(first, factor), rtol=1e-12)


def test_two_way_roots_can_be_stacked_where_identifiers_of_both_ways_are_the_same():
    """Set 1 and person 1 are not one cluster."""
    psi, way = np.random.default_rng(3).normal(size=(6, 1)), np.array([1, 1, 2, 2, 3, 3])
    found = root_by(psi, way, np.array([1, 2, 3, 1, 2, 3]))
    labels = pd.DataFrame({"outcome": ["ae"], "term": "a", "scale": "difference", "unit": ""})
    counts = pd.DataFrame({"persons": [6], "treated": 3, "clusters": 3, "events": 9})
    one = Effects(labels, np.ones(1), found.root, found.clusters, 2, {}, counts, sign=found.sign)
    both = Effects.stack({"a": one, "b": one})
    np.testing.assert_allclose(both.vcov, one.vcov[0, 0] * np.ones((2, 2)))


def test_clusters_without_anyone_at_risk_do_not_count():
    found = root_by(np.ones((4, 1)), np.arange(4), at_risk=np.array([True, True, True, False]))
    assert found.at_risk == 3
