"""Why people's time at risk ended, in the words of a file."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data.periods import ordered

_DEATH = re.compile(r"(death|died|dead|deceased)\b", re.IGNORECASE)
_ANSWER = r"(?i:true|false|yes|no)"


def is_death(word: str) -> bool:
    """Whether a word for an end says that the person died, as 'Died in hospital' does."""
    return _DEATH.match(word.strip()) is not None


def ended_of(values: pd.Series, codes: NDArray[np.intp]) -> NDArray[Any]:
    """Return one word a unit, (n,): 'death' however it is said, and 'unknown' where nothing is said.

    A unit may say why in one of its rows or in all of them.

    Examples
    --------
    >>> ended_of(pd.Series(["Died", None, None, " move"]), np.array([0, 0, 1, 2])).tolist()
    ['death', 'unknown', 'move']
    """
    first = _words(values).groupby(codes).first()
    return np.array([_named(word) for word in first], dtype=object)


def ended_problems(values: pd.Series, codes: NDArray[np.intp]) -> dict[str, tuple[int, str]]:
    """Find what is no reason: for each rule how many rows or units, and what they do."""
    words = _words(values)
    odd = ordered(words.astype(object)).notna() | words.str.fullmatch(_ANSWER).fillna(False)
    return {
        "readable": (int(odd.sum()), "hold no reason in words, such as 'death' or 'move'"),
        "changes": (int((words.groupby(codes).nunique() > 1).sum()), "are units in which it changes"),
    }


def _words(values: pd.Series) -> pd.Series:
    words = values.astype("string").str.strip()
    return words.mask(words == "")


def _named(word: Any) -> str:
    return "unknown" if pd.isna(word) else "death" if is_death(word) else str(word)
