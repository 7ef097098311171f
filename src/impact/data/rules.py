"""The checks of the data contract, one declaration each: what is found, how grave it is, what happens."""

from __future__ import annotations

from impact.data.rule import LEFT_OUT, LEFT_OUT_UP_TO, REPEATED, TOLERATED, Rule, error, warning
from impact.data.services import SERVICES, STAYS
from impact.data.survey_rules import SURVEY_RULES

SMALL_ARM = 20
SMALL_CELL = 10

# The check digit of an NHS number makes the weighted sum of all ten digits a multiple of 11. Only ranges that
# are issued are refused (England and Wales, Northern Ireland, and Scotland's numbers, which begin with a date
# of birth), so that zero-padded study numbers pass.
_DIGITS = "regexp_replace(person_id, '[ -]', '', 'g')"
_NHS_RANGE = "[4679][0-9]{9}|3[2-9][0-9]{8}|(0[1-9]|[12][0-9]|3[01])(0[1-9]|1[0-2])[0-9]{6}"
_NHS_SUM = " + ".join(f"{10 - i} * TRY_CAST(substr({_DIGITS}, {i + 1}, 1) AS INTEGER)" for i in range(10))
_NHS = f"regexp_full_match({_DIGITS}, '{_NHS_RANGE}') AND ({_NHS_SUM}) % 11 = 0"

_STAYS = "service IN ('" + "', '".join(STAYS) + "')"
_IN_ARMS = "people p JOIN listed l USING (arm)"

RULES: tuple[Rule, ...] = (
    error("people", "person_id", "missing", "have no identifier", "person_id IS NULL"),
    error(
        "people",
        "person_id",
        "duplicate",
        "repeat a person who stood before",
        "extra",
        rows=REPEATED.format(table="people WHERE person_id IS NOT NULL", by="person_id"),
    ),
    error(
        "people",
        "person_id",
        "NHS number",
        "are valid NHS numbers: use a study number (one that is not ten digits long)",
        _NHS,
    ),
    error(
        "people", "person_id", "e-mail", "are e-mail addresses: use a study number", "person_id LIKE '%_@_%'"
    ),
    error(
        "people",
        "person_id",
        "name",
        "look like people's names: use a study number",
        "regexp_full_match(person_id, '[A-Za-z''-]+[ ,]+[A-Za-z'' .-]+')",
    ),
    error(
        "people",
        "person_id",
        "National Insurance number",
        "look like National Insurance numbers: use a study number",
        "regexp_full_match(upper(replace(person_id, ' ', '')), '[A-CEGHJ-PR-TW-Z]{2}[0-9]{6}[A-D]')",
    ),
    error(
        "people",
        "arm",
        "unknown arm",
        "arms listed in the study are not in the file",
        "NOT EXISTS (SELECT 1 FROM people p WHERE p.arm = l.arm)",
        rows="listed l",
    ),
    error(
        "people",
        "start_date",
        "start before offer",
        "start before they were offered",
        "start_date < offer_date",
    ),
    warning(
        "people",
        "withdrew",
        "withdrawn before offer",
        "were withdrawn before they were offered support",
        "withdrew < offer_date",
        "kept: they cannot have left a group they had not joined",
    ),
    error("people", "start_date", "start after death", "start after the person died", "start_date > died"),
    error(
        "people",
        "tenancy_end",
        "end before start",
        "end before the tenancy starts",
        "tenancy_end < tenancy_start",
    ),
    error(
        "people",
        "moved_out",
        "end before start",
        "are before the tenancy starts",
        "moved_out < tenancy_start",
    ),
    error(
        "people",
        "start_date",
        "supported control",
        "belong to people in a control arm",
        "NOT l.treated AND start_date IS NOT NULL",
        rows=_IN_ARMS,
        tolerated=None,
        action="their time at risk ends the day before support",
    ),
    warning(
        "people",
        "start_date",
        "start outside tenancy",
        "lie outside the tenancy",
        "start_date < tenancy_start OR start_date > least(tenancy_end, moved_out)",
        "kept: look at the dates",
    ),
    warning(
        "people",
        "arm",
        "arm not listed",
        "are in an arm the study does not list, or in none",
        "arm IS NULL OR arm NOT IN (SELECT arm FROM listed)",
        LEFT_OUT,
        drops=True,
    ),
    warning(
        "people", "consent", "no consent", "did not agree", "NOT consent", "excluded and counted", drops=True
    ),
    warning("people", "opt_out", "opted out", "opted out", "opt_out", "excluded and counted", drops=True),
    warning(
        "people", "linked", "not linked", "were not found", "NOT linked", "excluded and counted", drops=True
    ),
    warning(
        "people",
        "start_date",
        "no start date",
        "are missing in a treated arm",
        "l.treated AND start_date IS NULL",
        LEFT_OUT,
        "people p LEFT JOIN listed l USING (arm)",
        drops=True,
    ),
    warning(
        "people",
        "arm",
        "small arm",
        f"listed arms have fewer than {SMALL_ARM} people",
        f"n < {SMALL_ARM}",
        "kept: results will be uncertain and may be suppressed",
        f"(SELECT arm, count(*) AS n FROM {_IN_ARMS} GROUP BY arm)",
    ),
    # This rule gives one row for each arm: failed linkage shows as one arm with more silent people.
    warning(
        "people",
        "arm",
        "no contacts",
        "linked people have no contact at all",
        "coalesce(linked, true) AND pid NOT IN (SELECT pid FROM contacts WHERE pid IS NOT NULL)",
        "kept: compare the arms, a difference may be failed linkage",
        _IN_ARMS,
        by_arm=True,
    ),
    warning(
        "contacts",
        "person_id",
        "unknown person",
        "belong to nobody in people",
        "c.pid IS NULL",
        LEFT_OUT,
        drops=True,
    ),
    error(
        "contacts",
        "service",
        "missing",
        "have no service",
        "service IS NULL",
        action=LEFT_OUT_UP_TO,
        tolerated=TOLERATED,
        drops=True,
    ),
    error(
        "contacts",
        "start",
        "missing",
        "have no date",
        "start IS NULL",
        action=LEFT_OUT_UP_TO,
        tolerated=TOLERATED,
        drops=True,
    ),
    error("contacts", "end", "end before start", "end before they start", '"end" < start'),
    error(
        "contacts",
        "start",
        "before birth",
        "are before the person's month of birth",
        "start < p.birth_month",
        action=LEFT_OUT_UP_TO,
        tolerated=TOLERATED,
        drops=True,
    ),
    error(
        "contacts",
        "start",
        "after death",
        "are after the person's death",
        "start > p.died",
        action=LEFT_OUT_UP_TO,
        tolerated=TOLERATED,
        drops=True,
    ),
    error(
        "contacts",
        "record_id",
        "duplicate record",
        "repeat a record of the same person, service and day",
        "extra",
        rows=REPEATED.format(table="contacts WHERE record IS NOT NULL", by="record, pid, service, start"),
        action="one of each is kept",
        tolerated=None,
    ),
    warning(
        "contacts",
        "start",
        "same-day contacts",
        "have the person, service and day of another",
        "extra",
        "kept: two visits a day may be real",
        REPEATED.format(table="contacts WHERE pid IS NOT NULL", by="pid, service, start"),
    ),
    warning(
        "contacts",
        "service",
        "other service",
        "have a service that is not in the contract",
        "service NOT IN ('" + "', '".join(SERVICES) + "')",
        "kept under its own name",
    ),
    warning(
        "contacts",
        "status",
        "not attended",
        "did not take place",
        "status <> 'attended'",
        "not counted",
        drops=True,
    ),
    warning(
        "contacts",
        "start",
        "outside coverage",
        "lie outside the days on which the service is observed",
        "v.lo IS NULL",
        "not counted",
        "contacts c JOIN people p USING (pid) JOIN listed l USING (arm) LEFT JOIN cover v "
        "ON v.service = c.service AND v.arm = p.arm AND start >= v.lo AND start < v.hi",
    ),
    warning(
        "contacts",
        "end",
        "overlapping stays",
        "begin before an earlier stay of the person ends",
        "start < before",
        "merged: a night is counted once",
        '(SELECT start, max("end") OVER (PARTITION BY pid ORDER BY start, "end" '
        f"ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM contacts WHERE {_STAYS})",
    ),
    warning(
        "contacts",
        "end",
        "stay without end",
        "stays have no day of discharge",
        f'"end" IS NULL AND {_STAYS}',
        "the admission is counted, its nights are not",
    ),
    warning(
        "contacts",
        "start",
        "heaped dates",
        "days (1 January or 29 February) have more than three times the contacts of an average day",
        "n > 3 * mean AND (strftime(start, '%d-%m') IN ('01-01', '29-02'))",
        "kept: they may be made up",
        "(SELECT start, count(*) AS n, avg(count(*)) OVER () AS mean FROM contacts GROUP BY start)",
    ),
    warning(
        "contacts",
        "start",
        "few events",
        f"arm-months of a service have fewer than {SMALL_CELL} contacts",
        f"n < {SMALL_CELL}",
        "kept: months may have to be pooled before they are shown",
        "(SELECT count(*) AS n FROM contacts c JOIN people p USING (pid) JOIN listed l USING (arm) "
        "GROUP BY p.arm, service, date_trunc('month', start))",
    ),
    error("coverage", "last_date", "end before start", "end before they start", "last_date < first_date"),
    error(
        "coverage",
        "first_date",
        "missing",
        "have no first or last date",
        "first_date IS NULL OR last_date IS NULL",
    ),
    warning(
        "coverage",
        "applies_to_arm",
        "arm not listed",
        "apply to an arm the study does not list",
        "applies_to_arm IS NOT NULL AND applies_to_arm NOT IN (SELECT arm FROM listed)",
        "not used",
    ),
    warning(
        "coverage",
        "service",
        "no coverage",
        "services have no coverage row: taken as observed from their first to their last contact",
        "true",
        "assumed; a zero outside the true coverage would be false",
        "assumed",
    ),
    *SURVEY_RULES,
)
