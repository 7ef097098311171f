"""The data floor: the contract, the cohort and its panels, and ready-made long panels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from impact.data.cohort import Cohort
from impact.data.households import households
from impact.data.longdata import LongData
from impact.data.longfile import read_panel
from impact.data.panel import Panel
from impact.data.population import counted_from_offer, read_cohort
from impact.errors import DataError

__all__ = [
    "Cohort",
    "LongData",
    "Panel",
    "counted_from_offer",
    "households",
    "read",
    "read_cohort",
    "read_panel",
]


def read(
    *,
    panel: Mapping[str, Any] | None = None,
    placebo: Mapping[str, Any] | None = None,
    seed: int = 0,
    cache: str | Path | None = None,
    **tables: Any,
) -> Cohort | LongData:
    """Read a study's data: the tables of the contract, or else a ready-made panel.

    Parameters
    ----------
    panel : mapping, optional
        Arguments of ``read_panel``; without it ``tables`` are the arguments of ``read_cohort``.
    placebo : mapping, optional
        ``share``, ``from`` and ``to``: draw pretend starts for a panel, by ``seed``.
    cache : path, optional
        Folder in which what is read and counted is kept for the next who reads the same files in the same
        way: see ``read_cohort``.
    **tables
        ``people, contacts, coverage, survey, waves, rename`` for a cohort, and ``treated`` and ``control``.

    Returns
    -------
    Cohort or LongData
        Both have ``.panel(...)``, ``.at_baseline(...)``, ``.quality`` and ``.flow``.
    """
    if panel is None:
        if not ("people" in tables and {"contacts", "survey"} & set(tables)):
            raise DataError("people, contacts: a study reads both, or people and a survey, or else a panel.")
        return read_cohort(**tables, cache=cache)
    data = read_panel(**{**tables, **panel}, cache=cache)
    if placebo is None:
        return data
    return data.with_placebo(share=placebo["share"], start=placebo["from"], end=placebo["to"], seed=seed)
