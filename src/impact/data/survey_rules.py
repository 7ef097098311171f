"""The checks of a survey."""

from __future__ import annotations

from impact.data.rule import LEFT_OUT, REPEATED, TOLERATED, Rule, error, warning
from impact.data.scores import MEASURES

_COUNTS = ", ".join(name for name, asked in MEASURES.items() if asked.kind == "count")

SURVEY_RULES: tuple[Rule, ...] = (
    error(
        "survey",
        "wave",
        "duplicate",
        "repeat a person and wave",
        "extra",
        rows=REPEATED.format(table="survey", by="person_id, wave"),
    ),
    warning(
        "survey",
        "person_id",
        "unknown person",
        "belong to nobody in people",
        "person_id NOT IN (SELECT person_id FROM people)",
        LEFT_OUT,
    ),
    warning(
        "survey",
        "wave",
        "wave not listed",
        "are of a wave the study does not list, or of none",
        "EXISTS (FROM asked) AND (wave IS NULL OR wave NOT IN (SELECT wave FROM asked))",
        "not used",
    ),
    warning(
        "survey",
        "interview_date",
        "after death",
        "are dated after the person's death",
        "interview_date > p.died",
        LEFT_OUT,
        "survey s JOIN people p USING (person_id)",
        tolerated=TOLERATED,
    ),
    *(
        error(
            "survey",
            f"{asked.name}_total",
            "not the sum",
            f"hold a total that is not the sum of the {asked.items} answers (a metric score is no sum)",
            # Where an answer is missing so is the sum, and nothing is compared.
            f"{asked.name}_total <> {' + '.join(asked.columns)}",
        )
        for asked in MEASURES.values()
        if asked.items
    ),
    warning(
        "survey",
        "recall_days",
        "no recall period",
        "hold counts of contacts, but not how many days they look back over",
        f"recall_days IS NULL AND coalesce({_COUNTS}) IS NOT NULL",
        "the counts are not used",
    ),
)
