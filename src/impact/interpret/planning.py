"""Before a study: the smallest change it can find, how many people that takes, and when not to do it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.errors import ParameterError, together
from impact.numbers.power import (
    FollowUp,
    Need,
    after_only,
    change_by_arm,
    change_by_person,
    follow_up,
    power,
)
from impact.results import Summary

Array = NDArray[np.float64]

# Of buildings 4 against 4 are the least with which even a test by lot can come out at 5% (2 of 70 ways), and
# no error was measured with fewer (docs/recovery-sites.md). Of fewer than 10 people nothing may be shown
# under the strictest rule for small numbers, and fewer than 20 groups are weak evidence at best.
FEWEST = {"buildings": 4, "people": 10}
OFTEN, MORE_OFTEN = 0.8, 0.9
FALLS = (0.1, 0.2, 0.3)
# Changes that are looked through for the smallest that is found: falls to a hundredth, rises to ten times.
_RATIOS = {"fall": np.exp(-np.linspace(0.002, 4.6, 400)), "rise": np.exp(np.linspace(0.002, 2.3, 200))}
_TIMES = (1e-3, 1e5)
_SIZES = (0.5, 1.0, 2.0)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A study that has not been done: its people, and what is assumed of them.

    Parameters
    ----------
    rate : float
        Events a person a year without support.
    dispersion : float
        How much people differ: the variance of a count with mean ``m`` is ``m + dispersion x m^2``. 0 is
        Poisson; it is one over the shape (``k``, R's ``theta``) of a negative binomial.
    people : float
        In each supported arm.
    months : float
        Followed with support.
    before : float
        Months before support that count; 0 compares the arms after it began alone.
    stability : float, optional
        With ``before``: how far people's need before foretells that after, from 0 to 1 (the correlation of
        need, not of counts).
    attrition : float
        Share of people lost by the end, at a constant rate.
    arms : int
        With the comparison arm. Each supported arm is compared with it, and the level shared (Bonferroni, the
        first step of Holm).
    ratio : float
        People in the comparison arm for each in a supported arm.
    matched : float, optional
        Share of the differences in need in which matched people agree: sets of one supported person and
        ``ratio`` controls. It needs ``before=0``.
    buildings : float, optional
        In all arms; support goes to whole buildings. Without it people are independent.
    icc : float, optional
        With ``buildings``: correlation of the counts of two people of one building over ``months``.
    size_cv : float
        Standard deviation of the numbers of people in buildings, over their mean.
    building_stability : float, optional
        As ``stability``, of what a building's people share; that of people without it.
    effects : 'person' or 'arm'
        With ``before``: the effects of the planned Poisson model.

    Examples
    --------
    >>> plan = Plan(rate=0.35, dispersion=1.4, people=200)
    >>> round(plan.smallest("fall"), 2), round(float(plan.power(0.8)), 2), plan.needed(0.8)
    (0.51, 0.18, 1456)
    """

    rate: float
    dispersion: float
    people: float
    months: float = 12
    before: float = 0
    stability: float | None = None
    attrition: float = 0
    arms: int = 2
    ratio: float = 1
    matched: float | None = None
    buildings: float | None = None
    icc: float | None = None
    size_cv: float = 0
    building_stability: float | None = None
    effects: Literal["person", "arm"] = "person"

    def __post_init__(self) -> None:
        problems = [
            f"{field.name}: {value:g} is not possible; give {said}."
            for field in fields(self)
            if field.name in _POSSIBLE and (value := getattr(self, field.name)) is not None
            for possible, said in [_POSSIBLE[field.name]]
            if not possible(value)
        ]
        problems += [said for wrong, said in self._conflicts() if wrong]
        if not problems and self.buildings and self.need.own < 0:
            problems = [
                f"icc: {self.icc:g} says that buildings differ more than people do with "
                f"dispersion={self.dispersion:g}; give at most {self._largest_icc:.2g}, or more dispersion."
            ]
        if problems:
            raise ParameterError(together(problems))

    def _conflicts(self) -> list[tuple[bool, str]]:
        size = self.everyone / self.buildings if self.buildings else np.inf
        return [
            (
                self.before > 0 and self.stability is None,
                "stability: missing, and months before support were given; how far does need before foretell "
                "need after, from 0 to 1? 1 is the best that can be; data of your own say "
                "(impact plan with a parameter file).",
            ),
            (
                self.before == 0 and self.stability is not None,
                "stability: without months before support it says nothing; give before, or leave it out.",
            ),
            (
                self.matched is not None and self.before > 0,
                "matched: matched people are planned for a comparison after support began; leave out before.",
            ),
            (
                (self.buildings is None) != (self.icc is None),
                "buildings, icc: give both, or neither where people are independent.",
            ),
            (
                self.matched is not None and self.buildings is not None,
                "matched: sets of people from several buildings cannot be planned with buildings.",
            ),
            (size < 1, f"buildings: {self.buildings} are more than the {self.everyone:g} people."),
        ]

    @property
    def everyone(self) -> float:
        """People in all arms."""
        return self.people * (self.arms - 1 + self.ratio)

    @property
    def time(self) -> FollowUp:
        """Years of follow-up with support, and the shares of people followed so long."""
        return follow_up(self.months / 12, self.attrition)

    @property
    def need(self) -> Need:
        """How people's need differs, and what of it their buildings share."""
        shared = (self.icc or 0.0) * (12 / (self.rate * self.months) + self.dispersion)
        lasts = 1.0 if self.stability is None else self.stability
        of_buildings = lasts if self.building_stability is None else self.building_stability
        return Need(self.dispersion - shared, shared, lasts, of_buildings)

    @property
    def _largest_icc(self) -> float:
        return self.dispersion / (12 / (self.rate * self.months) + self.dispersion)

    @property
    def unit(self) -> str:
        """What is independent of each other: 'buildings' or 'people'."""
        return "buildings" if self.buildings else "people"

    @property
    def mates(self) -> float:
        """Further people of the same building that a person has, averaged over people."""
        if not self.buildings:
            return 0.0
        return self.everyone / self.buildings * (1 + self.size_cv**2) - 1

    @property
    def groups(self) -> tuple[float, float]:
        """How many independent groups (buildings, or people) a supported and the comparison arm have."""
        if not self.buildings:
            return float(self.people), self.people * self.ratio
        supported = self.buildings * self.people / self.everyone
        return supported, supported * self.ratio

    @property
    def level(self) -> float:
        """Level of each comparison with the comparison arm."""
        return 0.05 / (self.arms - 1)

    def error(self, ratio: float) -> float:
        """Standard error of the logarithm of the rate ratio, if that is the truth."""
        return float(np.sqrt(sum(self._variances(ratio))))

    def df(self, ratio: float) -> float:
        """Degrees of freedom of the test: those of CR2 (Satterthwaite), below the groups less 1 of CR1.

        With few buildings CR1 finds effects where there are none; a plan does not count on that. Of matched
        people the groups are sets, and all is within them.
        """
        if self.matched is not None:
            return self.people - 1.0
        each = np.array(self._variances(ratio))
        return float(each.sum() ** 2 / (each**2 / np.maximum(np.array(self.groups) - 1, 1e-9)).sum())

    def _variances(self, ratio: float) -> tuple[float, float]:
        """Of the logarithm of the supported arm's rate, or its change, and of the comparison's."""
        supported, control = (self._variance(self.rate * r) for r in (ratio, 1.0))
        return supported / self.people, control / (self.people * self.ratio)

    def _variance(self, rate: float) -> float:
        if self.before == 0:
            return after_only(rate, self.time, self.need, mates=self.mates, alike=self.matched or 0.0)
        change = change_by_person if self.effects == "person" else change_by_arm
        return change(self.rate * self.before / 12, rate, self.time, self.need, mates=self.mates)

    def power(self, ratios: float | Sequence[float] | Array) -> Array:
        """How often a study like this finds each rate ratio, in its direction."""
        given = np.atleast_1d(np.asarray(ratios, float))
        errors, df = ([f(r) for r in given] for f in (self.error, self.df))
        found = power(np.log(given), errors, df, self.level)
        return found.reshape(np.shape(ratios))

    def smallest(self, change: Literal["fall", "rise"], often: float = OFTEN) -> float:
        """The rate ratio nearest to 1 that is found so often; missing where none is."""
        from scipy.optimize import brentq

        ratios = _RATIOS[change]
        enough = np.flatnonzero(self.power(ratios) >= often)
        if not len(enough):
            return float("nan")
        first = int(enough[0])
        if first == 0:
            return float(ratios[0])
        return float(brentq(lambda r: float(self.power(r)) - often, ratios[first], ratios[first - 1]))

    def times(self, factor: float) -> Plan:
        """The same study so many times as large, in buildings of the same size."""
        buildings = self.buildings * factor if self.buildings else None
        return replace(self, people=self.people * factor, buildings=buildings)

    def needed(self, ratio: float, often: float = OFTEN) -> int | None:
        """People in each supported arm that find a rate ratio so often; None where no number does."""
        from scipy.optimize import brentq

        least = max(_TIMES[0], FEWEST[self.unit] / min(self.groups))

        def short(log_times: float) -> float:
            return float(self.times(float(np.exp(log_times))).power(ratio)) - often

        low, high = np.log(least), np.log(_TIMES[1])
        if short(low) >= 0:
            return int(np.ceil(self.people * least))
        if short(high) < 0:
            return None
        return int(np.ceil(self.people * np.exp(brentq(short, low, high, xtol=1e-6))))

    def events(self, ratio: float = 1.0) -> float:
        """Events expected in a supported arm with support."""
        return self.people * self.rate * ratio * self.time.mean(self.time.times)

    @property
    def refusal(self) -> str:
        """Why such a study should not be done; nothing where it may be."""
        fewest = min(self.groups)
        if fewest < FEWEST[self.unit]:
            more = {
                "buildings": "with fewer than 4 against 4, no way to deal out support looks unusual.",
                "people": "results of fewer than 10 people are withheld by rule, and of fewer than 20 in all "
                "even a clear one is weak evidence.",
            }
            return (
                f"With {fewest:g} {self.unit} in an arm nothing can be told: what so few do is as likely to "
                f"be chance as support; {more[self.unit]}"
            )
        if np.isnan(self.smallest("fall")):
            return (
                "By the planned analysis no fall, however large, would be found four times in five: "
                f"without support {self.events():.1f} events are expected in an arm, and after a large fall "
                "too few are left to compare."
            )
        return ""


_POSSIBLE: dict[str, tuple[Callable[[float], bool], str]] = {
    **dict.fromkeys(("rate", "months", "ratio"), (lambda v: 0 < v < np.inf, "a number above 0")),
    **dict.fromkeys(("dispersion", "before", "size_cv"), (lambda v: 0 <= v < np.inf, "0 or more")),
    **dict.fromkeys(("stability", "building_stability"), (lambda v: 0 <= v <= 1, "a number from 0 to 1")),
    **dict.fromkeys(("attrition", "icc", "matched"), (lambda v: 0 <= v < 1, "a share from 0 to under 1")),
    **dict.fromkeys(("people", "buildings"), (lambda v: 0 < v < np.inf, "a number above 0")),
    "arms": (lambda v: v >= 2 and v == int(v), "2 or more"),
}


def planned(plan: Plan, *, outcome: str = "contacts") -> dict[str, Summary]:
    """What a study of this plan can find of an outcome, as results to be released.

    Returns
    -------
    dict
        ``found``: the smallest fall and rise that are found four times in five and nine times in ten, as per
        cent, ratio, rates per 1,000 people a year and events in a supported arm. ``needed``: people an arm
        for falls of 10, 20 and 30 per cent, rounded up. ``curves``: how often each fall is found with half
        as many people, as many, and twice as many. It follows from the plan alone: nothing is a person's.

    Examples
    --------
    >>> found = planned(Plan(rate=0.35, dispersion=1.4, people=200))["found"].table
    >>> found.loc[found["often"] == 0.8, ["change", "percent"]].round().values.tolist()
    [['fall', -49.0], ['rise', 71.0]]
    """
    rows = [
        {"change": change, "often": often, **_found(plan, plan.smallest(change, often))}
        for change in ("fall", "rise")
        for often in (OFTEN, MORE_OFTEN)
    ]
    needed = [
        {
            "percent": -100 * fall,
            "found": float(plan.power(1 - fall)),
            **{
                f"an_arm_{100 * often:.0f}": _up(plan.needed(1 - fall, often))
                for often in (OFTEN, MORE_OFTEN)
            },
        }
        for fall in FALLS
    ]
    falls = np.arange(0, 61) / 100
    curves = [
        pd.DataFrame({"an_arm": round(size * plan.people), "percent": -100 * falls, "found": found})
        for size in _SIZES
        for found in [np.append(plan.times(size).level / 2, plan.times(size).power(1 - falls[1:]))]
    ]
    said = {"outcome": [outcome], "an_arm": plan.people, "ratio": plan.ratio, "months": plan.months}
    return {
        "found": Summary(pd.DataFrame(rows), {"shows": "smallest change found", **said}),
        "needed": Summary(pd.DataFrame(needed), {"shows": "how many it takes", **said}),
        "curves": Summary(pd.concat(curves, ignore_index=True), {"shows": "power curves", **said}),
    }


def _up(people: int | None) -> float:
    """Round up to two figures: a plan is not known to the last person."""
    if people is None:
        return float("nan")
    step = 10 ** max(len(str(people)) - 2, 0)
    return float(-(-people // step) * step)


def _found(plan: Plan, ratio: float) -> dict[str, float]:
    years = plan.people * plan.time.mean(plan.time.times)
    return {
        "percent": 100 * (ratio - 1),
        "ratio": ratio,
        "without_support": 1000 * plan.rate,
        "with_support": 1000 * plan.rate * ratio,
        "in_an_arm": plan.rate * (ratio - 1) * years,
    }
