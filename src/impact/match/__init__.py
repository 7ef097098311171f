"""Matched comparisons: who is compared with whom, how alike they are, and the effect."""

from collections.abc import Callable, Mapping

from impact.match.aipw import aipw
from impact.match.balance import balance
from impact.match.censor_pairs import censor_pairs
from impact.match.e_value import e_value
from impact.match.hurdle import hurdle
from impact.match.mean_difference import mean_difference
from impact.match.nearest import nearest
from impact.match.outcomes import OUTCOMES
from impact.match.partner_dates import partner_dates
from impact.match.propensity import overlap, propensity
from impact.match.rate_ratio import rate_ratio
from impact.match.risk import mcnemar, risk
from impact.match.rosenbaum_bounds import rosenbaum_bounds
from impact.match.table_one import table_one
from impact.results import Matched

METHODS: Mapping[str, Callable[..., Matched]] = {"nearest": nearest}

__all__ = [
    "METHODS",
    "OUTCOMES",
    "aipw",
    "balance",
    "censor_pairs",
    "e_value",
    "hurdle",
    "mcnemar",
    "mean_difference",
    "nearest",
    "overlap",
    "partner_dates",
    "propensity",
    "rate_ratio",
    "risk",
    "rosenbaum_bounds",
    "table_one",
]
