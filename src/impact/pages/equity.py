"""Did support reach those who need it, and did it help them as much? What the findings page says of that."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from impact.disclosure import Released
from impact.pages import SEAL, Shown, by_group, fold, show
from impact.pages.answers import WITHIN, about
from impact.pages.formats import (
    adjusted,
    inside,
    interval_text,
    label,
    listed,
    number,
    numeric,
    readers_units,
)
from impact.pages.formats import p_value as p_words
from impact.pages.statement import Statement

Triple = tuple[float, float, float]
# Why an estimator gives no effects in groups: ``interpret.equity`` does not ask these.
_WHOLE_ONLY = {
    "synthetic_did": "this analysis weighs controls to be like all the supported together, and has no effect "
    "of each group by itself",
    "triple_difference": "this analysis already sets one group of people against another, so it cannot be "
    "divided once more",
}
_PARTS = {"imd_fifth": "fifth", "imd_decile": "tenth"}


def equity(released: Mapping[str, Released]) -> Shown:
    """Say whom support reached, who needed it, and whether it helped all groups as much.

    Parameters
    ----------
    released : mapping of name to Released
        Everything the page shows: of ``interpret.reach`` ``by_deprivation, reach, need`` and of
        ``interpret.equity.by_groups`` what there is. Without ``by_deprivation`` the page says that it was
        not looked at.
    """
    if "by_deprivation" not in released:
        said = "Not looked at: this study does not compare people by deprivation."
        return show(Statement("sentence", (("list", (said,)),), (released["effects"],), SEAL))
    sentences = (_reached(released), _needed(released), _helped(released), _others(released), _left(released))
    sources = tuple(one for name, one in released.items() if _mine(name))
    lead = Statement("sentence", (("list", tuple(filter(None, sentences))),), sources, SEAL)
    shown = [by_group.by_group(released["by_group"])] if "by_group" in released else []
    return show(lead, fold("The figures by group", *shown, released["by_deprivation"], *_weighted(released)))


def _mine(name: str) -> bool:
    return (
        name in ("by_deprivation", "reach", "need", "by_group", "trends", "weighted") or name[:6] == "alike_"
    )


def _triple(one: Released | None, **where: str) -> Triple | None:
    """Return an estimate with its range in readers' units; None where there is none to show."""
    if one is None or one.table.empty:
        return None
    shown = readers_units(one.table)
    for column, value in where.items():
        shown = shown[shown[column] == value]
    if shown.empty:
        return None
    values = numeric(shown.iloc[0][["estimate", "conf_low", "conf_high"]])
    return (float(values[0]), float(values[1]), float(values[2])) if np.isfinite(values).all() else None


def _column(released: Mapping[str, Released]) -> str:
    return str(released["by_deprivation"].table["covariate"].iloc[0])


def _part(released: Mapping[str, Released]) -> str:
    return _PARTS.get(_column(released), "group")


def _reached(released: Mapping[str, Released]) -> str:
    ratio = _triple(released.get("reach"), term="most deprived")
    if ratio is None:
        return "Did it reach them? Too few people had support to say."
    part, joined = _part(released), str(released["reach"].method["joined"][0])
    where = f"most deprived {part}s ({joined})" if " and " in joined else f"most deprived {part}"
    best, low, high = ratio
    times = f"the {where} had {number(best, 2)} times as much support as in an even share"
    if low >= 1 / (1 + WITHIN) and high <= 1 + WITHIN:
        lead = "Support reached all about alike"
    elif low > 1 or high < 1:
        lead = f"Support reached the more deprived {'more' if low > 1 else 'less'} than others"
    else:
        lead = "The study cannot tell whether support reached the more deprived more or less than others"
    return f"Did it reach them? {lead}: {times} (95% range {interval_text(low, high, 2)})."


def _needed(released: Mapping[str, Released]) -> str:
    name = inside(label(released["by_deprivation"].method["outcome"]))
    triple = _triple(released.get("need"), scale="difference")
    if triple is None:
        return f"Who needed it? Too few {name} before support to compare."
    unit = str(readers_units(released["need"].table)["unit"].iloc[0])
    more = "more" if triple[0] > 0 else "fewer"
    size = f"about {about(triple[0], triple)} {more} {name} {unit} among the most deprived than the least"
    if triple[1] > 0 or triple[2] < 0:
        lead = f"The {'more' if triple[1] > 0 else 'less'} deprived, in the time before"
    else:
        lead = "The study cannot tell; in the time before there were"
    return f"Who needed it? {lead}: {size} ({_reach(triple)}).".replace("were: about", "were about")


def _reach(triple: Triple) -> str:
    low, high = (about(v, triple) for v in triple[1:])
    if triple[2] < 0:
        return f"{high} to {low} fewer"
    return f"{low} to {high} more" if triple[1] > 0 else f"{low} fewer to {high} more"


def _tests(released: Mapping[str, Released]) -> dict[str, dict[str, float]]:
    """The p-values of 'alike in all groups' by column and scale; of further columns by Holm's method."""
    found: dict[str, dict[str, float]] = {}
    for name, one in released.items():
        if name.startswith("alike_"):
            p = float(numeric(one.table["p_value"])[0])
            if np.isfinite(p):
                found.setdefault(str(one.method["covariate"]), {})[str(one.method["scale"])] = p
    by = _column(released)
    order = [by, *(column for column in found if column != by)]
    for scale in ("difference", "log ratio"):
        each = adjusted([found.get(column, {}).get(scale, np.nan) for column in order])
        for column, value in zip(order, each, strict=True):
            if scale in found.get(column, {}):
                found[column][scale] = value
    return found


def _helped(released: Mapping[str, Released]) -> str:
    column, outcome = _column(released), released["effects"].table["outcome"].iloc[0]
    p, part = _tests(released).get(column, {}), _part(released)
    lead = "Did it help them as much?"
    if why := _WHOLE_ONLY.get(str(released["effects"].method["estimator"])):
        return f"{lead} Not looked at: {why}."
    if not p:
        return f"{lead} The study cannot tell: too few {part}s have enough people and events."
    trend, ratio = (
        _triple(released.get("trends"), term=column, outcome=outcome, scale=scale)
        for scale in ("difference", "log ratio")
    )
    further = ""
    if trend is not None:
        unit = str(readers_units(released["trends"].table)["unit"].iloc[0])
        further = f" Among the most deprived the effect may be {_span(trend)} {unit} than among the least."
    if all(value < 0.05 for value in p.values()):
        return f"{lead} No: the effect differs between the {part}s by more than chance ({_p(p)}).{further}"
    if ratio is not None and ratio[1] >= 1 / (1 + WITHIN) and ratio[2] <= 1 + WITHIN:
        return f"{lead} Yes, as a share of what they use: the effect is within 10% of the same throughout."
    if any(value < 0.05 for value in p.values()):
        return f"{lead} That hangs on how the effect is measured ({_p(p)}).{further}"
    return (
        f"{lead} The study cannot tell: no difference between the {part}s could be seen ({_p(p)}), and in "
        f"groups so small one could be missed.{further}"
    )


def _p(p: Mapping[str, float]) -> str:
    """The p-values in words: one where the scales agree."""
    called = {"difference": "as a difference", "log ratio": "as a ratio"}
    said = {
        scale: f"p {value}" if (value := p_words(v))[:1] == "u" else f"p = {value}" for scale, v in p.items()
    }
    if len({value < 0.05 for value in p.values()}) == 1:
        return next(iter(said.values()))
    return listed([f"{value} {called[scale]}" for scale, value in said.items()])


def _span(triple: Triple) -> str:
    low, high = (f"{about(v, triple)} {'fewer' if v < 0 else 'more'}" for v in triple[1:])
    return f"anything from {low} to {high}"


def _others(released: Mapping[str, Released]) -> str:
    tests = {column: p for column, p in _tests(released).items() if column != _column(released)}
    said = []
    for column, p in tests.items():
        differs = all(value < 0.05 for value in p.values())
        found = "the effect differs by more than chance" if differs else "no difference could be seen"
        said.append(f"By {inside(label(column))} {found} ({_p(p)}).")
    return " ".join(said)


def _left(released: Mapping[str, Released]) -> str:
    left = released["by_group"].method.get("left_out") if "by_group" in released else None
    if not left:
        return ""
    named = listed([by_group.level_names(str(c), [str(v) for v in levels]) for c, levels in left.items()])
    return f"Too few to estimate an effect of their own: {named}."


def _weighted(released: Mapping[str, Released]) -> list[Statement]:
    if (one := released.get("weighted")) is None:
        return []
    outcome = str(one.table["outcome"].iloc[0])
    plain, counted = (_triple(one, outcome=outcome, term=term) for term in ("unweighted", "weighted"))
    if plain is None or counted is None:
        return []
    said = (
        f"With distributional weights (what a contact avoided counts in each {_part(released)}, as the study "
        f"set it), {_avoided(counted)} {inside(label(outcome))} were avoided over the time studied; without "
        f"weights {_avoided(plain)}, in the same groups. Weights are a judgement of worth, and no count."
    )
    return [Statement("sentence", (("list", (said,)),), (one,), SEAL)]


def _avoided(triple: Triple) -> str:
    digits = 0 if max(map(abs, triple)) >= 20 else 1
    return f"{number(triple[0], digits)} ({interval_text(triple[1], triple[2], digits)})"
