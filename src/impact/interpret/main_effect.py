"""The answer of a study, from the analyses its parameter file asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from impact.data import Cohort, LongData, Panel
from impact.did import censoring_weights, estimate
from impact.errors import DesignError
from impact.match import METHODS, partner_dates, rate_ratio
from impact.results import Effects, Matched


def build_panel(
    data: Cohort | LongData,
    *,
    window: Mapping[str, Any],
    around: Mapping[str, Any],
    clock: Literal["calendar", "event"] = "calendar",
    censoring: Mapping[str, Any] | None = None,
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
    """
    panel = data.around_start(**around) if clock == "event" else data.panel(**window)
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
    matching: Mapping[str, Any] | None = None,
) -> dict[str, Effects]:
    """Estimate the effect on every outcome by each method asked for.

    Parameters
    ----------
    data : Cohort or LongData
    outcome : str or sequence of str
        The first is the primary outcome.
    window, around, clock, censoring
        As for ``build_panel``.
    baseline : mapping
        Arguments of ``data.at_baseline``.
    did : mapping, optional
        Arguments of ``impact.did.estimate``.
    matching : mapping, optional
        ``method`` and its arguments.

    Returns
    -------
    dict
        ``effects``, the main answer: by difference-in-differences if asked for, or else matched; and
        ``beside``, the matched effects where both are asked for. For each outcome the rate ratio, the
        difference in rates and the events avoided, from one model.
    """
    found = []
    if did is not None:
        panel = build_panel(data, window=window, around=around, clock=clock, censoring=censoring)
        found.append(estimate(panel, outcome=outcome, **did))
    if matching is not None:
        found.append(rate_ratio(matched(data, baseline=baseline, matching=matching), outcome=outcome))
    if not found:
        raise DesignError("The study has neither a did nor a matching section: name one of them.")
    return dict(zip(("effects", "beside"), found, strict=False))


def matched(data: Cohort | LongData, *, baseline: Mapping[str, Any], matching: Mapping[str, Any]) -> Matched:
    """Match people as they were on their index dates, and follow them from there.

    With ``index_date='partner'`` controls are first described on dates drawn from those of the supported;
    once matched, each takes its partner's date, on which it is described, checked and followed again. A set
    whose control was not at risk on that date is dropped.

    Parameters
    ----------
    data : Cohort or LongData
    baseline : mapping
        ``index_date`` and the other arguments of ``data.at_baseline``.
    matching : mapping
        ``method`` and its arguments.
    """
    asked = dict(baseline)
    partner = asked.get("index_date") == "partner"
    people = data.at_baseline(**asked | ({"index_date": "drawn"} if partner else {}))
    arguments = dict(matching)
    found = METHODS[arguments.pop("method")](people, **arguments)
    if not partner:
        return found
    return _on_partner_dates(found, outcomes=asked["outcomes"], months=asked["months"])


def _on_partner_dates(found: Matched, *, outcomes: Sequence[str], months: int) -> Matched:
    """Describe and follow each matched control from its partner's date; everyone else keeps their own."""
    dated = partner_dates(found)
    rows = found.table["weight"] > 0
    gone = rows & ~found.table["person_id"].isin(dated.person_id)
    broken = rows & found.table["subclass"].isin(found.table.loc[gone, "subclass"])
    table = found.table.assign(
        weight=found.table["weight"].mask(broken, 0.0),
        subclass=found.table["subclass"].mask(broken),
    )
    people: Cohort = found.cohort
    # The whole cohort stays, so that balance can still be compared with that before matching.
    kept = people.subset(~np.isin(people.person_id, table.loc[gone, "person_id"]))
    everyone = kept.at(pd.Series(dated.people["index_date"].to_numpy(), index=dated.person_id))
    arm = np.where(np.isin(found.table["person_id"], people.person_id[people.treated]), "treated", "control")
    counts = found.counts.copy()
    for name in ("treated", "control"):
        lost = int((broken & (arm == name)).sum())
        counts.loc[(counts["arm"] == name) & (counts["rule"] == "matched"), "persons"] -= lost
        counts.loc[len(counts)] = [name, "the control was not at risk on its partner's date", lost]
    return replace(
        found,
        table=table[~gone].reset_index(drop=True),
        cohort=everyone.follow_up(outcomes=outcomes, months=months),
        counts=counts.sort_values("arm", ascending=False, kind="stable", ignore_index=True),
        method={**found.method, "sets_lost": int(found.table.loc[gone, "subclass"].nunique())},
    )
