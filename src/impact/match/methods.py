"""The ways of matching and weighing by the names that a parameter file uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from impact.match.coarsened_exact import coarsened_exact
from impact.match.entropy_balance import entropy_balance
from impact.match.full import full
from impact.match.genetic import genetic
from impact.match.inverse_probability import inverse_probability
from impact.match.nearest import nearest
from impact.match.optimal import optimal
from impact.match.risk_set import risk_set
from impact.match.subclass import subclass
from impact.results import Matched

METHODS: Mapping[str, Callable[..., Matched]] = {
    "nearest": nearest,
    "optimal": optimal,
    "full": full,
    "coarsened_exact": coarsened_exact,
    "subclass": subclass,
    "entropy_balance": entropy_balance,
    "inverse_probability": inverse_probability,
    "genetic": genetic,
    "risk_set": risk_set,
}
