"""The name of a run, which is also that of its folder: the file's, and what the run varies."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from types import SimpleNamespace
from typing import Any

from impact.study.choices import FILES, choices, place
from impact.study.document import Document, _scalar
from impact.study.matrix import exactly
from impact.study.model import Study
from impact.study.wording import _choices, _models

LONGEST = 80
# Bytes that a name may have: systems take 255, and a run is made in `.{name}-` and eight letters.
MOST_BYTES = 245
# However long the name of the file is, some of what is varied can be read.
_LEAST = 40
_PLAIN = re.compile(r"\w+([.-]\w+)*", re.ASCII)


def run_name(stem: str, varied: Mapping[str, Any]) -> str:
    """Name a run by what it varies, so that no other run of a matrix can change its name.

    Parameters
    ----------
    stem : str
        Name of the parameter file.
    varied : mapping of str to value
        Keys such as ``did.estimator``, and what the run holds under each.

    Returns
    -------
    str
        A name that every system takes for a folder. Where the words alone are too long, or could stand for
        other values too, it ends in ten figures and letters that are these values' own.

    Examples
    --------
    >>> run_name("northtown", {"did.estimator": "twfe", "design.months_after": 6})
    'northtown--months_after-6--estimator-twfe'
    >>> run_name("northtown", {"design.treated": ["a b"]})
    'northtown--treated-a-b-dd603420f4'
    >>> run_name("northtown", {"data.people": "east/p.csv", "data.contacts": "east/c.csv", "seed": 1})
    'northtown--data-east--seed-1-bf1473cd54'
    >>> run_name("northtown", {})
    'northtown'
    """
    if not varied:
        return stem
    pairs = sorted(varied.items())
    said = [(key, *_words(value, _known().get(key, ()))) for key, value in pairs]
    if sum(key in FILES for key in varied) > 1 or "data" in varied:
        # Several files are one place, and may be others of the same place.
        said = [("data", _slug(place(varied)), False), *(one for one in said if one[0] not in FILES)]
    words = "--".join(f"{_called(key)}-{word}" for key, word, _ in said)
    room = max(LONGEST - len(stem), _LEAST) - len("--")
    if all(plain for _, _, plain in said) and len(words) <= room:
        return f"{stem}--{words}"
    own = hashlib.blake2b(exactly(pairs).encode(), digest_size=5).hexdigest()
    return f"{stem}--{words[: room - len(own) - 1].rstrip('-.+')}-{own}"


def chosen_by(name: str) -> dict[str, str]:
    """Say what a run chose by its name alone, as far as that tells.

    Examples
    --------
    >>> chosen_by("northtown--months_after-6--outcomes-ae+gp-dd603420f4")
    {'months with support': '6', 'services': '`ae` and `gp`'}
    """
    keys = {f"{_called(key)}-": key for key in _known()}
    varied: dict[str, Any] = {}
    for part in re.sub(r"-[0-9a-f]{10}$", "", name).split("--")[1:]:
        called = max((one for one in keys if part.startswith(one)), key=len, default="")
        word = part.removeprefix(called)
        varied[keys.get(called, "")] = word.split("+") if "+" in word else word
    return choices(varied)


def _words(value: Any, known: tuple[str, ...]) -> tuple[str, bool]:
    """Return a value in the characters of a name, and whether that can mean no other value."""
    if isinstance(value, dict):
        return "-".join(f"{_slug(key)}-{_words(one, ())[0]}" for key, one in value.items()), False
    if isinstance(value, list):
        words = [_words(one, known) for one in value]
        flat = bool(value) and not any(isinstance(one, list | dict) for one in value)
        return "+".join(word for word, _ in words), flat and all(plain for _, plain in words)
    text = value if isinstance(value, str) else exactly(value)
    if not _PLAIN.fullmatch(text):
        return _slug(text), False
    # In small letters or a known word, because some systems do not tell a folder A from a folder a.
    return text, (text == text.lower() or text in known) and exactly(_read(text)) == exactly(value)


def _slug(text: str) -> str:
    return "-".join(re.findall(r"[\w.]*\w", text, re.ASCII))


def _read(text: str) -> Any:
    document = Document("", None)
    value = _scalar(document, SimpleNamespace(value=text, style=None), ())
    return None if document.problems else value


@cache
def _called(key: str) -> str:
    """Return the last part of a key, or all of it where sections share that part."""
    last = key.rpartition(".")[2]
    known = _known()
    alone = key in known and Counter(name.rpartition(".")[2] for name in known)[last] == 1
    return last if alone else "-".join(re.findall(r"\w+", key, re.ASCII))


@cache
def _known() -> dict[str, tuple[str, ...]]:
    """All keys of a parameter file, each with the words it may be."""
    return dict(_keys(Study, ""))


def _keys(model: Any, inside: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for name, field in model.model_fields.items():
        key = f"{inside}{field.alias or name}"
        yield key, tuple(_choices(field.annotation))
        for inner in _models(field.annotation):
            yield from _keys(inner, f"{key}.")
