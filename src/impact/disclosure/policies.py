"""Policies as data: which counts may be shown, and how."""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

from impact.errors import ParameterError, nearest

# Whoever only asks for a policy's name, as the command line does, need not wait for numpy.
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

NOTICE = "Small numbers are withheld by rule; whoever sends this page has it checked first."


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
    rounding : 'nearest' or 'midpoint'
        To the nearest multiple, or to the middle of the multiple's step: for 6, 1 to 6 is 3 and 7 to 12 is 9.
    totals : 'rounded' or 'sum of rounded'
        Whether a total is rounded itself or is the sum of its rounded parts.
    residual_df : int
        A model's people minus its parameters must reach this.
    two_largest : float
        The largest share of a number of events that two people may have; 1 is not to ask.
    p_ratio : float
        What everyone but the two largest have must reach this part of what the largest has; 0 is not to ask.
    mark : str
        What stands in place of a withheld figure.
    sums : tuple of (int, int)
        Of a report: the counts that are shown as another number than they would be by themselves, each with
        that number, since it is the sum of their rounded parts. The gate finds them.

    Examples
    --------
    >>> hes = policy("hes")
    >>> hes.small([0, 1, 7, 8]).tolist(), hes.rounded([0, 8, 12, 13]).tolist()
    ([False, True, True, False], [0.0, 10.0, 10.0, 15.0])
    >>> policy("opensafely_midpoint6").rounded([0, 7, 12, 13]).tolist()
    [0.0, 9.0, 9.0, 15.0]
    """

    name: str
    title: str
    source: str
    date: datetime.date
    smallest_shown: int
    zero_shown: bool
    round_to: int = 1
    rounding: Literal["nearest", "midpoint"] = "nearest"
    totals: Literal["rounded", "sum of rounded"] = "rounded"
    residual_df: int = 0
    two_largest: float = 1.0
    p_ratio: float = 0.0
    mark: str = "*"
    sums: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        limits = {"smallest_shown": (3, ": of two people each knows the other"), "round_to": (1, "")}
        for rule, (least, because) in limits.items():
            if not isinstance(value := getattr(self, rule), int) or value < least:
                raise ParameterError(
                    f"policy {self.name!r}: {rule}={value!r}: a whole number of {least} or more{because}."
                )

    @property
    def few(self) -> str:
        """The counts that are too small, in words."""
        return f"{self.smallest_shown - 1} or fewer"

    @property
    def small_counts(self) -> str:
        """The counts that are withheld, in words: '1 to 7'."""
        return f"{1 if self.zero_shown else 0} to {self.smallest_shown - 1}"

    @property
    def sentence(self) -> str:
        """What is withheld and rounded, for the foot of a page.

        Examples
        --------
        >>> print(policy({"policy": "hes", "smallest_shown": 10, "title": "Our board"}).sentence)
        Counts of 1 to 9 people or events are not shown, nor figures that rest on so few or would give them away; other counts are rounded to the nearest 5 (Our board).
        """  # noqa: E501 - the output is one line
        rounding = f"; other counts are rounded to the nearest {self.round_to}" if self.round_to > 1 else ""
        if self.rounding == "midpoint":
            step, low = self.round_to, self.smallest_shown
            rounding = (
                f"; other counts are rounded to the middle of steps of {step} (midpoint {step}): {low} to "
                f"{low + step - 1} is {self.rounded(low):.0f}"
            )
        return (
            f"Counts of {self.small_counts} people or events are not shown, nor figures that rest on so few "
            f"or would give them away{rounding} ({self.title})."
        )

    @property
    def asks_who_dominates(self) -> bool:
        """Whether it limits how much of a number of events one or two people may have."""
        return self.two_largest < 1 or self.p_ratio > 0

    def small(self, counts: ArrayLike) -> NDArray[np.bool_]:
        """Which counts may not be shown; a missing count is not small."""
        import numpy as np

        n = np.asarray(counts, float)
        return np.asarray((n < self.smallest_shown) & ~((n == 0) & self.zero_shown))

    def protected(self, counts: ArrayLike) -> NDArray[np.bool_]:
        """Which counts must not be worked out either: those of somebody.

        Where 0 is not shown it is not printed, but it may follow: that nobody had to be left out, or that
        what is not observed holds no events, is no fact about a person.

        Examples
        --------
        >>> policy("opensafely").small([0, 7, 8]).tolist(), policy("opensafely").protected([0, 7, 8]).tolist()
        ([True, True, False], [False, True, False])
        """
        import numpy as np

        return np.asarray(self.small(counts) & (np.asarray(counts, float) > 0))

    def enough(self, counts: ArrayLike) -> NDArray[np.bool_]:
        """Which counts are large enough to carry an estimate; missing is not, and neither is 0."""
        import numpy as np

        return np.asarray(np.asarray(counts, float) >= self.smallest_shown)

    def rounded(self, counts: ArrayLike) -> NDArray[np.float64]:
        """Counts to the nearest multiple of ``round_to``, or to the middle of its step; 0 stays 0."""
        import numpy as np

        n = np.asarray(counts, float)
        if self.rounding == "midpoint":
            shown = np.ceil(n / self.round_to) * self.round_to - self.round_to // 2 * (n != 0)
        else:
            shown = np.floor(n / self.round_to + 0.5) * self.round_to
        for count, instead in self.sums:
            shown = np.where(n == count, instead, shown)
        return np.asarray(shown)

    def dominated(self, total: ArrayLike, largest: ArrayLike, second: ArrayLike) -> NDArray[np.bool_]:
        """Which numbers of events are so much those of one or two people that they tell of them.

        One of the two could take their own from the total and know the other's: the two largest have more
        than ``two_largest`` of it, or all others together less than ``p_ratio`` of what the largest has.

        Examples
        --------
        >>> policy("threshold_10").dominated([100, 100, 100], [45, 46, 85], [45, 45, 6]).tolist()
        [False, True, True]
        """
        import numpy as np

        n, first, both = (np.asarray(v, float) for v in (total, largest, np.add(largest, second)))
        # Shares such as 0.9 are not exact in binary: nobody is withheld for the last digit.
        over, rest = both - self.two_largest * n, self.p_ratio * first - (n - both)
        return np.asarray(self.asks_who_dominates & (n > 0) & (np.maximum(over, rest) > 1e-9 * n))

    def guard(self, total: ArrayLike, largest: ArrayLike, second: ArrayLike) -> NDArray[np.int64]:
        """How many more or fewer a dominated number must be able to be, as far as a reader can tell; or 0.

        As many more as would make it one that may be shown: then the second largest, who knows their own,
        cannot tell what the largest has to within ``p_ratio`` of it (the upper protection level of the
        p% rule and of the dominance rule: Hundepool et al. 2012, Statistical Disclosure Control, 4.2).

        Examples
        --------
        >>> policy("threshold_10").guard([100, 100, 100], [45, 46, 85], [45, 45, 6]).tolist()
        [0, 2, 2]
        """
        import numpy as np

        n, first, both = (np.asarray(v, float) for v in (total, largest, np.add(largest, second)))
        least = np.maximum(both / self.two_largest - n, self.p_ratio * first - (n - both))
        return np.where(self.dominated(total, largest, second), np.ceil(least - 1e-9), 0).astype(np.int64)


@cache
def policies() -> dict[str, Policy]:
    """Return the policies that come with the package, by name.

    Examples
    --------
    >>> sorted(policies())
    ['hes', 'opensafely', 'opensafely_midpoint6', 'threshold_10']
    """
    text = files("impact.disclosure").joinpath("policies.toml").read_text(encoding="utf-8")
    return {name: Policy(name=name, **entry) for name, entry in tomllib.loads(text).items()}


def policy(name: Any) -> Policy:
    """Return a policy by name, or by name and what differs; a `Policy` is handed back as it is.

    Raises
    ------
    ParameterError
        If there is no policy of that name, or it has no such rule.

    Examples
    --------
    >>> ours = policy({"policy": "hes", "smallest_shown": 10})
    >>> ours.name, ours.small([9, 10]).tolist()
    ('hes, changed', [True, False])
    """
    if isinstance(name, Policy):
        return name
    known = policies()
    given = dict(name) if isinstance(name, Mapping) else {"policy": name}
    start = given.pop("policy", "hes")
    if not isinstance(start, str) or start not in known:
        raise ParameterError(
            f"disclosure={start!r}: choose one of {', '.join(known)}." + nearest(start, known)
        )
    rules = [f for f in Policy.__dataclass_fields__ if f not in ("name", "sums")]
    if wrong := [key for key in given if key not in rules]:
        raise ParameterError(f"disclosure.{wrong[0]}: there is no such rule.{nearest(wrong[0], rules)}")
    if not given:
        return known[start]
    if isinstance(day := given.get("date"), str):
        given["date"] = datetime.date.fromisoformat(day)
    changed = [f"{key} {value}" for key, value in given.items() if key not in ("title", "source", "date")]
    title = f"{known[start].title}; changed for this study: {', '.join(changed)}"
    return replace(known[start], **{"title": title, **given}, name=f"{start}, changed")
