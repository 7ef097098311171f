"""The data contract: the one declaration behind the checks, the documentation and the demonstration data.

Every first and last day counts: a tenancy, a coverage row and a life all include their last day, so the day
of death is a day at risk and an admission on that day is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from impact.data.rules import RULES
from impact.data.scores import MEASURES, Measure
from impact.data.services import SERVICES, STAYS

__all__ = [
    "DAYS_PER_MONTH",
    "DERIVED",
    "DERIVED_OUTCOMES",
    "RULES",
    "SERVICES",
    "STAYS",
    "TABLES",
    "Column",
    "Table",
    "markdown",
    "schema",
]

Type = Literal["text", "date", "month", "bool", "int", "float"]

# An outcome that is not itself a service, and the services it is counted from.
DERIVED_OUTCOMES = {"bed_days": STAYS}

DAYS_PER_MONTH = 30.4375


@dataclass(frozen=True)
class Column:
    """One column of a table: its name, type, meaning, and what it may hold."""

    name: str
    type: Type
    meaning: str
    required: bool = False
    allowed: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None

    @property
    def expected(self) -> str:
        """What a value must be, for the check that it can be read."""
        if self.allowed:
            return "one of " + ", ".join(self.allowed)
        limits = f" of {self.low:g} or more" if self.low is not None else ""
        if self.high is not None:
            limits = f" from {self.low:g} to {self.high:g}"
        return _EXPECTED[self.type] + limits


_EXPECTED: dict[str, str] = {
    "text": "text",
    "date": "a date such as 2024-03-31 or 31/03/2024",
    "month": "a month such as 1950-07",
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
}


@dataclass(frozen=True)
class Table:
    """One table: what a row is, and its columns."""

    name: str
    meaning: str
    columns: tuple[Column, ...]
    required: bool = False

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return [column.name for column in self.columns]


def _c(name: str, type: Type, meaning: str, **more: Any) -> Column:
    return Column(name, type, meaning, **more)


def _asked(asked: Measure) -> list[Column]:
    """The columns of one thing people are asked: one answer, or those that are added up and their sum."""
    if asked.kind == "yes or no":
        return [_c(asked.name, "bool", asked.meaning)]
    if asked.kind == "count":
        return [_c(asked.name, "int", asked.meaning, low=0)]
    if not asked.items:
        return [_c(asked.name, "int", asked.meaning, low=asked.low, high=asked.high)]
    said, low, high = asked.meaning.split(" (")[0], asked.items, asked.items * asked.item_high
    items = [_c(name, "int", f"{said}: one answer", low=1, high=asked.item_high) for name in asked.columns]
    total = f"{said}: sum of the {low} answers, where they are not held one by one"
    return [*items, _c(f"{asked.name}_total", "int", total, low=low, high=high)]


_ID = _c(
    "person_id", "text", "a study number: never an NHS number, a name or an e-mail address", required=True
)

TABLES: dict[str, Table] = {
    t.name: t
    for t in (
        Table(
            "people",
            "one row a person",
            (
                _ID,
                _c(
                    "arm",
                    "text",
                    "the group the person belongs to; the study lists which are treated",
                    required=True,
                ),
                _c("offer_date", "date", "when support was offered"),
                _c(
                    "start_date",
                    "date",
                    "when support started; empty for people who never had it",
                    required=True,
                ),
                _c(
                    "withdrew",
                    "date",
                    "day the person was taken out of the study after joining a group (not of consent)",
                ),
                _c("tenancy_start", "date", "first day of the tenancy; empty means before all coverage"),
                _c("tenancy_end", "date", "last day of the tenancy"),
                _c("moved_out", "date", "day the person moved out; it counts as a day at risk"),
                _c("died", "date", "day of death; it counts as a day at risk"),
                _c("linked", "bool", "whether the person was found in the NHS data; empty means yes"),
                _c("consent", "bool", "whether the person agreed to the use of their data; empty means yes"),
                _c("opt_out", "bool", "whether a national data opt-out applies; empty means no"),
                _c("birth_month", "month", "year and month of birth"),
                _c("age_band", "text", "age group, where the month of birth is not held"),
                _c("sex", "text", "sex; empty means unknown", allowed=("f", "m", "x", "unknown")),
                _c(
                    "ethnicity",
                    "text",
                    "ethnic group; empty means unknown",
                    allowed=("asian", "black", "mixed", "white", "other", "unknown"),
                ),
                _c("imd_decile", "int", "deprivation decile, 1 the most deprived", low=1, high=10),
                _c("lsoa", "text", "small area of residence"),
                _c("ltc_n", "int", "number of long-term conditions", low=0),
                _c("frailty", "float", "frailty score", low=0),
                _c("tenure", "text", "kind of tenancy"),
                _c("building_id", "text", "building or scheme: people in one may be alike"),
                _c("household_id", "text", "household"),
                _c("officer_id", "text", "the officer who gives the support"),
            ),
            required=True,
        ),
        Table(
            "contacts",
            "one row an NHS contact",
            (
                _ID,
                _c("service", "text", "kind of service: " + ", ".join(SERVICES), required=True),
                _c("start", "date", "day of the contact, or of admission", required=True),
                _c("end", "date", "day of discharge, for stays"),
                _c("record_id", "text", "identifier of the record, to find duplicates"),
                _c("source", "text", "data set the record came from"),
                _c(
                    "status",
                    "text",
                    "whether it took place; empty means attended",
                    allowed=("attended", "dna", "cancelled"),
                ),
                _c("provider", "text", "organisation"),
                _c("cost", "float", "cost in GBP", low=0),
            ),
            required=True,
        ),
        Table(
            "coverage",
            "one row a service and source: from when to when its contacts are observed",
            (
                _c("service", "text", "kind of service, as in contacts", required=True),
                _c("first_date", "date", "first day observed", required=True),
                _c("last_date", "date", "last day observed", required=True),
                _c("applies_to_arm", "text", "the one arm it applies to; empty means all"),
                _c("source", "text", "data set"),
            ),
        ),
        Table(
            "survey",
            "one row a person and wave: what people said; further columns may hold scores of your own",
            (
                _ID,
                _c("wave", "text", "which interview", required=True),
                _c("interview_date", "date", "day of the interview", required=True),
                _c("recall_days", "int", "days the counts look back over", low=1),
                *(column for asked in MEASURES.values() for column in _asked(asked)),
                _c("mode", "text", "how the interview was held"),
            ),
        ),
    )
}

DERIVED = (
    _c("treated", "bool", "whether the arm is listed as treated"),
    _c("index_date", "date", "start of support for the treated; for controls only once drawn or matched"),
    _c("age", "float", "completed years at the index date, from the month of birth"),
    _c("imd_fifth", "float", "deprivation fifth, 1 the most deprived: deciles in pairs"),
    *(
        _c(
            f"prior_{s}",
            "float",
            f"{s} contacts in the year before the index date; empty if not all observed",
        )
        for s in SERVICES
    ),
    _c(
        "prior_bed_days",
        "float",
        "nights in hospital in the year before the index date; empty if not all observed",
    ),
    _c(
        "prior_<service>_q1",
        "float",
        "with a history: contacts in the three months before the index date, `_q2` in the three before those "
        "and so on, `_m1` in single months; empty where not all were observed",
    ),
    _c("trend_<service>", "float", "with a history: slope, a period, of a line through these counts"),
    _c("latest_<service>", "float", "with a history: the latest of these counts less the mean of the others"),
    _c(
        "prior_log1p_<service>_q1",
        "float",
        "the same as logarithms of one more (`log1p`) or square roots (`sqrt`), also of trend and latest",
    ),
    _c("members", "int", "people in the household, where households are the unit"),
    _c("observed_from", "date", "first day on which any service is observed and the person is a tenant"),
    _c("observed_to", "date", "last such day: the first of death, move, end of tenancy, end of coverage"),
    _c(
        "bed_days",
        "float",
        "outcome: nights of emergency and elective stays, overlaps merged, split over periods",
    ),
)


def schema() -> dict[str, Any]:
    """Return the contract as plain data: tables, columns, derived columns and rules.

    Examples
    --------
    >>> schema()["people"]["columns"][0]["name"]
    'person_id'
    """
    return {
        name: {
            "meaning": table.meaning,
            "required": table.required,
            "columns": [{**vars(column)} for column in table.columns],
            "rules": [
                {
                    "column": r.column,
                    "rule": r.name,
                    "severity": r.severity,
                    "found": r.sentence,
                    "action": r.action,
                }
                for r in RULES
                if r.table == name
            ],
        }
        for name, table in TABLES.items()
    } | {"derived": {"meaning": "columns made from these tables", "columns": [{**vars(c)} for c in DERIVED]}}


def markdown() -> str:
    """Return the contract as Markdown tables, for the documentation."""
    parts = []
    for name, part in schema().items():
        parts += [f"## {name}", "", f"{part['meaning'].capitalize()}.", ""]
        parts += _grid(
            ["column", "type", "required", "meaning"],
            [
                [f"`{c['name']}`", c["type"], "yes" if c["required"] else "", _meaning(c)]
                for c in part["columns"]
            ],
        )
        if part.get("rules"):
            rows = [
                [f"`{r['column']}`", r["rule"], r["severity"], r["found"], r["action"]] for r in part["rules"]
            ]
            parts += _grid(["column", "check", "severity", "rows that", "what happens"], rows)
    return "\n".join(parts).rstrip() + "\n"


def _meaning(column: dict[str, Any]) -> str:
    limits = ", ".join(f"`{v}`" for v in column["allowed"])
    return str(column["meaning"]) + (f": {limits}" if limits else "")


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines] + [""]
