"""The runs that a parameter file's matrix stands for: the product of its lists, or the rows of a table."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations, product
from operator import itemgetter
from typing import Any

from impact.errors import ParameterError, nearest
from impact.stores import masked
from impact.study.document import Document, Location
from impact.study.table import MOST, Run, Value, read_table

EXAMPLE = "lists such as did.estimator: [etwfe, twfe], or the name of a CSV file with one run a row"
_BESIDE = ("include", "exclude")
# A text that two values share only if they are the same: 1 is not true, nor is it '1'.
exactly = json.JSONEncoder(sort_keys=True).encode
Problem = tuple[Location, str]


class Matrix:
    """The runs of one document, and what is wrong with how they are written.

    Parameters
    ----------
    document : Document
        A parameter file with or without a section ``matrix``; without it, the file itself is the only run.
    changes : sequence of str
        Changes by ``--set``, which are in the document already: none may be of what the matrix varies.

    Attributes
    ----------
    runs : list of Run
        In the order of the file: the product, its last list changing fastest, and then ``include``.

    Examples
    --------
    >>> sections = {"title": "x", "matrix": {"did.estimator": ["etwfe", "twfe"], "seed": [1, 2]}}
    >>> matrix = Matrix(Document("x.yaml", sections))
    >>> [[value.value for value in run.values] for run in matrix.runs]
    [['etwfe', 1], ['etwfe', 2], ['twfe', 1], ['twfe', 2]]
    >>> matrix.document(matrix.runs[2]).sections
    {'title': 'x', 'did': {'estimator': 'twfe'}, 'seed': 1}
    """

    def __init__(self, document: Document, changes: Sequence[str] = ()) -> None:
        self.runs: list[Run] = [Run()]
        self._document = self._base = document
        # By what is wrong, so that each place is told one fault, the first.
        self._said: dict[Any, str] = {}
        self._kept: dict[tuple[Location, ...], tuple[dict[Location, str], list[Problem]]] = {}
        if not isinstance(document.sections, dict) or "matrix" not in document.sections:
            return
        asked = document.sections["matrix"]
        sections = {name: value for name, value in document.sections.items() if name != "matrix"}
        inside = [problem for problem in document.problems if problem[0][:1] == ("matrix",)]
        outside = [problem for problem in document.problems if problem[0][:1] != ("matrix",)]
        places = {at: place for at, place in document.places.items() if at[:1] != ("matrix",)}
        self._base = Document(document.name, sections, places, outside)
        self._places, self._problems = _by_value(document.places.items()), _by_value(inside)
        for at, what in inside:
            # What is wrong with a value is told by the runs that hold it.
            if len(at) < (4 if at[1:2] == ("include",) else 3) or at[1] == "exclude":
                self._say(at, what)
        self.runs = list(self._table(asked) if asked and isinstance(asked, str) else self._grid(asked))
        self._refuse_clashes(changes)

    @property
    def problems(self) -> list[str]:
        """What is wrong, one sentence a problem, with file and line."""
        return [line for said in self._said.values() for line in said.splitlines()]

    def document(self, run: Run) -> Document:
        """Return the sections of one run; it shares with the others those that it does not change."""
        sections = dict(self._base.sections) if run.values else self._base.sections
        places, problems = self._beside(tuple(value.at for value in run.values))
        for value in run.values:
            _put(sections, value.at, value.value)
        return Document(
            self._base.name,
            sections,
            places.copy() | {at: place for value in run.values for at, place in value.places.items()},
            problems + [problem for value in run.values for problem in value.problems],
        )

    def _beside(self, keys: tuple[Location, ...]) -> tuple[dict[Location, str], list[Problem]]:
        """What the file says beside these keys: its own values there do not count, nor do their faults."""
        if keys not in self._kept:

            def other(at: Location) -> bool:
                return not any(at[: len(key)] == key for key in keys)

            places = {at: place for at, place in self._base.places.items() if other(at)}
            self._kept[keys] = places, [problem for problem in self._base.problems if other(problem[0])]
        return self._kept[keys]

    def _say(self, at: Location, what: str) -> None:
        self._said.setdefault(at, self._document.say(at, what))

    def _table(self, name: str) -> Iterator[Run]:
        try:
            yield from read_table(name)
        except ParameterError as error:
            self._said[name] = str(error)

    def _grid(self, asked: Any) -> Iterator[Run]:
        """Take the product of the lists, leave out and add what is asked."""
        if not isinstance(asked, dict):
            self._say(("matrix",), f"expected {EXAMPLE}.")
            return
        found = {key: self._values(key, values) for key, values in asked.items() if key not in _BESIDE}
        lists = {key: values for key, values in found.items() if values}
        size = math.prod(map(len, lists.values())) if lists else 0
        if size > MOST:
            lengths = " x ".join(str(len(values)) for values in lists.values())
            self._say(("matrix",), f"stands for {size:,} runs ({lengths}); {MOST:,} is the most.")
            return
        chosen = list(product(*(range(len(values)) for values in lists.values()))) if lists else []
        if "exclude" in asked:
            chosen = self._left(chosen, lists, asked["exclude"])
        for run in chosen:
            yield Run(tuple(values[i] for values, i in zip(lists.values(), run, strict=True)))
        if "include" in asked:
            yield from self._included(asked["include"])
        elif not chosen and not self._said:
            none = f"exclude leaves none of its {size:,} runs." if size else f"holds no run; write {EXAMPLE}."
            self._say(("matrix",), none)

    def _values(self, key: str, values: Any) -> list[Value]:
        at: Location = ("matrix", key)
        if at in self._said:  # it could not be read
            return []
        if not isinstance(values, list):
            nested = isinstance(values, dict) and values
            example = f"{key}.{next(iter(values))}: [...]" if nested else f"{key}: [{written(values)}]"
            self._say(at, f"expected a list of values, such as {example}.")
            # What else is wrong is told as well: as if it were a list.
            return [] if isinstance(values, dict) else [self._value(key, values, at)]
        if not values:
            self._say(at, "must not be empty.")
        first: dict[str, int] = {}
        for i, value in enumerate(values):
            if first.setdefault(exactly(value), i) != i:
                self._say((*at, i), f"{written(value)} stands twice.")
        return [self._value(key, values[i], (*at, i)) for i in first.values()]

    def _value(self, key: str, value: Any, at: Location) -> Value:
        """Return a value with its lines and faults, as if it stood in its section."""
        to = tuple(key.split("."))
        places = {to: self._document._place(at)} | {to + rest: place for rest, place in self._places[at]}
        return Value(key, value, places, tuple((to + rest, what) for rest, what in self._problems[at]))

    def _left(
        self, chosen: list[tuple[int, ...]], lists: dict[str, list[Value]], exclude: Any
    ) -> list[tuple[int, ...]]:
        """Leave out the runs that an exclusion matches; a run is one place in each list."""
        for at, entry in self._entries("exclude", exclude):
            found = [self._sought(lists, key, value, (*at, key)) for key, value in entry.items()]
            sought = dict(place for place in found if place)
            if len(sought) < len(found):
                continue
            of = itemgetter(*sought)
            left = [run for run in chosen if of(run) != of(sought)]
            if len(left) == len(chosen):
                self._say(at, "matches no run that is left.")
            chosen = left
        return chosen

    def _sought(
        self, lists: dict[str, list[Value]], key: str, value: Any, at: Location
    ) -> tuple[int, int] | None:
        """Return which list, and which place in it, an exclusion means."""
        if key not in lists:
            hint = nearest(key, lists) or (f" It has lists of {', '.join(lists)}." if lists else "")
            self._say(at, f"matches nothing: the matrix has no list of {key}.{hint}")
            return None
        values = lists[key]
        place = next((i for i, one in enumerate(values) if exactly(one.value) == exactly(value)), None)
        if place is None:
            hint = nearest(written(value), [written(one.value) for one in values])
            self._say(at, f"matches nothing: {written(value)} is not in the list of {key}.{hint}")
            return None
        return list(lists).index(key), place

    def _included(self, include: Any) -> Iterator[Run]:
        for at, entry in self._entries("include", include):
            values = tuple(self._value(key, value, (*at, key)) for key, value in entry.items())
            yield Run(values, self._document.places.get(at, self._document.name))

    def _entries(self, name: str, entries: Any) -> Iterator[tuple[Location, dict[str, Any]]]:
        at: Location = ("matrix", name)
        if not isinstance(entries, list) or not entries:
            self._say(at, f"expected a list, such as {name}: [{{did.estimator: twfe}}].")
            return
        for j, entry in enumerate(entries):
            if isinstance(entry, dict) and entry:
                yield (*at, j), entry
            else:
                self._say((*at, j), "expected keys and values, such as {did.estimator: twfe}.")

    def _refuse_clashes(self, changes: Sequence[str]) -> None:
        """Refuse a key inside another, one inside a single value of the file, and one that --set changes."""
        together = {tuple(value.key for value in run.values): run.values for run in self.runs}
        refused = set()
        for values in together.values():
            for outer, inner in combinations(sorted(values, key=lambda value: len(value.at)), 2):
                if inner.at[: len(outer.at)] == outer.at:
                    self._tell(inner, f"is a part of {outer.key}, which is varied too; keep one.")
                    refused.add(inner.key)
        for value in {value.key: value for values in together.values() for value in values}.values():
            if whole := _whole(self._base.sections, value.at):
                at, held = whole
                where = self._base.places.get(at, self._base.name)
                self._tell(value, f"{'.'.join(at)} is {written(held)} in {where}, not keys and values.")
                refused.add(value.key)
            for change in changes:
                changed = tuple(part.strip() for part in change.partition("=")[0].split("."))
                if changed[: len(value.at)] == value.at[: len(changed)]:
                    what = f"the matrix varies {value.key}; leave one of the two out."
                    self._said[change, value.key] = f"--set {masked(change)}: {what}"
        if refused:
            left = ((run, (value for value in run.values if value.key not in refused)) for run in self.runs)
            self.runs = [replace(run, values=tuple(values)) for run, values in left]

    def _tell(self, value: Value, what: str) -> None:
        self._said.setdefault((value.key, what), f"{value.places[value.at]}: {value.key}: {what}")


def written(value: Any) -> str:
    """Return a value as it is written in a parameter file.

    Examples
    --------
    >>> written(["ae", 1.5, True]), written({"age": 5})
    ('[ae, 1.5, true]', '{age: 5}')
    """
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {written(one)}' for key, one in value.items())}}}"
    return value if isinstance(value, str) else json.dumps(value)


def _by_value(pairs: Iterable[tuple[Location, str]]) -> dict[Location, list[Problem]]:
    """What is said of each value of a matrix: of an item of a list, or of a key of an entry."""
    out: dict[Location, list[Problem]] = defaultdict(list)
    for at, said in pairs:
        if at[0:1] == ("matrix",):
            for end in (2, 3, 4):
                if len(at) >= end:
                    out[at[:end]].append((at[end:], said))
    return out


def _put(sections: dict[str, Any], at: Location, value: Any) -> None:
    """Set a value, in copies of the sections on the way to it."""
    here: dict[Any, Any] = sections
    for part in at[:-1]:
        here[part] = dict(here.get(part) or {})
        here = here[part]
    here[at[-1]] = value


def _whole(sections: Any, at: tuple[str, ...]) -> tuple[tuple[str, ...], Any] | None:
    """Return where a file has one value, so that nothing can be set in it, and that value."""
    here = sections
    for i, part in enumerate(at[:-1]):
        here = here.get(part)
        if here is None:
            return None
        if not isinstance(here, dict):
            return at[: i + 1], here
    return None
