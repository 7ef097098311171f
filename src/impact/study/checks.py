"""The section that says how the main result is checked."""

from __future__ import annotations

from pydantic import Field

from impact.study.sections import Section


class Checks(Section):
    """What is changed, one thing at a time, to see whether the answer stands."""

    exclude_months: int = Field(1, ge=0, description="months around the start that one check leaves out")
