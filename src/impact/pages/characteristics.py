"""What readers call the characteristics of people, and each value of one that has several."""

from __future__ import annotations

import pandas as pd

from impact.pages.formats import capital, inside, label
from impact.pages.own_words import OWN

_YES_NO = {"0": "no", "1": "yes"}
_LEVELS = {
    "sex": {"f": "female", "m": "male", "x": "other"},
    "imd_fifth": {"1": "1 (most deprived)", "5": "5 (least deprived)"},
    "imd_decile": {"1": "1 (most deprived)", "10": "10 (least deprived)"},
}


def characteristics(rows: pd.DataFrame) -> list[str]:
    """Name each characteristic, with its level where it has several: 'Age', 'Sex: female'."""
    levels = {c: set(map(str, found)) for c, found in rows.groupby("covariate")["level"]}
    return [
        _characteristic(str(c), str(v), levels[c])
        for c, v in zip(rows["covariate"], rows["level"], strict=True)
    ]


_WHOLE = {"", "nan", "None", "<NA>", "mean (SD)", "all"}


def _characteristic(column: str, level: str, levels: set[str]) -> str:
    own = OWN.levels.get(column, {})
    if column == "people":
        return capital(OWN.those or column)
    if level in _WHOLE:
        # The mean of a column of 0 and 1 is the share of those with 1.
        return f"{label(column)}: {own['1']}" if set(own) == set(_YES_NO) else label(column)
    words = _LEVELS.get(column) or (_YES_NO if levels == set(_YES_NO) else {})
    said = own.get(level) or words.get(level) or (inside(label(level)) if words else label(level))
    return f"{label(column)}: {said}"
