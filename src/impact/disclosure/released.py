"""What may leave: a table that has passed the gate."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass
from typing import Any, Literal, NoReturn
from weakref import WeakKeyDictionary

import pandas as pd

from impact.disclosure.policies import Policy
from impact.errors import DisclosureError
from impact.results import as_json

Kind = Literal["effects", "test", "summary", "rates", "balance", "matched", "bounds", "costs"]

_FORMULA = tuple("=+-@|%\uff1d\uff0b\uff0d\uff20")

# Only the gate holds this; it is what makes release() the one maker of Released.
SEAL = object()

_NOT_BY_HAND = "Released: only impact.disclosure.release() makes one; release the result instead."
_Content = tuple[str, bytes]


@dataclass(frozen=True, eq=False)
class Released:
    """A result that may be shown and written. Only `impact.disclosure.release` makes one.

    A copy of it is itself, and it cannot be pickled. Every way out of it (``marked, to_csv, to_json`` and
    what ``impact.show`` displays) first looks whether it is still what was released.

    Parameters
    ----------
    name : str
        The name it was released under.
    kind : str
        ``effects, test, summary, rates, balance, matched, bounds`` or ``costs``.
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
        When made otherwise than by ``release``, pickled, or changed afterwards and then shown or written.
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

    def __post_init__(self, seal: object) -> None:
        if seal is not SEAL:
            raise DisclosureError(_NOT_BY_HAND)
        _MADE[self] = self._content()

    def __init_subclass__(cls, **_: Any) -> None:
        raise DisclosureError(_NOT_BY_HAND)

    def __copy__(self) -> Released:
        return self

    def __deepcopy__(self, _: Any) -> Released:
        return self

    def __reduce_ex__(self, _: Any) -> NoReturn:
        raise DisclosureError(f"{self.name!r}: cannot be pickled; keep what to_json() or to_csv() writes.")

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
        Released.unchanged(self)
        return self.table.astype(object).mask(self.hidden.to_numpy(), self.mark)

    def to_csv(self) -> str:
        """Return the marked table as CSV that a spreadsheet will not take for formulas."""
        shown = self.marked().map(as_cell)
        return str(shown.rename(columns=as_cell).to_csv(index=False, lineterminator="\n"))

    def to_json(self) -> str:
        """Return all but ``hidden`` as JSON, with the policy in words; a withheld figure is null."""
        return Released.unchanged(self)._written()

    def unchanged(self) -> Released:
        """Return it if it is what was released, which every way out asks first."""
        if (made := _MADE.get(self)) is None:
            raise DisclosureError(_NOT_BY_HAND)
        if made != self._content():
            raise DisclosureError(f"{self.name!r}: changed after it was released; release the result again.")
        return self

    def _content(self) -> _Content:
        return self._written(), self.hidden.to_numpy(bool).tobytes()

    def _written(self) -> str:
        more: dict[str, Any] = {"name": self.name, "kind": self.kind, "policy": self.policy}
        more["rule"] = self.rule.sentence
        if not set(self.counts.columns) <= set(self.table.columns):
            more["counts"] = json.loads(self.counts.to_json(orient="records", date_format="iso"))
        return as_json(self.table, self.method, **more, notes=list(self.notes))


# What each held when it was released, kept apart from it: one that is put together by hand is not in here.
_MADE: WeakKeyDictionary[Released, _Content] = WeakKeyDictionary()


def as_cell(cell: Any) -> Any:
    """Put a quote mark before text that a spreadsheet would run as a formula; dates as year-month-day.

    Some take signs of full width for formulas too.
    """
    if isinstance(cell, pd.Timestamp):
        return cell.date().isoformat()
    if isinstance(cell, str) and cell.lstrip().startswith(_FORMULA):
        return "'" + cell
    return cell
