"""The section that says what people were asked before and after support, and what a change is worth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from impact.errors import nearest
from impact.study.document import Location
from impact.study.sections import Name, Names, Number, Section, arm_name

if TYPE_CHECKING:
    from impact.study.model import Study

# What the contract's survey can hold beside counts of contacts: a test holds them equal to those of
# ``impact.data.scores``.
QUESTIONS = (
    "swemwbs",
    "life_satisfaction",
    "worthwhile",
    "happiness",
    "anxiety",
    "loneliness",
    "loneliness_direct",
    "health_literacy",
    "in_work",
)


def _waves(value: Any) -> Any:
    return tuple(map(arm_name, value)) if isinstance(value, list | tuple) else (arm_name(value),)


def _as_given(waves: tuple[str, ...]) -> str | list[str]:
    return waves[0] if len(waves) == 1 else list(waves)


Wave = Annotated[Name, BeforeValidator(arm_name)]
Waves = Annotated[
    tuple[Name, ...],
    BeforeValidator(_waves),
    Field(min_length=1),
    PlainSerializer(_as_given, when_used="json"),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


class Own(Section):
    """A score of the study's own, with its lowest and highest value; without them, a yes or no."""

    low: Number | None = Field(None, description="lowest value of the score; a yes or no has none")
    high: Number | None = Field(None, description="highest value of the score")
    better: Literal["higher", "lower"] = Field(
        "higher", description="which values are better; of yes or no, yes"
    )

    @model_validator(mode="after")
    def _both_ends(self) -> Self:
        if (self.low is None) != (self.high is None):
            raise ValueError("a score has low and high, a yes or no has neither")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low is {self.low:g}, which is not below high, {self.high:g}")
        return self


class Wellby(Section):
    """The value of a change in satisfaction with life."""

    years: Number = Field(gt=0, description="for how long the change lasted; only what was observed counts")


class Qaly(Section):
    """The value of a change in health-related quality of life, at a price of the study's own."""

    of: Name = Field(description="the own score that holds it, on a scale whose 1 is full health")
    years: Number = Field(gt=0, description="for how long the change lasted")
    price_gbp: Number = Field(gt=0, description="of a year in full health")
    prices: Name = Field(description="of which year the price is, such as 2024 prices")


class Survey(Section):
    """What people said before and after support."""

    before: Wave = Field(description="name of the interviews before support")
    after: Waves = Field(description="name of those after it, or several: the first is the main one")
    outcomes: Annotated[Names, Field(min_length=1)] = Field(description="the first is the primary outcome")
    own: dict[Name, Own] = Field({}, description="scores, and yes or no, of your own")
    drop_out: Names = Field((), description="columns of people that may explain who did not answer again")
    wellby: Wellby | None = Field(None, description="value the change in satisfaction with life")
    qaly: Qaly | None = Field(None, description="value the change in quality of life; not beside wellby")


def unasked(study: Study) -> Iterator[tuple[Location, str]]:
    """Find what cannot be meant in the section, before any data are read."""
    survey, data = study.survey, study.data
    if survey is None:
        if not study.outcomes:
            yield ("outcomes",), "must not be empty."
        return
    for section in ("did", "money", "equity", "arms") if not study.outcomes else ():
        if getattr(study, section):
            said = "outcomes is empty: only what people said is compared, and not services. Leave this out."
            yield (section,), said
    if data.panel:
        yield ("survey",), "a ready-made panel holds no interviews; leave survey out."
    elif not data.survey:
        yield ("data", "survey"), "missing: name the file with one row a person and interview."
    if survey.before in survey.after:
        yield ("survey", "after"), f"{survey.before!r} is also the wave before support."
    for key, names in (("after", survey.after), ("outcomes", survey.outcomes)):
        if twice := sorted({n for n in names if names.count(n) > 1}):
            yield ("survey", key), f"{', '.join(map(repr, twice))} stands twice."
    known = [*QUESTIONS, *survey.own]
    for name in survey.outcomes:
        if name not in known and not name.startswith("n_"):
            said = f"{name!r} is nothing that people are asked.{nearest(name, known)}"
            yield ("survey", "outcomes"), f"{said} Declare scores of your own under survey.own."
    for name in survey.own:
        if name in QUESTIONS or name.startswith("n_"):
            yield ("survey", "own", name), "it stands in the contract already; give yours another name."
    yield from _worth(survey)


def _worth(survey: Survey) -> Iterator[tuple[Location, str]]:
    if survey.wellby and "life_satisfaction" not in survey.outcomes:
        yield ("survey", "wellby"), "it values life_satisfaction, which is not one of survey.outcomes."
    if survey.wellby and survey.qaly:
        yield (
            ("survey", "qaly"),
            "wellby values the same change already: satisfaction with life holds what health does to it, and "
            "what is valued twice is counted twice. Choose one.",
        )
    if survey.qaly:
        own = survey.own.get(survey.qaly.of)
        if survey.qaly.of not in survey.outcomes or own is None or own.low is None or own.high is None:
            yield (
                ("survey", "qaly", "of"),
                f"{survey.qaly.of!r} is no score of survey.own and survey.outcomes.",
            )
        elif own.high > 1 or own.low < -1:
            yield (
                ("survey", "qaly", "of"),
                f"{survey.qaly.of!r} goes from {own.low:g} to {own.high:g}; quality of life ends at 1.",
            )
