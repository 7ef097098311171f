"""The batch of checks of a study's main result: what was changed each time, and what happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data import Cohort, LongData
from impact.data.panel import Panel
from impact.errors import DesignError
from impact.interpret.check_rows import Rows
from impact.interpret.checks_did import Analysis, checks_of_trends, errors_note
from impact.interpret.checks_matched import Comparison, checks_of_matching
from impact.interpret.matched_comparison import compare
from impact.interpret.panels import NOT_ARGUMENTS, build_panel
from impact.interpret.recall import recalled
from impact.match.spillover import home
from impact.results import Bounds, Effects, Matched

# How many months of time without support are held out and pretended to be with it, and so on.
DEFAULTS: Mapping[str, Any] = {
    "exclude_months": 1,
    "pretend_months": 6,
    "lost_use": (0.0, 2.0),
    "building": "building_id",
    "negative_control": (),
    "asked_of_people": (),
    "recall_error": (-0.36, 0.35),
    "leave_out": (),
}


def checks(
    data: Cohort | LongData,
    studied: Panel | Matched,
    *,
    outcome: str,
    plan: Mapping[str, Any],
    asked: Mapping[str, Any] | None = None,
) -> Bounds:
    """Make every check of the main result that these data admit, each with one thing changed.

    Parameters
    ----------
    data : Cohort or LongData
    studied : Panel or Matched
        What the main result was estimated from.
    outcome : str
        The primary outcome.
    plan : mapping
        For a panel ``did``, arguments of ``impact.did.estimate``, and ``panel``, those of ``build_panel``.
        For matched people ``compared, baseline`` and ``matching``, as for ``matched`` and ``compare``.
    asked : mapping, optional
        What differs from ``DEFAULTS``: ``exclude_months`` around the start; ``pretend_months`` before it that
        are held out; ``lost_use``, from how many to how many times as much as others those who were lost may
        have used; ``building``, the column; ``negative_control``, services that support cannot change;
        ``asked_of_people``, outcomes that come from a survey, and ``recall_error``, how much less and more
        people may tell; ``leave_out``, checks not to make.

    Returns
    -------
    Bounds
        A row a check: ``check, term`` (what was changed), ``asks`` (what is found if the main result is
        right: 'same answer', 'bears it', 'no effect' or 'hidden reason'), the estimate with its interval and
        p-value, or for a hidden reason ``strength``, how many times as likely it would have to make support.
        What these data do not admit is in the notes, with the reason. The counts of a row are the fewest
        people or events that it could give away, those left out among them.

    Examples
    --------
    >>> import pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> frame = pd.DataFrame({"id": np.repeat(np.arange(200), 12), "month": np.tile(np.arange(12), 200)})
    >>> frame["start"] = np.where(frame["id"] < 100, 8.0, np.nan)
    >>> frame["falls"] = rng.poisson(np.where(frame["month"] >= frame["start"], 0.3, 0.6))
    >>> panel = Panel.from_long(frame, unit="id", period="month", outcomes=["falls"], first_treated="start")
    >>> found = checks(None, panel, outcome="falls", plan={"did": {"estimator": "etwfe"}})
    >>> found.table.query("asks == 'same answer'")["check"].tolist()
    ['planned', 'start', 'around', 'estimator', 'controls']
    """
    chosen = {**DEFAULTS, **(asked or {})}
    place = home(chosen["building"])
    if isinstance(studied, Panel):
        arguments = {k: v for k, v in plan["did"].items() if k not in NOT_ARGUMENTS}
        analysis = Analysis(studied, outcome, plan["did"]["estimator"], arguments)
        places = _places(data, studied, chosen["building"])
        rows, planned = checks_of_trends(analysis, places=places, place=place, asked=chosen)
        rows.notes += errors_note(plan["did"].get("inference"), analysis.estimator)
    else:
        comparison = Comparison(data, studied, outcome, **plan)
        rows, planned = checks_of_matching(comparison, place=chosen["building"], asked=chosen)
        analysis = None
    if "negative_control" not in chosen["leave_out"]:
        _negative_controls(rows, data, studied, analysis, plan, chosen["negative_control"])
    if "recall" not in chosen["leave_out"]:
        _recall(rows, planned, chosen)
    return rows.bounds(planned.method)


def _places(data: Any, panel: Panel, building: str) -> NDArray[Any] | None:
    """Building of each row of the panel: of its covariates, of the data's people, or its own clusters."""
    if building in panel.covariates:
        return panel.covariates[building].to_numpy()
    people = getattr(data, "people", None)
    if people is not None and building in people:
        known = people.drop_duplicates("person_id").set_index("person_id")[building]
        return np.asarray(known.reindex(panel.unit), dtype=object)
    grouped = len(pd.unique(panel.cluster)) < panel.n and not panel.reused
    return panel.cluster if grouped else None


def _negative_controls(
    rows: Rows,
    data: Any,
    studied: Panel | Matched,
    analysis: Analysis | None,
    plan: Mapping[str, Any],
    names: Sequence[str],
) -> None:
    """Estimate effects on services that support cannot change."""
    if not names:
        rows.without("A service that support cannot change", "none is named")
    for name in names:
        changed = "On a service that support cannot change"
        try:
            if analysis is None:
                assert isinstance(studied, Matched)
                found = compare(studied, outcome=name, adjust=plan["compared"].get("adjust", ()))
            else:
                made: dict[str, Any] = dict(plan["panel"])
                made |= {k: {**made[k], "outcomes": [name]} for k in ("window", "around")}
                panel = build_panel(data, **made)
                found = Analysis(panel, name, analysis.estimator, analysis.arguments).made()
        except DesignError:
            rows.without(f"{changed} ({name})", "there are too few")
            continue
        rows.add("negative_control", changed, found, asks="no effect")


def _recall(rows: Rows, planned: Effects, asked: Mapping[str, Any]) -> None:
    """Correct for one side remembering otherwise, if people were asked."""
    if rows.outcome not in asked["asked_of_people"]:
        rows.without("Errors of memory", "the service is counted in records, not asked of people")
        return
    if rows.scale != "log ratio":
        rows.without("Errors of memory", "there is no ratio")
        return
    for check, error in zip(("recall_less", "recall_more"), asked["recall_error"], strict=True):
        told = f"{abs(error):.0%} too {'few' if error < 0 else 'many'}"
        corrected = recalled(planned, supported=error, control=0.0)
        rows.add(check, f"If people with support had told {told}", corrected, asks="bears it")
