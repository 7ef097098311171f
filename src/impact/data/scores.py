"""What people are asked, and how their answers become a score, a yes or no, or a count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data.services import SERVICES
from impact.errors import DataError, nearest

Array = NDArray[np.float64]
Kind = Literal["score", "yes or no", "count"]
Better = Literal["higher", "lower", ""]

# The metric score of each total from 7 to 35: the Rasch model puts its steps at equal distances, which those
# of the total are not (Stewart-Brown and others 2009, Health and Quality of Life Outcomes 7:15).
SWEMWBS_METRIC = (
    7.00, 9.51, 11.25, 12.40, 13.33, 14.08, 14.75, 15.32, 15.84, 16.36, 16.88, 17.43, 17.98, 18.59, 19.25,
    19.98, 20.73, 21.54, 22.35, 23.21, 24.11, 25.03, 26.02, 27.03, 28.13, 29.31, 30.70, 32.55, 35.00,
)  # fmt: skip

_YES, _NO = ("true", "t", "yes", "y", "1", "1.0"), ("false", "f", "no", "n", "0", "0.0")


@dataclass(frozen=True)
class Measure:
    """One thing that people are asked.

    Parameters
    ----------
    name, meaning : str
    kind : 'score', 'yes or no' or 'count'
    low, high : float or None
        The lowest and highest score there can be.
    better : 'higher', 'lower' or ''
        Which scores are better; nothing where that depends.
    items : int
        How many questions are added up, in columns ``<name>_1`` and so on; 0 where one answer is the score.
        Their sum may stand in ``<name>_total`` in place of them.
    item_high : int
        The highest answer to one of these questions; the lowest is 1.
    """

    name: str
    meaning: str
    kind: Kind = "score"
    low: float | None = None
    high: float | None = None
    better: Better = "higher"
    items: int = 0
    item_high: int = 0

    @property
    def columns(self) -> list[str]:
        """The columns of its questions."""
        return [f"{self.name}_{i}" for i in range(1, self.items + 1)]


MEASURES = {
    m.name: m
    for m in (
        Measure("swemwbs", "mental wellbeing (SWEMWBS, metric score)", "score", 7, 35, "higher", 7, 5),
        Measure("life_satisfaction", "satisfaction with life", "score", 0, 10),
        Measure("worthwhile", "feeling that what one does in life is worthwhile", "score", 0, 10),
        Measure("happiness", "happiness yesterday", "score", 0, 10),
        Measure("anxiety", "anxiety yesterday", "score", 0, 10, "lower"),
        Measure("loneliness", "loneliness (three items of the UCLA scale)", "score", 3, 9, "lower", 3, 3),
        Measure(
            "loneliness_direct", "how often lonely: 1 often or always, 2 some of the time, 3 occasionally, "
            "4 hardly ever, 5 never", "score", 1, 5,
        ),
        Measure(
            "health_literacy", "how often help is needed to read what a doctor or pharmacy writes: 1 never, "
            "2 rarely, 3 sometimes, 4 often, 5 always", "score", 1, 5, "lower",
        ),
        Measure("in_work", "whether in paid work", "yes or no"),
        *(Measure(f"n_{s}", f"contacts recalled: {s}", "count", better="") for s in SERVICES),
    )
}  # fmt: skip


def measure(name: str, own: Mapping[str, Mapping[str, Any]] | None = None) -> Measure:
    """Return what is asked under a name: one of the contract's, or the study's own.

    Parameters
    ----------
    name : str
    own : mapping of name to mapping, optional
        The study's own: ``low``, ``high`` and ``better`` of a score; of a yes or no, only ``better``.

    Raises
    ------
    DataError
        For a name that is neither.

    Examples
    --------
    >>> measure("anxiety").better, measure("confidence", {"confidence": {"low": 1, "high": 5}}).high
    ('lower', 5)
    """
    own = own or {}
    if name in own:
        said = {"low": None, "high": None, "better": "higher"} | dict(own[name])
        kind: Kind = "yes or no" if said["low"] is None else "score"
        return Measure(name, name.replace("_", " "), kind, **said)
    if name in MEASURES:
        return MEASURES[name]
    known = [*MEASURES, *own]
    raise DataError(
        f"survey.outcomes: {name!r} is nothing that people are asked.{nearest(name, known)} Known are "
        f"{', '.join(k for k in known if not k.startswith('n_'))} and n_<service>; declare your own under "
        "survey.own."
    )


def metric(totals: Any) -> Array:
    """Convert totals of the seven SWEMWBS answers, 7 to 35, to the metric score; missing stays missing.

    Parameters
    ----------
    totals : array of numbers

    References
    ----------
    Stewart-Brown, S. and others (2009). Internal construct validity of the Warwick-Edinburgh Mental
    Well-being Scale (WEMWBS): a Rasch analysis. Health and Quality of Life Outcomes 7:15.

    Examples
    --------
    >>> metric([7, 21, 35, None]).tolist()
    [7.0, 19.25, 35.0, nan]
    """
    whole = np.asarray(totals, float)
    found = np.full(whole.shape, np.nan)
    known = np.isfinite(whole)
    found[known] = np.array(SWEMWBS_METRIC)[whole[known].astype(int) - 7]
    return found


def scored(answers: pd.DataFrame, asked: Measure) -> Array:
    """Score the answers, one row a person: a number, 1 for yes and 0 for no; missing where not answered.

    A sum needs all of its answers: one that is missing is not made up. Where they are not held one by one,
    their total is taken.

    Raises
    ------
    DataError
        If the column is not there, or an own score or yes and no holds other values.

    Examples
    --------
    >>> held = pd.DataFrame({"loneliness_1": [1, 2], "loneliness_2": [1, 3], "loneliness_3": [2, None]})
    >>> scored(held, MEASURES["loneliness"]).tolist()
    [4.0, nan]
    """
    name = asked.name
    if asked.items:
        items = answers[asked.columns].to_numpy(float, na_value=np.nan)
        total = answers.get(f"{name}_total", pd.Series(np.nan, answers.index)).to_numpy(
            float, na_value=np.nan
        )
        summed = np.where(np.isnan(items).any(1), total, items.sum(1))
        return metric(summed) if name == "swemwbs" else summed
    if name not in answers:
        raise DataError(
            f"survey: there is no column {name!r}, which survey.own declares.{nearest(name, answers.columns)}"
        )
    column = answers[name]
    if asked.kind == "yes or no":
        words = column.astype("string").str.strip().str.lower()
        found = np.select([words.isin(_YES), words.isin(_NO)], [1.0, 0.0], np.nan)
        odd = column.notna() & np.isnan(found)
        expected = "yes or no"
    else:
        found = pd.to_numeric(column, errors="coerce").to_numpy(float, na_value=np.nan)
        low, high = (
            np.inf * sign if end is None else end for sign, end in ((-1, asked.low), (1, asked.high))
        )
        odd = column.notna() & ~((found >= low) & (found <= high))
        expected = f"a number from {low:g} to {high:g}"
    if odd.any():
        raise DataError(f"survey.{name}: {int(odd.sum())} row(s) of the file are not {expected}.")
    return np.asarray(found, float)
