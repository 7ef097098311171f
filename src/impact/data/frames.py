"""Anyone's data frame with one row a person, checked."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from impact.data.persontime import Array
from impact.errors import DataError, nearest, together


def read_frame(
    frame: pd.DataFrame, treated: str, person_id: str | None, outcomes: list[str], exposure: str | None
) -> tuple[pd.Series, Mapping[str, Array]]:
    """Return identifiers and the columns of numbers; the arguments are those of ``Cohort.from_frame``."""
    wanted = [treated, *([person_id] if person_id else []), *outcomes, *([exposure] if exposure else [])]
    problems = [
        f"column {c!r} is not in the data.{nearest(c, frame.columns)}" for c in wanted if c not in frame
    ]
    if problems:
        raise DataError(together(problems))
    values = [*outcomes, *([exposure] if exposure else [])]
    number = {c: np.asarray(pd.to_numeric(frame[c], errors="coerce"), float) for c in {treated, *values}}
    if not np.isin(number[treated], [0, 1]).all():
        problems.append(f"{treated}: holds other values than 0 and 1.")
    for name in values:
        if bad := int((~(number[name] >= 0)).sum()):
            problems.append(f"{name}: {bad} rows are missing, negative or not numbers.")
    for name in outcomes if exposure else []:
        if bad := int(((number[name] > 0) & (number[str(exposure)] == 0)).sum()):
            problems.append(f"{name}: {bad} rows have events and no time at risk in {exposure!r}.")
    ids = frame[person_id] if person_id else pd.Series(np.arange(len(frame)))
    if repeated := int((ids.duplicated() | ids.isna()).sum()):
        problems.append(f"{person_id}: {repeated} rows repeat a person, or have none.")
    if problems:
        raise DataError(together(problems))
    return ids, number
