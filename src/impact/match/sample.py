"""The rows of a matched or weighted sample: their weights, sets, and what errors are clustered by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.errors import DataError, DesignError, ParameterError, together
from impact.errors import nearest as nearest_name
from impact.match.estimands import leaning
from impact.match.propensity import Array, Rows, both_arms, design
from impact.numbers.inference import cr1, root_by, within_cells
from impact.results import Effects, Matched, Weighting

if TYPE_CHECKING:
    from impact.data import Cohort

# Whom the effect is about, in words, by the estimand of the matching method.
TARGETS = {
    "ATT": "effect on the matched supported",
    "ATC": "effect that support would have on the matched controls",
    "ATE": "average effect over everyone in the sample",
    "ATO": "average effect over people as likely to be supported as not (overlap weights)",
    "ATM": "average effect over people who have a match in the other arm (matching weights)",
}
NOT_AVOIDED = "Events avoided are given for the effect on the supported only."


@dataclass(frozen=True, eq=False)
class Followed:
    """The rows that are compared, with one outcome: ``y`` in ``months`` at risk.

    ``base`` is what everyone counted before they were weighted; ``ways`` are the clusterings of the errors,
    or none where nobody asks for errors.
    """

    y: Array
    months: Array
    weight: Array
    treated: NDArray[np.bool_]
    sets: NDArray[np.intp]
    estimand: str = "ATT"
    base: Array | float = 1.0
    ways: Sequence[Rows] = ()

    @property
    def at_risk(self) -> NDArray[np.bool_]:
        """Rows with weight and any time at risk; the others take no part."""
        return (self.months > 0) & (self.weight > 0)

    @property
    def target(self) -> tuple[Array, Array]:
        """Weights of those the effect is about, and their derivatives by the rows' own weights."""
        at = self.at_risk.astype(float)
        if self.estimand == "ATE":
            # Everyone in the sample as they are; the weights only make the arms alike.
            return at * self.base, np.zeros(len(at))
        among = at * (self.treated if self.estimand == "ATT" else ~self.treated)
        among = among if self.estimand in ("ATT", "ATC") else at
        return among * self.weight, among


@dataclass(frozen=True, eq=False)
class Part:
    """Estimates of one outcome, and how the rows move them.

    ``labels`` has ``term, scale, unit`` of each of the s estimates; ``influence (n, s)`` is each row's
    influence with known weights, ``by_weight (n, s)`` the derivative of the estimates by each row's weight.
    ``behind (n,)`` marks the rows that say anything, where these are not all at risk.
    """

    labels: Sequence[Mapping[str, str]]
    estimate: Array
    influence: Array
    by_weight: Array
    parameters: int
    behind: NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class Sample:
    """The rows of a sample; ``person`` is a position in the cohort that was followed, -1 for nobody there."""

    cohort: Cohort
    person: Rows
    weight: Array
    treated: NDArray[np.bool_]
    sets: Rows
    ways: Sequence[Rows]
    matching: Mapping[str, Any]
    grouped: bool = False
    weighting: Weighting | None = None
    base: Array | float = 1.0

    @classmethod
    def of(cls, matched: Matched | Cohort, cohort: Cohort | None) -> Sample:
        """Take the rows of a matched sample as they were followed in ``cohort``; or a cohort as it stands."""
        if not isinstance(matched, Matched):
            everyone = np.arange(len(both_arms(matched)))
            arm = np.asarray(matched.treated, bool)
            return cls(matched, everyone, np.ones(len(everyone)), arm, everyone, [matched.person], {})
        followed = matched.cohort if cohort is None else cohort
        # People without weight take part where weights were estimated from them too.
        used = matched.table["weight"].to_numpy(float) > 0
        table = matched.table if matched.weighting is not None else matched.table[used]
        at_match = np.asarray(pd.Index(matched.cohort.person_id).get_indexer(table["person_id"]))
        person = np.asarray(pd.Index(followed.person_id).get_indexer(table["person_id"]))
        number, names = pd.factorize(table["subclass"])
        sets = np.where(number < 0, len(names) + np.arange(len(table)), number)
        # One who takes part at several dates has several rows in the cohort.
        whose = matched.cohort.person[at_match]
        kind = matched.method.get("clusters") or _clusters(matched.method, len(names) > 0)
        if kind == "matched set" and not matched.method.get("replace") and distinct(whose) < len(whose):
            kind = "matched set and person"
        ways = {"matched set": [sets], "person": [whose]}.get(kind, [sets, whose])
        sample = cls(
            followed,
            person,
            table["weight"].to_numpy(float),
            np.asarray(matched.cohort.treated, bool)[at_match],
            np.asarray(pd.factorize(sets)[0]),
            ways,
            {**matched.method, "clusters": kind},
            len(names) > 0,
            None if matched.weighting is None else matched.weighting.rows(at_match),
            _base(matched, at_match),
        )
        sample = replace(sample, weight=sample.kept(person >= 0))
        return sample if matched.weighting is not None else sample._rows(sample.weight > 0)

    def _rows(self, at: NDArray[np.bool_]) -> Sample:
        short = {n: getattr(self, n)[at] for n in ("person", "weight", "treated", "sets")}
        return replace(self, **short, ways=[way[at] for way in self.ways])

    @property
    def stratified(self) -> bool:
        """Whether the sets are strata of many people, who are clusters of their own, each with one row."""
        one_row = distinct(self.ways[0]) == len(self.ways[0])
        return self.grouped and self.matching["clusters"] == "person" and one_row

    @property
    def estimand(self) -> str:
        """ATT, ATC, ATE, ATO or ATM; a crude comparison stands for ATT, which it would estimate by lot."""
        return str(self.matching.get("estimand", "ATT"))

    def kept(self, here: NDArray[np.bool_]) -> Array:
        """Weights when only these rows are left, (n,).

        Who is gone leaves their share to the others of their arm and set; a set that lost its last supported
        person or its last control compares nobody and is left out. The arm the effect is about keeps its
        own weights, and the other arm of the set is scaled to it. Weights without sets stay as they are.
        """
        if not self.grouped:
            return np.where(here, self.weight, 0.0)
        up = []
        for arm in (self.treated, ~self.treated):
            before, after = (np.bincount(self.sets, self.weight * rows) for rows in (arm, arm & here))
            up.append(np.divide(before, after, out=np.zeros(len(after)), where=after > 0))
        whole = (up[0] > 0) & (up[1] > 0)
        own = {"ATT": up[0], "ATC": up[1]}.get(self.estimand, np.ones(len(whole)))
        factor = np.where(whole, up, 0.0) / np.where(whole, own, 1.0)
        return np.where(here, self.weight * factor[(~self.treated).astype(int), self.sets], 0.0)

    def events(self, outcome: str) -> Followed:
        """Events and time at risk in one outcome; who has no time is left out, as in ``kept``."""
        months = np.asarray(self.cohort.exposure[outcome], float)[self.person]
        here = (months > 0) & (self.person >= 0)
        y = np.asarray(self.cohort.outcomes[outcome], float)[self.person]
        return self._followed(y, months, here)

    def values(self, outcome: str) -> tuple[Followed, int]:
        """One value a person, and how many have none: they are left out, as in ``kept``."""
        y = self.cohort.table[outcome].to_numpy(float, na_value=np.nan)[self.person]
        here = np.isfinite(y) & (self.person >= 0)
        lacking = distinct(self.person[~here & (self.weight > 0)])
        return self._followed(y, np.ones(len(y)), here), lacking

    def _followed(self, y: Array, months: Array, here: NDArray[np.bool_]) -> Followed:
        y, months = np.where(here, y, 0.0), np.where(here, months, 0.0)
        rows = Followed(y, months, self.kept(here), self.treated, self.sets, self.estimand)
        return replace(rows, base=self.base, ways=self.ways)

    def covariates(self, adjust: Sequence[str], outcomes: Iterable[str]) -> Array:
        """Covariates of the rows, (k, n), without the first level of each; 0 for rows without weight.

        Missing values are treated as they were for matching. Outcomes are refused, and times at risk.
        """
        if not len(adjust):
            return np.empty((0, len(self.person)))
        later = {*outcomes, *self.cohort.outcomes, *(f"exposure_{name}" for name in self.cohort.exposure)}
        if after := later.intersection([adjust] if isinstance(adjust, str) else adjust):
            raise ParameterError(
                f"adjust: {', '.join(map(repr, sorted(after)))} is counted from the index date on, so "
                "support may have changed it; adjust for what was known before."
            )
        used = np.flatnonzero(self.weight > 0)
        missing = self.matching.get("missing", "error")
        found = design(self.cohort.table.iloc[self.person[used]], adjust, argument="adjust", missing=missing)
        out = np.zeros((int((~found.first).sum()), len(self.person)))
        out[:, used] = found.values[~found.first]
        return out

    def effects(
        self,
        followed: Mapping[str, Followed],
        parts: Mapping[str, Part],
        method: Mapping[str, Any],
        *,
        ways: Sequence[Rows] | None = None,
        values: bool = False,
    ) -> Effects:
        """Sum influences within clusters, with the factor of CR1, and label what came out.

        ``ways`` replaces the clusters by others that need no factor. Of ``values``, which are no events, the
        supported who have one are counted.
        """
        roots, labels, counts = [], [], []
        ways, known = (self.ways, True) if ways is None else (ways, False)
        cells, ways = self._cells(followed, ways) if known and self.stratified else (None, ways)
        for name, part in parts.items():
            rows = followed[name]
            at_risk = rows.at_risk if part.behind is None else part.behind
            factor: Callable[[int], float] = partial(cr1, rows=int(at_risk.sum()), parameters=part.parameters)
            influence = part.influence
            if self.weighting is not None:
                by_parameter = self.weighting.gradient.T @ part.by_weight
                influence = influence + self.weighting.influence @ by_parameter
            if cells is not None:
                influence = within_cells(influence, np.where(rows.at_risk, cells, -1))
                if np.abs(influence).max() <= 1e-9 * np.abs(part.influence).max():
                    raise DesignError(
                        f"outcome={name!r}: within each arm of every stratum everyone has the same value, so "
                        "there is no standard error; use wider strata."
                    )
            by_cr1 = {"factor": factor} if known else {}
            roots.append(root_by(influence, *ways, at_risk=at_risk, **by_cr1))
            behind = self.behind(rows, at_risk, values=values, clusters=ways[0])
            labels += [{"outcome": name, **label} for label in part.labels]
            counts += [behind] * len(part.estimate)
        return Effects(
            pd.DataFrame(labels)[["outcome", "term", "scale", "unit"]],
            np.concatenate([part.estimate for part in parts.values()]),
            np.hstack([r.root for r in roots]),
            roots[0].clusters,
            min(r.at_risk for r in roots) - 1,
            {**method, "parameters": max(part.parameters for part in parts.values())},
            pd.DataFrame(counts),
            sign=roots[0].sign,
        )

    def _cells(self, followed: Mapping[str, Followed], ways: Sequence[Rows]) -> tuple[Rows, Sequence[Rows]]:
        """Arms of the strata within which influences are centred, -1 for none, and the clusters, (n,).

        An arm of one person has no spread of its own: such a stratum is one cluster, a matched set.
        """
        cell = 2 * self.sets + self.treated
        fewest = np.min(
            [np.bincount(cell[rows.at_risk], minlength=cell.max() + 2) for rows in followed.values()], axis=0
        )
        alone = (fewest[2 * self.sets] < 2) | (fewest[2 * self.sets + 1] < 2)
        return np.where(alone, -1, cell), [np.where(alone, ways[0].max() + 1 + self.sets, ways[0])]

    def behind(
        self,
        rows: Followed,
        at: NDArray[np.bool_],
        *,
        values: bool = False,
        clusters: Rows | None = None,
    ) -> dict[str, int]:
        """Count people and events behind an estimate, each once, however often they serve.

        ``fewest`` is the smallest number that the estimate and the other counts could give away: the events
        of the controls and, where values are of two kinds, how many have the rarer kind in either arm.
        """
        most = np.full(self.cohort.person.max() + 1, -np.inf)
        whose = self.cohort.person[self.person[at]]
        np.maximum.at(most, whose, rows.y[at])
        supported = np.unique(whose[rows.treated[at]])
        arms = most[supported], most[np.setdiff1d(whose, supported)]
        kinds = np.unique(rows.y[at])
        if len(kinds) == 2 and (values or (kinds == [0, 1]).all()):
            fewest = min(int(np.count_nonzero(arm == kind)) for arm in arms for kind in kinds)
        else:
            fewest = min(len(arm) if values else round(float(arm.sum())) for arm in arms)
        return {
            "persons": sum(map(len, arms)),
            "treated": len(supported),
            "clusters": distinct((self.ways[0] if clusters is None else clusters)[at]),
            "events": len(supported) if values else round(float(arms[0].sum())),
            "fewest": fewest,
        }

    def method(
        self, what: str, *, estimator: str, outcomes: Sequence[str], adjust: Sequence[str], time: bool = False
    ) -> dict[str, Any]:
        """Describe the analysis of ``what`` (rates, means, risks): whom it is about, when, and its errors."""
        said: dict[str, Any] = {"outcome": list(outcomes), "covariates": list(adjust)}
        said |= {"inference": "CR1 within strata" if self.stratified else "CR1"}
        if not self.matching:
            return said | {
                "estimator": f"crude {what}",
                "estimand": "crude comparison of those supported with those not",
                "control": "everyone not supported",
                "clusters": "person",
            }
        supported = "supported " if self.estimand == "ATT" else ""
        over_time = f", over their observed {supported}person-time" if time else ""
        target = TARGETS[self.estimand] if self.grouped else TARGETS[self.estimand].replace("matched ", "")
        two_way = ", two-way" if len(self.ways) == 2 else ""
        return said | {
            "estimator": estimator,
            "estimand": target + over_time,
            "control": "matched controls" if self.grouped else "weighted controls",
            "clusters": f"{self.matching['clusters']}{two_way}",
            "weights": "known" if self.weighting is None else "estimated, their error counted",
            "matching": dict(self.matching),
            "notes": [NOT_AVOIDED] * (self.estimand != "ATT")
            + leaning(self.cohort.person[self.person], self.treated, self.weight),
        }


def _base(matched: Matched, at: Rows) -> Array | float:
    """Return the weights that everyone had before they were balanced, of these rows of the cohort."""
    name = matched.method.get("base")
    return 1.0 if name is None else matched.cohort.table[name].to_numpy(float)[at]


def _clusters(method: Mapping[str, Any], grouped: bool) -> str:
    """What a sample that does not say it is clustered by."""
    if method.get("replace"):
        return "matched set and control person"
    return "matched set" if grouped else "person"


def distinct(codes: Rows) -> int:
    """How many different codes from 0 there are."""
    return int(np.count_nonzero(np.bincount(codes)))


def each(followed: Mapping[str, Followed], fit: Callable[[Followed], Any]) -> dict[str, Any]:
    """Fit every outcome; those that cannot be fitted are named, all of them together."""
    found, problems = {}, []
    for name, rows in followed.items():
        try:
            found[name] = fit(rows)
        except DesignError as problem:
            problems.append(f"outcome={name!r}: {problem}")
    if problems:
        raise DesignError(together(problems))
    return found


def names_of(held: Sequence[str], outcome: str | Sequence[str]) -> list[str]:
    """Return the outcomes asked for, once each, or say which are not among those ``held``."""
    names = [outcome] if isinstance(outcome, str) else list(dict.fromkeys(outcome))
    there = ", ".join(map(repr, held)) or "none: follow it up first"
    problems = [
        f"outcome={name!r}: the outcomes of the cohort are {there}.{nearest_name(name, held)}"
        for name in names
        if name not in held
    ]
    if problems or not names:
        raise DataError(together(problems or ["outcome=[]: name at least one outcome."]))
    return names


def comparable(followed: Mapping[str, Followed], *, events: bool = True) -> None:
    """Refuse outcomes that one of the arms, or one cluster alone, tells about; all of them together.

    The residuals of a single cluster add up to 0: what it shows would seem to be known without error.
    """
    problems = []
    for name, rows in followed.items():
        for arm, mine in (("supported", rows.treated), ("controls", ~rows.treated)):
            mine = mine & rows.at_risk
            what = "time at risk" if events else "a value of it"
            least = min(distinct(way[mine]) for way in rows.ways)
            reason = ""
            if not mine.any():
                reason = f"nobody has {what}; look at the coverage of that service"
            elif events and not rows.y[mine].any():
                reason = "nothing ever happened, so there is no ratio; leave this outcome out"
            elif least < 2:
                reason = f"only one person or set has {what}, too few for a standard error"
            elif events and min(distinct(way[rows.at_risk & (rows.y > 0)]) for way in rows.ways) < 2:
                reason = "and the others all events are of one set, too few for a standard error"
            if reason:
                problems.append(f"outcome={name!r}: among the {arm} {reason}.")
                break
    if problems:
        raise DesignError(together(problems))
