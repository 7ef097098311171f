"""Did the groups already move apart before support began, and would the test have seen it?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.did.design import as_list, check_choice
from impact.errors import DesignError, ParameterError
from impact.numbers.inference import wald
from impact.results import Effects, Summary, Test

Array = NDArray[np.float64]
Statistic = Literal["wald", "hotelling", "sup_t"]
_SHOWN = ("difference", "log ratio")


def pretrend_test(
    effects: Effects, *, statistic: Statistic = "wald", draws: int = 100_000, seed: int = 0
) -> Test:
    """Test that all effects before support (and before its anticipation) are zero together.

    A pass is no proof that trends are parallel: ``pretrend_power`` says what would have been seen.

    Parameters
    ----------
    effects : Effects
        With ``event_time``: by start and period, or averaged by event time; differences or log ratios. A
        row that is zero by definition (the reference) is not tested. Several outcomes are tested together.
    statistic : 'wald', 'hotelling' or 'sup_t'
        'wald' is the test of Callaway and Sant'Anna (2021) with the chi-square distribution, as in R's
        ``did``; it rejects too often where the effects are not few beside the clusters. 'hotelling' refers
        the same statistic, times (G - q) / (q (G - 1)), to F(q, G - q), for q effects and G clusters: exact
        for normal cluster sums, and for few clusters. 'sup_t' is the largest absolute t statistic against
        draws of a multivariate t with clusters - 1 degrees of freedom and the correlation of the effects:
        what the widest bar of an event study with simultaneous bands shows. It is the only one that can
        test more effects than there are clusters.
    draws, seed : int
        Of 'sup_t'.

    Returns
    -------
    Test
        ``method`` has ``tested`` (how many effects), for 'sup_t' the 5% ``critical`` value, and for
        'hotelling' the second degrees of freedom, ``df_error``.

    Raises
    ------
    DesignError
        If there is no effect before support, or there are more than the data can test together.

    Examples
    --------
    >>> labels = pd.DataFrame({"outcome": "ae", "term": ["a", "b"], "scale": "difference", "unit": "",
    ...                        "event_time": [-3, -2]})
    >>> counts = pd.DataFrame({"persons": [9, 9], "treated": [4, 4], "clusters": [9, 9], "events": [5, 5]})
    >>> effects = Effects(labels, np.array([1.0, 2.0]), np.eye(2), np.arange(2), 8, {"clusters": 9}, counts)
    >>> pretrend_test(effects).statistic, pretrend_test(effects, statistic="sup_t").statistic
    (5.0, 2.0)
    """
    check_choice("statistic", statistic, ("wald", "hotelling", "sup_t"))
    tested = effects.select(_before(effects, "pretrend_test"))
    clusters = int(np.min(effects.df)) + 1
    notes: list[str] = []
    more: dict[str, Any] = {}
    if statistic == "sup_t":
        more["critical"], value, p_value = _sup_t(tested, draws, seed)
        more |= {"seed": seed, "draws": draws}
        df = float(clusters - 1)
    else:
        value, q = wald(tested.estimate, tested.vcov)
        df = float(q)
        value, p_value, more, notes = _wald(value, q, clusters, statistic)
    said = {
        "shows": "pre-trend test",
        "statistic": statistic,
        "tested": len(tested),
        "notes": notes,
        **more,
    }
    name = "pre-trends are zero"
    return Test(name, value, df, p_value, {**effects.method, **said}, tested.counts)


def _wald(
    value: float, q: int, clusters: int, statistic: str
) -> tuple[float, float, dict[str, Any], list[str]]:
    from scipy.special import fdtrc, gammaincc

    if statistic == "wald":
        few = (
            f"{q} effects are tested together with {clusters} clusters: so many that the test finds a "
            "difference too often."
        )
        return value, float(gammaincc(q / 2, value / 2)), {}, [few] if q > (clusters - 1) / 10 else []
    if q >= clusters:
        raise DesignError(
            f"{q} effects cannot be tested together with {clusters} clusters; use statistic='sup_t', or "
            "average by event time."
        )
    value *= (clusters - q) / (q * (clusters - 1))
    return value, float(fdtrc(q, clusters - q, value)), {"df_error": clusters - q}, []


def _sup_t(tested: Effects, draws: int, seed: int) -> tuple[float, float, float]:
    """Return the 5% critical value, the largest absolute t statistic and its p-value."""
    df, rng = float(np.min(tested.df)), np.random.default_rng(seed)
    error = tested.std_error
    value = float(np.abs(tested.estimate / error).max())
    # Dividing by one chi-square a draw makes the normal draws a multivariate t, for few clusters.
    chi = np.sqrt(rng.chisquare(df, draws) / df)
    largest = np.abs(_normal(tested.vcov / np.outer(error, error), draws, rng)).max(0) / chi
    p_value = (1 + np.count_nonzero(largest >= value)) / (1 + draws)
    return float(np.quantile(largest, 0.95)), value, p_value


def _normal(vcov: Array, draws: int, rng: np.random.Generator) -> Array:
    """Draws of a normal vector with this covariance, which may be singular, (k, draws)."""
    values, vectors = np.linalg.eigh((vcov + vcov.T) / 2)
    return np.asarray((vectors * np.sqrt(np.clip(values, 0, None))) @ rng.standard_normal((len(vcov), draws)))


def _before(effects: Effects, caller: str) -> NDArray[np.bool_]:
    """Which effects lie before support and its anticipation, without those that are zero by definition."""
    labels = effects.labels
    if "event_time" not in labels:
        raise DesignError(f"{caller} needs effects by event time: none of these has one.")
    early = labels["event_time"].to_numpy(float, na_value=np.nan) < -effects.method.get("anticipation", 0)
    early &= labels["scale"].isin(_SHOWN).to_numpy()
    early = np.asarray(early, bool)
    early[early] = effects.select(early).std_error > 0
    if not early.any():
        raise DesignError(
            f"{caller}: there is no effect before support; begin the window two or more periods before it."
        )
    return early


def pretrend_power(
    effects: Effects,
    *,
    power: float | Sequence[float] = (0.5, 0.8),
    slope: float | Sequence[float] = (),
    draws: int = 100_000,
    seed: int = 0,
) -> Summary:
    """Say which straight drift apart before support the eye would have seen, and what it would do.

    The pre-test is the one readers make: trends are called parallel when every single effect before support
    has zero in its own 95% interval. A drift of ``slope`` a period, measured from the reference period, is
    detected with some power; if it went on after support it would add ``bias`` to the average effect, and
    ``bias_if_passed`` on average among those studies in which the pre-test saw nothing.

    Parameters
    ----------
    effects : Effects
        By event time against one base period (``aggregate(..., by='event_time')``, ``event_study``).
    power : float or sequence
        The slopes detected with these powers are found; () for none.
    slope : float or sequence
        Slopes a period whose power is found, in the unit of the effects.
    draws, seed : int
        Of the normal vectors by which probabilities and truncated means are found.

    Returns
    -------
    Summary
        One row an outcome and power (or slope): ``power, slope, bias, bias_if_passed, mc_error`` (of
        ``bias_if_passed``, by simulation) and ``false_alarms``, how often the pre-test rejects where trends
        are parallel: above 5%, for it is several tests.

    Raises
    ------
    DesignError
        For effects that are not by event time against one base period, or a power that no slope has.

    References
    ----------
    Roth, J. (2022). Pretest with caution: event-study estimates after testing for parallel trends. American
    Economic Review: Insights 4, 305-322.

    Examples
    --------
    >>> labels = pd.DataFrame({"outcome": "ae", "term": ["a", "b"], "scale": "difference", "unit": "",
    ...                        "event_time": [-2, 0]})
    >>> counts = pd.DataFrame({"persons": [90] * 2, "treated": 40, "clusters": 90, "events": 50})
    >>> effects = Effects(labels, np.zeros(2), np.eye(2), np.arange(2), 1e9, {}, counts)
    >>> pretrend_power(effects, power=0.5).table[["slope", "bias"]].round(1).values.tolist()
    [[2.0, 2.0]]
    """
    powers, slopes = np.atleast_1d(np.asarray(power, float)), np.atleast_1d(np.asarray(slope, float))
    if bad := [float(p) for p in powers if not 0 < p < 1]:
        raise ParameterError(f"power={bad[0]}: it must lie between 0 and 1.")
    if len(powers) + len(slopes) == 0:
        raise ParameterError("power and slope are both empty: give at least one.")
    _check_one_base(effects)
    early = _before(effects, "pretrend_power")
    rows = []
    for name in dict.fromkeys(effects.labels["outcome"][early]):
        mine = (effects.labels["outcome"] == name).to_numpy()
        drift = _Drift(effects, early & mine, mine, draws, np.random.default_rng(seed))
        rows += [drift.row(drift.slope(float(p))) for p in powers] + [drift.row(float(s)) for s in slopes]
    table = pd.DataFrame(rows)
    found = ["power", "slope", "bias", "bias_if_passed", "mc_error", "false_alarms"]
    return Summary(
        table,
        {
            "shows": "power of the pre-trend test",
            "outcome": as_list(effects.method.get("outcome", list(dict.fromkeys(table["outcome"])))),
            "test": "every effect before support has zero in its own 95% interval (Roth 2022)",
            "seed": seed,
            "draws": draws,
        },
        people=("persons", "treated"),
        events=("events",),
        derived=dict.fromkeys(found, ("persons", "treated", "events")),
    )


def _check_one_base(effects: Effects) -> None:
    method = effects.method
    if method.get("base_period") == "varying":
        raise DesignError(
            "pretrend_power: with base_period='varying' each effect before support has another base, and a "
            "drift looks flat; estimate with base_period='universal'."
        )
    if method.get("estimator") == "imputation":
        raise DesignError(
            "pretrend_power: imputation measures effects before and after support from different periods; "
            "use callaway_santanna or an event study by regression."
        )
    shown = effects.labels[effects.labels["scale"].isin(_SHOWN)]
    if (
        "event_time" in shown
        and shown.dropna(subset=["event_time"]).duplicated(["outcome", "event_time"]).any()
    ):
        raise DesignError(
            "pretrend_power needs one effect an event time; average first: aggregate(effects, "
            "by='event_time')."
        )


class _Drift:
    """One outcome's effects and draws of their errors before support.

    A draw passes the pre-test for the slopes in one interval, so that the power of every slope comes from
    the same draws and grows smoothly.
    """

    def __init__(
        self,
        effects: Effects,
        early: NDArray[np.bool_],
        mine: NDArray[np.bool_],
        draws: int,
        rng: np.random.Generator,
    ) -> None:
        from scipy.special import stdtrit

        time = effects.labels["event_time"].to_numpy(float, na_value=np.nan)
        late = mine & (time >= 0) & effects.labels["scale"].isin(_SHOWN).to_numpy()
        if not late.any():
            raise DesignError("pretrend_power: there is no effect after support began.")
        reference = effects.method.get("reference")
        reference = -1 - effects.method.get("anticipation", 0) if reference is None else reference
        self.labels = effects.labels[early].iloc[0]
        used = early | late
        self.counts = effects.counts[used].min()
        both = effects.select(used)
        pre, vcov = early[used], both.vcov
        self.lever = time[early] - reference
        self.after = float(np.mean(time[late] - reference))
        df = np.broadcast_to(np.asarray(both.df, float), (len(both),))[pre]
        limit = (stdtrit(df, 0.975) * both.std_error[pre])[:, None]
        self.errors = _normal(vcov[np.ix_(pre, pre)], draws, rng)
        ends = np.stack([(-limit - self.errors), (limit - self.errors)]) / self.lever[:, None]
        self.low, self.high = ends.min(0).max(0), ends.max(0).min(0)
        inverse = np.linalg.pinv(vcov[np.ix_(pre, pre)], hermitian=True)
        # The average effect moves with the errors before support as its regression on them says.
        self.pull = inverse @ vcov[np.ix_(pre, ~pre)].mean(1)

    def passed(self, slope: float) -> NDArray[np.bool_]:
        return np.asarray((self.low <= slope) & (slope <= self.high))

    def power(self, slope: float) -> float:
        return 1 - float(self.passed(slope).mean())

    def slope(self, power: float) -> float:
        """Find the slope that is detected with this power, by halving."""
        if self.power(0.0) >= power:
            raise DesignError(
                f"power={power}: the pre-test rejects more often than that where trends are parallel; ask "
                f"for more than {self.power(0.0):.2f}."
            )
        low, high = 0.0, float(np.abs(self.high[np.isfinite(self.high)]).max())
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if self.power(middle) < power else (low, middle)
        return high

    def row(self, slope: float) -> dict[str, Any]:
        passed, bias = self.passed(slope), slope * self.after
        shift = self.pull @ self.errors[:, passed]
        few = len(shift) < 2
        return {
            **{name: self.labels[name] for name in ("outcome", "scale", "unit")},
            "power": 1 - float(passed.mean()),
            "slope": slope,
            "bias": bias,
            "bias_if_passed": np.nan if few else bias + float(shift.mean()),
            "mc_error": np.nan if few else float(shift.std(ddof=1) / np.sqrt(len(shift))),
            "false_alarms": self.power(0.0),
            **{name: int(self.counts[name]) for name in ("persons", "treated", "events")},
        }
