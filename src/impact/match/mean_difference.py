"""The effect on a score or another continuous outcome: the difference in means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from impact.errors import DataError, DesignError, together
from impact.match.abadie_imbens import abadie_imbens
from impact.match.aipw import augmented
from impact.match.gcomputation import compared, g_computation
from impact.match.propensity import check_word
from impact.match.sample import Followed, Part, Sample, comparable, each, names_of
from impact.results import Effects, Matched

if TYPE_CHECKING:
    from impact.data import Cohort

Method = Literal["regression", "aipw", "abadie_imbens"]
METHODS = ("regression", "aipw", "abadie_imbens")
UNIT = "units of the outcome"
_ESTIMATOR = {
    "regression": "difference in means by weighted regression",
    "aipw": "difference in means, doubly robust",
    "abadie_imbens": "difference in means within matched sets",
}


def mean_difference(
    matched: Matched | Cohort,
    *,
    outcome: str | Sequence[str],
    adjust: Sequence[str] = (),
    interact: bool = True,
    method: Method = "regression",
    cohort: Cohort | None = None,
) -> Effects:
    """Compare the mean of a continuous outcome, such as a wellbeing score, with that of matched controls.

    Parameters
    ----------
    matched : Matched or Cohort
        A cohort is compared as it stands, unmatched.
    outcome : str or sequence of str
        Columns of the cohort's table that hold numbers. People without a value are left out, with the set
        that loses its last person of an arm by it; how many is in ``method["without_value"]``.
    adjust : sequence of str
        Covariates of the regression.
    interact : bool
        Whether support may change their slopes ('regression' only).
    method : 'regression', 'aipw' or 'abadie_imbens'
        'regression': weighted least squares, and the mean difference of its predictions for those the effect
        is about (g-computation). 'aipw': as ``match.aipw``. 'abadie_imbens': mean difference within sets,
        with the errors of Abadie and Imbens, right where controls are used again, for the effect on people
        like those matched; a propensity score that was matched on brings the error of its own estimation,
        which may make them smaller or larger (``method["score"]`` says so; that of ``risk_set`` and within
        ``genetic`` counts as known). With ``adjust`` corrected for what is left of differences in these.
    cohort : Cohort, optional
        Where the outcome stands if not in the cohort that was matched.

    Returns
    -------
    Effects
        For each outcome the difference in its own units. Errors are clustered as in ``rate_ratio`` (CR1);
        those of Abadie and Imbens are by person. ``events`` counts the supported with a value.

    Raises
    ------
    ParameterError, DataError
        For an argument that makes no sense and a column that is absent or holds no numbers.
    DesignError
        If an arm has nobody with a value, or covariates tell the arms apart.

    References
    ----------
    Abadie, A. and Spiess, J. (2022). Robust post-matching inference. Journal of the American Statistical
    Association 117, 983-995. Abadie, A. and Imbens, G. W. (2006). Large sample properties of matching
    estimators for average treatment effects. Econometrica 74, 235-267; (2011). Bias-corrected matching
    estimators. Journal of Business and Economic Statistics 29, 1-11; (2016). Matching on the estimated
    propensity score. Econometrica 84, 781-807.

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.data import Cohort
    >>> frame = pd.DataFrame({"helped": [1, 1, 0, 0], "wemwbs": [52.0, 48.0, 47.0, 45.0]})
    >>> effects = mean_difference(Cohort.from_frame(frame, treated="helped"), outcome="wemwbs")
    >>> effects.table[["estimate", "std_error"]].round(3).values.tolist()
    [[4.0, 2.236]]
    """
    check_word("method", method, METHODS)
    sample = Sample.of(matched, cohort)
    followed, lacking = with_values(sample, outcome)
    covariates = sample.covariates(adjust, followed)
    said = sample.method("means", estimator=_ESTIMATOR[method], outcomes=[*followed], adjust=adjust)
    said |= {"family": "linear", "without_value": lacking, "notes": []}
    if method == "abadie_imbens":
        each(followed, _vary)
        return abadie_imbens(matched, sample, followed, covariates, said)

    def part(rows: Followed) -> Part:
        _vary(rows)
        if method == "aipw":
            totals = augmented(rows, covariates, sample.person, family="linear")
        else:
            totals = g_computation(rows, covariates, family="linear", interact=interact)
        return compared(totals, unit=UNIT, ratio=False)

    parts = each(followed, part)
    return sample.effects(followed, parts, said, values=True)


def _vary(rows: Followed) -> None:
    """Refuse values that are the same within each arm, whose error would be that of rounding."""
    if not any(np.ptp(rows.y[rows.at_risk & arm]) for arm in (rows.treated, ~rows.treated)):
        raise DesignError("in each arm everyone has the same value, so there is no standard error.")


def with_values(sample: Sample, outcome: str | Sequence[str]) -> tuple[dict[str, Followed], dict[str, str]]:
    """The rows with a value of each outcome, and how many people have none."""
    table = sample.cohort.table
    numbers = [str(c) for c in table.columns if pd.api.types.is_numeric_dtype(table[c])]
    asked = [outcome] if isinstance(outcome, str) else list(outcome)
    no_numbers = [name for name in asked if name in table.columns and name not in numbers]
    if no_numbers:
        raise DataError(together([f"outcome={name!r}: this column holds no numbers." for name in no_numbers]))
    followed, lacking = {}, {}
    for name in names_of(numbers, outcome):
        followed[name], lacking[name] = sample.values(name)
    comparable(followed, events=False)
    return followed, {name: f"{n} people" for name, n in lacking.items() if n}
