"""The logs that analysts of official figures keep: data, assumptions and caveats, quality assurance.

They are made from what was released and from what the report was made from, and hold no path and no name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from impact.pages.called import left_out
from impact.pages.formats import capital, number, plain
from impact.pages.layout import NOT_SHOWN
from impact.pages.report import Entry
from impact.run.plan import Plan
from impact.study import Study

Results = Mapping[str, Sequence[Mapping[str, Any]]]

_ALWAYS = (
    "Support to one person does not change how much others use services.",
    "The records hold every contact within the time that they are said to cover.",
)
_ANSWERS_ALONE = (
    "Support to one person does not change what others say.",
    "Those who answered again speak for those who did not, once weighed by what is known of them.",
    "Without support, answers would have changed in those supported as they did in the comparison.",
)
_STAY = {
    False: "Those who died, moved or were lost would have gone on as those who stayed.",
    True: "Those who died, moved or were lost would have gone on as people like them who stayed.",
}
_TREND = {
    "synthetic_did": "Without support, use would have followed the weighted comparison, as it did before.",
    "triple_difference": "Without support, the gap between those eligible and not would have changed alike.",
}
_ALIKE = "Without support, use would have changed in those supported as it did in the comparison."
_MATCHED = (
    "Among people who are alike in what they were matched or weighted on, who got support does not hang on "
    "anything else that also changes use."
)
_LOT = "Support was given by lot, so that groups differ by chance alone."


def write_logs(
    study: Study, results: Results, planned: Plan, *, pages: Mapping[str, Entry], folder: Path
) -> list[tuple[str, str]]:
    """Write the three logs as Markdown into ``folder/logs``; return what each is and where."""
    logs = {
        "data-log": ("Data log", _data(results, planned.made_from)),
        "assumptions-caveats": ("Assumptions and caveats log", _assumptions(study, planned.made_from)),
        "qa-log": ("Quality assurance log", _quality(study, results, planned.made_from, pages)),
    }
    (folder / "logs").mkdir()
    files = []
    for name, (title, lines) in logs.items():
        text = "\n".join([f"# {title}", "", f"Study: {study.title}", "", *lines, ""])
        (folder / "logs" / f"{name}.md").write_text(text, encoding="utf-8", newline="\n")
        files.append((f"{title} (Markdown)", f"logs/{name}.md"))
    return files


def _data(results: Results, made_from: Mapping[str, Any]) -> list[str]:
    """Which files were read, by table and hash, and what the checks of their records found."""
    inputs = [(one["table"], f"`{one['sha256']}`") for one in made_from["inputs"]]
    lines = ["## Files", "", *_table(("Table", "SHA-256"), inputs), "", "## Records", ""]
    quality = _released(results, "data quality")
    if quality is None:
        return [*lines, "No check of the records is on a page of this report."]
    rows = [
        (
            row["table"],
            row["column"],
            capital(plain(left_out(row["rule"]))),
            _count(row),
            capital(row["action"]),
        )
        for row in quality["table"]
        if row["count"] != 0
    ]
    found = f"{number(len(quality['table']) - len(rows))} other checks found nothing."
    head = ("Table", "Column", "Check", "Records", "What was done")
    return [*lines, *_table(head, rows), "", found, *(f"\n{note}" for note in quality["notes"])]


def _assumptions(study: Study, made_from: Mapping[str, Any]) -> list[str]:
    """What must hold for the answer to be right, and what a reader must know."""
    censored = study.did is not None and study.did.censoring is not None
    assumed = [*_ALWAYS, _STAY[censored]] if study.outcomes else [*_ANSWERS_ALONE]
    if study.design.assignment == "randomised":
        assumed.append(_LOT)
    elif study.matching:
        assumed.append(_MATCHED if study.outcomes else _MATCHED.replace("use", "answers"))
    if study.did:
        assumed.append(_TREND.get(study.did.estimator, _ALIKE))
    caveats = list(study.remarks)
    caveats += [
        f"Otherwise than planned: {row['what']} was planned as {row['planned']} and done as {row['run']}. "
        f"{row['reason']}"
        for row in made_from["plan"].get("rows", [])
    ]
    caveats.append(str(made_from["disclosure"]["note"]))
    design = [f"- **{name}**: {capital(plain(said))}" for name, said in study.protocol.items()]
    return [
        *("## Assumptions", "", *(f"{i}. {said}" for i, said in enumerate(assumed, 1)), ""),
        *("## Caveats", "", *(f"{i}. {plain(said)}" for i, said in enumerate(caveats, 1)), ""),
        *("## Design", "", *design),
    ]


def _quality(
    study: Study, results: Results, made_from: Mapping[str, Any], pages: Mapping[str, Entry]
) -> list[str]:
    """Which checks were made and how they came out, by which versions; and who must still look."""
    shown = [
        (pages[page].title, _NAMES.get(item["name"], str(item["name"]).replace("_", " ")))
        for page, items in results.items()
        for item in items
        if item["kind"] in ("test", "bounds", "balance") or item["method"].get("shows") in _CHECKS
    ]
    evidence = [
        f"- {page.title}: {page.sure}. {page.behind}".rstrip() for page in pages.values() if page.sure
    ]
    code = made_from["code"]
    versions = [("impact", code["impact"]), ("impact, its files", f"`{code['sha256']}`")]
    versions += [("Python", made_from["python"]), *made_from["packages"].items()]
    methods = [item["method"] for items in results.values() for item in items]
    lists = [said for said in methods if said.get("shows") == "checklist"]
    told = [f"- {said['list']}: {said['reported']} items reported." for said in lists]
    plan = made_from["plan"]
    return [
        *("## Plan", "", f"- {_PLANS.get(str(plan.get('status')), _PLANS['none'])}", ""),
        *("## Evidence", "", *(evidence or [_UNSURE[bool(study.survey and not study.outcomes)]]), ""),
        *("## Checks on the pages", "", *_table(("Page", "Check"), shown), ""),
        *("## Checklists", "", *told, "") * bool(told),
        *("## Disclosure", "", f"- {made_from['disclosure']['title']}.", ""),
        *("## Versions", "", *_table(("What", "Version"), versions), ""),
        *("## To be filled in by people", "", *_table(("Check", "Who", "When", "Found"), _BY_PEOPLE)),
    ]


_UNSURE = {
    False: "- Nothing was estimated.",
    True: "- What people said was compared; the strength of the evidence is not rated for answers.",
}
_NAMES = {
    "quality": "checks of the records",
    "pretrend": "whether the groups moved alike before support",
    "bounds": "the effect, if the groups would have parted without support",
    "naive": "what before and after alone would have said",
    "pretend": "starts of support dealt out anew",
    "feasibility": "whether matching can work",
    "balance": "whether matching made the groups alike",
    "rosenbaum_bounds": "how strong a hidden reason would have to be (bounds)",
    "e_value": "how strong a hidden reason would have to be (E-value)",
}
_CHECKS = ("placebo", "whether matching can work", "data quality", "before and after")
_PLANS = {
    "kept": "A plan was written before any result, and kept to.",
    "differs": "A plan was written before any result; what differs is in the log of assumptions and caveats.",
    "retrospective": "The plan was written after results existed.",
    "none": "No plan was written before the results.",
}
_BY_PEOPLE = [
    (what, "", "", "")
    for what in (
        "Parameters read by a second analyst",
        "Numbers on the findings page traced to the files",
        "Output checked for disclosure",
    )
]


def _released(results: Results, shows: str) -> Mapping[str, Any] | None:
    every = (item for items in results.values() for item in items)
    return next((item for item in every if item["method"].get("shows") == shows), None)


def _count(row: Mapping[str, Any]) -> str:
    return NOT_SHOWN if row["withheld"] else number(row["count"])


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """A table in Markdown; a bar in a cell would end it."""
    every = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(str(cell).replace('|', '/') for cell in row)} |" for row in every]
