"""What the invented people of the trial say in interviews, and the truth in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data.scores import MEASURES, scored
from impact.data.worlds import FIRST, NEVER, STARTS, Array, Days, Population

BEFORE = "before"
# Days after the start, and how much of the whole change has come by then.
WAVES = {"6 months": (183, 0.6), "12 months": (365, 1.0)}
# For each question: the usual answer, how it goes with wellbeing, what comes and goes, and what support adds.
_ASKED = {
    "life_satisfaction": (6.4, 1.3, 1.1, 0.55),
    "anxiety": (4.0, -1.2, 1.6, -0.4),
    "swemwbs": (3.3, 0.55, 0.7, 0.12),
    "loneliness": (1.9, -0.4, 0.5, 0.0),
}
_LOOKED_BACK = 90
_MISSING = 0.004


def interviews(rng: np.random.Generator, drawn: Population) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Draw interviews of the trial's arms before support and twice after, and the effects in them.

    Everyone has a wellbeing that goes with how little care they need. Who is worse off is likelier to be lost
    after the first interview, and rather so without support. The truth is the mean difference between what
    the supported would answer with and without support, of all of them who answered before.

    Returns
    -------
    frame : DataFrame
        The survey of the contract.
    truth : dict
        For each question and wave ``difference``, and how many are asked and lost.
    """
    in_trial = (drawn.people["arm"] != "pool").to_numpy() & drawn.studied
    who = np.flatnonzero(in_trial & (drawn.start < NEVER) | in_trial & (drawn.people["arm"] == "control"))
    first, last = ((day - FIRST).astype(int) for day in STARTS)
    supported = drawn.start[who] < NEVER
    start = np.where(supported, drawn.start[who], rng.integers(first, last + 1, len(who)))
    need = np.log(drawn.rates[who].sum(1))
    well = -0.45 * (need - need.mean()) / need.std() + 0.9 * rng.normal(size=len(who))
    here = drawn.leave[who] > start
    kept = here & (rng.random(len(who)) < 0.95)
    who, supported, start, well = who[kept], supported[kept], start[kept], well[kept]
    before = _answers(rng, drawn, who, well, np.zeros(len(who)))
    mode = np.where(rng.random(len(who)) < 0.7, "telephone", "face to face")
    frames = [_wave(drawn, who, BEFORE, mode, start - rng.integers(3, 29, len(who)), before)]
    lost = 1 / (1 + np.exp(1.55 + 0.75 * well + 0.45 * supported))
    luck = rng.random(len(who))
    told: dict[str, Any] = {"asked": len(who)}
    for name, (days, share) in WAVES.items():
        state = rng.bit_generator.state
        without = _answers(rng, drawn, who, well, np.zeros(len(who)))
        rng.bit_generator.state = state
        found = _answers(rng, drawn, who, well, share * supported)
        day = start + days + rng.integers(-14, 15, len(who))
        gone = np.minimum(
            drawn.died[who], np.where(drawn.leave[who] < drawn.leave.max(), drawn.leave[who], NEVER)
        )
        here = (gone > day) & (luck > lost * (0.6 if share < 1 else 1.0))
        frames.append(_wave(drawn, who[here], name, mode[here], day[here], found[here]))
        told[name] = {
            "answered": int(here.sum()),
            "difference": {
                asked: round(float(np.nanmean((_score(found, asked) - _score(without, asked))[supported])), 6)
                for asked in (*_ASKED, "in_work")
            },
        }
    order = ["person_id", "wave"]
    return pd.concat(frames, ignore_index=True).sort_values(order, ignore_index=True), told


def _answers(
    rng: np.random.Generator, drawn: Population, who: Days, well: Array, support: NDArray[Any]
) -> pd.DataFrame:
    """Answers to all questions, with ``support`` of what support adds; the draws do not depend on it."""
    n, columns = len(who), {}
    for name, (usual, slope, noise, effect) in _ASKED.items():
        asked = MEASURES[name]
        low, high = (1, asked.item_high) if asked.items else (asked.low, asked.high)
        shared = 0.6 * noise * rng.normal(size=n)
        for column in asked.columns or [name]:
            value = usual + slope * well + shared + 0.8 * noise * rng.normal(size=n) + effect * support
            columns[column] = np.clip(np.rint(value), low, high)
    born = pd.to_datetime(drawn.people["birth_month"].iloc[who]).dt.year.to_numpy()
    working = 1 / (1 + np.exp(-0.25 * (born - 1963) - 0.4 * well))
    columns["in_work"] = rng.random(n) < 0.75 * working
    gp = rng.poisson(drawn.rates[who, 0] * _LOOKED_BACK)
    frame = pd.DataFrame(columns).assign(n_gp=gp)
    blank = rng.random(frame.shape) < _MISSING
    return frame.astype(object).mask(blank)


def _score(found: pd.DataFrame, name: str) -> NDArray[np.float64]:
    return scored(found, MEASURES[name])


def _wave(
    drawn: Population, who: Days, name: str, mode: NDArray[Any], day: Days, answers: pd.DataFrame
) -> pd.DataFrame:
    frame = answers.reset_index(drop=True)
    frame.insert(0, "person_id", drawn.people["person_id"].to_numpy()[who])
    frame.insert(1, "wave", name)
    frame.insert(2, "interview_date", (FIRST + day).astype("datetime64[s]"))
    return frame.assign(recall_days=_LOOKED_BACK, mode=mode)
