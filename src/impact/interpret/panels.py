"""The panel that the analyses of a study take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from impact import did, interpret
from impact.data import Cohort, LongData, Panel
from impact.interpret.matched_on_use import NO_EVIDENCE, on_use
from impact.match import onto
from impact.results import Matched

# What a plan holds beside the estimator's own arguments.
NOT_ARGUMENTS = ("estimator", "inference", "second_cluster")


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
    found = None if sample is None else interpret.matched(data, **sample)
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
    found = None if sample is None else interpret.matched(data, **sample)
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
        if on_use(found):
            panel = replace(panel, notes=(*panel.notes, NO_EVIDENCE))
    return panel if censoring is None else did.censoring_weights(panel, **censoring)
