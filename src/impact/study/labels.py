"""What readers call the columns and outcomes of a study, and their values: the section ``labels``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from impact.errors import nearest
from impact.study.document import Location
from impact.study.sections import Name, Section, arm_name

if TYPE_CHECKING:
    from impact.study.model import Study


class Label(Section):
    """What readers call one column or outcome, and its values."""

    name: Name | None = Field(None, description="such as Visits to a doctor")
    levels: dict[Annotated[Name, BeforeValidator(arm_name)], Name] = Field(
        {}, description="values as the file has them, and what readers call them"
    )


def _label(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


Labels = Annotated[
    dict[Name, Annotated[Label, BeforeValidator(_label)]],
    WithJsonSchema(
        {
            "type": "object",
            "additionalProperties": {
                "anyOf": [{"type": "string"}, {**Label.model_json_schema(), "title": "Label"}]
            },
        }
    ),
]


def marked(names: Sequence[str], labels: Mapping[str, Any]) -> list[str]:
    """Put the names that have words of the study's own between backticks, which pages replace by them.

    Examples
    --------
    >>> marked(["age", "prior_visits"], {"visits": ...})
    ['age', '`prior_visits`']
    """
    return [f"`{n}`" if n in labels or n.removeprefix("prior_") in labels else n for n in names]


def unclear(study: Study) -> Iterator[tuple[Location, str]]:
    """Find labels of what the study does not show, and words that would stand for two things."""
    chosen, panel = study.matching, study.data.panel
    known = {
        *study.outcomes,
        *study.characteristics,
        *study.design.clusters,
        "arm",
        study.design.unit or "arm",
    }
    known |= {name.removeprefix("prior_") for name in known} | set(chosen.negative_control if chosen else ())
    known |= {panel.unit, *panel.where} if panel else set()
    known |= set(study.survey.outcomes) if study.survey else set()
    for name in study.labels:
        if name not in known:
            said = f"this study shows nothing that is called {name!r}.{nearest(name, sorted(known))}"
            yield ("labels", name), said
    called = Counter(label.name for label in study.labels.values() if label.name)
    for name, label in study.labels.items():
        words = {label.name: called[label.name]} if label.name else {}
        for said, times in (words | Counter(label.levels.values())).items():
            if times > 1:
                yield ("labels", name), f"{said!r} would stand for {times} of them; give each its own words."
