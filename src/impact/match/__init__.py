"""Matched comparisons: who is compared with whom, how alike they are, and the effect."""

from collections.abc import Callable, Mapping

from impact.match.balance import balance
from impact.match.nearest import nearest
from impact.match.partner_dates import partner_dates
from impact.match.propensity import overlap, propensity
from impact.match.rate_ratio import rate_ratio
from impact.results import Matched

METHODS: Mapping[str, Callable[..., Matched]] = {"nearest": nearest}

__all__ = ["METHODS", "balance", "nearest", "overlap", "partner_dates", "propensity", "rate_ratio"]
