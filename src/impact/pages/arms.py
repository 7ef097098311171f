"""Did each kind of support help, and did one do more than another? What the findings page says of that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from impact.disclosure import Released
from impact.interpret.arms import KIND, against
from impact.interpret.subsets import LEFT_OUT, SCALES
from impact.numbers.holm import holm
from impact.pages import SEAL, Shown, fold, show
from impact.pages.answers import Answer, answer_of, main_scale, per, range_of, size
from impact.pages.by_group import range_cells
from impact.pages.formats import (
    MISSING,
    aligned,
    capital,
    inside,
    label,
    listed,
    number,
    numeric,
    p_value,
    readers_units,
    who,
)
from impact.pages.formats import SCALES as NAMED
from impact.pages.layout import Column, Table, cells_of, table_of
from impact.pages.own_words import OWN
from impact.pages.statement import Statement

# More comparisons of two kinds than this stand in the table alone.
_MOST = 3
_KINDS = ("by_arm", "arm_against_arm", "per_step")
_ASSIGNED = ("offered", "took_up_because", "without_withdrawn")


def arms(released: Mapping[str, Released], *, assignment: str = "observed") -> Shown:
    """Say whether each kind of support helped and one did more than another, and what the offer did.

    Parameters
    ----------
    released : mapping of name to Released
        Everything the page shows: of ``interpret.arms`` and ``interpret.assigned`` what there is. Without any
        of it the page says that kinds of support were not told apart.
    assignment : 'observed' or 'randomised'
        Whether it was drawn by lot who had which kind.
    """
    mine = [released[name] for name in (*_KINDS, "take_up", "withdrawn", *_ASSIGNED) if name in released]
    if not mine:
        said = "Not looked at: this study does not tell kinds of support apart, or too few had each."
        return show(Statement("sentence", (("list", (said,)),), (released["effects"],), SEAL))
    sentences, folded = [], []
    if "by_arm" in released:
        found = _answers(released)
        sentences += [*_each(released, found), *_between(released, found, assignment)]
        sentences += [_steps(released), _left(released)]
        folded.append(_table(released, found))
    sentences += [_offered(released), _because(released), _withdrawn(released)]
    if any(name in released for name in _ASSIGNED):
        folded.append(_assigned(released))
    lead = Statement("sentence", (("list", tuple(filter(None, sentences))),), tuple(mine), SEAL)
    tables = [Shown(laid.text, laid.html, tuple(mine), seal=SEAL) for laid in folded]
    return show(lead, fold("The figures by kind of support", *tables))


def named(arm: str) -> str:
    """What readers call a kind of support, inside a sentence."""
    return inside(OWN.levels.get("arm", {}).get(arm) or label(arm))


Found = dict[tuple[str, str], Answer]


def _rows(released: Mapping[str, Released], name: str) -> pd.DataFrame:
    """Effects in readers' units with what they are of, and where they stand in what was released."""
    if name not in released:
        return pd.DataFrame(columns=["outcome", "scale", "what", "row"])
    shown = readers_units(released[name].table).reset_index(names="row")
    if name != "by_arm":
        return shown.assign(what=shown["term"] if name in _KINDS else name)
    shown = shown[shown["level"] != LEFT_OUT]
    return shown.assign(what=shown["level"].where(shown["covariate"] == KIND, ""))


def _answers(released: Mapping[str, Released]) -> Found:
    """What is known of each kind and each two of them by (which, outcome).

    All comparisons of the primary outcome are one family of questions, and those of all others another.
    """
    both = pd.concat([_rows(released, "by_arm"), _rows(released, "arm_against_arm")], ignore_index=True)
    both = both[both["what"] != ""]
    main = both[both["scale"] == main_scale(both)]
    primary = main["outcome"] == _primary(released)
    p = pd.Series(numeric(main["p_value"]), main.index, dtype=float)
    for family in (primary, ~primary):
        known = family & np.isfinite(p)
        p[known] = holm(p[known].tolist())
    each = zip(main["what"].astype(str), main["outcome"].astype(str), p, strict=True)
    by = both.groupby(["what", "outcome"])
    return {(what, outcome): answer_of(by.get_group((what, outcome)), p=one) for what, outcome, one in each}


def _primary(released: Mapping[str, Released]) -> str:
    return str(released["by_arm"].table["outcome"].iloc[0])


def _kinds(released: Mapping[str, Released]) -> list[str]:
    return list(dict.fromkeys(what for what in _rows(released, "by_arm")["what"] if what))


def _each(released: Mapping[str, Released], found: Found) -> list[str]:
    primary, said, unit = _primary(released), [], ""
    for kind in _kinds(released):
        a = found[kind, primary]
        # What the figures are of is said with the first of them.
        of = "" if unit or a.strength == "too rare" else _of(a)
        unit = unit or of
        said.append(f"{capital(named(kind))}: {_found(a, of)}.")
    return [f"Did each kind of support help? {' '.join(said)}"]


def _found(a: Answer, of: str) -> str:
    """The answer on one kind in words, no surer than its range."""
    if a.strength == "too rare":
        return "too few to say"
    if a.is_clear:
        return f"{size(a).removesuffix(per(a)).strip()}{of} ({range_of(a)})"
    if a.strength == "little or no change":
        return f"little or no change ({range_of(a)}{of})"
    return f"the study cannot tell ({range_of(a)}{of}{_but(a)})"


def _but(a: Answer) -> str:
    if a.nominal:
        return "; not clear once all these comparisons are allowed for"
    scales = {"difference": "ratio", "ratio": "difference"}
    return f"; clear as a {a.split} and not as a {scales[a.split]}" if a.split else ""


def _between(released: Mapping[str, Released], found: Found, assignment: str) -> list[str]:
    pairs = released["arm_against_arm"].method["contrasts"]
    said = [_pair(one, other, found[against(one, other), _primary(released)]) for one, other in pairs[:_MOST]]
    if len(pairs) > _MOST:
        said.append("The table has the other comparisons.")
    if assignment == "observed":
        said.append(
            "It was not drawn by lot who had which kind, so a difference between two kinds may be one "
            "between the people who had them."
        )
    return said


def _pair(one: str, other: str, a: Answer) -> str:
    more, less = named(one), named(other)
    lead = f"Were there fewer {a.name} with {more} than with {less}?"
    if a.strength == "too rare":
        return f"{lead} There are too few to say."
    if a.is_clear:
        return f"{lead} {'Yes' if a.fewer else 'No'}: {size(a)} with {more} than with {less} ({range_of(a)})."
    if a.strength == "little or no change":
        return f"{lead} No: the two are within 10% of each other ({range_of(a)})."
    return f"{lead} The study cannot tell ({range_of(a)} with {more}{_but(a)})."


def _steps(released: Mapping[str, Released]) -> str:
    rows = _rows(released, "per_step")
    rows = rows[rows["outcome"] == _primary(released)]
    if rows.empty:
        return ""
    p = float(numeric(rows.loc[rows["scale"] == main_scale(rows), "p_value"])[0])
    a, amounts = answer_of(rows, p=p), released["per_step"].method["amounts"]
    steps = listed(
        [f"{named(kind)} {number(v, 0 if float(v).is_integer() else 1)}" for kind, v in amounts.items()]
    )
    lead = f"By how much support there was ({steps}, none 0), one more goes with"
    if a.is_clear:
        said = f"{size(a)} ({range_of(a)})"
    else:
        said = f"anything from {range_of(a)}" if a.strength != "too rare" else "too few to say"
    return (
        f"{lead} {said}. That line starts from no support, and one kind alone can tilt it: whether more "
        "support does more is the comparison of the kinds."
    )


def _left(released: Mapping[str, Released]) -> str:
    left = [named(str(arm)) for arm in released["by_arm"].method["left_out"].get(KIND, ())]
    return f"Too few to estimate an effect of their own: {listed(left)}." if left else ""


def _offered(released: Mapping[str, Released]) -> str:
    if "offered" not in released:
        return ""
    started, offered = _main(released, "effects"), _main(released, "offered")
    return (
        f"{_share(released.get('take_up'))}Counted from the offer, whoever took it up: "
        f"{_found(offered, _of(offered))}. Counted from the start, of those who had it: "
        f"{_found(started, '')}. Those who take up an offer may differ from those who do not; the first of "
        "the two keeps both."
    )


def _share(take_up: Released | None) -> str:
    if take_up is None:
        return ""
    row = take_up.table[take_up.table["term"] == "offered"].iloc[0]
    if pd.isna(row["estimate"]):
        return "How many took up the offer is not shown: one of the groups behind it is too small. "
    said = f"Of every 100 offered support, {number(row['estimate'])} took it up"
    if pd.isna(row["conf_low"]):
        # A share near to all is rounded to 100, and has a range.
        everyone = "Everyone who was offered support took it up"
        return f"{everyone if float(row['estimate']) == 100 else said}. "
    low, high = (min(max(float(row[end]), 0.0), 100.0) for end in ("conf_low", "conf_high"))
    return f"{said} (95% range {number(low)} to {number(high)}). "


def _because(released: Mapping[str, Released]) -> str:
    if "took_up_because" in released:
        a = _main(released, "took_up_because")
        said = "Of those who took it up because it was offered, and if an offer by itself changes nothing:"
        return f"{said} {_found(a, _of(a))}."
    if "take_up" in released and released["take_up"].method.get("weak"):
        return "The offer led too few to take support up to say what it did for them."
    return ""


def _withdrawn(released: Mapping[str, Released]) -> str:
    if "withdrawn" not in released:
        return ""
    counts = released["withdrawn"].marked().set_index("arm")["persons"]
    who = [number(counts[arm]) for arm in ("supported", "control")]
    shown = released["withdrawn"].mark not in who
    support = "offered support and {} not" if "offered" in released else "with support and {} without"
    some = f"{who[0]} people {support.format(who[1])}" if shown else "Some people (too few to show)"
    lead = f"{some} were withdrawn after they had joined a group."
    if "without_withdrawn" not in released:
        return f"{lead} Without them there are too few people to estimate an effect."
    assigned = _main(released, "offered" if "offered" in released else "effects")
    rest = _main(released, "without_withdrawn")
    return (
        f"{lead} With them, as they were assigned: "
        f"{_found(assigned, _of(assigned))}; without them: {_found(rest, '')}. Nobody is withdrawn by "
        "chance, so that the first is the answer."
    )


def _main(released: Mapping[str, Released], name: str) -> Answer:
    """What is known of the primary outcome by one analysis, which asks no further question."""
    rows = _rows(released, name)
    rows = rows[rows["outcome"] == rows["outcome"].iloc[0]]
    return answer_of(rows, p=float(numeric(rows.loc[rows["scale"] == main_scale(rows), "p_value"])[0]))


def _of(a: Answer) -> str:
    """What a figure is of, to stand behind it."""
    return f" {a.name} {per(a)}".rstrip()


def _table(released: Mapping[str, Released], found: Found) -> Table:
    """Effects of all kinds together and of each, and the comparisons of two, every scale side by side."""
    laid = _laid(released, [name for name in _KINDS if name in released])
    keys = [(str(what), str(outcome)) for what, outcome in zip(laid["what"], laid["outcome"], strict=True)]
    called = [_called(str(part), what, released) for part, (what, _) in zip(laid["part"], keys, strict=True)]
    columns = [
        Column("Kind of support", called, True),
        *_scales(released["by_arm"], laid),
        Column("p-value", aligned([p_value(found[k].p) if k in found else MISSING for k in keys])),
        Column(f"{capital(who(released['by_arm']))} (events) with support", laid["behind"].tolist()),
    ]
    said = (
        f"The p-values of {inside(label(_primary(released)))} allow for looking at all these comparisons of "
        "it, and those of the other services for looking at all of theirs (Holm)."
    )
    caption = "Effect by kind of support (95% ranges in brackets)"
    return table_of(released["by_arm"], caption, [_services(laid), *columns], [said])


_WHO = {
    "effects": "Who had support, from its start",
    "offered": "Everyone offered it, from the offer",
    "took_up_because": "Who took it up because it was offered",
    "without_withdrawn": "Without those withdrawn",
}


def _assigned(released: Mapping[str, Released]) -> Table:
    """The main result beside that of the offer, and without those who were withdrawn."""
    laid = _laid(released, [name for name in _WHO if name in released])
    said = ["Where no other group is named, those withdrawn are in it, as they were assigned."]
    if "took_up_because" in released:
        said.append(
            "Of who took it up because it was offered there is no ratio: what they would have used without "
            "it is not seen."
        )
    columns = [_services(laid), Column("Who is counted", laid["what"].map(_WHO).tolist(), True)]
    caption = "As people were assigned (95% ranges in brackets)"
    return table_of(released["effects"], caption, [*columns, *_scales(released["effects"], laid)], said)


def _laid(released: Mapping[str, Released], names: Sequence[str]) -> pd.DataFrame:
    """One row for each outcome and analysis, with the cells of both scales and of who is behind it."""
    parts = []
    for name in names:
        rows = _rows(released, name)
        index = rows.drop_duplicates(["outcome", "what"])[["outcome", "what"]].assign(part=name)
        cells = {"behind": _behind(released, name, rows, index)}
        for scale in SCALES:
            mine = index.merge(rows[rows["scale"] == scale], on=["outcome", "what"], how="left")
            # What an analysis does not have on this scale is not withheld.
            is_there = mine["row"].notna()
            drawn = range_cells(released[name], mine, ratio=scale == "log ratio")
            cells[scale] = [c if there else MISSING for c, there in zip(drawn, is_there, strict=True)]
        parts.append(index.assign(**cells))
    laid = pd.concat(parts, ignore_index=True)
    order = laid["outcome"].unique().tolist()
    return laid.sort_values("outcome", key=lambda c: c.map(order.index), kind="stable")


def _services(laid: pd.DataFrame) -> Column:
    return Column("Service", laid["outcome"].map(label).tolist(), True)


def _scales(released: Released, laid: pd.DataFrame) -> list[Column]:
    units = readers_units(released.table).groupby("scale")["unit"].first()
    titles = {s: f"{NAMED[s]} {units[s]}" if s == "difference" else NAMED[s] for s in SCALES if s in units}
    return [Column(title, laid[scale].tolist()) for scale, title in titles.items()]


def _behind(
    released: Mapping[str, Released], name: str, rows: pd.DataFrame, index: pd.DataFrame
) -> list[str]:
    """People and events of each kind; behind a comparison are those of all."""
    if name != "by_arm":
        return [MISSING] * len(index)
    first = index.merge(rows.drop_duplicates(["outcome", "what"]), on=["outcome", "what"])["row"]
    both = zip(*(cells_of(released[name], column, first) for column in ("treated", "events")), strict=True)
    return [f"{n} ({events})" for n, events in both]


def _called(part: str, what: str, released: Mapping[str, Released]) -> str:
    if part == "by_arm":
        return capital(named(what)) if what else "All together"
    if part == "per_step":
        return "One more"
    one, other = next(p for p in released[part].method["contrasts"] if against(*p) == what)
    return f"{capital(named(one))} less {named(other)}"
