"""Everyone as they were assigned: counted from the offer, and with and without those who were withdrawn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd

from impact.data import Cohort, LongData, Panel, counted_from_offer
from impact.errors import DataError, DesignError
from impact.interpret.check_rows import fewest
from impact.interpret.subsets import SCALES, Mask, stackable
from impact.numbers.inference import cr1, root_by
from impact.results import Array, Effects, Result, Summary

Analyse = Callable[[Cohort], tuple[Effects, Panel | None]]
# The effect on those whom the offer moved is told where the offer moved enough of them: an F of 10 or more.
STRONG = 10.0
_SHARE = "per 100 people"


def as_assigned(
    data: Cohort | LongData,
    *,
    everyone: Effects,
    analyse: Analyse,
    also_from: Literal["offer_date"] | None = None,
    assignment: Literal["observed", "randomised"] = "observed",
) -> dict[str, Result]:
    """Estimate the effect of the offer beside that of support, and both with and without those withdrawn.

    Parameters
    ----------
    data : Cohort or LongData
        As it was read; a ready-made panel tells neither of offers nor of who was withdrawn.
    everyone : Effects
        The study's main result.
    analyse : callable
        The main method: from a cohort to the effects and, where people are followed in one, the panel.
    also_from : 'offer_date', optional
        Count from the day of offer too.
    assignment : 'observed' or 'randomised'
        Only where it was drawn by lot who was offered support is the offer the reason for what differs.

    Returns
    -------
    dict
        ``offered``: the effect of the offer on everyone who had one, whoever took support up (intention to
        treat). ``take_up``: how many of 100 offered took it up, by the time they are observed, and of those
        not offered it where any found support. ``took_up_because``: the difference among those who took it
        up because it was offered, that of the offer divided by the difference in take-up (Wald); only by lot,
        by difference-in-differences with errors by one clustering, and where the F of take-up is 10 or more
        (``take_up.method['weak']`` says whether it is less). ``withdrawn``: how many have a day on which they
        were withdrawn. ``without_withdrawn``: the effect without them, beside that with everyone as assigned
        (``offered`` where there is one, or else the main result); left out where too few remain.

        The counts are those of the main result; ``fewest`` knows by how many people and events an analysis
        differs from what it stands beside.

    References
    ----------
    Angrist, J. D., Imbens, G. W. and Rubin, D. B. (1996), Journal of the American Statistical Association 91,
    444-455. Staiger, D. and Stock, J. H. (1997), Econometrica 65, 557-586 (weak instruments: F under 10).
    """
    if not isinstance(data, Cohort):
        return {}
    found: dict[str, Result] = {}
    kept, of_kept = data, everyone
    if also_from is not None:
        kept = counted_from_offer(data)
        of_kept, panel = analyse(kept)
        offered = _beside(of_kept, everyone, everyone, _apart(kept, data), "counted from the offer")
        found["offered"] = offered
        if panel is not None:
            # Errors by two clusterings are not put beside those of a share.
            told = assignment == "randomised" and of_kept.sign is None
            found |= _took_up(kept, panel, of_kept, offered, because=told)
    day = kept.people.get("withdrew", pd.Series(pd.NaT, kept.people.index))
    gone = day.notna().to_numpy(bool)
    if gone.any():
        out = [int((gone & arm).sum()) for arm in (kept.treated, ~kept.treated)]
        table = pd.DataFrame({"arm": ["supported", "control"], "withdrew": "yes", "persons": out})
        said = {"shows": "withdrawn", "notes": list[str]()}
        found["withdrawn"] = Summary(table, said, people=("persons",))
        try:
            rest, _ = analyse(kept.subset(~gone))
        except (DataError, DesignError):
            said["notes"] = ["Without those withdrawn there are too few people to estimate an effect."]
        else:
            found["without_withdrawn"] = _beside(rest, of_kept, everyone, out, "without those withdrawn")
    return found


def _apart(one: Cohort, other: Cohort) -> list[int]:
    """How many people of each arm are in one of two cohorts and not in the other."""
    ids = [[set(c.person_id[c.treated == arm]) for c in (one, other)] for arm in (True, False)]
    return [len(a - b) for pair in ids for a, b in (pair, pair[::-1])]


def _beside(effects: Effects, other: Effects, main: Effects, people: Iterable[int], shows: str) -> Effects:
    """Show an analysis beside another: its numbers are not told, and where these hardly differ it is not."""
    shown = effects.select(effects.labels["scale"].isin(SCALES))
    rows, moved = [], [n for n in people if n]
    for (_, label), (_, own) in zip(shown.labels.iterrows(), shown.counts.iterrows(), strict=True):
        events = abs(int(own["events"]) - int(_counts(other, label["outcome"])["events"]))
        least = fewest(own, [*moved, *([events] if events else [])])
        rows.append({**_counts(main, label["outcome"]), "fewest": least})
    kept = {k: v for k, v in effects.method.items() if k not in ("notes", "parameters")}
    return replace(shown, counts=pd.DataFrame(rows), method={**kept, "shows": shows})


def _counts(effects: Effects, outcome: Any) -> Mapping[str, Any]:
    first = int(np.flatnonzero((effects.labels["outcome"] == outcome).to_numpy())[0])
    return dict(effects.counts.iloc[first])


def _took_up(
    people: Cohort, panel: Panel, offered: Effects, beside: Effects, *, because: bool
) -> dict[str, Result]:
    outcomes = list(dict.fromkeys(offered.labels["outcome"]))
    took = people.people.set_index("person_id")["took_up"].loc[panel.unit].to_numpy(bool)
    shares = {str(name): _share(panel, took, str(name), beside) for name in outcomes}
    first = shares[str(outcomes[0])]
    # An effect divided by a share tells of both: nothing of it is told that either withholds.
    moved = {name: _difference(share, _counts(beside, name)["fewest"]) for name, share in shares.items()}
    strength = {name: _f(share) for name, share in moved.items()}
    # The F itself gives away how many took support up: it is (n - 1) p / (1 - p) where no control found any.
    weak = min(strength.values()) < STRONG
    said = {**first.method, "weak": weak} if because else first.method
    found: dict[str, Result] = {"take_up": replace(first, method=said)}
    if because and not weak:
        found["took_up_because"] = because_offered(offered, moved)
    return found


def _share(panel: Panel, took: Mask, outcome: str, main: Effects) -> Effects:
    """How many of 100 took support up, of those offered it and those not, by their time from the offer on."""
    time = panel.exposure[outcome] * panel.weights[:, None]
    offered = np.where(np.arange(len(panel.periods)) >= panel.start[:, None], time, 0.0).sum(1)
    weight = np.where(panel.treated, offered, time.sum(1))
    estimates, influences, labels = [], [], []
    for arm, term in ((panel.treated, "offered"), (~panel.treated, "not offered")):
        own = np.where(arm, weight, 0.0)
        share = float(own @ took / own.sum())
        estimates.append(100 * share)
        influences.append(100 * own * (took - share) / own.sum())
        labels.append({"outcome": outcome, "term": term, "scale": "difference", "unit": _SHARE})
    factor = partial(cr1, rows=panel.n, parameters=2)
    root = root_by(np.column_stack(influences), panel.cluster, factor=factor)
    numbers = [int((panel.treated & took).sum()), int((panel.treated & ~took).sum())]
    numbers += [int((~panel.treated & took).sum())]
    counts = {**_counts(main, outcome), "fewest": min(n for n in numbers if n)}
    made = Effects(
        pd.DataFrame(labels), np.array(estimates), root.root, root.clusters, root.at_risk - 1,
        {"shows": "take-up of the offer", "outcome": outcome}, pd.DataFrame([counts] * 2),
    )  # fmt: skip
    return made if numbers[2] else made.select([True, False])


def _difference(share: Effects, least: int) -> Effects:
    by = np.array([[1.0], [-1.0]])[: len(share)]
    counts = share.counts.iloc[[0]].reset_index(drop=True)
    counts["fewest"] = counts["fewest"].clip(upper=least)
    return share.combine(by, labels=share.labels.iloc[[0]].assign(term="because offered"), counts=counts)


def _f(moved: Effects) -> float:
    """The F of take-up on the offer; none where the offer moves nobody to take support up."""
    error = float(moved.std_error[0])
    if moved.estimate[0] <= 0:
        return 0.0
    return float((moved.estimate[0] / error) ** 2) if error > 0 else np.inf


def because_offered(offered: Effects, moved: Mapping[str, Effects]) -> Effects:
    """Divide the effect of the offer by how many it moved: the effect on those who took it up because of it.

    Parameters
    ----------
    offered : Effects
        Of the offer, with a difference for each outcome.
    moved : mapping of outcome to Effects
        One effect each: how many of 100 took support up because it was offered.

    Returns
    -------
    Effects
        Differences; a ratio of theirs would need what they would have had without support, which is not seen.
    """
    itt = stackable(offered.select(offered.labels["scale"] == "difference"))
    outcomes = itt.labels["outcome"].astype(str).tolist()
    both = Effects.stack({"offer": itt} | {f"share {name}": moved[name] for name in outcomes})
    k = len(outcomes)
    eye = np.eye(k)

    def ratio(values: Array) -> Array:
        return np.asarray(100 * values[:k] / values[k:])

    def slope(values: Array) -> Array:
        by_offer, by_share = 100 / values[k:], -100 * values[:k] / values[k:] ** 2
        return np.vstack([eye * by_offer, eye * by_share])

    labels = itt.labels.assign(term="took it up because offered")
    counts = pd.concat([moved[name].counts for name in outcomes], ignore_index=True)
    found = both.transform(ratio, slope, labels=labels, counts=counts)
    kept = {k: v for k, v in offered.method.items() if k not in ("notes", "parameters")}
    said = {"estimand": "effect on those who took support up because it was offered"}
    return replace(found, method={**kept, **said, "shows": "effect on those who took it up because offered"})
