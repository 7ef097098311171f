"""The study itself: what a notebook and the doors hold."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import ModelWrapValidatorHandler, PrivateAttr, ValidationError, ValidationInfo, model_validator

from impact.errors import DataError, ParameterError, nearest, together
from impact.stores import is_address
from impact.study.choices import choices, place
from impact.study.document import SEVERAL, Document, Location, as_given, read_document
from impact.study.planned import kept
from impact.study.plans import TABLES, Plans
from impact.study.project import files_of, project_root
from impact.study.protocol import brief, home, protocol, subtitle
from impact.study.schema import with_matrix
from impact.study.wording import contradictions, sentence


class Study(Plans):
    """One study: its data, design, outcomes and methods.

    Raises
    ------
    ParameterError
        With all that is wrong, one problem a line.

    Examples
    --------
    >>> study = Study(
    ...     title="Health support",
    ...     data={"people": "people.csv", "contacts": "contacts.csv"},
    ...     design={"treated": ["support"], "control": ["usual"]},
    ...     outcomes=["ae", "gp"],
    ...     matching={"on": ["age", "sex"]},
    ... )
    >>> study.name, study.design.months_after, study.matching.arguments["on"]
    ('health-support', 12, ('age', 'sex'))
    >>> Study(data={"people": "p.csv", "contacts": "c.csv"}, outcomes=["ae"], design={"tretead": ["a"]})
    Traceback (most recent call last):
        ...
    impact.errors.ParameterError: design.tretead: there is no such key. Did you mean 'treated'?
    """

    _name: str = PrivateAttr("")
    _file: Path | None = PrivateAttr(None)
    _varied: dict[str, Any] = PrivateAttr(default_factory=dict)
    _main: bool = PrivateAttr(True)
    _titled: bool = PrivateAttr(False)

    @classmethod
    def read(cls, path: str | os.PathLike[str], *, changes: Sequence[str] = ()) -> Self:
        """Read a parameter file.

        Parameters
        ----------
        path : path of a YAML file
        changes : sequence of str
            Such as ``did.control=never_treated``: merged into the file before it is checked.

        Raises
        ------
        ParameterError
            With all problems of the file together, each with file and line.
        """
        return cls.of_run(read_document(path, changes), Path(path).stem, file=path)

    @classmethod
    def of_run(
        cls,
        document: Document,
        name: str,
        *,
        file: str | os.PathLike[str],
        varied: Mapping[str, Any] | None = None,
        main: bool = True,
        titled: bool = False,
    ) -> Self:
        """Validate the sections of one run of a parameter file, and give it its name.

        Parameters
        ----------
        document : Document
            The sections, with the lines they stand on.
        name : str
            Name of the study and of its folder.
        file : path
            The parameter file.
        varied : mapping of str to value, optional
            What the file's matrix varies, and what this run holds: ``{"did.estimator": "twfe"}``.
        main : bool
            Whether the answer of this run is the file's own, and the other runs are beside it.
        titled : bool
            Whether its title says which of the file's data it has.

        Raises
        ------
        ParameterError
            With all problems of the run together, each with file and line.
        """
        study = cls.model_validate(document.sections, context=document)
        study._file = Path(os.fspath(file).rpartition("/")[2] if is_address(file) else file)
        study._name, study._varied = name, dict(varied or {})
        study._main, study._titled = main, titled
        return study

    @model_validator(mode="wrap")
    @classmethod
    def _in_plain_words(
        cls, sections: Any, validate: ModelWrapValidatorHandler[Self], info: ValidationInfo
    ) -> Self:
        document = info.context if isinstance(info.context, Document) else Document("", as_given(sections))
        if isinstance(document.sections, Mapping) and "matrix" in document.sections:
            raise ParameterError(document.say(("matrix",), SEVERAL))
        # A key gets one sentence, the first, and none because of what is wrong inside it.
        problems: dict[Location, str] = {}
        try:
            study = validate(document.sections)
            found = [*document.problems, *contradictions(study)]
        except ValidationError as error:
            found = document.problems + [(e["loc"], sentence(e, cls)) for e in error.errors()]
        for at, what in found:
            if not any(known[: len(at)] == at for known in problems):
                problems[at] = what
        if problems:
            in_order = sorted(problems.items(), key=lambda problem: document.line(problem[0]))
            raise ParameterError(together([document.say(at, what) for at, what in in_order]))
        return study

    @property
    def name(self) -> str:
        """The parameter file's stem and what a run varies, or the title in small letters and hyphens."""
        return self._name or named_by_title(self.title)

    @property
    def parameter_file(self) -> Path | None:
        """The file it was read from, as it was named; none of a study made in a notebook."""
        return self._file

    @property
    def varied(self) -> dict[str, Any]:
        """What its file's matrix varies, as this run has it; empty for a file without a matrix."""
        return dict(self._varied)

    @property
    def is_main(self) -> bool:
        """Whether it holds what its file's first run holds, other data aside: the choices made beforehand."""
        return self._main

    @property
    def choices(self) -> dict[str, str]:
        """What its file's matrix varies, and what this run holds, in words for readers."""
        return choices(self._varied, titled=self._titled)

    @property
    def place(self) -> str:
        """Which of the data that its file's matrix varies it has, in a word; or nothing."""
        return place(self._varied)

    @classmethod
    def model_json_schema(cls, *args: Any, **options: Any) -> dict[str, Any]:
        """Return the JSON Schema of a parameter file, its matrix included."""
        return with_matrix(super().model_json_schema(*args, **options))

    def records(self, page: str) -> dict[str, Path]:
        """Plain keyword arguments of ``disclosure.release``: where a page's record is, and earlier reports'.

        A run names both folders (``IMPACT_RECORDS``, ``IMPACT_SENT``). A notebook run by hand keeps its
        own, and is compared with the reports that were made.
        """
        private = project_root() / "outputs" / self.name / "private"
        here = Path(os.environ.get("IMPACT_RECORDS") or private / "by-hand")
        sent = Path(os.environ.get("IMPACT_SENT") or private / "records")
        return {"record": here / f"{page}.json", "previous": sent}

    @property
    def protocol(self) -> dict[str, str]:
        """The trial this study stands in for, one sentence an element."""
        return protocol(self)

    @property
    def planned(self) -> dict[str, Any]:
        """How it compares with its plan: plain keyword arguments of ``impact.interpret.kept_to_plan``.

        A run looks before it starts, and says what it found (``IMPACT_PLANNED``).
        """
        found = os.environ.get("IMPACT_PLANNED")
        return dict(json.loads(found)) if found else kept(self)

    @property
    def reported(self) -> dict[str, Any]:
        """Plain keyword arguments of ``impact.interpret.checklists``: what a person says, and the plan."""
        answers = self.reporting.model_dump(exclude_none=True) if self.reporting else {}
        estimated = bool(self.did or self.matching or self.survey)
        told = {"answers": answers, "protocol": self.protocol, "is_estimated": estimated}
        return told | {"answers_alone": self.survey is not None and not self.outcomes}

    @property
    def brief(self) -> dict[str, str]:
        """How it was done, in five plain sentences."""
        return brief(self)

    @property
    def masthead(self) -> dict[str, Any]:
        """Plain keyword arguments of ``pages.masthead``: which study it is, whose, of when, and its words."""
        words = {name: label.model_dump(exclude_none=True) for name, label in self.labels.items()}
        own = {"labels": words, "unit": self._counted}
        return {"title": self.title, "subtitle": subtitle(self), **{k: v for k, v in own.items() if v}}

    @property
    def _counted(self) -> str:
        """What is counted if not people: households, or units of a panel with a label or without time."""
        panel, column = self.data.panel, self.design.unit
        column = panel.unit if panel else column
        own = self.labels[column].name if column in self.labels else None
        return own or (home(column) if column and not (panel and panel.exposure) else "")

    @property
    def told(self) -> dict[str, Any]:
        """Plain keyword arguments of the words on pages: how support was given, and what it was."""
        return {"assignment": self.design.assignment, "support": self.wording.support or ""}

    @property
    def remarks(self) -> list[str]:
        """What a reader of every page must know: the study's notes, and what is counted if not people."""
        if not (unit := self.design.unit):
            return [*self.notes]
        one = f"Each {home(unit)} is compared as one, in place of the people in it. "
        one += f"Tables count each {home(unit)} once, with averages over its members; rates are of people."
        return [*self.notes, one]

    @property
    def parameters(self) -> dict[str, Any]:
        """All sections as plain values, for papermill and the manifest."""
        sections = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        for name in ("did", "matching"):
            if chosen := getattr(self, name):
                sections[name] = {k: v for k, v in sections[name].items() if k in chosen.known}
        return {name: sections.get(name) for name in type(self).model_fields}

    @property
    def data_files(self) -> dict[str, tuple[str, ...]]:
        """The data files by table, as the parameter file names them."""
        panel = {"panel": self.data.panel.file} if self.data.panel else {}
        prices = {"prices": (self.money.prices,)} if self.money and self.money.prices else {}
        return panel | {k: v for k in TABLES if (v := getattr(self.data, k))} | prices

    @property
    def files(self) -> dict[str, list[Path]]:
        """The data files by table, on this computer; ``DataError`` names every one that is not there."""
        return self.find_files()

    def find_files(self, *, fetch: bool = True) -> dict[str, list[Path]]:
        """Find the data files; without ``fetch``, those in stores are looked for and stay there."""
        root, problems = project_root(), []
        found: dict[str, list[Path]] = {}
        for table, patterns in self.data_files.items():
            found[table] = []
            place = "money.prices" if table == "prices" else f"data.{table}"
            for pattern in patterns:
                paths = files_of(root, pattern, fetch=fetch)
                found[table] += paths
                if not paths:
                    beside = (root / pattern).parent
                    names = [p.name for p in beside.iterdir()] if beside.is_dir() else []
                    problems.append(
                        f"{place}: there is no file {pattern!r} (paths count from the project's folder)."
                        + nearest(Path(pattern).name, names)
                    )
        if problems:
            raise DataError(together(problems))
        return found


def named_by_title(title: str) -> str:
    """Return the name of a study that was made without a file.

    Examples
    --------
    >>> named_by_title("Health support, Northtown")
    'health-support-northtown'
    """
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "study"
