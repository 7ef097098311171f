"""What the study of this page calls its columns, their values and what it counts: its ``labels``.

They are the page's, like its title: ``pages.masthead`` sets them for everything the page shows below it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class OwnWords:
    """Names of columns and outcomes, names of their values by column, and the units that are counted."""

    names: dict[str, str] = field(default_factory=dict)
    levels: dict[str, dict[str, str]] = field(default_factory=dict)
    those: str = ""


OWN = OwnWords()


def use(labels: Mapping[str, Mapping[str, Any]], unit: str = "") -> None:
    """Take a study's own words in place of those of the study before.

    Examples
    --------
    >>> use({"visits": {"name": "Visits to a doctor"}, "arm": {"levels": {"b": "usual care"}}}, "practice")
    >>> OWN.names, OWN.those
    ({'visits': 'Visits to a doctor', 'b': 'Usual care'}, 'practices')
    >>> use({})
    """
    OWN.names = {column: words["name"] for column, words in labels.items() if words.get("name")}
    OWN.levels = {column: dict(words.get("levels") or {}) for column, words in labels.items()}
    # Groups are named without their column beside them; a number would stand for others too.
    arms = {arm: said for arm, said in OWN.levels.get("arm", {}).items() if not arm.isdecimal()}
    OWN.names |= {arm: f"{said[:1].upper()}{said[1:]}" for arm, said in arms.items()}
    OWN.those = several(unit) if unit else ""


def several(unit: str) -> str:
    """Name several of a unit.

    Examples
    --------
    >>> several("trust"), several("surgery"), several("parish")
    ('trusts', 'surgeries', 'parishes')
    """
    if re.search(r"[^aeiou]y$", unit):
        return f"{unit[:-1]}ies"
    return f"{unit}es" if re.search(r"(s|x|z|ch|sh)$", unit) else f"{unit}s"
