"""All of a study but its estimates: the data read, every name found, and people to compare on both sides."""

from __future__ import annotations

from collections.abc import Sequence

from impact.data import Cohort, LongData, read
from impact.data.contract import DERIVED, TABLES
from impact.data.survey import waves
from impact.did.design import check_arms, covariate_matrix, start_positions, total_time
from impact.errors import DataError, DesignError, ImpactError, nearest, together, whose
from impact.interpret import build_panel, price_list
from impact.match.propensity import both_arms, columns, design
from impact.study import Study

Data = Cohort | LongData


def rehearse(studies: Sequence[Study]) -> tuple[Data | None, list[Study], list[ImpactError]]:
    """Do everything that comes before the estimates of studies that read the same data.

    Returns
    -------
    tuple
        The data; the studies without a fault; and each fault once, with the studies that have it.
    """
    source: Data | None = None
    sound: list[Study] = []
    whose_fault: dict[tuple[type[ImpactError], str], list[str]] = {}
    for study in studies:
        try:
            if source is None:
                study.find_files()
                source = read(**study.source)
            _try(study, source)
            sound.append(study)
        except ImpactError as error:
            # Data that one cannot read, none can.
            others = [study] if source is not None else studies
            for line in str(error).splitlines():
                whose_fault.setdefault((type(error), line), []).extend(other.name for other in others)
            if source is None:
                break
    faults = [kind(f"{whose(names)}: {line}") for (kind, line), names in whose_fault.items()]
    return source, sound, faults


def _try(study: Study, source: Data) -> None:
    """Do what comes before one study's estimates.

    Raises
    ------
    ImpactError
        All problems of names together; then that nobody can be compared, or else all gaps in what the methods
        use.
    """
    if isinstance(source, Cohort):
        _find_names(study, source)
    problems: list[ImpactError] = []
    for step in (_priced, _before_and_after, _around_start, _comparable, _interviewed):
        try:
            step(study, source)
        except DesignError:
            # What follows would only say in other words that there is nobody to compare.
            raise
        except ImpactError as error:
            problems.append(error)
    if problems:
        lines = "\n".join(map(str, problems)).splitlines()
        raise type(problems[0])(together(list(dict.fromkeys(lines))))


def _find_names(study: Study, source: Cohort) -> None:
    """Look for every column that the study names; a panel looks for the services itself."""
    known = {*TABLES["people"].names, *(c.name for c in DERIVED), *source.people.columns}
    design, chosen = study.design, study.matching
    named = {
        "design.cluster": [*design.clusters],
        "design.index_date.within": [*design.index_date.within],
        "design.unit": [design.unit] if design.unit else [],
    }
    if study.did:
        named["did.covariates"] = [*study.did.covariates]
        censoring = study.did.censoring
        named["did.censoring.covariates"] = [*censoring.covariates] if censoring else []
    if chosen:
        named |= {f"matching.{key}": [*getattr(chosen, key)] for key in ("on", "exact", "anti_exact")}
        named |= {
            f"matching.{key}": [name] for key in ("apart", "spillover") if (name := getattr(chosen, key))
        }
        known |= {*chosen.history.columns} if chosen.history else set()
    problems = [
        f"{key}: {name!r} is not in the data.{nearest(name, sorted(known))}"
        for key, names in named.items()
        for name in names
        if name not in known
    ]
    if problems:
        raise DataError(together(problems))


def _priced(study: Study, source: Cohort | LongData) -> None:
    """Read the prices, and see that everything that is counted in money has one."""
    price_list(**study.prices)


def _before_and_after(study: Study, source: Cohort | LongData) -> None:
    """Make the panel of the difference-in-differences, and see that it holds people to compare."""
    if study.did is None:
        return
    panel = build_panel(source, **study.panel_plan)
    given = study.did.arguments
    time = total_time(panel, study.outcomes)
    check_arms(panel, start_positions(panel), time, 1 + given.get("anticipation", 0))
    covariate_matrix(panel, given.get("covariates", ()))


def _around_start(study: Study, source: Cohort | LongData) -> None:
    """Make the panel in months from the start of support, which every study of services shows.

    It holds what is counted of people who are to be matched, and if they can be counted so can it, unless a
    window of months cuts it.
    """
    months = study.design
    matched = study.matching is not None and isinstance(source, Cohort)
    if study.outcomes and (not matched or months.start or months.end):
        source.around_start(**study.around)


def _interviewed(study: Study, source: Cohort | LongData) -> None:
    """Read the interviews, and see that every wave, question and column is there and was answered."""
    if study.survey is None or not isinstance(source, Cohort):
        return
    asked = study.surveyed["asked"]
    for wave in asked["after"]:
        given = {"outcomes": asked["outcomes"], "own": asked["own"], "covariates": asked["drop_out"]}
        waves(source, before=asked["before"], after=wave, **given)


def _comparable(study: Study, source: Cohort | LongData) -> None:
    """Describe people as they are matched, and see that there are two arms and no gap in what is known."""
    if study.matching is None:
        return
    people = source.at_baseline(**study.baseline)
    both_arms(people)
    design(people.table, study.matching.on)
    columns(people.table, study.matching.exact, "exact")
    if never := [name for name, counts in people.outcomes.items() if not counts.any()]:
        raise DesignError(
            f"outcomes: {', '.join(map(repr, never))} never happens to anyone at risk; leave it out."
        )
