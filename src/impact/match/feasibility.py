"""Whether matching can work, before any outcome is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.errors import DataError, ParameterError, nearest
from impact.match.distances import measure
from impact.match.nearest import check_numbers
from impact.match.people import People
from impact.match.propensity import Array, Link, Missing, Rows
from impact.results import Summary

if TYPE_CHECKING:
    from impact.data import Cohort

# Chance of finding an effect that is there, and of finding one that is not.
_POWER, _LEVEL = 0.8, 0.05
# Share of the supported who must get their controls before a ratio counts as possible.
_MOST = 0.9
_LARGEST_RATIO = 20
# Below the first, matching cannot answer the question asked; below the second, only for a part or roughly.
_SHARES, _RATIOS, _CONTROLS = (0.5, 0.95), (0.5, 0.8), 20


def feasibility(
    cohort: Cohort,
    *,
    on: Sequence[str],
    exact: Sequence[str] = (),
    ratio: int | None = 1,
    outcome: str | None = None,
    months: int = 12,
    caliper: float = 0.2,
    link: Link = "penalised",
    missing: Missing = "error",
) -> Summary:
    """Say whether matching can work for these people, and why; no outcome is looked at.

    Parameters
    ----------
    cohort : Cohort
    on, exact : sequences of str
        As for ``nearest``.
    ratio : int or None
        Controls wanted for each supported person; None where controls may serve several, as they do by
        weights, in strata and with replacement.
    outcome : str, optional
        Whose smallest detectable rate ratio to work out, from ``prior_<outcome>``: the counts of the year
        before.
    months : int
        Length of the follow-up that is planned.
    caliper : float
        How near a control must be, in standard deviations of the propensity score.
    link, missing : str
        As of ``propensity``. The penalised link cannot be broken by arms that do not overlap.

    Returns
    -------
    Summary
        A row for each ``question`` with ``persons, all, percent`` where it counts people and ``figure``
        where it is another number. ``method["verdict"]`` is a sentence, ``method["works"]`` 'yes', 'partly'
        or 'no'. The smallest detectable ratio is the nearest to 1, below it, that would be found with a
        chance of 80% at the 5% level, if the supported who have a near control get ``ratio`` each (without
        it, as many as the effective number of controls makes), and events scatter as they did in the year
        before: the variance of a log rate is ``(1/m + a)/n`` with ``m`` the events expected of a person and
        ``a`` the excess of the variance over a Poisson's, over the mean squared, both among controls who
        weigh as they resemble the supported.

    Raises
    ------
    ParameterError, DataError, DesignError
        For arguments that make no sense, columns that are not there and an empty arm.

    References
    ----------
    Zhu, H. and Lakkis, H. (2014). Sample size calculation for comparing two negative binomial rates.
    Statistics in Medicine 33, 376-387. Kish, L. (1965). Survey Sampling (effective sample size).

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from impact.data import Cohort
    >>> frame = pd.DataFrame({"helped": np.arange(400) % 4 == 0, "age": 60 + np.arange(400) % 21})
    >>> found = feasibility(Cohort.from_frame(frame, treated="helped"), on=["age"])
    >>> found.method["verdict"]
    'Matching can work: about 100% of supported people have a control near enough.'
    """
    check_numbers(1 if ratio is None else ratio, None, False, None)
    for name, value in (("caliper", caliper), ("months", months)):
        if not value > 0:
            raise ParameterError(f"{name}={value!r}: give a number above 0.")
    people = People.of(cohort, on=on, exact=exact, missing=missing)
    reach = _reach(people, caliper, link)
    size = int(reach.near.sum())
    rows = _answers(people, reach, ratio)
    smallest = None
    if outcome is not None:
        controls = reach.ess / max(size, 1) if ratio is None else ratio
        smallest = _detectable(people, reach, outcome, months / 12, size, controls) if size else None
        found = np.nan if smallest is None else smallest
        rows.append(_figure("smallest detectable rate ratio", found, size, len(reach.near)))
    works, verdict = _verdict(reach, ratio, smallest)
    method = {
        "shows": "whether matching can work",
        "works": works,
        "verdict": verdict,
        "outcome": outcome,
        "caliper": caliper,
        "ratio": ratio,
        "link": link,
        "power": _POWER,
        "level": _LEVEL,
        **people.described,
    }
    return Summary(
        pd.DataFrame(rows),
        method,
        people=["persons"],
        derived={"figure": ["persons"]},
        percent={"percent": ("persons", "all")},
    )


def _answers(people: People, reach: _Reach, ratio: int | None) -> list[dict[str, Any]]:
    """Rows for how many people are near enough, and for cells of exact values where there are any."""
    n, pool = int(people.treated.sum()), int((~people.treated).sum())
    rows = [
        _counted("supported people", n, n),
        _counted("people who could be controls", pool, pool),
        _counted("supported within the range of the controls' scores", int(reach.inside.sum()), n),
        _counted("supported with a control near enough", int(reach.near.sum()), n),
        _figure("controls, by how far they resemble the supported (effective number)", reach.ess, pool),
    ]
    if ratio is not None:
        each = _counted(f"supported who could each have {_controls(ratio)}", _can_each_have(reach, ratio), n)
        most = "largest number of controls that nine in ten could each have"
        rows[4:4] = [each, _figure(most, _largest_ratio(reach, n), n)]
    if people.exact:
        cells = pd.crosstab(people.group, people.treated).to_numpy() > 0
        rows.insert(3, _counted("supported in a cell that has controls", int(reach.cell.sum()), n))
        rows.append(_figure("cells of equal exact values", len(cells), n))
        rows.append(_figure("cells with supported people and no control", (~cells[:, 0]).sum(), n))
    return rows


class _Reach(NamedTuple):
    """Of each supported person: whether within the controls' range, in a cell with controls, and near one.

    ``first`` and ``last`` are the places of the controls within reach, people and controls in the order of
    cells and scores; ``ess`` and ``weight`` (n_c,) are of controls as they resemble the supported.
    """

    inside: NDArray[np.bool_]
    cell: NDArray[np.bool_]
    near: NDArray[np.bool_]
    first: Rows
    last: Rows
    weight: Array
    ess: float


def _reach(people: People, caliper: float, link: Link) -> _Reach:
    apart = measure(people, link=link)
    score, treated = apart.line, people.treated
    assert score is not None
    # Cells stand 4 apart on the line, further than any caliper on a score between 0 and 1 can reach.
    width = min(caliper * apart.spread, 1.5)
    place = score + 4.0 * people.group
    mine, theirs = np.sort(place[treated]), np.sort(place[~treated])
    first = np.searchsorted(theirs, mine - width, "left")
    last = np.searchsorted(theirs, mine + width, "right")
    low, high = score[~treated].min(), score[~treated].max()
    inside = (score[treated] >= low) & (score[treated] <= high)
    weight = score[~treated] / np.maximum(1 - score[~treated], 2.0**-52)
    ess = float(weight.sum() ** 2 / max((weight**2).sum(), 1e-300))
    cell = np.isin(people.group[treated], people.group[~treated])
    return _Reach(inside, cell, last > first, first, last, weight, ess)


def _can_each_have(reach: _Reach, ratio: int) -> int:
    """How many supported people could have so many different controls within reach, at once.

    Everyone's reach is equally wide, so that to serve people from the lowest up with the lowest free
    controls is the best that can be done for pairs; for more controls it is a number that can be had.
    """
    free = served = 0
    for first, last in zip(reach.first.tolist(), reach.last.tolist(), strict=True):
        free = max(free, first)
        if last - free >= ratio:
            free += ratio
            served += 1
    return served


def _largest_ratio(reach: _Reach, n: int) -> int:
    for ratio in range(1, _LARGEST_RATIO + 1):
        if _can_each_have(reach, ratio) < _MOST * n:
            return ratio - 1
    return _LARGEST_RATIO


def _detectable(people: People, reach: _Reach, outcome: str, years: float, size: int, ratio: float) -> float:
    """Smallest fall in a rate that would be found, as a ratio; 0 where none would."""
    from scipy.special import ndtri

    name, held = f"prior_{outcome}", [str(c) for c in people.frame if str(c).startswith("prior_")]
    if name not in people.frame:
        near = nearest(name, held)
        raise DataError(
            f"outcome={outcome!r}: the cohort has no column {name!r}, the count of the year before, from "
            f"which to tell how events scatter; it has {', '.join(map(repr, held)) or 'none'}.{near}"
        )
    prior = people.frame[name].to_numpy(float, na_value=np.nan)[~people.treated]
    known = np.isfinite(prior)
    if not known.any():
        raise DataError(
            f"outcome={outcome!r}: column {name!r} is missing for all controls: it is counted before the "
            "index date; give everyone one with cohort.with_index_dates."
        )
    weight = reach.weight[known]
    mean = float(weight @ prior[known] / weight.sum()) if weight.sum() > 0 else 0.0
    if not mean > 0:
        return 0.0
    scatter = float(weight @ (prior[known] - mean) ** 2 / weight.sum())
    excess = max(scatter - mean, 0.0) / mean**2
    error = np.sqrt((1 / (mean * years) + excess) * (1 / size + 1 / (ratio * size)))
    return float(np.exp(-(ndtri(1 - _LEVEL / 2) + ndtri(_POWER)) * error))


def _verdict(reach: _Reach, ratio: int | None, smallest: float | None) -> tuple[str, str]:
    """Whether it can work ('yes', 'partly', 'no') and a sentence that says why."""
    against, limits = [], []
    n, near = len(reach.near), float(reach.near.mean())
    share = f"{_percent(near)} supported people have a control near enough"
    if near < _SHARES[0]:
        against.append(f"only {share}")
    elif ratio is not None and (paired := _can_each_have(reach, 1) / n) < _SHARES[0]:
        against.append(f"only {_percent(paired)} supported people could have a near control of their own")
    elif ratio is not None and _can_each_have(reach, ratio) < _MOST * n:
        largest = _largest_ratio(reach, n)
        most = f"; at most {_controls(largest)} each would do" if largest else ""
        limits.append(f"there are too few near controls to give everyone {_controls(ratio)}{most}")
    if _SHARES[0] <= near < _SHARES[1]:
        limits.append(f"{share}, and the answer would be about these alone")
    if reach.ess < _CONTROLS:
        against.append("hardly any of the controls resemble the supported")
    if smallest is not None and smallest < _RATIOS[1]:
        fall = (
            f"a fall of less than {5 * int(np.ceil(20 * (1 - smallest)))}% could not be told from chance"
            if smallest > 0
            else "there were no such events in the year before"
        )
        (against if smallest < _RATIOS[0] else limits).append(fall)
    if against:
        besides = f" Besides, {'; '.join(limits)}." if limits else ""
        return "no", f"Matching cannot work as planned, because {' and '.join(against)}.{besides}"
    if limits:
        return "partly", f"Matching can work in part: {'; '.join(limits)}."
    return "yes", f"Matching can work: {share}."


def _percent(share: float) -> str:
    """A share in steps of five per cent, which give no count away."""
    return f"about {5 * round(20 * share)}% of" if share > 0.025 else "few"


def _counted(question: str, persons: int, everyone: int) -> dict[str, Any]:
    percent = np.nan if question in _WHOLE else 100 * persons / everyone
    return {"question": question, "persons": persons, "all": everyone, "percent": percent, "figure": np.nan}


_WHOLE = ("supported people", "people who could be controls")


def _figure(question: str, figure: float, behind: int, everyone: int | None = None) -> dict[str, Any]:
    whole = behind if everyone is None else everyone
    found = {"persons": behind, "all": whole, "percent": np.nan, "figure": float(figure)}
    return {"question": question, **found}


def _controls(number: int) -> str:
    words = {1: "one control", 2: "two controls", 3: "three controls"}
    return words.get(number) or f"a number of {number} controls"
