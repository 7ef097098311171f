"""How alike the arms are before and after matching."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.match.propensity import MAX_LEVELS, Array, Design, Rows, design
from impact.results import Balance, Matched


def balance(matched: Matched, *, on: Sequence[str] | None = None) -> Balance:
    """Compare the covariates of the arms in the whole cohort and in the matched sample.

    Parameters
    ----------
    matched : Matched
    on : sequence of str, optional
        Columns of the cohort's table; without it, what was matched on, and the propensity score where there
        is one.

    Returns
    -------
    Balance
        A row for each covariate (each level of a categorical one) and sample. ``smd`` is the difference in
        means over the standard deviation of the treated in the whole cohort, before and after, so that the
        two can be compared; ``variance_ratio`` is the treated's variance over the controls' (missing where a
        covariate takes two values); ``ks`` is the largest distance between the two cumulative distributions.
        ``counts`` gives persons and the effective sample size (sum of weights)^2 / sum of squared weights.

    Raises
    ------
    DataError
        For a column that is absent or incomplete.

    References
    ----------
    Austin, P. C. (2009). Balance diagnostics for comparing the distribution of baseline covariates between
    treatment groups in propensity-score matched samples. Statistics in Medicine 28, 3083-3107.

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.data import Cohort
    >>> from impact.match import nearest
    >>> frame = pd.DataFrame({"helped": [1, 1, 0, 0, 0], "age": [70, 61, 61, 70, 50]})
    >>> matched = nearest(Cohort.from_frame(frame, treated="helped"), on=["age"], distance="mahalanobis")
    >>> balance(matched).table[["covariate", "sample", "smd"]].round(2).values.tolist()
    [['age', 'before', 0.81], ['age', 'after', 0.0]]
    """
    cohort = matched.cohort
    frame = cohort.table
    # What was matched exactly is alike by construction: of many levels (buildings) it would only fill pages.
    few = [c for c in matched.method["exact"] if frame[c].nunique() <= MAX_LEVELS]
    covariates = design(frame, [*matched.method["covariates"], *few] if on is None else on)
    score = matched.table["distance"]
    person = pd.Index(cohort.person_id).get_indexer(matched.table["person_id"])
    if on is None and score.notna().all():
        covariates = _with_score(covariates, person, score.to_numpy(float))
    treated = np.asarray(cohort.treated, bool)
    weight = np.bincount(person, matched.table["weight"].to_numpy(float), minlength=len(treated))
    samples = {"before": np.ones(len(treated)), "after": np.asarray(weight, float)}
    rows, counts = [], []
    for (name, level), x in zip(covariates.names.itertuples(index=False), covariates.values, strict=True):
        for sample, figures in _compare(x, treated, samples).items():
            rows.append((name, level, sample, *figures))
    for sample, w in samples.items():
        for arm, is_arm in (("treated", treated), ("control", ~treated)):
            mine = w[is_arm]
            counts.append((sample, arm, int((mine > 0).sum()), mine.sum() ** 2 / (mine**2).sum()))
    table = pd.DataFrame(
        rows,
        columns=[
            "covariate",
            "level",
            "sample",
            "mean_treated",
            "mean_control",
            "smd",
            "variance_ratio",
            "ks",
        ],
    )
    method = {**matched.method, "smd": "over the standard deviation of the treated before matching"}
    return Balance(table, method, pd.DataFrame(counts, columns=["sample", "arm", "persons", "ess"]))


def _with_score(covariates: Design, person: Rows, score: Array) -> Design:
    own = np.empty(covariates.values.shape[1])
    own[person] = score
    names = pd.DataFrame({"covariate": ["propensity score"], "level": [None]})
    return Design(
        np.vstack([own, covariates.values]),
        pd.concat([names, covariates.names], ignore_index=True),
        np.append(False, covariates.first),
    )


def _compare(x: Array, treated: NDArray[np.bool_], samples: dict[str, Array]) -> dict[str, tuple[float, ...]]:
    """Means, standardised difference, variance ratio and Kolmogorov-Smirnov distance in each sample."""
    two_values = bool(((x == x.min()) | (x == x.max())).all())
    order = np.argsort(x, kind="stable")
    last = np.append(np.diff(x[order]) > 0, True)
    out: dict[str, tuple[float, ...]] = {}
    spread = 0.0
    for sample, weight in samples.items():
        means, variances, steps = [], [], np.zeros(len(x))
        for is_arm, sign in ((treated, 1), (~treated, -1)):
            w = np.where(is_arm, weight, 0.0) / weight[is_arm].sum()
            mean = w @ x
            # Weights that are equal give the usual n - 1; a covariate of two values has variance p(1 - p).
            lost = 0.0 if two_values else w @ w
            means.append(mean)
            variances.append(w @ (x - mean) ** 2 / (1 - lost) if lost < 1 else np.nan)
            steps += sign * w
        if not out:
            spread = np.sqrt(variances[0])
            if not spread > 1e-8 * max(abs(means[0]), 1e-300):
                # Treated who are all alike give no scale; the average of both arms' variances does.
                spread = np.sqrt(np.mean(variances))
        gap = means[0] - means[1]
        smd = gap / spread if spread > 0 else (0.0 if gap == 0 else np.nan)
        ratio = np.nan if two_values or not variances[1] > 0 else variances[0] / variances[1]
        ks = np.abs(np.cumsum(steps[order])[last]).max()
        out[sample] = (means[0], means[1], smd, ratio, ks)
    return out
