"""The trial a study stands in for, in sentences (Hernan and Robins 2016; the TARGET statement 2025)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from impact.study.labels import marked

if TYPE_CHECKING:
    from impact.study.matching import Matching
    from impact.study.model import Study

_TIME_ZERO = {
    "drawn": "The day support began; for people without support, a day drawn from those on which it began "
    "for others, when they could have been offered it.",
    "partner": "The day support began; for people without support, that of the person they are matched to.",
    "offer_date": "The day support was offered, in both groups.",
    "period": "The day support began, for those whose support began in {month}; the first day of that month "
    "for everyone not supported by then.",
}
_DID = {
    "two_by_two": "Difference-in-differences of two groups, before and after",
    "twfe": "Difference-in-differences with effects for each person and period",
    "callaway_santanna": "Difference-in-differences by start and period (Callaway and Sant'Anna 2021)",
    "sun_abraham": "Difference-in-differences by start and time since it (Sun and Abraham 2021)",
    "imputation": "What happened less what untreated time foretells (Borusyak, Jaravel and Spiess 2024)",
    "etwfe": "Difference-in-differences by start and period, in one regression (Wooldridge 2021, 2023)",
    "stacked": "One difference-in-differences for each start, with controls without support throughout",
    "synthetic_did": "Synthetic difference-in-differences (Arkhangelsky and others 2021)",
    "triple_difference": "Difference-in-differences among those eligible less that among those not eligible",
}
_METHOD = {
    "nearest": "Matched to the nearest",
    "optimal": "Matched so that all pairs together are as near as can be,",
    "full": "Everyone matched, in sets as near as can be,",
    "coarsened_exact": "Matched exactly on values put into bands,",
    "subclass": "Compared in slices of people alike,",
    "entropy_balance": "The comparison weighted until its averages equal those of the supported,",
    "inverse_probability": "Weighted by the chance of support,",
    "genetic": "Matched to the nearest, with characteristics weighted so that the groups are most alike,",
    "risk_set": "Matched month by month to the nearest of those not yet supported,",
}
_DISTANCE = {
    "propensity": "the chance of support (propensity)",
    "linear_propensity": "the log odds of support (linear propensity)",
    "mahalanobis": "Mahalanobis distance",
    "robust_mahalanobis": "robust Mahalanobis distance",
    "prognostic": "the outcome expected without support (prognostic score)",
}
_MODEL = {
    "negative_binomial": "a negative binomial regression of counts",
    "conditional_poisson": "a Poisson regression within sets",
    "aipw": "weighting and regression together (doubly robust)",
    "hurdle": "a hurdle regression: whether any, and how many",
    "mean_difference": "the difference in means",
    "abadie_imbens": "the difference in means within sets",
    "risk": "the share of people with any",
}
METHODS = {
    "did": _DID,
    "did.estimator": _DID,
    "matching": _METHOD,
    "matching.method": _METHOD,
    "matching.distance": _DISTANCE,
    "matching.outcome_model": _MODEL,
}
_TESTS = {
    "wild_bootstrap": "a wild bootstrap of whole groups",
    "randomisation_test": "dealing the starts out anew",
}
_CONTROLS = {
    "never_treated": "people never supported",
    "not_yet_treated": "people not supported, or not yet",
}


_PRETEND = "Pretend starts were drawn by lot."
_ASSIGNMENT = {
    "observed": "Not by lot: the comparison rests on the analysis below.",
    "randomised": "By lot.",
}


def protocol(study: Study) -> dict[str, str]:
    """Return one sentence for each element of the target trial, as the parameters state it."""
    return {
        "Eligibility": _eligibility(study),
        "Arms": _arms(study),
        "Assignment": _PRETEND if study.design.placebo else _ASSIGNMENT[study.design.assignment],
        **_time(study),
        "Outcomes": f"{_outcomes(study, 'main result')}{_beside(study)}.",
        "Estimand": _estimand(study),
        "Analysis": " ".join(_analyses(study)),
        **({"Read with care": " ".join(study.notes)} if study.notes else {}),
    }


def brief(study: Study) -> dict[str, str]:
    """Return how it was done in five plain sentences, for those who will not read the whole plan."""
    design = study.design
    if study.data.panel:
        counted = f"for up to {_span(study)} from the start" if study.did else "while observed"
    else:
        counted = f"for {design.months_after} months from that day, while alive, observed and in the tenancy"
    return {
        "People": _arms(study),
        "Assignment": _PRETEND if design.placebo else _BRIEF_LOT[design.assignment],
        "Start": _BRIEF_START[bool(study.data.panel)],
        "Counted": f"Counted {counted}: {_outcomes(study, 'the main result')}.",
        "Compared": " ".join(_plainly(study)),
    }


def _outcomes(study: Study, first: str) -> str:
    one, *others = marked(study.outcomes, study.labels) or _asked(study)
    return _words((f"{one} ({first})", *others))


def _beside(study: Study) -> str:
    """What people are asked, where services are counted too."""
    asked = _asked(study) if study.outcomes else []
    return f"; and what people said of {_words(asked)}" if asked else ""


def _asked(study: Study) -> list[str]:
    """The questions asked, between backticks, which pages replace by what readers call them."""
    return [f"`{name}`" for name in study.survey.outcomes] if study.survey else []


_BRIEF_START = {
    False: "Those with support are followed from the day it began, others from a day when it might have.",
    True: "Each is followed from the period in which support began, or from the first if it began in that.",
}
_BRIEF_LOT = {
    "observed": "Support was not given by lot, so the groups may differ in ways that nobody recorded.",
    "randomised": "Support was given by lot.",
}


def _plainly(study: Study) -> list[str]:
    """What was compared with what, without the names of methods."""
    did, matching, out = study.did, study.matching, []
    if did:
        without = (
            "without it"
            if study.data.panel or did.control == "never_treated"
            else "without it, or not yet with it"
        )
        out.append(
            f"The change with support was set against the change over the same time {without}"
            f"{', among people matched to be alike' if did.matched else ''}."
        )
    if matching:
        weighted = "People without support were weighted to be like those with it"
        paired = "People with support were matched to similar people without it"
        who = weighted if matching.method in _WEIGHTS else paired
        beside = "As a second method, " if did and not did.matched else ""
        said = f"{who} on {_in_short(_on(matching), study)}"
        said += f", and exactly on {_named(study, matching.exact)}." if matching.exact else "."
        out.append(beside + (said[:1].lower() + said[1:] if beside else said))
    return out or ["Nothing was compared: the study has no method."]


def _in_short(names: Sequence[str], study: Study) -> str:
    """Name use in the year before once: 'age, sex, and ae and gp in the year before'."""
    before = [name for name in names if re.fullmatch(r"prior_[a-z_]+", name)]
    if len(before) < 2:
        return _named(study, names)
    others = [f"{name}, " for name in marked([n for n in names if n not in before], study.labels)]
    used = _named(study, [name.removeprefix("prior_") for name in before])
    return f"{''.join(others)}{'and ' if others else ''}{used} in the year before"


_WEIGHTS = ("entropy_balance", "inverse_probability")


_ABOUT = {
    "ATT": "those who had support",
    "ATC": "those without it, had they been given support",
    "ATE": "everyone, with or without support",
    "ATO": "people who might as well have had support as not",
    "ATM": "people who have somebody alike in the other group",
}


def _estimand(study: Study) -> str:
    about = _ABOUT[study.matching.estimand if study.matching else "ATT"]
    if study.did is None:
        return f"The effect on {about}, over the time they were observed."
    beside = f"; matched, the effect on {about}" if about != _ABOUT["ATT"] else ""
    return f"The effect on those who had support, over the time they were observed with it{beside}."


def _arms(study: Study) -> str:
    said, design = study.wording, study.design
    if design.placebo:
        return "No programme: pretend starts, drawn at random."
    # Arms that the file numbers need the study's own words.
    arms = study.labels["arm"].levels if "arm" in study.labels else {}
    support = said.support or _words(marked(design.treated, arms))
    without = said.without or _words(marked(design.control, arms))
    if not support:
        return "Support from the first supported period on, or none."
    return f"Support ({support}) or none{f' ({without})' if without else ''}."


def subtitle(study: Study) -> str:
    """Return whose study it is, which time its data are of, and what a run of a matrix chose."""
    design, said = study.design, study.wording
    named = [part.strip() for part in (study.contact or "").split(",")]
    # How to reach somebody stands at the foot of the findings.
    whose = said.organisation or ", ".join(part for part in named if not re.search(r"[@\d]", part))
    ends = [f"{datetime.strptime(m, '%Y-%m'):%B %Y}" for m in (design.start, design.end) if m]
    dates = said.dates or (" to ".join(ends) if len(ends) == 2 else "")
    chosen = "; ".join(f"{key} {value}" for key, value in study.choices.items())
    return " · ".join(filter(None, [whose, dates and f"data of {dates}", chosen]))


def _time(study: Study) -> dict[str, str]:
    design = study.design
    if not study.outcomes and study.survey:
        waves = f"interviews called {study.survey.before} to those called {_words(study.survey.after)}"
        return {"Time zero": _TIME_ZERO["drawn"], "Follow-up": f"From the {waves}, while alive."}
    if study.data.panel:
        return {
            "Time zero": "The first period with support, or the first observed if all begin together.",
            "Follow-up": f"Up to {_span(study)} from the start, while observed.",
        }
    # Risk sets have dates of their own; other methods and the description of people those of the design.
    own = study.matching is not None and study.matching.method == "risk_set" and study.did is None
    return {
        "Time zero": _TIME_ZERO["partner"] if own else _time_zero(study),
        "Follow-up": f"{design.months_after} months from then, while alive, observed and in the tenancy.",
    }


def _span(study: Study) -> str:
    """How long a panel is followed: in periods of the file, called as their column is."""
    panel, n = study.data.panel, study.design.months_after
    known = panel is not None and panel.period in ("day", "week", "month", "quarter", "year")
    return f"{n} {panel.period if panel and known else 'period'}{'s' * (n != 1)}"


def _time_zero(study: Study) -> str:
    asked = study.design.index_date
    said = [_TIME_ZERO[asked.rule].format(month=asked.month)]
    if asked.within:
        said.append(f"Days are drawn among people alike in {_named(study, asked.within)}.")
    if asked.months_before:
        said.append(f"Everyone was observed for the {asked.months_before} months before.")
    return " ".join(said)


def _eligibility(study: Study) -> str:
    panel = study.data.panel
    if not study.outcomes:
        return "Tenants of the listed arms who agreed and were interviewed."
    if not panel:
        return "Tenants of the listed arms who were found in the NHS data, agreed, and were observed."
    rows = [f"{_named(study, [column])} is {_values(study, column)}" for column in panel.where]
    those = "Everyone" if panel.exposure else f"Every {home(panel.unit)}"
    return f"{those} in the file{' where ' + ' and '.join(rows) if rows else ''}."


def _values(study: Study, column: str) -> str:
    """The values of a column that are kept, as readers know them."""
    kept = study.data.panel.where[column] if study.data.panel else ()
    own = study.labels[column].levels if column in study.labels else {}
    return _words([own.get(value, value) for value in kept], "or")


def _analyses(study: Study) -> list[str]:
    out = []
    if did := study.did:
        against = f", against {_CONTROLS[did.control]}" if "control" in did.taken() else ""
        among = ", among the matched people" if did.matched else ""
        out.append(f"{_DID[did.estimator]}{against}{among}.")
        if did.covariates and "covariates" in did.taken():
            out.append(f"Adjusted for {_named(study, did.covariates)}.")
        if did.anticipation and "anticipation" in did.taken():
            n, period = did.anticipation, study.design.period
            when = f"{period} before support" if n == 1 else f"{n} {period}s before support"
            out.append(f"The {when} may already differ, and is not the base.")
        if did.censoring:
            out.append("Those who stayed are weighed for people like them who moved, opted out or were lost.")
        if len(study.design.clusters) == 2:
            out.append(f"Errors are by {_named(study, study.design.clusters)} at once.")
        if did.tests:
            out.append(f"Tested for few sites by {_words([_TESTS[name] for name in did.tests])}.")
    if study.matching:
        out += _matched(study, study.matching)
    if study.design.unit:
        out.append(f"Each {home(study.design.unit)} is compared as one, in place of the people in it.")
    if survey := study.survey:
        out.append(
            f"What people said: the change from {survey.before} to {_words(survey.after)} with support less "
            "that without it, among those who answered both times; once more weighed for those who were lost."
        )
    return out or ["None: neither a did nor a matching section."]


def _matched(study: Study, matching: Matching) -> list[str]:
    taken = matching.taken()
    by = f" by {_DISTANCE[matching.distance]}" if "distance" in taken else ""
    exact = f", and exactly on {_named(study, matching.exact)}" if matching.exact else ""
    out = [f"{_METHOD[matching.method]}{by} on {_in_short(_on(matching), study)}{exact}."]
    models = matching.models or {"": str(matching.outcome_model)}
    known = {name: _MODEL[model] for name, model in models.items() if model != "poisson"}
    out += [
        f"{f'{_named(study, [name])}: ' if name else 'Compared by '}{words}." for name, words in known.items()
    ]
    if matching.apart:
        out.append(f"Nobody who shares a {home(matching.apart)} with people supported is a control.")
    if matching.adjust:
        out.append(f"The comparison is adjusted for {_named(study, matching.adjust)}.")
    if matching.pair_censoring:
        out.append("Everyone of a set is followed until the first of them leaves.")
    if matching.spillover:
        out.append(f"Repeated without controls who share a {home(matching.spillover)} with people supported.")
    return out


_SCALE = {"count": "", "log1p": ", as logarithms", "sqrt": ", as square roots"}


def _on(matching: Matching) -> list[str]:
    """What people are matched on; a service's periods in one phrase, where all of them are used."""
    names, history = list(matching.on), matching.history
    for service in history.services if history else ():
        assert history is not None
        every = history.periods(service)
        if set(every) <= set(names):
            first = min(names.index(name) for name in every)
            names = [name for name in names if name not in every]
            how = f"{service} by {history.by} in the {history.months} months before{_SCALE[history.scale]}"
            names.insert(first, how)
    return names


def home(column: str) -> str:
    """What a column such as household_id holds, in a word."""
    return column.removesuffix("_id").replace("_", " ")


def _named(study: Study, names: Sequence[str]) -> str:
    """Join names of columns, marked where the study has words of its own for them."""
    return _words(marked(names, study.labels))


def _words(names: Sequence[str], joint: str = "and") -> str:
    return f" {joint} ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)
