"""Studies invented by a plan and analysed as real ones are: how often the analysis finds the change."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data import Cohort, Panel
from impact.did import estimate
from impact.errors import DesignError, ParameterError
from impact.interpret.planning import Plan
from impact.match import rate_ratio
from impact.results import Matched

Array = NDArray[np.float64]
OUTCOME = "contacts"


class Invented(NamedTuple):
    """Of invented studies the shares that find a fall, find a rise, and give no answer, and their number."""

    falls: float
    rises: float
    unanswered: float
    draws: int

    @property
    def error(self) -> float:
        """Standard error of the share that find a fall, never below that of one study more or less."""
        share = min(max(self.falls, 1 / self.draws), 1 - 1 / self.draws)
        return float(np.sqrt(share * (1 - share) / self.draws))


def invented(
    plan: Plan, ratio: float, *, draws: int = 200, seed: int = 0, starts: int = 1, **estimator: Any
) -> Invented:
    """Draw studies of a plan with a known effect and analyse each with the package's own estimator.

    Parameters
    ----------
    plan : Plan
    ratio : float
        The true rate ratio; 1 for no effect.
    draws, seed : int
    starts : int
        Months over which support starts, evenly; with more than one, people are followed month by month.
    **estimator
        Of ``did.estimate`` with ``before``: name and arguments, by default ``two_by_two`` with the plan's
        effects, or ``etwfe`` where starts differ.

    Raises
    ------
    ParameterError
        If starts differ and no months before support count, or buildings are compared after support alone,
        which no estimator here does.

    Examples
    --------
    >>> plan = Plan(rate=4, dispersion=1, people=60)
    >>> found = invented(plan, 0.5, draws=40, seed=1)
    >>> bool(abs(found.falls - float(plan.power(0.5))) < 4 * found.error)
    True
    """
    if plan.before == 0 and (starts > 1 or plan.buildings):
        raise ParameterError(
            "before: starts in several months, and buildings, are analysed by difference-in-differences; "
            "give the months before support that count."
        )
    rng = np.random.default_rng(seed)
    chosen = {"estimator": "etwfe"} if starts > 1 else {"estimator": "two_by_two", "effects": plan.effects}
    found = np.zeros(3)
    for _ in range(draws):
        try:
            if plan.before:
                effects = estimate(_panel(plan, ratio, rng, starts), outcome=OUTCOME, **estimator or chosen)
            else:
                effects = rate_ratio(_compared(plan, ratio, rng), outcome=OUTCOME)
        except DesignError:
            found[2] += 1
            continue
        row = effects.table[effects.table["scale"] == "log ratio"].iloc[0]
        if row["p_value"] < plan.level:
            found[int(row["estimate"] > 0)] += 1
    falls, rises, unanswered = (found / draws).tolist()
    return Invented(falls, rises, unanswered, draws)


class _People(NamedTuple):
    """Who is supported, (n,), in which building, and need before and after, (2, n), with mean 1."""

    supported: NDArray[np.bool_]
    building: NDArray[np.intp]
    need: Array


def _people(plan: Plan, rng: np.random.Generator) -> _People:
    """Two arms of people; need is the product of their own and of their building's."""
    sizes = [round(plan.people), round(plan.people * plan.ratio)]
    supported = np.repeat([True, False], sizes)
    need, building = plan.need, np.arange(sum(sizes))
    if plan.buildings:
        first, second = (max(round(groups), 1) for groups in plan.groups)
        parts = [_placed(rng, n, k, plan.size_cv) for n, k in zip(sizes, (first, second), strict=True)]
        building = np.concatenate([parts[0], first + parts[1]])
    # A product of two gamma variables varies by both variances and their product.
    own = need.own / (1 + need.shared)
    of_own = _lasting(rng, len(supported), own, need.own_lasts)
    of_buildings = _lasting(rng, int(building.max()) + 1, need.shared, need.shared_lasts)
    return _People(supported, building, of_own * of_buildings[:, building])


def _placed(rng: np.random.Generator, people: int, buildings: int, cv: float) -> NDArray[np.intp]:
    """Spread people over buildings: evenly, or with sizes that vary by ``cv``."""
    if cv == 0:
        return np.arange(people) % buildings
    shares = rng.gamma(1 / cv**2, size=buildings)
    return np.asarray(rng.choice(buildings, size=people, p=shares / shares.sum()))


def _lasting(rng: np.random.Generator, n: int, variance: float, lasts: float) -> Array:
    """Gamma variables before and after, (2, n), of mean 1, whose correlation is ``lasts``."""
    if variance == 0:
        return np.ones((2, n))
    shape = 1 / variance
    parts = [rng.gamma(shape * lasts, size=n), *rng.gamma(shape * (1 - lasts), size=(2, n))]
    return np.stack([parts[0] + parts[1], parts[0] + parts[2]]) / shape


def _followed(plan: Plan, n: int, rng: np.random.Generator) -> Array:
    """Years that each person is followed with support."""
    years = plan.months / 12
    if plan.attrition == 0:
        return np.full(n, years)
    return np.minimum(rng.exponential(-years / np.log1p(-plan.attrition), n), years)


def _compared(plan: Plan, ratio: float, rng: np.random.Generator) -> Cohort | Matched:
    """People after support began; matched ones share the part of their need in which they agree."""
    drawn = _people(plan, rng)
    n = len(drawn.supported)
    sets = np.concatenate([np.arange(round(plan.people)), np.arange(n - round(plan.people))])
    need = drawn.need[1]
    if plan.matched is not None:
        sets = sets % round(plan.people)
        shape = 1 / plan.dispersion
        agreed, own = (
            rng.gamma(plan.matched * shape, size=n)[sets],
            rng.gamma((1 - plan.matched) * shape, size=n),
        )
        need = (agreed + own) * plan.dispersion
    time = _followed(plan, n, rng)
    events = rng.poisson(plan.rate * np.where(drawn.supported, ratio, 1) * need * time)
    frame = pd.DataFrame({"supported": drawn.supported, OUTCOME: events, "months": 12 * time})
    cohort = Cohort.from_frame(frame, treated="supported", outcomes=[OUTCOME], exposure="months")
    if plan.matched is None:
        return cohort
    weight = np.where(drawn.supported, 1.0, 1 / plan.ratio)
    table = pd.DataFrame({"person_id": cohort.person_id, "weight": weight, "subclass": sets})
    return Matched(table, cohort, {"estimand": "ATT", "clusters": "matched set"}, pd.DataFrame())


def _panel(plan: Plan, ratio: float, rng: np.random.Generator, starts: int) -> Panel:
    """People before and after, or month by month where they start in different months."""
    drawn = _people(plan, rng)
    supported, n = drawn.supported, len(drawn.supported)
    years = _followed(plan, n, rng)
    if starts == 1:
        time = np.stack([np.full(n, plan.before / 12), years], axis=1)
        begins, after = np.ones(n, np.int64), np.array([[False, True]])
    else:
        # Whoever is never supported has a month, too, from which need is that of after.
        begins = round(plan.before) + rng.integers(starts, size=n)
        months = np.arange(round(plan.before) + starts - 1 + round(plan.months))
        after = months >= begins[:, None]
        since = 12 * years[:, None] - (months - begins[:, None])
        left = np.where(after, np.clip(since, 0, 1), 1.0)
        time = np.where(months < begins[:, None] + round(plan.months), left, 0.0) / 12
    helped = after & supported[:, None]
    need = np.where(after, drawn.need[1][:, None], drawn.need[0][:, None])
    events = rng.poisson(plan.rate * need * np.where(helped, ratio, 1.0) * time).astype(float)
    T = time.shape[1]
    return Panel(
        unit=np.arange(n),
        periods=pd.RangeIndex(T),
        outcomes={OUTCOME: events},
        exposure={OUTCOME: 12 * time},
        start=np.where(supported, begins, T),
        treated=supported,
        covariates=pd.DataFrame(index=range(n)),
        cluster=drawn.building,
        weights=np.ones(n),
        arm=np.where(supported, "supported", "control"),
    )
