"""What may leave: a table that has passed the gate."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from typing import Any, Literal

import pandas as pd

from impact.disclosure.policies import Policy
from impact.errors import DisclosureError
from impact.results import as_json

Kind = Literal["effects", "test", "summary", "rates", "balance", "matched", "bounds"]

_FORMULA = tuple("=+-@|%\uff1d\uff0b\uff0d\uff20")

# Only the gate holds this; it is what makes release() the one maker of Released.
SEAL = object()


@dataclass(frozen=True, eq=False)
class Released:
    """A result that may be shown and written. Only `impact.disclosure.release` makes one.

    Parameters
    ----------
    name : str
        The name it was released under.
    kind : str
        ``effects, test, summary, rates, balance, matched`` or ``bounds``.
    table : DataFrame
        Safe to show. A withheld figure is missing, and the column ``withheld`` is true in its row.
    hidden : DataFrame of bool
        Same rows and columns as ``table``: which figures were withheld.
    method : mapping
        How the figures were made.
    counts : DataFrame
        People and events behind the figures, by the same rule; its rows are those of ``table``, except for
        balance, where they are samples and arms.
    notes : sequence of str
        Sentences to print under the table.
    rule : Policy
        Its name is ``policy``; its ``mark`` stands in place of a withheld figure.

    Raises
    ------
    DisclosureError
        When made otherwise than by ``release``.
    """

    name: str
    kind: Kind
    table: pd.DataFrame
    hidden: pd.DataFrame
    method: Mapping[str, Any]
    counts: pd.DataFrame
    notes: Sequence[str]
    rule: Policy
    seal: InitVar[object] = None
    _as_made: str = field(init=False, repr=False)

    def __post_init__(self, seal: object) -> None:
        if seal is not SEAL:
            raise DisclosureError(
                "Released: only impact.disclosure.release() makes one; release the result instead."
            )
        object.__setattr__(self, "_as_made", self._written())

    @property
    def policy(self) -> str:
        """Name of the policy."""
        return self.rule.name

    @property
    def mark(self) -> str:
        """What stands in place of a withheld figure."""
        return self.rule.mark

    def marked(self) -> pd.DataFrame:
        """Return the table with the policy's mark in place of each withheld figure."""
        return self.table.astype(object).mask(self.hidden.to_numpy(), self.mark)

    def to_csv(self) -> str:
        """Return the marked table as CSV that a spreadsheet will not take for formulas."""
        shown = self.marked().map(as_cell)
        return str(shown.rename(columns=as_cell).to_csv(index=False, lineterminator="\n"))

    def to_json(self) -> str:
        """Return all but ``hidden`` as JSON, with the policy in words; a withheld figure is null.

        Raises
        ------
        DisclosureError
            If something was changed after the release: nothing of it can be shown.
        """
        if self._written() != self._as_made:
            raise DisclosureError(f"{self.name!r}: changed after it was released; release the result again.")
        return self._as_made

    def _written(self) -> str:
        more: dict[str, Any] = {"name": self.name, "kind": self.kind, "policy": self.policy}
        more["rule"] = self.rule.sentence
        if not set(self.counts.columns) <= set(self.table.columns):
            more["counts"] = json.loads(self.counts.to_json(orient="records", date_format="iso"))
        return as_json(self.table, self.method, **more, notes=list(self.notes))


def as_cell(cell: Any) -> Any:
    """Put a quote mark before text that a spreadsheet would run as a formula; dates as year-month-day.

    Some take signs of full width for formulas too.
    """
    if isinstance(cell, pd.Timestamp):
        return cell.date().isoformat()
    if isinstance(cell, str) and cell.lstrip().startswith(_FORMULA):
        return "'" + cell
    return cell
