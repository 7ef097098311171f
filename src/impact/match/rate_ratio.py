"""The effect on the matched: rate ratio, rate difference and events avoided from one Poisson model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from impact.errors import DataError, DesignError, ParameterError, together
from impact.errors import nearest as nearest_name
from impact.match.poisson import Followed, Part, conditional, marginal
from impact.match.propensity import Array, Rows, both_arms, design
from impact.numbers.inference import cr1, root_by
from impact.results import Effects, Matched

if TYPE_CHECKING:
    from impact.data import Cohort

Estimand = Literal["marginal", "conditional"]
ESTIMANDS = ("marginal", "conditional")
# The unit of a difference in rates.
PER_MONTHS = 1000


def rate_ratio(
    matched: Matched | Cohort,
    *,
    outcome: str | Sequence[str],
    adjust: Sequence[str] = (),
    estimand: Estimand = "marginal",
    cohort: Cohort | None = None,
) -> Effects:
    """Compare the rates of the supported with those of their matched controls.

    A Poisson regression of counts on support, weighted by the match, with the logarithm of the time at risk
    as offset. With ``O`` the supported's events, ``M`` the model's prediction for the same people and time
    without support, and ``P`` that time: the ratio is ``O/M``, the difference ``(O - M)/P`` and the events
    avoided ``M - O``. Poisson quasi-likelihood needs only the mean to be right: counts may be over-dispersed.

    Parameters
    ----------
    matched : Matched or Cohort
        A cohort is compared as it stands, unmatched: the crude rates, for contrast.
    outcome : str or sequence of str
        Several give one joint result.
    adjust : sequence of str
        Covariates added to the model (marginal only).
    estimand : 'marginal' or 'conditional'
        'marginal' is the effect on the treated. 'conditional' compares within sets (an effect for each set,
        which drops out): the common ratio, weighted by precision. Sets in which both have the same count
        take part, unlike in conditional logit. It has no difference and no events avoided.
    cohort : Cohort, optional
        Where follow-up stands if not in the cohort that was matched, such as ``match.partner_dates(...)``
        followed up. Matched people who are not in it are left out, and with them a set that has nobody left
        of one arm.

    Returns
    -------
    Effects
        For each outcome the log ratio, the difference per 1,000 person-months and the events avoided.
        Standard errors are clustered by matched set with the CR1 factor G/(G - 1) x (N - 1)/(N - K); with
        replacement by set and by control person (two-way); unmatched by person.

    Raises
    ------
    ParameterError, DataError
        For an argument that makes no sense and an outcome or covariate that is not there.
    DesignError
        If an arm has no time at risk or no events in some outcome: there is no ratio then.

    References
    ----------
    Austin, P. C. (2011). An introduction to propensity score methods. Multivariate Behavioral Research 46,
    399-424. Cameron, A. C. and Trivedi, P. K. (2013). Regression Analysis of Count Data, ch. 9.

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.data import Cohort
    >>> frame = pd.DataFrame({"helped": [1, 1, 0, 0], "visits": [1, 2, 4, 2], "months": [12, 12, 12, 12]})
    >>> cohort = Cohort.from_frame(frame, treated="helped", outcomes=["visits"], exposure="months")
    >>> rate_ratio(cohort, outcome="visits").table[["scale", "estimate"]].round(3).values.tolist()
    [['log ratio', -0.693], ['difference', -125.0], ['events avoided', 3.0]]
    """
    if estimand not in ESTIMANDS:
        near = nearest_name(estimand, ESTIMANDS)
        raise ParameterError(f"estimand={estimand!r}: use 'marginal' or 'conditional'.{near}")
    sample = _sample(matched, cohort)
    if estimand == "conditional" and (len(adjust) or not sample.matching or sample.matching["replace"]):
        raise ParameterError(
            "estimand='conditional' compares within sets matched without replacement, and takes no adjust; "
            "use 'marginal'."
        )
    followed, problems = {}, []
    for name in _outcomes(sample.cohort, outcome):
        rows = sample.follow(name)
        followed[name] = rows
        problems += _too_rare(name, rows)
    if problems:
        raise DesignError(together(problems))
    if estimand == "conditional":
        parts = {name: conditional(rows) for name, rows in followed.items()}
    else:
        covariates = sample.covariates(adjust)
        parts = {name: marginal(rows, covariates, PER_MONTHS) for name, rows in followed.items()}
    return _effects(sample, followed, parts, _method(sample, estimand, list(parts), adjust))


@dataclass(frozen=True, eq=False)
class _Sample:
    """The rows that are compared: who (a position in the cohort), with what weight, in which set."""

    cohort: Cohort
    person: Rows
    weight: Array
    sets: Rows
    matching: Mapping[str, Any]

    def follow(self, outcome: str) -> Followed:
        """Events and time at risk in one outcome."""
        y = np.asarray(self.cohort.outcomes[outcome], float)[self.person]
        months = np.asarray(self.cohort.exposure[outcome], float)[self.person]
        treated = np.asarray(self.cohort.treated, bool)[self.person]
        return Followed(y, months, self.weight, treated, self.sets)

    def covariates(self, adjust: Sequence[str]) -> Array:
        """Covariates of the rows, (k, n), without the first level of each."""
        if not len(adjust):
            return np.empty((0, len(self.person)))
        found = design(self.cohort.table.iloc[self.person], adjust, argument="adjust")
        return found.values[~found.first]

    @property
    def ways(self) -> list[Rows]:
        """What errors are clustered by: the set and, where controls are used again, the person."""
        return [self.sets, self.person] if self.matching.get("replace") else [self.sets]


def _sample(matched: Matched | Cohort, cohort: Cohort | None) -> _Sample:
    if not isinstance(matched, Matched):
        everyone = np.arange(len(both_arms(matched)))
        return _Sample(matched, everyone, np.ones(len(everyone)), everyone, {})
    followed = matched.cohort if cohort is None else cohort
    table = matched.table[matched.table["weight"] > 0]
    at_match = pd.Index(matched.cohort.person_id).get_indexer(table["person_id"])
    treated = np.asarray(matched.cohort.treated, bool)[at_match]
    person = pd.Index(followed.person_id).get_indexer(table["person_id"])
    sets = pd.factorize(table["subclass"].to_numpy(int))[0]
    # Who was matched but is not followed leaves their share to the other controls of the set; a set that
    # lost its supported person, or its last control, compares nobody and is left out.
    here = person >= 0
    before, after = np.bincount(sets, ~treated), np.bincount(sets, ~treated & here)
    whole = (after > 0) & (np.bincount(sets, treated & here) > 0)
    rows = here & whole[sets]
    share = np.where(treated, 1.0, before[sets] / np.maximum(after[sets], 1))
    weight = table["weight"].to_numpy(float) * share
    return _Sample(followed, person[rows], weight[rows], sets[rows], matched.method)


def _outcomes(cohort: Cohort, outcome: str | Sequence[str]) -> list[str]:
    names = [outcome] if isinstance(outcome, str) else list(dict.fromkeys(outcome))
    held = ", ".join(map(repr, cohort.outcomes)) or "none: follow it up first"
    problems = [
        f"outcome={name!r}: the outcomes of the cohort are {held}.{nearest_name(name, cohort.outcomes)}"
        for name in names
        if name not in cohort.outcomes
    ]
    if problems or not names:
        raise DataError(together(problems or ["outcome=[]: name at least one outcome."]))
    return names


def _too_rare(outcome: str, rows: Followed) -> list[str]:
    """Say why an outcome has no ratio."""
    for arm, mine in (("supported", rows.treated), ("controls", ~rows.treated)):
        mine = mine & rows.at_risk
        reason = ""
        if not mine.any():
            reason = "nobody has time at risk; look at the coverage of that service"
        elif not rows.y[mine].any():
            reason = "nothing ever happened, so there is no ratio; leave this outcome out"
        elif len(np.unique(rows.sets[mine])) < 2:
            reason = "only one person has time at risk, too few for a standard error"
        if reason:
            return [f"outcome={outcome!r}: among the {arm} {reason}."]
    return []


def _effects(
    sample: _Sample, followed: Mapping[str, Followed], parts: Mapping[str, Part], method: dict[str, Any]
) -> Effects:
    """Sum influences within clusters, with the factor of CR1, and label what came out."""
    roots = []
    for name, part in parts.items():
        at_risk = followed[name].at_risk
        factor = partial(cr1, rows=int(at_risk.sum()), parameters=part.parameters)
        roots.append(root_by(part.influence, *sample.ways, at_risk=at_risk, factor=factor))
    unit = {
        "log ratio": "log ratio",
        "difference": f"per {PER_MONTHS:,} person-months",
        "events avoided": "events",
    }
    labels, counts = [], []
    for name, part in parts.items():
        rows = followed[name]
        behind = {
            "persons": len(np.unique(sample.person[rows.at_risk])),
            "treated": int((rows.at_risk & rows.treated).sum()),
            "clusters": len(np.unique(sample.sets[rows.at_risk])),
            "events": round(float(rows.y[rows.at_risk & rows.treated].sum())),
        }
        labels += [{"outcome": name, "term": "effect", "scale": s, "unit": unit[s]} for s in part.estimate]
        counts += [behind] * len(part.estimate)
    return Effects(
        pd.DataFrame(labels),
        np.array([value for part in parts.values() for value in part.estimate.values()]),
        np.hstack([r.root for r in roots]),
        roots[0].clusters,
        min(r.at_risk for r in roots) - 1,
        {**method, "parameters": max(part.parameters for part in parts.values())},
        pd.DataFrame(counts),
        sign=roots[0].sign,
    )


def _method(sample: _Sample, estimand: str, outcomes: Sequence[str], adjust: Sequence[str]) -> dict[str, Any]:
    method = {"outcome": list(outcomes), "family": "poisson", "covariates": list(adjust)}
    if not sample.matching:
        return method | {
            "estimator": "crude rates",
            "estimand": "crude comparison of those supported with those not",
            "control": "everyone not supported",
            "inference": "CR1",
            "clusters": "person",
        }
    by_person = " and control person, two-way" if sample.matching["replace"] else ""
    return method | {
        "estimator": "matched Poisson regression",
        "estimand": "effect on the matched supported, over their observed supported person-time"
        if estimand == "marginal"
        else "common ratio within matched sets, weighted by precision",
        "control": "matched controls",
        "inference": "CR1",
        "clusters": f"matched set{by_person}",
        "matching": dict(sample.matching),
    }
