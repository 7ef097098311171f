"""The section that takes several kinds of support apart, and offers of support from what was taken up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from impact.errors import nearest
from impact.study.document import Location
from impact.study.sections import Name, Number, Section, arm_name

if TYPE_CHECKING:
    from impact.study.model import Study

# Estimators that take everyone together, so that no kind of support has an effect of its own.
_WHOLE_ONLY = ("synthetic_did", "triple_difference")


def _steps(value: Any) -> Any:
    """Count the arms of a list from 1: the comparison is where there is no support."""
    return {arm_name(name): step for step, name in enumerate(value, 1)} if isinstance(value, list) else value


_NAMES: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
_DOSES: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "number"}}
Steps = Annotated[
    dict[Annotated[Name, BeforeValidator(arm_name)], Annotated[Number, Field(gt=0)]],
    BeforeValidator(_steps),
    WithJsonSchema({"anyOf": [_NAMES, _DOSES]}),
]


class Arms(Section):
    """Each kind of support against the comparison, and the kinds against each other."""

    order: Steps = Field(
        {}, description="treated arms from least to most support, or how much: {advice: 1, visits: 4}"
    )

    also_from: Literal["offer_date"] | None = Field(
        None, description="count everyone offered support from that day too, whoever took it up"
    )


def misplaced(study: Study) -> Iterator[tuple[Location, str]]:
    """Find arms that the study does not treat, and methods by which none has an effect of its own."""
    asked, design, did = study.arms, study.design, study.did
    if asked is None:
        return
    if not design.treated:
        yield ("arms",), "design.treated lists no arms; leave the section out."
    for name in asked.order:
        if name in design.control:
            yield ("arms", "order", name), f"{name!r} is in design.control, which counts 0; leave it out."
        elif name not in design.treated:
            known = nearest(name, design.treated)
            yield ("arms", "order", name), f"{name!r} is not one of design.treated.{known}"
    if asked.also_from and study.data.panel:
        yield ("arms", "also_from"), "a panel holds no days of offer; leave it out."
    if asked.order and (lacking := [name for name in design.treated if name not in asked.order]):
        yield ("arms", "order"), f"{lacking[0]!r} is one of design.treated and has no place in it."
    if did and did.estimator in _WHOLE_ONLY:
        yield ("arms",), f"{did.estimator} takes all arms together; leave the section out."
    if did and did.matched:
        yield (
            ("arms",),
            "did.matched compares people who were matched for all arms together; leave one of them out.",
        )
