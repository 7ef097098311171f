"""Difference-in-differences: what changed among the supported beyond what changed without support."""

from __future__ import annotations

from collections.abc import Callable

from impact.did.aggregate import aggregate, summarise
from impact.did.callaway_santanna import callaway_santanna
from impact.did.event_study import event_study
from impact.did.pretrends import pretrend_test
from impact.did.twfe import twfe
from impact.did.two_by_two import two_by_two
from impact.results import Effects

ESTIMATORS: dict[str, Callable[..., Effects]] = {
    "two_by_two": two_by_two,
    "twfe": twfe,
    "callaway_santanna": callaway_santanna,
}

__all__ = [
    "ESTIMATORS",
    "aggregate",
    "callaway_santanna",
    "event_study",
    "pretrend_test",
    "summarise",
    "twfe",
    "two_by_two",
]
