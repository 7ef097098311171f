"""The pages over all studies: the list of them, and what they show together."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from impact.disclosure.policies import policy
from impact.errors import ImpactError
from impact.pages.studies import Listed, studies
from impact.run.plan import code_hash
from impact.run.summaries import summaries

# Of more studies than this, one left out cannot move the average much.
_LEAVE_OUT = 50
# Fewer runs of a study than this are told in a table.
_FEW_RUNS = 4
_POOL = ("pooled", "new_study", "heterogeneity")


def write_pages(folder: str | Path) -> list[Path]:
    """Write the list of the studies in an outputs folder, and the page on all of them together.

    Both hold what reports made on this computer released, and nothing else. The second page is there only
    where there is something to average or several runs on the same people.

    Parameters
    ----------
    folder : path
        With a folder for each study, such as ``outputs``.

    Returns
    -------
    list of paths
        Of the pages.
    """
    folder = Path(folder)
    found = list(summaries(folder, code=code_hash()))
    whole, first = "", list[str]()
    try:
        whole, first = _together(found)
    finally:
        # The list needs nothing of what the studies show together: it is there whatever becomes of that.
        texts = {"index.html": studies([listed for listed, _ in found], across=first), "across.html": whole}
        for name, text in texts.items():
            _put(folder / name, text)
    return [folder / name for name, text in texts.items() if text]


def main(folder: str) -> None:
    """Write the pages of an outputs folder; called by ``renew``."""
    write_pages(folder)


def _put(place: Path, text: str) -> None:
    """Write a page in one step; without a text, take away the one that is there."""
    if not text:
        place.unlink(missing_ok=True)
        return
    new = place.with_name(f".{place.name}-{os.getpid()}")
    try:
        new.write_text(text, encoding="utf-8", newline="\n")
        os.replace(new, place)
    finally:
        new.unlink(missing_ok=True)


def _together(found: Sequence[tuple[Listed, Mapping[str, Any]]]) -> tuple[str, list[str]]:
    """Return the page on all studies together, if there is anything to say, and what it says first."""
    # Only here, because it imports all methods.
    from impact.interpret.comparable import comparable, runs_of_one
    from impact.interpret.studies import listed as shortly

    known = _named([(listed, summary) for listed, summary in found if summary.get("effects")])
    sets, said = comparable(known)
    runs = runs_of_one(known)
    if not (sets or runs):
        return "", []
    # Figures are drawn only where there is something to draw: their libraries take a second to import.
    from impact.pages.across import across, average

    averages, sure = [], []
    for one in sets:
        try:
            averages.append(_averaged(one))
            sure.append([study["sure"] for study in one.values()])
        except ImpactError as problem:
            said.append(f"{shortly(list(one))}: not averaged. {problem}")
    if missing := [listed.title for listed, summary in found if listed.main and not summary]:
        said.append(f"{shortly(missing)}: without a report, so in no average.")
    curves, few = _by_number([curve for names in runs if (curve := _curve(names))])
    # The answer is not said without what one more place may find, and whether it hangs on one study.
    said_first = [average(one).parts[:2] for one in averages]
    first = [" ".join(filter(None, (*lead, *more))) for (_, lead), (_, more) in said_first]
    if runs:
        titles = list(dict.fromkeys(next(iter(names.values()))["title"] for names in runs))
        first.append(f"{shortly(titles)}: how far the answer hangs on the choices made.")
    return across(averages, curves, few=few, sure=sure, said=said), first or said[:1]


def _named(found: Sequence[tuple[Listed, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """What the reports released, by what readers call the studies: the main run by the title alone."""
    titles = Counter(listed.title for listed, _ in found if listed.main)
    named: dict[str, dict[str, Any]] = {}
    for listed, summary in found:
        name = listed.title
        if listed.choices and not (listed.main and titles[name] == 1):
            name = f"{name}, {listed.chosen}"
        name = f"{name} ({listed.name})" if name in named or titles[name] > 1 else name
        more = {
            key: summary[key] for key in ("file", "main", "pretend", "choices", "inputs", "policy", "sure")
        }
        more |= {"smallest_shown": policy(summary["policy"]).smallest_shown, "gone": bool(listed.gone)}
        named[name] = {**summary["effects"], **more, "title": listed.title}
    return named


def _released(results: Mapping[str, Any], of: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """Release under the strictest policy of the studies."""
    from impact.disclosure import release

    return release(
        results, max((policy(one["policy"]) for one in of.values()), key=lambda p: p.smallest_shown)
    )


def _averaged(one: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """Average the studies of one set, outcome by outcome, as ``pages.across`` shows it."""
    from impact.interpret import pool, side_by_side, without_each_study

    found = pool(one)
    results: dict[str, Any] = {name: found[name] for name in _POOL if name in found}
    for outcome in found["pooled"].table["outcome"].unique():
        rows = {
            name: [row for row in study["table"] if row["outcome"] == outcome] for name, study in one.items()
        }
        results[f"studies: {outcome}"] = side_by_side(
            {name: {**study, "table": rows[name]} for name, study in one.items() if rows[name]}
        )
    if 2 < len(one) <= _LEAVE_OUT and "new_study" in found:
        results["leave_one_out"] = without_each_study(one)
    return _released(results, one)


@dataclass(frozen=True)
class _Curve:
    """The specification curves of runs on the same people by outcome, and what else is known of the runs."""

    name: str
    title: str
    runs: Mapping[str, Mapping[str, Any]]
    by_outcome: Mapping[str, Any]

    @property
    def is_small(self) -> bool:
        """Whether a figure of its runs would show next to nothing."""
        return all(curve.table["run"].nunique() < _FEW_RUNS for curve in self.by_outcome.values())

    @property
    def differs_in(self) -> Hashable:
        """What its runs vary, and what the main one of them has of it."""
        main, *others = (run["choices"] for run in self.runs.values())
        return frozenset((k, said) for k, said in main.items() if any(o.get(k) != said for o in others))


def _curve(runs: Mapping[str, Mapping[str, Any]]) -> _Curve | None:
    """Set runs on the same people beside each other, outcome by outcome, if any two count the same."""
    from impact.interpret import specification_curve
    from impact.interpret.comparable import main_for

    choices = {name: run["choices"] for name, run in runs.items()}
    curves, name = {}, next(iter(runs))
    for outcome in dict.fromkeys(_outcomes(runs.values())):
        whole = specification_curve(runs, choices=choices, main=main_for(runs, outcome))
        rows = (whole.table["outcome"] == outcome).to_numpy()
        if whole.table[rows].groupby("scale")["run"].nunique().max() > 1:
            table, counts = (part[rows].reset_index(drop=True) for part in (whole.table, whole.counts))
            curves[outcome] = replace(whole, table=table, counts=counts)
    return _Curve(name, runs[name]["title"], runs, curves) if curves else None


def _outcomes(runs: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    yield from (str(row["outcome"]) for run in runs for row in run["table"])


def _by_number(curves: Sequence[_Curve]) -> tuple[list[tuple[str, Any]], list[Any]]:
    """Release curves for figures, and of studies with few runs each one table for all that vary the same."""
    from impact.interpret.specifications import few_runs

    drawn = [(one.title, _released(one.by_outcome, one.runs)) for one in curves if not one.is_small]
    small: dict[Hashable, list[_Curve]] = defaultdict(list)
    for one in curves:
        if one.is_small:
            small[one.differs_in].append(one)
    few = []
    for alike in small.values():
        titles = Counter(one.title for one in alike)
        named = {one.title if titles[one.title] == 1 else one.name: one for one in alike}
        together = {
            outcome: few_runs(
                {n: one.by_outcome[outcome] for n, one in named.items() if outcome in one.by_outcome}
            )
            for outcome in dict.fromkeys(_outcomes(run for one in alike for run in one.runs.values()))
            if any(outcome in one.by_outcome for one in alike)
        }
        few.append(
            _released(
                together, {f"{i} {n}": run for i, one in enumerate(alike) for n, run in one.runs.items()}
            )
        )
    return drawn, few
