"""The checks of the data contract, one declaration each: what is found, how grave it is, what happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

SERVICES = (
    "gp",
    "gp_emergency",
    "nurse",
    "ae",
    "outpatient",
    "emergency_admission",
    "elective_admission",
    "day_case",
    "ambulance",
    "nhs111",
    "community",
    "mental_health",
)
STAYS = ("emergency_admission", "elective_admission")

SMALL_ARM = 20
SMALL_CELL = 10
TOLERATED = 0.01


@dataclass(frozen=True)
class Rule:
    """One check: a sentence for people, a predicate for DuckDB, and what happens to the rows it finds.

    Parameters
    ----------
    table, column, name : str
        What is checked, and the short name in the quality table.
    sentence : str
        What is wrong with the rows found, as it stands in a message.
    severity : 'E' or 'W'
        Error or warning.
    where : str
        SQL predicate that is true for a row that breaks the rule, or the number of rows it stands for.
    action : str
        What is done about it.
    rows : str
        SQL source of the rows, where it is not the table itself.
    tolerated : float or None
        Share of the table's rows up to which the rule does not stop the study; None never stops it.
    drops : bool
        Whether the rows found are left out.
    by_arm : bool
        Whether the rows are counted for each arm.
    """

    table: str
    column: str
    name: str
    sentence: str
    severity: Literal["E", "W"]
    where: str
    action: str
    rows: str = ""
    tolerated: float | None = None
    drops: bool = False
    by_arm: bool = False


# The check digit of an NHS number makes the weighted sum of all ten digits a multiple of 11. Only ranges that
# are issued are refused (England and Wales, Northern Ireland, and Scotland's numbers, which begin with a date
# of birth), so that zero-padded study numbers pass.
_DIGITS = "regexp_replace(person_id, '[ -]', '', 'g')"
_NHS_RANGE = "[4679][0-9]{9}|3[2-9][0-9]{8}|(0[1-9]|[12][0-9]|3[01])(0[1-9]|1[0-2])[0-9]{6}"
_NHS_SUM = " + ".join(f"{10 - i} * TRY_CAST(substr({_DIGITS}, {i + 1}, 1) AS INTEGER)" for i in range(10))
_NHS = f"regexp_full_match({_DIGITS}, '{_NHS_RANGE}') AND ({_NHS_SUM}) % 11 = 0"

_STAYS = "service IN ('" + "', '".join(STAYS) + "')"
_REPEATED = "(SELECT count(*) - 1 AS extra FROM {table} GROUP BY {by})"
_IN_ARMS = "people p JOIN listed l USING (arm)"

STOP = "the study stops"
_LEFT_OUT = "left out and counted"
_LEFT_OUT_1 = f"left out and counted; above {TOLERATED:.0%} of rows the study stops"


def _error(table: str, column: str, name: str, sentence: str, where: str, **more: Any) -> Rule:
    return Rule(table, column, name, sentence, "E", where, **{"action": STOP, "tolerated": 0.0, **more})


def _warning(
    table: str, column: str, name: str, sentence: str, where: str, action: str, rows: str = "", **more: Any
) -> Rule:
    return Rule(table, column, name, sentence, "W", where, action, rows, **more)


RULES: tuple[Rule, ...] = (
    _error("people", "person_id", "missing", "have no identifier", "person_id IS NULL"),
    _error(
        "people",
        "person_id",
        "duplicate",
        "repeat a person who stood before",
        "extra",
        rows=_REPEATED.format(table="people WHERE person_id IS NOT NULL", by="person_id"),
    ),
    _error(
        "people",
        "person_id",
        "NHS number",
        "are valid NHS numbers: use a study number (one that is not ten digits long)",
        _NHS,
    ),
    _error(
        "people", "person_id", "e-mail", "are e-mail addresses: use a study number", "person_id LIKE '%_@_%'"
    ),
    _error(
        "people",
        "person_id",
        "name",
        "look like people's names: use a study number",
        "regexp_full_match(person_id, '[A-Za-z''-]+[ ,]+[A-Za-z'' .-]+')",
    ),
    _error(
        "people",
        "person_id",
        "National Insurance number",
        "look like National Insurance numbers: use a study number",
        "regexp_full_match(upper(replace(person_id, ' ', '')), '[A-CEGHJ-PR-TW-Z]{2}[0-9]{6}[A-D]')",
    ),
    _error(
        "people",
        "arm",
        "unknown arm",
        "arms listed in the study are not in the file",
        "NOT EXISTS (SELECT 1 FROM people p WHERE p.arm = l.arm)",
        rows="listed l",
    ),
    _error(
        "people",
        "start_date",
        "start before offer",
        "start before they were offered",
        "start_date < offer_date",
    ),
    _error("people", "start_date", "start after death", "start after the person died", "start_date > died"),
    _error(
        "people",
        "tenancy_end",
        "end before start",
        "end before the tenancy starts",
        "tenancy_end < tenancy_start",
    ),
    _error(
        "people",
        "moved_out",
        "end before start",
        "are before the tenancy starts",
        "moved_out < tenancy_start",
    ),
    _error(
        "people",
        "start_date",
        "supported control",
        "belong to people in a control arm",
        "NOT l.treated AND start_date IS NOT NULL",
        rows=_IN_ARMS,
        tolerated=None,
        action="their time at risk ends the day before support",
    ),
    _warning(
        "people",
        "start_date",
        "start outside tenancy",
        "lie outside the tenancy",
        "start_date < tenancy_start OR start_date > least(tenancy_end, moved_out)",
        "kept: look at the dates",
    ),
    _warning(
        "people",
        "arm",
        "arm not listed",
        "are in an arm the study does not list, or in none",
        "arm IS NULL OR arm NOT IN (SELECT arm FROM listed)",
        _LEFT_OUT,
        drops=True,
    ),
    _warning(
        "people", "consent", "no consent", "did not agree", "NOT consent", "excluded and counted", drops=True
    ),
    _warning("people", "opt_out", "opted out", "opted out", "opt_out", "excluded and counted", drops=True),
    _warning(
        "people", "linked", "not linked", "were not found", "NOT linked", "excluded and counted", drops=True
    ),
    _warning(
        "people",
        "start_date",
        "no start date",
        "are missing in a treated arm",
        "l.treated AND start_date IS NULL",
        _LEFT_OUT,
        "people p LEFT JOIN listed l USING (arm)",
        drops=True,
    ),
    _warning(
        "people",
        "arm",
        "small arm",
        f"listed arms have fewer than {SMALL_ARM} people",
        f"n < {SMALL_ARM}",
        "kept: results will be uncertain and may be suppressed",
        f"(SELECT arm, count(*) AS n FROM {_IN_ARMS} GROUP BY arm)",
    ),
    # This rule gives one row for each arm: failed linkage shows as one arm with more silent people.
    _warning(
        "people",
        "arm",
        "no contacts",
        "linked people have no contact at all",
        "coalesce(linked, true) AND pid NOT IN (SELECT pid FROM contacts WHERE pid IS NOT NULL)",
        "kept: compare the arms, a difference may be failed linkage",
        _IN_ARMS,
        by_arm=True,
    ),
    _warning(
        "contacts",
        "person_id",
        "unknown person",
        "belong to nobody in people",
        "c.pid IS NULL",
        _LEFT_OUT,
        drops=True,
    ),
    _error(
        "contacts",
        "service",
        "missing",
        "have no service",
        "service IS NULL",
        action=_LEFT_OUT_1,
        tolerated=TOLERATED,
        drops=True,
    ),
    _error(
        "contacts",
        "start",
        "missing",
        "have no date",
        "start IS NULL",
        action=_LEFT_OUT_1,
        tolerated=TOLERATED,
        drops=True,
    ),
    _error("contacts", "end", "end before start", "end before they start", '"end" < start'),
    _error(
        "contacts",
        "start",
        "before birth",
        "are before the person's month of birth",
        "start < p.birth_month",
        action=_LEFT_OUT_1,
        tolerated=TOLERATED,
        drops=True,
    ),
    _error(
        "contacts",
        "start",
        "after death",
        "are after the person's death",
        "start > p.died",
        action=_LEFT_OUT_1,
        tolerated=TOLERATED,
        drops=True,
    ),
    _error(
        "contacts",
        "record_id",
        "duplicate record",
        "repeat a record of the same person, service and day",
        "extra",
        rows=_REPEATED.format(table="contacts WHERE record IS NOT NULL", by="record, pid, service, start"),
        action="one of each is kept",
        tolerated=None,
    ),
    _warning(
        "contacts",
        "start",
        "same-day contacts",
        "have the person, service and day of another",
        "extra",
        "kept: two visits a day may be real",
        _REPEATED.format(table="contacts WHERE pid IS NOT NULL", by="pid, service, start"),
    ),
    _warning(
        "contacts",
        "service",
        "other service",
        "have a service that is not in the contract",
        "service NOT IN ('" + "', '".join(SERVICES) + "')",
        "kept under its own name",
    ),
    _warning(
        "contacts",
        "status",
        "not attended",
        "did not take place",
        "status <> 'attended'",
        "not counted",
        drops=True,
    ),
    _warning(
        "contacts",
        "start",
        "outside coverage",
        "lie outside the days on which the service is observed",
        "v.lo IS NULL",
        "not counted",
        "contacts c JOIN people p USING (pid) JOIN listed l USING (arm) LEFT JOIN cover v "
        "ON v.service = c.service AND v.arm = p.arm AND start >= v.lo AND start < v.hi",
    ),
    _warning(
        "contacts",
        "end",
        "overlapping stays",
        "begin before an earlier stay of the person ends",
        "start < before",
        "merged: a night is counted once",
        '(SELECT start, max("end") OVER (PARTITION BY pid ORDER BY start, "end" '
        f"ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM contacts WHERE {_STAYS})",
    ),
    _warning(
        "contacts",
        "end",
        "stay without end",
        "stays have no day of discharge",
        f'"end" IS NULL AND {_STAYS}',
        "the admission is counted, its nights are not",
    ),
    _warning(
        "contacts",
        "start",
        "heaped dates",
        "days (1 January or 29 February) have more than three times the contacts of an average day",
        "n > 3 * mean AND (strftime(start, '%d-%m') IN ('01-01', '29-02'))",
        "kept: they may be made up",
        "(SELECT start, count(*) AS n, avg(count(*)) OVER () AS mean FROM contacts GROUP BY start)",
    ),
    _warning(
        "contacts",
        "start",
        "few events",
        f"arm-months of a service have fewer than {SMALL_CELL} contacts",
        f"n < {SMALL_CELL}",
        "kept: months may have to be pooled before they are shown",
        "(SELECT count(*) AS n FROM contacts c JOIN people p USING (pid) JOIN listed l USING (arm) "
        "GROUP BY p.arm, service, date_trunc('month', start))",
    ),
    _error("coverage", "last_date", "end before start", "end before they start", "last_date < first_date"),
    _error(
        "coverage",
        "first_date",
        "missing",
        "have no first or last date",
        "first_date IS NULL OR last_date IS NULL",
    ),
    _warning(
        "coverage",
        "applies_to_arm",
        "arm not listed",
        "apply to an arm the study does not list",
        "applies_to_arm IS NOT NULL AND applies_to_arm NOT IN (SELECT arm FROM listed)",
        "not used",
    ),
    _warning(
        "coverage",
        "service",
        "no coverage",
        "services have no coverage row: taken as observed from their first to their last contact",
        "true",
        "assumed; a zero outside the true coverage would be false",
        "assumed",
    ),
    _error(
        "survey",
        "wave",
        "duplicate",
        "repeat a person and wave",
        "extra",
        rows=_REPEATED.format(table="survey", by="person_id, wave"),
    ),
    _warning(
        "survey",
        "person_id",
        "unknown person",
        "belong to nobody in people",
        "person_id NOT IN (SELECT person_id FROM people)",
        _LEFT_OUT,
    ),
)
