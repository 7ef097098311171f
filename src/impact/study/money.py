"""The section that says what is counted in money, at which prices, and what support cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field

from impact.stores import NO_SECRETS, has_secret
from impact.study.document import Location
from impact.study.sections import Name, Names, Number, Section

if TYPE_CHECKING:
    from impact.study.model import Study

# Outcomes that count the same stays: a test holds them equal to those of ``impact.interpret``.
_OF_STAYS = ("emergency_admission", "elective_admission", "day_case")


def _without_secret(name: str) -> str:
    if has_secret(name):
        raise ValueError(NO_SECRETS)
    return name


class Extension(Section):
    """To whom the value a person is carried over, who were not studied."""

    people: Number = Field(gt=0, description="who may be offered support")
    take_up: Number = Field(gt=0, le=1, description="share of them who take it")
    optimism_bias: Number = Field(0, ge=0, description="share by which support may be dearer there")


class Money(Section):
    """What is counted in money, at which prices, and what support cost."""

    price_year: Annotated[str, Field(pattern=r"^\d{4}/\d{2}$")] = Field(description="such as 2023/24")
    prices: Annotated[Name, AfterValidator(_without_secret)] | None = Field(
        None, description="CSV with your own prices; default: those of the package"
    )
    count: Names = Field((), description="outcomes that are counted; default: all")
    cashable: dict[Name, Annotated[Number, Field(ge=0, le=1)]] = Field(
        {}, description="by outcome, the share of its price that is released"
    )
    support_cost_per_person: Number | None = Field(None, ge=0, description="in pounds, for one person")
    staff_hours_per_person: Number | None = Field(None, ge=0, description="in place of a cost, with its rate")
    staff_cost_per_hour: Number | None = Field(None, ge=0, description="in pounds, with all that staff cost")
    discount_rate: Number | None = Field(
        None, ge=0, lt=1, description="a year, after the first; default 0.035"
    )
    extend_to: Extension | None = Field(None, description="people who were not studied")

    @property
    def arguments(self) -> dict[str, Any]:
        """What the study says of the cost of support, and of later years and other people."""
        cost = self.support_cost_per_person
        if self.staff_hours_per_person is not None and self.staff_cost_per_hour is not None:
            cost = self.staff_hours_per_person * self.staff_cost_per_hour
        given: dict[str, Any] = {"support_cost_per_person": cost, "discount_rate": self.discount_rate}
        given |= {"extend_to": self.extend_to.model_dump() if self.extend_to else None}
        return {name: value for name, value in given.items() if value is not None}


def unpriced(study: Study) -> Iterator[tuple[Location, str]]:
    """Find what cannot be meant in the section, before any data are read."""
    money = study.money
    if money is None:
        return
    counted = money.count or study.outcomes
    for name in money.count:
        if name not in study.outcomes:
            yield ("money", "count"), f"{name!r} is not one of outcomes."
    for name in money.cashable:
        if name not in counted:
            yield ("money", "cashable", name), f"{name!r} is not counted in money."
    if "bed_days" in counted and (both := [name for name in _OF_STAYS if name in counted]):
        rest = ", ".join(name for name in counted if name not in both)
        yield (
            ("money", "count"),
            f"'bed_days' and {both[0]!r} count the same stays; count one of them, such as [{rest}].",
        )
    hours = (money.staff_hours_per_person, money.staff_cost_per_hour)
    if (hours[0] is None) != (hours[1] is None):
        yield (
            ("money", "staff_hours_per_person"),
            "hours need staff_cost_per_hour, and an hourly cost needs staff_hours_per_person.",
        )
    if hours[0] is not None and money.support_cost_per_person is not None:
        yield ("money", "support_cost_per_person"), "give a cost for one person or hours of staff, not both."
