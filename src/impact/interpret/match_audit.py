"""Matching on earlier use, and then comparing, can itself mislead: both analyses, and by how much each may.

Where the supported differ lastingly from the others, a supported person and a control with the same count
before are not alike: the control's count was the higher by luck, and falls back further. Where people were
picked for a bad spell, it is the comparison of everyone that is off, as the supported would have come down
anyway. With a gap ``D`` between the groups' rates before, of which matching leaves ``d``, and the slope ``r``
of after on before within the controls:

- if lasting need decided, everyone's difference in differences is right and that of the matched is off by
  ``(D - d)(1 - r)``;
- if recent use decided, that of the matched is right and everyone's is off by ``-D (1 - r)``.

The slope is that of counts as they were observed, and not corrected for their error: it is on these that
people were matched, and their error is what misleads.

References
----------
Daw, J. R. and Hatfield, L. A. (2018). Matching and regression to the mean in difference-in-differences
analysis. Health Services Research 53, 4138-4156. Ding, P. and Li, F. (2019). A bracketing relationship
between difference-in-differences and lagged-dependent-variable adjustment. Political Analysis 27, 605-615.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd

from impact import did
from impact.data import Cohort
from impact.data.panel import Array, Panel
from impact.errors import DataError, DesignError
from impact.interpret.matched_on_use import NO_EVIDENCE, on_use
from impact.interpret.regression_to_mean import WHOLE
from impact.match import onto
from impact.numbers.rounding import significant
from impact.results import Bounds, Effects, Matched, Summary

_RANGE = 1.959964 * np.array([0.0, -1.0, 1.0])


def match_audit(
    sample: Matched, people: Cohort, *, around: Mapping[str, Any], effects: Effects
) -> dict[str, Bounds | Summary]:
    """Set the difference in differences of everyone beside that of the matched, with the bias of each.

    Parameters
    ----------
    sample : Matched
    people : Cohort
        Everyone, with index dates.
    around : mapping
        Arguments of ``Cohort.panel`` by month from the index date (``Study.around``); dating is left out.
    effects : Effects
        Of the matched, by outcome: they say how many people and events lie behind.

    Returns
    -------
    dict
        ``audit``, a row an outcome: ``everyone`` and ``matched``, the difference in differences of rates;
        ``everyone_bias`` and ``matched_bias``, by how much each is off if what the other one needs holds; and
        the ``slope``; each with its 95% range (``_low``, ``_high``). Or ``no_audit``, whose method says
        ``why``: there are no dates, nobody was seen before, or people have several dates.
    """
    if why := _cannot(people):
        return _none(sample, why)
    window = {name: value for name, value in around.items() if name not in ("index_date", "seed")}
    try:
        everyone = people.panel(**window, clock="event")
        kept = onto(sample, sample.cohort.panel(**window, clock="event"))
    except (DataError, DesignError):
        return _none(sample, _UNSEEN)
    rows, behind = [], []
    for name in dict.fromkeys(effects.labels["outcome"]):
        if name not in everyone.outcomes:
            continue
        try:
            rows.append(_row(everyone, kept, str(name)))
        except DesignError:
            continue
        behind.append(effects.counts[(effects.labels["outcome"] == name).to_numpy()].iloc[0])
    if not rows:
        return _none(sample, _UNSEEN)
    method = {
        "shows": "match audit",
        "outcome": [row["outcome"] for row in rows],
        "per": everyone.per,
        "matching": sample.method,
        "notes": [NO_EVIDENCE] if on_use(sample) else [],
    }
    return {"audit": Bounds(pd.DataFrame(rows), method, pd.DataFrame(behind).reset_index(drop=True))}


_UNSEEN = "too few people, or none, were observed with and without support both before and after its start"


def _cannot(people: Cohort) -> str:
    """Why people have no before and after each that could be set side by side; nothing where they have."""
    if len(np.unique(people.person)) < len(people):
        return "one person is compared on several days, and has no one before and after"
    if "members" in people.people:
        return "households are compared, whose use is not counted month by month before their start"
    if "index_date" not in people.people:
        return "the data are a table without dates, in which a person's use before support is not counted"
    return ""


def _none(sample: Matched, why: str) -> dict[str, Bounds | Summary]:
    """Say why there is no audit, and whether one was called for."""
    nothing = pd.DataFrame({"outcome": pd.Series(dtype=object)})
    return {"no_audit": Summary(nothing, {"shows": "no match audit", "why": why, "on_use": on_use(sample)})}


def _row(everyone: Panel, kept: Panel, name: str) -> dict[str, Any]:
    """Both estimates of one outcome, each with its bias if what the other needs holds."""
    slope, slope_error = within_slope(everyone, name)
    (gap, error), (left, _) = (_gap_before(panel, name) for panel in (everyone, kept))
    wide = np.hypot((1 - slope) * error, gap * slope_error)
    row: dict[str, Any] = {"outcome": name, "scale": "difference"}
    for who, panel, bias in (
        ("everyone", everyone, -gap * (1 - slope)),
        ("matched", kept, (gap - left) * (1 - slope)),
    ):
        found = did.summarise(did.two_by_two(panel, outcome=name, family="linear")).table
        one = found[found["scale"] == "difference"].iloc[0]
        row |= {"unit": one["unit"]}
        row |= dict(zip(_ends(who), one[["estimate", "conf_low", "conf_high"]], strict=True))
        # Two digits: with more, and with rates that are printed, they would tell counts that are rounded.
        row |= dict(zip(_ends(f"{who}_bias"), significant(bias + wide * _RANGE, 2), strict=True))
    return row | dict(zip(_ends("slope"), np.round(slope + slope_error * _RANGE, 2), strict=True))


def _ends(what: str) -> tuple[str, str, str]:
    return what, f"{what}_low", f"{what}_high"


def within_slope(panel: Panel, outcome: str) -> tuple[float, float]:
    """Slope of the rate after on the rate before within the controls, and its robust error.

    Of those who were seen the whole time before, weighted by the time after.

    Raises
    ------
    DesignError
        If nobody was, or all had as many events before.
    """
    (y, time), (later, after) = (_sums(panel, outcome, when) for when in ("before", "after"))
    used = ~panel.treated & (time >= WHOLE * time.max(initial=0.0)) & (time > 0) & (after > 0)
    x, z = y[used] / time[used], later[used] / after[used]
    w = after[used] * panel.weights[used]
    apart = x - (w @ x) / max(w.sum(), 1e-300)
    square = float(w @ apart**2)
    if not square > 1e-12:
        raise DesignError(f"within_slope: too few controls were seen before to say how {outcome} goes on.")
    slope = float(w @ (apart * z)) / square
    off = z - (w @ z) / w.sum() - slope * apart
    return slope, float(np.sqrt(((w * apart * off) ** 2).sum()) / square)


def _gap_before(panel: Panel, outcome: str) -> tuple[float, float]:
    """Rate of the supported less that of the controls before, in the panel's unit, and its error."""
    y, time = _sums(panel, outcome, "before")
    rates, squares = [], 0.0
    for arm in (panel.treated, ~panel.treated):
        w, total = panel.weights[arm], float(panel.weights[arm] @ time[arm])
        if not total > 0:
            raise DesignError(f"match_audit: {outcome} was not observed before in both groups.")
        rates.append(float(w @ y[arm]) / total)
        squares += float(((w * (y[arm] - rates[-1] * time[arm])) ** 2).sum()) / total**2
    return panel.rate_scale * (rates[0] - rates[1]), panel.rate_scale * float(np.sqrt(squares))


def _sums(panel: Panel, outcome: str, when: Literal["before", "after"]) -> tuple[Array, Array]:
    """Events and time of each person before or after."""
    columns = (panel.periods.to_numpy() < 0) == (when == "before")
    return panel.outcomes[outcome][:, columns].sum(1), panel.exposure[outcome][:, columns].sum(1)
