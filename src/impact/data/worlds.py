"""Three worlds of supported tenants, and the truth in them.

Everyone has a daily intensity for each service: a base rate, times age, long-term conditions, deprivation
and building, times a gamma frailty shared by all services and one of the service's own, times a calendar
shape (season and trend) common to all. Support multiplies it by the effect from the day of start. Contacts
are Poisson given that intensity, so counts over people are over-dispersed and correlated within a person.
Because every factor is known, so is the number of contacts each supported person would be expected to have
had with and without support over the time they really lived there: that is the truth.

``randomised``
    Support is given by lot.
``selection``
    Needier people are likelier to be supported; their need is stable.
``crisis``
    Some selection on need, and support follows a crisis: in the ``PEAK_DAYS`` days before it starts a
    person's contacts jump to ``1 + peak`` times their usual and fall back to it by the day of start,
    whether or not support comes. People not yet supported have their crisis before their own start.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data.contract import DAYS_PER_MONTH
from impact.errors import ParameterError, nearest, together

World = Literal["randomised", "selection", "crisis"]
Array = NDArray[np.float64]
Days = NDArray[np.int64]

FIRST = np.datetime64("2022-07-01")
DAYS = int((np.datetime64("2025-07-01") - FIRST).astype(int))
STARTS = (np.datetime64("2023-10-01"), np.datetime64("2024-09-30"))
PEAK_DAYS = 90  # Reaches back three calendar months and no further, whatever the day of start.
PEAK_MONTHS = 3
NEVER = 10**6
# Family Mosaic's trial arms (Cheshire et al. 2018), scaled to 1,200 people; the rest is the wider pool.
ARMS = {"control": 186 / 1200, "signposting": 172 / 1200, "hand_holding": 174 / 1200}
SUPPORTED = ("signposting", "hand_holding")
# How strongly the chance of support follows need: the weight of a person is need to this power.
SELECTION: dict[World, float] = {"randomised": 0.0, "selection": 0.6, "crisis": 0.25}
LONGEST_STAY = 120


@dataclass(frozen=True)
class Service:
    """One service: contacts a month, shape of its own frailty, winter amplitude, crisis, effect of support.

    ``missed`` is the number of missed or cancelled appointments for each that took place; ``nights`` the
    mean and size of the negative binomial length of stay.
    """

    rate: float
    shape: float
    season: float
    peak: float
    effect: float
    missed: float
    source: str
    last: np.datetime64 = FIRST + DAYS - 1
    nights: tuple[float, float] = (0.0, 1.0)


SERVICES = {
    # The general-practice extract is made while its last month is still coming in: coverage ends before it.
    "gp": Service(0.60, 3.0, 0.06, 1.0, 1.05, 0.05, "GP record", np.datetime64("2025-05-31")),
    "ae": Service(0.05, 1.5, 0.05, 3.0, 0.80, 0.02, "ECDS"),
    "outpatient": Service(0.20, 1.0, 0.00, 1.0, 1.00, 0.09, "HES OP"),
    "emergency_admission": Service(0.025, 1.5, 0.12, 3.0, 0.70, 0.0, "HES APC", nights=(6.0, 0.8)),
    "elective_admission": Service(0.02, 1.0, 0.00, 0.0, 1.00, 0.04, "HES APC", nights=(1.5, 0.4)),
}
STAYS = tuple(name for name, service in SERVICES.items() if service.nights[0])
OUTCOMES = (*SERVICES, "bed_days")


@dataclass(frozen=True, eq=False)
class Population:
    """People before any contact is drawn; days count from ``FIRST`` and intervals exclude their end.

    ``rates`` (n, services) are untreated daily intensities without calendar shape; ``start`` is ``NEVER``
    for people never supported; ``enter`` and ``leave`` bound tenancy and life.
    """

    people: pd.DataFrame
    rates: Array
    start: Days
    enter: Days
    leave: Days
    died: Days
    eligible: NDArray[np.bool_]
    effects: Array
    world: World

    @property
    def supported(self) -> NDArray[np.bool_]:
        """Whether the person ever gets support and may be studied."""
        return (self.start < NEVER) & self.eligible

    @property
    def studied(self) -> NDArray[np.bool_]:
        """Who takes part in a study: of the supported arms, those whose support began."""
        waiting = np.isin(self.people["arm"], SUPPORTED) & (self.start == NEVER)
        return np.asarray(self.eligible & ~waiting)


def population(
    rng: np.random.Generator,
    *,
    people: int = 1200,
    world: World = "crisis",
    effects: Mapping[str, float] | None = None,
    buildings: int = 40,
) -> Population:
    """Draw the people: who they are, how much care they need, when they leave, and who gets support when."""
    ratios = _check(people, world, effects, buildings)
    age = 50 + 45 * rng.beta(1.3, 2.2, people)
    frailty = rng.gamma(2.0, 1 / 2.0, people)
    ltc = np.minimum(rng.poisson(1.4 * frailty**0.6), 10)
    decile = 1 + rng.binomial(9, 0.25, people)
    building = rng.integers(buildings, size=people)
    need = frailty * np.exp(
        0.02 * (age - 66.7) - 0.03 * (decile - 3.25) + rng.normal(0, 0.15, buildings)[building]
    )
    own = np.column_stack([rng.gamma(s.shape, 1 / s.shape, people) for s in SERVICES.values()])
    rates = need[:, None] * own * [s.rate / DAYS_PER_MONTH for s in SERVICES.values()]

    tenancy = np.floor(200 - rng.exponential(3650, people)).astype(np.int64)
    yearly = 0.012 * frailty * np.exp(0.09 * (age - 66.7))
    died = np.floor(365.25 * rng.exponential(1 / yearly)).astype(np.int64)
    moved = np.floor(365.25 * rng.exponential(1 / 0.04, people)).astype(np.int64)
    tenancy = np.minimum(tenancy, died - 1)
    moved = np.where((moved > tenancy) & (moved < np.minimum(died, DAYS)), moved, NEVER)

    first, last = ((d - FIRST).astype(int) for d in STARTS)
    offered_start = rng.integers(first, last + 1, people)
    arm = _arms(rng, need ** SELECTION[world])
    # Who dies or moves before the day keeps the arm and never starts: were places filled only by people who
    # stay, those left over would be leavers more often than the supported.
    gone = np.minimum(died, moved)
    supported = np.isin(arm, SUPPORTED) & (offered_start < gone)
    start = np.where(supported, offered_start, NEVER)
    in_trial = (arm != "pool") if world == "randomised" else np.isin(arm, SUPPORTED)
    offered = offered_start - rng.integers(7, 36, people)
    offer = np.where(in_trial & (offered < gone), offered, NEVER)
    linked, consent, opt_out = rng.random((3, people)) < [[0.97], [0.96], [0.02]]
    frame = pd.DataFrame(
        {
            "person_id": np.char.mod("T%07d", np.arange(1, people + 1)),
            "arm": pd.Categorical(arm),
            "offer_date": _date(offer),
            "start_date": _date(start),
            "tenancy_start": _date(tenancy),
            "tenancy_end": _date(moved),
            "moved_out": _date(moved),
            "died": _date(np.where(died < DAYS, died, NEVER)),
            "linked": linked,
            "consent": consent,
            "opt_out": opt_out,
            "birth_month": (np.datetime64("2024-01", "M") - np.floor(12 * age).astype(int)).astype(str),
            "sex": _words(rng, people, {"f": 0.56, "m": 0.415, "unknown": 0.025}),
            "ethnicity": _words(
                rng, people,
                {"white": 0.56, "black": 0.22, "asian": 0.1, "mixed": 0.03, "other": 0.04, "unknown": 0.05},
            ),
            "imd_decile": decile,
            "ltc_n": ltc,
            "tenure": _words(rng, people, {"general needs": 0.85, "sheltered": 0.15}),
            "building_id": _categories(building, [f"B{b:04d}" for b in range(1, buildings + 1)]),
            "household_id": np.char.mod("H%07d", rng.integers(1, 2 * people + 2, people)),
            "officer_id": _categories(
                np.where(supported, building % 12, -1), [f"W{o:02d}" for o in range(1, 13)]
            ),
        }
    )  # fmt: skip
    leave = np.minimum(gone + 1, DAYS)  # The day of leaving is still a day at risk.
    eligible = linked & consent & ~opt_out
    return Population(frame, rates, start, np.maximum(tenancy, 0), leave, died, eligible, ratios, world)


def expected(
    drawn: Population, *, outcome: str, begin: Days | int, end: Days | int
) -> tuple[Array, Array, Array]:
    """Return each person's expected events with and without support, and months at risk, from begin to end.

    ``begin`` and ``end`` are days since ``FIRST``, one for all or one a person; time outside tenancy, life
    and coverage of the service does not count. Nights of stays that overlap count once.

    Examples
    --------
    >>> drawn = population(np.random.default_rng(1), people=300, world="randomised", effects={"ae": 0.5})
    >>> o, m, months = expected(drawn, outcome="ae", begin=drawn.start, end=DAYS)
    >>> bool(np.allclose(o, 0.5 * m)), bool((months[~drawn.supported & drawn.eligible] == 0).all())
    (True, True)
    """
    services = STAYS if outcome == "bed_days" else (outcome,)
    observed = min(int((SERVICES[s].last - FIRST).astype(int)) + 1 for s in services)
    end = np.clip(end, 0, np.minimum(drawn.leave, observed))
    begin = np.minimum(np.maximum(begin, drawn.enter), end)
    start = np.minimum(drawn.start, DAYS)
    late = np.clip(start, begin, end)
    without, effect = np.zeros(len(end)), np.zeros(len(end))
    for name in services:
        number, peak = OUTCOMES.index(name), SERVICES[name].peak * (drawn.world == "crisis")
        if outcome == "bed_days":
            nights, crisis = _nights(name), _crisis_nights(name)
            usual = nights[0, end] - nights[0, begin]
            since = nights[start, end] - nights[start, late]
            high, low = (np.clip(d - drawn.start + PEAK_DAYS, 0, len(crisis) - 1) for d in (end, begin))
        else:
            shape, crisis = calendar_shape(name), crisis_shape()
            usual, since = shape[end] - shape[begin], shape[end] - shape[late]
            high, low = (np.clip(drawn.start - d, 0, PEAK_DAYS) for d in (begin, end))
        rate = drawn.rates[:, number]
        without += rate * (usual + peak * (crisis[high] - crisis[low]))
        effect += rate * (drawn.effects[number] - 1) * since
    days = (end - begin).astype(float)
    if outcome == "bed_days":
        # Admissions are Poisson, so the chance of being in hospital on a night is one minus the exponential
        # of the expected number of open stays, which hardly varies over one person's window.
        with np.errstate(invalid="ignore", divide="ignore"):
            merged = [
                np.where(days > 0, -days * np.expm1(-n / days), 0.0) for n in (without + effect, without)
            ]
        return merged[0], merged[1], days / DAYS_PER_MONTH
    return without + effect, without, days / DAYS_PER_MONTH


def truth(drawn: Population, *, seed: int | None = None) -> dict[str, Any]:
    """Return the effect on the supported over the time they really lived under support, in totals only.

    For each outcome ``O`` events expected with support, ``M`` without, over ``P`` person-months;
    ``rate_ratio`` O/M, ``difference_per_1000_person_months`` 1000 (O - M)/P and ``events_avoided`` M - O.
    They stand for three windows: ``to_study_end`` (from the day of start), ``first_12_months`` of that, and
    ``calendar_months`` (the same to the study's end, but from the first day of the month of start, as an
    analysis by calendar month counts it); and in ``arms`` for each supported arm.
    """
    start = np.minimum(drawn.start, DAYS)
    date = FIRST + start
    month = date.astype("datetime64[M]")
    year = (month + 12).astype("datetime64[D]") + (date - month.astype("datetime64[D]"))
    windows = {
        "to_study_end": (start, np.full_like(start, DAYS)),
        "first_12_months": (start, (year - FIRST).astype(np.int64)),
        "calendar_months": (
            (month.astype("datetime64[D]") - FIRST).astype(np.int64),
            np.full_like(start, DAYS),
        ),
    }
    groups = {"": drawn.supported}
    groups |= {a: drawn.supported & (drawn.people["arm"] == a).to_numpy() for a in SUPPORTED}
    found: dict[str, dict[str, dict[str, dict[str, float]]]] = {g: {w: {} for w in windows} for g in groups}
    for window, (begin, end) in windows.items():
        for outcome in OUTCOMES:
            each = expected(drawn, outcome=outcome, begin=begin, end=end)
            for group, members in groups.items():
                found[group][window][outcome] = _scales(*(float(v[members].sum()) for v in each))
    return {
        "world": drawn.world,
        "seed": seed,
        "people": len(drawn.start),
        "study_window": [str(FIRST), str(FIRST + DAYS - 1)],
        "starts": [str(d) for d in STARTS],
        "anticipation_months": PEAK_MONTHS if drawn.world == "crisis" else 0,
        "effects": dict(zip(SERVICES, drawn.effects.tolist(), strict=True)),
        **found.pop(""),
        "arms": found,
    }


def _check(people: int, world: str, effects: Mapping[str, float] | None, buildings: int) -> Array:
    problems = []
    if world not in get_args(World):
        problems.append(
            f"world={world!r}: choose one of {', '.join(get_args(World))}.{nearest(world, get_args(World))}"
        )
    if people < 100:
        problems.append(f"people={people}: at least 100 are needed for three arms and a pool.")
    if buildings < 1:
        problems.append(f"buildings={buildings}: at least 1 is needed.")
    ratios = {name: service.effect for name, service in SERVICES.items()}
    for name, value in (effects or {}).items():
        if name not in ratios:
            hint = (
                " It follows from the two kinds of admission."
                if name == "bed_days"
                else nearest(name, ratios)
            )
            problems.append(f"effects: {name!r} is not one of {', '.join(ratios)}.{hint}")
        elif not (math.isfinite(value) and value >= 0):
            problems.append(f"effects[{name!r}]={value}: a rate ratio is a number of at least 0.")
        else:
            ratios[name] = float(value)
    if problems:
        raise ParameterError(together(problems))
    return np.array(list(ratios.values()))


def _arms(rng: np.random.Generator, weight: Array) -> NDArray[Any]:
    # Adding Gumbel noise to log weights and taking the largest draws people without replacement, with
    # chances by weight, in one sort.
    order = np.argsort(-(np.log(weight) + rng.gumbel(size=len(weight))))
    sizes = {name: round(share * len(weight)) for name, share in ARMS.items()}
    wanted = sum(sizes[name] for name in SUPPORTED)
    rest = rng.permutation(order[wanted:])
    arm = np.full(len(weight), "pool", dtype="<U12")
    arm[order[:wanted]] = rng.permutation(np.repeat(SUPPORTED, [sizes[name] for name in SUPPORTED]))
    arm[rest[: sizes["control"]]] = "control"
    return arm


@lru_cache
def calendar_shape(name: str) -> Array:
    """Cumulative calendar shape of a service over days: winter peak in mid-January, growth of 2% a year."""
    year = np.arange(DAYS) / 365.25
    january = (np.datetime64("2023-01-15") - FIRST).astype(int) / 365.25
    daily = (1 + SERVICES[name].season * np.cos(2 * np.pi * (year - january))) * 1.02**year
    return np.concatenate([[0.0], np.cumsum(daily)])


@lru_cache
def crisis_shape() -> Array:
    """Cumulative shape of the crisis over days before the start: it begins high and fades to nothing."""
    return np.concatenate([[0.0], np.cumsum(((np.arange(PEAK_DAYS) + 0.5) / PEAK_DAYS) ** 2)])


@lru_cache
def stay_lengths(name: str) -> Array:
    """Probabilities of stays of 0, 1, ... nights: negative binomial, the longest cut off."""
    mean, size = SERVICES[name].nights
    k = np.arange(LONGEST_STAY + 1)
    log = [math.lgamma(i + size) - math.lgamma(i + 1) + i * math.log(mean / (mean + size)) for i in k]
    p = np.exp(log)
    return np.asarray(p / p.sum())


@lru_cache
def _mean_nights(name: str) -> Array:
    """Expected nights in the first 0, 1, ... nights after admission."""
    longer = 1 - np.cumsum(stay_lengths(name))
    nights = np.concatenate([[0.0], np.cumsum(longer)])
    return np.concatenate([nights, np.full(DAYS + PEAK_DAYS, nights[-1])])


@lru_cache
def _nights(name: str) -> Array:
    """Expected nights before day x from admissions on day s or later, (days + 1, days + 1)."""
    day = np.arange(DAYS + 1)
    daily = np.append(np.diff(calendar_shape(name)), 0.0)
    table = daily[:, None] * _mean_nights(name)[np.maximum(day[None, :] - day[:, None], 0)]
    return np.asarray(np.cumsum(table[::-1], axis=0)[::-1])


@lru_cache
def _crisis_nights(name: str) -> Array:
    """Expected nights, by days since the crisis began, from the admissions it brings."""
    since = np.arange(PEAK_DAYS + LONGEST_STAY + 1)
    before_start = np.arange(PEAK_DAYS) + 1
    nights = _mean_nights(name)[np.maximum(since[:, None] - PEAK_DAYS + before_start, 0)]
    return np.asarray(nights @ np.diff(crisis_shape()))


def _scales(o: float, m: float, months: float) -> dict[str, float]:
    known = {
        "O": o,
        "M": m,
        "P": months,
        "rate_ratio": o / m,
        "difference_per_1000_person_months": 1000 * (o - m) / months,
        "events_avoided": m - o,
    }
    return {key: round(value, 6) for key, value in known.items()}


def _date(day: Days) -> NDArray[np.datetime64]:
    return np.where(day < NEVER, FIRST + np.minimum(day, NEVER), np.datetime64("NaT")).astype("datetime64[s]")


def _words(rng: np.random.Generator, n: int, shares: Mapping[str, float]) -> Any:
    return _categories(rng.choice(len(shares), size=n, p=list(shares.values())), list(shares))


def _categories(codes: NDArray[Any], names: list[str]) -> Any:
    return pd.Categorical.from_codes(pd.Index(codes), categories=pd.Index(names))
