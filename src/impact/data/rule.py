"""One check of the data contract: what is found, how grave it is, and what happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

TOLERATED = 0.01
REPEATED = "(SELECT count(*) - 1 AS extra FROM {table} GROUP BY {by})"


@dataclass(frozen=True)
class Rule:
    """One check: a sentence for people, a predicate for DuckDB, and what happens to the rows it finds.

    Parameters
    ----------
    table, column, name : str
        What is checked, and the short name in the quality table.
    sentence : str
        What is wrong with the rows found, as it stands in a message.
    severity : 'E' or 'W'
        Error or warning.
    where : str
        SQL predicate that is true for a row that breaks the rule, or the number of rows it stands for.
    action : str
        What is done about it.
    rows : str
        SQL source of the rows, where it is not the table itself.
    tolerated : float or None
        Share of the table's rows up to which the rule does not stop the study; None never stops it.
    drops : bool
        Whether the rows found are left out.
    by_arm : bool
        Whether the rows are counted for each arm.
    """

    table: str
    column: str
    name: str
    sentence: str
    severity: Literal["E", "W"]
    where: str
    action: str
    rows: str = ""
    tolerated: float | None = None
    drops: bool = False
    by_arm: bool = False


STOP = "the study stops"
LEFT_OUT = "left out and counted"
LEFT_OUT_UP_TO = f"left out and counted; above {TOLERATED:.0%} of rows the study stops"


def error(table: str, column: str, name: str, sentence: str, where: str, **more: Any) -> Rule:
    """Return a rule whose rows, where there is one, stop the study."""
    return Rule(table, column, name, sentence, "E", where, **{"action": STOP, "tolerated": 0.0, **more})


def warning(
    table: str, column: str, name: str, sentence: str, where: str, action: str, rows: str = "", **more: Any
) -> Rule:
    """Return a rule whose rows are counted, and dealt with as ``action`` says."""
    return Rule(table, column, name, sentence, "W", where, action, rows, **more)
