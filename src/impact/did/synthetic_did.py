"""Synthetic difference-in-differences, synthetic control and difference-in-differences as one formula."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from itertools import islice
from typing import Any

import numpy as np

from impact.data.panel import Panel
from impact.did.balanced import check_balanced
from impact.did.design import Parts, check_choice, check_events, people, period_name, weighed
from impact.did.redrawn import Inference, Sample, redrawn
from impact.did.scales import three_scales
from impact.did.synthetic_weights import AT_ONCE, Study, Weighting, search
from impact.errors import DesignError, ParameterError
from impact.results import Effects


def synthetic_did(
    panel: Panel,
    *,
    outcome: str | Sequence[str],
    weighting: Weighting = "synthetic_did",
    inference: Inference = "placebo",
    draws: int = 200,
    seed: int = 0,
    anticipation: int = 0,
) -> Effects:
    """Compare the supported with a weighted mean of controls, and after with a weighted mean of before.

    The effect is the change of the supported, from before to after, less that of the controls (Arkhangelsky,
    Athey, Hirshberg, Imbens and Wager 2021). Controls are weighted so that they run parallel to the
    supported before support, and periods before so that the controls' level in them predicts that after.
    It is meant for a few to a few hundred sites or areas; each start is compared by itself with those never
    supported, and the effects are averaged over the supported's person-time.

    Parameters
    ----------
    panel : Panel
        On the calendar clock, everyone at risk in every period. The outcome is the rate of each unit.
    outcome : str or sequence of str
        Several outcomes give one joint result, from the same draws.
    weighting : 'synthetic_did', 'synthetic_control' or 'did'
        'synthetic_control' matches levels and not only changes, and gives periods before no weight; 'did'
        weighs all controls and all periods before alike.
    inference : 'placebo', 'jackknife' or 'bootstrap'
        By cluster. 'placebo' pretends that control clusters were supported: it takes the observed rate as
        given, needs more control clusters than supported ones, and errors that are alike in both.
        'jackknife' leaves out one cluster at a time with the weights kept; 'bootstrap' draws clusters anew.
        Both need two supported clusters or more.
    draws : int
        Of placebo or bootstrap; where there are no more ways to place the placebos, each is used once.
    seed : int
    anticipation : int
        Periods before support in which the outcome may already react; they are left out.

    Returns
    -------
    Effects
        For each outcome ``difference``, ``log ratio`` (left out where no events would be expected) and
        ``events avoided``, with one joint root whose rows are draws, or clusters left out.

    Raises
    ------
    DesignError
        For holes in the panel, nobody to compare, or clusters that ``inference`` cannot use.

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.data.panel import Panel
    >>> frame = pd.DataFrame({"site": [1] * 3 + [2] * 3 + [3] * 3 + [4] * 3, "year": [1, 2, 3] * 4,
    ...                       "falls": [4, 6, 3, 5, 5, 6, 3, 5, 5, 2, 3, 3], "start": [3] * 3 + [None] * 9})
    >>> panel = Panel.from_long(frame, unit="site", period="year", outcomes=["falls"],
    ...                         first_treated="start")
    >>> synthetic_did(panel, outcome="falls").table[["scale", "estimate"]].round(2)
                scale  estimate
    0      difference     -2.83
    1       log ratio     -0.66
    2  events avoided      2.83
    """
    (found,) = many(
        [panel],
        outcome=outcome,
        weighting=weighting,
        inference=inference,
        draws=draws,
        seed=seed,
        anticipation=anticipation,
    )
    if isinstance(found, DesignError):
        raise found
    return found


def many(panels: Iterable[Panel], **arguments: Any) -> Iterator[Effects | DesignError]:
    """Analyse one panel after the other, or say why it cannot be; ``arguments`` are those of the estimator.

    A search for weights takes thousands of steps, each of which can be taken for many panels at once, so
    that five hundred panels take little longer than ten.
    """
    asked = signature(synthetic_did).bind_partial(**arguments)
    asked.apply_defaults()
    rest = iter(panels)
    while block := list(islice(rest, 1)):
        block += islice(rest, AT_ONCE // block[0].n ** 2)
        prepared = [_prepared(panel, asked.arguments) for panel in block]
        ready = [one for one in prepared if isinstance(one, _Prepared)]
        search([group for one in ready for study in one.studies.values() for group in study.groups])
        for one in prepared:
            try:
                yield one.effects() if isinstance(one, _Prepared) else one
            except DesignError as error:
                yield error


@dataclass(frozen=True, eq=False)
class _Prepared:
    """One panel with all that is needed but the weights."""

    panel: Panel
    notes: list[str]
    sample: Sample
    studies: dict[str, Study]
    asked: Mapping[str, Any]

    def effects(self) -> Effects:
        """Return the effects, once weights were searched."""
        panel, sample, inference = self.panel, self.sample, self.asked["inference"]
        chosen = redrawn(sample, inference, self.asked["draws"], self.asked["seed"])
        parts = Parts(chosen.rows, 3 * len(self.studies))
        for name, study in self.studies.items():
            ((effect, rate),) = study.effects(sample.everyone, keep=True)
            drawn = study.effects(chosen, keep=inference == "jackknife")
            if inference == "placebo":
                drawn[:, 1] = 0.0
            values, by = three_scales(effect, rate, study.person_time, family="linear")
            root = chosen.factor * (drawn - drawn.mean(0)) @ by
            parts.add_scales(name, panel.per, values, root, sample.counts(panel.outcomes[name]))
        method = {
            "estimator": "synthetic_did",
            "estimand": "effect on those supported, over their observed supported person-time",
            "outcome": list(self.studies),
            "control": "people never supported",
            "family": "linear",
            "period": panel.step,
            "weighting": self.asked["weighting"],
            "inference": f"{chosen.said}; t with clusters - 1",
            "rows": f"{inference} draws",
            "covariates": [],
            "anticipation": self.asked["anticipation"],
            "notes": self.notes,
        }
        out = parts.effects(method, [len(sample.names)])
        seed = None if inference == "jackknife" else self.asked["seed"]
        return replace(out, method={**out.method, "seed": seed})


def _prepared(panel: Panel, asked: Mapping[str, Any]) -> _Prepared | DesignError:
    """Check what is asked, and lay out the panel for it."""
    names = panel.check_outcomes(asked["outcome"])
    weighting, anticipation = asked["weighting"], asked["anticipation"]
    check_choice("weighting", weighting, ("synthetic_did", "synthetic_control", "did"))
    check_choice("inference", asked["inference"], ("placebo", "jackknife", "bootstrap"))
    for word, least in (("draws", 2), ("anticipation", 0)):
        number = asked[word]
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise ParameterError(f"{word}={number!r}: give a whole number of {least} or more.")
    try:
        panel, notes = _comparable(weighed(panel, names), anticipation, 1 if weighting == "did" else 2)
        check_balanced(panel, names, "synthetic_did")
        sample = Sample(panel)
        sample.check(asked["inference"])
        for name in names:
            notes += check_events(panel, name, sample.after)
    except DesignError as error:
        return error
    studies = {name: Study(panel, name, sample, anticipation, weighting) for name in names}
    return _Prepared(panel, notes, sample, studies, asked)


def _comparable(panel: Panel, anticipation: int, least: int) -> tuple[Panel, list[str]]:
    """Leave out who has too little before support, and controls who may already react to theirs."""
    if panel.clock != "calendar":
        raise DesignError(
            "synthetic_did needs clock='calendar': on the event clock a period is another date for each "
            "person. Build the panel on the calendar clock."
        )
    T, notes = len(panel.periods), list(panel.notes)
    early = panel.start < least + anticipation
    late = np.zeros(panel.n, bool)
    if panel.begins is not None:
        late = (panel.start >= T) & (panel.begins - anticipation < T)
    for gone, why in (
        (early, f"whose support began before there were {least} periods to compare with"),
        (late, "without support in the panel, but so near its start that they may already react"),
    ):
        if gone.any():
            notes.append(f"Left out: {people(int(gone.sum()))} {why}.")
    kept = panel.subset(~(early | late))
    if not (kept.start < T).any():
        first = period_name(panel.periods[min(least + anticipation, T - 1)])
        raise DesignError(
            f"nobody's support begins between {first} and {period_name(panel.periods[-1])}: check the "
            "treated arms and the start dates, or begin the window earlier."
        )
    if int((kept.start >= T).sum()) < 2:
        raise DesignError(
            "synthetic_did compares with people never supported, and there are fewer than two of them in the "
            "panel; use callaway_santanna or imputation with those not yet supported."
        )
    return kept, notes
