"""The studies of many parameter files: every run of each, and all that is wrong with any of them at once."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from impact.errors import ParameterError, nearest, together
from impact.stores import NO_SECRETS, find, has_secret, is_address
from impact.study.choices import place
from impact.study.counted import TOLD
from impact.study.document import read_document
from impact.study.matrix import Matrix, written
from impact.study.model import Study
from impact.study.naming import LONGEST, MOST_BYTES, run_name
from impact.study.project import project_root
from impact.study.table import Run

_LINE = re.compile(r"(?P<file>.+?):(?P<line>\d+): (?P<what>.+)")


def read_studies(files: Sequence[str | os.PathLike[str]], *, changes: Sequence[str] = ()) -> list[Study]:
    """Read and validate parameter files, and every run of those with a matrix, before anything starts.

    Parameters
    ----------
    files : sequence of paths
        Parameter files, or patterns such as ``params/*.yaml``: not every command line expands them. A file
        that is named twice is read once.
    changes : sequence of str
        Such as ``did.control=never_treated``: made to every run.

    Returns
    -------
    list of Study
        In the order of the files, and in each of its runs. No two have the same ``name``.

    Raises
    ------
    ParameterError
        With all problems of all files. A fault that many runs share is one sentence.
    """
    studies: list[Study] = []
    problems: list[str] = []
    named: dict[str, str] = {}
    for file in files_named(files, problems):
        stem = Path(file).stem.casefold()
        if stem in named:
            problems.append(
                f"{file}: {named[stem]} has the same name, so their outputs would share a folder; rename one."
            )
            continue
        named[stem] = file
        try:
            studies += _runs(file, changes)
        except ParameterError as error:
            problems += str(error).splitlines()
    if problems:
        # A problem of --set is the same in every file and is said once.
        raise ParameterError(together(list(dict.fromkeys(problems))))
    _refuse_one_folder(studies)
    return studies


def manifest(studies: Sequence[Study]) -> list[dict[str, Any]]:
    """Return the list of runs, one row each: ``id`` (its name), ``file``, ``title``, and what it varies.

    A key that a run does not set has no place in its row: there the run has what its file says. The file
    counts from the project's folder.

    Examples
    --------
    >>> manifest([Study(data={"people": "p.csv", "contacts": "c.csv"}, outcomes=["ae"],
    ...                 design={"treated": ["a"], "control": ["b"]}, title="Northtown")])
    [{'id': 'northtown', 'file': None, 'title': 'Northtown'}]
    """
    return [
        {"id": study.name, "file": _from_root(study.parameter_file), "title": study.title, **study.varied}
        for study in studies
    ]


def _refuse_one_folder(studies: Sequence[Study]) -> None:
    first: dict[str, Study] = {}
    for study in studies:
        # Some systems do not tell a folder A from a folder a.
        other = first.setdefault(study.name.casefold(), study)
        if other is not study:
            raise ParameterError(
                f"{study.parameter_file}: its run {study.name} would share a folder with one of "
                f"{other.parameter_file}; rename a file."
            )


def _from_root(file: Path | None) -> str | None:
    """Name a file without the folders above the project: they are nobody else's business."""
    if file is None:
        return None
    whole, root = file.resolve(), project_root()
    return whole.relative_to(root).as_posix() if whole.is_relative_to(root) else file.name


def files_named(names: Sequence[str | os.PathLike[str]], problems: list[str]) -> list[str]:
    """Return the files that names and patterns stand for, each once; ``problems`` gets what no file fits."""
    found: dict[Path, str] = {}
    for given in (os.fspath(file) for file in names):
        if has_secret(given):
            problems.append(f"{NO_SECRETS}.")
            continue
        if os.path.exists(given) or not re.search(r"[*?[]", given):
            found.setdefault(_place(given), given)
            continue
        matched = find(given) if is_address(given) else sorted(glob.glob(given, recursive=True))
        for file in matched:
            found.setdefault(_place(file), file)
        if not matched:
            folder = Path(given).parent
            beside = list(folder.iterdir()) if folder.is_dir() else []
            # That names end alike is no likeness, where the pattern has letters of its own.
            own = re.sub(r"[*?[\]]", "", Path(given).stem)
            hint = nearest(Path(given).name, [p.name for p in beside if not own or nearest(own, [p.stem])])
            problems.append(f"{given}: no file matches this pattern.{hint}")
    return list(found.values())


def _place(file: str) -> Path:
    return Path(file) if is_address(file) else Path(file).resolve()


def _runs(file: str, changes: Sequence[str]) -> list[Study]:
    """Return the studies of one file; ``ParameterError`` tells each fault once, and whose it is."""
    document = read_document(file, changes)
    matrix = Matrix(document, changes)
    faults, stem = Faults(matrix.runs), Path(file).stem
    studies: dict[bytes, tuple[Study, Run]] = {}
    same: list[str] = []
    first = _analysis(_varied(matrix.runs[0])) if matrix.runs else {}
    titled = _titles_tell_places(matrix.runs)
    for number, run in enumerate(matrix.runs):
        varied = _varied(run)
        main = _analysis(varied) == first
        try:
            said: Any = {"varied": varied, "main": main, "titled": titled}
            study = Study.of_run(matrix.document(run), run_name(stem, varied), file=file, **said)
        except ParameterError as error:
            faults.add(number, str(error).splitlines())
            continue
        # What the run is, whichever way it was written.
        whole = study.model_dump_json(exclude=set(TOLD))
        key = hashlib.blake2b(whole.encode(), digest_size=16).digest()
        if key in studies:
            same.append(_same(run, studies[key][1]))
        else:
            studies[key] = study, run
    # Where a value could not be read, runs are alike that were not meant to be.
    problems = [*matrix.problems, *faults] or same
    if problems:
        raise ParameterError(together(sorted(dict.fromkeys(problems), key=lambda said: _line(said, file))))
    found = [study for study, _ in studies.values()]
    if too_long := [study.name for study in found if len(os.fsencode(study.name)) > MOST_BYTES]:
        raise ParameterError(
            f"{file}: no folder can have a name as long as {too_long[0][:LONGEST]}...; "
            "give the file a shorter one."
        )
    return found


def _varied(run: Run) -> dict[str, Any]:
    return {value.key: value.value for value in run.values if value.at[0] not in TOLD}


def _analysis(varied: Mapping[str, Any]) -> dict[str, Any]:
    """What is varied but the data: of each site's runs, those that choose as the first run does are main."""
    return {key: value for key, value in varied.items() if key.partition(".")[0] != "data"}


def _titles_tell_places(runs: Sequence[Run]) -> bool:
    """Whether each title is of one place alone, so that nothing else need say which data a run has."""
    places: dict[str, set[str]] = {}
    for run in runs:
        title = next((written(value.value) for value in run.values if value.key == "title"), "")
        places.setdefault(title, set()).add(place(_varied(run)))
    return all(len(several) == 1 for several in places.values())


def _line(said: str, file: str) -> tuple[bool, int]:
    """Where a problem comes: those of the file in its order, then those of its table."""
    match = _LINE.fullmatch(said)
    return (match["file"] != file, int(match["line"])) if match else (False, 0)


def _same(run: Run, before: Run) -> str:
    """Say that two runs are one study, though they are written in two ways."""
    held = {value.key: written(value.value) for value in before.values}
    value = next((value for value in run.values if written(value.value) != held.get(value.key)), None)
    if value and not run.place:
        again = f"{written(value.value)} makes the same study as {held[value.key]}; keep one."
        return f"{value.places[value.at]}: {value.key}: {again}"
    where = f"that of {before.place}" if before.place else "one that the lists make"
    return f"{run.place}: this run is the same as {where}; leave one out."


@dataclass
class Faults:
    """What is wrong with the runs of a file: each fault once, with the values that its runs share."""

    runs: Sequence[Run]
    found: dict[tuple[str, str], dict[int, set[int]]] = field(default_factory=dict)

    def add(self, number: int, problems: Sequence[str]) -> None:
        """Note the problems of one run, the same in another line as the same."""
        for problem in problems:
            match = _LINE.fullmatch(problem)
            key = (match["file"], match["what"]) if match else (problem, "")
            self.found.setdefault(key, {}).setdefault(int(match["line"]) if match else 0, set()).add(number)

    def __iter__(self) -> Iterator[str]:
        for (file, what), lines in self.found.items():
            first = min(lines)
            place = f"{file}:{first}: {what}" if what else file
            yield place + self._whose(what, set().union(*lines.values()), len(lines) - 1)

    def _whose(self, what: str, numbers: set[int], more: int) -> str:
        """Say whose fault it is, unless that is every run's or the sentence says it already."""
        rows = f" ({more} more {'line has' if more == 1 else 'lines have'} the same.)" if more else ""
        alone = self.runs[min(numbers)].place if len(numbers) == 1 else ""
        # Runs on lines of their own are no reason to name what all those of the lists have.
        lists = not any(self.runs[number].place for number in numbers)
        others, common = self._of_lists if lists else self._of_all
        if numbers == others:
            return rows
        shared = self._shared(numbers) - common
        told = {one for one in shared if what.startswith((f"{one[0]}: ", f"{one[0]}."))}
        if told and (told == shared or alone):
            return rows
        if alone:
            return f" (In the run of {alone}.)"
        if not shared:
            return f" (In {len(numbers):,} of {len(others):,} runs.)"
        return f" (In runs with {', '.join(f'{key}: {word}' for key, word in sorted(shared - told))}.){rows}"

    @cached_property
    def _of_all(self) -> tuple[set[int], set[tuple[str, str]]]:
        numbers = set(range(len(self.runs)))
        return numbers, self._shared(numbers)

    @cached_property
    def _of_lists(self) -> tuple[set[int], set[tuple[str, str]]]:
        numbers = {i for i, run in enumerate(self.runs) if not run.place}
        return numbers, self._shared(numbers)

    def _shared(self, numbers: set[int]) -> set[tuple[str, str]]:
        """The values that all these runs have."""
        held = ({(value.key, written(value.value)) for value in self.runs[i].values} for i in numbers)
        shared = next(held)
        for other in held:
            shared &= other
        return shared
