"""The one answer of a study, from whichever analysis its parameter file asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from impact.data import Cohort, LongData
from impact.did import ESTIMATORS, summarise
from impact.errors import DesignError
from impact.match import METHODS, rate_ratio
from impact.results import Effects


def main_effect(
    data: Cohort | LongData,
    *,
    outcome: str | Sequence[str],
    window: Mapping[str, Any],
    baseline: Mapping[str, Any],
    did: Mapping[str, Any] | None = None,
    matching: Mapping[str, Any] | None = None,
) -> Effects:
    """Estimate the effect on every outcome: by difference-in-differences if asked for, or else matched.

    Parameters
    ----------
    data : Cohort or LongData
    outcome : str or sequence of str
        The first is the primary outcome.
    window : mapping
        Arguments of ``data.panel``.
    baseline : mapping
        Arguments of ``data.at_baseline``.
    did : mapping, optional
        ``estimator`` and its arguments.
    matching : mapping, optional
        ``method`` and its arguments.

    Returns
    -------
    Effects
        For each outcome the rate ratio, the difference in rates and the events avoided, from one model.
    """
    if did is not None:
        arguments = dict(did)
        estimator = ESTIMATORS[arguments.pop("estimator")]
        return summarise(estimator(data.panel(**window), outcome=outcome, **arguments))
    if matching is None:
        raise DesignError("The study has neither a did nor a matching section: name one of them.")
    arguments = dict(matching)
    method = METHODS[arguments.pop("method")]
    return rate_ratio(method(data.at_baseline(**baseline), **arguments), outcome=outcome)
