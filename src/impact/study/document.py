"""Reading a parameter file, so that every value keeps its line and none is read in two ways."""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from impact.errors import ParameterError, nearest
from impact.stores import masked
from impact.study.project import text_of

Location = tuple[int | str, ...]

REQUIRED = ("data", "design", "outcomes")
SEVERAL = "stands for several studies, and this is about one: use `impact run`, or leave it out."

# Plain scalars that YAML 1.1 and YAML 1.2 read differently, or that a person reads otherwise than a program.
_READ_IN_TWO_WAYS = (
    (re.compile(r"(?i)yes|no|on|off"), "write true or false, or put it in quotes if it is a name"),
    (re.compile(r"[-+]?0\d+"), "write the number without the leading 0, or put it in quotes if it is a code"),
    (re.compile(r"[-+]?\d+(:\d+)+(\.\d*)?"), "put it in quotes"),
    (re.compile(r"[-+]?\d[\d_.]*_[\d_.]*"), "write the number without _, or put it in quotes"),
    (re.compile(r"[-+]?0[xob][\da-fA-F_]+"), "write the number in tens, or put it in quotes"),
)
# What the commonest slips are called in YAML's own words, and what to do.
_NOT_YAML = {
    "mapping values are not allowed": "text that holds a colon and a space must stand in quotes",
    "'\\t'": "lines begin with spaces, not with tabs",
    "another document": "a file is one study, so no line may be ---; write the other into a file of its own",
}
_INT = re.compile(r"[-+]?\d+")
_FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_WORDS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False} | {
    "null": None,
    "Null": None,
    "NULL": None,
    "~": None,
}


@dataclass
class Document:
    """Sections as plain values, with the place each came from and what was wrong in reading them."""

    name: str
    sections: Any
    places: dict[Location, str] = field(default_factory=dict)
    problems: list[tuple[Location, str]] = field(default_factory=list)

    def say(self, at: Location, sentence: str) -> str:
        """Return ``file:line: key: sentence``."""
        key = ".".join(str(part) for part in at if isinstance(part, str))
        return ": ".join(part for part in (self._place(at), key, sentence) if part)

    def line(self, at: Location) -> int:
        """Return the line, to put problems in the order of the file; changes by --set come last."""
        line = self._place(at).rpartition(":")[2]
        return int(line) if line.isdigit() else sys.maxsize

    def _place(self, at: Location) -> str:
        nearer = (at[:i] for i in range(len(at), -1, -1))
        return next((self.places[place] for place in nearer if place in self.places), self.name)


def read_document(path: str | os.PathLike[str], changes: Sequence[str] = ()) -> Document:
    """Read a YAML file and merge ``section.key=value`` changes into it.

    Raises
    ------
    ParameterError
        Where the file is missing or is not YAML at all. Smaller problems wait in ``Document.problems``.
    """
    document = Document(str(path), {}, {(): str(path)})
    tree = _compose(_text(str(path)), str(path))
    if tree is not None and tree.id != "mapping":
        raise ParameterError(
            f"{path}:1: a parameter file holds sections such as data:, design: and outcomes:."
        )
    if tree is not None:
        document.sections = _value(document, tree, (), str(path))
    for change in changes:
        _merge(document, change)
    return document


def _text(name: str) -> str:
    try:
        text = text_of(name)
    except UnicodeDecodeError:
        raise ParameterError(f"{name}: this is not a text file in UTF-8; save it as one.") from None
    if text is None:
        file = Path(name)
        if file.is_dir():
            raise ParameterError(f"{name}: this is a folder; name the files in it, such as {name}/*.yaml.")
        if file.exists():
            raise ParameterError(f"{name}: this is not a file but a pipe or the like.")
        beside = [p.name for p in file.parent.iterdir()] if file.parent.is_dir() else []
        raise ParameterError(f"{name}: there is no such parameter file.{nearest(file.name, beside)}")
    return text


def _compose(text: str, name: str) -> Any:
    try:
        return YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        said = next((ours for theirs, ours in _NOT_YAML.items() if theirs in str(error.problem)), "")
        raise ParameterError(f"{name}{line}: this is not YAML: {said or error.problem}.") from None
    except RecursionError:
        raise ParameterError(f"{name}: this is not YAML that can be read: too many lists in lists.") from None
    except YAMLError:
        raise ParameterError(
            f"{name}: this is not YAML: it holds characters that cannot be printed."
        ) from None


def _value(document: Document, node: Any, at: Location, name: str) -> Any:
    """Return what a node says, note its line, and collect what is wrong with it."""
    place = f"{name}:{node.start_mark.line + 1}"
    document.places.setdefault(at, place)
    if node.anchor:
        document.problems.append((at, "anchors (&) and aliases (*) are not used here; write the value out."))
        return None
    if node.id == "scalar":
        return _scalar(document, node, at)
    if node.id == "sequence":
        return [_value(document, item, (*at, i), name) for i, item in enumerate(node.value)]
    out: dict[str, Any] = {}
    for key, value in node.value:
        here = (*at, str(key.value) if key.id == "scalar" else "?")
        line = key.start_mark.line + 1
        if here in document.places:
            first = document.places[here].rsplit(":", 1)[-1]
            document.problems.append((here, f"stands twice, in lines {first} and {line}; keep one."))
            continue
        document.places[here] = f"{name}:{line}"
        out[str(here[-1])] = _value(document, value, here, name)
    return out


def _scalar(document: Document, node: Any, at: Location) -> Any:
    text = node.value
    if node.style is not None:
        return text
    if not text:
        document.problems.append((at, "nothing stands after the colon; write a value or leave the key out."))
        return None
    for pattern, advice in _READ_IN_TWO_WAYS:
        if pattern.fullmatch(text):
            document.problems.append((at, f"{text} can be read in two ways; {advice}."))
            return text
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _merge(document: Document, change: str) -> None:
    keys, equals, text = change.partition("=")
    at = tuple(keys.strip().split("."))
    if not equals or not all(at):
        raise ParameterError(
            f"--set {masked(change)}: write section.key=value, such as did.control=never_treated."
        )
    name = f"--set {masked(change)}"
    read = Document(name, None)
    tree = _compose(text, name)
    value = _value(read, tree, at, name) if tree is not None else ""
    section = document.sections
    for part in at[:-1]:
        if not isinstance(section.get(part), dict):
            section[part] = {}
        section = section[part]
    section[at[-1]] = value
    # What the file said there no longer counts, and so neither do its problems.
    document.problems = [p for p in document.problems if p[0][: len(at)] != at] + read.problems
    document.places = {k: v for k, v in document.places.items() if k[: len(at)] != at} | {at: name}


def as_given(sections: Any) -> Any:
    """Return the sections as the user gave them in a notebook.

    papermill replaces the sections it is given and leaves the others as the notebook has them, which are
    the demonstration's. A file that brings its own data is a study of its own: what it leaves out takes the
    study's defaults, or is missing, and is never the demonstration's.
    """
    if not isinstance(sections, Mapping):
        return sections
    injected = _injected()
    if "matrix" in injected:
        return {"matrix": None}  # which a single study refuses
    if not injected & set(REQUIRED):
        return sections
    return {k: v for k, v in sections.items() if k in injected}


def _injected() -> set[str]:
    """Names that papermill set in the running notebook: those of its cell, which starts '# Parameters'."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    cells = [c for c in getattr(shell, "user_ns", {}).get("In", []) if c.startswith("# Parameters\n")]
    if not cells:
        return set()
    targets = [t for s in ast.parse(cells[-1]).body if isinstance(s, ast.Assign) for t in s.targets]
    return {t.id for t in targets if isinstance(t, ast.Name)}
