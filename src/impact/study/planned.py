"""The plans of a study on file, and how what runs differs from what was planned.

A plan is a file ``protocols/<study>/v1.json`` that ``impact protocol`` writes and nothing overwrites;
amendments are ``v2.json`` and so on, each with its date, its reason and what it changed. The plan that
counts is the last one written before any result; later ones can only give reasons.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impact.errors import ParameterError
from impact.study.choices import FILES
from impact.study.counted import canonical, counted, differences, fingerprint, flat, in_words, varied
from impact.study.project import project_root

if TYPE_CHECKING:
    from impact.study.model import Study
    from impact.study.sections import Section

FOLDER = "protocols"
_KEYS = ("written", "after_results", "same_data", "because", "changed", "parameters", "in_full", "runs")
# Sections and keys that are worked out beside the main result or after it.
_BESIDE = (
    *("checks", "data.survey", "did.tests", "disclosure", "equity", "money", "survey"),
    *("matching.negative_control", "matching.sensitivity", "matching.spillover"),
)
_NONE = "No plan was written before the results, so nothing shows which choices were made before them."


def versions(folder: Path) -> list[dict[str, Any]]:
    """Read the plans in a study's folder, the first first.

    Raises
    ------
    ParameterError
        Where one is missing, cannot be read, or was changed after it was written.
    """
    numbers = {int(m[1]): p for p in folder.glob("v*.json") if (m := re.fullmatch(r"v(\d+)\.json", p.name))}
    found = []
    for number in range(1, max(numbers, default=0) + 1):
        name = f"{FOLDER}/{folder.name}/v{number}.json"
        if number not in numbers:
            raise ParameterError(f"{name}: is missing, and a later plan is there; put it back as it was.")
        try:
            said = json.loads(numbers[number].read_text(encoding="utf-8"))
            date.fromisoformat(said["written"])
            whole = said["version"] == number and all(key in said for key in _KEYS)
            whole = whole and said["sha256"] == fingerprint(_hashed(said["parameters"], said["runs"]))
        except (OSError, ValueError, KeyError, TypeError):
            whole = False
        if not whole:
            raise ParameterError(
                f"{name}: was changed after it was written; put it back as it was, and write changes of the "
                "plan by `impact protocol` with --because."
            )
        found.append(said)
    return found


def plan_of(studies: Sequence[Study]) -> dict[str, Any]:
    """Return what is planned by one parameter file: its parameters, its runs, and their hash.

    Parameters
    ----------
    studies : sequence of Study
        The runs of the file, the main one first.
    """
    main = studies[0]
    in_full = flat(counted(main, in_full=True))
    runs = [
        {"varied": varied(study), "differs": _beside(in_full, flat(counted(study, in_full=True)))}
        for study in studies
        if study.varied
    ]
    parameters = counted(main)
    plan = {"parameters": parameters, "in_full": in_full, "runs": runs}
    return {"sha256": fingerprint(_hashed(parameters, runs)), **plan}


def _hashed(parameters: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    # Without a matrix it is the hash of the parameters alone, and so that of the run.
    matrix = sorted((run["varied"] for run in runs), key=canonical)
    return {**parameters, "matrix": matrix} if matrix else dict(parameters)


def _beside(main: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    """What one run of a matrix has otherwise than the main one; None where it has no such key."""
    keys = sorted({*main, *run})
    return {key: run.get(key) for key in keys if main.get(key) != run.get(key)}


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, str]]:
    """Say key by key what an amendment changes in a plan, in readers' words."""
    given = {*flat(before["parameters"]), *flat(after["parameters"])}
    found = differences(before["in_full"], after["in_full"], given=given)
    rows = [_row(key, *pair) for key, pair in found.items()]
    one, two = ({canonical(run["varied"]) for run in plan["runs"]} for plan in (before, after))
    if one != two:
        said = [f"{len(runs)} run{'s' * (len(runs) != 1)}" if runs else "one run" for runs in (one, two)]
        rows.append({"key": "matrix", "what": "runs of the study", "was": said[0], "is": said[1]})
    return rows


def _row(key: str, was: Any, now: Any) -> dict[str, str]:
    (what, first), (_, second) = in_words(key, was), in_words(key, now)
    if first == second:
        # Two values that readers would be told alike: their names tell them apart.
        first, second = canonical(was), canonical(now)
    return {"key": key, "what": what, "was": first, "is": second}


def kept(study: Study) -> dict[str, Any]:
    """Compare a study with its plan.

    Returns
    -------
    dict
        ``status`` ('kept', 'differs', 'retrospective' or 'none'), ``line`` for readers, ``rows`` (what,
        planned, run, reason), ``run_sha256``; and of the plan ``version, written, sha256``. Where what
        decides the main result differs, ``departed`` names it and ``unexplained`` what has no reason.

    Raises
    ------
    ParameterError
        For a plan that was changed after it was written.
    """
    run = counted(study)
    own = {"run_sha256": fingerprint(run)}
    plans = _plans_of(study, own["run_sha256"])
    if not plans:
        return {"status": "none", "line": _NONE, "rows": [], **own}
    before = [plan for plan in plans if not plan["after_results"]]
    plan = before[-1] if before else plans[-1]
    in_full = flat(counted(study, in_full=True))

    def differing(one: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
        given = {*flat(one["parameters"]), *flat(run)}
        return differences(_expected(one, study), in_full, given=given)

    found, latest = differing(plan), differing(plans[-1])
    rows, departed, unexplained = [], [], []
    for key, pair in found.items():
        told = _row(key, *pair)
        why = SILENT if key in latest else _reason(key, plans)
        rows.append({"what": told["what"], "planned": told["was"], "run": told["is"], "reason": why})
        if _decides(key, pair, study):
            departed.append(told["what"])
            unexplained += [told["what"]] * (why == SILENT)
    status = "retrospective" if not before else "differs" if rows else "kept"
    line = _line(status, plan, plans[0], rows)
    about = {name: plan[name] for name in ("version", "written", "sha256")}
    decisive = {"departed": departed, "unexplained": unexplained}
    return {"status": status, "line": line, "rows": rows, **decisive, **about, **own}


def _decides(key: str, pair: tuple[Any, Any], study: Study) -> bool:
    """Whether the main result hangs on what differs: its outcome, its estimator, its time, its people."""
    if key == "outcomes":
        first, second = ((value or [""])[0] for value in pair)
        return bool(first != second)
    if key.startswith("matching") and study.did is not None and not study.did.matched:
        # Beside a difference-in-differences it is the second method, unless that compares matched people.
        return False
    return not {key, key.partition(".")[0]} & {*_BESIDE}


def _plans_of(study: Study, sha256: str) -> list[dict[str, Any]]:
    root = project_root() / FOLDER
    if study.parameter_file:
        return versions(root / study.parameter_file.stem)
    # A study made in a notebook has no file: its plan is the one that says the same, or has its title.
    every = [found for folder in sorted(root.glob("*/")) if (found := versions(folder))]
    same = [found for found in every if found[-1]["sha256"] == sha256]
    same += [found for found in every if found[-1]["title"] == study.title]
    return same[0] if same else []


def _expected(plan: Mapping[str, Any], study: Study) -> dict[str, Any]:
    """What was planned for this run, by dotted keys: the main run's, and what this one was to vary."""
    mine = canonical(varied(study))
    planned = [run["differs"] for run in plan["runs"] if canonical(run["varied"]) == mine]
    whole = {**plan["in_full"], **(planned[0] if planned else {})}
    return {key: value for key, value in whole.items() if value is not None}


def _reason(key: str, plans: Sequence[Mapping[str, Any]]) -> str:
    for plan in reversed(plans):
        if any(change["key"] == key for change in plan["changed"]):
            when = "after results existed" if plan["after_results"] else "before any result"
            return f"Amended {when} (version {plan['version']}): {plan['because'].rstrip('.')}."
    return SILENT


def trial(studies: Sequence[Study]) -> dict[str, str]:
    """Return the target trial as a plan states it: also checks, subgroups, costs and what runs vary."""
    main = studies[0]
    said = {
        **main.protocol,
        "Checks": _options(main.checks),
        "Subgroups": _options(main.equity) if main.equity else "None are planned.",
        "Kinds of support": _options(main.arms) if main.arms else "None are told apart.",
        "Money": _options(main.money) if main.money else "Costs are not worked out.",
    }
    return said | ({"Runs": _runs(studies)} if any(study.varied for study in studies) else {})


def _runs(studies: Sequence[Study]) -> str:
    """Say how many runs there are, of how many places, which are the main ones, and what is varied."""
    keys: dict[str, dict[str, None]] = {}
    places: dict[str, str] = {}
    for study in studies:
        # Places go by their titles, where these tell them apart.
        named = study.place if "data" in study.choices else study.title
        places.setdefault(study.place, named)
        for key, value in study.varied.items():
            if key not in FILES:
                what, chosen = in_words(key, value)
                keys.setdefault(what, {})[chosen] = None
    if len(places) == 1:
        said = f"{len(studies)} runs, of which the first is the main one."
    elif keys:
        main = [in_words(*pair) for pair in studies[0].varied.items() if pair[0] not in FILES]
        of_each = "; ".join(f"{what}: {chosen}" for what, chosen in main) or "what the file says"
        said = f"{len(studies)} runs in {len(places)} places: {', '.join(places.values())}. "
        said += f"The main run of each place has {of_each}."
    else:
        said = f"{len(places)} places, with one run each: {', '.join(places.values())}."
    each = "; ".join(f"{what} ({'; or '.join(chosen)})" for what, chosen in keys.items())
    return f"{said} Varied: {each}." if keys else said


def _options(section: Section) -> str:
    """Say each option of a section that the file sets; what it leaves out is as usual."""
    values = section.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    said = "; ".join(f"{name.replace('_', ' ')}: {in_words(name, v)[1]}" for name, v in values.items())
    return f"{said[:1].upper()}{said[1:]}." if said else "As usual."


def said_day(written: str) -> str:
    """Return a day as readers write it.

    Examples
    --------
    >>> said_day("2026-03-03")
    '3 March 2026'
    """
    day = date.fromisoformat(written)
    return f"{day.day} {day:%B %Y}"


SILENT = "No reason was given."
_SHORT = 30
_NUMBERS = ("", "One thing", "Two things", "Three things", "Four things", "Five things", "Six things")


def _line(
    status: str, plan: Mapping[str, Any], first: Mapping[str, Any], rows: Sequence[Mapping[str, str]]
) -> str:
    """Say in a sentence or three what was planned when, and whether it was kept to."""
    written = f"The plan was written on {said_day(first['written'])}"
    if status == "retrospective":
        said = f"{written}, after results of this study existed, so it does not show what was chosen before."
    else:
        study = " of this study" if plan["same_data"] else ""
        amended = plan["version"] > 1
        later = f" and amended on {said_day(plan['written'])}, both" if amended else ","
        said = f"{written}{later} before any result{study}"
        said += ", and this is what was done." if status == "kept" else "."
        if plan["same_data"]:
            said += " Another study of the same files had results by then."
    return f"{said} {_differing(rows)}" if rows else said


def _differing(rows: Sequence[Mapping[str, str]]) -> str:
    n = len(rows)
    many = _NUMBERS[n] if n < len(_NUMBERS) else f"{n} things"
    rest = f"; and {n - 3} more" if n > 3 else ""
    silent = sum(row["reason"] == SILENT for row in rows)
    some = f"For {silent} of them no reason was given." if silent else "The page on who is in it says why."
    why = SILENT if silent == n else some
    return f"{many} differ{'s' * (n == 1)} from it: {'; '.join(map(_named, rows[:3]))}{rest}. {why}"


def _named(row: Mapping[str, str]) -> str:
    """What differs, with both values where they are short."""
    both = row["planned"], row["run"]
    return row["what"] + (f" ({both[0]} planned, {both[1]} done)" if max(map(len, both)) <= _SHORT else "")
