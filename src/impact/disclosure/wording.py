"""Words on their way out: counts in them are held to the policy, and all of them can be read."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from impact.disclosure.policies import Policy
from impact.numbers.rounding import significant

# Characters of a sentence, of a label beside numbers, and of the name of a result.
SENTENCE, LABEL, NAME = 2000, 160, 80
# By kind of character: controls, invisible ones, halves of characters, and what means nothing anywhere.
_UNSEEN = {"Cc": " ", "Cf": "", "Cs": "\ufffd", "Co": "\ufffd", "Cn": "\ufffd", "Zl": " ", "Zp": " "}

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


def method_shown(value: Any, policy: Policy, key: str, withheld: Collection[int] = ()) -> Any:
    """Return a part of a method as it may be shown: counts by the policy, in numbers and in sentences.

    A count as large as one that is ``withheld`` to protect others would give it back, and goes as well.

    Examples
    --------
    >>> from impact.disclosure.policies import policy
    >>> method_shown({"left_out": "3 people", "seed": 7, "events": 41}, policy("hes"), "")
    {'left_out': 'fewer than 8 people', 'seed': 7, 'events': 40}
    >>> method_shown({"filled": {"age": 3, "sex": 41}}, policy("hes"), "")
    {'filled': {'age': None, 'sex': 40}}
    >>> method_shown({"largest_weight": 7.318804}, policy("hes"), "")
    {'largest_weight': 7.3}
    """
    if isinstance(value, Mapping):
        # What counts people by column (``filled``) counts them under every name within.
        within = {k: key if key in COUNT_NAMES else str(k) for k in value}
        return {
            tidy(k) if isinstance(k, str) else k: method_shown(v, policy, within[k], withheld)
            for k, v in value.items()
        }
    if isinstance(value, list | tuple):
        return [method_shown(v, policy, key, withheld) for v in value]
    if isinstance(value, str):
        return tidy(sentence(value, policy, withheld))
    if isinstance(value, np.generic):
        value = value.item()
    if key in ("estimate", "largest_weight") and isinstance(value, float):
        # Beside the table's, which is made from the counts as they are printed, an exact one tells them; one
        # person's exact weight tells what is recorded of them.
        return float(significant(value, 2))
    counts = set(key.lower().split("_")) & (COUNT_NAMES - {"clusters"})
    if counts and isinstance(value, int | float) and not isinstance(value, bool):
        return None if policy.small(value).any() or value in withheld else int(policy.rounded(value))
    return value


def sentence(text: str, policy: Policy, withheld: Collection[int] = ()) -> str:
    """Suppress and round the counts of people and events in a sentence.

    A count as large as one that is ``withheld`` to protect others becomes "some".

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
        if n in withheld:
            return "some"
        return f"{int(policy.rounded(n)):,}" if "," in match[1] else str(int(policy.rounded(n)))

    return _COUNTED.sub(shown, text)


def tidy(text: str, longest: int = SENTENCE) -> str:
    """Make a text one that can be read and written: no character that is not seen, one line, not too long.

    Marks that turn the direction of writing, or hide in a word, would make a page say what its file does not.

    Examples
    --------
    >>> tidy("north\\x00 \\u202egnol oot\\u200b"), tidy("a long name", 7)
    ('north gnol oot', 'a long…')
    """
    seen = "".join(_UNSEEN.get(unicodedata.category(c), c) for c in text)
    seen = re.sub(r"\s+", " ", seen).strip()
    seen = seen if len(seen) <= longest else seen[: longest - 1].rstrip() + "…"
    return seen or ("(no text)" if text else "")


def tidy_table(table: pd.DataFrame) -> pd.DataFrame:
    """Make the names and labels of a table readable; those that differ still do.

    Beside numbers stand labels; a table of words alone holds sentences.
    """
    numbers = any(pd.api.types.is_numeric_dtype(table[c]) for c in table)
    out = {
        c: table[c]
        if pd.api.types.is_numeric_dtype(table[c])
        else _distinct(table[c], LABEL if numbers else SENTENCE)
        for c in table
    }
    return pd.DataFrame(out, index=table.index).set_axis([*_tidied(table.columns, LABEL).values()], axis=1)


def _distinct(column: pd.Series, longest: int) -> pd.Series:
    words = _tidied([v for v in column.dropna().unique() if isinstance(v, str)], longest)
    if all(old == new for old, new in words.items()):
        return column
    return column.astype(object).map(lambda v: words.get(v, v) if isinstance(v, str) else v)


def _tidied(words: Iterable[Any], longest: int) -> dict[Any, Any]:
    """Return the words made readable, by what they were; what would be the same gets a number."""
    out: dict[Any, Any] = {}
    for word in words:
        new = short = tidy(word, longest) if isinstance(word, str) else word
        number = 1
        while new in out.values():
            number += 1
            new = f"{short} ({number})"
        out[word] = new
    return out
