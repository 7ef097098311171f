"""The sections of a parameter file, with their defaults."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)

from impact.errors import nearest
from impact.stores import NO_SECRETS, has_secret


def _month(value: Any) -> Any:
    text = str(value)
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])(-\d{2})?", text):
        raise ValueError(f"expected a month such as 2024-07, found {value!r}")
    return text[:7]


def _number(value: Any) -> Any:
    # Plain papermill reads 1e-3 as text; here a number is a number by whichever road it comes.
    written = isinstance(value, str) and re.fullmatch(r"[-+]?\d+\.?\d*[eE][-+]?\d+", value)
    return float(value) if written else value


def _each(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _one_or_more(value: Any) -> Any:
    return (value,) if isinstance(value, str | int | float) else _each(value)


def _without_secrets(names: tuple[str, ...]) -> tuple[str, ...]:
    if any(map(has_secret, names)):
        raise ValueError(NO_SECRETS)
    return names


def _as_written(names: tuple[str, ...]) -> str | list[str]:
    return names[0] if len(names) == 1 else list(names)


def _columns(value: Any) -> Any:
    if isinstance(value, list | tuple) and not any(isinstance(name, list | dict) for name in value):
        return {name: (name,) for name in value}
    return {name: _one_or_more(v) for name, v in value.items()} if isinstance(value, dict) else value


def _values(value: Any) -> Any:
    return {k: _one_or_more(v) for k, v in value.items()} if isinstance(value, dict) else value


def arm_name(value: Any) -> Any:
    """Take a whole number for the name it is where groups or values are named."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


_TEXTS: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
_TEXT_OR_TEXTS: dict[str, Any] = {"anyOf": [{"type": "string"}, _TEXTS]}
_ANY_TEXTS: dict[str, Any] = {"type": "object", "additionalProperties": _TEXT_OR_TEXTS}

Name = Annotated[str, Field(min_length=1)]
Names = Annotated[tuple[Name, ...], BeforeValidator(_each)]
Arms = Annotated[tuple[Annotated[Name, BeforeValidator(arm_name)], ...], BeforeValidator(_each)]
Month = Annotated[str, BeforeValidator(_month)]
Number = Annotated[float, BeforeValidator(_number)]
OneOrMore = Annotated[
    tuple[Name, ...],
    BeforeValidator(_one_or_more),
    PlainSerializer(_as_written, when_used="json"),
    WithJsonSchema(_TEXT_OR_TEXTS),
]
Files = Annotated[OneOrMore, AfterValidator(_without_secrets)]
Tests = Annotated[tuple[Literal["wild_bootstrap", "randomisation_test"], ...], BeforeValidator(_each)]
Columns = Annotated[
    dict[Name, Names],
    BeforeValidator(_columns),
    WithJsonSchema({"anyOf": [_TEXTS, _ANY_TEXTS]}),
]
Filter = Annotated[
    dict[Name, tuple[Annotated[str, BeforeValidator(arm_name)], ...]],
    BeforeValidator(_values),
    WithJsonSchema({"type": "object"}),
]


class Section(BaseModel):
    """What all sections share: no unknown key, no other type, no change after reading."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_by_name=True
    )


class PanelData(Section):
    """A ready-made long table: one row a unit and period."""

    file: Files = Field(description="CSV or Parquet file, several, or a glob")
    unit: Name = Field(description="column that names the person, practice or trust")
    period: Name = Field(description="column that names the period")
    outcomes: Columns = Field(description="columns, or names with the column or columns that are summed")
    exposure: Name | None = Field(None, description="column with the time observed")
    exposure_unit: Literal["month", "year", "day"] = Field("month", description="unit of that time")
    first_treated: Name | None = Field(None, description="column with the first supported period")
    arm: Name | None = Field(None, description="column with the arm")
    cluster: Name | None = Field(None, description="column of groups whose members may be alike")
    ended: Name | None = Field(None, description="column with the reason why a unit's time ended early")
    where: Filter = Field({}, description="rows to keep: column and value or values")
    covariates: Names = Field((), description="further columns to keep")
    rename: dict[Name, Name] = Field({}, description="your own name for a column, and the file's")


class Rename(Section):
    """Your column names: for each table, our name and yours."""

    people: dict[Name, Name] = Field({}, description="such as {person_id: TenantRef}")
    contacts: dict[Name, Name] = Field({}, description="such as {start: ContactDate}")
    coverage: dict[Name, Name] = Field({}, description="such as {service: Dataset}")
    survey: dict[Name, Name] = Field({}, description="such as {wave: Interview}")


class Data(Section):
    """Where the data are: people, contacts and coverage, or a ready-made panel."""

    people: Files | None = Field(None, description="file with one row a person")
    contacts: Files | None = Field(None, description="file or files with one row an NHS contact")
    coverage: Files | None = Field(None, description="file that says which service is observed when")
    survey: Files | None = Field(None, description="file with one row a person and interview")
    rename: Rename | None = Field(None, description="for each table: our column name and yours")
    panel: PanelData | None = Field(None, description="a ready-made long table instead")


class Placebo(Section):
    """Pretend starts, drawn by the seed, for a study of data without any programme."""

    share: Number = Field(gt=0, lt=1, description="share of units given a pretend start")
    first: Month = Field(alias="from", description="first possible start month")
    last: Month = Field(alias="to", description="last possible start month")


IndexRule = Literal["drawn", "partner", "offer_date", "period"]


class IndexDate(Section):
    """How controls get the date from which they are described and followed."""

    rule: IndexRule = Field("drawn", description="drawn, a partner's, the offer's, or that of one month")
    within: Names = Field((), description="columns that must agree with those of whom a date is drawn from")
    month: Month | None = Field(None, description="the one month of starts that is studied (period)")
    months_before: int = Field(0, ge=0, description="months before it through which people were observed")

    @property
    def given(self) -> str | dict[str, Any]:
        """The rule, or all that differs from the defaults."""
        out = {"rule": self.rule, **self.model_dump(exclude_defaults=True)}
        return self.rule if len(out) == 1 else out


def _index_date(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value not in (known := get_args(IndexRule)):
        raise ValueError(
            f"expected {', '.join(known[:-1])} or {known[-1]}, found {value!r}.{nearest(value, known)}"
        )
    return {"rule": value}


Dating = Annotated[
    IndexDate,
    BeforeValidator(_index_date),
    PlainSerializer(lambda asked: asked.given, when_used="json"),
    WithJsonSchema({"anyOf": [{"enum": list(get_args(IndexRule))}, IndexDate.model_json_schema()]}),
]


class Design(Section):
    """Who is compared with whom, and when."""

    treated: Arms = Field((), description="arms that had support")
    control: Arms = Field((), description="arms they are compared with")
    period: Literal["month", "quarter"] = Field("month", description="length of a period")
    start: Month | None = Field(None, description="first month of the study; default: as observed")
    end: Month | None = Field(None, description="last month of the study; default: as observed")
    months_before: int = Field(12, ge=0, description="months before support that count")
    months_after: int = Field(12, ge=1, description="months after support that count")
    index_date: Dating = Field(
        default_factory=lambda: IndexDate.model_validate({}),
        description="how controls get the date their follow-up starts: a rule, or rule and more",
    )
    unit: Name | None = Field(
        None, description="column of households, which are then matched in place of people"
    )
    cluster: OneOrMore | None = Field(
        None, description="column of groups, such as building_id, or two whose groups cross"
    )
    assignment: Literal["observed", "randomised"] = Field(
        "observed", description="whether arms were drawn by lot"
    )
    placebo: Placebo | None = Field(None, description="pretend starts")

    @property
    def clusters(self) -> tuple[str, ...]:
        """The columns of groups: none, one, or two that cross."""
        return self.cluster or ()


class Arguments(Section):
    """A section that names a method and holds its arguments: those it does not take are refused."""

    def named(self) -> str:
        """Key of the section that names the method."""
        raise NotImplementedError

    def taken(self) -> Sequence[str]:
        """Names of the arguments the chosen method takes."""
        raise NotImplementedError

    @property
    def arguments(self) -> dict[str, Any]:
        """Plain keyword arguments of the chosen method, and only those."""
        given = {name: getattr(self, name) for name in self.taken()}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def plan(self) -> dict[str, Any]:
        """The method's name and its arguments."""
        return {self.named(): getattr(self, self.named()), **self.arguments}

    @property
    def known(self) -> frozenset[str]:
        """Keys of the section that mean something with the chosen method."""
        return frozenset(self.plan)


class Censoring(Section):
    """Weights for those who moved, opted out or were lost, so that those who stayed stand for them too."""

    covariates: Names = Field((), description="columns that explain leaving, measured before support")
    reasons: Names | None = Field(None, description="reasons that count, never death; default: all but death")
    truncate: Number = Field(0.99, gt=0, le=1, description="share of weights that are not cut; 1 for all")


_TAKEN: dict[str, tuple[str, ...]] = {
    "two_by_two": ("family", "covariates", "effects"),
    "twfe": ("family", "staggered"),
    "callaway_santanna": ("control", "covariates", "method", "base_period", "anticipation"),
    "sun_abraham": ("anticipation", "time_varying"),
    "imputation": ("covariates", "anticipation"),
    "etwfe": ("family", "control", "covariates", "effects", "anticipation"),
    "stacked": ("family", "covariates", "before", "after", "anticipation", "course"),
    "synthetic_did": ("weighting", "inference", "draws", "anticipation"),
    "triple_difference": ("subgroup", "eligible", "within"),
}


class Did(Arguments):
    """Difference-in-differences."""

    estimator: Literal[
        "two_by_two",
        "twfe",
        "callaway_santanna",
        "sun_abraham",
        "imputation",
        "etwfe",
        "stacked",
        "synthetic_did",
        "triple_difference",
    ] = Field("etwfe", description="name of the estimator")
    control: Literal["never_treated", "not_yet_treated"] = Field(
        "not_yet_treated", description="which controls are used"
    )
    covariates: Names = Field((), description="columns to adjust for, measured before support")
    method: Literal["dr", "reg", "ipw"] = Field("dr", description="how covariates enter")
    base_period: Literal["universal", "varying"] = Field("universal", description="the period compared with")
    anticipation: int = Field(0, ge=0, description="periods before support that may already differ")
    family: Literal["poisson", "linear"] = Field("poisson", description="ratios or differences")
    effects: Literal["arm", "person", "cohort"] | None = Field(
        None, description="levels held fixed: of arms or people (two_by_two), people or cohorts (etwfe)"
    )
    staggered: Literal["refuse", "allow"] = Field("refuse", description="what twfe does with several starts")
    time_varying: Names = Field((), description="other outcomes held fixed, which support cannot change")
    before: int = Field(12, ge=1, description="periods before support that stacked compares")
    after: int = Field(12, ge=1, description="periods with support that stacked compares")
    course: Literal["by_start", "shared"] | None = Field(
        None, description="whose course stacked counts take without support: of each start's controls, or all"
    )
    weighting: Literal["synthetic_did", "synthetic_control", "did"] = Field(
        "synthetic_did", description="how sites and periods are weighted"
    )
    inference: Literal["CR1", "CR2", "CR3", "placebo", "jackknife", "bootstrap"] | None = Field(
        None, description="standard errors: CR2 or CR3 for few clusters; the others for synthetic_did"
    )
    draws: int = Field(200, ge=1, description="of placebo or bootstrap errors")
    subgroup: Name | None = Field(None, description="column that says who is eligible (triple_difference)")
    eligible: str | int | bool | None = Field(None, description="its value for those who are")
    within: Literal["two_by_two", "callaway_santanna", "imputation", "etwfe", "stacked"] = Field(
        "two_by_two", description="estimator used in each subgroup of triple_difference"
    )
    matched: bool = Field(False, description="compare matched people only, by the matching section")
    censoring: Censoring | None = Field(None, description="weigh for people who left, other than by death")
    tests: Tests = Field((), description="tests of the primary outcome made for few sites")

    @property
    def clock(self) -> Literal["calendar", "event"]:
        """Whether the estimator takes the panel in calendar time, or in time since the start of support."""
        used = self.within if self.estimator == "triple_difference" else self.estimator
        return "event" if used == "two_by_two" else "calendar"

    def named(self) -> str:
        """Key of the section that names the estimator."""
        return "estimator"

    def taken(self) -> Sequence[str]:
        """Names of the arguments the chosen estimator takes; a triple difference those of the one within."""
        taken = _TAKEN[self.estimator]
        if self.estimator != "triple_difference":
            return taken
        # Only callaway_santanna adjusts each comparison to the same people, and its controls are chosen.
        beside = "control" if self.within == "callaway_santanna" else "covariates"
        return (*taken, *(name for name in _TAKEN[self.within] if name != beside))

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of people that the estimator and the censoring weights use."""
        more = (
            *([self.subgroup] if self.subgroup else []),
            *(self.censoring.covariates if self.censoring else ()),
        )
        return tuple(dict.fromkeys((*self.covariates, *more)))

    @property
    def plan(self) -> dict[str, Any]:
        """The estimator, its arguments and the errors asked for: arguments of ``impact.did.estimate``."""
        return super().plan | ({"inference": self.inference} if self.inference else {})

    @property
    def known(self) -> frozenset[str]:
        """Keys that mean something with the chosen estimator: its plan, and what goes with every one."""
        return super().known | {"matched", "censoring", "tests"}


class Wording(Section):
    """What readers of the pages are told in the study's own words."""

    question: Name | None = Field(None, description="title of the findings page")
    support: Name | None = Field(None, description="what support was, such as free care")
    without: Name | None = Field(None, description="what people without it had, such as usual care")
    organisation: Name | None = Field(None, description="whose study it is; default: contact")
    dates: Name | None = Field(None, description="which time the data are of; default: design.start and end")
