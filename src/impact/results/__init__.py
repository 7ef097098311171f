"""The result family: each result is frozen and has ``table``, ``method``, ``counts`` and ``to_json()``."""

from impact.results.blocks import Array, Blocks
from impact.results.costs import Costs
from impact.results.described import Rates, Summary
from impact.results.effects import NULL_VALUE, Effects
from impact.results.json_text import as_json
from impact.results.matched import Balance, Matched, Weighting
from impact.results.verdicts import Bounds, Test

__all__ = [
    "NULL_VALUE",
    "Array",
    "Balance",
    "Blocks",
    "Bounds",
    "Costs",
    "Effects",
    "Matched",
    "Rates",
    "Result",
    "Summary",
    "Test",
    "Weighting",
    "as_json",
]

Result = Effects | Test | Summary | Rates | Matched | Balance | Bounds | Costs
