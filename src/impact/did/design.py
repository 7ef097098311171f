"""Who is compared with whom: the checks and words that all difference-in-differences share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data.panel import Panel
from impact.did.scales import unit_of
from impact.errors import DataError, DesignError, ParameterError, nearest, together
from impact.results import Effects

Array = NDArray[np.float64]
FEW_EVENTS = 10
_BY_ARM = ", or use effects='arm' of two_by_two"


class Parts:
    """Estimates and the columns of their root, gathered one by one; there may be at most ``room`` of them."""

    def __init__(self, clusters: NDArray[Any], room: int) -> None:
        self.clusters = clusters
        self.labels: list[dict[str, Any]] = []
        self.estimate: list[float] = []
        self.counts: list[dict[str, int]] = []
        # Each column goes straight to its place, so that the root never exists twice; rows of the array are
        # columns of the root, and those that are not used are never touched.
        self._root = np.empty((room, len(clusters)))

    def add(self, label: dict[str, Any], estimate: float, root: Array, counts: dict[str, int]) -> None:
        """Add one estimate with its column of the root."""
        self._root[len(self.labels)] = root
        self.labels.append(label)
        self.estimate.append(estimate)
        self.counts.append(counts)

    def add_scales(
        self, name: str, per: str, values: Mapping[str, float], root: Array, counts: dict[str, int]
    ) -> None:
        """Add one effect on the three scales; ``root`` has a column a scale."""
        for (scale, value), column in zip(values.items(), root.T, strict=True):
            label = {"outcome": name, "term": "effect", "scale": scale, "unit": unit_of(scale, per)}
            self.add(label, value, column, counts)

    def effects(self, method: dict[str, Any], used: Sequence[int]) -> Effects:
        """Join what was gathered; ``used`` are the clusters at risk for each outcome."""
        return Effects(
            labels=in_columns(self.labels),
            estimate=np.array(self.estimate),
            root=self._root[: len(self.labels)].T,
            clusters=self.clusters,
            df=min(used) - 1,
            method={**method, "clusters": min(used), "seed": None},
            counts=pd.DataFrame(self.counts)[["persons", "treated", "clusters", "events"]],
        )


def in_columns(labels: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return labels as a table; rows without a period (shares, events) do not turn years into floats."""
    out = pd.DataFrame(labels)
    for name in out.columns.intersection(["group", "period", "event_time"]):
        if pd.api.types.is_float_dtype(out[name]) and (out[name].dropna() % 1 == 0).all():
            out[name] = out[name].astype("Int64")
    return out


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Refuse a word that is not one of the choices."""
    if value not in choices:
        known = ", ".join(repr(c) for c in choices)
        raise ParameterError(f"{name}={value!r}: choose from {known}.{nearest(str(value), choices)}")


def period_name(period: Any) -> str:
    """Return a period as readers write it: the month of a date, and anything else as it is.

    Examples
    --------
    >>> import pandas as pd
    >>> period_name(pd.Timestamp("2024-11-01")), period_name(2004)
    ('2024-11', '2004')
    """
    if isinstance(period, pd.Timestamp | np.datetime64):
        stamp = pd.Timestamp(period)
        return f"{stamp:%Y-%m}" if stamp.day == 1 else f"{stamp:%Y-%m-%d}"
    return str(period)


def people(count: int) -> str:
    """Return a number of people fit for a note: to the nearest 5, and never a small one.

    Examples
    --------
    >>> people(3), people(1218)
    ('fewer than 10 people', 'about 1,220 people')
    """
    return "fewer than 10 people" if count < 10 else f"about {5 * round(count / 5):,} people"


def start_positions(panel: Panel) -> NDArray[np.int64]:
    """Position of each person's first supported period; on the event clock, of event time 0."""
    if panel.clock == "calendar":
        return panel.start
    never = len(panel.periods)
    zero = int((panel.periods.to_numpy() < 0).sum())
    return np.where(panel.treated, zero, never).astype(np.int64)


def leave_out_early(panel: Panel, start: NDArray[np.int64]) -> tuple[Panel, NDArray[np.int64], list[str]]:
    """Leave out people supported in every period, who show no change; return who stays, starts and notes."""
    early = start <= 0
    if not early.any():
        return panel, start, list(panel.notes)
    if not (start[~early] < len(panel.periods)).any():
        raise DesignError(
            "everyone treated was treated before the window or in its first period, so nobody has a before "
            "and after; begin the window earlier."
        )
    note = (
        f"Left out: {people(int(early.sum()))} whose support began before the window or in its first period."
    )
    return panel.subset(~early), start[~early], [*panel.notes, note]


def staggered(
    panel: Panel, names: Sequence[str], *, estimator: str, anticipation: int
) -> tuple[Panel, list[str]]:
    """Return the people an estimator for several starts can use, sorted by start, and notes on who it cannot.

    Raises
    ------
    DesignError
        On the event clock, or if there are no two arms to compare.
    """
    if panel.clock != "calendar":
        raise DesignError(
            f"{estimator} needs clock='calendar': on the event clock everyone starts at 0, and calendar "
            "changes cannot be told from effects. Use two_by_two, or build the panel on the calendar clock."
        )
    if isinstance(anticipation, bool) or not isinstance(anticipation, int) or anticipation < 0:
        raise ParameterError(f"anticipation={anticipation!r}: give a number of periods, 0 or more.")
    panel = weighed(_before_build_up(panel, anticipation), names)
    check_arms(panel, panel.start, total_time(panel, names), 1 + anticipation)
    notes = list(panel.notes)
    early = panel.start <= anticipation
    if early.any():
        notes.append(
            f"Left out: {people(int(early.sum()))} whose support began before there was a base period."
        )
    by = [panel.start] if panel.experiment is None else [panel.experiment, panel.start]
    order = np.lexsort(by)
    return panel.subset(order[int(early.sum()) :]), notes


def _before_build_up(panel: Panel, anticipation: int) -> Panel:
    """Leave out the time of controls from when they may react to support that begins after the panel.

    They would bring their own build-up into the comparison, as if it were what happens without support.
    """
    T = len(panel.periods)
    if panel.begins is None or not anticipation:
        return panel
    late = (panel.start >= T)[:, None] & (np.arange(T) >= panel.begins[:, None] - anticipation)
    if not late.any():
        return panel
    return replace(
        panel,
        outcomes={name: np.where(late, 0.0, values) for name, values in panel.outcomes.items()},
        exposure={name: np.where(late, 0.0, values) for name, values in panel.exposure.items()},
    )


def check_never(panel: Panel, control: str) -> None:
    """Refuse controls that are never supported where there are none."""
    if control == "never_treated" and not (panel.start >= len(panel.periods)).any():
        last = period_name(panel.periods[panel.start.max()])
        raise DesignError(
            f"control='never_treated', but everyone is treated by {last}; use 'not_yet_treated'"
        )


def check_arms(panel: Panel, start: NDArray[np.int64], time: Array, first: int = 1) -> None:
    """Refuse a panel without people to compare; support must begin at position ``first`` or later.

    Raises
    ------
    DesignError
        If nobody is treated, everyone was before there is a base period, or an arm is one cluster.
    """
    T = len(panel.periods)
    inside = (start >= first) & (start < T)
    if not (start < T).any():
        raise DesignError(
            f"nobody is treated between {period_name(panel.periods[0])} and "
            f"{period_name(panel.periods[-1])}: check the treated arms and the start dates."
        )
    if not inside.any():
        raise DesignError(
            f"everyone treated was treated before {period_name(panel.periods[min(first, T - 1)])}, so there "
            "is no period before support to compare with; begin the window earlier."
        )
    at_risk = (time > 0).any(1)
    for arm, members in (("treated", inside), ("control", start > start[inside].min())):
        here = len(pd.unique(panel.cluster[members & at_risk]))
        if here == 0:
            raise DesignError(
                f"there are no people at risk in the {arm} arm: check the arms"
                + (", the start dates and the window." if arm == "treated" else "; everyone may be treated.")
            )
        if here == 1:
            raise DesignError(
                f"the {arm} arm has only one person or cluster, so its error cannot be estimated; "
                "add people or sites, or cluster by a smaller unit."
            )


def check_change(
    panel: Panel,
    outcome: str,
    start: NDArray[np.int64],
    *,
    effects: Literal["arm", "person"],
    family: Literal["poisson", "linear"],
) -> None:
    """Refuse an arm whose change from before support to after it rests on one cluster; one start for all.

    The model would fit that cluster without a residual, so that it added nothing to the error. With person
    effects only people at risk on both sides show a change, and of counts only those with an event.
    """
    first = int(start.min())
    sides = {"before": slice(first), "after": slice(first, None)}
    at_risk = {when: (panel.exposure[outcome][:, side] > 0).any(1) for when, side in sides.items()}
    if effects == "person":
        both = at_risk["before"] & at_risk["after"]
        if family == "poisson":
            both &= (panel.outcomes[outcome] > 0).any(1)
        at_risk = {"(for counts, with an event) both before and after": both}
    for arm, members in (("treated", start == first), ("control", start > first)):
        for when, here in at_risk.items():
            if len(pd.unique(panel.cluster[members & here])) < 2:
                raise DesignError(
                    f"outcome={outcome!r}: the {arm} arm has fewer than two people or clusters at risk "
                    f"{when} support began, so its change has no error; widen the window, or cluster by a "
                    f"smaller unit{_BY_ARM if effects == 'person' else ''}."
                )


def check_counts(panel: Panel, outcome: str) -> None:
    """Refuse a Poisson model of values below zero."""
    below = int((panel.outcomes[outcome] < 0).sum())
    if below:
        raise DataError(
            f"outcome={outcome!r}: {below} values are below zero, and family='poisson' is for counts; "
            "use family='linear'."
        )


def clusters_at_risk(panel: Panel, outcome: str) -> int:
    """Return how many clusters have anyone at risk for this outcome."""
    return len(pd.unique(panel.cluster[(panel.exposure[outcome] > 0).any(1)]))


def weighed(panel: Panel, outcomes: Sequence[str]) -> Panel:
    """Leave out people whom the weights leave out (those not matched), or who are never at risk.

    Raises
    ------
    DataError
        If a weight is missing, infinite or negative.
    """
    bad = int((~np.isfinite(panel.weights) | (panel.weights < 0)).sum())
    if bad:
        raise DataError(f"weights: {bad} of {panel.n} are missing, infinite or negative; mend or drop them.")
    used = (panel.weights > 0) & (total_time(panel, outcomes) > 0).any(1)
    return panel if used.all() else panel.subset(used)


def total_time(panel: Panel, outcomes: Sequence[str]) -> Array:
    """Return the longest time at risk for any of the outcomes, (n, T)."""
    return np.asarray(np.maximum.reduce([panel.exposure[name] for name in outcomes]))


def as_list(names: str | Sequence[str]) -> list[str]:
    """Return one name, or several, as a list."""
    return [names] if isinstance(names, str) else list(names)


def covariate_matrix(panel: Panel, covariates: Sequence[str]) -> Array:
    """Intercept, numbers brought to mean 0 and deviation 1, and an indicator for each level but the first.

    Raises
    ------
    DataError
        For a covariate that the panel does not hold, or that has missing or infinite values.
    """
    rows, problems = [np.ones(panel.n)], []
    for name in as_list(covariates):
        if name not in panel.covariates:
            known = ", ".join(map(repr, panel.covariates)) or "none"
            problems.append(
                f"covariates: {name!r} is not on the panel, which holds {known}."
                + nearest(name, map(str, panel.covariates))
            )
            continue
        column = panel.covariates[name]
        numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
        values = column.to_numpy(dtype=float, na_value=np.nan) if numeric else np.empty(0)
        missing = int((~np.isfinite(values)).sum() if numeric else column.isna().sum())
        if missing:
            problems.append(
                f"covariates: {name!r} is missing for {missing} of {panel.n}; "
                "leave these people out, add a level 'missing', or drop the covariate."
            )
        elif numeric:
            spread = values.std()
            rows += [(values - values.mean()) / spread] if spread > 0 else []
        else:
            codes, levels = pd.factorize(column.astype(str), sort=True)
            rows += [(codes == level).astype(float) for level in range(1, len(levels))]
    if problems:
        raise DataError(together(problems))
    return np.vstack(rows)


def check_varies(panel: Panel, outcomes: Sequence[str]) -> None:
    """Refuse an outcome that never varies: its effect would be zero with an interval of rounding errors.

    This is about whole panels. In a part of one, such as those not eligible, it is a result.
    """
    for name in outcomes:
        seen = panel.exposure[name] > 0
        rate = panel.outcomes[name][seen] / panel.exposure[name][seen]
        if np.any(rate) and np.ptp(rate) <= 1e-12 * np.abs(rate).max():
            raise DesignError(f"outcome={name!r}: its rate never varies in this panel, so it cannot change.")


def check_events(panel: Panel, outcome: str, after: NDArray[np.bool_]) -> list[str]:
    """Refuse an outcome that never happens, or that nobody with support is at risk of.

    Returns a note where it is rare among the treated after support.
    """
    if not np.any(panel.outcomes[outcome]):
        raise DesignError(f"outcome={outcome!r}: it never happens in this panel, so it cannot change.")
    time = panel.exposure[outcome]
    if not (time[after] > 0).any():
        raise DesignError(
            f"outcome={outcome!r}: nobody with support is at risk after it began; check the start dates and "
            "the window."
        )
    events = panel.outcomes[outcome][after].sum()
    if events >= FEW_EVENTS or (panel.outcomes[outcome] < 0).any():
        return []
    return [
        f"too few events: {outcome} has fewer than {FEW_EVENTS} events among supported people after support "
        "began, so its estimate and interval say very little."
    ]
