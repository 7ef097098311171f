"""Effects in several groups of people, by the study's own main method, with their joint covariance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data import Cohort, Panel
from impact.did import estimate
from impact.errors import DataError, DesignError
from impact.interpret.groups import Groups
from impact.interpret.matched_comparison import PAIRING, compare, matched, whole
from impact.results import Array, Effects, Matched

Mask = NDArray[np.bool_]
# The level of those who are in no group with an effect of its own.
LEFT_OUT = "left out"
# A group with fewer people with support, or without, or with fewer events is left out.
FEWEST, EVENTS = 20, 10
SCALES = ("difference", "log ratio")
# Placebos of sites, and a contrast of two groups of people, are no sums over the people of one group.
WHOLE_ONLY = ("synthetic_did", "triple_difference")
# Where controls run out, the supported who are left over are all at one end of the score, and the others are
# less alike than everyone was, of which errors by set know nothing (docs/recovery-equity.md).
NO_CALIPER = (
    "People were paired within each group however far apart they are (without a caliper). Where a group has "
    "few more without support than with it, pairs are not alike, and the group’s range is too short."
)
_LABELS = ["outcome", "term", "scale", "unit", "covariate", "level"]
Line = tuple[dict[str, str], Array, NDArray[np.intp]]


@dataclass(frozen=True, eq=False)
class Analysis:
    """The people of a study, (n,) of them, and how those in some rows are analysed for one outcome.

    ``estimate(rows, outcome, column)`` is told which column the rows are a group of. ``apart`` says that no
    two groups share a cluster, whatever these are called; ``notes`` are for readers of the groups.
    """

    table: pd.DataFrame
    treated: Mask
    estimate: Callable[[Mask, str, str], Effects]
    apart: bool
    notes: tuple[str, ...] = ()


def of_panel(panel: Panel, *, did: Mapping[str, Any]) -> Analysis | None:
    """Analyse groups by difference-in-differences; None where the estimator takes everyone together.

    Parameters
    ----------
    panel : Panel
        With the columns of the groups among its covariates.
    did : mapping
        Arguments of ``impact.did.estimate``. A column is no covariate within its own groups; errors that
        cannot be stacked (CR2) are the estimator's own.
    """
    if did["estimator"] in WHOLE_ONLY:
        return None
    plan = {k: v for k, v in did.items() if (k, v) != ("inference", "CR2")}

    def analysed(rows: Mask, outcome: str, column: str) -> Effects:
        return estimate(panel.subset(rows), outcome=outcome, **_without(plan, ("covariates",), column))

    return Analysis(panel.covariates, panel.treated, analysed, apart=False)


def of_people(
    people: Cohort,
    *,
    baseline: Mapping[str, Any],
    matching: Mapping[str, Any],
    compared: Mapping[str, Any],
    apart: bool = True,
) -> Analysis:
    """Analyse groups by matching, each among its own people.

    Parameters
    ----------
    people : Cohort
        Before they are matched: see ``to_match``.
    baseline, matching, compared : mapping
        As for ``matched`` and ``compare``. A column is not matched on within its own groups.
    apart : bool
        Whether nobody is in two groups. Otherwise errors are by matched set and person, and the sums of a
        person's influence in several groups are put beside each other; models of sets alone do not tell them.
    """
    last: dict[bytes, Matched] = {}
    # Who somebody is does not hang on the group they are looked at in.
    people = people if apart else replace(people, _pid=people.person)
    seen: dict[bytes, str] = {}

    def analysed(rows: Mask, outcome: str, column: str) -> Effects:
        # A group is matched once for all outcomes.
        if (key := rows.tobytes()) not in last:
            last.clear()
            plan = _without(matching, ("on", "exact"), column)
            last[key] = matched(people, baseline=baseline, matching=plan, people=people.subset(rows))
        asked = {**_without(compared, ("adjust",), column), "outcome": outcome}
        if apart:
            return whole(compare(last[key], **asked))
        model = compared.get("model", "")
        model = model if isinstance(model, str) else model.get(outcome, "")
        effects = whole(compare(last[key] if model in _OF_SETS else _by_person(last[key]), **asked))
        shared = set() if model in _OF_SETS else set(people.person[rows].tolist())
        return _aligned(effects, shared, seen.setdefault(key, f"sample {len(seen) + 1}"))

    hides = matching["method"] in PAIRING and not (matching.get("replace") or compared.get("adjust"))
    notes = (NO_CALIPER,) if hides and not matching.get("caliper") else ()
    return Analysis(people.table, np.asarray(people.treated, bool), analysed, apart, notes)


# Models whose errors are by sets of their own alone.
_OF_SETS = ("conditional_poisson", "abadie_imbens")


def _by_person(sample: Matched) -> Matched:
    """Take errors by matched set and by person; of a person in one set these are the same as by set."""
    if sample.method.get("clusters") != "matched set":
        return sample
    return replace(sample, method={**sample.method, "clusters": "matched set and control person"})


def _aligned(effects: Effects, persons: set[int], sample: str) -> Effects:
    """Name clusters so that a person has one name in all samples, and sets have one of their own in each."""

    def name(cluster: Any) -> str:
        way, own = cluster if isinstance(cluster, tuple) else (1, cluster)
        return f"person {own}" if way == 1 and own in persons else f"{sample} {cluster}"

    return replace(effects, clusters=np.array([name(one) for one in effects.clusters.tolist()], object))


def _without(plan: Mapping[str, Any], names: Sequence[str], column: str) -> dict[str, Any]:
    """Leave a column out of what is adjusted for or matched on."""
    return {k: [c for c in v if c != column] if k in names else v for k, v in plan.items()}


def in_groups(
    analysis: Analysis, divided: Sequence[Groups], *, everyone: Effects, shows: str
) -> Effects | None:
    """Stack the effects in all groups of some columns under those on everyone.

    Parameters
    ----------
    analysis : Analysis
    divided : sequence of Groups
        Groups of fewer than 20 people with or without support, or 10 events, and those that cannot be
        estimated, are left out and named in ``method['left_out']``; so are outcomes that cannot be estimated
        in all the others.
    everyone : Effects
        The study's main result; the first outcome is the primary one.
    shows : str
        What the result is, for the pages.

    Returns
    -------
    Effects or None
        With ``covariate`` 'people' in everyone's rows; None where no column has two groups to compare.
    """
    primary = list(dict.fromkeys(everyone.labels["outcome"]))
    parts, named, left = [stackable(everyone)], [("people", "all")], dict[str, list[str]]()
    most = 0
    for one in divided:
        found = {level: _group(analysis, one, level, primary) for level in one.levels}
        if few := [level for level, own in found.items() if primary[0] not in own]:
            left[one.column] = few
        kept = [level for level in one.levels if level not in few]
        most = max(most, len(kept))
        for level in kept:
            # Everyone less the others must be the same people for each outcome, or two of them tell a third.
            of_all = [outcome for outcome in primary if all(outcome in found[other] for other in kept)]
            parts += [found[level][outcome] for outcome in of_all]
            named += [(one.column, level)] * len(of_all)
    if most < 2:
        return None
    said = {**everyone.method, "shows": shows, "notes": [*analysis.notes]}
    return _stacked(parts, named, said, left)


def _group(analysis: Analysis, one: Groups, level: str, outcomes: Sequence[str]) -> dict[str, Effects]:
    """Effects in one group by outcome; nothing where there is too little to go by."""
    rows = one.people(level)
    if min((rows & analysis.treated).sum(), (rows & ~analysis.treated).sum()) < FEWEST:
        return {}
    found = {}
    for outcome in outcomes:
        try:
            effects = analysis.estimate(rows, outcome, one.column)
        except (DataError, DesignError):
            continue
        if effects.counts["events"].min() < EVENTS or effects.counts["treated"].min() < FEWEST:
            continue
        if analysis.apart:
            # Nobody is in two groups, and sets are numbered anew in each.
            own = [f"{one.column} {level} {cluster}" for cluster in effects.clusters.tolist()]
            effects = replace(effects, clusters=np.array(own, object))
        found[outcome] = stackable(effects)
    return found


def stackable(effects: Effects) -> Effects:
    """Leave out what belongs to one analysis: degrees of freedom of each contrast, the regression."""
    df = float(np.min(effects.df))
    return replace(effects, df=df, satterthwaite=None, regression=None, overall=None, critical=None)


def _stacked(
    parts: Sequence[Effects],
    named: Sequence[tuple[str, str]],
    method: Mapping[str, Any],
    left: Mapping[str, Sequence[str]],
) -> Effects:
    out = Effects.stack({str(i): part for i, part in enumerate(parts)})
    at = [int(name) for name in out.labels["term"]]
    own = np.array([float(np.min(part.df)) for part in parts])[at]
    labels = out.labels.drop(columns="term").assign(
        term="effect",
        covariate=[named[i][0] for i in at],
        level=[named[i][1] for i in at],
    )
    said = {**method, "left_out": {k: list(v) for k, v in left.items()}}
    # Each group has the degrees of freedom of its own clusters, and several those of the fewest.
    return replace(
        out, labels=labels[_LABELS], method=said, df=own, satterthwaite=lambda w: float(own[w != 0].min())
    )


def with_rest(effects: Effects) -> Effects:
    """Add a row for those who are in no group of a column: their number, which the gate must know of."""
    labels, counts = effects.labels, effects.counts
    first = ~labels.duplicated(["outcome", "covariate", "level"])
    rows = pd.concat([labels, counts], axis=1)[first]
    names = [str(c) for c in counts if c != "clusters"]
    everyone = rows[rows["covariate"] == "people"].set_index("outcome")
    found = []
    groups = rows[rows["covariate"] != "people"].groupby(["outcome", "covariate"], sort=False)
    for (outcome, column), own in groups:
        rest = (everyone.loc[str(outcome), names] - own[names].sum()).astype(int).clip(lower=0)
        # Where all groups have the same controls, these are not counted among those who are left.
        rest["persons"] = rest[["persons", "treated"]].max()
        if rest.any():
            of = {"covariate": column, "level": LEFT_OUT, "clusters": rest["persons"], **rest}
            found.append(own.iloc[0].to_dict() | of)
    if not found:
        return effects
    more = pd.DataFrame(found).assign(scale="difference", unit=labels["unit"].iloc[0])
    none = np.zeros((len(effects.root), len(more)))
    own_df = np.append(effects.df, np.full(len(more), np.min(effects.df)))
    return replace(
        effects,
        labels=pd.concat([labels, more[_LABELS]], ignore_index=True),
        estimate=np.append(effects.estimate, np.full(len(more), np.nan)),
        root=np.hstack([effects.root @ np.eye(len(effects)), none]),
        counts=pd.concat([counts, more[list(counts)]], ignore_index=True),
        df=own_df,
        satterthwaite=lambda w: float(own_df[w != 0].min()),
    )


def rows_of(effects: Effects, column: str, outcome: str, scale: str) -> NDArray[np.intp]:
    """Return where the effects in the groups of a column stand that are known."""
    wanted = {"covariate": column, "outcome": outcome, "scale": scale}
    mine = np.logical_and.reduce([effects.labels[k] == v for k, v in wanted.items()])
    return np.flatnonzero(mine & np.isfinite(effects.estimate))


def behind(effects: Effects, rows: NDArray[np.intp]) -> pd.DataFrame:
    """What lies behind something made of several groups: everyone, and of the smallest group the fewest."""
    own = effects.counts.iloc[rows]
    outcome = effects.labels["outcome"].iloc[rows[0]]
    main = (effects.labels["covariate"] == "people") & (effects.labels["outcome"] == outcome)
    fewest = int(own[["treated", "events"]].to_numpy().min())
    found: pd.DataFrame = effects.counts[main].iloc[[0]].assign(fewest=fewest)
    return found


def derived(effects: Effects, lines: Sequence[Line]) -> Effects:
    """Combine groups by known weights; the people behind are everyone, as in the main result."""
    labels = pd.DataFrame([label for label, _, _ in lines])
    counts = pd.concat([behind(effects, rows) for _, _, rows in lines], ignore_index=True)
    weights = np.column_stack([weights for _, weights, _ in lines])
    out = effects.combine(weights, labels=labels, counts=counts)
    method = {k: v for k, v in effects.method.items() if k != "left_out"}
    return replace(out, method={**method, "shows": "effect across groups"})
