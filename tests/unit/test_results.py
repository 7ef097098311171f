import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from impact.results import Effects, Matched


def effects(seed=0, m=40, k=3, clusters=None, sign=None):
    rng = np.random.default_rng(seed)
    labels = pd.DataFrame(
        {"outcome": "ae", "term": [f"t{i}" for i in range(k)], "scale": "difference", "unit": "u"}
    )
    counts = pd.DataFrame(
        {"persons": [m] * k, "treated": [m // 2] * k, "clusters": [m] * k, "events": [9] * k}
    )
    clusters = np.arange(m) if clusters is None else clusters
    root = rng.normal(size=(m, k))
    return Effects(labels, rng.normal(size=k), root, clusters, m - 1, {"estimator": "x"}, counts, sign)


def test_interval_is_t_with_clusters_minus_one():
    e = effects(m=8)
    row = e.table.iloc[0]
    from scipy import stats

    assert row["conf_high"] - row["estimate"] == pytest.approx(stats.t.ppf(0.975, 7) * row["std_error"])
    assert row["p_value"] == pytest.approx(2 * stats.t.sf(abs(row["estimate"] / row["std_error"]), 7))


def test_combine_agrees_with_the_sandwich():
    e, w = effects(), np.array([[0.2, 1], [0.3, -1], [0.5, 0]])
    c = e.combine(w, labels=e.labels.iloc[:2])
    np.testing.assert_allclose(c.vcov, w.T @ e.vcov @ w)
    np.testing.assert_allclose(c.estimate, e.estimate @ w)
    assert c.counts["events"].tolist() == [27, 18]


def test_transform_is_the_delta_method():
    e = effects()
    t = e.transform(np.exp, lambda b: np.diag(np.exp(b)), labels=e.labels, counts=e.counts)
    j = np.diag(np.exp(e.estimate))
    np.testing.assert_allclose(t.vcov, j @ e.vcov @ j)


def test_stack_aligns_clusters_and_fills_absent_ones_with_zero():
    a, b = effects(1, m=10), effects(2, m=10, clusters=np.arange(5, 15))
    s = Effects.stack({"a": a, "b": b})
    assert len(s.clusters) == 15
    np.testing.assert_allclose(s.vcov[:3, :3], a.vcov)
    np.testing.assert_allclose(s.vcov[3:, 3:], b.vcov)
    np.testing.assert_allclose(s.vcov[:3, 3:], a.root[5:].T @ b.root[:5])
    assert s.labels["term"].tolist() == ["a"] * 3 + ["b"] * 3


def test_two_way_covariance_is_repaired_to_be_positive_semi_definite():
    sign = np.where(np.arange(40) < 20, 1.0, -1.0)
    assert np.linalg.eigvalsh(effects(sign=sign).vcov).min() > -1e-9


def test_nuisance_scales_and_the_root_stay_out_of_table_and_json():
    e = effects()
    e = Effects(
        e.labels.assign(scale=["difference", "share", "events"]),
        e.estimate, e.root, e.clusters, e.df, e.method, e.counts,
    )  # fmt: skip
    assert e.table["term"].tolist() == ["t0"]
    written = json.loads(e.to_json())
    assert len(written["table"]) == 1
    assert set(written) == {"method", "table"}


def test_a_zero_standard_error_has_no_interval():
    e = effects()
    e.root[:, 0] = 0
    assert np.isnan(e.table.loc[0, ["std_error", "p_value", "conf_low", "conf_high"]].to_numpy(float)).all()


def test_shapes_must_agree():
    e = effects()
    with pytest.raises(ValueError, match="agree"):
        Effects(e.labels.iloc[:2], e.estimate, e.root, e.clusters, e.df, e.method, e.counts)


def test_effects_are_printed_without_clusters_or_estimates():
    e = effects()
    e = replace(e, clusters=np.array([f"person-{i}" for i in range(len(e.clusters))]))
    assert "person-" not in repr(e)
    assert len(repr(e)) < 100


def test_a_matched_sample_is_printed_without_its_people():
    table = pd.DataFrame({"person_id": ["person-1", "person-2"], "weight": [1.0, 0.0]})
    assert repr(Matched(table, None, {}, table)) == "Matched(1 of 2)"
