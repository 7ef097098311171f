"""The effect on the matched: rate ratio, rate difference and events avoided from one regression of counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from impact.errors import ParameterError
from impact.match.gcomputation import compared, g_computation
from impact.match.poisson import conditional
from impact.match.propensity import check_word
from impact.match.sample import Sample, comparable, each, names_of
from impact.results import Effects, Matched

if TYPE_CHECKING:
    from impact.data import Cohort

Estimand = Literal["marginal", "conditional"]
ESTIMANDS = ("marginal", "conditional")
MODELS = ("poisson", "negative_binomial")
# The unit of a difference in rates.
PER_MONTHS = 1000
UNIT = f"per {PER_MONTHS:,} person-months"


def rate_ratio(
    matched: Matched | Cohort,
    *,
    outcome: str | Sequence[str],
    adjust: Sequence[str] = (),
    estimand: Estimand = "marginal",
    model: Literal["poisson", "negative_binomial"] = "poisson",
    cohort: Cohort | None = None,
) -> Effects:
    """Compare the rates of the supported with those of their matched or weighted controls.

    A regression of counts on support, weighted by the match, with the logarithm of the time at risk as
    offset. With ``O`` the supported's events, ``M`` the model's prediction for the same people and time
    without support, and ``P`` that time: the ratio is ``O/M``, the difference ``(O - M)/P`` and the events
    avoided ``M - O``. Poisson quasi-likelihood needs only the mean to be right: counts may be over-dispersed.

    Parameters
    ----------
    matched : Matched or Cohort
        A cohort is compared as it stands, unmatched: the crude rates, for contrast.
    outcome : str or sequence of str
        Several give one joint result.
    adjust : sequence of str
        Covariates added to the model (marginal only). Missing values are treated as they were for matching.
    estimand : 'marginal' or 'conditional'
        'marginal' is the effect on those whom the matching method is about (its own ``estimand``).
        'conditional' compares within sets (an effect for each set, which drops out): the common ratio,
        weighted by precision. Sets in which both have the same count take part, unlike in conditional logit.
        It has no difference and no events avoided.
    model : 'poisson' or 'negative_binomial'
        Negative binomial (marginal only) gives people with many events less say. Its ``O`` is the model's
        prediction with support, as its fit does not reproduce the sum of events.
    cohort : Cohort, optional
        Where follow-up stands if not in the cohort that was matched, such as ``match.partner_dates(...)`` or
        ``match.censor_pairs(...)`` followed up. Matched people who are not in it or have no time at risk are
        left out, and with them a set that has nobody left of one arm.

    Returns
    -------
    Effects
        For each outcome the log ratio, the difference per 1,000 person-months and, for the effect on the
        supported, the events avoided. Standard errors are clustered by matched set with the CR1 factor
        G/(G - 1) x (N - 1)/(N - K); with replacement, or where people have rows at several dates, by set and
        by person (two-way); weighted or unmatched by person; after ``subclass`` and ``coarsened_exact`` by
        person within strata, with as many of each arm in a stratum as there are. Where weights were
        estimated, their own error is counted.

    Raises
    ------
    ParameterError, DataError
        For an argument that makes no sense, an outcome or covariate that is not there, and covariates that
        are counted after the index date, as outcomes are.
    DesignError
        If an arm has no time at risk or no events in some outcome: there is no ratio then. Also if one person
        stands for a whole arm, or all events are of one set: there is no standard error.

    References
    ----------
    Austin, P. C. (2011). An introduction to propensity score methods. Multivariate Behavioral Research 46,
    399-424. Cameron, A. C. and Trivedi, P. K. (2013). Regression Analysis of Count Data, ch. 3 and 9.
    Cochran, W. G. (1977). Sampling Techniques, sections 5.3 and 6.11 (strata).

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.data import Cohort
    >>> frame = pd.DataFrame({"helped": [1, 1, 0, 0], "visits": [1, 2, 4, 2], "months": [12, 12, 12, 12]})
    >>> cohort = Cohort.from_frame(frame, treated="helped", outcomes=["visits"], exposure="months")
    >>> rate_ratio(cohort, outcome="visits").table[["scale", "estimate"]].round(3).values.tolist()
    [['log ratio', -0.693], ['difference', -125.0], ['events avoided', 3.0]]
    """
    check_word("estimand", estimand, ESTIMANDS)
    check_word("model", model, MODELS)
    sample = Sample.of(matched, cohort)
    followed = {name: sample.events(name) for name in names_of(list(sample.cohort.outcomes), outcome)}
    if estimand == "conditional":
        _within_sets(sample, adjust, model)
        comparable(followed)
        said = sample.method("rates", estimator="matched Poisson regression", outcomes=[*followed], adjust=[])
        parts = each(followed, conditional)
        within = {"estimand": "common ratio within matched sets, weighted by precision", "notes": []}
        return sample.effects(followed, parts, {**said, "family": "poisson", **within})
    comparable(followed)
    covariates = sample.covariates(adjust, followed)
    totals = each(followed, lambda rows: g_computation(rows, covariates, family=model, interact=False))
    avoided = "events" if sample.estimand == "ATT" else None
    parts = {n: compared(t, unit=UNIT, per=PER_MONTHS, avoided=avoided) for n, t in totals.items()}
    family = model.replace("_", " ")
    kind = "Poisson" if model == "poisson" else family
    said = sample.method(
        "rates",
        estimator=f"{'matched' if sample.grouped else 'weighted'} {kind} regression",
        outcomes=[*followed],
        adjust=adjust,
        time=True,
    )
    dispersion = {n: t.figures["dispersion"] for n, t in totals.items() if t.figures}
    more = {"dispersion": dispersion} if dispersion else {}
    return sample.effects(followed, parts, {**said, "family": family, **more})


def _within_sets(sample: Sample, adjust: Sequence[str], model: str) -> None:
    if len(adjust) or model != "poisson" or sample.matching.get("clusters") != "matched set":
        raise ParameterError(
            "estimand='conditional' compares within sets matched without replacement, by a Poisson model "
            "without adjust; use 'marginal'."
        )
