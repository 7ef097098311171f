"""Triple differences: what changed among the eligible beyond what changed among others of the same areas."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data.panel import Panel
from impact.data.periods import NEVER
from impact.did.design import as_list, check_choice, start_positions, total_time, weighed
from impact.did.scales import three_scales, unit_of
from impact.did.triple_scales import Part, from_cells, from_groups, from_scales
from impact.errors import DataError, DesignError, ParameterError, nearest
from impact.results import Effects

Array = NDArray[np.float64]


def triple_difference(
    panel: Panel,
    *,
    outcome: str | Sequence[str],
    subgroup: str,
    eligible: object = True,
    within: str = "two_by_two",
    **arguments: Any,
) -> Effects:
    """Take the effect among the ineligible of the same areas from the effect among the eligible.

    For support that areas have and only some of their people may use. The change of the ineligible in areas
    with support, beyond that of the ineligible elsewhere, is what else happened in those areas; it is taken
    off. Support may change areas for the ineligible as well (crowding, spillovers): then it is taken off too.

    Linear: a difference of differences in rates. Poisson: a ratio of ratios, so that the events expected
    without support are those expected of the eligible times the ineligible's ratio.

    Parameters
    ----------
    panel : Panel
        With supported people ('in an area with support') and controls among the eligible and the others.
    outcome : str or sequence of str
        Several outcomes give one joint result.
    subgroup : str
        A covariate with two values.
    eligible : object
        Its value for those eligible; without it, true (or 1).
    within : str
        One of ``impact.did.ESTIMATORS``, used in each subgroup. With several starts each start, and in a
        linear model each period, of the eligible is compared with the same of the ineligible, weighted by
        the eligible's person-time; controls are then best never supported (the default here), because mixes
        of those not yet supported differ between the subgroups (Ortiz-Villavicencio and Sant'Anna 2025).
    **arguments
        Of that estimator. ``covariates`` go with 'callaway_santanna' only: the difference of two effects that
        were each adjusted to its own subgroup is not the adjusted triple difference. There the supported
        eligible are compared with the ineligible of the same start, the eligible never supported and the
        ineligible never supported, each adjusted to the covariates of the supported eligible; the first two
        less the third is the effect.

    Returns
    -------
    Effects
        For each outcome the effect as ``difference``, ``log ratio`` and ``events avoided`` over the
        eligible's observed supported person-time, with one root: clusters may hold people of both subgroups.

    Raises
    ------
    DataError
        If ``subgroup`` is not on the panel, has missing values, or not two values.
    DesignError
        If a subgroup lacks supported people or controls, or cannot be analysed.

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.data.panel import Panel
    >>> frame = pd.DataFrame({"id": [i for i in range(8) for _ in "ab"], "year": [1, 2] * 8,
    ...                       "area": [i // 2 for i in range(8) for _ in "ab"],
    ...                       "tenant": [i % 2 for i in range(8) for _ in "ab"],
    ...                       "falls": [4, 5, 9, 4, 6, 8, 8, 4, 4, 4, 7, 8, 5, 6, 9, 9],
    ...                       "start": [2] * 8 + [None] * 8})
    >>> panel = Panel.from_long(frame, unit="id", period="year", outcomes=["falls"], cluster="area",
    ...                         first_treated="start", covariates=["tenant"])
    >>> triple_difference(panel, outcome="falls", subgroup="tenant", eligible=1,
    ...                   family="linear").table[["scale", "estimate"]].round(3)
                scale  estimate
    0      difference    -6.000
    1       log ratio    -0.916
    2  events avoided    12.000
    """
    from impact.did import ESTIMATORS  # which in turn registers this function

    names = panel.check_outcomes(outcome)
    check_choice("within", within, [name for name in ESTIMATORS if name != "triple_difference"])
    panel = weighed(panel, names)
    member = _members(panel, subgroup, eligible)
    _check_arms(panel, names, member)
    parts = _parts(panel, member, within, _Analysis(ESTIMATORS[within], names, arguments))
    first = parts["eligible"].effects
    starts = start_positions(panel)
    several = len(np.unique(starts[(starts > 0) & (starts < len(panel.periods))])) > 1
    joint = "person-months" in set(first.labels["scale"])
    if several and not joint:
        raise DesignError(
            f"within={within!r} gives one effect for all starts, and the subgroups differ in their starts; "
            "use within='callaway_santanna'."
        )
    if not joint and (first.labels["term"] != "effect").any():
        raise ParameterError("triple_difference needs one effect: leave out event_study.")
    family = first.method["family"]
    derive = from_scales if not joint else from_cells if family == "linear" else from_groups
    made, counts = [], _counts(panel, names, member)
    for name in names:
        one = derive(name, parts, panel.rate_scale, family)
        values, by = three_scales(one.effect, one.rate, one.person_time, family=family)
        slopes = {k: np.column_stack([one.by_effect[k], one.by_rate[k]]) @ by for k in parts}
        for j, (scale, value) in enumerate(values.items()):
            label = {"outcome": name, "term": "effect", "scale": scale, "unit": unit_of(scale, panel.per)}
            made.append((label, value, {k: slope[:, j] for k, slope in slopes.items()}, counts[name]))
    out = _joined(made, parts)
    mixed = several and within != "callaway_santanna"
    said = {
        **_said(out.method, mixed),
        "within": within,
        "subgroup": subgroup,
        "covariates": as_list(arguments.get("covariates") or ()),
    }
    return replace(out, method=said)


def _parts(panel: Panel, member: NDArray[np.bool_], within: str, analyse: _Analysis) -> dict[str, Part]:
    """Analyse what the estimator and its covariates ask for."""
    arguments, adjusted = analyse.arguments, as_list(analyse.arguments.get("covariates") or ())
    if within == "callaway_santanna":
        if arguments.setdefault("control", "never_treated") != "never_treated":
            raise DesignError(
                "control='not_yet_treated': those not yet supported are mixed otherwise among the eligible "
                "than among the ineligible, so that their trends do not cancel; use 'never_treated'."
            )
        if adjusted:
            return _three_comparisons(panel, member, analyse)
    elif adjusted:
        raise ParameterError(
            f"covariates with within={within!r}: the difference of two effects that are each adjusted "
            "to their own subgroup is not an adjusted triple difference; use within='callaway_santanna'."
        )
    return {
        "eligible": Part(1.0, analyse(panel.subset(member), "the eligible")),
        "ineligible": Part(-1.0, analyse(panel.subset(~member), "the ineligible")),
    }


class _Analysis:
    """The same analysis for every subgroup."""

    def __init__(
        self, estimator: Callable[..., Effects], names: Sequence[str], arguments: Mapping[str, Any]
    ) -> None:
        self.estimator, self.names, self.arguments = estimator, names, dict(arguments)

    def __call__(self, panel: Panel, who: str, **changed: Any) -> Effects:
        """Analyse one subgroup; an error says whose."""
        try:
            out = self.estimator(panel, outcome=self.names, **{**self.arguments, **changed})
        except DesignError as error:
            raise DesignError(f"among {who}: {error}") from error
        if not np.isin(out.clusters, panel.cluster).all():
            raise DesignError(
                "triple_difference joins the subgroups cluster by cluster, and these errors come from draws; "
                "use inference='jackknife'."
            )
        return out


def _members(panel: Panel, subgroup: str, eligible: object) -> NDArray[np.bool_]:
    if subgroup not in panel.covariates:
        known = ", ".join(map(repr, panel.covariates)) or "no covariates"
        raise DataError(
            f"subgroup={subgroup!r}: the panel holds {known}." + nearest(subgroup, map(str, panel.covariates))
        )
    values = panel.covariates[subgroup]
    if values.isna().any():
        raise DataError(
            f"subgroup={subgroup!r} is missing for {int(values.isna().sum())} of {panel.n}; leave them out."
        )
    levels = list(pd.unique(values))
    if len(levels) != 2:
        raise DataError(
            f"subgroup={subgroup!r} has {len(levels)} values; give a covariate with two, eligible or not."
        )
    if eligible not in levels:
        raise ParameterError(
            f"eligible={eligible!r} is not a value of {subgroup!r}: choose {levels[0]!r} or {levels[1]!r}."
        )
    return np.asarray(values == eligible, bool)


def _check_arms(panel: Panel, names: Sequence[str], member: NDArray[np.bool_]) -> None:
    start, here = start_positions(panel), (total_time(panel, names) > 0).any(1)
    inside = (start > 0) & (start < len(panel.periods))
    first = start[inside].min() if inside.any() else 0
    none = [
        f"{arm} among the {who}"
        for who, group in (("eligible", member), ("ineligible", ~member))
        for arm, there in (("supported people", inside), ("controls", start > first))
        if not (group & there & here).any()
    ]
    if none:
        raise DesignError(
            f"triple_difference needs supported people and controls in both subgroups; there are no "
            f"{' and no '.join(none)}. Check subgroup, eligible and the arms."
        )


def _three_comparisons(panel: Panel, member: NDArray[np.bool_], analyse: _Analysis) -> dict[str, Part]:
    """Compare the eligible of each start with each kind of people who show what would have happened."""
    T, start = len(panel.periods), panel.start
    never = start >= T
    # Only for the time and events of the eligible; the effects come from the comparisons.
    parts = {"eligible": Part(0.0, analyse(panel.subset(member), "the eligible", covariates=()))}
    starts = np.unique(start[member & ~never & (start > 0)]).tolist()
    for rank, g in enumerate(starts):
        treated = member & (start == g)
        for sign, who, others in (
            (1.0, "ineligible of the same start", ~member & (start == g)),
            (1.0, "eligible never supported", member & never),
            (-1.0, "ineligible never supported", ~member & never),
        ):
            pretended = others & (start == g)
            pair = replace(
                panel,
                start=np.where(pretended, T, start),
                treated=treated,
                begins=None if panel.begins is None else np.where(pretended, NEVER, panel.begins),
            ).subset(treated | others)
            # Not by its month, which may be that of one person or site.
            which = f"start {rank + 1} of {len(starts)} in order of time"
            parts[f"{who}, {which}"] = Part(sign, analyse(pair, f"the eligible and the {who}, {which}"))
    return parts


def _counts(panel: Panel, names: Sequence[str], member: NDArray[np.bool_]) -> dict[str, dict[str, int]]:
    """People of both subgroups, and the supported and their events among the eligible."""
    start, out = start_positions(panel), {}
    treated = member & (start > 0) & (start < len(panel.periods))
    after = (np.arange(len(panel.periods)) >= start[:, None]) & treated[:, None]
    for name in names:
        used = (panel.exposure[name] > 0).any(1) & (start > 0)
        out[name] = {
            "persons": panel.persons(used),
            "treated": panel.persons(used & treated),
            "clusters": len(pd.unique(panel.cluster[used])),
            "events": round(float(panel.outcomes[name][after].sum())),
        }
    return out


def _joined(
    made: Sequence[tuple[dict[str, Any], float, dict[str, Array], dict[str, int]]],
    parts: Mapping[str, Part],
) -> Effects:
    """Join the analyses cluster by cluster: each brings its own share of every effect's error."""
    labels, counts = (pd.DataFrame([one[j] for one in made]) for j in (0, 3))
    shares = {
        k: part.effects.combine(np.column_stack([slopes[k] for *_, slopes, _ in made]), labels=labels)
        for k, part in parts.items()
    }
    estimate, together = np.array([one[1] for one in made]), np.tile(np.eye(len(made)), (len(parts), 1))
    return Effects.stack(shares).transform(
        lambda _: estimate, lambda _: together, labels=labels, counts=counts
    )


def _said(method: Mapping[str, Any], mixed: bool) -> dict[str, Any]:
    notes = list(method.get("notes", ()))
    if mixed:
        notes.append(
            "With several starts this assumes that the trends of those not yet supported differ between the "
            "subgroups as those of the never supported do."
        )
    return {
        **{k: v for k, v in method.items() if k != "analyses"},
        "estimator": "triple_difference",
        "estimand": "effect on those eligible and supported beyond what changed among the ineligible of the "
        "same areas, over their observed supported person-time",
        "notes": notes,
    }
