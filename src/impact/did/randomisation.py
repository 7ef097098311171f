"""Starts dealt out anew: a test that rests on who started when, and on nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from impact.data.panel import Panel
from impact.did.aggregate import summarise
from impact.did.design import check_choice, start_positions
from impact.did.estimators import ESTIMATORS
from impact.did.synthetic_did import many
from impact.errors import DesignError, ParameterError
from impact.numbers.few_clusters import invert, p_value
from impact.numbers.inference import cluster_codes
from impact.results import Effects, Test

Array = NDArray[np.float64]
Positions = NDArray[np.int64]
Statistics = Callable[[float], Array]

_SCALE = {"difference": "difference", "ratio": "log ratio"}
# Standard errors beyond estimate and zero between which an effect is tried, and at how many values.
_REACH = {"line": [(4.0, 3)], "curve": [(4.0, 7), (12.0, 13)]}
# Weights that are found from the outcome change with what is taken out of it.
_CURVED = ("synthetic_did",)


def randomisation_test(
    panel: Panel,
    *,
    outcome: str,
    estimator: str,
    draws: int = 999,
    seed: int,
    effect: Literal["difference", "ratio"] = "difference",
    assignment: Literal["observed", "randomised"] = "observed",
    conf_level: float = 0.95,
    **arguments: Any,
) -> Test:
    """Test an effect by dealing the starts out anew, and find which constant effects are not rejected.

    The start months are dealt out among clusters where whole clusters start together, and among people
    otherwise, with the number of each kept. The statistic is the estimate in standard errors. For the
    interval a constant effect is taken out of the supported time (subtracted from the rate, or divided out
    of the counts), after which the starts should make no difference: values for which they do are rejected.

    Parameters
    ----------
    panel : Panel
    outcome : str
    estimator : str
        Name in ``impact.did.ESTIMATORS``.
    draws : int
        Every deal is taken once where there are no more than this.
    seed : int
    effect : 'difference' or 'ratio'
        Which effect is constant: a difference in rates (not for Poisson models), or a ratio of rates.
    assignment : 'observed' or 'randomised'
        Where starts were not given at random this is a placebo test, and is called one.
    conf_level : float
    **arguments
        Of the estimator.

    Returns
    -------
    Test
        On the scale 'difference' or 'log ratio', with the interval and the smallest p-value that these
        starts could have given; an end is infinite where no value is rejected. Deals that admit no estimate
        are left out, and ``method["notes"]`` says so.

    Raises
    ------
    ParameterError
        For a constant difference with a Poisson model.
    DesignError
        If half of the deals or more cannot be estimated.

    References
    ----------
    Young, A. (2019). Channeling Fisher. Quarterly Journal of Economics 134, 557-598. MacKinnon, J. G. and
    Webb, M. D. (2020). Randomization inference for difference-in-differences with few treated clusters.
    Journal of Econometrics 218, 435-450.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"site": [1, 1, 2, 2, 3, 3, 4, 4, 5, 5], "year": [1, 2] * 5,
    ...                       "falls": [4, 2, 6, 3, 5, 5, 3, 4, 6, 6], "start": [2] * 4 + [None] * 6})
    >>> panel = Panel.from_long(frame, unit="site", period="year", outcomes=["falls"],
    ...                         first_treated="start")
    >>> test = randomisation_test(panel, outcome="falls", estimator="twfe", family="linear", seed=1)
    >>> test.p_value, test.smallest_p, test.method["draws"]
    (0.1, 0.1, 10)
    """
    if not isinstance(outcome, str):
        raise ParameterError(f"outcome={outcome!r}: give one outcome; this tests one effect.")
    check_choice("effect", effect, tuple(_SCALE))
    check_choice("assignment", assignment, ("observed", "randomised"))
    if draws < 19 or not 0 < conf_level < 1:
        raise ParameterError(f"draws={draws} must be 19 or more, conf_level={conf_level} between 0 and 1.")
    # Who has no weight or no time before support is in no comparison, and their starts are not dealt out.
    panel = panel.subset((panel.weights > 0) & (start_positions(panel) > 0))
    analysis = _Analysis(panel, outcome, estimator, _SCALE[effect], arguments)
    own = analysis.own()
    if effect == "difference" and own.method.get("family") == "poisson":
        raise ParameterError("effect='difference': a Poisson model needs counts; use effect='ratio'.")
    complete = how_many(panel) <= draws
    (low, high), statistics, lost = analysis.interval(own, draws, seed, 1 - conf_level)
    t = statistics(0.0)
    label, random = own.labels.iloc[0], assignment == "randomised"
    notes = [f"{lost} deals of the starts could not be estimated and are left out."] if lost else []
    method = {
        **own.method,
        "shows": "randomisation test" if random else "placebo test",
        **{name: str(label[name]) for name in ("outcome", "term", "scale", "unit")},
        "inference": f"starts dealt out anew among {dealt_among(panel)}, with the number of each kept"
        + (", every deal once" if complete else "")
        + f"; estimate in standard errors; constant {effect}",
        "dealt": dealt_among(panel),
        "draws": len(t) - 1,
        "seed": None if complete else seed,
        "notes": [*own.method.get("notes", []), *notes],
    }
    return Test(
        "no effect of anyone's support",
        float(t[0]),
        float("nan"),
        p_value(float(t[0]), t[1:], complete),
        method,
        own.counts,
        estimate=float(own.estimate[0]),
        conf_low=low,
        conf_high=high,
        conf_level=conf_level,
        # Deals that mirror each other are equally far out, so that a share of one deal may be out of reach.
        smallest_p=p_value(float(np.abs(t).max()), t[1:], True) if complete else 1 / len(t),
    )


def analyses(
    panels: Iterable[Panel], *, outcome: str, estimator: str, arguments: Mapping[str, Any]
) -> Iterator[Effects | None]:
    """Estimate the effect in one panel after the other: the three scales, or None where it admits none.

    ``synthetic_did`` takes many panels at once, and is much quicker so.
    """
    if estimator == "synthetic_did":
        for found in many(panels, outcome=outcome, **arguments):
            yield None if isinstance(found, DesignError) else summarise(found)
        return
    for panel in panels:
        try:
            effects = summarise(ESTIMATORS[estimator](panel, outcome=outcome, **arguments))
        except DesignError:
            yield None
        else:
            yield effects


class _Analysis:
    """One effect of one outcome, of panels from which an effect was taken out and in which starts moved."""

    def __init__(
        self, panel: Panel, outcome: str, estimator: str, scale: str, arguments: dict[str, Any]
    ) -> None:
        check_choice("estimator", estimator, tuple(ESTIMATORS))
        self.panel, self.outcome, self.scale = panel, outcome, scale
        self.estimator, self.arguments = estimator, arguments
        self.after = np.arange(len(panel.periods)) >= start_positions(panel)[:, None]

    def own(self) -> Effects:
        """Return the study's own effect on the scale that is asked for."""
        found = ESTIMATORS[self.estimator](self.panel, outcome=self.outcome, **self.arguments)
        effects = self.wanted(summarise(found))
        if effects is None:
            raise DesignError(
                f"outcome={self.outcome!r}: it has no {self.scale} with a standard error in these data."
            )
        return effects

    def wanted(self, effects: Effects | None) -> Effects | None:
        """Return the effect on the scale that is asked for, where it has an error."""
        if effects is None:
            return None
        wanted = (effects.labels["scale"] == self.scale).to_numpy()
        return effects.select(wanted) if wanted.any() and effects.std_error[wanted][0] > 0 else None

    def without(self, value: float) -> Panel:
        """Return the panel as it would be without an effect of this size."""
        y, time = self.panel.outcomes[self.outcome], self.panel.exposure[self.outcome]
        less = y / np.exp(value) if self.scale == "log ratio" else y - value * time / self.panel.rate_scale
        return replace(
            self.panel,
            outcomes={self.outcome: np.where(self.after, less, y)},
            exposure={self.outcome: time},
        )

    def interval(
        self, own: Effects, draws: int, seed: int, level: float
    ) -> tuple[tuple[float, float], Statistics, int]:
        """Return the values with a p-value above ``level``, the statistics, and how many deals failed."""
        estimate, error = float(own.estimate[0]), float(own.std_error[0])
        complete = how_many(self.panel) <= draws
        # Only linear models say how statistics go on beyond the values that were tried.
        exact = self.scale == "difference" and self.estimator not in _CURVED
        for reach, nodes in _REACH["line" if exact else "curve"]:
            ends = min(estimate, 0.0) - reach * error, max(estimate, 0.0) + reach * error
            dealt = deals(self.panel, draws, np.random.default_rng(seed))
            statistics, lost = self.statistics(dealt, _nodes(*ends, nodes))

            def p_of(value: float, statistics: Statistics = statistics) -> float:
                t = statistics(value)
                return p_value(float(t[0]), t[1:], complete)

            low, high = invert(p_of, estimate, error, 1 - level)
            if exact or (ends[0] <= low and high <= ends[1]):
                return (low, high), statistics, lost
        low, high = (low if low >= ends[0] else -np.inf), (high if high <= ends[1] else np.inf)
        return (low, high), statistics, lost

    def statistics(self, dealt: Iterator[Positions], nodes: Array) -> tuple[Statistics, int]:
        """Return what gives the statistics at a value, the study's own first, and how many deals failed.

        The estimate of a linear model is linear in what is taken out, and its variance quadratic, so that
        three values give all others; a ratio is interpolated between more.
        """
        from scipy.interpolate import BarycentricInterpolator

        panels = [self.without(value) for value in nodes]
        every = (deal(p, who) for who in chain([np.arange(self.panel.n)], dealt) for p in panels)
        found = analyses(every, outcome=self.outcome, estimator=self.estimator, arguments=self.arguments)
        rows: list[list[tuple[float, float]] | None] = []
        for effects in zip(*[map(self.wanted, found)] * len(nodes), strict=True):
            there = [e for e in effects if e is not None]
            row = [(float(e.estimate[0]), float(e.std_error[0] ** 2)) for e in there]
            rows.append(row if len(row) == len(nodes) else None)
        kept = [row for row in rows if row is not None]
        lost = len(rows) - len(kept)
        if rows[0] is None or len(kept) - 1 <= lost:
            raise DesignError(
                f"randomisation_test: {lost} of {len(rows) - 1} deals of the starts could not be estimated; "
                "there are too few clusters or events."
            )
        # (values, deals, 2): estimates and variances.
        curves = BarycentricInterpolator(nodes, np.array(kept).transpose(1, 0, 2))

        def at(value: float) -> Array:
            estimate, variance = np.asarray(curves(value)).T
            return np.asarray(estimate / np.sqrt(np.maximum(variance, np.finfo(float).tiny)))

        return at, lost


def deal(panel: Panel, who: Positions) -> Panel:
    """Give each person the start of another, (n,)."""
    begins = None if panel.begins is None else panel.begins[who]
    return replace(panel, start=panel.start[who], treated=panel.treated[who], begins=begins)


def deals(panel: Panel, draws: int, rng: np.random.Generator) -> Iterator[Positions]:
    """Yield whose start each person is given, (n,): every deal once, or ``draws`` at random of more.

    Starts are dealt out among clusters where whole clusters start together, since it was they that started
    or not, and otherwise among people.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"site": [1, 2, 3], "year": 1, "falls": 1, "start": [1, None, None]})
    >>> panel = Panel.from_long(frame, unit="site", period="year", outcomes=["falls"],
    ...                         first_treated="start")
    >>> [deal(panel, who).treated.tolist() for who in deals(panel, 19, np.random.default_rng(0))]
    [[True, False, False], [False, True, False], [False, False, True]]
    """
    hand, of, kinds = _together(panel)
    if how_many(panel) > draws:
        yield from (hand[rng.permutation(len(hand))][of] for _ in range(draws))
        return
    source = np.argsort(kinds, kind="stable")
    for arrangement in _arrangements(np.bincount(kinds)):
        order = np.empty_like(source)
        order[np.argsort(arrangement, kind="stable")] = source
        yield hand[order][of]


def how_many(panel: Panel) -> float:
    """In how many ways the starts can be dealt out."""
    from scipy.special import gammaln

    kinds = np.bincount(_together(panel)[2])
    return float(np.round(np.exp(min(gammaln(kinds.sum() + 1) - gammaln(kinds + 1).sum(), 700.0))))


def dealt_among(panel: Panel) -> Literal["units", "clusters"]:
    """Return what the starts are dealt out among."""
    return "units" if len(_together(panel)[0]) == panel.n else "clusters"


def _together(panel: Panel) -> tuple[Positions, Positions, Positions]:
    """One person of each unit that starts as a whole, each one's unit, and the start of each unit."""
    codes, names = cluster_codes(panel.cluster)
    given = np.column_stack([panel.start, panel.treated])
    kinds = np.unique(given, axis=0, return_inverse=True)[1].ravel()
    hand = np.unique(codes, return_index=True)[1]
    if len(names) < 2 or (kinds != kinds[hand][codes]).any():
        hand = codes = np.arange(panel.n)
    return hand, codes, kinds[hand]


def _arrangements(counts: NDArray[np.int64]) -> Iterator[Positions]:
    """Yield every way to put ``counts[j]`` of each kind ``j`` in a row."""
    out = np.full(counts.sum(), len(counts) - 1)

    def place(kind: int, free: Positions) -> Iterator[Positions]:
        if kind == len(counts) - 1:
            yield out
            return
        for chosen in combinations(range(len(free)), int(counts[kind])):
            out[free] = len(counts) - 1
            out[free[list(chosen)]] = kind
            yield from place(kind + 1, np.delete(free, chosen))

    yield from place(0, np.arange(counts.sum()))


def _nodes(low: float, high: float, count: int) -> Array:
    """Values between two ends, the nearest to zero moved to zero (Chebyshev's points)."""
    nodes = (low + high) / 2 + (high - low) / 2 * np.cos(np.pi * np.arange(count) / (count - 1))
    nodes[np.abs(nodes).argmin()] = 0.0
    return np.asarray(nodes)
