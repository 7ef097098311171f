"""Two arms, before and after: the simplest difference-in-differences, on counts or on rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from impact.data.panel import Panel
from impact.did.design import (
    Parts,
    as_list,
    check_arms,
    check_change,
    check_choice,
    check_counts,
    check_events,
    clusters_at_risk,
    covariate_matrix,
    leave_out_early,
    people,
    start_positions,
    total_time,
    weighed,
)
from impact.did.regression import CR1
from impact.did.scales import three_scales
from impact.errors import DesignError
from impact.numbers.few_clusters import Regression, of_rows
from impact.numbers.inference import cluster_codes, cluster_sums, cr1
from impact.numbers.regress import glm, ols
from impact.results import Effects

Array = NDArray[np.float64]
Family = Literal["poisson", "linear"]


def two_by_two(
    panel: Panel,
    *,
    outcome: str | Sequence[str],
    family: Family = "poisson",
    covariates: Sequence[str] = (),
    effects: Literal["arm", "person"] = "arm",
) -> Effects:
    """Compare the change of the supported from before to after with the change of the controls.

    Poisson: the ratio of the two changes, by quasi-likelihood with the time at risk as offset, so that the
    events expected without support are person-time x the treated's rate before x the controls' ratio.
    Linear: the difference of the two changes in rates. These are different questions where the arms begin
    at different rates.

    Parameters
    ----------
    panel : Panel
        On the calendar clock with one start for everyone, or on the event clock (after = event time 0 on).
        Its censoring weights multiply events and time at risk.
    outcome : str or sequence of str
        Several outcomes give one joint result.
    family : 'poisson' or 'linear'
    covariates : sequence of str
        Measured before support. They enter by period: both the level and the change may depend on them.
    effects : 'arm' or 'person'
        'arm' is the saturated model of arm and period, with everyone's time at risk. 'person' gives each
        person an effect (conditional Poisson, or each person's own change in rates, weighted by the time at
        risk before), which uses only people at risk both before and after, and holds where leaving depends
        on a person's own level.

    Returns
    -------
    Effects
        For each outcome ``log ratio``, ``difference`` and ``events avoided`` (positive means fewer with
        support), from one model and one joint root. Linear models have no ratio where the expected events
        are not above zero.

    Raises
    ------
    DesignError
        If starts are staggered, an arm is missing or is one cluster, a Poisson cell has no events, or
        changes in a person's own rates would need censoring weights.

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.data.panel import Panel
    >>> frame = pd.DataFrame({"site": [1, 1, 2, 2, 3, 3, 4, 4], "year": [1, 2] * 4,
    ...                       "falls": [4, 2, 6, 4, 5, 5, 3, 4], "start": [2, 2, 2, 2] + [None] * 4})
    >>> panel = Panel.from_long(frame, unit="site", period="year", outcomes=["falls"],
    ...                         first_treated="start")
    >>> two_by_two(panel, outcome="falls").table[["scale", "estimate"]].round(4)
                scale  estimate
    0       log ratio   -0.6286
    1      difference   -2.6250
    2  events avoided    5.2500
    """
    names = panel.check_outcomes(outcome)
    check_choice("family", family, ("poisson", "linear"))
    check_choice("effects", effects, ("arm", "person"))
    if panel.censoring_weights is not None and (family, effects) == ("linear", "person"):
        raise DesignError(
            "two_by_two: a person's own change in rates has one weight, but censoring weights change with "
            "time; use effects='arm', or callaway_santanna."
        )
    panel, start, notes = _one_start(panel, names)
    T = len(panel.periods)
    x = covariate_matrix(panel, covariates)[1:]
    codes, clusters = cluster_codes(panel.cluster)
    treated, parts, used = start < T, Parts(clusters, 3 * len(names)), []
    for name in names:
        notes += check_events(panel, name, (np.arange(T) >= start[:, None]) & treated[:, None])
        check_change(panel, name, start, effects=effects, family=family)
        pair = _pair(panel, name, int(start.min()))
        if family == "poisson":
            check_counts(panel, name)
            _check_cells(pair, treated, name)
        notes += _one_period_only(pair, name, effects)
        fit = _by_arm if effects == "arm" else _by_person
        regression, psi, rows, k = fit(pair, treated, x, family, codes)
        effect = float(regression.coef @ regression.contrasts[:, 0])
        rate, person_time, psi_rate = _treated_rate(pair, treated)
        values, by = three_scales(effect, rate, person_time, family=family)
        used.append(clusters_at_risk(panel, name))
        factor = cr1(used[-1], rows, k)
        root = np.sqrt(factor) * cluster_sums(np.column_stack([psi, psi_rate]) @ by, codes, len(clusters))
        parts.add_scales(name, panel.per, values, root, _counts(panel, pair, treated, codes, effects))
    said = {
        "estimator": "two_by_two",
        "estimand": "effect on those supported, over their observed supported person-time",
        "outcome": names,
        "control": "people without support",
        "family": family,
        "period": panel.step,
        "effects": effects,
        "inference": CR1,
        "covariates": as_list(covariates),
        "anticipation": 0,
        "notes": notes,
    }
    out = parts.effects(said, used)
    if len(names) > 1:
        return out
    return replace(out, regression=replace(regression.times(by[:1]), factor=factor))


def _one_start(panel: Panel, names: list[str]) -> tuple[Panel, NDArray[np.int64], list[str]]:
    """Return the people compared, who have one start or none, with the starts and notes."""
    panel = weighed(panel, names)
    panel, start, notes = leave_out_early(panel, start_positions(panel))
    if len(np.unique(start[start < len(panel.periods)])) > 1:
        raise DesignError(
            "two_by_two needs one start for everyone, but support starts in several periods: use "
            "etwfe or callaway_santanna, or build the panel with clock='event'."
        )
    check_arms(panel, start, total_time(panel, names))
    return panel, start, notes


@dataclass(frozen=True)
class _Pair:
    """Events and time at risk before and after, (2, n), and what the rows of the model are.

    Both are multiplied by the censoring weights; ``happened`` are the events after without them.
    """

    events: Array
    time: Array
    weights: Array
    scale: float
    rows: int
    happened: Array


def _pair(panel: Panel, name: str, first: int) -> _Pair:
    def halves(values: Array) -> Array:
        return np.stack([values[:, :first].sum(1), values[:, first:].sum(1)])

    stay = 1.0 if panel.censoring_weights is None else panel.censoring_weights
    return _Pair(
        halves(panel.outcomes[name] * stay),
        halves(panel.exposure[name] * stay),
        panel.weights,
        panel.rate_scale,
        int((panel.exposure[name] > 0).sum()),
        panel.outcomes[name][:, first:].sum(1),
    )


def _by_arm(
    pair: _Pair, treated: NDArray[np.bool_], x: Array, family: Family, codes: NDArray[np.int64]
) -> tuple[Regression, Array, int, int]:
    """Arm, period and their product: the regression, each person's influence, rows and regressors."""
    n = len(treated)
    one, d = np.ones(n), treated.astype(float)
    before = np.vstack([one, d, np.zeros((2, n)), x, np.zeros_like(x)])
    design = np.hstack([before, np.vstack([one, d, one, d, x, x])])
    y, time, w = pair.events.ravel(), pair.time.ravel(), np.tile(pair.weights, 2)
    seen = time > 0
    y, time, w = y[seen], time[seen], w[seen]
    if family == "linear":
        y, w = pair.scale * y / time, w * time
    place = np.tile(codes, 2)[seen], int(codes.max()) + 1
    regression, psi = _fitted(design[:, seen], y, w, np.log(time), family, 3, *place)
    influence = np.zeros(2 * n)
    influence[seen] = psi
    return regression, influence.reshape(2, n).sum(0), pair.rows, len(design)


def _by_person(
    pair: _Pair, treated: NDArray[np.bool_], x: Array, family: Family, codes: NDArray[np.int64]
) -> tuple[Regression, Array, int, int]:
    """Each person's own change: a logit of the share of events that fall after, or least squares."""
    design = np.vstack([np.ones(len(treated)), treated, x])
    used = (pair.time > 0).all(0)
    if family == "poisson":
        # Given a person's total, the number after is binomial: the person's own level has gone.
        used &= pair.events.sum(0) > 0
    (y0, y1), (e0, e1) = pair.events[:, used], pair.time[:, used]
    z, w, place = design[:, used], pair.weights[used], (codes[used], int(codes.max()) + 1)
    if family == "poisson":
        total = y0 + y1
        regression, psi = _fitted(z, y1 / total, w * total, np.log(e1 / e0), "logit", 1, *place)
    else:
        change = pair.scale * (y1 / e1 - y0 / e0)
        regression, psi = _fitted(z, change, w * e0, 0.0, "linear", 1, *place)
    influence = np.zeros(len(treated))
    influence[used] = psi
    # The model has two rows a person, and an intercept beside the change over time.
    return regression, influence, 2 * int(used.sum()), len(design) + 1


def _fitted(
    z: Array,
    y: Array,
    weights: Array,
    offset: Array | float,
    family: Literal["linear", "poisson", "logit"],
    effect: int,
    codes: NDArray[np.int64],
    clusters: int,
) -> tuple[Regression, Array]:
    """The regression as its clusters see it, and each row's influence on the coefficient ``effect``."""
    if family == "linear":
        fit = ols(z, y, weights)
    else:
        fit = glm(z, y, family=family, weights=weights, offset=offset)
    regression = of_rows(
        fit,
        z,
        y,
        family=family,
        weights=weights,
        codes=codes,
        clusters=clusters,
        contrasts=np.eye(len(z))[:, [effect]],
        offset=offset,
    )
    return regression, (fit.bread[effect] @ z) * weights * (y - fit.mean)


def _treated_rate(pair: _Pair, treated: NDArray[np.bool_]) -> tuple[float, float, Array]:
    """The treated's rate after, the person-time in units of the rate, and each person's influence on it."""
    w = pair.weights * treated
    time = w @ pair.time[1]
    rate = float(w @ pair.events[1] / time)
    return (
        pair.scale * rate,
        time / pair.scale,
        pair.scale * w * (pair.events[1] - rate * pair.time[1]) / time,
    )


def _counts(
    panel: Panel, pair: _Pair, treated: NDArray[np.bool_], codes: NDArray[np.int64], effects: str
) -> dict[str, int]:
    seen = pair.time > 0
    used = np.asarray(seen.all(0) if effects == "person" else seen.any(0))
    return {
        "persons": panel.persons(used),
        "treated": panel.persons(used & treated),
        "clusters": len(np.unique(codes[used])),
        "events": round(float(pair.happened[treated & panel.once].sum())),
    }


def _check_cells(pair: _Pair, treated: NDArray[np.bool_], name: str) -> None:
    none = [
        f"the {arm} {when}"
        for arm, members in (("treated", treated), ("controls", ~treated))
        for j, when in enumerate(("before", "after"))
        if pair.weights[members] @ pair.events[j, members] <= 0
    ]
    if none:
        raise DesignError(
            f"outcome={name!r}: no events among {' and '.join(none)}, so there is no ratio; too few events "
            "for a Poisson model. Use longer windows, a more frequent outcome, or family='linear'."
        )


def _one_period_only(pair: _Pair, name: str, effects: str) -> list[str]:
    before, after = pair.time > 0
    only = {"before only": int((before & ~after).sum()), "after only": int((after & ~before).sum())}
    if not any(only.values()):
        return []
    told = " and ".join(f"{people(count)} {when}" for when, count in only.items() if count)
    did = "kept, with the time they had" if effects == "arm" else "left out of the comparison"
    return [f"{name}: at risk {told}: {did}."]
