"""The models of matched outcomes by the names that a parameter file uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from impact.match.aipw import aipw
from impact.match.hurdle import hurdle
from impact.match.mean_difference import mean_difference
from impact.match.rate_ratio import rate_ratio
from impact.match.risk import risk
from impact.results import Effects

OUTCOMES: Mapping[str, Callable[..., Effects]] = {
    "poisson": rate_ratio,
    "negative_binomial": partial(rate_ratio, model="negative_binomial"),
    "conditional_poisson": partial(rate_ratio, estimand="conditional"),
    "aipw": aipw,
    "hurdle": hurdle,
    "mean_difference": mean_difference,
    "abadie_imbens": partial(mean_difference, method="abadie_imbens"),
    "risk": risk,
}
