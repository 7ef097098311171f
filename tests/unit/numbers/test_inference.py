from __future__ import annotations

import numpy as np
import pytest

from impact.errors import DesignError
from impact.numbers.inference import cluster_codes, cluster_sums, wald


def test_cluster_sums_add_up_people_of_a_cluster():
    codes, names = cluster_codes(np.array(["x", "y", "x", "z"]))
    assert names.tolist() == ["x", "y", "z"]
    assert cluster_sums(np.array([1.0, 2, 3, 4]), codes, 3).tolist() == [4, 2, 4]
    assert cluster_sums(np.ones((4, 2)), codes, 3).tolist() == [[2, 2], [1, 1], [1, 1]]


def test_wald_refuses_more_effects_than_clusters_can_carry():
    root = np.random.default_rng(0).normal(size=(4, 6))
    with pytest.raises(DesignError, match="6 effects cannot be tested together: the data carry only 4"):
        wald(np.ones(6), root.T @ root)
