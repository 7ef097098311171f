"""The estimators by the names they have in parameter files, and the one door to all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from inspect import signature
from typing import Any, Literal

from impact.data.panel import Panel
from impact.did.aggregate import summarise
from impact.did.bias_reduced import bias_reduced
from impact.did.callaway_santanna import callaway_santanna
from impact.did.design import check_choice, check_varies, weighed
from impact.did.etwfe import etwfe
from impact.did.imputation import imputation
from impact.did.leave_one_out import leave_one_out
from impact.did.leaving import leaving_notes
from impact.did.stacked import stacked
from impact.did.sun_abraham import sun_abraham
from impact.did.synthetic_did import synthetic_did
from impact.did.triple_difference import triple_difference
from impact.did.twfe import twfe
from impact.did.two_by_two import two_by_two
from impact.did.two_way import two_way
from impact.errors import DesignError, ParameterError, nearest
from impact.results import Effects

ESTIMATORS: dict[str, Callable[..., Effects]] = {
    "two_by_two": two_by_two,
    "twfe": twfe,
    "callaway_santanna": callaway_santanna,
    "sun_abraham": sun_abraham,
    "imputation": imputation,
    "etwfe": etwfe,
    "stacked": stacked,
    "synthetic_did": synthetic_did,
    "triple_difference": triple_difference,
}
# These have no small-sample factor of their own.
_CR0 = ("callaway_santanna", "imputation")


def estimate(
    panel: Panel,
    *,
    outcome: str | Sequence[str],
    estimator: str,
    inference: Literal["CR1", "CR2", "CR3", "placebo", "jackknife", "bootstrap"] | None = None,
    second_cluster: str | None = None,
    **arguments: Any,
) -> Effects:
    """Estimate the effect on those supported on the three scales, with the errors asked for.

    Parameters
    ----------
    panel : Panel
        The one the estimator takes.
    outcome : str or sequence of str
    estimator : str
        Name in ``ESTIMATORS``.
    inference : str, optional
        Without it the estimator's own: CR1 of regressions, CR0 of influence functions, placebos of
        ``synthetic_did``. 'CR2' exists for one outcome by one regression (``twfe``, and linear
        ``sun_abraham`` and ``etwfe``), 'CR3' for all but ``synthetic_did``, which has 'placebo', 'jackknife'
        and 'bootstrap'.
    second_cluster : str, optional
        A covariate of the panel: errors by it and by the panel's clusters at once (``two_way``), which
        exist for CR0 and CR1. Matched people with several rows (``match.onto``) always have 'person'.
    **arguments
        Of the estimator.

    Returns
    -------
    Effects
        For each outcome ``difference``, ``log ratio`` and ``events avoided``, with one joint root. Its notes
        also tell where leaving the panel is related to support or to the outcome (``leaving``).

    Raises
    ------
    ParameterError
        For an argument that the estimator does not have.
    DesignError
        For errors that the estimator does not have.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"site": [1, 1, 2, 2, 3, 3, 4, 4], "year": [1, 2] * 4,
    ...                       "falls": [4, 2, 6, 4, 5, 5, 3, 4], "start": [2, 2, 2, 2] + [None] * 4})
    >>> panel = Panel.from_long(frame, unit="site", period="year", outcomes=["falls"],
    ...                         first_treated="start")
    >>> estimate(panel, outcome="falls", estimator="etwfe").table[["scale", "estimate"]].round(4)
                scale  estimate
    0       log ratio   -0.6286
    1      difference   -2.6250
    2  events avoided    5.2500
    """
    check_choice("estimator", estimator, tuple(ESTIMATORS))
    method = ESTIMATORS[estimator]
    check_arguments(estimator, arguments)
    names = panel.check_outcomes(outcome)
    check_varies(panel, names)
    if second_cluster is None and panel.reused:
        # By set alone the rows of a control who serves several sets would pass for those of different people.
        second_cluster = "person"
    own = "inference" in signature(method).parameters
    used = arguments.get("within", "two_by_two") if estimator == "triple_difference" else estimator
    if own and inference is not None:
        arguments = {**arguments, "inference": inference}

    def analysis(some: Panel) -> Effects:
        effects = method(some, outcome=outcome, **arguments)
        return summarise(bias_reduced(effects) if inference == "CR2" else effects)

    if second_cluster is not None and (own or inference in ("CR2", "CR3")):
        raise DesignError(
            f"second_cluster={second_cluster!r}: errors by two clusterings exist for CR0 and CR1 only; "
            + (f"{estimator} has neither." if own else "leave inference out.")
        )
    if inference == "CR3" and not own:
        effects = leave_one_out(panel, analysis)
    elif own or inference in (None, "CR2") or (inference == "CR1" and used not in _CR0):
        effects = two_way(panel, analysis, second=second_cluster) if second_cluster else analysis(panel)
    else:
        has = "CR0 (leave inference out)" if used in _CR0 else "CR1"
        named = estimator if used == estimator else f"{estimator} with {used}"
        raise DesignError(f"inference={inference!r}: {named} has {has}, and CR3 for few clusters.")
    # Said here, once a result, and not by the estimators, which draws and checks call hundreds of times.
    left = [note for name in names for note in leaving_notes(weighed(panel, names), name)]
    return replace(effects, method={**effects.method, "notes": [*effects.method["notes"], *left]})


def check_arguments(estimator: str, arguments: Mapping[str, Any], *, also: Sequence[str] = ()) -> None:
    """Refuse an argument that neither the estimator has, nor the one used within it, nor ``also`` names."""
    known = [*signature(ESTIMATORS[estimator]).parameters, *also]
    if "within" in known:
        known += signature(ESTIMATORS.get(arguments.get("within", "two_by_two"), two_by_two)).parameters
    known = [
        name for name in dict.fromkeys(known) if name not in ("panel", "outcome", "inference", "arguments")
    ]
    for name in arguments:
        if name not in known:
            raise ParameterError(
                f"{name}: {estimator} has no such argument, but {', '.join(known)}.{nearest(name, known)}"
            )
