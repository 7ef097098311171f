"""How alike the arms are before and after matching."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.match.propensity import MAX_LEVELS, Array, Design, Rows, check_word, design
from impact.results import Balance, Matched

if TYPE_CHECKING:
    from impact.data import Cohort

Denominator = Literal["treated", "control", "pooled"]
SAMPLES = ("before", "after")
_BY_ESTIMAND: dict[str, Denominator] = {"ATT": "treated", "ATC": "control"}
_SCORES = {
    "prognostic": "prognostic score",
    "linear_propensity": "propensity score (linear predictor)",
}
# Counts of one period before the index date, and how they ran, as ``cohort.with_history`` names them.
PRIOR = re.compile(r"prior_.+_(m|q|p|month|quarter)_?\d+|(trend|latest)_.+")
# Points at which densities are compared, and how many bandwidths beyond the values they reach.
_POINTS, _BEYOND = 1024, 4


def balance(
    matched: Matched,
    *,
    on: Sequence[str] | None = None,
    denominator: Denominator | None = None,
    squares: bool = False,
    interactions: bool = False,
    cohort: Cohort | None = None,
) -> Balance:
    """Compare the covariates of the arms in the whole cohort and in the matched sample.

    Parameters
    ----------
    matched : Matched
    on : sequence of str, optional
        Columns of the cohort's table; without it, what was matched on, the score where there is one, counts
        of single periods before the index date, their trend and how far the latest stands out
        (``cohort.with_history``), and the time followed, where the cohort has them.
    denominator : 'treated', 'control' or 'pooled', optional
        Whose standard deviation the differences are stated in; without it, the treated's for the effect on
        the treated, the controls' for the effect on controls, and otherwise the root of the average of both
        variances.
    squares, interactions : bool
        Whether to compare the squares of numbers, and the products of every two columns.
    cohort : Cohort, optional
        Where follow-up stands if not in the cohort that was matched. People who are not in it are left out
        of the comparison of times followed.

    Returns
    -------
    Balance
        A row for each covariate (each level of a categorical one) and sample; ``kind`` is ``score,
        covariate, prior period, follow-up, square`` or ``interaction``. ``smd`` is the difference in means
        over a standard deviation in the whole cohort, the same before and after, so that the two can be
        compared; ``variance_ratio`` is the treated's variance over the controls' (missing where a covariate
        takes two values); ``ks`` and ``ecdf_mean`` are the largest and the average distance between the two
        cumulative distributions; ``overlap`` is the share the two distributions have in common: of their
        densities as in cobalt (Gaussian kernel, for both arms and samples with Scott's bandwidth of the
        smaller arm before matching), or by value where there are two. ``pair_distance`` is the mean absolute
        difference between supported and control over all pairs of a set, in the unit of ``smd`` (missing
        without sets). ``counts`` gives persons and the effective sample size (sum of weights)^2 / sum of
        squared weights.

    Raises
    ------
    ParameterError
        For a denominator that is not known.
    DataError
        For a column that is absent, or incomplete where missing values were not filled for matching.

    References
    ----------
    Austin, P. C. (2009). Balance diagnostics for comparing the distribution of baseline covariates between
    treatment groups in propensity-score matched samples. Statistics in Medicine 28, 3083-3107. Franklin,
    J. M., Rassen, J. A., Ackermann, D., Bartels, D. B. and Schneeweiss, S. (2014). Metrics for covariate
    balance in cohort studies of causal effects. Statistics in Medicine 33, 1685-1699 (overlap).

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.data import Cohort
    >>> from impact.match import nearest
    >>> frame = pd.DataFrame({"helped": [1, 1, 0, 0, 0], "age": [70, 61, 61, 70, 50]})
    >>> matched = nearest(Cohort.from_frame(frame, treated="helped"), on=["age"], distance="mahalanobis")
    >>> balance(matched).table[["covariate", "sample", "smd"]].round(2).values.tolist()
    [['age', 'before', 0.81], ['age', 'after', 0.0]]
    """
    over = denominator_of(matched, denominator)
    samples, own = Samples.of(matched)
    everyone = matched.cohort.table
    # What was matched exactly is alike by construction: of many levels (buildings) it would only fill pages.
    few = [c for c in matched.method["exact"] if everyone[c].nunique() <= MAX_LEVELS]
    asked = [*matched.method["covariates"], *few] if on is None else on
    covariates = design(everyone, asked, missing=matched.method.get("missing", "error"))
    rows: list[tuple[Any, ...]] = []

    def add(kind: str, name: str, level: str | None, x: Array, among: Samples = samples) -> None:
        found = among.compare(x, over)
        rows.extend((name, level, kind, s, *f) for s, f in zip(SAMPLES, found, strict=True))

    if on is None and np.isfinite(own).all():
        add("score", _SCORES.get(str(matched.method.get("distance")), "propensity score"), None, own)
    for (name, level), x in zip(covariates.names.itertuples(index=False), covariates.values, strict=True):
        add("covariate", name, level, x)
    if on is None:
        for name in everyone.columns.difference(list(asked), sort=False):
            known = pd.api.types.is_numeric_dtype(everyone[name]) and everyone[name].notna().all()
            if PRIOR.fullmatch(str(name)) and known:
                add("prior period", str(name), None, everyone[name].to_numpy(float))
        for name, time, here in _followed(matched.cohort, matched.cohort if cohort is None else cohort):
            add("follow-up", name, None, time[here], samples if here.all() else samples.among(here))
    for kind, name, level, x in _products(covariates, squares, interactions):
        add(kind, name, level, x)
    columns = ["covariate", "level", "kind", "sample", *Figures._fields]
    method = {**matched.method, "smd": stated(over)}
    return Balance(pd.DataFrame(rows, columns=columns), method, samples.sizes())


def denominator_of(matched: Matched, asked: Denominator | None) -> Denominator:
    """Whose standard deviation differences are stated in: as asked, or by the estimand."""
    if asked is not None:
        check_word("denominator", asked, get_args(Denominator))
        return asked
    return _BY_ESTIMAND.get(str(matched.method.get("estimand", "ATT"))[:3], "pooled")


def stated(over: Denominator) -> str:
    """Say what differences are over."""
    return {
        "treated": "over the standard deviation of the treated before matching",
        "control": "over the standard deviation of the controls before matching",
        "pooled": "over the root of the two arms' average variance before matching",
    }[over]


class Figures(NamedTuple):
    """What is said of one column in one sample."""

    mean_treated: float
    mean_control: float
    smd: float
    variance_ratio: float
    ks: float
    ecdf_mean: float
    overlap: float
    pair_distance: float


class Sets:
    """The rows of a matched sample by their sets, in which people are compared with their own matches."""

    def __init__(self, row: Rows, number: Rows, treated: NDArray[np.bool_]) -> None:
        order = np.argsort(number, kind="stable")
        self.row, self.number, self.treated = row[order], number[order], treated[order]
        self.size = [np.bincount(number, arm) for arm in (treated, ~treated)]
        # How many rows, and how many treated, the sets before have.
        self.before = [(np.cumsum(n) - n)[self.number] for n in (sum(self.size), self.size[0])]
        self.pairs = float(self.size[0] @ self.size[1])

    def apart(self, x: Array) -> float:
        """Mean absolute difference between treated and controls over all pairs of a set, of x (n,).

        Between two neighbouring values of a set lie all pairs of which one is below and the other above.
        """
        values = x[self.row]
        order = np.lexsort((values, self.number))
        treated = np.cumsum(self.treated[order]) - self.before[1]
        control = np.arange(1, len(order) + 1) - self.before[0] - treated
        all_treated, all_controls = (n[self.number] for n in self.size)
        between = treated * (all_controls - control) + control * (all_treated - treated)
        return float(np.diff(values[order]) @ between[:-1] / self.pairs)


class Samples:
    """Two arms, everyone in them and as they are weighted, in which columns are compared.

    ``person (n,)`` numbers the people, of whom some may have several rows, each with a date of its own.
    """

    def __init__(
        self, control: NDArray[np.bool_], weight: Array, person: Rows, sets: Sets | None = None
    ) -> None:
        self.control, self.weight, self.person, self.sets = control, weight, person, sets
        self.once = bool(np.bincount(person).max(initial=0) <= 1)
        arms = (~control, control)
        self.size = np.array([[arm.sum() for arm in arms], [(weight[arm] > 0).sum() for arm in arms]])
        self.total = np.array([self.size[0], [weight[arm].sum() for arm in arms]], float)
        squares = [self.size[0], [(weight[arm] ** 2).sum() for arm in arms]]
        self.ess = self.total**2 / np.maximum(squares, 1e-300)

    @classmethod
    def of(cls, matched: Matched) -> tuple[Samples, Array]:
        """Return the samples, people in the order of the cohort, and their score (missing: none)."""
        ids, listed = matched.cohort.person_id, matched.table["person_id"].to_numpy()
        one_each = np.array_equal(ids, listed)
        person: Rows = np.arange(len(ids)) if one_each else pd.Index(ids).get_indexer(listed)
        listed_weight = matched.table["weight"].to_numpy(float)
        weight = np.bincount(person, listed_weight, minlength=len(ids)).astype(float, copy=False)
        score = np.full(len(ids), np.nan)
        score[person] = matched.table["distance"].to_numpy(float, na_value=np.nan)
        treated = np.asarray(matched.cohort.treated, bool)
        sets = None
        if "subclass" in matched.table and matched.table["subclass"].notna().any():
            used = (matched.table["subclass"].notna() & (listed_weight > 0)).to_numpy()
            number = pd.factorize(matched.table["subclass"][used])[0]
            sets = Sets(person[used], number, treated[person[used]])
        return cls(~treated, weight, matched.cohort.person, sets), score

    def among(self, here: NDArray[np.bool_]) -> Samples:
        """The same for some of the people."""
        return Samples(self.control[here], self.weight[here], self.person[here])

    def persons(self, rows: NDArray[np.bool_]) -> int:
        """How many people these rows are."""
        return int(rows.sum() if self.once else np.count_nonzero(np.bincount(self.person[rows])))

    def sizes(self) -> pd.DataFrame:
        """Persons and effective sample size of each sample and arm."""
        where = pd.MultiIndex.from_product([SAMPLES, ["treated", "control"]], names=["sample", "arm"])
        rows = []
        for weight in (np.ones(len(self.weight)), self.weight):
            for arm in (~self.control, self.control):
                each = np.bincount(self.person[arm], weight[arm])
                ess = each.sum() ** 2 / max((each**2).sum(), 1e-300)
                rows.append((self.persons(arm & (weight > 0)), ess))
        return pd.DataFrame(rows, where, ["persons", "ess"]).reset_index()

    def compare(self, x: Array, over: Denominator) -> list[Figures]:
        """Compare one column before and after; sorted once for both."""
        values, code = distinct(x)
        m, two_values = len(values), len(values) <= 2
        at = code + m * self.control
        masses = [np.bincount(at, w, minlength=2 * m) for w in (None, self.weight)]
        # Both samples are smoothed alike; two values are compared as they are.
        smaller = int(self.size[0, 1] < self.size[0, 0])
        width = 0.0 if two_values else _bandwidth(values, masses[0].reshape(2, m)[smaller])
        out: list[Figures] = []
        spread = 0.0
        for mass, total, ess in zip(masses, self.total, self.ess, strict=True):
            share = mass.reshape(2, m) / np.where(total > 0, total, np.nan)[:, None]
            mean = share @ values
            # Weights that are equal give the usual n - 1; a covariate of two values has variance p(1 - p).
            kept = np.ones(2) if two_values else 1 - 1 / np.maximum(ess, 1)
            raw = (share * (values - mean[:, None]) ** 2).sum(axis=1)
            variance = np.divide(raw, kept, out=np.full(2, np.nan), where=kept > 1e-12)
            if not out:
                spread = _spread(mean, variance, over)
            gap = float(mean[0] - mean[1])
            none = abs(gap) <= 1e-12 * np.abs(mean).max()
            apart = np.abs(np.cumsum(share[0] - share[1]))
            ks = apart.max()
            within = self.sets.apart(x) if out and self.sets else np.nan
            out.append(
                Figures(
                    float(mean[0]),
                    float(mean[1]),
                    gap / spread if spread > 0 else (0.0 if none else np.nan),
                    np.nan if two_values or not variance[1] > 0 else variance[0] / variance[1],
                    ks,
                    ks if two_values else apart.mean(),
                    _common(values, share, width),
                    within / spread if spread > 0 else within,
                )
            )
        return out


def distinct(x: Array) -> tuple[Array, Rows]:
    """Return the different values of a column, ascending, and the place among them of each entry."""
    low, high = x.min(), x.max()
    if high - low < max(len(x), 2**16) and max(abs(low), abs(high)) < 2**52:
        whole = x.astype(np.intp)
        if (whole == x).all():
            # Whole numbers are their own places, without sorting.
            whole -= int(low)
            there = np.bincount(whole) > 0
            values = np.flatnonzero(there) + low
            return values, whole if there.all() else (np.cumsum(there) - 1)[whole]
    order = np.argsort(x)
    sorted_ = x[order]
    new = np.append(True, sorted_[1:] != sorted_[:-1])
    code = np.empty(len(x), np.intp)
    code[order] = np.cumsum(new) - 1
    return sorted_[new], code


def _bandwidth(values: Array, count: Array) -> float:
    """Scott's rule, 1.06 s n^(-1/5), for so many people of each value (ascending)."""
    n, below = count.sum(), np.cumsum(count)
    mean = count @ values / n
    spread = np.sqrt(count @ (values - mean) ** 2 / max(n - 1, 1))
    ends = []
    for share in (0.25, 0.75):
        low, part = divmod((n - 1) * share, 1)
        at = [values[np.searchsorted(below, place, side="right")] for place in (low, min(low + 1, n - 1))]
        ends.append(at[0] + part * (at[1] - at[0]))
    # Where most people are alike the quartiles give no scale.
    middle = (ends[1] - ends[0]) / 1.34
    return float(1.06 * (min(spread, middle) or spread) * n**-0.2)


def _common(values: Array, share: Array, width: float) -> float:
    """The share that two distributions over ascending values, (2, m), have in common.

    By value without a bandwidth. Densities share something everywhere: distributions of which one lies
    above the other have nothing in common all the same.
    """
    if np.isnan(share).any() or not width > 0:
        return float(np.minimum(*share).sum())
    first, last = (np.array([values[np.flatnonzero(s)[end]] for s in share]) for end in (0, -1))
    if first.max() > last.min():
        return 0.0
    low, high = values[0] - _BEYOND * width, values[-1] + _BEYOND * width
    place = (values - low) / (high - low) * (_POINTS - 1)
    left = place.astype(np.intp)
    part = place - left
    # Each value is shared by the two points beside it, and spread from these by a Fourier transform.
    mass = [
        np.bincount(left, s * (1 - part), minlength=_POINTS)
        + np.bincount(left + 1, s * part, minlength=_POINTS)
        for s in share
    ]
    steps = np.minimum(np.arange(2 * _POINTS), np.arange(2 * _POINTS, 0, -1))
    bell = np.exp(-((steps * (high - low) / (_POINTS - 1) / width) ** 2) / 2)
    density = np.fft.irfft(np.fft.rfft(mass, 2 * _POINTS) * np.fft.rfft(bell / bell.sum()))
    return float(np.clip(np.minimum(*density).sum(), 0, 1))


def _spread(mean: Array, variance: Array, over: Denominator) -> float:
    """Standard deviation that differences are stated in."""
    if over != "pooled":
        arm = int(over == "control")
        own = float(np.sqrt(variance[arm]))
        # People who are all alike give no scale; the average of both arms' variances does.
        if own > 1e-8 * max(abs(mean[arm]), 1e-300):
            return own
    return float(np.sqrt(np.mean(variance)))


def _followed(matched: Cohort, cohort: Cohort) -> Iterator[tuple[str, Array, NDArray[np.bool_]]]:
    """Times followed that are not the same for all, once each, with who of the matched cohort is followed."""
    place = pd.Index(cohort.person_id).get_indexer(matched.person_id)
    seen: list[Array] = []
    for name, time in cohort.exposure.items():
        if np.ptp(time) > 0 and not any(np.array_equal(time, other) for other in seen):
            seen.append(time)
            yield f"months followed ({name})", np.asarray(time, float)[place], place >= 0


def _products(
    covariates: Design, squares: bool, interactions: bool
) -> Iterator[tuple[str, str, str | None, Array]]:
    """Squares of numbers and products of two columns of different covariates."""
    columns = list(zip(covariates.names.itertuples(index=False), covariates.values, strict=True))
    for (name, level), x in columns if squares else []:
        if not isinstance(level, str) and not ((x == x.min()) | (x == x.max())).all():
            yield "square", f"{name} squared", None, x * x
    for ((a, of_a), x), ((b, of_b), y) in combinations(columns, 2) if interactions else []:
        if a != b:
            levels = [level for level in (of_a, of_b) if isinstance(level, str)]
            yield "interaction", f"{a} × {b}", ", ".join(levels) or None, x * y
