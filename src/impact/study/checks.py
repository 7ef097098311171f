"""The section that says how the main result is checked."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from impact.study.sections import Name, Names, Number, Section, _each

Left = Literal[
    "start",
    "around",
    "estimator",
    "build_up",
    "covariates",
    "controls",
    "lost",
    "pretend",
    "buildings",
    "spillover",
    "method",
    "pair_censoring",
    "negative_control",
    "e_value",
    "rosenbaum_bounds",
    "recall",
]
Pair = Annotated[tuple[Number, Number], BeforeValidator(_each)]


class Checks(Section):
    """What is changed, one thing at a time, to see whether the answer stands."""

    exclude_months: int = Field(1, ge=0, description="months around the start that one check leaves out")
    pretend_months: int = Field(6, ge=1, description="months before support that are held out as if with it")
    lost_use: Pair = Field(
        (0.0, 2.0), description="how many times as much as others those who died or left may have used"
    )
    building: Name = Field("building_id", description="column of buildings, which are left out in turn")
    negative_control: Names = Field((), description="services that support cannot change")
    asked_of_people: Names = Field((), description="outcomes that people were asked for: memory errs")
    recall_error: Pair = Field(
        (-0.36, 0.35), description="shares by which people with support may tell too few, or too many"
    )
    leave_out: Annotated[tuple[Left, ...], BeforeValidator(_each)] = Field(
        (), description="checks that are not to be made"
    )

    @field_validator("lost_use", "recall_error")
    @classmethod
    def _from_low_to_high(cls, pair: Any, info: Any) -> Any:
        """Two numbers in order, within what they can be."""
        least = 0 if info.field_name == "lost_use" else -1
        low, high = pair
        if not (least <= low <= high) or (least == -1 and low == -1):
            raise ValueError(f"expected two numbers in order, from {least} up, found {low:g} and {high:g}")
        return pair
