"""The section that asks whether support reached those in most need, and helped them as much."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from impact.study.sections import Name, Number, Section, arm_name


def _bands(value: Any) -> Any:
    value = (value,) if isinstance(value, str) else value
    if isinstance(value, list | tuple) and all(isinstance(name, str) for name in value):
        return dict.fromkeys(value, ())
    if isinstance(value, dict):
        return {name: tuple(cuts) if isinstance(cuts, list) else cuts for name, cuts in value.items()}
    return value


_NUMBERS: dict[str, Any] = {"type": "array", "items": {"type": "number"}}
_BY_NAME: dict[str, Any] = {"type": "object", "additionalProperties": _NUMBERS}
Subgroups = Annotated[
    dict[Name, tuple[Number, ...]],
    BeforeValidator(_bands),
    WithJsonSchema({"anyOf": [{"type": "array", "items": {"type": "string"}}, _BY_NAME]}),
]
ByLevel = dict[Annotated[Name, BeforeValidator(arm_name)], Annotated[Number, Field(gt=0)]]


class Equity(Section):
    """Effects by deprivation, and in other groups of people."""

    by: Name = Field("imd_fifth", description="column of deprivation, in order from the most deprived")
    subgroups: Subgroups = Field(
        {}, description="further columns whose groups are compared; a number in bands: {age: [50, 65, 80]}"
    )
    weights: ByLevel = Field(
        {}, description="what a contact avoided counts in each group of the first column"
    )
    incomes: ByLevel = Field({}, description="mean incomes of these groups, from which weights are made")
    elasticity: Number = Field(1.3, ge=0, description="of the marginal utility of income, for incomes")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns whose groups are compared, deprivation first."""
        return tuple(dict.fromkeys((self.by, *self.subgroups)))

    @property
    def groups(self) -> dict[str, tuple[float, ...]]:
        """The columns, and where those that are numbers are cut into bands."""
        return {name: self.subgroups.get(name, ()) for name in self.columns}

    @property
    def weighing(self) -> dict[str, float]:
        """The weights: as given, or (mean income / income of the group) to the power of the elasticity."""
        mean = sum(self.incomes.values()) / max(len(self.incomes), 1)
        return dict(self.weights) or {k: (mean / v) ** self.elasticity for k, v in self.incomes.items()}

    @model_validator(mode="after")
    def _one_kind_of_weights(self) -> Self:
        if self.weights and self.incomes:
            raise ValueError("weights and incomes are both given; weights are made from incomes: give one")
        return self
