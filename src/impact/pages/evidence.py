"""How strong the evidence is, in fixed words tied to numbers and to the checks a page shows.

- *Strong evidence*: a clear answer, support was given by lot, no check failed, it was planned before any
  result, at least 20 groups, and p under 0.001 (of little or no change: the whole range within 5% of none).
- *Moderate evidence*: a clear answer, no check failed other than a minor one (people were followed for as
  long in both groups), and at least 20 groups.
- *Weak evidence*: a clear answer, but a check failed, what decides it is not as planned and nobody says why
  (``plan.weighed``), or there are fewer than 20 groups.
- *Inconclusive*: the range holds both a change worth having and none.
- *Too few to say*: too few people or events for an estimate to be shown.

A clear answer is a change whose 95% range leaves out none, or a whole range within 10% of none: ``answers``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.disclosure import Released
from impact.interpret.matched_on_use import NO_EVIDENCE
from impact.pages.answers import Answer, answers
from impact.pages.called import DID, called
from impact.pages.characteristics import characteristics
from impact.pages.formats import inside, label, listed, number, numeric
from impact.pages.verdicts import verdicts

Evidence = Literal["Strong evidence", "Moderate evidence", "Weak evidence", "Inconclusive", "Too few to say"]
DOTS: dict[Evidence, str] = {
    "Strong evidence": "●●●●",
    "Moderate evidence": "●●●○",
    "Weak evidence": "●●○○",
    "Inconclusive": "●○○○",
    "Too few to say": "○○○○",
}
FEW_GROUPS = 20
BALANCED = 0.1
_PASSED = f"of its spread (standard deviations; passed up to {number(BALANCED, 2)})"
# A whole range this near to no change, in per cent, is strong evidence that there is none to speak of.
_VERY_NEAR = 5
_Z = 1.959964


@dataclass(frozen=True)
class Check:
    """One check that a page shows: what was found, and whether it passed; None where it could not be made.

    One that is ``minor`` bars strong evidence, but leaves moderate.
    """

    said: str
    passed: bool | None
    minor: bool = False


def evidence(
    answer: Answer,
    checks: tuple[Check, ...] = (),
    *,
    assignment: Literal["observed", "randomised"] = "observed",
    groups: float = np.inf,
) -> Evidence:
    """Return the word for what stands behind one answer.

    Parameters
    ----------
    answer : Answer
    checks : tuple of Check
        As ``checks_on`` finds them.
    assignment : 'observed' or 'randomised'
        Whether support was given by lot: without it, nothing is strong evidence.
    groups : float
        Clusters behind the estimate.

    Examples
    --------
    >>> fall = Answer("ae", "clear", 0.009, True, "", (-58.0, -102.0, -14.0), (-16.0, -27.0, -4.0))
    >>> evidence(fall), evidence(fall, (Check("Groups moved apart before support.", False),))
    ('Moderate evidence', 'Weak evidence')
    """
    if answer.strength == "too rare":
        return "Too few to say"
    if answer.strength == "cannot tell":
        return "Inconclusive"
    failed = [check for check in checks if check.passed is False]
    if groups < FEW_GROUPS or not all(check.minor for check in failed):
        return "Weak evidence"
    near = answer.percent is not None and max(map(abs, answer.percent[1:])) <= _VERY_NEAR
    sure = near if answer.strength == "little or no change" else answer.strength == "very clear"
    strong = sure and assignment == "randomised" and not failed
    return "Strong evidence" if strong else "Moderate evidence"


def checks_on(page: Mapping[str, Released]) -> tuple[Check, ...]:
    """Find the checks among what a page shows.

    Parameters
    ----------
    page : mapping of name to Released
        Of these, ``pretrend`` (whether the groups moved alike before support), ``balance`` (whether they are
        alike after matching), ``negative_control`` (services that support cannot change), ``beside``
        (whether a second method agrees with ``effects``), ``naive`` (whether a clear change over time goes
        beyond what the choice of people by their use would bring by itself) and ``checks`` (the batch of
        ``interpret.checks``: see ``verdicts``) are checks.
    """
    known = (
        ("pretrend", _alike_before),
        ("balance", _alike_after),
        ("balance", _followed_alike),
        ("negative_control", _none_expected),
    )
    found = [check for name, make in known if name in page and (check := make(page[name]))]
    found += [_agrees(page["effects"], page["beside"])] if "beside" in page else []
    if {"naive", "effects"} <= page.keys() and (check := _beyond_the_choice(page["effects"], page["naive"])):
        found.append(check)
    for v in verdicts(page["checks"]) if "checks" in page else ():
        # A service that support cannot change counts once, wherever it was looked at.
        if v.check != "negative_control" or "negative_control" not in page:
            found.append(Check(f"{v.changed}.", v.agrees, v.minor))
    return tuple(found)


def passed(checks: tuple[Check, ...]) -> str:
    """Say how many of the checks that could be made were passed."""
    made = [check.passed for check in checks if check.passed is not None]
    if not made:
        return "No check of the comparison could be made." if checks else ""
    if len(made) == 1:
        return f"The comparison {'passed' if made[0] else 'failed'} its one check."
    return f"The comparison passed {sum(made)} of {len(made)} checks."


def _alike_before(test: Released) -> Check:
    p = float(numeric(test.table["p_value"])[0])
    if np.isnan(p):
        return Check("Whether the groups moved alike before support could not be tested.", None)
    said = "moved alike as far as these data can tell" if p >= 0.05 else "did not move alike"
    often = "under 0.1" if p < 0.001 else number(100 * p, 0 if p >= 0.1 else 1)
    chance = f"chance alone sets them so far apart in {often} of 100 studies; under 5 fails"
    if NO_EVIDENCE in test.notes:
        return Check(f"{NO_EVIDENCE} So this is not counted as a check.", None)
    return Check(f"Before support the groups {said} ({chance}).", p >= 0.05)


def _alike_after(balance: Released) -> Check:
    name, worst, _ = _worst(balance, followed=False)
    if not name:
        return Check("Whether matching made the groups alike cannot be shown: too few people.", None)
    most = f"most in {inside(name)}, by {number(worst, 2)}" if worst else "in nothing by as much as 0.01"
    said = f"the groups are {'' if worst <= BALANCED else 'not '}alike: they differ {most} {_PASSED}"
    return Check(f"After {_made_alike(balance)}, {said}.", worst <= BALANCED)


def _made_alike(balance: Released) -> str:
    """Weights that need no partners make the groups alike without matching anybody."""
    weights = ("entropy_balance", "inverse_probability")
    return "weighting" if balance.method.get("estimator") in weights else "matching"


def _followed_alike(balance: Released) -> Check | None:
    name, worst, means = _worst(balance, followed=True)
    if not name:
        return None
    alike, of = worst <= BALANCED, _PASSED.replace("its", "their")
    said = f"followed equally long: {inside(name)} differ by {number(worst, 2)} {of}"
    if np.isfinite(means).all():
        said += f", on average {number(means[0], 1)} with support and {number(means[1], 1)} without"
    return Check(f"The groups were {'' if alike else 'not '}{said}.", alike, minor=True)


def _worst(balance: Released, *, followed: bool) -> tuple[str, float, NDArray[np.float64]]:
    """The characteristic (or time followed) that differs most after matching, by how much, and its means."""
    after = balance.table[balance.table["sample"] == "after"]
    kind = after.get("kind", pd.Series("", after.index))
    rows = after[(kind == "follow-up") == followed]
    apart = np.nan_to_num(np.abs(numeric(rows["smd"])), nan=-1.0).round(2)
    if not (apart >= 0).any():
        return "", 0.0, np.full(2, np.nan)
    at = int(apart.argmax())
    means = numeric(rows.iloc[at].reindex(["mean_treated", "mean_control"]))
    return characteristics(rows)[at], float(apart.max()), means


def _none_expected(effects: Released) -> Check:
    known = [a for a in answers(effects) if a.strength != "too rare"]
    clear = [a.name for a in known if a.nominal]
    if not known:
        names = listed([inside(label(name)) for name in effects.table["outcome"].unique()])
        return Check(f"Too few {names} to see whether they differ where support cannot change them.", None)
    if clear:
        return Check(f"There is a clear difference in {listed(clear)}, which support cannot change.", False)
    names = listed([a.name for a in known])
    return Check(f"No clear difference in {names}, which support cannot change.", True)


def _beyond_the_choice(effects: Released, naive: Released) -> Check | None:
    """Whether a clear change over time stays clear less what choosing people by their use would bring.

    A comparison over time takes off what changed for everyone, and not that people who were picked at their
    worst get better: of that there is no sign in trends when the time before support is one bad year.
    """
    first = answers(effects)[0]
    rows = naive.table[naive.table["outcome"] == first.outcome]
    if called(effects) != DID or not first.is_clear or first.percent is None or rows.empty:
        return None
    alone, error = by_choice(rows.iloc[0])
    if not np.isfinite([alone, error]).all():
        return None
    lead = f"Choosing people for how much they had used would by itself bring {_change(alone)} {first.name}"
    if abs(alone) <= _Z * error:
        return Check(f"{lead}, which is no more than chance.", True)
    best, low, high = np.log1p(np.array(first.percent) / 100)
    goes = beyond(best, low, high, alone, error)
    end = "the change found goes clearly beyond it" if goes else "the change found is not clearly more"
    return Check(f"{lead}: {end}.", goes)


def beyond(best: float, low: float, high: float, alone: float, error: float) -> bool:
    """Whether a clear change stays clear, and on its side, less what the choice alone would bring.

    All are logarithms of ratios. What the choice brings no more than by chance is not taken off.
    """
    if abs(alone) <= _Z * error:
        return True
    left, reach = best - alone, _Z * float(np.hypot((high - low) / (2 * _Z), error))
    return bool(abs(left) > reach and left * best > 0)


def by_choice(row: pd.Series) -> tuple[float, float]:
    """Logarithm of the change that the choice alone would bring, less that of everyone, and its error.

    What became of people alike holds what changed for everyone; the formula does not.
    """
    everyone = row["control_change_percent"]
    for way, less in (("alike", everyone), ("formula", 0.0)):
        at = [row.get(f"{way}_{end}") for end in ("percent", "low", "high")]
        with np.errstate(divide="ignore"):
            best, low, high, anyway = np.log1p(numeric([*at, less]) / 100)
        if np.isfinite([best, low, high, anyway]).all():
            return float(best - anyway), float(high - low) / (2 * _Z)
    return np.nan, np.nan


def _change(log_ratio: float) -> str:
    percent = 100 * np.expm1(log_ratio)
    return f"about {number(abs(percent))}% {'fewer' if percent < 0 else 'more'}"


def _agrees(main: Released, other: Released) -> Check:
    one, two = answers(main)[0], {a.outcome: a for a in answers(other)}.get(answers(main)[0].outcome)
    if two is None or "too rare" in (one.strength, two.strength):
        return Check("Too few to compare with a second method.", None)
    if apart := disagree(one, two):
        return Check(f"On {one.name} a second method disagrees: {apart}.", False)
    return Check(f"On {one.name} a second method agrees within its range.", True)


def disagree(a: Answer, b: Answer, names: tuple[str, str] = ("this method", "the other")) -> str:
    """Say how two methods disagree on a service; nothing where they do not."""
    clear = [x.is_clear for x in (a, b)]
    scales = [(a.percent, b.percent)] if a.unit != b.unit else [(a.difference, b.difference)]
    one, two = names if clear[0] else names[::-1]
    if all(clear) and a.fewer != b.fewer:
        return "one finds clearly fewer and the other clearly more"
    if clear[0] != clear[1]:
        return f"{one} finds a clear change and {two} does not"
    if any(x and y and (x[1] > y[2] or y[1] > x[2]) for x, y in scales):
        return "their ranges do not overlap"
    return ""
