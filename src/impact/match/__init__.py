"""Matched comparisons: who is compared with whom, how alike they are, and the effect."""

from typing import TYPE_CHECKING

from impact.fetched import fetch_when_used

if TYPE_CHECKING:
    from impact.match.aipw import aipw
    from impact.match.balance import balance
    from impact.match.censor_pairs import censor_pairs
    from impact.match.coarsened_exact import coarsened_exact
    from impact.match.e_value import e_value
    from impact.match.entropy_balance import entropy_balance
    from impact.match.feasibility import feasibility
    from impact.match.full import full
    from impact.match.genetic import genetic
    from impact.match.hurdle import hurdle
    from impact.match.inverse_probability import inverse_probability
    from impact.match.mean_difference import mean_difference
    from impact.match.methods import METHODS
    from impact.match.nearest import nearest
    from impact.match.onto import onto
    from impact.match.optimal import optimal
    from impact.match.outcomes import OUTCOMES
    from impact.match.partner_dates import partner_dates
    from impact.match.propensity import overlap, propensity
    from impact.match.rate_ratio import rate_ratio
    from impact.match.risk import mcnemar, risk
    from impact.match.risk_set import risk_set
    from impact.match.rosenbaum_bounds import rosenbaum_bounds
    from impact.match.spillover import apart, spillover
    from impact.match.subclass import subclass
    from impact.match.table_one import table_one
    from impact.match.trajectories import trajectories

__all__ = [
    "METHODS",
    "OUTCOMES",
    "aipw",
    "apart",
    "balance",
    "censor_pairs",
    "coarsened_exact",
    "e_value",
    "entropy_balance",
    "feasibility",
    "full",
    "genetic",
    "hurdle",
    "inverse_probability",
    "mcnemar",
    "mean_difference",
    "nearest",
    "onto",
    "optimal",
    "overlap",
    "partner_dates",
    "propensity",
    "rate_ratio",
    "risk",
    "risk_set",
    "rosenbaum_bounds",
    "spillover",
    "subclass",
    "table_one",
    "trajectories",
]

fetch_when_used(__name__)
