"""How use ran before and after the index date among the matched, month by month."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data.panel import Panel
from impact.errors import DesignError
from impact.match.onto import onto
from impact.results import Matched, Rates

if TYPE_CHECKING:
    from impact.data import Cohort

WEIGHTED = (
    "Rates are of the matched and weighted as they are compared; people and events are those behind them."
)


def trajectories(matched: Matched, panel: Panel | Cohort, *, outcome: str | Sequence[str]) -> Rates:
    """Rates of the matched supported and of their controls by month from the index date.

    Matched people should run alike before it. Where they do not, a crisis that led to support, or a trend,
    was not matched: match on ``cohort.with_history(...)``.

    Parameters
    ----------
    matched : Matched
    panel : Panel or Cohort
        On the event clock; or a cohort with everyone's index date (``matched.cohort``, or
        ``match.partner_dates(matched)``), of which the year before and after is taken.
    outcome : str or sequence of str

    Returns
    -------
    Rates
        One row an outcome, arm (``supported``, ``control``) and month. Controls weigh as much as the
        supported of their set. ``persons`` and ``events`` are those behind a rate, each once; the
        ``person_months`` are those over which these events make the weighted rate.

    Raises
    ------
    DesignError
        On the calendar clock.
    DataError
        For an outcome the panel does not hold, or matched people who are not in it.

    Examples
    --------
    >>> from dataclasses import replace
    >>> import numpy as np
    >>> import pandas as pd
    >>> from impact.data import Cohort
    >>> from impact.match import nearest
    >>> frame = pd.DataFrame({"site": np.repeat([1, 2, 3, 4], 2), "half": [-1, 0] * 4, "start": [
    ...     0, 0, 0, 0, None, None, None, None], "falls": [4, 2, 6, 4, 5, 5, 7, 8]})
    >>> panel = Panel.from_long(frame, unit="site", period="half", outcomes=["falls"],
    ...                         first_treated="start")
    >>> panel = replace(panel, clock="event")
    >>> sites = pd.DataFrame({"site": [1, 2, 3, 4], "helped": [1, 1, 0, 0], "size": [30, 40, 31, 39]})
    >>> cohort = Cohort.from_frame(sites, treated="helped", person_id="site")
    >>> matched = nearest(cohort, on=["size"], distance="mahalanobis")
    >>> found = trajectories(matched, panel, outcome="falls").table
    >>> found[["arm", "period", "persons", "events", "rate_per_1000_person_months"]]
             arm  period  persons  events  rate_per_1000_person_months
    0  supported      -1        2      10                       5000.0
    1  supported       0        2       6                       3000.0
    2    control      -1        2      12                       6000.0
    3    control       0        2      13                       6500.0
    """
    if not isinstance(panel, Panel):
        names = [outcome] if isinstance(outcome, str) else list(outcome)
        panel = panel.panel(outcomes=names, clock="event")
    if panel.clock != "event":
        raise DesignError("trajectories needs clock='event': months from each person's index date.")
    names = panel.check_outcomes(outcome)
    sample = onto(matched, panel)
    table = arm_rates(sample, names)
    method: dict[str, Any] = {"shows": "rates by arm and period", "clock": "event", "per": panel.per}
    method |= {"period": panel.step, "sample": "matched", "notes": [*panel.notes, WEIGHTED]}
    return Rates(table, method)


def arm_rates(sample: Panel, outcomes: Sequence[str]) -> pd.DataFrame:
    """Rates of both arms by period, by the panel's weights, with the people and events behind them."""
    whose, frames = pd.factorize(sample.unit)[0], []
    for name in outcomes:
        for arm, mine in (("supported", sample.treated), ("control", ~sample.treated)):
            weight = sample.weights[mine, None]
            count, time = sample.outcomes[name][mine], sample.exposure[name][mine]
            events, total = each_once(count, whose[mine]), (weight * count).sum(0)
            # Over these months the events make the weighted rate; without an event there is none to keep.
            most = two_largest(count, whose[mine])
            scale = np.divide(events, total, out=np.ones(len(total)), where=total != 0)
            frames.append(
                pd.DataFrame(
                    {
                        "outcome": name,
                        "arm": arm,
                        "period": sample.periods,
                        "step": 1,
                        "persons": each_once(time > 0, whose[mine]).astype(int),
                        "events": np.rint(events).astype(int),
                        "person_months": scale * (weight * time).sum(0),
                        "largest": most[0],
                        "second": most[1],
                    }
                )
            )
    table = pd.concat(frames, ignore_index=True)
    table = table[table["person_months"] > 0].reset_index(drop=True)
    table["rate_per_1000_person_months"] = 1000 * table["events"] / table["person_months"]
    return table


def each_once(values: NDArray[Any], whose: NDArray[np.intp]) -> NDArray[np.float64]:
    """Sums over people, (periods,): of the rows of one person the largest value counts."""
    return np.asarray(_of_each(values, whose).sum(0), float)


def two_largest(values: NDArray[Any], whose: NDArray[np.intp]) -> NDArray[np.float64]:
    """Values of the person with most and of the next in each period, (2, periods); 0 where there is none."""
    each = np.vstack([np.zeros((2, values.shape[1])), _of_each(values, whose)])
    return np.asarray(np.partition(each, -2, axis=0)[[-1, -2]], float)


def _of_each(values: NDArray[Any], whose: NDArray[np.intp]) -> NDArray[Any]:
    if len(np.unique(whose)) == len(whose):
        return values
    largest = np.zeros((whose.max(initial=-1) + 1, values.shape[1]))
    np.maximum.at(largest, whose, values)
    return largest
