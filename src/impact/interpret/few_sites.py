"""Tests of the main effect for studies of few sites, or of few with support."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from impact.data.panel import Panel
from impact.did import ESTIMATORS, randomisation_test, summarise, wild_bootstrap
from impact.did.design import check_choice
from impact.results import Test

FewSites = Literal["wild_bootstrap", "randomisation_test"]


def few_sites(
    panel: Panel,
    *,
    outcome: str,
    estimator: str,
    arguments: Mapping[str, Any],
    tests: Sequence[FewSites],
    seed: int,
    assignment: Literal["observed", "randomised"] = "observed",
) -> dict[str, Test]:
    """Test the effect on one outcome without leaning on there being many sites.

    Parameters
    ----------
    panel : Panel
        The one the estimator takes.
    outcome : str
        The primary outcome.
    estimator : str
        Name in ``impact.did.ESTIMATORS``.
    arguments : mapping
        Of the estimator.
    tests : sequence of str
        ``wild_bootstrap``, ``randomisation_test``, both or none.
    seed : int
        Of their draws.
    assignment : 'observed' or 'randomised'
        Where starts were not given at random, dealing them out anew is a placebo test, and is called one.

    Returns
    -------
    dict
        The tests by name, on the scale of the model: a ratio for Poisson models, else a difference.

    Raises
    ------
    ParameterError
        For a test of another name.
    DesignError
        Where a test does not exist for the estimator, or for so few or so many clusters.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"site": [1, 1, 2, 2, 3, 3, 4, 4, 5, 5], "year": [1, 2] * 5,
    ...                       "falls": [4, 2, 6, 3, 5, 5, 3, 4, 6, 6], "start": [2] * 4 + [None] * 6})
    >>> panel = Panel.from_long(frame, unit="site", period="year", outcomes=["falls"],
    ...                         first_treated="start")
    >>> both = few_sites(panel, outcome="falls", estimator="twfe", arguments={"family": "linear"},
    ...                  tests=["wild_bootstrap", "randomisation_test"], seed=1)
    >>> {name: test.p_value for name, test in both.items()}
    {'wild_bootstrap': 0.0303, 'randomisation_test': 0.1}
    """
    for name in tests:
        check_choice("tests", name, ("wild_bootstrap", "randomisation_test"))
    if not tests:
        return {}
    effects = summarise(ESTIMATORS[estimator](panel, outcome=outcome, **arguments))
    kind: Literal["difference", "ratio"] = "ratio" if effects.method["family"] == "poisson" else "difference"
    found: dict[str, Test] = {}
    if "wild_bootstrap" in tests:
        on_scale = effects.labels["scale"] == ("log ratio" if kind == "ratio" else kind)
        found["wild_bootstrap"] = wild_bootstrap(effects.select(on_scale), seed=seed)
    if "randomisation_test" in tests:
        found["randomisation_test"] = randomisation_test(
            panel,
            outcome=outcome,
            estimator=estimator,
            effect=kind,
            assignment=assignment,
            seed=seed,
            **arguments,
        )
    return found
