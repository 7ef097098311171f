"""The user's mistakes. Anything else that is raised is a fault of ours."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class ImpactError(Exception):
    """A mistake the user can mend. Its text names the place, what was found and what to do."""

    exit_code = 1


class ParameterError(ImpactError):
    """The parameter file or an argument is wrong."""

    exit_code = 2


class DataError(ImpactError):
    """A data file is missing, unreadable or breaks the contract."""

    exit_code = 3


class DesignError(ImpactError):
    """The design cannot identify the effect, or the data cannot carry the method asked for."""

    exit_code = 4


class DisclosureError(ImpactError):
    """Something that was not released, or must not be, was about to leave."""

    exit_code = 5


class RunError(ImpactError):
    """A notebook stopped; the private log has the details."""

    exit_code = 6


def in_words(problem: Exception) -> ImpactError:
    """Return an error for the user to read; the text of any other than ours may hold a person's value."""
    if isinstance(problem, ImpactError):
        return problem
    if isinstance(problem, OSError) and problem.strerror:
        said = RunError(f"the report could not be written ({problem.strerror}); an earlier one is as it was.")
    else:
        said = RunError(f"a fault in impact itself ({type(problem).__name__}): please report it.")
    said.__cause__ = problem
    return said


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ' Did you mean X?' for the nearest of the known names, or an empty string.

    Examples
    --------
    >>> nearest("persn_id", ["person_id", "arm"])
    " Did you mean 'person_id'?"
    >>> nearest("zzz", ["person_id"])
    ''
    """
    close = difflib.get_close_matches(str(name), [str(k) for k in known], n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


def whose(names: Sequence[str]) -> str:
    """Name the studies that share a fault.

    Examples
    --------
    >>> whose(["a"]), whose(["a", "b"]), whose(["a", "b", "c"])
    ('a', 'a and 1 more', 'a and 2 more')
    """
    return f"{names[0]} and {len(names) - 1} more" if len(names) > 1 else names[0]


def together(problems: Sequence[str]) -> str:
    """Join all problems of one file into one message, one a line."""
    return "\n".join(problems)
