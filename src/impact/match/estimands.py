"""For whom an effect is estimated, and which methods can do so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from impact.errors import DesignError
from impact.match.propensity import check_word

Estimand = Literal["ATT", "ATC", "ATE", "ATO", "ATM"]

_FOR = {
    "ATT": "the supported",
    "ATC": "the controls",
    "ATE": "everyone",
    "ATO": "people who might as well have been in either arm",
    "ATM": "people for whom there is somebody alike in the other arm",
}


def check_estimand(estimand: str, method: str, has: Sequence[str], instead: str) -> None:
    """Refuse an estimand that a method lacks, and name a method that has it (``instead``).

    Examples
    --------
    >>> check_estimand("ATO", "subclass", ["ATT", "ATC", "ATE"], "inverse_probability")
    Traceback (most recent call last):
    impact.errors.DesignError: estimand='ATO' (the effect on people who might as well have been in either \
arm): subclass has 'ATT', 'ATC', 'ATE'; use inverse_probability.
    """
    check_word("estimand", estimand, get_args(Estimand))
    if estimand not in has:
        raise DesignError(
            f"estimand={estimand!r} (the effect on {_FOR[estimand]}): {method} has "
            f"{', '.join(map(repr, has))}; use {instead}."
        )
