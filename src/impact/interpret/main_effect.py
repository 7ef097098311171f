"""The answer of a study, from the analyses its parameter file asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from impact.data import Cohort, LongData, Panel
from impact.did import censoring_weights, estimate
from impact.errors import DesignError
from impact.interpret.equity import by_groups, of_panel, of_people
from impact.interpret.matched_comparison import compare, matched, to_match, whole
from impact.interpret.over_time import over_time
from impact.match import balance, onto
from impact.results import Matched, Result


def build_panel(
    data: Cohort | LongData,
    *,
    window: Mapping[str, Any],
    around: Mapping[str, Any],
    clock: Literal["calendar", "event"] = "calendar",
    censoring: Mapping[str, Any] | None = None,
    sample: Mapping[str, Any] | None = None,
) -> Panel:
    """Build the panel that an estimator takes, with censoring weights where they are asked for.

    Parameters
    ----------
    data : Cohort or LongData
    window : mapping
        Arguments of ``data.panel``, for estimators in calendar time.
    around : mapping
        Arguments of ``data.around_start``, for estimators of before and after each person's own date.
    clock : 'calendar' or 'event'
        Which of the two panels the estimator takes.
    censoring : mapping, optional
        Arguments of ``impact.did.censoring_weights``; without it nobody is weighed.
    sample : mapping, optional
        Arguments of ``matched``: then the panel holds the matched people alone, with their weights and sets.
    """
    found = None if sample is None else matched(data, **sample)
    return _panel(data, found, window=window, around=around, clock=clock, censoring=censoring)


def build_panels(
    data: Cohort | LongData,
    *,
    around: Mapping[str, Any],
    sample: Mapping[str, Any] | None = None,
    **plan: Any,
) -> tuple[Panel, Panel]:
    """Build the panel of ``build_panel``, and beside it the same people in months from their index dates.

    The second is what the figure around the start shows: of the matched people alone, by their weights,
    where these are what the estimator compares. People are matched once for both.
    """
    found = None if sample is None else matched(data, **sample)
    planned = _panel(data, found, around=around, **plan)
    shown = _panel(data, found, around=around, **{**plan, "clock": "event", "censoring": None})
    return planned, shown


def _panel(
    data: Cohort | LongData,
    found: Matched | None,
    *,
    window: Mapping[str, Any],
    around: Mapping[str, Any],
    clock: Literal["calendar", "event"],
    censoring: Mapping[str, Any] | None,
) -> Panel:
    """The panel of everyone, or of the people who were matched."""
    if clock == "calendar":
        panel = data.panel(**window)
    elif found is not None and isinstance(data, Cohort):
        # Around the dates on which people were matched: a partner's, or those of several sets.
        dated = {name: value for name, value in around.items() if name not in ("index_date", "seed")}
        panel = found.cohort.panel(**dated, clock="event")
    else:
        panel = data.around_start(**around)
    if found is not None:
        # Groups whose members may be alike, where the study names any, hold more than sets.
        grouped = len(np.unique(panel.cluster)) < panel.n
        panel = onto(found, panel, cluster="panel" if grouped else "set")
    return panel if censoring is None else censoring_weights(panel, **censoring)


def main_effects(
    data: Cohort | LongData,
    *,
    outcome: str | Sequence[str],
    window: Mapping[str, Any],
    around: Mapping[str, Any],
    baseline: Mapping[str, Any],
    did: Mapping[str, Any] | None = None,
    clock: Literal["calendar", "event"] = "calendar",
    censoring: Mapping[str, Any] | None = None,
    sample: Mapping[str, Any] | None = None,
    matching: Mapping[str, Any] | None = None,
    compared: Mapping[str, Any] | None = None,
    negative_control: Sequence[str] = (),
    groups: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> dict[str, Result]:
    """Estimate the effect on every outcome by each method asked for, and what checks the comparison.

    Parameters
    ----------
    data : Cohort or LongData
    outcome : str or sequence of str
        The first is the primary outcome.
    window, around, clock, censoring, sample
        As for ``build_panel``.
    baseline : mapping
        Arguments of ``data.at_baseline``.
    did : mapping, optional
        Arguments of ``impact.did.estimate``.
    matching : mapping, optional
        As for ``matched``.
    compared : mapping, optional
        ``model`` and ``adjust`` of ``compare``.

    negative_control : sequence of str
        Services that support cannot change, where people are matched.
    groups : mapping, optional
        ``groups`` and ``weights`` of ``by_groups``: the main answer in groups of people.
    seed : int
        Of what is drawn at random for the checks.

    Returns
    -------
    dict
        ``effects``, the main answer: by difference-in-differences if asked for, or else matched; and
        ``beside``, the matched effects where both are asked for. For each outcome the scales of its model,
        such as the rate ratio, the difference in rates and the events avoided. As checks of the main answer,
        ``pretrend``, whether the groups moved alike before support; or else ``balance``, whether matching
        made them alike; and ``negative_control`` where named. With ``groups`` also what ``by_groups`` gives.
    """
    found: dict[str, Result] = {}
    if did is not None:
        made = {"window": window, "around": around, "clock": clock, "censoring": censoring, "sample": sample}
        panel = build_panel(data, **made)  # type: ignore[arg-type]
        found["effects"] = effects = estimate(panel, outcome=outcome, **did)
        primary = outcome if isinstance(outcome, str) else outcome[0]
        arguments = {k: v for k, v in did.items() if k not in _NOT_ARGUMENTS}
        run = over_time(panel, outcome=primary, estimator=did["estimator"], arguments=arguments, seed=seed)
        found["pretrend"] = run["pretrend"]
        if groups and (parts := of_panel(panel, did=did)):
            found |= by_groups(parts, everyone=effects, **groups)
    if matching is not None:
        everyone = to_match(data, baseline=baseline, matching=matching)
        people = matched(data, baseline=baseline, matching=matching, people=everyone)
        effects = whole(compare(people, **{**(compared or {}), "outcome": outcome}))
        found["effects" if did is None else "beside"] = effects
        if did is None:
            found["balance"] = balance(people)
        if groups and did is None:
            plan = {"baseline": baseline, "matching": matching, "compared": compared or {}}
            found |= by_groups(of_people(everyone, **plan), everyone=effects, **groups)
        if negative_control:
            found["negative_control"] = compare(
                people, outcome=negative_control, adjust=(compared or {}).get("adjust", ())
            )
    if not found:
        raise DesignError("The study has neither a did nor a matching section: name one of them.")
    return found


# What a plan holds beside the estimator's own arguments.
_NOT_ARGUMENTS = ("estimator", "inference", "second_cluster")
