"""The sections that a parameter file may hold, in their order."""

from __future__ import annotations

from pydantic import Field

from impact.study.arms import Arms
from impact.study.checks import Checks
from impact.study.equity import Equity
from impact.study.labels import Labels
from impact.study.matching import Matching
from impact.study.money import Money
from impact.study.own_policy import Disclosure
from impact.study.reporting import Reporting
from impact.study.sections import Data, Design, Did, Name, Names, Section, Wording
from impact.study.survey import Survey


class Sections(Section):
    """All sections of one study."""

    title: Name = Field("Untitled study", description="title of the pages")
    data: Data = Field(description="where the data are")
    design: Design = Field(description="who is compared with whom, and when")
    outcomes: Names = Field(description="services counted, the first the primary one; [] with a survey alone")
    did: Did | None = Field(None, description="run a difference-in-differences")
    matching: Matching | None = Field(None, description="run a matched comparison")
    money: Money | None = Field(None, description="costs")
    equity: Equity | None = Field(None, description="whether support reached and helped those in most need")
    arms: Arms | None = Field(None, description="whether each kind of support helped, and which did more")
    survey: Survey | None = Field(None, description="what people said before and after support")
    checks: Checks = Field(Checks.model_validate({}), description="how the main result is checked")
    reporting: Reporting | None = Field(None, description="what only a person can say of the study")
    notes: Names = Field((), description="sentences that a reader of the pages must know")
    wording: Wording = Field(Wording.model_validate({}), description="the study's own words for its pages")
    labels: Labels = Field({}, description="what readers call columns, outcomes and their values")
    contact: Name | None = Field(None, description="whom a reader of the pages may ask: a team, an address")
    disclosure: Disclosure = Field("hes", description="rules for what may leave: a policy, or your own")
    seed: int = Field(20261122, ge=0, description="of every random draw")
