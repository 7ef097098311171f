"""Weights for people who move, opt out or are lost, so that those who stay stand for those like them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from impact.data.ends import is_death
from impact.data.panel import Panel
from impact.did.design import as_list, covariate_matrix, people, start_positions, total_time
from impact.did.leaving import Spells
from impact.errors import DataError, DesignError, ParameterError, nearest
from impact.numbers.regress import pseudo_inverse

Array = NDArray[np.float64]

_STEPS = 100
# How many periods, the present one among them, are recent use.
_RECENT = 3


def censoring_weights(
    panel: Panel,
    *,
    covariates: Sequence[str] = (),
    outcome: str | Sequence[str] | None = None,
    reasons: Sequence[str] | None = None,
    truncate: float = 0.99,
) -> Panel:
    """Weigh those still observed by one over the probability of it, so that they stand for leavers like them.

    The probability of staying after each period comes from a pooled logit of leaving by the period, the arm,
    being supported, the covariates, and each outcome's rate so far and over the last three periods (the
    logarithm of one plus it). A person's weight in a period is the product, over the periods before it, of
    the share of the supported arm that stayed over that probability: everyone is brought to the follow-up
    that the supported had, so that both arms have the same calendar, and the person-time of the supported
    stays what was observed. This removes the bias of leaving that depends on nothing else. People who die
    are not censored: rates are rates while alive.

    Parameters
    ----------
    panel : Panel
        ``Panel.ended`` says why people's time ended; without it everyone whose time ends before that of their
        arm counts as having left, the dead among them.
    covariates : sequence of str
        Measured before support.
    outcome : str or sequence of str, optional
        Whose past explains leaving, and whose time at risk says who is still there; without it, all.
    reasons : sequence of str, optional
        Which words of ``Panel.ended`` are censoring, never those for a death; without it, all but death and
        the end of the data.
    truncate : float
        Larger weights are brought down to this quantile of the weights of those at risk in the same arm and
        period, which makes the estimate steadier and leaves some of the bias in; 1 for none.

    Returns
    -------
    Panel
        With ``censoring_weights`` (n, T), and a note of what was done. Estimators take the weights as known,
        so that their errors are, as a rule, a little too wide.

    Raises
    ------
    ParameterError
        For a share outside (0, 1], or a death among the reasons.
    DataError
        For reasons that nobody has, or covariates that are not on the panel.
    DesignError
        If the logit has no solution.

    References
    ----------
    Robins, J. M., Hernan, M. A. and Brumback, B. (2000). Marginal structural models and causal inference in
    epidemiology. Epidemiology 11, 550-560.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"id": [1, 1, 1, 2, 2, 3, 3, 3, 4, 4, 4],
    ...                       "year": [1, 2, 3, 1, 2, 1, 2, 3, 1, 2, 3],
    ...                       "falls": 1, "start": [2] * 5 + [None] * 6})
    >>> panel = Panel.from_long(frame, unit="id", period="year", outcomes=["falls"], first_treated="start")
    >>> censoring_weights(panel).censoring_weights.round(2)[0].tolist()
    [1.0, 1.0, 1.0]
    """
    if not 0 < truncate <= 1:
        raise ParameterError(f"truncate={truncate}: give a share above 0 and up to 1.")
    names = panel.check_outcomes(list(panel.outcomes) if outcome is None else outcome)
    spells = Spells.of(panel, total_time(panel, names))
    if reasons is not None:
        spells = _for_reasons(panel, spells, as_list(reasons))
    x = covariate_matrix(panel, covariates)[1:]
    past = [column for name in names for column in _past(panel, name)]
    start = start_positions(panel)

    def regressors(t: int) -> Array:
        return np.vstack([panel.treated, panel.treated & (start <= t), x, [column[:, t] for column in past]])

    stay = _supported_stay(panel, spells) / _remaining(panel, spells, regressors)
    weights = np.ones_like(stay)
    weights[:, 1:] = stay[:, :-1].cumprod(1)
    weights = _truncated(weights, total_time(panel, names) > 0, panel.treated, truncate)
    note = (
        f"Censoring weights: {people(int(spells.left.sum()))} moved, opted out or were lost; those who "
        f"stayed are weighed for it, by {weights.max(initial=1):.1f} at most"
        + (f" (the largest {100 - 100 * truncate:g} per cent are cut)." if truncate < 1 else ".")
    )
    return replace(
        panel,
        censoring_weights=weights,
        notes=(*panel.notes, *([note] if spells.left.any() else [])),
    )


def _for_reasons(panel: Panel, spells: Spells, reasons: Sequence[str]) -> Spells:
    if dead := [reason for reason in reasons if is_death(reason)]:
        raise ParameterError(
            f"reasons: {dead[0]!r} is a death, and people who die are not censored: rates are rates while "
            "alive; leave it out."
        )
    if panel.ended is None:
        raise DataError("reasons: this panel does not say why people's time ended (Panel.ended).")
    known = sorted({str(reason) for reason in panel.ended[spells.left]})
    for reason in reasons:
        if reason not in known:
            said = ", ".join(map(repr, known)) or "nobody left"
            raise DataError(f"reasons: nobody left for {reason!r}; found {said}.{nearest(reason, known)}")
    left = spells.left & np.isin(panel.ended.astype(str), list(reasons))
    # Who left for another reason could have left for these until then, as the dead could.
    return replace(spells, left=left)


def _past(panel: Panel, name: str) -> list[Array]:
    """Use of a service so far and over the last periods, as the logarithm of one plus the rate, (n, T)."""
    T = len(panel.periods)
    so_far = np.triu(np.ones((T, T)))
    out = []
    for window in (so_far, so_far - np.triu(np.ones((T, T)), _RECENT)):
        rate = (panel.outcomes[name] @ window) / (panel.exposure[name] @ window + 1e-300)
        out.append(np.sign(rate) * np.log1p(np.abs(rate)))
    return out


def _truncated(weights: Array, at_risk: NDArray[np.bool_], treated: NDArray[np.bool_], share: float) -> Array:
    """Bring weights down to a quantile of their arm and period; those of people not at risk as well."""
    out = weights.copy()
    for members in (treated, ~treated):
        for t in range(weights.shape[1]):
            own = weights[members & at_risk[:, t], t]
            limit = np.quantile(own, share) if len(own) else 1.0
            out[members, t] = np.minimum(weights[members, t], limit)
    return out


def _supported_stay(panel: Panel, spells: Spells) -> Array:
    """Share of the supported arm that stayed after each period; 1 where that was nobody, (T,)."""
    out = np.ones(spells.periods)
    mine = panel.treated & (panel.weights > 0)
    for t in range(spells.periods):
        at_risk = mine & (spells.first <= t) & (t < spells.until)
        stayed = at_risk & ~(spells.left & (spells.last == t))
        if stayed.any():
            out[t] = panel.weights[stayed].sum() / panel.weights[at_risk].sum()
    return out


def _remaining(panel: Panel, spells: Spells, regressors: Callable[[int], Array]) -> Array:
    """Probability of staying after each period by a pooled logit with period effects; 1 where nobody left.

    Newton's method, a period at a time: the period effects are eliminated from each step, so that neither
    their dummies nor people x periods x regressors are ever formed.
    """
    n, T = panel.n, spells.periods
    rows = {
        t: np.flatnonzero((spells.first <= t) & (t < spells.until) & (panel.weights > 0)) for t in range(T)
    }
    gone = {t: (spells.left & (spells.last == t))[who].astype(float) for t, who in rows.items()}
    rows = {t: who for t, who in rows.items() if gone[t].any() and not gone[t].all()}
    weight = {t: panel.weights[who] for t, who in rows.items()}
    k = len(regressors(0))
    effect, coef = {t: _logit(np.average(gone[t], weights=weight[t])) for t in rows}, np.zeros(k)
    chance: dict[int, Array] = {}
    for _ in range(_STEPS if rows else 0):
        score, information, parts, moved = np.zeros(k), np.zeros((k, k)), {}, 0.0
        size = np.zeros(k)
        for t, who in rows.items():
            z = regressors(t)[:, who]
            p = expit(effect[t] + coef @ z)
            moved = max(moved, float(np.abs(p - chance[t]).max())) if t in chance else 1.0
            chance[t] = p
            slope, rest = weight[t] * np.maximum(p * (1 - p), 1e-12), weight[t] * (gone[t] - p)
            parts[t] = (z @ slope / slope.sum(), rest.sum() / slope.sum())
            size += (z * z) @ slope
            z = z - parts[t][0][:, None]
            score += z @ rest
            information += (z * slope) @ z.T
        if moved < 1e-8:
            break
        # What is the same for everyone in each period is left out: only rounding errors remain of it.
        vary = np.diag(information) > 1e-12 * size
        step = pseudo_inverse(information * np.outer(vary, vary))[0] @ (score * vary)
        # Far from the solution a full step can overshoot; no coefficient moves the logit by more than this.
        step *= min(1.0, 3.0 / max(float(np.abs(step).max(initial=0.0)), 1e-300))
        coef = coef + step
        effect = {t: effect[t] + min(max(own - mean @ step, -3.0), 3.0) for t, (mean, own) in parts.items()}
    else:
        if rows:
            raise DesignError(
                "the regression of leaving has no solution; use fewer covariates or coarser levels."
            )
    out = np.ones((n, T))
    for t, who in rows.items():
        stayed = gone[t] == 0
        out[who[stayed], t] = 1 - chance[t][stayed]
    return out


def _logit(share: float) -> float:
    return float(np.log(share / (1 - share)))
