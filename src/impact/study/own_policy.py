"""The disclosure section: the name of a policy, or a policy of one's own."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from impact.errors import nearest
from impact.study.sections import Name, Number, Section


def _day(value: Any) -> Any:
    try:
        return date.fromisoformat(str(value)).isoformat()
    except ValueError:
        raise ValueError(f"expected a day such as 2026-11-23, found {value!r}") from None


def _mark(value: Any) -> Any:
    if isinstance(value, int | float) or (isinstance(value, str) and re.fullmatch(r"[\d.,]+", value)):
        raise ValueError(f"{value} would be read as a figure; choose a mark such as '*'")
    return value


PolicyName = Literal["hes", "opensafely", "opensafely_midpoint6", "threshold_10"]


class OwnPolicy(Section):
    """A policy of your own: one of those that come with the package, and what differs from it."""

    policy: PolicyName = Field("hes", description="the policy it starts from")
    title: Name | None = Field(None, description="whose rule it is, as readers are told")
    source: Name | None = Field(None, description="where the rule is written")
    date: Annotated[str, BeforeValidator(_day)] | None = Field(None, description="when it was read")
    smallest_shown: int | None = Field(None, ge=3, description="smallest count, other than 0, to show")
    zero_shown: bool | None = Field(None, description="whether 0 may be shown")
    round_to: int | None = Field(None, ge=1, description="counts are shown to multiples of this")
    rounding: Literal["nearest", "midpoint"] | None = Field(None, description="to which point of a step")
    totals: Literal["rounded", "sum of rounded"] | None = Field(None, description="how totals are rounded")
    residual_df: int | None = Field(None, ge=0, description="least people minus parameters of a model")
    two_largest: Number | None = Field(None, gt=0, le=1, description="most of the events two people may have")
    p_ratio: Number | None = Field(
        None, ge=0, lt=1, description="least that all but the two largest have, as a part of the largest's"
    )
    mark: Annotated[Name, BeforeValidator(_mark)] | None = Field(None, description="in place of a figure")

    @property
    def given(self) -> str | dict[str, Any]:
        """The policy's name, or its name and what differs: of ``disclosure.release``."""
        differs = self.model_dump(exclude={"policy"}, exclude_none=True)
        return {"policy": self.policy, **differs} if differs else self.policy


def _named(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value not in (known := get_args(PolicyName)):
        raise ValueError(
            f"expected {', '.join(known[:-1])} or {known[-1]}, found {value!r}.{nearest(value, known)}"
        )
    return {"policy": value}


if TYPE_CHECKING:
    Disclosure = str | dict[str, Any]
else:
    # Read as a section, so that a mistake in it has its line, and kept as the gate takes it.
    Disclosure = Annotated[
        OwnPolicy,
        BeforeValidator(_named),
        AfterValidator(lambda own: own.given),
        PlainSerializer(lambda given: given, return_type=str | dict[str, Any]),
        WithJsonSchema({"anyOf": [{"enum": list(get_args(PolicyName))}, OwnPolicy.model_json_schema()]}),
    ]
