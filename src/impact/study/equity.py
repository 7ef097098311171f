"""The section that asks whether support reached those in most need, and helped them as much."""

from __future__ import annotations

from pydantic import Field

from impact.study.sections import Name, Names, Section


class Equity(Section):
    """Effects by deprivation, and in other groups of people."""

    by: Name = Field("imd_fifth", description="column of deprivation, in order from the most deprived")
    subgroups: Names = Field((), description="further columns whose groups are compared, such as sex")
