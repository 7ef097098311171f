"""Counts in words: a sentence or a method is held to the policy like a table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from impact.disclosure.policies import Policy

COUNT_NAMES = frozenset(
    {"n", "persons", "people", "treated", "control", "count", "counts", "events", "clusters", "ess"}
    | {"filled", "ties"}
)
# '7 people' in a sentence is a count too; 'fewer than 8 people' is the rule itself.
_COUNTED = re.compile(
    r"(?<!than )(?<!least )(?<!most )(?<![\d,.])(\d{1,3}(?:,\d{3})+|\d+)"
    r"(?= (?:people|persons?|tenants?|units?|controls?|contacts?|events?|deaths?|admissions?|attendances"
    r"|visits?|pairs?|matched|supported)\b)"
)


def method_shown(value: Any, policy: Policy, key: str) -> Any:
    """Return a part of a method as it may be shown: counts by the policy, in numbers and in sentences.

    Examples
    --------
    >>> from impact.disclosure.policies import policy
    >>> method_shown({"left_out": "3 people", "seed": 7, "events": 41}, policy("hes"), "")
    {'left_out': 'fewer than 8 people', 'seed': 7, 'events': 40}
    >>> method_shown({"filled": {"age": 3, "sex": 41}}, policy("hes"), "")
    {'filled': {'age': None, 'sex': 40}}
    """
    if isinstance(value, Mapping):
        # What counts people by column (``filled``) counts them under every name within.
        return {k: method_shown(v, policy, key if key in COUNT_NAMES else str(k)) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [method_shown(v, policy, key) for v in value]
    if isinstance(value, str):
        return sentence(value, policy)
    if isinstance(value, np.generic):
        value = value.item()
    counts = set(key.lower().split("_")) & (COUNT_NAMES - {"clusters"})
    if counts and isinstance(value, int | float) and not isinstance(value, bool):
        return None if policy.small(value).any() else int(policy.rounded(value))
    return value


def sentence(text: str, policy: Policy) -> str:
    """Suppress and round the counts of people and events in a sentence.

    Examples
    --------
    >>> from impact.disclosure.policies import policy
    >>> sentence("3 people moved; 1,203 contacts, per 1,000 people", policy("hes"))
    'fewer than 8 people moved; 1,205 contacts, per 1,000 people'
    """

    def shown(match: re.Match[str]) -> str:
        n = int(match[1].replace(",", ""))
        if policy.small(n).any():
            return f"fewer than {policy.smallest_shown}"
        return f"{int(policy.rounded(n)):,}" if "," in match[1] else str(int(policy.rounded(n)))

    return _COUNTED.sub(shown, text)
