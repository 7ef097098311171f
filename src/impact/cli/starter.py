"""A commented parameter file from the columns found in the user's data."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from impact.data.contract import DERIVED_OUTCOMES, SERVICES, TABLES
from impact.errors import DataError, ParameterError
from impact.study import project_root
from impact.study.survey import QUESTIONS

_KINDS = ("people", "contacts", "coverage", "survey")
_MOST_ARMS = 12
# Columns named in other systems in ways that do not look like ours.
_ALSO = {
    "person_id": ("id", "tenant", "tenantid", "tenantref", "client", "clientid", "pseudoid", "patient"),
    "arm": ("group", "trialarm", "allocation", "intervention"),
    "start_date": ("supportstart", "startofsupport", "enrolled"),
    "service": ("type", "contacttype", "dataset", "activity"),
    "start": ("date", "contactdate", "startdate", "admitted", "arrivaldate", "admidate"),
    "end": ("discharged", "enddate", "dischargedate", "disdate"),
    "first_date": ("from", "start", "startdate"),
    "last_date": ("to", "end", "enddate"),
    "died": ("dod", "dateofdeath", "deathdate"),
    "birth_month": ("dob", "birthdate", "dateofbirth"),
    "sex": ("gender",),
    "building_id": ("building", "scheme", "block"),
}


def starter(files: Sequence[Path], *, title: str) -> str:
    """Return the text of a parameter file for these data.

    Each file is taken for the table whose columns it fits best; a line that a person must decide about is
    marked with ``!``.
    """
    found = {path: _columns(path) for path in files}
    tables = _tables(found)
    unused = [path.name for path in files if not any(path in taken for taken in tables.values())]
    missing = [t for t in ("people", "contacts") if t not in tables]
    if missing:
        raise ParameterError(
            f"None of {', '.join(p.name for p in files)} looks like the {' or the '.join(missing)} table: it "
            "needs columns for "
            + " and ".join(", ".join(_required(t)) for t in missing)
            + "."
            + " No contacts? See docs/surveys.md, A study of answers alone." * (missing == ["contacts"])
        )
    renames = {t: _renames(t, found[paths[0]]) for t, paths in tables.items()}
    arms, services = (
        _values(tables["people"], renames["people"].get("arm", "arm")),
        _services(tables, renames),
    )
    lines = [
        f"title: {_quoted(title.replace('_', ' ').replace('-', ' ').capitalize())}",
        "data:  # paths count from the folder that holds params/",
        *(f"  {t}: {_one_or_list([_relative(path) for path in paths])}" for t, paths in tables.items()),
    ]
    if unused:
        lines.append(f"  # not used: {', '.join(unused)}")
    if "coverage" not in tables:
        lines.append("  # ! coverage: data/coverage.csv  # without it a zero cannot be told from missing")
    if any(renames.values()):
        lines.append("  rename:  # ! our column: yours. Guessed from the names: check each.")
        lines += [f"    {t}: {_mapping(names)}" for t, names in renames.items() if names]
    lines += [
        f"  # {table}: columns not used: {', '.join(map(_quoted, idle))}"
        for table, names in renames.items()
        if (
            idle := [
                c for c in found[tables[table][0]] if c not in {*TABLES[table].names, *names.values(), "age"}
            ]
        )
    ]
    lines += [*_design(arms), *_methods(services, found[tables["people"][0]], renames)]
    if "survey" in tables:
        waves = _values(tables["survey"], renames["survey"].get("wave", "wave"))
        lines += _survey(waves, {*found[tables["survey"][0]], *renames["survey"]})
    return "\n".join(lines) + "\n"


def _design(arms: Sequence[str]) -> list[str]:
    controls = [a for a in arms if any(w in a.lower() for w in ("control", "compar", "usual", "pool"))]
    treated = [a for a in arms if a not in controls]
    known = f"  # arms found: {', '.join(map(_quoted, arms))}" if arms else "  # ! too many different values"
    return [
        "design:",
        known,
        f"  treated: {_list(treated)}  # ! arms that had support",
        f"  control: {_list(controls)}  # ! arms they are compared with",
        "  period: month  # or quarter",
        "  months_before: 12",
        "  months_after: 12",
        "  # index_date: {rule: drawn, within: [sex]}  # how controls get the day they are followed from",
        "  # cluster: building_id  # where support was given by building, site or worker; two if they cross",
    ]


def _methods(services: Sequence[str], columns: Sequence[str], renames: Mapping[str, Any]) -> list[str]:
    people = {*columns, *renames["people"]}
    age = ["age"] if {"birth_month", "age"} & people else []
    fixed = [*age, *(c for c in ("sex", "ltc_n") if c in people)]
    outcomes = [s for s in services if s in SERVICES] or list(services) or ["emergency_admission", "ae"]
    if "emergency_admission" in outcomes:
        outcomes.append(next(iter(DERIVED_OUTCOMES)))
    prior = [f"prior_{s}" for s in outcomes]
    lines = [f"outcomes: {_list(outcomes)}  # ! the first is the primary outcome: choose before you look"]
    unknown = [s for s in services if s not in SERVICES]
    if unknown:
        lines.append(f"# ! services found that are not ours: {', '.join(map(_quoted, unknown))}.")
        lines.append("#   They may be outcomes as they stand; to be called and counted as ours (nights in")
        lines.append("#   hospital too), write in your files:")
        lines.append(f"#   {', '.join(SERVICES)}")
    lines += [
        "did:  # leave the section out if there is no time before support",
        "  estimator: etwfe",
        "  control: not_yet_treated  # or never_treated",
        f"  covariates: {_list([c for c in fixed if c != 'sex'])}",
        "  anticipation: 0  # ! months before support in which use may already be higher (a crisis)",
        "  # censoring: {}  # weigh for those who moved, opted out or were lost",
        "  # tests: [wild_bootstrap, randomisation_test]  # for fewer than about 30 clusters",
        "matching:",
        "  method: nearest  # or optimal, full, coarsened_exact, entropy_balance ...: docs/own-data.md",
        f'  "on": {_list([*fixed, *prior])}  # in quotes, or plain papermill takes it for true',
    ]
    if {"imd_decile", "imd_fifth"} & people:
        lines.append("  exact: [imd_fifth]")
    return [
        *lines,
        "  caliper: 0.2  # in standard deviations",
        "  ratio: 1  # controls for each supported person",
        f'  # history: {{services: {_list(outcomes[:1])}, months: 24}}  # by quarter, for "on": '
        f"prior_{outcomes[0]}_q*",
        "  # outcome_model: {bed_days: hurdle}  # whether any, and how many; others by rates",
        "  # negative_control: [outpatient]  # ! services that support cannot change: no effect is expected",
        *_money(outcomes),
        *_equity(people),
        "# wording:  # the study's own words for its pages",
        "#   question: Did support change use of NHS services?  # title of the findings",
        "#   support: a health worker who visits  # what support was, in a few words",
        "#   without: the usual help  # what people without it had",
        "#   dates: January 2023 to December 2024  # which time the data are of",
        "# labels: {arm: {levels: {hand_holding: visits at home}}}  # what readers call columns and values",
        "# contact: Northtown Homes, health team, health@northtown.example  # ! whom a reader may ask",
        "disclosure: hes  # ! opensafely, opensafely_midpoint6, threshold_10: ask who gave you the data",
        "seed: 20261122",
    ]


def _money(outcomes: Sequence[str]) -> list[str]:
    """Count in money what the package has prices of, and no stay twice; what support cost, a person says."""
    from impact.interpret.price_lists import OVERLAPPING, offered

    known, year = offered()
    twice = {stay for nights in outcomes for stay in OVERLAPPING.get(nights, ())}
    count = [name for name in outcomes if name in known and name not in twice]
    unpriced = [name for name in outcomes if name not in known]
    if not count:
        return ["# money: {price_year: ..., prices: prices.csv}  # ! your own prices: docs/money.md"]
    return [
        "money:  # what contacts that did not happen cost on average; leave the section out if nobody asks",
        f"  price_year: {year}  # ! pounds of which year. The prices of the package are old: docs/money.md",
        f"  count: {_list(count)}"
        + (f"  # without a price: {', '.join(map(_quoted, unpriced))}" if unpriced else ""),
        "  # support_cost_per_person: 420  # ! in pounds, with all that staff cost",
        "  # prices: prices.csv  # your own: service, cost_gbp, price_year, source",
    ]


def _equity(people: Collection[str]) -> list[str]:
    """Compare groups by deprivation where the people table has it, and by sex."""
    if not {"imd_decile", "imd_fifth"} & {*people}:
        return ["# equity: {by: column}  # ! groups from the most deprived on; there is no imd_decile here"]
    return [
        "equity:  # whether support reached and helped those in most need",
        "  by: imd_fifth",
        f"  {'' if 'sex' in people else '# '}subgroups: [sex]  # numbers in bands: {{age: [50, 65, 80]}}",
    ]


def _survey(waves: Sequence[str], columns: Collection[str]) -> list[str]:
    """Ask the questions that the survey's columns hold, before and after; nothing where they hold none."""
    asked = [q for q in QUESTIONS if {q, f"{q}_1", f"{q}_total"} & {*columns}]
    first = [w for w in waves if w.lower().startswith(("before", "base", "0", "pre"))] or list(waves)
    if not asked or len(waves) < 2:
        return ["# survey: {before: 0, after: 6, outcomes: [...]}  # ! what people said: docs/surveys.md"]
    return [
        "survey:  # what people said before and after support: docs/surveys.md",
        f"  before: {_quoted(first[0])}  # ! interviews before support",
        f"  after: {_list([w for w in waves if w != first[0]])}  # ! after it: the first is the main one",
        f"  outcomes: {_list(asked)}  # ! the first is the main question",
    ]


def _tables(found: Mapping[Path, Sequence[str]]) -> dict[str, list[Path]]:
    """Give each table the file whose columns fit it best, and every other file with the same columns."""
    fits = sorted(
        ((_fit(table, columns), table, path) for table in _KINDS for path, columns in found.items()),
        key=lambda fit: fit[0],
        reverse=True,
    )
    taken: dict[str, Path] = {}
    for fit, table, path in fits:
        if fit >= 0.6 and table not in taken and path not in taken.values():
            taken[table] = path
    # A table may lie in several files, such as one a year; people and coverage are one file as a rule.
    return {
        table: [taken[table], *(p for p in found if p != taken[table] and found[p] == found[taken[table]])]
        for table in _KINDS
        if table in taken
    }


def _fit(table: str, columns: Sequence[str]) -> float:
    """Share of a table's required columns found, and a little for each of its others."""
    required = _required(table)
    hits = sum(_nearest(name, columns) is not None for name in required)
    others = sum(name in columns for name in TABLES[table].names if name not in required)
    return hits / len(required) + 0.01 * others


def _renames(table: str, columns: Sequence[str]) -> dict[str, str]:
    free = [c for c in columns if c not in TABLES[table].names]
    out: dict[str, str] = {}
    for name in (*_required(table), *(n for n in TABLES[table].names if n in _ALSO)):
        if name not in columns and name not in out:
            near = _nearest(name, [c for c in free if c not in out.values()])
            if near is not None:
                out[name] = near
    return out


def _nearest(name: str, columns: Sequence[str]) -> str | None:
    if name in columns:
        return name
    plain = {"".join(ch for ch in c.lower() if ch.isalnum()): c for c in columns}
    for also in (name.replace("_", ""), *_ALSO.get(name, ())):
        if also in plain:
            return plain[also]
    close = difflib.get_close_matches(name.replace("_", ""), plain, n=1, cutoff=0.75)
    return plain[close[0]] if close else None


def _required(table: str) -> list[str]:
    return [c.name for c in TABLES[table].columns if c.required]


def _columns(path: Path) -> list[str]:
    import duckdb

    try:
        return [str(name) for name in _relation(path).columns]
    except (duckdb.Error, OSError):
        why = "this cannot be read as CSV or Parquet" if path.exists() else "there is no such file"
        raise DataError(f"{path}: {why}.") from None


def _relation(*paths: Path) -> Any:
    import duckdb

    names = [str(path) for path in paths]
    if paths[0].suffix == ".csv":
        return duckdb.read_csv(names, all_varchar=True)
    return duckdb.read_parquet(names)


def _values(paths: Sequence[Path], column: str) -> list[str]:
    """Return the distinct values of a column in which each stands for many rows; none where they are many."""
    table = _relation(*paths)
    if column not in table.columns:
        return []
    quoted = '"' + column.replace('"', '""') + '"'
    rows = table.query(
        "data", f"SELECT DISTINCT CAST({quoted} AS VARCHAR) AS v FROM data ORDER BY v"
    ).fetchall()
    values = [str(r[0]) for r in rows if r[0] is not None]
    return values if len(values) <= _MOST_ARMS else []


def _services(tables: Mapping[str, Sequence[Path]], renames: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return the services in the contacts that coverage covers, in small letters as they are read."""
    contacts, *coverage = (
        {v.strip().lower() for v in _values(tables[t], renames[t].get("service", "service"))} - {""}
        for t in ("contacts", "coverage")
        if t in tables
    )
    return sorted(contacts.intersection(*coverage) or contacts)


def _relative(path: Path) -> str:
    try:
        root = project_root()
    except ParameterError:
        root = Path.cwd()
    full = path.resolve()
    return full.relative_to(root).as_posix() if full.is_relative_to(root) else str(full)


def _quoted(text: str) -> str:
    """Return text as YAML in quotes where it could be read otherwise: JSON strings are YAML."""
    simple = text.replace("_", "").replace("/", "").replace(".", "").replace(" ", "").isalnum()
    plain = (
        simple
        and text[:1].isalpha()
        and text.lower() not in ("y", "n", "yes", "no", "on", "off", "true", "false", "null")
    )
    return text if plain else json.dumps(text, ensure_ascii=False)


def _one_or_list(names: Sequence[str]) -> str:
    return _quoted(names[0]) if len(names) == 1 else _list(names)


def _list(names: Sequence[str]) -> str:
    return f"[{', '.join(map(_quoted, names))}]"


def _mapping(names: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{k}: {_quoted(v)}" for k, v in names.items()) + "}"
