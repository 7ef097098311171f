"""Which studies may be averaged, which are runs on the same people, and why the others are neither.

Studies that share people are not independent of each other, whatever else differs: of these one is averaged,
the one that was named as the main one beforehand, and the rest are set beside it as other choices.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from impact.interpret.studies import listed

# A released result of effects with what ``comparable`` and ``runs_of_one`` say that they take.
Released = Mapping[str, Any]
Named = dict[str, Released]
# What a run's choices call the outcomes that it counts.
_SERVICES = "services"


def comparable(studies: Mapping[str, Released]) -> tuple[list[Named], list[str]]:
    """Sort studies into sets that may be averaged: of different people, and of one quantity in one unit.

    Parameters
    ----------
    studies : mapping of name to released result
        Each with a ``table`` and a ``method``, as ``released_studies`` reads them, and: ``people``, digests
        of the files of its people; ``file``, its parameter file; ``main``, whether it is the main run of
        that file; ``pretend``, whether its starts of support never happened; and maybe ``gone``, whether
        nothing makes it any more.

    Returns
    -------
    sets : list of mappings
        Of two studies or more, the largest first. To the main run's outcomes come those of runs that differ
        from it in nothing but the services that they count.
    said : list of str
        Why the others are in none.

    Examples
    --------
    >>> row = {"outcome": "ae", "scale": "difference", "unit": "per 1,000 person-months"}
    >>> one = {"table": [row | {"estimate": -5.0, "std_error": 2.0}], "method": {"estimand": "effect"}}
    >>> north = one | {"people": ["a"], "file": "north.yaml", "main": True}
    >>> south = one | {"people": ["b"], "file": "south.yaml", "main": True}
    >>> sets, said = comparable({"North": north, "South": south, "South, again": south | {"main": False}})
    >>> [list(names) for names in sets], said
    ([['North', 'South']], [])
    """
    said, kept, elsewhere = list[str](), Named(), defaultdict[str, list[str]](list)
    if pretend := [name for name, study in studies.items() if study.get("pretend")]:
        said.append(f"{listed(pretend)}: starts of support that never happened have no effect to average.")
    real = {name: study for name, study in studies.items() if name not in pretend}
    if old := [name for name, study in real.items() if name not in _current(real) and study.get("main")]:
        said.append(
            f"{listed(old)}: no parameter file makes this any more, and there is a report of the same people "
            "that one makes."
        )
    real = _current(real)
    for people in _sharing(real):
        main = [name for name in people if real[name].get("main")]
        if len(main) == 1:
            whole = kept[main[0]] = _with_other_services(main[0], {name: real[name] for name in people})
            for outcome in _outcomes(*(real[name] for name in people)) - _outcomes(whole):
                elsewhere[outcome].append(main[0])
        elif main:
            said.append(
                f"{listed(main)} were made from the same people in different parameter files, so that "
                "nothing says which of them counts: make them runs of one file, the main one first."
            )
        else:
            said.append(
                f"{listed(people)}: the main run of these has no report, and no other takes its place."
            )
    said += [
        f"`{outcome}`: in no average of {listed(names)}, as only runs that differ from the main one in more "
        "than the services count these; put them in the main run's list."
        for outcome, names in sorted(elsewhere.items())
    ]
    kinds = _grouped(kept, _quantity)
    sets = sorted((names for names in kinds if len(names) > 1), key=len, reverse=True)
    alone = [name for names in kinds if len(names) == 1 for name in names]
    if old := [name for names in sets for name in names if names[name].get("gone")]:
        said.append(f"{listed(old)}: averaged, though no parameter file makes this any more.")
    if sets or len(alone) > 1:
        # As they stand in the list of all studies.
        said += [_alone(name, kept[name]) for name in kept if name in alone]
    return sets, said


def runs_of_one(studies: Mapping[str, Released]) -> list[Named]:
    """Sort runs of parameter files into sets on the same data: those that differ in the choices made.

    Parameters
    ----------
    studies : mapping of name to released result
        As for ``comparable``, each with ``inputs``, digests of all its data files, and ``choices``, what it
        varies.

    Returns
    -------
    list of mappings
        Of two runs or more of one file on the same data, its main run first.
    """
    varied = {name: study for name, study in _current(studies).items() if study.get("choices")}
    sets = _grouped(varied, lambda study: (study["file"], frozenset(study["inputs"])))
    by_main: Callable[[str], bool] = lambda name: not studies[name]["main"]  # noqa: E731
    return [{n: names[n] for n in sorted(names, key=by_main)} for names in sets if len(names) > 1]


def main_for(runs: Mapping[str, Released], outcome: str) -> str | None:
    """Name the run that is the main one for an outcome: the main run, or the first that counts it for it.

    It takes the place of a main run that does not count the outcome if it differs in the services alone.
    """
    main = next((name for name, run in runs.items() if run["main"]), None)
    if main is None or outcome in _outcomes(runs[main]):
        return main
    return next((name for name in _but_services(main, runs) if outcome in _outcomes(runs[name])), main)


def _with_other_services(main: str, runs: Mapping[str, Released]) -> Released:
    table, counted = list(runs[main]["table"]), _outcomes(runs[main])
    for name in _but_services(main, runs):
        table += [row for row in runs[name]["table"] if row["outcome"] not in counted]
        counted |= _outcomes(runs[name])
    return {**runs[main], "table": table}


def _but_services(main: str, runs: Mapping[str, Released]) -> list[str]:
    """Name the runs that differ from the main one in nothing but the services that they count."""

    def others(run: Released) -> tuple[Any, ...]:
        choices = run.get("choices", {})
        return run["file"], {key: said for key, said in choices.items() if key != _SERVICES}

    return [name for name, run in runs.items() if name != main and others(run) == others(runs[main])]


def _outcomes(*studies: Released) -> set[str]:
    return {str(row["outcome"]) for study in studies for row in study["table"]}


def _current(studies: Mapping[str, Released]) -> Named:
    """Leave out what nothing makes any more where another is of the same people."""
    known = {file for study in studies.values() if not study.get("gone") for file in study["people"]}
    return {
        name: study
        for name, study in studies.items()
        if not (study.get("gone") and known & set(study["people"]))
    }


def _sharing(studies: Mapping[str, Released]) -> list[list[str]]:
    """Group the names of studies that share a file of people, directly or by way of others."""
    groups: list[tuple[set[str], list[str]]] = []
    for name, study in studies.items():
        files, names = set(study["people"]), [name]
        for group in [group for group in groups if group[0] & files]:
            groups.remove(group)
            files, names = files | group[0], [*group[1], *names]
        groups.append((files, names))
    order = {name: i for i, name in enumerate(studies)}
    return sorted((sorted(names, key=order.__getitem__) for _, names in groups), key=lambda n: order[n[0]])


def _grouped(studies: Mapping[str, Released], key: Callable[[Released], Hashable]) -> list[Named]:
    found: dict[Hashable, Named] = defaultdict(dict)
    for name, study in studies.items():
        found[key(study)][name] = study
    return list(found.values())


def _quantity(study: Released) -> tuple[str, tuple[str, ...]]:
    """What a study estimates: of whom, and in which units of differences."""
    return str(study["method"].get("estimand", "")), _units(study["table"])


def _units(table: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(sorted({str(row["unit"]) for row in table if row["scale"] == "difference"}))


def _alone(name: str, study: Released) -> str:
    estimand, units = _quantity(study)
    what = f" ({', '.join(units)})" if units else ""
    return f"{name}: no other study estimates what it does, the {estimand or 'effect'}{what}."
