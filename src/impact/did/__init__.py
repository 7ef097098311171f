"""Difference-in-differences: what changed among the supported beyond what changed without support."""

from __future__ import annotations

from collections.abc import Callable

from impact.did.aggregate import aggregate, summarise
from impact.did.bands import bands
from impact.did.callaway_santanna import callaway_santanna
from impact.did.censoring import censoring_weights
from impact.did.dispersion import dispersion
from impact.did.etwfe import etwfe
from impact.did.event_study import event_study
from impact.did.honest_bounds import honest_bounds
from impact.did.imputation import imputation
from impact.did.leave_one_out import leave_one_out
from impact.did.leaving import leaving
from impact.did.pretrends import pretrend_power, pretrend_test
from impact.did.stacked import stacked
from impact.did.sun_abraham import sun_abraham
from impact.did.synthetic_did import synthetic_did
from impact.did.twfe import twfe
from impact.did.two_by_two import two_by_two
from impact.did.wild_bootstrap import wild_bootstrap
from impact.results import Effects

ESTIMATORS: dict[str, Callable[..., Effects]] = {
    "two_by_two": two_by_two,
    "twfe": twfe,
    "callaway_santanna": callaway_santanna,
    "sun_abraham": sun_abraham,
    "imputation": imputation,
    "etwfe": etwfe,
    "stacked": stacked,
    "synthetic_did": synthetic_did,
}

__all__ = [
    "ESTIMATORS",
    "aggregate",
    "bands",
    "callaway_santanna",
    "censoring_weights",
    "dispersion",
    "etwfe",
    "event_study",
    "honest_bounds",
    "imputation",
    "leave_one_out",
    "leaving",
    "pretrend_power",
    "pretrend_test",
    "stacked",
    "summarise",
    "sun_abraham",
    "synthetic_did",
    "twfe",
    "two_by_two",
    "wild_bootstrap",
]
