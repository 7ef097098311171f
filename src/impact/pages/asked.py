"""What a page of a matched comparison shows only where it was asked for; otherwise nothing."""

from __future__ import annotations

from collections.abc import Mapping

from impact.disclosure import Released
from impact.pages import SEAL, Shown, plots, show
from impact.pages.answers import answers
from impact.pages.formats import inside, label, listed
from impact.pages.layout import Table
from impact.pages.statement import Statement
from impact.pages.tables import effects


def steps(released: Mapping[str, Released]) -> Shown:
    """The two steps of a hurdle model: how many people have any, and how many those have."""
    if (found := released.get("steps")) is None:
        return show()
    names = listed([inside(label(name)) for name in found.table["outcome"].unique()])
    said = (
        f"The change in {names} comes about in two steps: how many people have any, and how many each of "
        "those has. The two ratios multiply to the whole. The second is no effect by itself, as support may "
        "change who has any."
    )
    return show(
        Statement("sentence", (("list", (said,)),), (found,), SEAL),
        show(found, caption="The two steps and the whole (95% ranges in brackets)"),
    )


def other(released: Mapping[str, Released]) -> Shown:
    """Effects on what is no service, such as a wellbeing score."""
    return show(*([released["other"]] if "other" in released else []))


def month_by_month(released: Mapping[str, Released]) -> Shown:
    """Rates of those who are compared, by month before and after their index day."""
    return show(*([plots.rates(released["by_month"])] if "by_month" in released else []))


def spillover(released: Mapping[str, Released]) -> Shown:
    """Effects with all controls beside those without the ones who live with or beside people supported."""
    if (found := released.get("spillover")) is None:
        return show()
    home = found.method["spillover"]
    said = (
        f"Support may change things for people of the same {home} too. Here the effect stands beside the one "
        f"without controls who share a {home} with anybody supported. If the two are far apart, support "
        "reached neighbours, or these live in places that differ otherwise."
    )
    sources = released["effects"], found
    planned, apart = map(effects, sources)
    header = planned.columns[1].header
    columns = (
        planned.columns[0],
        planned.columns[1]._replace(header="With all controls"),
        apart.columns[1]._replace(header=f"Without those of the same {home}"),
        apart.columns[-1],
    )
    laid = Table(
        f"{header}, with all controls and without neighbours (95% ranges in brackets)", columns, found
    )
    table = Shown(laid.text, laid.html, (found,), seal=SEAL)
    return show(Statement("sentence", (("list", (said,)),), sources, SEAL), table)


def no_effect_expected(released: Mapping[str, Released]) -> Shown:
    """Effects on services that support cannot change, and what it means if there are any."""
    if (found := released.get("negative_control")) is None:
        return show()
    known = [a for a in answers(found) if a.strength != "too rare"]
    clear = [a.name for a in known if a.nominal]
    if clear:
        said = (
            f"No effect is expected here, and yet {listed(clear)} differ clearly: the groups differed in "
            "something that was not recorded. Read the effects above with great care."
        )
    elif known:
        said = (
            f"No effect is expected here, and none is clear in {listed([a.name for a in known])}: no sign "
            "that the groups differed in something that was not recorded. It is no proof that they did not."
        )
    else:
        said = (
            "No effect is expected here, but there are too few of these contacts to say whether there is one."
        )
    caption = "Differences where none is expected (95% ranges in brackets)"
    return show(Statement("sentence", (("list", (said,)),), (found,), SEAL), show(found, caption=caption))
