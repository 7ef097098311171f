"""The answer of a study, from the analyses its parameter file asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal, cast

from impact.data import Cohort, LongData, Panel
from impact.did import estimate
from impact.errors import DesignError
from impact.interpret.arms import by_arms
from impact.interpret.assigned import as_assigned
from impact.interpret.checks import checks
from impact.interpret.equity import by_groups
from impact.interpret.match_audit import match_audit
from impact.interpret.matched_comparison import OWN_DATES, compare, matched, to_match, whole
from impact.interpret.over_time import over_time
from impact.interpret.panels import NOT_ARGUMENTS, build_panel
from impact.interpret.subsets import of_panel, of_people
from impact.match import balance
from impact.results import Effects, Result


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
    arms: Mapping[str, Any] | None = None,
    asked: Mapping[str, Any] | None = None,
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
    arms : mapping, optional
        ``kinds``, arguments of ``by_arms``: the main answer for each kind of support; and ``offers``, of
        ``as_assigned``: that of the offer, and with and without those who were withdrawn.
    asked : mapping, optional
        As for ``checks``; without it no batch of checks is made.
    seed : int
        Of what is drawn at random for the checks.

    Returns
    -------
    dict
        ``effects``, the main answer: by difference-in-differences if asked for, or else matched; and
        ``beside``, the matched effects where both are asked for. For each outcome the scales of its model,
        such as the rate ratio, the difference in rates and the events avoided. Where people were matched,
        ``audit``, by how much that may mislead (``match_audit``). As checks of the main answer,
        ``pretrend``, whether the groups moved alike before support; or else ``balance``, whether matching
        made them alike; ``negative_control`` where named; and ``checks``, the batch of them. With ``groups``
        also what ``by_groups`` gives, with ``arms`` what ``by_arms`` and ``as_assigned`` give.
    """
    found: dict[str, Result] = {}
    made = {"window": window, "around": around, "clock": clock, "censoring": censoring, "sample": sample}
    primary = outcome if isinstance(outcome, str) else outcome[0]
    if did is not None:
        panel = build_panel(data, **made)  # type: ignore[arg-type]
        found["effects"] = effects = estimate(panel, outcome=outcome, **did)
        arguments = {k: v for k, v in did.items() if k not in NOT_ARGUMENTS}
        run = over_time(panel, outcome=primary, estimator=did["estimator"], arguments=arguments, seed=seed)
        found["pretrend"] = run["pretrend"]
        parts = of_panel(panel, did=did)
        if parts and groups:
            found |= by_groups(parts, everyone=effects, **groups)
        if parts and arms:
            found |= by_arms(parts, panel.arm, everyone=effects, **arms["kinds"])
        if asked is not None:
            planned = {"did": did, "panel": made}
            found["checks"] = checks(data, panel, outcome=primary, plan=planned, asked=asked)
    if matching is not None:
        everyone = to_match(data, baseline=baseline, matching=matching)
        people = matched(data, baseline=baseline, matching=matching, people=everyone)
        effects = whole(compare(people, **{**(compared or {}), "outcome": outcome}))
        found["effects" if did is None else "beside"] = effects
        if did is None:
            found["balance"] = balance(people)
        plan: dict[str, Any] = {"baseline": baseline, "matching": matching, "compared": compared or {}}
        if groups and did is None:
            found |= by_groups(of_people(everyone, **plan), everyone=effects, **groups)
        if arms and did is None:
            each = of_people(everyone, **plan, apart=False)
            found |= by_arms(each, everyone.table["arm"].to_numpy(), everyone=effects, **arms["kinds"])
        if did is None and asked is not None:
            found["checks"] = checks(data, people, outcome=primary, plan=plan, asked=asked)
        if negative_control:
            found["negative_control"] = compare(
                people, outcome=negative_control, adjust=(compared or {}).get("adjust", ())
            )
        # Matched day by day, one person has several dates; everyone is described on one each.
        everyone = data.at_baseline(**baseline) if matching["method"] in OWN_DATES else people.cohort
        found |= match_audit(people, everyone, around=around, effects=effects)
    if not found:
        raise DesignError("The study has neither a did nor a matching section: name one of them.")
    if arms:
        plan = {"baseline": baseline, "matching": matching, "compared": compared}
        again = partial(_again, outcome=outcome, did=did, made=made, **plan)
        main = cast("Effects", found["effects"])
        found |= as_assigned(data, everyone=main, analyse=again, **arms["offers"])
    return found


def _again(
    data: Cohort,
    *,
    outcome: str | Sequence[str],
    did: Mapping[str, Any] | None,
    made: Mapping[str, Any],
    baseline: Mapping[str, Any],
    matching: Mapping[str, Any] | None,
    compared: Mapping[str, Any] | None,
) -> tuple[Effects, Panel | None]:
    """Analyse other people by the main method."""
    if did is not None:
        panel = build_panel(data, **made)
        return estimate(panel, outcome=outcome, **did), panel
    people = matched(data, baseline=baseline, matching=matching or {})
    return whole(compare(people, **{**(compared or {}), "outcome": outcome})), None
