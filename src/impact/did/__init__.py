"""Difference-in-differences: what changed among the supported beyond what changed without support."""

from typing import TYPE_CHECKING

from impact.fetched import fetch_when_used

if TYPE_CHECKING:
    from impact.did.aggregate import aggregate, summarise
    from impact.did.bacon import bacon_decomposition
    from impact.did.bands import bands
    from impact.did.bias_reduced import bias_reduced
    from impact.did.callaway_santanna import callaway_santanna
    from impact.did.censoring import censoring_weights
    from impact.did.dispersion import dispersion
    from impact.did.estimators import ESTIMATORS, estimate
    from impact.did.etwfe import etwfe
    from impact.did.event_study import event_study
    from impact.did.honest_bounds import honest_bounds
    from impact.did.imputation import imputation
    from impact.did.leave_one_out import leave_one_out
    from impact.did.leaving import leaving
    from impact.did.lost import as_if_observed, lost
    from impact.did.placebo_starts import placebo_starts
    from impact.did.pretrends import pretrend_power, pretrend_test
    from impact.did.randomisation import randomisation_test
    from impact.did.scale_check import scale_check
    from impact.did.stacked import stacked
    from impact.did.sun_abraham import sun_abraham
    from impact.did.synthetic_did import synthetic_did
    from impact.did.triple_difference import triple_difference
    from impact.did.twfe import twfe
    from impact.did.two_by_two import two_by_two
    from impact.did.two_way import two_way
    from impact.did.wild_bootstrap import wild_bootstrap

__all__ = [
    "ESTIMATORS",
    "aggregate",
    "as_if_observed",
    "bacon_decomposition",
    "bands",
    "bias_reduced",
    "callaway_santanna",
    "censoring_weights",
    "dispersion",
    "estimate",
    "etwfe",
    "event_study",
    "honest_bounds",
    "imputation",
    "leave_one_out",
    "leaving",
    "lost",
    "placebo_starts",
    "pretrend_power",
    "pretrend_test",
    "randomisation_test",
    "scale_check",
    "stacked",
    "summarise",
    "sun_abraham",
    "synthetic_did",
    "triple_difference",
    "twfe",
    "two_by_two",
    "two_way",
    "wild_bootstrap",
]

fetch_when_used(__name__)
