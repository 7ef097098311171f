"""The checks of a difference-in-differences: the same analysis with one thing changed at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from math import ceil
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data.panel import Panel
from impact.did import ESTIMATORS, as_if_observed, lost, placebo_starts, summarise
from impact.errors import DesignError
from impact.interpret.buildings import TOO_FEW, without_those_that_matter
from impact.interpret.check_rows import Rows, if_lost
from impact.match.e_value import e_value
from impact.results import Effects

# The estimator that answers the same question with other assumptions, and what it is called.
_ANOTHER = {
    "two_by_two": ("twfe", "By a regression with person effects"),
    "twfe": ("two_by_two", "By two groups, before and after"),
    "callaway_santanna": ("imputation", "With all months before support as the base"),
    "sun_abraham": ("imputation", "With all months before support as the base"),
    "imputation": ("callaway_santanna", "With the last month before support as the base"),
    "etwfe": ("imputation", "With parallel differences in place of parallel ratios"),
    "stacked": ("etwfe", "In one regression of all starts"),
    "synthetic_did": ("imputation", "With all controls weighted alike"),
}
_MONTHS = {"month": 1, "quarter": 3, "year": 12}


@dataclass(frozen=True)
class Analysis:
    """The analysis as planned, which can be made of another panel or with other arguments."""

    panel: Panel
    outcome: str
    estimator: str
    arguments: Mapping[str, Any]

    def made(self, panel: Panel | None = None, *, estimator: str = "", **changed: Any) -> Effects:
        """Estimate the effect with these things changed."""
        method = ESTIMATORS[estimator or self.estimator]
        options = {**self.arguments, **changed}
        if estimator:
            # What 'effects' may be is another thing for each estimator.
            alike = signature(method).parameters.keys() - {"effects"}
            options = {k: v for k, v in options.items() if k in alike}
        return summarise(method(panel or self.panel, outcome=self.outcome, **options))

    def takes(self, name: str) -> bool:
        """Whether the estimator has an argument of this name."""
        return name in signature(ESTIMATORS[self.estimator]).parameters


def checks_of_trends(
    analysis: Analysis, *, places: NDArray[Any] | None, place: str, asked: Mapping[str, Any]
) -> tuple[Rows, Effects]:
    """Make the checks of one outcome that need no more than its panel; return also the planned effects.

    Parameters
    ----------
    analysis : Analysis
    places : array (n,), optional
        Building of each row of the panel, missing where there is none.
    place : str
        What these are called.
    asked : mapping
        As for ``checks``.
    """
    planned = analysis.made()
    rows = Rows.of(planned, analysis.outcome)
    for check, make in {
        "start": _without_start,
        "around": _without_months_around,
        "estimator": _another,
        "build_up": _ignoring_build_up,
        "covariates": _without_covariates,
        "controls": _other_controls,
        "lost": _worst_cases,
        "pretend": _pretend,
    }.items():
        if check not in asked["leave_out"]:
            make(rows, analysis, asked)
    for name, of_places in (("buildings", _without_places), ("spillover", _without_neighbours)):
        if name in asked["leave_out"]:
            continue
        if places is None:
            changed = {"buildings": f"Without the {place}s that matter most", "spillover": _NEIGHBOURS}[name]
            rows.without(changed.format(place), f"the data do not say who lives in which {place}")
        else:
            of_places(rows, analysis, planned, places, place)
    if "e_value" not in asked["leave_out"]:
        if rows.scale == "log ratio":
            rows.add_strength("e_value", "Strength of a hidden reason (E-value)", e_value(planned))
        else:
            rows.without("E-value", "there is no ratio")
    return rows, planned


def periods_of(months: int, step: str) -> int:
    """How many periods so many months are, at least."""
    return ceil(months / _MONTHS.get(step, 1))


def _without_start(rows: Rows, a: Analysis, _: Mapping[str, Any]) -> None:
    changed = f"Without the {a.panel.step} support began"
    rows.attempt("start", changed, lambda: a.made(without_periods(a.panel, 0)))


def _without_months_around(rows: Rows, a: Analysis, asked: Mapping[str, Any]) -> None:
    k = periods_of(asked["exclude_months"], a.panel.step)
    if not k:
        return
    step = a.panel.step if k == 1 else f"{k} {a.panel.step}s"
    changed = f"Without the {step} before and after it, too"
    # What is left out cannot be what the rest is compared with.
    build_up: dict[str, Any] = (
        {"anticipation": max(k, a.arguments.get("anticipation") or 0)} if a.takes("anticipation") else {}
    )
    rows.attempt("around", changed, lambda: a.made(without_periods(a.panel, k), **build_up))


def _another(rows: Rows, a: Analysis, _: Mapping[str, Any]) -> None:
    if a.estimator not in _ANOTHER:
        rows.without("By another estimator", "none answers quite the same question")
        return
    other, called = _ANOTHER[a.estimator]
    rows.attempt("estimator", called, lambda: a.made(estimator=other))


def _ignoring_build_up(rows: Rows, a: Analysis, _: Mapping[str, Any]) -> None:
    if a.arguments.get("anticipation"):
        rows.attempt("build_up", "Ignoring the build-up before support", lambda: a.made(anticipation=0))
    else:
        rows.without("Ignoring the build-up before support", "the plan allows for none")


def _without_covariates(rows: Rows, a: Analysis, _: Mapping[str, Any]) -> None:
    if a.arguments.get("covariates"):
        rows.attempt("covariates", "Without covariates", lambda: a.made(covariates=()))
    else:
        rows.without("Without covariates", "the plan has none")


def _other_controls(rows: Rows, a: Analysis, _: Mapping[str, Any]) -> None:
    if not a.takes("control"):
        rows.without("With other controls", "the estimator takes all there are")
    elif a.arguments.get("control", "not_yet_treated") == "never_treated":
        changed = "Not-yet-supported controls too"
        rows.attempt("controls", changed, lambda: a.made(control="not_yet_treated"))
    else:
        changed = "Never-supported controls only"
        rows.attempt("controls", changed, lambda: a.made(control="never_treated"))


def without_periods(panel: Panel, around: int) -> Panel:
    """Leave out the periods up to ``around`` from the start: of the supported, or of all if all began in one.

    Where there is one start, the controls' same period would otherwise count as time after it, and whatever
    was common to that period (a winter) would pass for an effect.
    """
    T = len(panel.periods)
    inside = panel.treated & (panel.start >= 0) & (panel.start < T)
    out = inside[:, None] & (np.abs(np.arange(T) - panel.start[:, None]) <= around)
    if len(np.unique(panel.start[inside])) == 1:
        out = np.broadcast_to(out.any(0), out.shape)
    return replace(
        panel,
        outcomes={name: np.where(out, 0.0, values) for name, values in panel.outcomes.items()},
        exposure={name: np.where(out, 0.0, values) for name, values in panel.exposure.items()},
    )


def _worst_cases(rows: Rows, a: Analysis, asked: Mapping[str, Any]) -> None:
    """Fill in the time of those who died or left: all from one side with little use, the others with much."""
    low, high = asked["lost_use"]
    gone = lost(a.panel, outcome=a.outcome).any(1)
    if not gone.any():
        rows.without("Those who died or left", "nobody did")
        return
    sides = [n for side in (a.panel.treated, ~a.panel.treated) if (n := int((gone & side).sum()))]
    for check, supported, control in (("lost_best", low, high), ("lost_worst", high, low)):
        filled = as_if_observed(a.panel, outcome=a.outcome, supported=supported, control=control)
        changed = if_lost(supported, control)
        rows.attempt(check, changed, lambda filled=filled: a.made(filled), asks="bears it", left_out=sides)  # type: ignore[misc]


def _pretend(rows: Rows, a: Analysis, asked: Mapping[str, Any]) -> None:
    """Hold out the last periods before support, and estimate an 'effect' on them from those before."""
    wanted, changed = periods_of(asked["pretend_months"], a.panel.step), "Support pretended to begin earlier"
    ahead = int(a.arguments.get("anticipation") or 0)
    # Time in which people may already have been in the build-up to support is none of the time without it.
    panel = (
        a.panel
        if not ahead
        else replace(a.panel, start=np.where(a.panel.treated, a.panel.start - ahead, a.panel.start))
    )
    arguments = {k: v for k, v in a.arguments.items() if k != "anticipation"}
    for shift in dict.fromkeys((wanted, wanted // 2, 1)):
        if shift < 1:
            continue
        try:
            found = placebo_starts(panel, outcome=a.outcome, estimator=a.estimator, shift=shift, **arguments)
        except DesignError:
            continue
        earlier = f"{shift + ahead} {a.panel.step}{'' if shift + ahead == 1 else 's'} earlier"
        rows.add("pretend", f"{changed.removesuffix('earlier')}{earlier}", found, asks="no effect")
        return
    rows.without(changed, "there is too little time before it")


def _without_places(rows: Rows, a: Analysis, planned: Effects, places: NDArray[Any], place: str) -> None:
    """Leave out the few buildings that pull the estimate furthest to one side, or to the other."""
    codes, names = pd.factorize(places)
    pull = _pull(a.panel, planned, codes, len(names), rows.scale)
    left = without_those_that_matter(
        rows,
        orders=(np.argsort(pull), np.argsort(-pull)),
        codes=codes,
        behind=lambda members: _behind(a, members),
        made=lambda members: a.made(a.panel.subset(~members)),
    )
    if left is None:
        rows.without(f"Without the {place}s that matter most", TOO_FEW.format(place))
        return
    number, members, found = left
    many = f"{place} that matters" if number == 1 else f"{number} {place}s that matter"
    rows.add("buildings", f"Without the {many} most", found, left_out=_behind(a, members))


def _pull(
    panel: Panel, planned: Effects, codes: NDArray[np.intp], number: int, scale: str
) -> NDArray[np.float64]:
    """How far each building pulls the estimate, to first order: the sum of its rows of the root."""
    root = planned.root @ np.eye(len(planned))[:, (planned.labels["scale"] == scale).to_numpy()]
    positive = np.ones(len(root), bool) if planned.sign is None else planned.sign > 0
    of_cluster = pd.Series(codes, index=pd.Index(panel.cluster)).groupby(level=0).first()
    at = of_cluster.reindex(planned.clusters[positive]).fillna(-1).to_numpy(int)
    return np.bincount(at[at >= 0], root[positive, 0][at >= 0], minlength=number).astype(float)


def _behind(a: Analysis, members: NDArray[np.bool_]) -> list[int]:
    """People and events of these rows, of each side that has any."""
    once = a.panel.once
    found = []
    for side in (a.panel.treated, ~a.panel.treated):
        mine = members & side & (a.panel.weights > 0)
        if mine.any():
            found += [a.panel.persons(mine), round(float(a.panel.outcomes[a.outcome][mine & once].sum()))]
    return found


_NEIGHBOURS = "Without controls who share a {} with anyone supported"


def _without_neighbours(rows: Rows, a: Analysis, _: Effects, places: NDArray[Any], place: str) -> None:
    known = pd.notna(places)
    near = ~a.panel.treated & known & np.isin(places, places[a.panel.treated & known])
    changed = _NEIGHBOURS.format(place)
    if not near.any():
        rows.without(changed, "there are none")
    elif (near | a.panel.treated).all():
        rows.without(changed, "all of them do")
    else:
        keep = ~near
        rows.attempt("spillover", changed, lambda: a.made(a.panel.subset(keep)), left_out=_behind(a, near))


def errors_note(inference: str | None, estimator: str) -> Sequence[str]:
    """Say where the ranges of the checks are not by the errors of the main result."""
    if not inference or estimator == "synthetic_did":
        return ()
    return (
        f"The range of the main result is by {inference}; those here are by the usual errors, which all "
        "of these analyses have, and are as a rule shorter where there are few groups.",
    )
