"""The matching section of a parameter file: methods, their arguments, and how outcomes are compared."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import filter as matching_names
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator

from impact.errors import nearest
from impact.study.sections import Arguments, Name, Names, Number, Section, _each, _number

OutcomeModel = Literal[
    "poisson",
    "negative_binomial",
    "conditional_poisson",
    "aipw",
    "hurdle",
    "mean_difference",
    "abadie_imbens",
    "risk",
]
# Models that also take a column of the people, such as a wellbeing score.
OF_COLUMNS = ("mean_difference", "abadie_imbens", "risk")
# Methods whose sets hold one person of one arm, and so can be followed for the same time.
IN_SETS = ("nearest", "optimal", "full", "genetic", "risk_set")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value - value == 0


def _cut(value: Any) -> Any:
    points = [_number(x) for x in value] if isinstance(value, list | tuple) else [_number(value)]
    numbers = bool(points) and all(map(_is_number, points))
    if numbers and isinstance(value, list | tuple):
        return tuple(map(float, points))
    if numbers and isinstance(value, int) and value >= 1:
        return value
    raise ValueError(f"expected a number of bins from 1, or a list of numbers to cut at, found {value!r}")


def _width(value: Any) -> Any:
    found = _number(value)
    if not _is_number(found):
        raise ValueError(f"expected a number, found {value!r}")
    return float(found)


def _caliper(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _width(width) for name, width in value.items()}
    if _width(value) <= 0:
        raise ValueError(f"expected a number above 0, found {value!r}")
    return _width(value)


def _ratio(value: Any) -> Any:
    found = _number(value)
    if not _is_number(found):
        raise ValueError(
            f"expected a whole number, found {str(value).lower() if value in (True, False) else repr(value)}"
        )
    if found < 1:
        raise ValueError(f"expected a number 1 or more, found {value!r}")
    return found


def _controls(value: Any) -> Any:
    part = re.fullmatch(r"1/([1-9]\d*)", value) if isinstance(value, str) else None
    found = 1 / int(part[1]) if part else _number(value)
    whole = max(found, 1 / found) if _is_number(found) and found > 0 else 0.5
    if abs(whole - round(whole)) > 1e-9 * whole:
        raise ValueError(f"expected a whole number of controls, or a part such as 1/3, found {value!r}")
    return float(found)


def _models(value: Any) -> Any:
    known = get_args(OutcomeModel)
    for word in value.values() if isinstance(value, dict) else [value]:
        if word not in known:
            raise ValueError(
                f"expected {', '.join(known[:-1])} or {known[-1]}, or one of these for each outcome, found "
                f"{word!r}.{nearest(str(word), known)}"
            )
    return value


def _widths_stated(value: Any) -> Any:
    return value if isinstance(value, bool) else _each(value)


Cut = Annotated[int | tuple[float, ...], BeforeValidator(_cut)]
_NUMBERS = {"type": "object", "additionalProperties": {"type": "number"}}
Caliper = Annotated[
    float | dict[Name, float],
    BeforeValidator(_caliper),
    WithJsonSchema({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, _NUMBERS]}),
]
Controls = Annotated[
    float,
    BeforeValidator(_controls),
    WithJsonSchema(
        {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string", "pattern": "^1/[1-9]"}]}
    ),
]
Ratio = Annotated[int | float, BeforeValidator(_ratio), WithJsonSchema({"type": "number", "minimum": 1})]
Models = Annotated[OutcomeModel | dict[Name, OutcomeModel], BeforeValidator(_models)]
Stated = Annotated[bool | tuple[Name, ...], BeforeValidator(_widths_stated)]
Checks = Annotated[tuple[Literal["rosenbaum_bounds", "e_value"], ...], BeforeValidator(_each)]

_SCORED = ("estimand", "distance", "link", "prognosis", "missing")
_TAKEN: dict[str, tuple[str, ...]] = {
    "nearest": (
        *_SCORED,
        *("exact", "anti_exact", "caliper", "std_caliper", "discard", "order", "seed"),
        *("ratio", "max_ratio", "replace", "max_uses"),
    ),
    "optimal": (*_SCORED, "exact", "anti_exact", "caliper", "std_caliper", "ratio"),
    "full": (*_SCORED, "exact", "anti_exact", "caliper", "min_controls", "max_controls"),
    "coarsened_exact": ("estimand", "exact", "cuts", "missing"),
    "subclass": (*_SCORED, "subclasses", "minimum"),
    "entropy_balance": ("estimand", "moments", "tolerance", "base", "missing"),
    "inverse_probability": ("estimand", "link", "stabilise", "truncate", "missing"),
    "genetic": (
        *("estimand", "link", "missing", "exact", "anti_exact", "caliper"),
        *("ratio", "replace", "population", "generations", "seed"),
    ),
    "risk_set": (
        *("estimand", "months_before", "distance", "link", "missing"),
        *("exact", "anti_exact", "caliper", "std_caliper", "ratio", "max_uses"),
    ),
}


class History(Section):
    """Counts of single months or quarters before the index date, with their trend."""

    services: Names = Field(min_length=1, description="services whose contacts are counted, or bed_days")
    months: int = Field(24, ge=2, description="how far back")
    by: Literal["month", "quarter"] = Field("quarter", description="length of a period")
    scale: Literal["count", "log1p", "sqrt"] = Field(
        "count", description="the count, the logarithm of one more, or the square root"
    )

    @property
    def arguments(self) -> dict[str, Any]:
        """Plain keyword arguments of ``with_history``."""
        by = {"month": 1, "quarter": 3}[self.by]
        return {"services": list(self.services), "months": self.months, "by": by, "scale": self.scale}

    def periods(self, service: str) -> list[str]:
        """Columns of one service, the latest period first."""
        count = self.months // self.arguments["by"]
        return [f"prior_{self._called(service)}_{self.by[0]}{k + 1}" for k in range(count)]

    @property
    def columns(self) -> list[str]:
        """All columns that are made."""
        ends = [f"{what}_{self._called(s)}" for s in self.services for what in ("trend", "latest")]
        return [*(name for service in self.services for name in self.periods(service)), *ends]

    def _called(self, service: str) -> str:
        return service if self.scale == "count" else f"{self.scale}_{service}"


class Matching(Arguments):
    """Matched or weighted controls."""

    history: History | None = Field(None, description="counts by month or quarter, to be matched on")
    method: Literal[
        "nearest",
        "optimal",
        "full",
        "coarsened_exact",
        "subclass",
        "entropy_balance",
        "inverse_probability",
        "genetic",
        "risk_set",
    ] = Field("nearest", description="name of the method")
    on: Names = Field(min_length=1, description="columns to match on, measured at the index date")
    estimand: Literal["ATT", "ATC", "ATE", "ATO", "ATM"] = Field(
        "ATT", description="whom the effect is about: supported, controls, everyone, overlap, matchable"
    )
    distance: Literal[
        "propensity", "linear_propensity", "mahalanobis", "robust_mahalanobis", "prognostic"
    ] = Field("propensity", description="how near is measured")
    link: Literal["logit", "probit", "penalised"] = Field("logit", description="of the propensity score")
    prognosis: Name | None = Field(None, description="outcome foretold by the prognostic score")
    missing: Literal["error", "indicator", "category"] = Field(
        "error", description="what becomes of missing covariates"
    )
    exact: Names = Field((), description="columns in which a match must be equal")
    apart: Name | None = Field(
        None, description="column such as building_id: controls who share it with anyone supported are out"
    )
    anti_exact: Names = Field((), description="columns in which a match must differ, such as the building")
    caliper: Caliper | None = Field(
        None,
        description="largest distance: of the score, in standard deviations, or a number for each column",
    )
    std_caliper: Stated | None = Field(
        None, description="which calipers are in standard deviations: true, false or names; default the score"
    )
    discard: Literal["none", "treated", "control", "both"] = Field(
        "none", description="arm whose people outside the other's range of scores are left out"
    )
    order: Literal["largest", "smallest", "data", "closest", "farthest", "random"] | None = Field(
        None, description="who chooses first; default the largest score"
    )
    seed: int | None = Field(None, ge=0, description="of what is drawn at random; default the study's")
    ratio: Ratio = Field(1, description="controls for each person; with max_ratio, on average")
    max_ratio: int | None = Field(None, ge=1, description="most controls a person may get, where it varies")
    min_controls: Controls | None = Field(
        None, description="fewest controls for each supported person of a set (full), or a part such as 1/3"
    )
    max_controls: Controls | None = Field(None, description="most controls for each supported person (full)")
    replace: bool = Field(False, description="whether a control may be used again")
    max_uses: int | None = Field(None, ge=1, description="how often at most")
    months_before: int = Field(12, ge=0, description="months through which risk_set wants people observed")
    cuts: dict[Name, Cut] = Field({}, description="for a number, how many bins or the points to cut at")
    subclasses: int = Field(6, ge=1, description="how many slices of the score")
    minimum: int = Field(1, ge=1, description="least number of people of each arm in a slice")
    moments: Literal[1, 2, 3] = Field(1, description="balance averages, squares too, or cubes as well")
    tolerance: Number = Field(0.0, ge=0, description="how far averages may differ, in standard deviations")
    base: Name | None = Field(None, description="column with weights to begin with")
    stabilise: bool = Field(False, description="multiply weights by the share of the arm")
    truncate: Number | None = Field(None, gt=0.5, lt=1, description="share of weights that are not cut")
    population: int = Field(20, ge=4, description="candidates in each generation of the genetic search")
    generations: int = Field(5, ge=1, description="how often each candidate is set beside a new one")
    outcome_model: Models = Field(
        "poisson", description="how outcomes are compared: one word, or one for each outcome"
    )
    adjust: Names = Field((), description="columns that the outcome model adjusts for")
    pair_censoring: bool = Field(False, description="follow everyone of a set until the first of them leaves")
    spillover: Name | None = Field(
        None, description="column such as building_id: the effect again without controls who share it"
    )
    negative_control: Names = Field((), description="outcomes that support cannot change")
    sensitivity: Checks = Field(
        ("rosenbaum_bounds", "e_value"), description="how far something not recorded could mislead"
    )

    @field_validator("on", "adjust")
    @classmethod
    def _each_period(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        """Put the columns of the history in place of a name with a *."""
        if not any("*" in name for name in names):
            return names
        if (history := info.data.get("history")) is None:
            raise ValueError("a name with * stands for columns of matching.history, which is not given")
        found = [(n, matching_names(history.columns, n) if "*" in n else [n]) for n in names]
        if empty := next((name for name, columns in found if not columns), ""):
            some = ", ".join(history.columns[:2])
            raise ValueError(f"{empty!r} stands for no column of matching.history, such as {some}")
        return tuple(dict.fromkeys(name for _, columns in found for name in columns))

    def named(self) -> str:
        """Key of the section that names the method."""
        return "method"

    def taken(self) -> Sequence[str]:
        """Names of the arguments the chosen method takes."""
        return ("on", *_TAKEN[self.method])

    @property
    def known(self) -> frozenset[str]:
        """Keys that mean something with the chosen method: its plan, and what goes with every one."""
        beside = (
            *("history", "apart", "spillover", "outcome_model", "adjust", "pair_censoring"),
            *("negative_control", "sensitivity"),
        )
        return super().known | set(self.taken()) | set(beside)

    @property
    def models(self) -> dict[str, str]:
        """The outcome model of each outcome, where they are named one by one."""
        return dict(self.outcome_model) if isinstance(self.outcome_model, dict) else {}

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of people that the method and the outcome model use."""
        calipers = [c for c in self.caliper if c != "score"] if isinstance(self.caliper, dict) else []
        named = [name for name in (self.base, self.apart, self.spillover) if name]
        more = (*self.exact, *self.anti_exact, *calipers, *named, *self.adjust)
        return tuple(dict.fromkeys((*self.on, *more)))
