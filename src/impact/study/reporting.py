"""The section that holds what only a person can say of a study: what support was, and who gave it."""

from __future__ import annotations

from pydantic import Field

from impact.study.sections import Name, Section


class Reporting(Section):
    """Answers to the items of reporting checklists that no data can give.

    Each is a sentence or two. What does not apply is said so: "Nothing was tailored."
    """

    background: Name | None = Field(None, description="what was known before, and why this was studied")
    why_no_trial: Name | None = Field(None, description="why a trial is stood in for and not run")
    data_sources: Name | None = Field(None, description="which data of whom, collected for what")
    region: Name | None = Field(None, description="where, and in which years")
    database_access: Name | None = Field(None, description="which of the source data the analysts could see")
    validation: Name | None = Field(None, description="whether the codes that pick people were ever checked")
    code_lists: Name | None = Field(None, description="where the codes are that define what is counted")
    linkage: Name | None = Field(None, description="which records were linked, or that none were")
    linkage_quality: Name | None = Field(None, description="how they were linked, and how well")
    data_limits: Name | None = Field(None, description="what records made for another purpose cannot tell")
    why: Name | None = Field(None, description="how support is thought to work")
    materials: Name | None = Field(None, description="what was handed out or used, and where it can be had")
    procedures: Name | None = Field(None, description="what was done with each person")
    provider: Name | None = Field(None, description="who gave it, with which training")
    how: Name | None = Field(None, description="face to face, by telephone; one by one or in groups")
    where: Name | None = Field(None, description="in which places")
    how_much: Name | None = Field(None, description="how often, how long, over what time")
    tailoring: Name | None = Field(None, description="what was made to fit each person, and how")
    modifications: Name | None = Field(None, description="what changed while the study went on")
    fidelity_planned: Name | None = Field(None, description="how it was to be seen that support was given")
    fidelity: Name | None = Field(None, description="how much of it was given as it was meant")
    ethics: Name | None = Field(None, description="who approved the study, or why nobody had to")
    registration: Name | None = Field(None, description="where the plan is registered, or that it is not")
    access: Name | None = Field(None, description="how plan, data and code can be had")
    funding: Name | None = Field(None, description="who paid, and what they had to say in it")
    interests: Name | None = Field(None, description="what the authors stand to gain or lose")
