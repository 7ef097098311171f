"""The section that holds what only a person can say of a study: what support was, and who gave it."""

from __future__ import annotations

from impact.study.sections import Section


class Reporting(Section):
    """Answers to the items of reporting checklists that no data can give."""
