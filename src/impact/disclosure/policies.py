"""Policies as data: which counts may be shown, and how."""

from __future__ import annotations

import datetime
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from impact.errors import ParameterError, nearest


@dataclass(frozen=True)
class Policy:
    """A rule for small numbers.

    Parameters
    ----------
    name, title, source : str
    date : date
        When the source was read.
    smallest_shown : int
        The smallest count, other than 0, that may be shown.
    zero_shown : bool
        Whether 0 may be shown.
    round_to : int
        Counts are shown to the nearest multiple of this.
    totals : 'rounded' or 'sum of rounded'
        Whether a total is rounded itself or is the sum of its rounded parts.
    residual_df : int
        A model's people minus its parameters must reach this.
    mark : str
        What stands in place of a withheld figure.

    Examples
    --------
    >>> hes = policy("hes")
    >>> hes.small([0, 1, 7, 8]).tolist(), hes.rounded([0, 8, 12, 13]).tolist()
    ([False, True, True, False], [0.0, 10.0, 10.0, 15.0])
    """

    name: str
    title: str
    source: str
    date: datetime.date
    smallest_shown: int
    zero_shown: bool
    round_to: int = 1
    totals: Literal["rounded", "sum of rounded"] = "rounded"
    residual_df: int = 0
    mark: str = "*"

    def __post_init__(self) -> None:
        if self.smallest_shown < 1 or self.round_to < 1:
            raise ParameterError(
                f"policy {self.name!r}: smallest_shown={self.smallest_shown} and round_to={self.round_to}"
                " must be whole numbers of at least 1."
            )

    @property
    def few(self) -> str:
        """The counts that are too small, in words."""
        return f"{self.smallest_shown - 1} or fewer"

    def small(self, counts: ArrayLike) -> NDArray[np.bool_]:
        """Which counts may not be shown; a missing count is not small."""
        n = np.asarray(counts, float)
        return np.asarray((n < self.smallest_shown) & ~((n == 0) & self.zero_shown))

    def enough(self, counts: ArrayLike) -> NDArray[np.bool_]:
        """Which counts are large enough to carry an estimate; missing is not, and neither is 0."""
        return np.asarray(np.asarray(counts, float) >= self.smallest_shown)

    def rounded(self, counts: ArrayLike) -> NDArray[np.float64]:
        """Counts to the nearest multiple of ``round_to``."""
        return np.asarray(np.floor(np.asarray(counts, float) / self.round_to + 0.5) * self.round_to)


@cache
def policies() -> dict[str, Policy]:
    """Return the policies that come with the package, by name.

    Examples
    --------
    >>> sorted(policies())
    ['hes', 'opensafely', 'threshold_10']
    """
    text = files("impact.disclosure").joinpath("policies.toml").read_text(encoding="utf-8")
    return {name: Policy(name=name, **entry) for name, entry in tomllib.loads(text).items()}


def policy(name: Any) -> Policy:
    """Return a policy by name; a `Policy` is handed back as it is.

    Raises
    ------
    ParameterError
        If there is no policy of that name.
    """
    if isinstance(name, Policy):
        return name
    known = policies()
    if not isinstance(name, str) or name not in known:
        raise ParameterError(f"disclosure={name!r}: choose one of {', '.join(known)}." + nearest(name, known))
    return known[name]
