"""What is wrong with a study, in plain sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic import BaseModel

from impact.errors import nearest
from impact.study.arms import misplaced
from impact.study.document import REQUIRED, Location
from impact.study.labels import unclear
from impact.study.matching import IN_SETS, OF_COLUMNS
from impact.study.money import unpriced
from impact.study.survey import unasked

if TYPE_CHECKING:
    from impact.study.matching import Matching
    from impact.study.model import Study
    from impact.study.sections import Did

_WANTED = {
    "string_type": "text (put it in quotes if it looks like something else)",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list, such as [a, b]",
    "dict_type": "keys and values",
    "model_type": "keys and values",
}
_LIMITS = {
    "greater_than": "above {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "below {lt}",
    "less_than_equal": "up to {le:g}",
}


def sentence(problem: Mapping[str, Any], model: type[BaseModel]) -> str:
    """Say one problem that pydantic found, without its words."""
    kind, at, found, limits = problem["type"], problem["loc"], problem["input"], problem.get("ctx", {})
    if kind == "extra_forbidden":
        return "there is no such key." + _suggestion(str(at[-1]), at[:-1], model)
    if kind == "missing":
        return "missing." + (" A study holds data, design and outcomes." if at[0] in REQUIRED else "")
    if kind == "literal_error":
        known = _choices(_field(model, at)) or str(limits["expected"]).split(", ")
        return f"expected {_or(known)}, found {_short(found)}.{nearest(str(found), known)}"
    if kind in _WANTED:
        return f"expected {_WANTED[kind]}, found {_short(found)}."
    if kind in _LIMITS:
        return f"expected a number {_LIMITS[kind].format(**limits)}, found {_short(found)}."
    if kind in ("too_short", "string_too_short"):
        return "must not be empty."
    if kind == "value_error":
        said = str(limits["error"])
        return said if said.endswith("?") else f"{said}."
    if kind == "invalid_key":
        return f"expected keys that are text, found {_short(at[-1])}."
    if kind == "string_pattern_mismatch":
        return f"expected a financial year such as 2023/24, found {_short(found)}."
    return f"{problem['msg']}, found {_short(found)}."


def contradictions(study: Study) -> Iterator[tuple[Location, str]]:
    """Find what is well formed section by section but cannot be meant."""
    design, data, did = study.design, study.data, study.did
    tests = did.tests if did else ()
    lists: dict[Location, tuple[str, ...]] = {("outcomes",): study.outcomes, ("did", "tests"): tests}
    lists |= {("design", "treated"): design.treated, ("design", "cluster"): design.clusters}
    if study.matching:
        lists[("matching", "negative_control")] = study.matching.negative_control
        if study.matching.history:
            lists[("matching", "history", "services")] = study.matching.history.services
    for key, names in lists.items():
        if twice := sorted({n for n in names if names.count(n) > 1}):
            yield key, f"{_or(twice, 'and')} stands twice."
    if both := sorted(set(design.treated) & set(design.control)):
        yield ("design", "control"), f"{_or(both, 'and')} is also listed as treated."
    if design.start and design.end and design.start > design.end:
        yield ("design", "end"), f"{design.end} is before the start, {design.start}."
    if design.placebo and design.placebo.first > design.placebo.last:
        yield ("design", "placebo", "to"), f"{design.placebo.last} is before from, {design.placebo.first}."
    if did and not design.months_before:
        yield (
            ("did",),
            "design.months_before is 0, and a difference-in-differences needs a time before; leave did out.",
        )
    if did:
        yield from _available(did, len(study.outcomes))
    for find in (_arguments, _clusters, _dating, _unit, unclear, unpriced, misplaced, unasked):
        yield from find(study)
    if study.matching:
        yield from _matching(study.matching, study.outcomes)
        yield from _dates(study.matching, study)
        yield from _places_and_times(study.matching, study)
    elif did and did.matched:
        yield ("did", "matched"), "there is no matching section that says how people are matched."
    if data.panel:
        yield from _panel(study)
    else:
        yield from _tables(study)


def _arguments(study: Study) -> Iterator[tuple[Location, str]]:
    for section in ("did", "matching"):
        chosen = getattr(study, section)
        if chosen is None:
            continue
        method, takes = getattr(chosen, chosen.named()), _or(chosen.taken(), "and")
        for name in sorted(chosen.model_fields_set - chosen.known):
            yield (section, name), f"{method} has no such argument; it takes {takes}."


# Whose levels each estimator can hold fixed.
_LEVELS = {"two_by_two": ("arm", "person"), "etwfe": ("person", "cohort")}


def _available(did: Did, outcomes: int) -> Iterator[tuple[Location, str]]:
    """Find what the chosen estimator does not have, before any data are read."""
    if did.estimator == "triple_difference" and not did.subgroup:
        yield ("did", "subgroup"), "missing: name the column that says who is eligible for support."
    used = did.within if did.estimator == "triple_difference" else did.estimator
    levels = _LEVELS.get(used, ())
    if levels and did.effects and did.effects not in levels:
        yield ("did", "effects"), f"{used} takes {_or(levels)}, found {did.effects!r}."
    kinds = _inference(did, used)
    if did.inference and did.inference not in kinds:
        named = used if used == did.estimator else f"{did.estimator} with {used}"
        yield (
            ("did", "inference"),
            f"{named}{f' ({did.family})' if used == 'etwfe' else ''} has {_or(kinds, 'and')}, not "
            f"{did.inference}; choose one, or leave inference out.",
        )
    elif did.inference == "CR2" and outcomes > 1:
        yield ("did", "inference"), "CR2 errors belong to one outcome; name one outcome, or use CR3."
    if did.matched and did.censoring:
        yield (
            ("did", "censoring"),
            "its weights do not go with those of matched people; leave one out.",
        )
    if used == "synthetic_did":
        yield from _synthetic(did)


def _synthetic(did: Did) -> Iterator[tuple[Location, str]]:
    """Find what synthetic_did has no use for: its errors are tests of this kind, and nobody may leave."""
    if did.matched:
        yield ("did", "matched"), "synthetic_did weighs controls in its own way; take matched out."
    if did.tests:
        yield (
            ("did", "tests"),
            f"synthetic_did has no {_or(did.tests)}; its placebo errors deal support out among the controls "
            "already. Leave tests out.",
        )
    if did.censoring:
        yield (
            ("did", "censoring"),
            "synthetic_did needs everyone throughout, so that nobody can leave; take censoring out.",
        )


def _matching(chosen: Matching, outcomes: tuple[str, ...]) -> Iterator[tuple[Location, str]]:
    """Find what does not go with the chosen method, or names no outcome."""
    if chosen.ratio != int(chosen.ratio) and not chosen.max_ratio:
        yield (
            ("matching", "ratio"),
            f"expected a whole number, found {chosen.ratio}; it is an average with max_ratio only.",
        )
    if isinstance(chosen.caliper, dict) and chosen.method == "full":
        yield ("matching", "caliper"), "full takes one number, for the score."
    if chosen.method == "full" and chosen.anti_exact:
        yield ("matching", "anti_exact"), "full does not keep people apart; use optimal or nearest, or apart."
    if chosen.min_controls and chosen.max_controls and chosen.min_controls > chosen.max_controls:
        yield ("matching", "min_controls"), "it cannot be above max_controls."
    if chosen.distance == "prognostic" and not chosen.prognosis and "prognosis" in chosen.taken():
        yield ("matching", "prognosis"), "missing: name the outcome that a prognostic score foretells."
    if chosen.distance == "prognostic" and chosen.method == "risk_set":
        yield ("matching", "distance"), "risk_set has no prognostic score; use another distance."
    reused = chosen.replace or (chosen.method == "risk_set" and (chosen.max_uses or 1) > 1)
    if chosen.pair_censoring and (chosen.method not in IN_SETS or reused):
        how = "matching with replacement" if reused else chosen.method
        yield (
            ("matching", "pair_censoring"),
            f"{how} has no sets to follow for the same time; use {_or(IN_SETS)} without replace.",
        )
    if both := [name for name in chosen.negative_control if name in outcomes]:
        yield ("matching", "negative_control"), f"{_or(both, 'and')} is also listed in outcomes."
    for name, model in chosen.models.items():
        if name not in outcomes and model not in OF_COLUMNS:
            yield (
                ("matching", "outcome_model", name),
                f"{name!r} is not one of outcomes, and {model} takes no column of people."
                f"{nearest(name, outcomes)}",
            )


def _dates(chosen: Matching, study: Study) -> Iterator[tuple[Location, str]]:
    """Find what does not go with a method that has dates of its own, or with an effect on the supported."""
    if chosen.method == "risk_set" and study.data.panel:
        yield ("matching", "method"), "risk_set follows people from day to day, whom a panel does not hold."
    if chosen.method == "risk_set" and study.design.index_date.given != "drawn":
        yield (
            ("design", "index_date"),
            "risk_set follows everyone of a set from the day support began; leave index_date out.",
        )
    if study.did and study.did.matched and chosen.estimand != "ATT":
        yield (
            ("did", "matched"),
            f"a difference-in-differences is about those who had support (ATT), and matching.estimand is "
            f"{chosen.estimand}; leave one of them out.",
        )


def _dating(study: Study) -> Iterator[tuple[Location, str]]:
    """Find rules of index dates that lack something, or have what only others take."""
    asked, at = study.design.index_date, ("design", "index_date")
    if asked.given != "drawn" and study.data.panel:
        yield at, "a panel's controls draw one of its starts; leave index_date out."
    elif asked.rule == "period" and not asked.month:
        yield (*at, "month"), "missing: name the month of starts that is studied, such as 2024-07."
    elif asked.month and asked.rule != "period":
        yield (*at, "month"), f"the rule {asked.rule} takes no month; use the rule period, or leave it out."
    elif asked.within and asked.rule not in ("drawn", "partner"):
        yield (*at, "within"), f"the rule {asked.rule} draws no dates; leave within out."
    elif asked.rule == "period" and study.did and study.did.clock == "calendar":
        yield (
            at,
            f"period is about the starts of one month, and {study.did.estimator} takes those of all; use "
            "two_by_two, or another rule.",
        )


def _unit(study: Study) -> Iterator[tuple[Location, str]]:
    """Find what has no meaning where households are matched in place of people."""
    if not study.design.unit:
        return
    chosen, at = study.matching, ("design", "unit")
    if study.data.panel:
        yield at, "a panel keeps its own units (data.panel.unit); leave it out."
    elif study.did:
        yield at, "a difference-in-differences follows people; name the column under design.cluster instead."
    elif study.design.index_date.rule == "partner" or (chosen and chosen.method == "risk_set"):
        which = "risk_set" if chosen and chosen.method == "risk_set" else "partner"
        yield at, f"{which} dates people one by one, and a household has one date; leave one of them out."
    elif chosen and chosen.pair_censoring:
        yield at, "pair_censoring follows people one by one; leave one of them out."
    elif chosen and study.design.unit in (chosen.apart, chosen.spillover):
        yield at, f"{study.design.unit} is the unit already, so that nobody in it is compared with another."


def _places_and_times(chosen: Matching, study: Study) -> Iterator[tuple[Location, str]]:
    """Find histories that cannot be counted, and neighbours who are left out twice."""
    if history := chosen.history:
        length = history.arguments["by"]
        if study.data.panel:
            yield ("matching", "history"), "contacts are counted by day, which a panel does not hold."
        elif history.months % length or history.months == length:
            yield (
                ("matching", "history", "months"),
                f"expected two or more whole {history.by}s, found {history.months} months.",
            )
    if chosen.spillover and chosen.spillover == chosen.apart:
        yield ("matching", "spillover"), f"{chosen.apart} keeps such controls out already (apart)."


def _clusters(study: Study) -> Iterator[tuple[Location, str]]:
    at, named, did = ("design", "cluster"), study.design.clusters, study.did
    if did and "wild_bootstrap" in did.tests and not named and not study.data.panel:
        yield at, "missing: wild_bootstrap is for a handful of groups; name the column that holds them."
    if len(named) > 2:
        yield at, f"{len(named)} columns are named; name one, or two whose groups cross."
    elif len(named) == 2 and did is None:
        yield at, "two columns serve a difference-in-differences (did) only; name one."
    elif len(named) == 2 and did and (did.estimator == "synthetic_did" or did.inference in ("CR2", "CR3")):
        what = did.inference if did.inference in ("CR2", "CR3") else did.estimator
        yield at, f"{what} has no errors by two columns at once; name one, or choose other errors."


def _inference(did: Did, used: str) -> list[str]:
    """Name the errors that the estimator has, as the table in docs/methods.md says."""
    if used == "synthetic_did":
        return ["placebo", "jackknife", "bootstrap"]
    regression = used not in ("callaway_santanna", "imputation")
    one = did.estimator in ("two_by_two", "twfe", "sun_abraham") or (
        did.estimator == "etwfe" and did.family == "linear"
    )
    return [*(["CR1"] if regression else []), *(["CR2"] if one else []), "CR3"]


def _panel(study: Study) -> Iterator[tuple[Location, str]]:
    data, design, panel = study.data, study.design, study.data.panel
    assert panel is not None
    for table in (t for t in ("people", "contacts", "coverage", "survey", "rename") if getattr(data, t)):
        yield ("data", table), "not used with a panel; keep one of the two."
    for i, name in enumerate(study.outcomes):
        if name not in panel.outcomes:
            yield (
                ("outcomes", i),
                f"{name!r} is not one of data.panel.outcomes.{nearest(name, panel.outcomes)}",
            )
    arms = bool(design.treated or design.control)
    ways = [
        way
        for way, there in {
            "data.panel.first_treated": panel.first_treated,
            "data.panel.arm with design.treated and design.control": panel.arm or arms,
            "design.placebo": design.placebo,
        }.items()
        if there
    ]
    if not ways:
        yield (
            ("design",),
            "nothing says who had support: give data.panel.first_treated, or data.panel.arm with "
            "design.treated and design.control, or design.placebo.",
        )
    elif design.placebo and len(ways) > 1:
        yield ("design", "placebo"), f"pretend starts cannot be drawn beside {ways[0]}; keep one."
    if arms and not panel.arm:
        yield ("data", "panel", "arm"), "missing: design lists arms, and no column is named that holds them."
    if panel.arm and not panel.first_treated:
        yield from _both_arms(study)


def _tables(study: Study) -> Iterator[tuple[Location, str]]:
    # Interviews alone are a study of what people said.
    wanted = ("people", "contacts") if study.outcomes or not study.survey else ("people",)
    for table in wanted:
        if getattr(study.data, table) is None:
            yield ("data", table), "missing. data holds people and contacts, or else a panel."
    if study.design.placebo:
        yield ("design", "placebo"), "pretend starts are drawn for a panel (data.panel) only."
    for table in ("people", "contacts", "coverage", "survey"):
        if getattr(study.data.rename, table, None) and getattr(study.data, table) is None:
            yield ("data", "rename", table), f"there is no data.{table} whose columns could be renamed."
    yield from _both_arms(study)


def _both_arms(study: Study) -> Iterator[tuple[Location, str]]:
    for side in ("treated", "control"):
        if not getattr(study.design, side):
            yield ("design", side), "missing: list the arms, such as [hand_holding]."


def _suggestion(name: str, at: Location, model: type[BaseModel]) -> str:
    for path, owner in (*((at, m) for m in _models(_field(model, at))), ((), model)):
        for section, info in owner.model_fields.items():
            if name in _keys(info.annotation):
                return f" It belongs in {'.'.join(map(str, (*path, section)))}."
    # A file may have a matrix beside the sections of a study.
    here = [*_keys(_field(model, at)), *([] if at else ["matrix"])]
    return nearest(name, here) or f" Known keys: {', '.join(here)}."


def _field(model: type[BaseModel], at: Location) -> Any:
    """Follow a location down the models; the annotation found there."""
    here: Any = model
    for part in (p for p in at if isinstance(p, str)):
        fields: dict[str, Any] = next((m.model_fields for m in _models(here)), {})
        by_key = {info.alias or name: info for name, info in fields.items()}
        # The keys of a mapping are names of the study's own; what they hold is the same for all.
        inner = get_args(here)[1] if get_origin(here) is dict else None
        here = by_key[part].annotation if part in by_key else inner
    return here


def _models(annotation: Any) -> list[Any]:
    return [a for a in (annotation, *get_args(annotation)) if hasattr(a, "model_fields")]


def _choices(annotation: Any) -> list[str]:
    """Return the words a field may be, also where it may be left out."""
    if get_origin(annotation) is Literal:
        return [str(word) for word in get_args(annotation)]
    return [word for part in get_args(annotation) for word in _choices(part)]


def _keys(annotation: Any) -> list[str]:
    return [info.alias or name for m in _models(annotation) for name, info in m.model_fields.items()]


def _or(words: Any, joint: str = "or") -> str:
    names = [str(w) for w in words]
    return f" {joint} ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return "keys and values"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
